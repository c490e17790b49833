"""Criteria of model selection, computed from the trials of a study that still have their codes.

Without labels: UDR (Duan et al. 2020) and seed consistency among the seeds of a setting, the loss of reconstructions, the
evidence lower bound, and scores that a method computes itself, such as the straight-through gap. With few labels: the score of
some labeled rows (Locatello et al. 2020, arXiv:1905.01258v2, section 3).
"""

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from disbench.benchmarks.trials.encode import NamedTable, read_codes
from disbench.benchmarks.trials.existing import CODES
from disbench.datasets.storage.hdf5 import open_hdf5
from disbench.metrics import METRICS, NotApplicable, seed_consistency, udr
from disbench.reports.comparison.selection import Candidate, SelectionOfDataset, picks
from disbench.reports.records import Record
from disbench.reports.records.collect import whole
from disbench.reports.records.record import NONE
from disbench.reports.tables.table import Row, Table

log = logging.getLogger(__name__)
INFORMATIVE = 0.01  # nats of a code's KL divergence from the prior, Duan et al. 2020
LAST = 0.1  # of a training whose losses are averaged
LOWER_IS_BETTER = {"straight_through_gap"}  # of scores that methods compute themselves


def selection_of(
    table: Table, metrics: Sequence[str], labels: Sequence[int], draws: int, seed: int
) -> SelectionOfDataset | None:
    """Compute the criteria of a dataset's trials that see no labels, and let them choose; None with fewer than two trials."""
    missing: dict[str, str] = {}
    settings = [(row, [found for found in row.trials if unsupervised(found[1])]) for row in table.rows]
    settings = [(row, trials) for row, trials in settings if trials]
    if sum(len(trials) for _, trials in settings) < 2:
        return None
    codes = _codes([found for _, trials in settings for found in trials], missing)
    candidates = [candidate for row, trials in settings for candidate in _of_setting(row, trials, codes, metrics)]
    if codes:
        _by_labels(candidates, codes, settings, metrics, labels, draws, seed)
    directions = {name: METRICS[name].higher_is_better is not False for name in metrics}
    dataset, options, *_ = table.key
    return SelectionOfDataset(
        dataset=dataset,
        options=options,
        candidates=candidates,
        missing=missing,
        picks=picks(candidates, directions, labels, seed),
    )


def unsupervised(record: Record) -> bool:
    """Whether a trial's method sees images alone."""
    return record.supervision == NONE


def _codes(found: Sequence[tuple[Path, Record]], missing: dict[str, str]) -> dict[str, NamedTable]:
    """The codes of every trial by its id, if all trials have codes of the same rows; else nothing, and the reason."""
    tables: dict[str, NamedTable] = {}
    rows: NDArray[Any] | None = None
    try:
        for folder, record in found:
            tables[record.trial.id] = read_codes(folder / CODES, record.trial)
            with open_hdf5(folder / CODES) as file:
                own = file["rows"][()] if "rows" in file else np.arange(len(tables[record.trial.id].codes))
            if rows is not None and not np.array_equal(rows, own):
                raise ValueError(f"{folder / CODES} holds codes of other rows than the first trial.")
            rows = own
    except (OSError, ValueError) as error:
        missing["codes"] = (
            f"UDR, seed consistency, the lower bound and selection by labels need the codes of every trial: {error} Run the "
            "study again in this folder; finished trials with codes are kept."
        )
        return {}
    return tables


def _of_setting(
    row: Row, trials: Sequence[tuple[Path, Record]], codes: dict[str, NamedTable], metrics: Sequence[str]
) -> Iterator[Candidate]:
    """The trials of a setting with the criteria that need no labels."""
    agreement: dict[str, list[float]] = {}
    if codes and len(trials) > 1:
        own = [codes[record.trial.id] for _, record in trials]
        masks = [_informative(table) for table in own]
        given = None if any(mask is None for mask in masks) else [mask for mask in masks if mask is not None]
        views = [table.codes for table in own]
        agreement["udr"] = udr(views, informative=given)
        agreement["seed_consistency"] = seed_consistency(views, informative=given)
    for place, (folder, summary) in enumerate(trials):
        record = whole(folder, summary)
        criteria = {name: [values[place]] for name, values in agreement.items()}
        for name, value in record.selection_scores.items():
            criteria[name] = [-value if name in LOWER_IS_BETTER else value]
        if (loss := _last(record.curves.get("reconstruction", []))) is not None:
            criteria["reconstruction"] = [-loss]
            kl = _kl(codes[record.trial.id]) if codes else None
            if kl is not None:
                criteria["elbo"] = [-loss - float(kl.sum())]
        scores = {name: record.scores[name] for name in metrics if name in record.scores}
        yield Candidate(
            trial=record.trial.id, setting=row.label, seed=record.trial.seed, scores=scores, criteria=criteria
        )


def _last(curve: Sequence[Sequence[float]]) -> float | None:
    """The mean of a curve's [step, value] over the last tenth of the training."""
    if not curve:
        return None
    end = curve[-1][0]
    return float(np.mean([value for step, value in curve if step >= (1 - LAST) * end]))


def _kl(table: NamedTable) -> NDArray[np.float64] | None:
    """KL divergence of each code (D,) from the prior, mean over rows, in nats; None without deviations."""
    if table.codes_std is None:
        return None
    mean, deviation = np.asarray(table.codes, dtype=np.float64), np.asarray(table.codes_std, dtype=np.float64)
    return np.asarray((0.5 * (mean**2 + deviation**2 - 1) - np.log(deviation)).mean(axis=0))


def _informative(table: NamedTable) -> NDArray[np.bool_] | None:
    kl = _kl(table)
    return None if kl is None else kl > INFORMATIVE


def _by_labels(
    candidates: Sequence[Candidate],
    codes: dict[str, NamedTable],
    settings: Sequence[tuple[Row, Sequence[tuple[Path, Record]]]],
    metrics: Sequence[str],
    labels: Sequence[int],
    draws: int,
    seed: int,
) -> None:
    """Add to candidates the scores of `draws` draws of labeled rows, which are the same rows for all trials."""
    options = {record.trial.id: record.metric_options for _, trials in settings for _, record in trials}
    rows = len(next(iter(codes.values())).codes)
    for count in labels:
        if count > rows:
            log.warning("%d labels are more than the %d scored rows, so they are left out.", count, rows)
            continue
        chosen = [
            np.random.default_rng([seed, count, draw]).choice(rows, count, replace=False) for draw in range(draws)
        ]
        log.info("selection by %d labels: %d trials, %d draws", count, len(candidates), draws)
        for each in candidates:
            table = codes[each.trial]
            for name in metrics:
                metric, own = METRICS[name], options[each.trial].get(name, {})
                sign = 1.0 if metric.higher_is_better is not False else -1.0
                try:
                    found = [sign * float(metric(table.codes[some], table.factors[some], **own)) for some in chosen]
                except NotApplicable as error:
                    log.warning("%s of %d labels is not applicable: %s", name, count, error)
                    continue
                each.criteria[f"{count} labels {name}"] = found
