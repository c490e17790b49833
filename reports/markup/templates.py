"""Load the templates of pages, with escaping, and with errors for undefined names."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from disbench.datasets.untrusted import printable
from disbench.reports.tables.table import Cell


def environment() -> Environment:
    """A new one with the filters that all pages share; a page adds its own."""
    # By path, not PackageLoader: the package is mapped into a namespace, and its folder is wherever this file is.
    found = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
        finalize=_without_controls,
    )
    found.filters.update(
        score=_score,
        of_seed=_of_seed,
        by_seed=lambda values: ", ".join(f"seed {seed}: {_score(value)}" for seed, value in values.items()),
        # the path of dots on a line of 64 units, at places from 0 to 1
        dotted=lambda places: "".join(f"M{5 + 54 * place:.1f} 5h0" for place in places),
        thousands=lambda value, digits=None: f"{value:,}" if digits is None else f"{value:,.{digits}f}",
        settings=lambda values: ", ".join(f"{name}={value}" for name, value in sorted(values.items())),
    )
    return found


def _without_controls(value: Any) -> Any:
    """Text of a record without control characters and overrides of its direction, and markup made from such text."""
    if not isinstance(value, str):
        return value
    return Markup(printable(value)) if isinstance(value, Markup) else printable(value)


def _score(value: float) -> str:
    """A score, three digits behind the point."""
    return f"{value:.3f}"


def _of_seed(cells: Iterable[Cell], seed: int) -> Markup:
    """One seed's scores as the cells of a row; at once, for there may be a hundred thousand."""
    return Markup(
        "".join(
            f'<td class="num">{_score(cell.values[seed])}</td>\n'
            if seed in cell.values
            else f'<td class="num absent" title="{escape(cell.reasons.get(seed, ""))}">n/a</td>\n'
            for cell in cells
        )
    )
