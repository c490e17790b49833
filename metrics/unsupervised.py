"""How dependent codes are on each other, factors aside: as in Locatello et al. 2019, arXiv:1811.12359.

    Gaussian total correlation     KL(N(m, C) || N(m, diag C)) = -1/2 log det R                   nats
    Wasserstein correlation        W2(N(m, C), N(m, diag C))^2 = 2 tr C - 2 tr (S C S)^(1/2)      squared units of the codes
    mutual information score       mean over pairs of codes of I(z_i; z_j), 20 equal-width bins   nats

C is the codes' covariance, R their correlation, S = (diag C)^(1/2). Lower is better, and 0 is independence. They measure
the codes against each other and not against the factors: noise scores as well as a perfect representation, and rows
shuffled against the factors score the same. Factors are checked, so that one call fits all metrics, and not used. Dead
codes are independent of everything: they are left out and named, and what is left of one code is 0.
"""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import xlogy

from disbench.metrics.correlation import spread
from disbench.metrics.information import equal_width_bins, live_codes
from disbench.metrics.metric import NotApplicable
from disbench.metrics.table import Checked, check
from disbench.metrics.threads import one_thread

PAIRS_AT_ONCE = 1 << 16  # rows of pairs whose cells are counted together


def gaussian_total_correlation(codes: ArrayLike, factors: ArrayLike, *, seed: int = 0) -> float:
    """The total correlation, in nats, of a normal distribution with the codes' covariance.

    `codes (N, D)`, `factors (N, K)` -> a number >= 0, lower is better, whatever the scale of each code; it sees linear
    dependence only. `seed` is there for a uniform call and changes nothing. Raises NotApplicable where it is infinite,
    which it is when a code is a linear function of others (a copy; fewer rows than codes), and when no factor varies;
    ValueError for a malformed table.
    """
    return float(gaussian_total_correlation_detail(codes, factors, seed=seed)["score"])


def gaussian_total_correlation_detail(codes: ArrayLike, factors: ArrayLike, *, seed: int = 0) -> dict[str, Any]:
    """`gaussian_total_correlation` with each live code's largest correlation with another one."""
    table = check(codes, factors)
    live = live_codes(table)
    with one_thread():  # threaded sums round differently
        correlation, _, _ = _correlation(table, live)
        eigenvalues = np.linalg.eigvalsh(correlation) if live else np.ones(1)
    if eigenvalues[0] <= eigenvalues[-1] * max(table.codes.shape) * np.finfo(np.float64).eps:
        raise NotApplicable(
            "gaussian_total_correlation is infinite: a code is a linear function of others on these rows; "
            "look at wasserstein_correlation, which is finite."
        )
    return {"score": max(0.0, -0.5 * float(np.log(eigenvalues).sum()))} | _strongest(correlation, table)


def wasserstein_correlation(codes: ArrayLike, factors: ArrayLike, *, normalised: bool = True, seed: int = 0) -> float:
    """The squared Wasserstein distance between normals with the codes' covariance and with its diagonal.

    `codes (N, D)`, `factors (N, K)` -> divided by the sum of the codes' variances a number in [0, 2), lower is better,
    the same for any common scale of all codes; with `normalised=False` in squared units of the codes, so that codes half
    as large score a quarter. Both are in print. It sees linear dependence only, and weighs codes
    by their variance. `seed` is there for a uniform call and changes nothing. Raises NotApplicable when no factor varies
    and ValueError for a malformed table.
    """
    return float(wasserstein_correlation_detail(codes, factors, normalised=normalised, seed=seed)["score"])


def wasserstein_correlation_detail(
    codes: ArrayLike, factors: ArrayLike, *, normalised: bool = True, seed: int = 0
) -> dict[str, Any]:
    """`wasserstein_correlation` in both forms, with each live code's largest correlation with another one."""
    table = check(codes, factors)
    live = live_codes(table)
    relative, total = 0.0, 0.0
    with one_thread():
        correlation, deviation, units = _correlation(table, live)
        if live:
            unit = float(units.max())
            deviation = deviation * (units / unit)
            size = np.exp2(np.frexp(deviation.max())[1])  # fourth powers of very small numbers would vanish
            unit, deviation = unit * float(size), deviation / size  # (live,): no larger than 1
            scaled = correlation * np.outer(deviation**2, deviation**2)  # S C S
            roots = np.sqrt(np.maximum(np.linalg.eigvalsh(scaled), 0.0)).sum()
            trace = (deviation**2).sum()
            relative, total = max(0.0, 2.0 - 2.0 * float(roots / trace)), float(trace * unit**2)
    distance = relative * total
    return {
        "score": relative if normalised else distance,
        "normalised": relative,
        "squared_distance": distance,
    } | _strongest(correlation, table)


