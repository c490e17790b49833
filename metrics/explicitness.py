"""Explicitness: Ridgeway and Mozer 2018, arXiv:1802.05312.

    AUC_kv = area under the ROC curve of a logistic regression's probability that v_k = v, from all codes together
    explicitness = 1/K sum_k (mean over values v of AUC_kv)

How much of the factors a linear reading of the whole code tells; which code tells it does not matter, so a rotated
representation scores 1. Three protocols are in print, and differ by more than most models do:

- `locatello2019` (arXiv:1811.12359, disentanglement_lib; the default): softmax regression on standardized codes, judged on
  fresh rows, 0.5 at chance.
- `zaidi2020` (arXiv:2012.09276): one regression a value, balanced classes, on codes scaled to [0, 1], their probabilities
  divided by their sum; judged on the rows that were fitted; 2 AUC - 1, 0 at chance.
- `do2020` (arXiv:1908.09961): one regression a value with hardly a penalty (C = 1e10) on the codes as they are, divided
  by their sum; judged on the rows that were fitted; 0.5 at chance.

One regression a value cannot single out a middle value on a line: under `do2020` one perfect code a factor scores 0.98.
"""

from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from disbench.metrics.columns import deviations
from disbench.metrics.groups import require_counts
from disbench.metrics.information import binned_factors
from disbench.metrics.metric import Metric, entries
from disbench.metrics.sap import within_reach
from disbench.metrics.split import split_rows
from disbench.metrics.table import Table, require_classes
from disbench.metrics.threads import one_thread


class Protocol(NamedTuple):
    """What the sources disagree on."""

    one_vs_rest: bool
    regression: dict[str, Any]  # arguments of scikit-learn's
    scaling: str  # of the codes, from the fitted rows
    fresh_rows: bool  # judged on other rows than the fitted ones
    scaled: bool  # chance is 0 and not 0.5


PROTOCOLS = {
    "locatello2019": Protocol(False, {"max_iter": 10_000}, "standard", fresh_rows=True, scaled=False),
    "zaidi2020": Protocol(True, {"class_weight": "balanced"}, "range", fresh_rows=False, scaled=True),
    "do2020": Protocol(
        True,
        {"C": 1e10, "solver": "liblinear", "max_iter": 1000, "tol": 1e-5, "random_state": 0},
        "none",
        fresh_rows=False,
        scaled=False,
    ),
}


@partial(
    Metric,
    label="Explicitness",
    higher_is_better=True,
    bounds=(0.0, 1.0),
    definition="Mean area under the ROC curve of a linear classifier of each factor value from all codes; 0.5 is"
    " chance.",
    insensitive_to="Which code tells: rotated codes and copies score 1; a missing factor costs only down to 0.5.",
    source="Ridgeway and Mozer 2018, arXiv:1802.05312v2; protocol of Locatello et al. 2019, arXiv:1811.12359",
    stochastic=True,
    version=2,
)
def explicitness(
    table: Table,
    *,
    protocol: str = "locatello2019",
    train: int = 10_000,
    test: int = 5_000,
    factor_bins: int = 0,
    seed: int = 0,
) -> dict[str, Any]:
    """Average the area under the ROC curve of linear classifiers that read each factor value from all codes.

    Noise and dead codes score 0.5, and 0 under `zaidi2020`, which reports a negative score as 0. A value
    missing from the fitted rows counts 0.5. A value that no judged row has, or all have, does not count.
    Constant factors are left out. The names of values do not matter. The detail holds the score of each
    factor on the judged rows.

    Parameters
    ----------
    protocol
        "locatello2019", "zaidi2020" or "do2020", as described in the module.
    train, test
        Number of fitted rows and of other, judged rows; fewer in the same proportion if the table is smaller.
        A protocol without fresh rows judges the `train` rows, and its noise scores above chance.
    factor_bins
        Number of equal-width bins for a continuous factor, at least 2; 0 bins none.

    Examples
    --------
    >>> from disbench.metrics import explicitness
    >>> factors = [[0, 0], [0, 1], [1, 0], [1, 1]] * 25
    >>> rotated = [[0, 0], [1, -1], [1, 1], [2, 0]] * 25
    >>> explicitness(factors, factors), explicitness(rotated, factors)
    (1.0, 1.0)
    """
    require_counts(train=train, test=test)
    if protocol not in PROTOCOLS:
        raise ValueError(f"explicitness knows the protocols {', '.join(PROTOCOLS)}, got protocol={protocol!r}.")
    binned, codes, chosen = binned_factors(table, factor_bins), table.codes, PROTOCOLS[protocol]
    if not factor_bins:
        require_classes(table, "explicitness", "Set factor_bins to bin it, or use infoe, which reads its values.")
    if chosen.fresh_rows:
        fitted, judged = split_rows(len(codes), train, test, seed)
    else:
        fitted = judged = np.random.default_rng(seed).permutation(len(codes))[:train]
    live = np.delete(codes, table.dead_codes, axis=1)
    areas = roc_areas(live, binned.labels, fitted, judged, chosen)
    scores = 2.0 * areas - 1.0 if chosen.scaled else areas
    return {
        "score": max(float(scores.mean()), 0.0),
        "protocol": protocol,
        "train": len(fitted),
        "test": len(judged),
        "factors": entries(factor=table.columns, score=scores),
    } | table.left_out()


def roc_areas(
    codes: NDArray[np.float64],
    factors: NDArray[np.intp],
    fitted: NDArray[np.intp],
    judged: NDArray[np.intp],
    protocol: Protocol,
) -> NDArray[np.float64]:
    """`codes (N, D)`, `factors (N, K)` -> `(K,)`: the mean over values of the area under the ROC curve on rows `judged`."""
    if codes.shape[1] == 0:
        return np.full(factors.shape[1], 0.5)
    inputs = _scaled(codes, fitted, protocol.scaling)
    with one_thread():  # threaded sums round differently, and one swapped pair of rows is another area
        return np.array([_area(inputs, targets, fitted, judged, protocol) for targets in factors.T])


def _area(
    inputs: NDArray[np.float64],
    targets: NDArray[np.intp],
    fitted: NDArray[np.intp],
    judged: NDArray[np.intp],
    protocol: Protocol,
) -> float:
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import roc_auc_score
    from sklearn.multiclass import OneVsRestClassifier

    answers = targets[judged]
    values = np.unique(answers)
    if len(values) < 2 or np.ptp(targets[fitted]) == 0:
        return 0.5
    regression = LogisticRegression(**protocol.regression)
    classifier = OneVsRestClassifier(regression) if protocol.one_vs_rest else regression
    classifier.fit(inputs[fitted], targets[fitted])
    probabilities = classifier.predict_proba(inputs[judged])  # (judged, fitted values)
    column = {value: i for i, value in enumerate(classifier.classes_)}
    areas = [roc_auc_score(answers == v, probabilities[:, column[v]]) if v in column else 0.5 for v in values]
    return float(np.mean(areas))


def _scaled(codes: NDArray[np.float64], fitted: NDArray[np.intp], scaling: str) -> NDArray[np.float64]:
    if scaling == "none":
        return within_reach(codes)
    rows = codes[fitted]
    origin = rows.mean(axis=0) if scaling == "standard" else rows.min(axis=0)
    unit = deviations(rows) if scaling == "standard" else np.ptp(rows, axis=0)
    scaled: NDArray[np.float64] = (codes - origin) / np.where(np.ptp(rows, axis=0) > 0, unit, 1.0)
    return scaled
