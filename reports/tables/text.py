"""The leaderboard as plain text for a terminal: the same tables, marks and notices as the page."""

import textwrap
from collections.abc import Iterable, Sequence
from pathlib import Path

from disbench.datasets.untrusted import printable
from disbench.reports.records.collect import Collection, collect
from disbench.reports.tables.aggregate import tables
from disbench.reports.tables.columns import Column
from disbench.reports.tables.notices import short_runs, skipped
from disbench.reports.tables.table import Cell, Row, Table

_WIDTH = 110
_METRICS = 6  # columns that fit beside each other
_CELL = 12
_SEEDS = 8
_LABEL = _WIDTH - _SEEDS - _METRICS * (_CELL + 1)
_MARKS = {"": "", "best": "*", "noise": "~"}


def as_text(folder: Path) -> str:
    """Every table below `folder`, in lines of at most 110 characters. Raises FileNotFoundError where there is no record."""
    collection = collect(folder)
    return text_of(collection, tables(collection.found))


def text_of(collection: Collection, grouped: Iterable[Table]) -> str:
    """`as_text` from a collection and its tables."""
    blocks = [_table(table) for table in grouped]
    short = short_runs(record for _, record in collection.found)
    if short:
        blocks.insert(0, _wrapped(short))
    if collection.unreadable:
        lines = [_wrapped(f"Unreadable: {path}: {error}") for path, error in collection.unreadable]
        blocks.append("\n".join(lines))
    return printable("\n\n".join(blocks)) + "\n"


def _table(table: Table) -> str:
    options = ", ".join(f"{name}={value}" for name, value in sorted(table.options.items()))
    title = f"{table.dataset} ({table.provenance or 'provenance unknown'}, version {table.version})"
    lines = [_wrapped(f"{title} {options}".strip())]
    for start in range(0, len(table.columns), _METRICS):
        heads = table.columns[start : start + _METRICS]
        lines += ["", *_header(heads), _rule(heads)]
        lines += [line for row in table.rows for line in _row(row, heads)]
        if table.further:
            lines += [_rule(heads), *(line for row in table.further for line in _row(row, heads))]
        lines += [_rule(heads), *(line for row in table.untrained for line in _row(row, heads))]
        floors = [(f"floor, {view} view", cells) for view, cells in table.further_floors.items()]
        for label, cells in (("floor (shuffled)", table.floor), *floors, ("ceiling (factors)", table.ceiling)):
            lines.append(_line(label, "", [_score(cells[head.key], spread=False) for head in heads]))
    lines += [
        "",
        "mean±sample sd over seeds   * best mean   ~ tied with it (Welch, 95 %)   n/a not applicable   - no score",
    ]
    lines += [_wrapped(f"No score: {metric}, {rows}: {reason}") for metric, rows, reason in skipped(table)]
    lines += [
        _wrapped(f"Not above the untrained encoder on MIG: {row.label}.") for row in table.rows if row.below_untrained
    ]
    lines += [_wrapped(f"Note: {notice}") for notice in table.notices]
    lines += [
        _wrapped(f"Sees {sees}: {', '.join(row.label for row in table.rows if row.sees == sees)}. Ranked apart.")
        for sees in table.kinds_of_sight
        if len(table.kinds_of_sight) > 1
    ]
    for _, record in table.failed:
        lines.append(_wrapped(f"Failed: {record.trial.method}, seed {record.trial.seed}: {record.error_line}"))
    return "\n".join(lines)


def _header(heads: Sequence[Column]) -> Iterable[str]:
    """Metric labels with their arrows, broken over as many lines as the longest needs and aligned at the bottom."""
    broken = [textwrap.wrap(f"{head.label} {head.arrow}", _CELL) for head in heads]
    depth = max(len(words) for words in broken)
    columns = [[""] * (depth - len(words)) + words for words in broken]
    for level in range(depth):
        last = level == depth - 1
        yield _line("method" if last else "", "seeds" if last else "", [words[level] for words in columns])


def _row(row: Row, heads: Sequence[Column]) -> Iterable[str]:
    first, *more = textwrap.wrap(row.label, _LABEL - 1) or [""]
    yield _line(first, row.seeds, [_score(row.cells[head.key]) for head in heads])
    yield from (f"  {words}" for words in more)


def _score(cell: Cell, spread: bool = True) -> str:
    if cell.mean is None:
        return "n/a" if cell.reasons else "-"
    sd = f"±{cell.sd:.3f}" if spread and cell.sd is not None else ""
    return f"{cell.mean:.3f}{sd}{_MARKS[cell.mark]}"


def _line(label: str, seeds: str, cells: Sequence[str]) -> str:
    return f"{label:<{_LABEL}}{seeds:<{_SEEDS}}{''.join(f' {cell:<{_CELL}}' for cell in cells)}".rstrip()


def _rule(heads: Sequence[Column]) -> str:
    return "-" * (_LABEL + _SEEDS + len(heads) * (_CELL + 1))


def _wrapped(words: str) -> str:
    return textwrap.fill(" ".join(words.split()), _WIDTH, subsequent_indent="  ")