def mutual_info_score(codes: ArrayLike, factors: ArrayLike, *, bins: int = 20, seed: int = 0) -> float:
    """The mean over pairs of live codes of their mutual information, in nats.

    `codes (N, D)`, `factors (N, K)` -> a number in [0, log bins], lower is better, about (bins - 1)^2 / 2N for
    independent codes that fill their bins. **Cost**: each pair of codes is counted, so the time grows with the square of D:
    512 codes of 10,000 rows take seconds. disentanglement_lib counts pairs with dead codes, as 0. `seed` is there for a
    uniform call and changes nothing. Raises NotApplicable when no factor varies and ValueError for a malformed table or
    bins < 2.
    """
    return float(mutual_info_score_detail(codes, factors, bins=bins, seed=seed)["score"])


def mutual_info_score_detail(codes: ArrayLike, factors: ArrayLike, *, bins: int = 20, seed: int = 0) -> dict[str, Any]:
    """`mutual_info_score` with, for each live code, the other one that shares most with it, and how much in nats."""
    table = check(codes, factors)
    live = live_codes(table)
    shared = pairwise_information(equal_width_bins(table.codes[:, live], bins), bins)  # (live, live)
    pairs = len(live) * (len(live) - 1)
    return {
        "score": min(float(shared.sum() / pairs), float(np.log(bins))) if pairs else 0.0,
        "bins": bins,
        "codes": [
            {"code": j, "other": other, "information": information}
            for j, (other, information) in zip(live, _closest(shared, live), strict=True)
        ],
        "constant_factors": table.constant_factors,
        "dropped_codes": table.dead_codes,
    }


def pairwise_information(bin_indices: NDArray[np.integer[Any]], bins: int) -> NDArray[np.float64]:
    """`bin_indices (D, N)` -> `(D, D)` in nats, symmetric, the diagonal 0.

    Each pair of codes is counted, so the time grows with the square of D.
    """
    D, n = bin_indices.shape
    if D == 0:
        return np.empty((0, 0))
    cells = bins * bins
    joint = np.zeros((D, D))  # sums of m log m over the m rows of each cell
    m_log_m = xlogy(np.arange(n + 1.0), np.arange(n + 1.0))
    step = max(1, PAIRS_AT_ONCE // n)
    for first in range(0, D, step):
        rows = bin_indices[first : first + step].astype(np.intp)  # (block, N)
        rows *= bins
        rows += np.arange(len(rows))[:, None] * cells
        for j in range(first + 1, D):  # pairs of the block's codes that come before j
            before = rows[: j - first]
            counts = np.bincount((before + bin_indices[j]).ravel(), minlength=len(before) * cells)
            joint[first : first + len(before), j] = m_log_m[counts].reshape(len(before), cells).sum(axis=1)
    per_bin = np.array([np.bincount(code, minlength=bins) for code in bin_indices]).reshape(D, bins)
    entropy = np.log(n) - m_log_m[per_bin].sum(axis=1) / n
    shared: NDArray[np.float64] = np.triu(np.maximum(entropy[:, None] + entropy - (np.log(n) - joint / n), 0.0), k=1)
    return shared + shared.T


def _correlation(
    table: Checked, live: list[int]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Of the live codes: correlations, with a diagonal of exactly 1, deviations, and the unit of each deviation."""
    if not live:
        return np.empty((0, 0)), np.empty(0), np.empty(0)
    found = spread(table.codes if len(live) == table.codes.shape[1] else table.codes[:, live])
    correlation = found.correlation()
    np.fill_diagonal(correlation, 1.0)
    return correlation, np.sqrt(found.squares / (len(table.codes) - 1)), found.unit


def _closest(strength: NDArray[np.float64], live: list[int]) -> list[tuple[int | None, float]]:
    """For each live code another one with which it has most in common, and how much."""
    if len(live) < 2:
        return [(None, 0.0)] * len(live)
    others = strength.copy()
    np.fill_diagonal(others, -np.inf)
    return [
        (live[i], largest)
        for i, largest in zip(others.argmax(axis=1).tolist(), others.max(axis=1).tolist(), strict=True)
    ]


def _strongest(correlation: NDArray[np.float64], table: Checked) -> dict[str, Any]:
    live = live_codes(table)
    return {
        "codes": [
            {"code": j, "other": other, "correlation": size}
            for j, (other, size) in zip(live, _closest(np.abs(correlation), live), strict=True)
        ],
        "constant_factors": table.constant_factors,
        "dropped_codes": table.dead_codes,
    }
