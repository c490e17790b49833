"""From records to tables: a table is a dataset, a row is a setting, a cell is a metric over the setting's seeds.

Rules, which the page also states:
- A *dataset* is its name, options, version and provenance, so official and procedural data never share a table.
- Each *evaluation* of a trial, a named selection of rows such as those held out of training, has a separate table.
- A *row* is identified by every field of the trial except the seed. A seed counts once, even if its record was copied.
- A row scores the first view of its representation. Each further view is a separate row with a separate floor and no marks,
  because scores of different views are not comparable.
- A row is named by its method and its unusual settings. A setting that a row leaves out is usual; if all rows set it, the value
  of more than half of them is usual.
- Spread is the sample standard deviation over seeds (n - 1 below the line); one seed has none.
- Only finished trials are averaged. A row shows how many of its seeds finished.
- Two rows are *tied* if Welch's 95 % interval of the difference of their means holds zero (`statistics.verdict`), which needs
  three seeds of each. `compare` uses the same rule.
- *Best* is the best mean among trained rows, if it has three seeds or more and a rival. Rivals tied with it are *within
  noise*.
"""

import json
import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from disbench.reports.records import Trial
from disbench.reports.records.collect import Found
from disbench.reports.statistics import MIN_SEEDS, difference, verdict
from disbench.reports.tables.columns import QUALITIES, Column, columns
from disbench.reports.tables.notices import table_notices
from disbench.reports.tables.table import Cell, Mark, Row, Table

UNTRAINED = "untrained encoder"


ALL = "all"  # the evaluation of a dataset without selections, which need not be named


def tables(found: Iterable[Found]) -> tuple[Table, ...]:
    """Tabulate records: one table per dataset and evaluation, one row per setting, one cell per metric.

    Parameters
    ----------
    found : iterable of (Path, Record)
        Trial folders and records, as `collect` finds them.

    Returns
    -------
    tuple of Table
        In order of the datasets' names.

    Examples
    --------
    >>> from pathlib import Path
    >>> from disbench.reports.records import Record, Trial, write_record
    >>> trial = Trial(method="vae", dataset="dsprites_like", dataset_version="1", seed=0, steps=100, batch_size=64)
    >>> record = Record(trial=trial, status="ok", views={"mean": {"mig": 0.25}})
    >>> path = write_record(record, Path("runs") / trial.id)
    >>> from disbench.reports.records.collect import collect
    >>> from disbench.reports.tables.aggregate import tables
    >>> [table] = tables(collect(Path("runs")).found)
    >>> table.dataset, [(row.label, row.cells["mig"].mean) for row in table.rows]
    ('dsprites_like', [('vae', 0.25)])
    """
    found = list(found)
    # A trial that failed before its dataset was opened belongs to the first evaluation of the others.
    first = {_dataset(record.trial): record.evaluation for _, record in found if record.status == "ok"}
    datasets: defaultdict[tuple[str, str, str, bool, str], list[Found]] = defaultdict(list)
    for folder, record in found:
        data = _dataset(record.trial)
        name = record.evaluation if record.status == "ok" else first.get(data, record.evaluation)
        datasets[*data, False, name].append((folder, record))
        for further in record.evaluations:
            datasets[*data, True, further].append((folder, record.evaluated(further)))
    groups: defaultdict[tuple[str, str, str, bool, str, str], list[Found]] = defaultdict(list)
    for dataset, own in datasets.items():
        known = {record.provenance for _, record in own if record.provenance is not None}
        for folder, record in own:
            # A trial that failed before its data was read has no provenance, so it belongs to the only table there is.
            adopted = next(iter(known)) if record.status == "failed" and len(known) == 1 else ""
            groups[(*dataset, record.provenance or adopted)].append((folder, record))
    return tuple(_table(groups[key], key[-1] or None, key[-2]) for key in sorted(groups))


def marks(cells: Sequence[Cell], higher_is_better: bool | None) -> list[Mark]:
    """Mark one metric's cells over the trained rows."""
    scored = [(cell, cell.mean) for cell in cells if cell.mean is not None]
    if higher_is_better is None or len(scored) < 2:
        return [""] * len(cells)
    best = (max if higher_is_better else min)(mean for _, mean in scored)
    leaders = [cell for cell, mean in scored if math.isclose(mean, best, abs_tol=1e-9) and cell.n >= MIN_SEEDS]
    if not leaders:
        return [""] * len(cells)
    return ["best" if cell in leaders else "noise" if tied(cell, leaders[0]) else "" for cell in cells]


