"""Notices about comparisons of scores: short runs, unequal rows, missing scores. They change no score."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from disbench.reports.records import Record, Trial
from disbench.reports.statistics import MIN_SEEDS
from disbench.reports.tables.columns import QUALITIES, Column
from disbench.reports.tables.table import Row, Table

LITERATURE_STEPS = 300_000  # Locatello et al. 2019 (arXiv:1811.12359): every model of their study
SHORT_STEPS = 100_000
# Hyperparameters of every method that no method is about.
SHARED = ("latent_dim", "lr", "network", "hidden_dim", "likelihood", "width_multiplier")
ENVIRONMENT = {
    "code": "versions of the code",
    "disbench": "versions of disbench",
    "torch": "versions of torch",
    "compiler": "compilers",
}


def short_runs(records: Iterable[Record]) -> str | None:
    """Write the notice that runs are short, or None if every trained one has 100,000 steps or more."""
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


def table_notices(
    rows: Sequence[Row], finished: Sequence[Record], heads: Sequence[Column], copies: int
) -> Iterable[str]:
    """Notices on one table with these trained rows; `finished` holds the records of all its finished trials."""
    yield from unequal(rows)
    if len({next(iter(record.views), "") for record in finished}) > 1:
        yield "The trials of this table score different views of their representation."
    if any("group" in record.views for record in finished):
        yield (
            "Two views: some methods are scored also by one number for each factor's group of latents, its first principal "
            "component. This group view must not be set beside another method's mean view without saying so; it is never marked."
        )
    for head in heads:
        asked = (record.metric_options[head.key] for record in finished if head.key in record.metric_options)
        variants = sorted(distinct(asked))
        if len(variants) > 1:
            yield f"{head.label} was scored under different options ({' and '.join(variants)}): not comparable."
    few = [row.label for row in rows if 0 < len(row.trials) < MIN_SEEDS]
    if few:
        yield (
            f"A row of fewer than {MIN_SEEDS} seeds has no interval, so it is neither called best nor tied with the best: "
            f"{'every row' if len(few) == len(rows) else ', '.join(few)}."
        )
    if copies:
        yield f"{copies} further {'copy' if copies == 1 else 'copies'} of a trial left out: each seed counts once."


def distinct(options: Iterable[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Different options, by their JSON."""
    # Equal options nearly always have an equal repr, which takes a tenth of the time of JSON.
    written = {repr(own): own for own in options}
    return {json.dumps(own, sort_keys=True): own for own in written.values()}


def unequal(rows: Sequence[Row]) -> Iterable[str]:
    """Notices on the trained rows of one table; none where the records show no difference."""
    finished = [record for row in rows for _, record in row.trials]
    trials = [row.trial for row in rows]
    if words := _span(trial.steps for trial in trials):
        yield (
            f"Unequal budgets: the rows of this table were trained for different numbers of steps ({words}), so ranks and "
            "marks compare unequal efforts."
        )
    if words := _span(trial.batch_size for trial in trials):
        yield f"Unequal batches: {words} images a step, so equal steps are not equal numbers of images."
    if words := _each(rows, "step", _batches):
        yield f"Unequal data: {words}."
    if words := _span(record.trial.rows for record in finished):
        yield f"Unequal samples: scores come from different numbers of rows ({words})."
    if words := _each(rows, "precision", lambda record: {"precision": record.trial.precision}):
        yield f"Unequal precision: {words}."
    for name in SHARED:
        if words := _each(rows, name, lambda record: record.trial.hparams):
            yield f"Unequal settings: {name} is {words}."
    if words := _span(len(row.trials) for row in rows if row.trials):
        yield f"Unequal seeds: rows have {words} of them; fewer seeds give wider intervals and later calls."
    tried = _tried(trials)
    if len(set(tried.values())) > 1:
        words = ", ".join(f"{method} {count}" for method, count in tried.items())
        yield (
            f"Unequal tuning: settings tried of each method: {words}. The best of several is flattered beside the only one "
            "of another; what was tuned elsewhere, records do not tell."
        )
    for name, what in ENVIRONMENT.items():
        if words := _each(rows, name, lambda record: record.environment):
            yield f"Different {what}: {words}."
    for metric in sorted({name for record in finished for name in record.metric_versions}):
        if words := _each(rows, metric, lambda record: record.metric_versions):
            yield f"Different versions of a metric: {metric} of version {words}. Run the suite again to score all with one."
    changed = sorted({row.label for row in rows if any(_changed(record) for _, record in row.trials)})
    if changed:
        yield f"Code with changes that no commit holds, which nobody else can check out: {_names(changed, rows)}."


def _span(values: Iterable[int]) -> str:
    """`500, 3,000` for several values, '' for one; only the first and the last of more than six."""
    found = sorted(set(values))
    if len(found) < 2:
        return ""
    return ", ".join(f"{value:,}" for value in found) if len(found) <= 6 else f"{found[0]:,} to {found[-1]:,}"


def _each(rows: Sequence[Row], name: str, of: Callable[[Record], Mapping[str, Any]]) -> str:
    """`32-true in vae, 16-mixed in 3 rows`: which rows have which value of a name; '' where no two recorded values differ."""
    holders: dict[str, list[str]] = {}
    for row in rows:
        for value in dict.fromkeys(str(of(r)[name]) for _, r in row.trials if of(r).get(name) is not None):
            holders.setdefault(value, []).append(row.label)
    if len(holders) < 2:
        return ""
    return ", ".join(f"{value} in {_names(labels, rows)}" for value, labels in holders.items())


def _names(labels: Sequence[str], rows: Sequence[Row]) -> str:
    if len(labels) == len(rows):
        return "every row"
    return ", ".join(labels) if len(labels) <= 3 else f"{len(labels)} rows"


def _batches(record: Record) -> dict[str, str]:
    """`2 batches a step`, under the key "step"; nothing where a record does not tell."""
    images = record.trial.steps * record.trial.batch_size
    if record.images_seen is None or not images:
        return {}
    count = round(record.images_seen / images)
    return {"step": f"{count} batch{'es' * (count != 1)} a step"}


def _tried(trials: Iterable[Trial]) -> dict[str, int]:
    """Count the sets of hyperparameters of each method."""
    found: dict[str, set[str]] = {}
    for trial in trials:
        found.setdefault(trial.method, set()).add(json.dumps(trial.hparams, sort_keys=True))
    return {method: len(settings) for method, settings in found.items()}


def _changed(record: Record) -> bool:
    return str(record.environment.get("code", "")).endswith("+changes")


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
        cells = [row.quality[key] for row in table.first_views]
        for reason in dict.fromkeys(reason for cell in cells for reason in cell.reasons.values()):
            yield quality.label, reason
