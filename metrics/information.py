"""Entropies and mutual information of binned codes with discrete factors: plug-in estimates, in nats.

Binning as in Locatello et al. 2019, arXiv:1811.12359 (disentanglement_lib's histogram discretisation): equal widths
over each code's own [min, max], the left edge inside the bin, the maximum in the last one. A value on an edge moves
by one bin under any other order of operations, so the edges are numpy's `linspace` between the extremes in float64,
as the reference computes them. Plug-in information is biased upwards by about (V - 1)(B - 1) / 2N, which is why noise
does not score 0.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import xlogy

from disbench.metrics.table import Table

ELEMENTS_AT_ONCE = 1 << 21  # bounds the index arrays of one pass, whatever N and K are
TIE = 1e-12  # nats; two sums over the same counts in another order differ by less


class Information(NamedTuple):
    """In nats, over K factors and D codes. A dead code has exactly 0 mutual information."""

    mutual: NDArray[np.float64]  # (K, D)
    joint_entropy: NDArray[np.float64]  # (K, D)
    factor_entropy: NDArray[np.float64]  # (K,)


class Gap(NamedTuple):
    """For each factor, the code that knows most about it and how much the next one knows, in nats."""

    winner: NDArray[np.intp]  # (K,)
    best: NDArray[np.float64]  # (K,)
    runner_up: NDArray[np.float64]  # (K,): 0 where there is no other code


def equal_width_bins(codes: NDArray[np.float64], bins: int) -> NDArray[np.intp]:
    """`codes (N, D)` -> bin indices `(D, N)` in 0 .. bins - 1. A constant code falls into a single bin."""
    if bins < 2:
        raise ValueError(f"binning needs at least 2 bins, got bins={bins}; the papers use 20.")
    indices = np.empty(codes.shape[::-1], dtype=np.intp)
    for j, code in enumerate(np.ascontiguousarray(codes.T)):
        left_edges = np.linspace(code.min(), code.max(), bins + 1)[:-1]
        indices[j] = np.searchsorted(left_edges, code, side="right") - 1
    return indices


def contingency(
    bin_indices: NDArray[np.intp], factors: NDArray[np.intp], sizes: NDArray[np.intp], bins: int
) -> NDArray[np.int64]:
    """Rows in each (value, bin), for all pairs of factor and code in one array.

    `bin_indices (D, N)`, `factors (N, K)`, `sizes (K,)` -> `(D, S, B)` with S = sum of sizes: the values of factor 0,
    then those of factor 1, and so on, so that factors of unequal size waste no room.
    """
    total = int(sizes.sum())
    cells = ((factors + np.cumsum(sizes) - sizes) * bins).T  # (K, N): first cell of the row's value
    counts = np.zeros((len(bin_indices), total * bins), dtype=np.int64)
    step = max(1, ELEMENTS_AT_ONCE // len(sizes))
    for start in range(0, len(factors), step):
        rows = np.ascontiguousarray(cells[:, start : start + step])
        for j, code_bins in enumerate(bin_indices):
            counts[j] += np.bincount((rows + code_bins[start : start + step]).ravel(), minlength=total * bins)
    return counts.reshape(len(bin_indices), total, bins)


def information(table: Table, bins: int) -> Information:
    """Everything the mutual-information metrics need, from one pass over the rows."""
    counts = contingency(equal_width_bins(table.codes, bins), table.factors, table.sizes, bins)  # (D, S, B)
    n = len(table.codes)
    starts = np.cumsum(table.sizes) - table.sizes
    joint = np.log(n) - np.add.reduceat(xlogy(counts, counts).sum(axis=2), starts, axis=1).T / n
    factor = _entropy_from_counts(counts[0].sum(axis=1), starts, n)
    code = np.log(n) - xlogy(per_bin := counts[:, : table.sizes[0]].sum(axis=1), per_bin).sum(axis=1) / n
    # Rounding may leave the exact range 0 <= I <= min(H(v), H(z)) by a few ulps; scores must not.
    mutual = np.clip(factor[:, None] + code - joint, 0.0, np.minimum(factor[:, None], np.maximum(code, 0.0)))
    mutual[:, table.dead_codes] = 0.0
    return Information(mutual, joint, factor)


def gap(info: Information) -> Gap:
    """The winning code of each factor and the information of the winner and of the runner-up.

    Of codes that tie for the most information the one with the smallest joint entropy wins: the order of columns is
    not a fact about a representation. With one code the runner-up is 0.
    """
    tied = info.mutual >= info.mutual.max(axis=1, keepdims=True) - TIE
    winner = np.where(tied, info.joint_entropy, np.inf).argmin(axis=1)
    others = info.mutual.copy()
    others[np.arange(len(winner)), winner] = 0.0
    best = info.mutual.max(axis=1)
    return Gap(winner, best, np.minimum(others.max(axis=1), best))


def _entropy_from_counts(counts: NDArray[np.int64], starts: NDArray[np.intp], n: int) -> NDArray[np.float64]:
    """Entropies of several variables whose counts `(S,)` lie one after another, each summing to n."""
    entropies: NDArray[np.float64] = np.log(n) - np.add.reduceat(xlogy(counts, counts), starts) / n
    return entropies
