"""Data frames of scores: every score of every seed (`score_frame`), and the leaderboard made from it.

Datasets of different provenance are never averaged or ranked together. Where compared settings were trained for different
numbers of steps on a dataset, `budgets_differ` is True and the note says so. Only trained rows are ranked. A metric that this
installation does not know has no direction, so its rows have numbers but no rank.
"""

import json
import math
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import pandas as pd

from disbench.reports import statistics
from disbench.reports.statistics import Array
from disbench.reports.tables.aggregate import setting_of
from disbench.reports.tables.columns import column
from disbench.reports.tables.table import DATA, Table

SCORES = [
    *(*DATA, "view", "method", "setting", "trained", "steps", "sees"),
    *("seed", "metric", "score", "failed", "reason", "mark"),
]
SCORE_CURVES = [*DATA, "method", "trial", "seed", "rows", "metric", "step", "score"]
LINE = ["seed", "score", "failed", "reason"]  # of SCORES, those that differ within a cell
LEADERBOARD = [
    *(
        *DATA,
        "view",
        "method",
        "trained",
        "steps",
        "sees",
        "budgets_differ",
        "metric",
        "direction",
        "seeds",
        "failed",
        "n",
    ),
    *("mean", "sd", "iqm", "low", "high", "rank", "rank_low", "rank_high", "place", "tied_with", "mark", "note"),
]
BUDGETS = "trained for different numbers of steps"
UNKNOWN_DIRECTION = "direction unknown"
Key = TypeVar("Key", bound=Hashable)


@dataclass(frozen=True)
class Cells:
    """Hold the lines of a score frame for one setting and metric: `scores` (n,) without missing ones, `seeds` lines in total."""

    data: tuple[str, ...]
    view: str
    metric: str
    method: str
    setting: str
    trained: bool
    steps: int
    sees: str
    mark: str
    scores: Array
    seeds: int
    failed: int
    reasons: tuple[str, ...]


def score_frame(tables: Iterable[Table]) -> pd.DataFrame:
    """Make a data frame of every score: a row for each dataset, view, setting, metric and seed.

    Parameters
    ----------
    tables : iterable of Table
        As `tables` makes them.

    Returns
    -------
    DataFrame
        `SCORES` names the columns. `method` is the row's label on the page; `setting` (JSON) identifies the row, equal across
        datasets; `options` (JSON) are those of the dataset; `mark` is the cell's. A trial that failed or skipped a metric has a
        row with a NaN and a `reason`.

    Examples
    --------
    >>> from disbench.reports.comparison import score_frame
    >>> from pathlib import Path
    >>> from disbench.reports.records import Record, Trial, write_record
    >>> trial = Trial(method="vae", dataset="dsprites_like", dataset_version="1", seed=0, steps=100, batch_size=64)
    >>> record = Record(trial=trial, status="ok", views={"mean": {"mig": 0.25}})
    >>> path = write_record(record, Path("runs") / trial.id)
    >>> from disbench.reports.records.collect import collect
    >>> from disbench.reports.tables.aggregate import tables
    >>> score_frame(tables(collect(Path("runs")).found))[["method", "metric", "score"]].values.tolist()
    [['vae', 'mig', 0.25]]
    """
    cells: list[tuple[Any, ...]] = []
    counts: list[int] = []
    lines: list[tuple[int, float, bool, str]] = []
    for table in tables:
        for row in (*table.rows, *table.further, *table.untrained):
            label = row.of_row or row.label
            setting = (
                *table.key,
                row.view,
                label,
                setting_of(row.trial),
                row.trial.steps > 0,
                row.trial.steps,
                row.sees,
            )
            seeds = [record.trial.seed for _, record in row.failed]
            failed = {seed: (seed, math.nan, True, f"seed {seed} failed") for seed in seeds}
            for head in table.columns:
                cell = row.cells[head.key]
                told = {seed: (seed, score, False, "") for seed, score in cell.values.items()}
                told |= {seed: (seed, math.nan, False, reason) for seed, reason in cell.reasons.items()}
                told |= failed
                cells.append((*setting, head.key, cell.mark))
                counts.append(len(told))
                lines += [line for _, line in sorted(told.items())]
    # The values that a cell's lines share are written once and repeated as a whole: there may be a hundred lines.
    shared = pd.DataFrame(cells, columns=[name for name in SCORES if name not in LINE])
    found = shared.take(np.repeat(np.arange(len(cells)), counts)).reset_index(drop=True)
    found[LINE] = pd.DataFrame(lines, columns=LINE)
    # Without rows the columns would have no type, and masks of such columns select wrongly.
    return found[SCORES].astype({"trained": bool, "failed": bool})


