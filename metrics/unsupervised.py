"""Dependence between codes, without factors, as in Locatello et al. 2019, arXiv:1811.12359.

    Gaussian total correlation     KL(N(m, C) || N(m, diag C)) = -1/2 log det R                   nats
    Wasserstein correlation        W2(N(m, C), N(m, diag C))^2 = 2 tr C - 2 tr (S C S)^(1/2)      squared units of the codes
    mutual information score       mean over pairs of codes of I(z_i; z_j), 20 equal-width bins   nats

C is the codes' covariance, R their correlation, S = (diag C)^(1/2). Lower is better, and 0 is independence. They measure
the codes against each other and not against the factors: noise scores as well as a perfect representation, and rows
shuffled against the factors score the same. Factors may be given, so that one call fits all metrics, and are not used.
Dead codes are independent of everything: they are left out and named, and what is left of one code is 0.
"""

from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import xlogy

from disbench.metrics.correlation import spread
from disbench.metrics.information import equal_width_bins, value_indices
from disbench.metrics.metric import Metric, entries
from disbench.metrics.table import NotApplicable, Table
from disbench.metrics.threads import one_thread

PAIRS_AT_ONCE = 1 << 16  # rows of pairs whose cells are counted together


@partial(
    Metric,
    label="Total correlation",
    higher_is_better=False,
    bounds=(0.0, float("inf")),
    definition="Total correlation, in nats, of a normal distribution with the codes' covariance; factors are not used.",
    insensitive_to="The factors: noise scores as well as a perfect representation; and dependence that is not linear.",
    source="Locatello et al. 2019, arXiv:1811.12359",
    uses=("codes",),
)
def gaussian_total_correlation(table: Table) -> dict[str, Any]:
    """Compute the total correlation, in nats, of a normal distribution with the codes' covariance.

    The score does not depend on the scale of a code, and measures linear dependence only. Not applicable
    where it is infinite: if a code is a linear function of others, such as a copy, or if there are fewer rows
    than codes. The detail holds the largest correlation of each live code with another one.


    Examples
    --------
    >>> from disbench.metrics import gaussian_total_correlation
    >>> factors = [[0, 0], [0, 1], [1, 0], [1, 1]]
    >>> gaussian_total_correlation(factors)
    0.0
    >>> round(gaussian_total_correlation([[0, 0], [1, 1], [2, 2], [3, 4]]), 2)
    1.69
    """
    live = table.live_codes
    with one_thread():  # threaded sums round differently
        correlation, _, _ = _correlation(table, live)
        eigenvalues = np.linalg.eigvalsh(correlation) if live else np.ones(1)
    if eigenvalues[0] <= eigenvalues[-1] * max(table.raw_codes.shape) * np.finfo(np.float64).eps:
        raise NotApplicable(
            "gaussian_total_correlation is infinite: a code is a linear function of others on these rows; "
            "look at wasserstein_correlation, which is finite."
        )
    return {"score": max(0.0, -0.5 * float(np.log(eigenvalues).sum()))} | _strongest(correlation, table)


@partial(
    Metric,
    label="Wasserstein correlation",
    higher_is_better=False,
    bounds=(0.0, 2.0),
    definition="Squared Wasserstein distance between normals with the codes' covariance and with its diagonal,"
    " divided by the codes' total variance; factors are not used.",
    insensitive_to="The factors, dependence that is not linear, and copies of small variance.",
    source="Locatello et al. 2019, arXiv:1811.12359",
    uses=("codes",),
    unbounded_with=(("normalised", False),),
)
def wasserstein_correlation(table: Table, *, normalised: bool = True) -> dict[str, Any]:
    """Compute the squared Wasserstein distance between normals with the codes' covariance and its diagonal.

    The score measures linear dependence only, and weighs codes by their variance. The detail holds both
    forms, and the largest correlation of each live code with another one.

    Parameters
    ----------
    normalised
        Whether to divide by the total variance of the codes, which makes the score independent of a common
        scale of all codes. Otherwise, it is in squared units of the codes. Both forms are published.

    Examples
    --------
    >>> from disbench.metrics import wasserstein_correlation
    >>> factors = [[0, 0], [0, 1], [1, 0], [1, 1]]
    >>> wasserstein_correlation(factors)
    0.0
    >>> round(wasserstein_correlation([[0, 0], [1, 1], [2, 2], [3, 3]]), 3)
    0.586
    """
    live = table.live_codes
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


@partial(
    Metric,
    label="MI of codes",
    higher_is_better=False,
    bounds=(0.0, float("inf")),
    definition="Mean mutual information of two codes, in nats; codes in 20 equal-width bins; factors are not used.",
    insensitive_to="The factors: whether codes mean anything; only whether they depend on each other.",
    source="Locatello et al. 2019, arXiv:1811.12359",
    uses=("codes",),
)
def mutual_info_score(table: Table, *, bins: int = 20) -> dict[str, Any]:
    """Average the mutual information, in nats, over all pairs of live codes.

    The score is at most log(bins), and about (bins - 1)^2 / 2N for independent codes that fill their bins.
    **Cost**: the time grows with the square of D; 512 codes of 10,000 rows take seconds. disentanglement_lib
    counts pairs with dead codes as 0. The detail holds, for each live code, the code that shares most with it
    and how much, in nats.

    Parameters
    ----------
    bins
        Number of equal-width bins over the range of each code; at least 2.

    Examples
    --------
    >>> from disbench.metrics import mutual_info_score
    >>> factors = [[0, 0], [0, 1], [1, 0], [1, 1]]
    >>> mutual_info_score(factors)
    0.0
    >>> round(mutual_info_score([[0, 0], [1, 1], [2, 2], [3, 3]]), 3)
    1.386
    """
    live = table.live_codes
    indices: NDArray[np.integer[Any]] = equal_width_bins(table.raw_codes[:, live], bins)
    if table.quantized:
        indices, bins = value_indices(table.raw_codes[:, live])
    shared = pairwise_information(indices, bins)  # (live, live)
    pairs = len(live) * (len(live) - 1)
    return {
        "score": min(float(shared.sum() / pairs), float(np.log(bins))) if pairs else 0.0,
        "bins": bins,
        "codes": _closest(shared, live, "information"),
    } | table.left_out()


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


def _correlation(table: Table, live: list[int]) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Of the live codes: correlations, with a diagonal of exactly 1, deviations, and the unit of each deviation."""
    if not live:
        return np.empty((0, 0)), np.empty(0), np.empty(0)
    found = spread(table.raw_codes if len(live) == table.raw_codes.shape[1] else table.raw_codes[:, live])
    correlation = found.correlation()
    np.fill_diagonal(correlation, 1.0)
    return correlation, np.sqrt(found.squares / (len(table.raw_codes) - 1)), found.unit


def _closest(strength: NDArray[np.float64], live: list[int], name: str) -> list[dict[str, Any]]:
    """For each live code another one with which it has most in common, and how much, under `name`."""
    if len(live) < 2:
        return [{"code": j, "other": None, name: 0.0} for j in live]
    others = strength.copy()
    np.fill_diagonal(others, -np.inf)
    return entries(code=live, other=np.array(live)[others.argmax(axis=1)], **{name: others.max(axis=1)})


def _strongest(correlation: NDArray[np.float64], table: Table) -> dict[str, Any]:
    return {"codes": _closest(np.abs(correlation), table.live_codes, "correlation")} | table.left_out()
