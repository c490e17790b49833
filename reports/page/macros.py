"""The macros of `sections.html.j2`, with the filters that they need."""

import json
from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any

import numpy as np
from jinja2 import Environment
from markupsafe import Markup

from disbench.reports.markup.svg import PALETTE
from disbench.reports.markup.templates import environment
from disbench.reports.records import Partition
from disbench.reports.tables.columns import QUALITIES

MOST = 8  # methods in a table of pairs


def macro(name: str, *arguments: Any) -> Markup:
    return Markup(getattr(macros(), name)(*arguments))


@cache
def macros() -> Any:
    return section_environment().get_template("sections.html.j2").module


@cache
def section_environment() -> Environment:
    found = environment()
    found.filters.update(
        compact=lambda value: json.dumps(value, ensure_ascii=False),
        gibibytes=lambda count: f"{count / 2**30:.2f} GiB" if count >= 2**29 else f"{count / 2**20:,.0f} MiB",
        numbers=lambda values: " to ".join(f"{value:,}" for value in dict.fromkeys((*values[:1], *values[-1:]))),
        p_value=lambda value: "p < 0.001" if value < 0.001 else f"p = {value:.3f}",
        latents=lambda order: [f"z{d}" for d in order],
    )
    found.globals.update(
        heat=heat,
        heats=heats,
        qualities=QUALITIES,
        most=MOST,
        shares_of=_shares_of,
        palette=range(len(PALETTE)),
    )
    return found


def heat(
    value: float | None, low: float = 0.0, high: float = 1.0, middle: float | None = None, mark: str = ""
) -> Markup:
    """The cell of a matrix, shaded by its place between both ends, or by its distance from the middle."""
    if value is None:
        return Markup('<td class="heat none">–</td>\n')
    if middle is None:
        side, shade = "", (value - low) / (high - low)
    else:
        side, shade = " below" if value < middle else "", abs(value - middle) / (high - middle)
    return Markup(f'<td class="heat{side}" style="--v:{shade:.2f}">{value:.2f}{mark}</td>\n')


def heats(values: Iterable[float | None], *scale: Any) -> Markup:
    return Markup("").join(heat(value, *scale) for value in values)


def _shares_of(partition: Partition, order: Sequence[int]) -> list[list[float]]:
    """(K+1, D): the share of each latent in each group, latents in the given order."""
    shares = np.clip(np.array([partition.assignment[d] for d in order]), 0.0, 1.0)
    return [[float(share) for share in row] for row in shares.T]