def tied(one: Cell, other: Cell) -> bool:
    """Tell whether Welch's 95 % interval of the difference of two means holds zero; False if there are too few seeds."""
    return bool(one.n and other.n) and verdict(difference(one.scores, other.scores), True) == "tie"


def _dataset(trial: Trial) -> tuple[str, str, str]:
    return trial.dataset, json.dumps(trial.dataset_options, sort_keys=True), trial.dataset_version


def setting_of(trial: Trial) -> str:
    """Identify a row, as JSON: every field of the trial except its data and seed."""
    own = trial.model_dump(mode="json", exclude={"seed", "dataset", "dataset_options", "dataset_version"})
    return json.dumps(own, sort_keys=True)


def settings_of(trial: Trial) -> dict[str, Any]:
    """List what distinguishes the rows of one method: hyperparameters and the fields that are neither data nor seed."""
    own = trial.model_dump(include={"method_version", "steps", "batch_size", "precision", "rows"})
    return {**trial.hparams, **own}


def _by_use(pair: Found) -> tuple[bool, bool, tuple[str, ...]]:
    """Sort key of the records of one trial, whose first is shown: finished ones first, then those of the current schema."""
    folder, record = pair
    return record.status != "ok", record.migrated_from is not None, folder.parts


def _table(group: list[Found], provenance: str | None, evaluation: str) -> Table:
    # Paths are compared part by part in Python; their parts are not.
    kept: dict[tuple[str, int], Found] = {}
    for folder, record in sorted(group, key=_by_use):
        kept.setdefault((setting_of(record.trial), record.trial.seed), (folder, record))
    by_setting: defaultdict[str, list[Found]] = defaultdict(list)
    for (own, _), pair in sorted(kept.items(), key=lambda item: (item[0][1], item[1][0].parts)):
        by_setting[own].append(pair)
    finished = [record for _, record in kept.values() if record.status == "ok"]
    heads = columns(
        {key for record in finished for key in (*record.scores, *record.skipped)},
        [record.metric_options for record in finished],
    )
    rows = [_row(pairs, heads) for pairs in by_setting.values()]
    rows.sort(key=lambda row: (row.trial.method, json.dumps(settings_of(row.trial), sort_keys=True)))
    trained = _labelled([row for row in rows if row.trial.steps])
    untrained = _labelled([row for row in rows if not row.trial.steps])
    further = tuple(_further((*trained, *untrained), heads))
    return Table(
        dataset=group[0][1].trial.dataset,
        options=group[0][1].trial.dataset_options | ({} if evaluation == ALL else {"evaluation": evaluation}),
        version=group[0][1].trial.dataset_version,
        provenance=provenance,
        factors=next(
            (tuple(zip(r.factor_names, r.factor_sizes, strict=False)) for r in finished if r.factor_names), ()
        ),
        columns=heads,
        rows=_marked(trained, heads, untrained),
        untrained=tuple(untrained),
        further=further,
        further_floors={
            view: {
                head.key: _reference(
                    [r.further_views[view].floor for r in finished if view in r.further_views], head.key
                )
                for head in heads
            }
            for view in dict.fromkeys(row.view for row in further)
        },
        floor={head.key: _reference([record.floor for record in finished], head.key) for head in heads},
        ceiling={head.key: _reference([record.ceiling for record in finished], head.key) for head in heads},
        failed=tuple(pair for pair in sorted(kept.values(), key=lambda pair: pair[0]) if pair[1].status == "failed"),
        notices=tuple(table_notices(trained, finished, heads, len(group) - len(kept))),
    )


def _row(pairs: list[Found], heads: Sequence[Column]) -> Row:
    finished = tuple(pair for pair in pairs if pair[1].status == "ok")
    failed = tuple(pair for pair in pairs if pair[1].status == "failed")
    cells = {head.key: _cell([(r.trial.seed, r.scores, r.skipped) for _, r in finished], head.key) for head in heads}
    quality = {
        key: _cell([(r.trial.seed, r.reconstruction, r.reconstruction_skipped) for _, r in finished], key)
        for key in QUALITIES
    }
    view = next((view for _, record in finished for view in record.views), "mean")
    trial = pairs[0][1].trial
    return Row(trial.method, trial, finished, failed, cells, view=view, quality=quality)