def score_curve_frame(tables: Iterable[Table]) -> pd.DataFrame:
    """Make a data frame of the scores during training: a row for each trial, metric and step.

    Parameters
    ----------
    tables : iterable of Table
        As `tables` makes them.

    Returns
    -------
    DataFrame
        `SCORE_CURVES` names the columns. `rows` is the number of training images that were scored. Trials without such
        scores have no row.

    Examples
    --------
    >>> from disbench.reports.comparison.frames import score_curve_frame
    >>> from pathlib import Path
    >>> from disbench.reports.records import Record, Trial, write_record
    >>> trial = Trial(method="vae", dataset="dsprites_like", dataset_version="1", seed=0, steps=100, batch_size=64)
    >>> record = Record(trial=trial, status="ok", views={"mean": {"mig": 0.25}}, score_curves={"mig": [(50, 0.2), (100, 0.3)]})
    >>> path = write_record(record, Path("curves") / trial.id)
    >>> from disbench.reports.records.collect import collect
    >>> from disbench.reports.tables.aggregate import tables
    >>> score_curve_frame(tables(collect(Path("curves")).found))[["seed", "metric", "step", "score"]].values.tolist()
    [[0, 'mig', 50, 0.2], [0, 'mig', 100, 0.3]]
    """
    lines = [
        (
            *table.key,
            row.label,
            record.trial.id,
            record.trial.seed,
            record.score_curve_settings.get("rows"),
            metric,
            step,
            score,
        )
        for table in tables
        for row in (*table.rows, *table.untrained)
        for _, record in row.trials
        for metric, points in record.score_curves.items()
        for step, score in points
    ]
    return pd.DataFrame(lines, columns=SCORE_CURVES)


