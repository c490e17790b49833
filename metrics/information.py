"""Entropies and mutual information of binned codes with discrete factors: plug-in estimates, in nats.

Binning as in Locatello et al. 2019, arXiv:1811.12359 (disentanglement_lib's histogram discretization): equal widths
over each code's own [min, max], the left edge inside the bin, the maximum in the last one. A value on an edge moves
by one bin under any other order of operations, so the edges are numpy's `linspace` between the extremes in float64,
as the reference computes them. Plug-in information is biased upwards by about (V - 1)(B - 1) / 2N, which is why noise
does not score 0.

A continuous factor is binned as a code is: into equally many equal widths over its own range, as Zaidi et al. 2020,
arXiv:2012.09276, do. A code that equals the factor then falls into the same bins and knows it completely, which would not
hold for bins of equal frequency beside bins of equal width.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import xlogy

from disbench.metrics.memoize import recent
from disbench.metrics.table import Factors, NotApplicable, Table

CODES_AT_ONCE = 1 << 18  # numbers of a table in memory as float64
BINS_AT_ONCE = 1 << 24  # bin indices in memory
ELEMENTS_AT_ONCE = 1 << 21  # bounds the index arrays of one pass, whatever N and K are
TIE = 1e-12  # nats; two sums over the same counts in another order differ by less


class Information(NamedTuple):
    """In nats, over K factors and D codes. A dead code has exactly 0 mutual information."""

    mutual: NDArray[np.float64]  # (K, D)
    joint_entropy: NDArray[np.float64]  # (K, D)
    factor_entropy: NDArray[np.float64]  # (K,)
    code_entropy: NDArray[np.float64]  # (D,)
    continuous: tuple[bool, ...] = ()  # (K,): which factors were binned


class Gap(NamedTuple):
    """For each factor the code that knows most about it, and what that one and the next one know; or codes for factors."""

    winner: NDArray[np.intp]  # (K,)
    best: NDArray[np.float64]  # (K,)
    runner_up: NDArray[np.float64]  # (K,): 0 where there is no other


def equal_width_bins(codes: NDArray[Any], bins: int) -> NDArray[np.unsignedinteger[Any]]:
    """`codes (N, D)` -> bin indices `(D, N)` in 0 .. bins - 1, in the smallest type. A constant code falls into a single bin.

    A few codes at a time are in memory as float64.
    """
    _require_bins(bins)
    indices = np.empty(codes.shape[::-1], dtype=np.min_scalar_type(bins - 1))
    step = max(1, CODES_AT_ONCE // len(codes))
    for first in range(0, codes.shape[1], step):
        columns = np.array(codes[:, first : first + step].T, dtype=np.float64, order="C")
        for j, code in enumerate(columns, start=first):
            indices[j] = bin_of(code, np.linspace(code.min(), code.max(), bins + 1))
    return indices


def _require_bins(bins: int) -> None:
    if bins < 2:
        raise ValueError(f"binning needs at least 2 bins, got bins={bins}; the papers use 20.")


def value_indices(codes: NDArray[Any]) -> tuple[NDArray[np.intp], int]:
    """`codes (N, D)` -> the rank `(D, N)` of each number among the values of its code, and the largest number of values."""
    indices = np.empty(codes.shape[::-1], dtype=np.intp)
    most = 1
    for j, code in enumerate(codes.T):
        values, indices[j] = np.unique(code, return_inverse=True)
        most = max(most, len(values))
    return indices, most


def binned_factors(table: Table, bins: int) -> Table:
    """`table` with the labels of continuous factors replaced by those of `bins` equal widths; 0 leaves them."""
    if bins < 0 or bins == 1:
        raise ValueError(f"binning needs factor_bins >= 2, or 0 to leave continuous factors, got factor_bins={bins}.")
    chosen = np.flatnonzero(table.continuous)
    if bins == 0 or not len(chosen):
        return table
    labels, sizes = table.labels.copy(), table.sizes.copy()
    for k, indices in zip(chosen, equal_width_bins(table.values[:, chosen], bins), strict=True):
        occupied = np.bincount(indices, minlength=bins) > 0
        labels[:, k], sizes[k] = (np.cumsum(occupied) - 1)[indices], occupied.sum()
    return table.with_factors(Factors(table.values, labels, sizes, table.continuous))


def left_out_and_binned(table: Table, binned: Sequence[bool]) -> dict[str, list[int]]:
    """List the constant factors, the dead codes, and the binned factors, of which `binned` (K,) is true."""
    return table.left_out() | {
        "binned_factors": [column for column, yes in zip(table.columns, binned, strict=True) if yes]
    }


def bin_of(values: NDArray[np.float64], edges: NDArray[np.float64]) -> NDArray[np.intp]:
    """Find the last bin whose left edge does not exceed the value, for values within `edges`, which are equally spaced.

    Arithmetic guesses the bin and the edges themselves decide; a search for each value takes three times as long.
    """
    bins, span = len(edges) - 1, edges[-1] - edges[0]
    if span == 0.0:
        return np.full(values.shape, bins - 1, dtype=np.intp)
    left, right = edges[:-1], np.append(edges[1:-1], np.inf)
    indices: NDArray[np.intp] = np.minimum((values - edges[0]) / span * bins, bins - 1).astype(np.intp)
    while True:  # once, unless the spacing of floating-point numbers is coarser than the bins
        step = (values >= right[indices]).astype(np.intp) - (values < left[indices])
        if not step.any():
            return indices
        indices += step


def contingency(
    bin_indices: NDArray[np.integer[Any]], factors: NDArray[np.intp], sizes: NDArray[np.intp], bins: int
) -> NDArray[np.int64]:
    """Rows in each (value, bin), for all pairs of factor and code in one array.

    `bin_indices (D, N)`, `factors (N, K)`, `sizes (K,)` -> `(D, S, B)` with S = sum of sizes: the values of factor 0,
    then those of factor 1, and so on, so that factors of unequal size waste no room. Small factors are counted jointly,
    as one of many values, and summed out of that: a row is then counted once for several of them.
    """
    (D, n), joined = bin_indices.shape, _joined_factors(sizes, bins, len(factors))
    joint_sizes = [int(np.prod(sizes[columns])) for columns in joined]
    first = (np.cumsum(joint_sizes) - joint_sizes) * bins
    counts = np.zeros((D, sum(joint_sizes) * bins), dtype=np.int64)
    step = max(1, ELEMENTS_AT_ONCE // len(joined))
    for start in range(0, n, step):
        rows = slice(start, start + step)
        values = [np.ravel_multi_index(factors[rows, columns].T, sizes[columns]) for columns in joined]
        cells = np.stack(values) * bins + first[:, None]  # (groups, rows)
        for j in range(D):
            counts[j] += np.bincount((cells + bin_indices[j, rows]).ravel(), minlength=counts.shape[1])
    single = np.empty((D, int(sizes.sum()), bins), dtype=np.int64)
    for columns, size, begin in zip(joined, joint_sizes, first, strict=True):
        joint = counts[:, begin : begin + size * bins].reshape(D, *sizes[columns], bins)
        for axis, k in enumerate(range(columns.start, columns.stop), start=1):
            others = tuple(other for other in range(1, joint.ndim - 1) if other != axis)
            single[:, int(sizes[:k].sum()) :][:, : sizes[k]] = joint.sum(axis=others)
    return single


def _joined_factors(sizes: NDArray[np.intp], bins: int, n: int) -> list[slice]:
    """Consecutive factors whose joint cells are few beside the rows, and few enough for a processor's cache."""
    most = min(n // (4 * bins), 1024)
    joined = [slice(0, 1)]
    for k in range(1, len(sizes)):
        start = joined[-1].start
        if np.prod(sizes[start : k + 1]) <= most:
            joined[-1] = slice(start, k + 1)
        else:
            joined.append(slice(k, k + 1))
    return joined


@recent
def table_information(table: Table, bins: int) -> Information:
    """`information` of a table whose continuous factors are binned. Metrics that ask for the same table share one count."""
    _require_bins(bins)
    info = information(binned_factors(table, bins), bins)
    for array in info[:4]:
        array.flags.writeable = False
    return info._replace(continuous=table.continuous)


def information(table: Table, bins: int) -> Information:
    """Everything the mutual-information metrics need, from one pass over the rows."""
    codes = table.raw_codes
    if table.quantized:
        indices, most = value_indices(codes)
        counts = contingency(indices, table.labels, table.sizes, most)
        return information_from_counts(counts, table, table.dead_codes)
    step = max(1, BINS_AT_ONCE // len(codes))
    counts = np.concatenate(  # (D, S, B)
        [
            contingency(equal_width_bins(codes[:, j : j + step], bins), table.labels, table.sizes, bins)
            for j in range(0, codes.shape[1], step)
        ]
    )
    return information_from_counts(counts, table, table.dead_codes)


def information_from_counts(
    counts: NDArray[np.int64] | NDArray[np.float64], factors: Factors | Table, dead_codes: Sequence[int] = ()
) -> Information:
    """Compute information from `counts (D, S, B)`, laid out as in `contingency`, whole or fractional. Each factor's sum to N."""
    n, sizes = len(factors.labels), factors.sizes
    starts = np.cumsum(sizes) - sizes
    joint = np.log(n) - np.add.reduceat(_x_log_x(counts).sum(axis=2), starts, axis=1).T / n
    per_value = np.bincount((factors.labels + starts).ravel(), minlength=int(sizes.sum()))
    factor = np.log(n) - np.add.reduceat(xlogy(per_value, per_value), starts) / n
    per_bin = counts[:, : sizes[0]].sum(axis=1)
    code = np.maximum(np.log(n) - xlogy(per_bin, per_bin).sum(axis=1) / n, 0.0)
    # Rounding may leave the exact range 0 <= I <= min(H(v), H(z)) by a few ulps; scores must not.
    mutual = np.clip(factor[:, None] + code - joint, 0.0, np.minimum(factor[:, None], code))
    mutual[:, list(dead_codes)] = 0.0
    mutual[mutual < TIE] = 0.0  # a ratio of two such rests of rounding must not look like knowledge
    return Information(mutual, joint, factor, code)


def _x_log_x(counts: NDArray[np.int64] | NDArray[np.float64]) -> NDArray[np.float64]:
    """Whole counts look the logarithm up: most cells hold one of few numbers."""
    if counts.dtype.kind == "f":
        return np.asarray(xlogy(counts, counts))
    numbers = np.arange(counts.max(initial=0) + 1.0)
    return np.asarray(xlogy(numbers, numbers)[counts])


def gap(info: Information) -> Gap:
    """Find the winning code of each factor and the information of the winner and of the runner-up.

    Of codes that tie for the most information the one with the smallest joint entropy wins: the order of columns is
    not a fact about a representation. With one code the runner-up is 0.
    """
    tied = info.mutual >= info.mutual.max(axis=1, keepdims=True) - TIE
    winner = np.where(tied, info.joint_entropy, np.inf).argmin(axis=1)
    others = info.mutual.copy()
    others[np.arange(len(winner)), winner] = 0.0
    best = info.mutual.max(axis=1)
    return Gap(winner, best, np.minimum(others.max(axis=1), best))


def gap_over_factors(knowledge: NDArray[np.float64]) -> Gap:
    """`knowledge (K, D)`, K > 1 -> for each *code* its best factor, and what it knows of that and of the next one."""
    ranked = np.sort(knowledge, axis=0)
    return Gap(knowledge.argmax(axis=0), ranked[-1], ranked[-2])


def require_factors_to_compare(columns: Sequence[int], metric: str) -> None:
    """Raise NotApplicable when a code has no other factor that it could be about."""
    if len(columns) < 2:
        raise NotApplicable(
            f"{metric} compares what a code knows about several factors and needs two that vary, got one (column"
            f" {columns[0]})."
        )


def standardised(
    codes: NDArray[np.float64], stds: NDArray[np.float64] | None = None
) -> tuple[NDArray[np.float64], NDArray[np.float64] | None]:
    """Each column about its mean in units of its standard deviation, `stds` (rows' own deviations) in the same units.

    Where rows have standard deviations, the deviation of the mixture is used. A constant column becomes 0.
    """
    columns = np.ascontiguousarray(codes.T)  # (D, N)
    span = np.ptp(columns, axis=1)
    unit = np.where(span > 0, span, 1.0)  # squares of very small or large codes would leave the range of a float
    columns = (columns - columns.mean(axis=1)[:, None]) / unit[:, None]
    columns[span == 0] = 0.0
    variance = (columns**2).mean(axis=1)
    if stds is not None:
        stds = stds / unit
        variance += (stds**2).mean(axis=0)
    deviation = np.sqrt(np.where(variance > 0, variance, 1.0))
    columns /= deviation[:, None]
    return columns.T, None if stds is None else stds / deviation
