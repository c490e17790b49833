"""The tables of the page: the leaderboard line of every cell, ranks over datasets, and the texts of exports.

All numbers come from `comparison` and all texts of exports from `export`; this module arranges them for the templates.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from disbench.reports.comparison import DATA, LEADERBOARD, first_views, leaderboard, overview, score_frame
from disbench.reports.comparison.frames import BUDGETS
from disbench.reports.export import notices_of, overview_pieces, pages, pieces, records, scored_lines
from disbench.reports.tables.columns import Column, columns
from disbench.reports.tables.table import Cell, Row, Table

Line = dict[str, Any]
_OVERVIEW = ["provenance", "metric", "method", "mean_rank", "rank_low", "rank_high", "iqm", "low", "high", "note"]


@dataclass(frozen=True)
class Board:
    """The table of one dataset as the page shows it: `lines` {(view, method, metric): line}; `exported` are values for JSON.

    `ranges` {metric: (lowest, highest)} are over all seeds of all rows.
    """

    table: Table
    slug: str
    lines: dict[tuple[str, str, str], Line]
    ranges: dict[str, tuple[float, float]]
    exported: dict[str, Any]

    def line(self, row: Row, key: str) -> Line | None:
        """The statistics of one cell; None if the leaderboard has none."""
        return self.lines.get((row.view, row.of_row or row.label, key))

    @property
    def shows_sight(self) -> bool:
        """Whether the table has a column that says what methods see: some see more than images."""
        return any(row.sees != "images" for row in self.table.rows)

    def has_rivals(self, row: Row) -> bool:
        """Whether another row of the table is scored in the same view; a place among one row means nothing."""
        rows = self.table.further if row.of_row else self.table.rows
        return sum((other.view, other.sees) == (row.view, row.sees) for other in rows) > 1

    def dots(self, key: str, cell: Cell) -> list[float]:
        """The seeds of a cell between the lowest and the highest score of its column, 0 to 1."""
        low, high = self.ranges[key]
        return [(value - low) / ((high - low) or 1.0) for value in cell.values.values()]


@dataclass(frozen=True)
class Overview:
    """The datasets of one provenance together: `lines` {(method, metric): line} for two datasets or more, otherwise empty."""

    provenance: str
    slug: str
    datasets: tuple[str, ...]
    heads: tuple[Column, ...]
    lines: dict[tuple[str, str], Line]
    notices: tuple[str, ...]
    exported: dict[str, Any]

    @property
    def methods(self) -> tuple[str, ...]:
        """All methods by name: an order by ranks would average over metrics, which must not be averaged."""
        return tuple(sorted({method for method, _ in self.lines}))

    def any_line(self, method: str) -> Line:
        """One line of the method, for values that are the same in all of them."""
        return next(line for (own, _), line in self.lines.items() if own == method)


def boards(tables: Sequence[Table]) -> tuple[Board, ...]:
    """A board for each table, in order."""
    scores = score_frame(tables)
    frame = leaderboard(scores)
    scored = scored_lines(frame, scores)
    by_data: dict[tuple[str, ...], list[Line]] = {}
    for line in scored:
        by_data.setdefault(tuple(str(line[name]) for name in DATA), []).append(line)
    exported: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    own = [name for name in LEADERBOARD if name not in (*DATA, "view")]
    for page in pages(frame, tables):
        common = dict(zip([*DATA, "view"], [*page.data, page.view], strict=True))
        lines = [line for line in by_data[page.data] if line["view"] == page.view]
        at = {method: number for number, method in enumerate((*page.trained, *page.untrained))}
        # Tied methods are stored by number: with their names in every cell, the page of a large table would be mostly names.
        kept = [{**line, "tied_with": [at[method] for method in line["tied_with"]]} for line in lines]
        rows = [[line[name] for name in [*own, "scores"]] for line in kept]
        exported.setdefault(page.data, []).append({**pieces(page), "common": common, "lines": rows})
    found = []
    for table, slug in zip(tables, _slugs(table.dataset for table in tables), strict=True):
        key = table.key
        own_lines = {(line["view"], line["method"], line["metric"]): line for line in by_data.get(key, [])}
        about = dict(zip(DATA, key, strict=True)) | {"notices": list(notices_of(table))}
        data = {"name": slug, "columns": LEADERBOARD, "own": own, "pages": exported.get(key, []), "about": about}
        found.append(Board(table, slug, own_lines, _ranges(table), data))
    return tuple(found)


def _ranges(table: Table) -> dict[str, tuple[float, float]]:
    rows = (*table.rows, *table.untrained, *table.further)
    every = {
        head.key: [value for row in rows for value in row.cells[head.key].values.values()] for head in table.columns
    }
    return {key: (min(values), max(values)) for key, values in every.items() if values}


def overviews(tables: Sequence[Table]) -> tuple[Overview, ...]:
    """One for each provenance, over the first views of its tables."""
    by_provenance: dict[str, list[Table]] = {}
    for table in tables:
        if table.rows:
            by_provenance.setdefault(table.key[-1], []).append(table)
    return tuple(_overview(provenance, own) for provenance, own in by_provenance.items())


def _overview(provenance: str, tables: Sequence[Table]) -> Overview:
    names = tuple(table.dataset for table in tables)
    slug = f"ranks-{_slug(provenance)}"
    if len(tables) < 2:
        return Overview(provenance, slug, names, (), {}, (), {})
    scores = score_frame(tables)
    found = overview(first_views(scores))
    lines = {(line["method"], line["metric"]): line for line in records(found)} if len(found) else {}
    heads = columns(key for _, key in lines)
    notices = []
    if any(line["budgets_differ"] for line in lines.values()):
        notices.append(
            f"Unequal budgets: on one dataset methods were {BUDGETS}, so mean ranks compare unequal efforts."
        )
    notices += _incomplete(lines, heads)
    varied = {name for line in lines.values() for name in line["varied"]}
    if varied:
        notices.append(f"Settings are not the same on every dataset: {', '.join(sorted(varied))} differ between them.")
    rows = [[line[name] for name in _OVERVIEW] for line in lines.values()]
    title = f"Ranks over {len(tables)} datasets ({provenance}): {', '.join(names)}"
    data = {
        "name": slug,
        "columns": _OVERVIEW,
        "own": _OVERVIEW,
        "pages": [overview_pieces(title, heads, lines, notices) | {"common": {}, "lines": rows}],
        "about": {"provenance": provenance, "datasets": list(names), "notices": notices},
    }
    return Overview(provenance, slug, names, heads, lines, tuple(notices), data)


def _incomplete(lines: Mapping[tuple[str, str], Line], heads: Iterable[Column]) -> list[str]:
    """Which methods have no mean and where they are missing, once per method and set of datasets."""
    labels = {head.key: head.label for head in heads}
    found: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for (method, key), line in lines.items():
        if line["missing"]:
            found.setdefault((method, tuple(line["missing"])), []).append(labels[key])
    return [
        f"Incomplete: {method} has no {'score' if len(own) == len(labels) else ', '.join(own)} on {', '.join(missing)}, so it is "
        "neither averaged nor ranked there: a mean over fewer datasets could win by their ease."
        for (method, missing), own in found.items()
    ]


def _slug(words: str) -> str:
    """Words with only the characters that are safe in an id and an address."""
    return re.sub(r"[^A-Za-z0-9_]+", "-", words).strip("-")[:60] or "data"


def _slugs(names: Iterable[str]) -> list[str]:
    """A slug for each name; repeated names get a number, in the order of the tables."""
    found: list[str] = []
    for name in names:
        slug = own = f"data-{_slug(name)}"
        number = 1
        while own in found:
            number += 1
            own = f"{slug}-{number}"
        found.append(own)
    return found


def facets(tables: Iterable[Table]) -> dict[str, list[str]]:
    """The values by which rows can be filtered: {field: values}, without fields that have a single value."""
    tables = list(tables)
    rows = [row for table in tables for row in table.rows]
    found = {
        "method": sorted({row.trial.method for row in rows}),
        "provenance": sorted({table.key[-1] for table in tables}),
        "steps": [str(steps) for steps in sorted({row.trial.steps for row in rows})],
    }
    return {field: values for field, values in found.items() if len(values) > 1}


def what_was_run(table: Table) -> dict[str, str]:
    """Facts on a dataset's trials, for a reader who wants to know whether the comparison is fair."""
    records_of = [record for row in table.rows for _, record in row.trials]
    seeds = sorted({len(row.trials) for row in table.rows})
    return {
        "Methods": f"{len(table.rows)}",
        "Seeds": " to ".join(f"{n}" for n in dict.fromkeys((*seeds[:1], *seeds[-1:]))),
        "Failed": f"{len(table.failed)}",
        "Steps": _listed({row.trial.steps for row in table.rows}),
        "Batch": _listed({row.trial.batch_size for row in table.rows}),
        "Precision": ", ".join(sorted({row.trial.precision for row in table.rows})),
        "Rows scored": _listed({row.trial.rows for row in table.rows}),
        "Device": ", ".join(sorted({str(r.environment["device"]) for r in records_of if "device" in r.environment})),
        "Code": ", ".join(sorted({str(r.environment["code"]) for r in records_of if "code" in r.environment})),
    }


def _listed(values: Iterable[int]) -> str:
    return ", ".join(f"{value:,}" for value in sorted(values))
