"""Pairwise comparison: the probability that a seed of one method beats a seed of another, on one or several datasets."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from disbench.reports import statistics
from disbench.reports.comparison.frames import first_views
from disbench.reports.comparison.over_datasets import across_datasets
from disbench.reports.statistics import Array
from disbench.reports.tables.table import Table


@dataclass(frozen=True)
class Pairs:
    """How probably a seed of one method beats a seed of another: `chance` (M, M), the row's method over the column's.

    `differ` (M, M) is True where Welch's interval of the difference excludes zero; it is all False over several datasets, where
    it does not apply. `left_out` names the methods not in `methods`: incomplete ones, and those beyond the first `most`.
    `varied` is that of `Diagram`.
    """

    provenance: str
    metric: str
    methods: tuple[str, ...]
    datasets: tuple[str, ...]
    chance: Array
    differ: NDArray[np.bool_]
    left_out: tuple[str, ...]
    budgets_differ: bool
    varied: dict[str, tuple[str, ...]]
    sees: str = "images"


def pairs_within(table: Table, *, most: int = 12) -> tuple[Pairs, ...]:
    """Every two trained rows of one dataset in their first view, for each metric: the `most` best by mean, best first.

    Methods that see different things are not compared.
    """
    found = []
    for sees in table.kinds_of_sight:
        rows = [row for row in table.rows if row.sees == sees]
        about = {
            "provenance": table.key[-1],
            "budgets_differ": len({row.trial.steps for row in rows}) > 1,
            "varied": {},
            "sees": sees,
        }
        for head in table.columns:
            if head.higher_is_better is not None:
                scores = {row.label: {table.dataset: row.cells[head.key].scores} for row in rows}
                found.append(_pairs(scores, head.higher_is_better, most, metric=head.key, **about))
    return tuple(own for own in found if len(own.methods) > 1)


def pairs_over(scores: pd.DataFrame, *, most: int = 12) -> tuple[Pairs, ...]:
    """Every two trained settings over all datasets of a provenance, in their first view: the mean over datasets.

    Only settings with a score on every dataset are compared, because a mean over easier data would win; of those, the `most`
    best by mean rank.
    """
    found = []
    for own in across_datasets(first_views(scores)):
        about = {name: getattr(own, name) for name in ("provenance", "metric", "budgets_differ", "varied", "sees")}
        found.append(_pairs(own.scores, own.higher_is_better, most, **about))
    return tuple(own for own in found if len(own.methods) > 1 and len(own.datasets) > 1)


def _pairs(scores: Mapping[str, Mapping[str, Array]], higher_is_better: bool, most: int, **about: Any) -> Pairs:
    """Compare the `most` best methods; `about` holds the fields of `Pairs` that do not follow from the scores."""
    datasets, missing = statistics.missing_datasets(scores)
    complete = [method for method, absent in missing.items() if not absent and datasets]
    means = np.array([[scores[m][d].mean() for m in complete] for d in datasets])
    ranks = statistics.ranks(means, higher_is_better).mean(axis=0) if complete else np.zeros(0)
    methods = tuple(complete[i] for i in np.argsort(ranks, kind="stable")[:most])
    own = [[scores[m][d] for d in datasets] for m in methods]
    differ = np.zeros((len(methods), len(methods)), dtype=np.bool_)
    if len(datasets) == 1:
        for i, ours in enumerate(own):
            for j, theirs in enumerate(own[:i]):
                found = statistics.verdict(statistics.difference(ours[0], theirs[0]), higher_is_better)
                differ[i, j] = differ[j, i] = found in ("better", "worse")
    left_out = tuple(method for method in scores if method not in methods)
    chance = statistics.improvement_matrix(own, higher_is_better)
    return Pairs(methods=methods, datasets=tuple(datasets), chance=chance, differ=differ, left_out=left_out, **about)
