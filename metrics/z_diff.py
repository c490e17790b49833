"""Z-diff, the BetaVAE metric: Higgins et al. 2017 (ICLR, openreview.net/forum?id=Sy2fzU9gl).

Draw a factor k; take L pairs of rows, each pair sharing a value of v_k drawn anew for it; average abs(z - z') over
the pairs. A linear classifier must tell k from that vector. Two protocols are in print: L = 64 and raw accuracy
(disentanglement_lib; the default here, logistic regression with 10,000 training and 5,000 test points) and L = 200
scaled so that chance is 0 (Zaidi et al. 2020, arXiv:2012.09276). The classifier is scikit-learn's with its unit L2
penalty on unscaled features, as in both, so very small codes are penalized more. It cannot see a missing or a merged
factor, which still moves the other codes: it scores 1.
"""

from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from disbench.metrics.groups import Groups, all_groups, points_by_factor, require_counts, require_two_factors
from disbench.metrics.information import binned_factors
from disbench.metrics.metric import Metric, entries
from disbench.metrics.table import Table
from disbench.metrics.threads import one_thread


@partial(
    Metric,
    label="Z-diff",
    higher_is_better=True,
    bounds=(0.0, 1.0),
    definition="Accuracy of a linear classifier that names the factor which 64 pairs of rows share, from the mean"
    " absolute difference of their codes.",
    insensitive_to="Almost any defect: merged and missing factors and a rotation by 22.5° score 1; 1 does not mean"
    " disentangled.",
    source="Higgins et al. 2017, ICLR (BetaVAE metric)",
    stochastic=True,
    version=2,
)
def z_diff(
    table: Table,
    *,
    pairs: int = 64,
    train: int = 10_000,
    test: int = 5_000,
    scaled: bool = False,
    factor_bins: int = 0,
    seed: int = 0,
) -> dict[str, Any]:
    """Measure how accurately a linear classifier names the factor that a set of pairs of rows shares.

    Chance is 1/K. A pair is two different rows, and a row can be in several pairs. Constant factors are left
    out and not counted in K. Equal seeds give equal scores on any number of threads. Not applicable if fewer
    than two factors vary or one has no value that two rows share. The detail holds the accuracy on both sets
    of points, chance, and the recall of each factor on the test points.

    Parameters
    ----------
    pairs
        Number of pairs that a point averages over.
    train, test
        Number of points that the classifier is fitted to, and of fresh points.
    scaled
        Whether to score (accuracy - 1/K) / (1 - 1/K), at least 0, so that chance is 0.
    factor_bins
        Number of equal-width bins for a continuous factor, at least 2; 0 bins none.

    Examples
    --------
    >>> from disbench.metrics import z_diff
    >>> factors = [[0, 0], [0, 1], [1, 0], [1, 1]] * 25
    >>> rotated = [[0, 0], [1, -1], [1, 1], [2, 0]] * 25
    >>> z_diff(factors, factors, train=100, test=100)
    1.0
    >>> z_diff(rotated, factors, train=100, test=100)
    0.55
    """
    from sklearn.linear_model import LogisticRegression

    require_counts(pairs=pairs, train=train, test=test)
    require_two_factors(table.columns, "z_diff")
    rng = np.random.default_rng(seed)
    targets = rng.integers(len(table.columns), size=train + test)
    if len(np.unique(targets[:train])) < 2:
        raise ValueError(f"z_diff needs training points of two factors, got train={train} of one; draw more.")
    features = mean_differences(table.codes, all_groups(binned_factors(table, factor_bins)), targets, pairs, rng)
    with one_thread():  # threaded sums round differently, and one flipped prediction is another score
        classifier = LogisticRegression(max_iter=10_000).fit(features[:train], targets[:train])
        correct: NDArray[np.bool_] = classifier.predict(features) == targets
    accuracy, chance = float(correct[train:].mean()), 1.0 / len(table.columns)
    return {
        "score": max((accuracy - chance) / (1.0 - chance), 0.0) if scaled else accuracy,
        "accuracy": accuracy,
        "train_accuracy": float(correct[:train].mean()),
        "chance": chance,
        "factors": entries(factor=table.columns, recall=recalls(correct[train:], targets[train:], len(table.columns))),
    } | table.left_out()


def mean_differences(
    codes: NDArray[np.float64],
    groups: list[Groups],
    targets: NDArray[np.intp],
    pairs: int,
    rng: np.random.Generator,
) -> NDArray[np.float64]:
    """`(points, D)`: the mean of abs(z - z') over `pairs` pairs that share a value of factor `targets[point]`."""
    features = np.empty((len(targets), codes.shape[1]))
    for k, points in points_by_factor(targets, pairs):
        values = groups[k].draw_values((len(points), pairs), rng)
        first, second = groups[k].draw_pairs(values, rng)  # (points, pairs) each
        difference = np.take(codes, first, axis=0)
        difference -= np.take(codes, second, axis=0)
        features[points] = np.einsum("pld->pd", np.abs(difference, out=difference)) / pairs
    return features


def recalls(correct: NDArray[np.bool_], targets: NDArray[np.intp], factors: int) -> list[float | None]:
    """Compute the share of each factor's points that were named correctly; None for a factor without points."""
    return [float(correct[targets == k].mean()) if (targets == k).any() else None for k in range(factors)]