def _further(rows: Iterable[Row], heads: Sequence[Column]) -> Iterable[Row]:
    """Make a row for each further view of a row's trials; a seed without it has the reason in every cell."""
    for row in rows:
        for view in dict.fromkeys(name for _, record in row.trials for name in list(record.views)[1:]):
            scored = [
                (
                    record.trial.seed,
                    record.views.get(view, {}),
                    record.further_views[view].skipped
                    if view in record.further_views
                    else {head.key: record.missing_views.get(view, f"not scored in the {view} view") for head in heads},
                )
                for _, record in row.trials
            ]
            cells = {head.key: _cell(scored, head.key) for head in heads}
            yield replace(row, label=f"{row.label}, {view} view", of_row=row.label, cells=cells, view=view, quality={})


def _cell(scored: Iterable[tuple[int, dict[str, float], dict[str, str]]], key: str) -> Cell:
    """One metric's cell from each trial's seed, scores and reasons for scores that are absent."""
    values, reasons = {}, {}
    for seed, scores, skipped in scored:
        score = scores.get(key)
        if score is not None and math.isfinite(score):
            values[seed] = score
        else:
            absent = "not asked for in this trial" if score is None else f"the score is {score}"
            reasons[seed] = skipped.get(key, absent)
    return Cell(values, reasons)


def _reference(references: Sequence[dict[str, float]], key: str) -> Cell:
    values = {i: scores[key] for i, scores in enumerate(references) if math.isfinite(scores.get(key, math.nan))}
    return Cell(values)


def _labelled(rows: Sequence[Row]) -> list[Row]:
    """Rows named by method and unusual settings, those with the fewest unusual settings first."""
    labelled = []
    settings = [(row.trial.method, settings_of(row.trial)) for row in rows]
    usual: dict[str, dict[str, str | None]] = {}
    for name in {method for method, _ in settings}:
        siblings = [own for method, own in settings if method == name]
        usual[name] = {
            key: _usual([other.get(key, "default") for other in siblings])
            for key in sorted({key for other in siblings for key in other})
        }
    for row, (method, mine) in zip(rows, settings, strict=True):
        departures = [
            f"{name}={mine.get(name, 'default')}"
            for name, value in usual[method].items()
            if json.dumps(mine.get(name, "default")) != value
        ]
        label = row.trial.method
        if not row.trial.steps:
            several = len({other.trial.method for other in rows}) > 1
            label = f"{UNTRAINED}, {label}" if several else UNTRAINED
        named = f"{label} ({', '.join(departures)})" if departures else label
        labelled.append((len(departures), replace(row, label=named)))
    return [row for _, row in sorted(labelled, key=lambda pair: (pair[1].trial.method, pair[0]))]


def _usual(values: Sequence[Any]) -> str | None:
    """Find the usual value as JSON: 'default' if a row has it, otherwise the value of more than half of the rows, or None."""
    counts = Counter(json.dumps(value) for value in values)
    value, count = counts.most_common(1)[0]
    if (default := json.dumps("default")) in counts:
        return default
    return value if 2 * count > len(values) else None


def _marked(rows: Sequence[Row], heads: Sequence[Column], untrained: Sequence[Row]) -> tuple[Row, ...]:
    cells: list[dict[str, Cell]] = [{} for _ in rows]
    for head in heads:
        for sees in dict.fromkeys(row.sees for row in rows):
            places = [place for place, row in enumerate(rows) if row.sees == sees]
            column = [rows[place].cells[head.key] for place in places]
            for place, cell, mark in zip(places, column, marks(column, head.higher_is_better), strict=True):
                cells[place][head.key] = replace(cell, mark=mark)
    return tuple(
        replace(row, cells=own, below_untrained=_below_untrained(row, untrained))
        for row, own in zip(rows, cells, strict=True)
    )


def _below_untrained(row: Row, untrained: Sequence[Row]) -> bool:
    """Whether a row's MIG is not above that of its method untrained, or of the best untrained encoder if there is none."""
    own = [other for other in untrained if other.trial.method == row.trial.method] or untrained
    references = [cell for cell in (other.cells.get("mig", Cell()) for other in own) if cell.mean is not None]
    cell = row.cells.get("mig", Cell())
    if cell.mean is None or not references:
        return False
    reference = max(references, key=lambda other: other.mean or 0.0)
    return cell.mean <= (reference.mean or 0.0) or tied(cell, reference)