def leaderboard(scores: pd.DataFrame, *, seed: int = 0, resamples: int = statistics.RESAMPLES) -> pd.DataFrame:
    """Make a data frame of the leaderboard: a row for each dataset, view, method and metric.

    Parameters
    ----------
    scores : DataFrame
        As `score_frame` makes it.
    seed : int, default 0
        Seed of the bootstrap.
    resamples : int, default 2,000
        Number of resamples of the bootstrap.

    Returns
    -------
    DataFrame
        `LEADERBOARD` names the columns. `seeds` counts the trials, `failed` those that failed, `n` the scores behind `mean`, `sd`
        (n - 1), `iqm` and its 95 % bootstrap interval `low` to `high`. `rank` to `tied_with` are those of `statistics.ranking`,
        over the trained rows that see the same (`sees`); `mark`, "best" or "noise" (within noise of the best), is that of the
        page.

    Examples
    --------
    >>> from disbench.reports.comparison import leaderboard, score_frame
    >>> from pathlib import Path
    >>> from disbench.reports.records import Record, Trial, write_record
    >>> trial = Trial(method="vae", dataset="dsprites_like", dataset_version="1", seed=0, steps=100, batch_size=64)
    >>> record = Record(trial=trial, status="ok", views={"mean": {"mig": 0.25}})
    >>> path = write_record(record, Path("runs") / trial.id)
    >>> from disbench.reports.records.collect import collect
    >>> from disbench.reports.tables.aggregate import tables
    >>> leaderboard(score_frame(tables(collect(Path("runs")).found)))[["method", "metric", "mean", "n"]].values.tolist()
    [['vae', 'mig', 0.25, 1]]
    """
    found = []
    for (data, view, metric), group in by(cells_of(scores), lambda cell: (cell.data, cell.view, cell.metric)).items():
        higher = column(metric).higher_is_better
        trained = [cell for cell in group if cell.trained]
        budgets_differ = len({cell.steps for cell in trained}) > 1
        ranked = {cell.method for cell in trained}
        standing: dict[Hashable, dict[Any, Any]] = {}
        for rivals in by(trained, lambda cell: cell.sees).values() if higher is not None else ():
            pools = {method: pooled(own) for method, own in by(rivals, lambda cell: cell.method).items()}
            ranking = statistics.ranking(pools, bool(higher), seed=seed, resamples=resamples)
            standing |= ranking.drop(columns="note").to_dict("index")
        for method, cells in by(group, lambda cell: cell.method).items():
            own = pooled(cells)
            line: dict[str, Any] = dict(zip([*DATA, "view"], [*data, view], strict=True))
            line |= {"method": method, "trained": method in ranked, "steps": cells[0].steps}
            line["sees"] = cells[0].sees
            line |= {"budgets_differ": budgets_differ, "metric": metric, "direction": column(metric).direction}
            line |= {"seeds": sum(cell.seeds for cell in cells), "failed": sum(cell.failed for cell in cells)}
            line |= {"n": len(own), "tied_with": (), "mark": cells[0].mark}
            notes = [*dict.fromkeys(reason for cell in cells for reason in cell.reasons)]
            if len(own):
                estimate = statistics.interquartile_mean([own], seed=seed, resamples=resamples)
                line |= {"mean": own.mean(), "sd": own.std(ddof=1) if len(own) > 1 else None}
                line |= {"iqm": estimate.value, "low": estimate.low, "high": estimate.high}
                notes.append(estimate.note)
            line |= standing.get(method, {})
            if method in ranked:
                notes += [BUDGETS] * budgets_differ
            notes += [UNKNOWN_DIRECTION] * (higher is None)
            found.append(line | {"note": "; ".join(filter(None, notes))})
    frame = pd.DataFrame(found, columns=LEADERBOARD)
    numbers = ["mean", "sd", "iqm", "low", "high", "rank", "rank_low", "rank_high", "place"]
    return frame.astype(dict.fromkeys(numbers, "float64"))


def first_views(scores: pd.DataFrame) -> pd.DataFrame:
    """Select the scores of each dataset's first view."""
    return scores[scores["view"] == scores.groupby(DATA, sort=False)["view"].transform("first")]


def settings_in(setting: str) -> dict[str, Any]:
    """List the fields of a `setting`, hyperparameters among them."""
    fields = json.loads(setting)
    return {**fields.pop("hparams"), **fields}


def cells_of(scores: pd.DataFrame) -> list[Cells]:
    """Split a frame into its cells, in the order of their first lines."""
    if scores.empty:
        return []
    key = [*DATA, "view", "metric", "method", "setting"]
    number = scores.groupby(key, sort=False).ngroup().to_numpy()  # (lines,): the cell of each
    order = np.argsort(number, kind="stable")
    places = np.split(order, np.flatnonzero(np.diff(number[order])) + 1)
    values, failed, reasons = (scores[name].to_numpy() for name in ("score", "failed", "reason"))
    firsts = scores.iloc[[own[0] for own in places]][[*key, "trained", "steps", "sees", "mark"]]
    found = []
    for own, (*data, view, metric, method, setting, trained, steps, sees, mark) in zip(
        places, firsts.itertuples(index=False, name=None), strict=True
    ):
        scored = values[own].astype(np.float64)
        cell = tuple(data), view, metric, method, setting, trained, steps, sees, mark
        lines = scored[~np.isnan(scored)], len(own), int(failed[own].sum()), tuple(dict.fromkeys(reasons[own]))
        found.append(Cells(*cell, *lines))
    return found


def by(cells: Iterable[Cells], key: Callable[[Cells], Key]) -> dict[Key, list[Cells]]:
    """Group cells by a key, in order of appearance."""
    found: dict[Key, list[Cells]] = {}
    for cell in cells:
        found.setdefault(key(cell), []).append(cell)
    return found


def pooled(cells: Sequence[Cells]) -> Array:
    """Join the scores of cells."""
    return np.concatenate([cell.scores for cell in cells])
