"""Two methods compared on every dataset, view and metric that both have."""

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from disbench.reports import statistics
from disbench.reports.comparison.frames import BUDGETS, UNKNOWN_DIRECTION, settings_in
from disbench.reports.statistics import Array
from disbench.reports.tables.columns import column
from disbench.reports.tables.table import DATA

COMPARISON = [
    *(*DATA, "view", "metric", "direction", "n_one", "mean_one", "n_other", "mean_other", "difference", "low", "high"),
    *("improvement", "improvement_low", "improvement_high", "verdict", "budgets_differ", "note"),
]


def compare(
    scores: pd.DataFrame, one: str, other: str, *, seed: int = 0, resamples: int = statistics.RESAMPLES
) -> pd.DataFrame:
    """Compare two methods on every dataset, view and metric that both have.

    Parameters
    ----------
    scores : DataFrame
        As `score_frame` makes it.
    one, other : str
        Labels as on the page, such as "beta_vae (beta=4)".
    seed : int, default 0
        Seed of the bootstrap.
    resamples : int, default 2,000
        Number of resamples of the bootstrap.

    Returns
    -------
    DataFrame
        `COMPARISON` names the columns. `difference` is the mean of `one` minus the mean of `other`, with Welch's 95 % interval;
        `improvement` is the probability that a seed of `one` is better than a seed of `other`; `verdict` is "better", "worse",
        "tie" or "unknown".

    Raises
    ------
    ValueError
        If a method is unknown, a label fits several rows of a dataset, or both labels are of the same row.

    Examples
    --------
    >>> from pathlib import Path
    >>> from disbench.reports.comparison import compare, score_frame
    >>> from disbench.reports.records import Record, Trial
    >>> from disbench.reports.tables.aggregate import tables
    >>> data = {"dataset": "dsprites_like", "dataset_version": "1", "steps": 100, "batch_size": 64}
    >>> found = [
    ...     (Path(f"{method}{seed}"), Record(trial=trial, status="ok", views={"mean": {"mig": score + 0.01 * seed}}))
    ...     for method, score in {"vae": 0.1, "factor_vae": 0.3}.items()
    ...     for seed in range(3)
    ...     for trial in [Trial(method=method, seed=seed, **data)]
    ... ]
    >>> compared = compare(score_frame(tables(found)), "factor_vae", "vae")
    >>> compared[["metric", "verdict"]].values.tolist(), f"{compared['difference'][0]:.2f}"
    ([['mig', 'better']], '0.20')
    """
    found = []
    settings: dict[str, list[str]] = {one: [], other: []}
    for key, group in scores.groupby(DATA, sort=False):
        sides = [_named(group, words) for words in (one, other)]
        for words, side in zip((one, other), sides, strict=True):
            settings[words] += [side] if side else []
        data = [str(word) for word in key]
        if sides[0] and sides[0] == sides[1]:
            raise ValueError(f"compare needs two methods, but on {data[0]} {one!r} and {other!r} are the same.")
        for (view, metric), cells in group.groupby(["view", "metric"], sort=False):
            pair = [cells[cells["setting"] == side] for side in sides]
            if all(len(side) for side in pair):
                line = _compared(str(metric), pair, seed, resamples)
                found.append(dict(zip([*DATA, "view"], [*data, view], strict=True)) | line)
    for words, somewhere in settings.items():
        if len(set(somewhere)) > 1:
            for line in found:
                line["note"] = "; ".join(filter(None, (line["note"], f"{words} is not one setting on all datasets")))
        if not somewhere:
            labels = ", ".join(dict.fromkeys(scores["method"]))
            raise ValueError(f"There is no method {words!r} in these records. There are: {labels}.")
    return pd.DataFrame(found, columns=COMPARISON)


def _compared(metric: str, pair: Sequence[pd.DataFrame], seed: int, resamples: int) -> dict[str, Any]:
    head = column(metric)
    ours, theirs = (_finite(side) for side in pair)
    budgets_differ = bool(pair[0]["steps"].iloc[0] != pair[1]["steps"].iloc[0])
    line: dict[str, Any] = {"metric": metric, "direction": head.direction, "verdict": "unknown"}
    line |= {"n_one": len(ours), "n_other": len(theirs), "budgets_differ": budgets_differ}
    line |= {f"mean_{name}": own.mean() for name, own in (("one", ours), ("other", theirs)) if len(own)}
    notes = [*dict.fromkeys(reason for side in pair for reason in side["reason"] if reason)]
    if len(ours) and len(theirs):
        gap = statistics.difference(ours, theirs)
        line |= {"difference": gap.value, "low": gap.low, "high": gap.high}
        line["verdict"] = statistics.verdict(gap, head.higher_is_better)
        notes.append(gap.note)
        if head.higher_is_better is not None:
            chance = statistics.probability_of_improvement(
                [ours], [theirs], head.higher_is_better, seed=seed, resamples=resamples
            )
            line |= {"improvement": chance.value, "improvement_low": chance.low, "improvement_high": chance.high}
    notes += [BUDGETS] * budgets_differ + [UNKNOWN_DIRECTION] * (head.higher_is_better is None)
    return line | {"note": "; ".join(filter(None, notes))}


def _named(group: pd.DataFrame, words: str) -> str | None:
    """Find the setting of the row of one dataset that a label names, if there is one.

    An exact label wins. Otherwise `method (name=value, ...)` fits every row of that method with these values: a page names only
    the settings that differ on it, so the label of one setting may be longer on one dataset than on another.
    """
    rows = group.drop_duplicates("setting")
    exact = rows[rows["method"] == words]
    if len(exact) == 1:
        return str(exact["setting"].iloc[0])
    name, _, inside = words.removesuffix(")").partition(" (")
    wanted = dict(part.partition("=")[::2] for part in re.split(r", (?=\w+=)", inside)) if inside else {}
    fitting = []
    for label, setting, trained in zip(rows["method"], rows["setting"], rows["trained"], strict=True):
        values = settings_in(setting)
        if trained and values["method"] == name and all(str(values.get(k, "default")) == v for k, v in wanted.items()):
            fitting.append((label, setting))
    if len(fitting) > 1:
        labels = ", ".join(label for label, _ in fitting)
        raise ValueError(f"{words!r} fits several rows of {group['dataset'].iloc[0]}. Name one of: {labels}.")
    return fitting[0][1] if fitting else None


def _finite(rows: pd.DataFrame) -> Array:
    values = rows["score"].to_numpy(dtype=np.float64)
    return np.asarray(values[~np.isnan(values)])
