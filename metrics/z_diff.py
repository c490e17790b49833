"""Z-diff, the BetaVAE metric: Higgins et al. 2017 (ICLR, openreview.net/forum?id=Sy2fzU9gl).

Draw a factor k; take L pairs of rows, each pair sharing a value of v_k drawn anew for it; average abs(z - z') over
the pairs. A linear classifier must tell k from that vector. Two protocols are in print: L = 64 and raw accuracy
(disentanglement_lib; the default here, logistic regression with 10,000 training and 5,000 test points) and L = 200
scaled so that chance is 0 (Zaidi et al. 2020, arXiv:2012.09276). The classifier is scikit-learn's with its unit L2
penalty on unscaled features, as in both, so very small codes are penalised more. It cannot see a missing or a merged
factor, which still moves the other codes: it scores 1.
"""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from disbench.metrics.groups import Groups, all_groups, points_by_factor, require_counts
from disbench.metrics.information import binned_factors
from disbench.metrics.table import as_table, require_two_factors
from disbench.metrics.threads import one_thread


def z_diff(
    codes: ArrayLike,
    factors: ArrayLike,
    *,
    pairs: int = 64,
    train: int = 10_000,
    test: int = 5_000,
    scaled: bool = False,
    factor_bins: int = 0,
    seed: int = 0,
) -> float:
    """The accuracy, on fresh points, of naming the factor that a set of pairs has in common.

    `codes (N, D)`, `factors (N, K)` -> a number in [0, 1], higher is better, 1/K at chance; with `scaled`,
    (accuracy - 1/K) / (1 - 1/K), which is 0 at chance, and 0 where luck takes the accuracy below chance.
    A pair is two different rows, and a row can be in
    several pairs. A continuous factor is held within a bin of `factor_bins` equal widths, or not at all for 0. Constant
    factors are left out and not counted in K. Equal seeds give equal scores on any number of threads. Raises
    NotApplicable when fewer than two factors vary or one has no value that two rows share, and ValueError for a
    malformed table or a count below 1.
    """
    options: dict[str, Any] = {"pairs": pairs, "train": train, "test": test, "scaled": scaled, "seed": seed}
    return float(z_diff_detail(codes, factors, **options, factor_bins=factor_bins)["score"])


def z_diff_detail(
    codes: ArrayLike,
    factors: ArrayLike,
    *,
    pairs: int = 64,
    train: int = 10_000,
    test: int = 5_000,
    scaled: bool = False,
    factor_bins: int = 0,
    seed: int = 0,
) -> dict[str, Any]:
    """`z_diff` with the accuracy on both sets of points, chance, and each factor's recall on the test points."""
    from sklearn.linear_model import LogisticRegression

    require_counts(pairs=pairs, train=train, test=test)
    table = binned_factors(as_table(codes, factors), factor_bins)
    require_two_factors(table.columns, "z_diff")
    rng = np.random.default_rng(seed)
    targets = rng.integers(len(table.columns), size=train + test)
    if len(np.unique(targets[:train])) < 2:
        raise ValueError(f"z_diff needs training points of two factors, got train={train} of one; draw more.")
    features = mean_differences(table.codes, all_groups(table), targets, pairs, rng)
    with one_thread():  # threaded sums round differently, and one flipped prediction is another score
        classifier = LogisticRegression(max_iter=10_000).fit(features[:train], targets[:train])
        correct: NDArray[np.bool_] = classifier.predict(features) == targets
    accuracy, chance = float(correct[train:].mean()), 1.0 / len(table.columns)
    return {
        "score": max((accuracy - chance) / (1.0 - chance), 0.0) if scaled else accuracy,
        "accuracy": accuracy,
        "train_accuracy": float(correct[:train].mean()),
        "chance": chance,
        "factors": recalls(correct[train:], targets[train:], table.columns),
        "constant_factors": table.constant_factors,
        "dropped_codes": table.dead_codes,
    }


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


def recalls(correct: NDArray[np.bool_], targets: NDArray[np.intp], columns: list[int]) -> list[dict[str, Any]]:
    """The share of each factor's points that were named rightly; None for a factor that no point fixed."""
    return [
        {"factor": column, "recall": float(correct[targets == k].mean()) if (targets == k).any() else None}
        for k, column in enumerate(columns)
    ]
