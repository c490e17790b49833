"""What was not equal between the rows of a table, as far as records tell: a reader must know it before comparing them.

Nothing here changes a score. Each notice says what differed and why it matters.
"""

import json
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

from disbench.reports.records import Record, Trial

Entrant = tuple[str, Trial, Sequence[Record]]  # a row's label, its first trial, its finished records
SHARED = ("latent_dim", "lr", "network", "hidden_dim")  # what every method of the suite has, and no method is about


def unequal(rows: Sequence[Entrant]) -> Iterable[str]:
    """Notices on the trained rows of one table; none where the records show no difference."""
    finished = [record for _, _, records in rows for record in records]
    trials = [trial for _, trial, _ in rows]
    if words := _span(trial.steps for trial in trials):
        yield (
            f"Unequal budgets: the rows of this table were trained for different numbers of steps ({words}), so ranks and "
            "marks compare unequal efforts."
        )
    if words := _span(trial.batch_size for trial in trials):
        yield f"Unequal batches: {words} images a step, so equal steps are not equal numbers of images."
    if words := _per_step(rows):
        yield f"Unequal data: {words}."
    if words := _span(record.trial.rows for record in finished):
        yield f"Unequal samples: scores come from different numbers of rows ({words})."
    if words := _each(rows, lambda record: record.trial.precision):
        yield f"Unequal precision: {words}."
    for name in SHARED:
        if words := _each(rows, partial(_setting, name)):
            yield f"Unequal settings: {name} is {words}."
    counts = {label: len(records) for label, _, records in rows if records}
    if words := _span(counts.values()):
        yield f"Unequal seeds: rows have {words} of them; fewer seeds give wider intervals and later calls."
    tried = _tried(trials)
    if len(set(tried.values())) > 1:
        words = ", ".join(f"{method} {count}" for method, count in tried.items())
        yield (
            f"Unequal tuning: settings tried of each method: {words}. The best of several is flattered beside the only one "
            "of another; what was tuned elsewhere, records do not tell."
        )
    for name, what in (
        ("code", "versions of the code"),
        ("disbench", "versions of disbench"),
        ("torch", "versions of torch"),
        ("compiler", "compilers"),
    ):
        if words := _each(rows, partial(_environment, name)):
            yield f"Different {what}: {words}."
    for metric in sorted({name for record in finished for name in record.metric_versions}):
        if words := _each(rows, partial(_metric_version, metric)):
            yield f"Different versions of a metric: {metric} of version {words}. Run the suite again to score all with one."
    changed = sorted({label for label, _, records in rows if any(_changed(record) for record in records)})
    if changed:
        yield f"Code with changes that no commit holds, which nobody else can check out: {_names(changed, rows)}."


def _span(values: Iterable[int]) -> str:
    """`500, 3,000` of several values, '' of one; the first and last of more than six."""
    found = sorted(set(values))
    if len(found) < 2:
        return ""
    return ", ".join(f"{value:,}" for value in found) if len(found) <= 6 else f"{found[0]:,} to {found[-1]:,}"


def _each(rows: Sequence[Entrant], of: Callable[[Record], Any]) -> str:
    """`32-true in vae, 16-mixed in 3 rows`: which rows have which value; '' where all that say anything say the same."""
    holders: dict[str, list[str]] = {}
    for label, _, records in rows:
        for value in dict.fromkeys(str(of(record)) for record in records if of(record) is not None):
            holders.setdefault(value, []).append(label)
    if len(holders) < 2:
        return ""
    return ", ".join(f"{value} in {_names(labels, rows)}" for value, labels in holders.items())


def _names(labels: Sequence[str], rows: Sequence[Entrant]) -> str:
    if len(labels) == len(rows):
        return "every row"
    return ", ".join(labels) if len(labels) <= 3 else f"{len(labels)} rows"


def _setting(name: str, record: Record) -> Any:
    return record.trial.hparams.get(name)


def _metric_version(metric: str, record: Record) -> Any:
    return record.metric_versions.get(metric)


def _environment(name: str, record: Record) -> Any:
    return record.environment.get(name)


def _per_step(rows: Sequence[Entrant]) -> str:
    """Which methods saw how many batches a step, where that differs: some need a second one."""
    holders: dict[int, list[str]] = {}
    for label, trial, records in rows:
        images = trial.steps * trial.batch_size
        seen = {round(record.images_seen / images) for record in records if record.images_seen is not None and images}
        for batches in seen:
            holders.setdefault(batches, []).append(label)
    if len(holders) < 2:
        return ""
    words = [f"{n} batch{'es' * (n != 1)} a step in {_names(labels, rows)}" for n, labels in sorted(holders.items())]
    return ", ".join(words)


def _tried(trials: Iterable[Trial]) -> dict[str, int]:
    """{method: how many sets of hyperparameters}."""
    found: dict[str, set[str]] = {}
    for trial in trials:
        found.setdefault(trial.method, set()).add(json.dumps(trial.hparams, sort_keys=True))
    return {method: len(settings) for method, settings in found.items()}


def _changed(record: Record) -> bool:
    return str(record.environment.get("code", "")).endswith("+changes")
