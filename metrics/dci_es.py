"""Explicitness and size of DCI-ES: Eastwood et al. 2023 (ICLR), arXiv:2210.00364v2.

Probes of growing capacity c_1 < ... < c_T predict a factor from all codes. Their losses on rows that were not fitted, each
replaced by the smallest one up to its capacity, are the loss-capacity curve l_t of the factor.

    E = mean_k 1 - 2 sum_t (c_{t+1} - c_t) ((l_t + l_{t+1}) / 2 - l_T) / ((c_T - c_1) l_0)
    S = K / D

E is 1 if the simplest probe does as well as the most complex one, and 0 if the loss falls on a line from l_0, the loss of a
guess without codes, to 0. K are the factors that vary and D the live codes.

As in the authors' code (github.com/andreinicolicioiu/DCI-ES at 9329dae, metrics/explitcitness.py, src/simple_gather.py and
src/loss_capacity/train_model_random_forest.py), the normalizer takes 0 for the lowest possible loss, the probes are random
forests of 100 trees, and capacity is their greatest depth: 1, 2, 3, 4, 8, 10, 12, 14, 16, 18, 20 and 32. The loss of a
discrete factor is 1 - accuracy and that of a continuous one 1 - R2, where the authors say by hand which factors are discrete;
l_0 is 1 - the share of the most common value, which for equally frequent values is their 1 - 1 / V, or 1. Beyond them: one forest
of depth 32 is grown, and its trees are cut at each depth, which gives forests of the same distribution in a twelfth of
the time; a loss above l_0 counts as l_0; dead codes are left out of D and of the forests. The paper's other probes, networks
and linear maps of random Fourier features, are not offered.
"""

from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from disbench.metrics.columns import uncrowded
from disbench.metrics.dci import unit_range
from disbench.metrics.groups import require_counts
from disbench.metrics.metric import Metric, entries
from disbench.metrics.split import split_rows
from disbench.metrics.table import NotApplicable, Table
from disbench.metrics.threads import one_thread

DEPTHS = (1, 2, 3, 4, 8, 10, 12, 14, 16, 18, 20, 32)
SOURCE = "Eastwood et al. 2023, ICLR, arXiv:2210.00364v2"


class Curve(NamedTuple):
    """Losses on judged rows by capacity, and that of a guess without codes."""

    losses: NDArray[np.float64]  # (T,)
    baseline: float


@partial(
    Metric,
    label="DCI-ES explicitness",
    higher_is_better=True,
    bounds=(-1.0, 1.0),
    definition="How little capacity a forest needs to predict the factors from all codes as well as the deepest one: one"
    " minus twice the area under the curve of its loss by depth.",
    insensitive_to="How well the factors can be predicted at all: codes that tell nothing score 1, so read it beside"
    " informativeness, which the detail has.",
    source=SOURCE,
    stochastic=True,
    version=2,
)
def dci_es_explicitness(
    table: Table, *, trees: int = 100, train: int = 10_000, test: int = 5_000, seed: int = 0
) -> dict[str, Any]:
    """Average over factors how early the loss of a forest reaches its smallest value as its depth grows.

    Codes that tell nothing score about 1, because no depth improves on the first. A rotation and many values of a
    factor need depth and lower the score. Not applicable if all codes are dead. The detail holds each factor's
    score, its losses by depth, the loss of a guess, and its informativeness, one minus the smallest
    loss in units of the guess.

    **Cost**: a forest for each factor, about 3 s for six values, 10,000 fitted rows and ten codes. Reduce `trees` or
    `train` to save time.

    Parameters
    ----------
    trees
        Number of trees of a forest, at least 1.
    train, test
        Number of fitted rows and of other, judged rows; in the same proportion if the table has fewer.

    Examples
    --------
    >>> from disbench.metrics import dci_es_explicitness
    >>> factors = [[0, 0], [0, 1], [1, 0], [1, 1]] * 25
    >>> exclusive = [[0, 0], [0, 1], [1, 1], [1, 0]] * 25
    >>> round(dci_es_explicitness(factors, factors), 2), dci_es_explicitness(exclusive, factors, trees=20) < 1.0
    (1.0, True)
    """
    require_counts(trees=trees, train=train, test=test)
    live = _live_codes(table, "dci_es_explicitness")
    fitted, judged = split_rows(len(table.raw_codes), train, test, seed)
    random_state = int(np.random.default_rng(seed).integers(1 << 31))
    codes = uncrowded(unit_range(table.codes[:, live]) - 0.5).astype(np.float32)  # as the trees compute
    curves = []
    with one_thread():
        for k, continuous in enumerate(table.continuous):
            target = table.values[:, k] if continuous else table.labels[:, k]
            curves.append(loss_capacity_curve(codes, target, fitted, judged, continuous, trees, random_state))
    scores = np.array([explicitness_of_curve(np.array(DEPTHS), *curve) for curve in curves])
    known = [1.0 - curve.losses.min() / curve.baseline if curve.baseline > 0 else 0.0 for curve in curves]
    return {
        "score": float(scores.mean()),
        "informativeness": float(np.mean(known)),
        "depths": list(DEPTHS),
        "train": len(fitted),
        "test": len(judged),
        "factors": entries(
            factor=table.columns,
            score=scores,
            informativeness=known,
            losses=[curve.losses.tolist() for curve in curves],
            baseline=[curve.baseline for curve in curves],
        ),
    } | table.left_out()


