"""What a page must say about its own runs before anybody reads a score."""

from collections.abc import Iterable

from disbench.reports.records import Record
from disbench.reports.tables.aggregate import Table
from disbench.reports.tables.columns import QUALITIES

LITERATURE_STEPS = 300_000  # Locatello et al. 2019 (arXiv:1811.12359): every model of their study
SHORT_STEPS = 100_000


def short_runs(records: Iterable[Record]) -> str | None:
    """The notice that runs are short, or None where every trained one has 100,000 steps or more."""
    steps = sorted({record.trial.steps for record in records if record.status == "ok" and record.trial.steps})
    short = [count for count in steps if count < SHORT_STEPS]
    if not short:
        return None
    span = f"{short[0]:,}" if len(short) == 1 else f"{short[0]:,} to {short[-1]:,}"
    whole = "These" if len(short) == len(steps) else "Some of these"
    return (
        f"{whole} are short runs: they show that the path works, not who wins. They were trained for {span} steps; the "
        f"literature trains for {LITERATURE_STEPS:,}."
    )


def skipped(table: Table) -> Iterable[tuple[str, str, str]]:
    """Why cells have no score: (metric label, row labels or 'every row', reason), once for each reason."""
    rows = [row for row in (*table.rows, *table.untrained, *table.further) if row.trials]
    for head in table.columns:
        reasons: dict[str, list[str]] = {}
        for row in rows:
            cell = row.cells[head.key]
            for reason in dict.fromkeys(cell.reasons.values()):
                seeds = [f"seed {seed}" for seed, given in cell.reasons.items() if given == reason] if cell.n else []
                reasons.setdefault(reason, []).append(" ".join([row.label, *seeds]))
        for reason, labels in reasons.items():
            yield head.label, "every row" if labels == [row.label for row in rows] else ", ".join(labels), reason


def without_quality(table: Table) -> Iterable[tuple[str, str]]:
    """Why rows lack a measure of reconstructions: (label, reason), once for each reason."""
    for key, quality in QUALITIES.items():
        cells = [row.quality[key] for row in (*table.rows, *table.untrained)]
        for reason in dict.fromkeys(reason for cell in cells for reason in cell.reasons.values()):
            yield quality.label, reason
