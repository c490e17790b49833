"""Boosted trees that predict the factors from all codes, as sample efficiency and fairness use them.

Both papers take scikit-learn's GradientBoostingClassifier as it comes: 100 trees of depth 3 for each value, learning rate
0.1. The default here is its histogram form with the same constants, `HistGradientBoostingClassifier(max_depth=3,
max_leaf_nodes=None, min_samples_leaf=1, early_stopping=False)`. It sorts each code into at most 255 bins and picks splits by
the second-order gain, and fits 20 times as fast. `model="gradient_boosting"` is that of the papers.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from disbench.metrics.columns import uncrowded
from disbench.metrics.groups import require_counts
from disbench.metrics.memoize import recent
from disbench.metrics.split import split_rows
from disbench.metrics.table import Table, require_classes
from disbench.metrics.threads import one_thread

MODELS = ("hist_gradient_boosting", "gradient_boosting")


class Predictions(NamedTuple):
    """What predictors of the factors say of rows that they were not fitted on: immutable, since two metrics get the same one."""

    predicted: NDArray[np.intp]  # (judged, K): labels
    actual: NDArray[np.intp]  # (judged, K)
    fitted: int  # rows that each predictor was fitted on

    @property
    def accuracy(self) -> NDArray[np.float64]:
        """Share of right predictions of each factor: (K,)."""
        return np.asarray((self.predicted == self.actual).mean(axis=0))


def predictions(
    table: Table, metric: str, *, model: str, train: int, test: int, seed: int, labelled: int | None = None
) -> Predictions:
    """Fit a predictor of each factor on `labelled` of the `train` rows, all by default, and predict `test` other rows.

    A table of fewer than train + test rows is divided in the same proportion. Raises NotApplicable for continuous factors.
    """
    require_counts(train=train, test=test)
    if model not in MODELS:
        raise ValueError(f"{metric} knows the models {', '.join(MODELS)}, got model={model!r}.")
    require_classes(table, metric, "Bin it first: numpy.digitize(column, edges).")
    return _predictions(table, model, train, test, seed, labelled)


@recent
def _predictions(table: Table, model: str, train: int, test: int, seed: int, labelled: int | None) -> Predictions:
    import sklearn.ensemble  # noqa: F401 - one_thread only limits the libraries that are loaded

    fitted, judged = split_rows(len(table.labels), train, test, seed)
    fitted = fitted[:labelled]
    random_state = int(np.random.default_rng(seed).integers(1 << 31))
    codes = table.codes[:, table.live_codes]
    if codes.shape[1]:  # the trees of one model compute in float32: an offset would take their digits
        lowest = codes.min(axis=0)
        codes = uncrowded((codes - lowest) / (codes.max(axis=0) - lowest) - 0.5)
        codes = codes[:, np.lexsort(codes[fitted[:100]])]  # equally good splits are broken by the order of columns
    predicted = np.empty((len(judged), table.labels.shape[1]), dtype=np.intp)
    with one_thread():  # threaded sums round differently, and a tie broken otherwise is another tree
        for k, labels in enumerate(table.labels.T):
            predicted[:, k] = _predict(codes[fitted], labels[fitted], codes[judged], model, random_state)
    found = Predictions(predicted, table.labels[judged], len(fitted))
    for array in found[:2]:
        array.flags.writeable = False
    return found


def _predict(
    codes: NDArray[np.float64], labels: NDArray[np.intp], others: NDArray[np.float64], model: str, random_state: int
) -> NDArray[np.intp]:
    if np.ptp(labels) == 0 or codes.shape[1] == 0:
        return np.full(len(others), np.bincount(labels).argmax())
    from sklearn.ensemble import GradientBoostingClassifier, HistGradientBoostingClassifier

    classifier: Any = (
        GradientBoostingClassifier(random_state=random_state)
        if model == "gradient_boosting"
        else HistGradientBoostingClassifier(
            max_depth=3, max_leaf_nodes=None, min_samples_leaf=1, early_stopping=False, random_state=random_state
        )
    )
    predicted: NDArray[np.intp] = classifier.fit(codes, labels).predict(others)
    return predicted