@partial(
    Metric,
    label="DCI-ES size",
    higher_is_better=True,
    bounds=(0.0, float("inf")),
    definition="Number of factors that vary over number of codes that vary.",
    insensitive_to="Everything but these two numbers: what codes tell, and which.",
    source=SOURCE,
)
def dci_es_size(table: Table) -> dict[str, Any]:
    """Divide the number of factors that vary by the number of codes that vary.

    1 for as many codes as factors, less for spare or copied codes, and above 1 where a code is missing. Dead codes are not
    counted, where the authors count all. Not applicable if all codes are dead. The detail holds the two numbers.

    Examples
    --------
    >>> from disbench.metrics import dci_es_size
    >>> factors = [[0, 0], [0, 1], [1, 0], [1, 1]]
    >>> copied = [[0, 0, 0, 0], [0, 1, 0, 1], [1, 0, 1, 0], [1, 1, 1, 1]]
    >>> dci_es_size(factors, factors), dci_es_size(copied, factors)
    (1.0, 0.5)
    """
    live = _live_codes(table, "dci_es_size")
    factors = entries(factor=table.columns)
    return {"score": len(table.columns) / len(live), "live_codes": len(live), "factors": factors} | table.left_out()


def _live_codes(table: Table, metric: str) -> list[int]:
    if not table.live_codes:
        raise NotApplicable(f"{metric} is about codes that vary, and all {table.raw_codes.shape[1]} codes are dead.")
    return table.live_codes


def explicitness_of_curve(capacities: NDArray[Any], losses: NDArray[np.float64], baseline: float) -> float:
    """Compute explicitness in [-1, 1] from `losses (T,)` at growing `capacities (T,)` and the loss of a guess.

    1 where a guess makes no error.
    """
    if baseline <= 0:
        return 1.0
    lowest = np.minimum.accumulate(np.minimum(losses, baseline))
    above = lowest - lowest[-1]
    area = float((np.diff(capacities) * (above[:-1] + above[1:]) / 2).sum())
    return max(1.0 - 2.0 * area / (float(capacities[-1] - capacities[0]) * baseline), -1.0)


def loss_capacity_curve(
    codes: NDArray[np.float32],
    target: NDArray[Any],
    fitted: NDArray[np.intp],
    judged: NDArray[np.intp],
    continuous: bool,
    trees: int,
    random_state: int,
) -> Curve:
    """Fit a forest to rows `fitted` of `codes (N, D)`, and judge it, cut at each of DEPTHS, on rows `judged`."""
    from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

    truth = target[judged]
    options = {"n_estimators": trees, "max_depth": DEPTHS[-1], "random_state": random_state}
    if continuous:
        forest = RandomForestRegressor(**options).fit(codes[fitted], target[fitted])
        variance = float(truth.var())
        predicted = cut_forest(forest, codes[judged])[..., 0]  # (T, judged)
        losses = ((predicted - truth) ** 2).mean(axis=1) / (variance if variance > 0 else 1.0)
        return Curve(losses, 1.0)
    forest = RandomForestClassifier(**options).fit(codes[fitted], target[fitted])
    named = forest.classes_[cut_forest(forest, codes[judged]).argmax(axis=2)]  # (T, judged)
    commonest = np.bincount(target[fitted]).argmax()
    return Curve((named != truth).mean(axis=1), float((truth != commonest).mean()))


def cut_forest(forest: Any, rows: NDArray[np.float32]) -> NDArray[np.float64]:
    """Average over trees the values `(len(DEPTHS), rows, outputs)` of the nodes that `rows (N, D)` reach at each depth."""
    averaged, index = np.zeros(1), np.arange(len(rows))
    for estimator in forest.estimators_:
        tree = estimator.tree_
        values = tree.value[:, 0, :]
        if values.shape[1] > 1:
            values = values / values.sum(axis=1, keepdims=True)  # shares of the classes
        inner = tree.children_left >= 0
        node = np.zeros(len(rows), dtype=np.intp)
        reached = []
        for depth in range(1, DEPTHS[-1] + 1):
            left = rows[index, np.maximum(tree.feature[node], 0)] <= tree.threshold[node]
            below = np.where(left, tree.children_left[node], tree.children_right[node])
            node = np.where(inner[node], below, node)
            if depth in DEPTHS:
                reached.append(values[node])
        averaged = averaged + np.stack(reached) / len(forest.estimators_)
    return averaged
