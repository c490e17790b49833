"""Robust mutual information gap: Do and Tran 2020, arXiv:1908.09961v3.

    RMIG = 1/K sum_k (I(z_best; v_k) - I(z_second; v_k)) / H(v_k),     p(z_j, v_k) = mean over rows x of q(z_j | x) p(v_k | x)

MIG's formula over another distribution of codes: each row holds its whole posterior q(z_j | x), a normal of mean `codes`
and deviation `stds`, quantized to 100 bins of equal width over [-4, 4]. A bin's weight is the density at its center,
made to sum to 1; a posterior so narrow that it falls between centers, or one beyond the limits, gives all its weight to
its mean's bin, the first or the last one if that is outside. Without `stds` every posterior is a point, and what is left
of the difference to MIG is the bins. Of the authors' two forms this is the one divided by H(v_k); the gap in nats is in
the detail, and so is their JEMMIG over the same distribution (lower is better, unlike the score of that name here).

The limits suit codes that are standard normal over the dataset. Here they are in units of each code's own deviation
about its mean, which is the same for such codes, and makes the score independent of scale; `standardise=False` takes
codes as they are, as the authors did.
"""

from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from disbench.metrics.information import (
    bin_of,
    binned_factors,
    contingency,
    gap,
    information_from_counts,
    left_out_and_binned,
    standardised,
    value_indices,
)
from disbench.metrics.metric import Metric, entries
from disbench.metrics.table import Table

ROWS_AT_ONCE = 1 << 14
FLAT = 1e-5  # a density that stays below this at all centers has missed them
NARROWEST = 1e-8
FACTOR_BINS = 20  # of a continuous factor, over its own range; as many as MIG has


@partial(
    Metric,
    label="RMIG",
    higher_is_better=True,
    bounds=(0.0, 1.0),
    definition="MIG over the codes' posterior distribution, in 100 bins over four standard deviations on either"
    " side of the mean.",
    insensitive_to="A code that knows two factors; it charges a copied factor in full.",
    source="Do and Tran 2020, arXiv:1908.09961v3",
    version=2,
    optional=("std",),
)
def rmig(table: Table, *, bins: int = 100, limit: float = 4.0, standardise: bool = True) -> dict[str, Any]:
    """Compute the mutual information gap over the posterior distribution of the codes.

    `codes` are posterior means. Without `std`, every posterior is a point. Noise scores near 0: 100 bins
    raise all information by (V - 1) 99 / 2N nats, also that of the second-best code. Constant factors are
    left out. A code with a single mean value, and a missing second code, know nothing. Continuous factors
    get 20 equal-width bins. The detail holds, for each varying factor, its winning code, both gaps,
    information, entropies, and J in nats.

    Parameters
    ----------
    bins
        Number of equal-width bins between -limit and limit; at least 2.
    limit
        Greater than 0. Codes beyond it are in the first or the last bin.
    standardise
        Whether `limit` is in units of each code's standard deviation about its mean.

    Examples
    --------
    >>> from disbench.metrics import rmig
    >>> factors = [[0, 0], [0, 1], [1, 0], [1, 1]]
    >>> rotated = [[0, 0], [1, -1], [1, 1], [2, 0]]
    >>> rmig(factors, factors), rmig(rotated, factors)
    (1.0, 0.0)
    >>> round(rmig(factors, factors, std=[[0.5, 0.5]] * 4), 2)
    0.49
    """
    if bins < 2:
        raise ValueError(f"rmig needs at least 2 bins, got bins={bins}; the paper uses 100.")
    if not 0 < limit < np.inf:
        raise ValueError(f"rmig needs a positive limit, got limit={limit}; the paper's is 4.")
    means, spread, binned = table.codes, table.std, binned_factors(table, FACTOR_BINS)
    if standardise:
        means, spread = standardised(means, spread)
    edges = np.linspace(-limit, limit, bins + 1)
    counts: NDArray[np.int64] | NDArray[np.float64]
    if spread is None and table.quantized:  # a bin for each value
        indices, bins = value_indices(table.raw_codes)
        counts = contingency(indices, binned.labels, binned.sizes, bins)
    elif spread is None:
        counts = contingency(_bin_of_points(means.T, edges), binned.labels, binned.sizes, bins)
    else:
        counts = expected_counts(means, spread, binned, edges)
    info = information_from_counts(counts, binned, table.dead_codes)
    winner, best, runner_up = gap(info)
    joint = info.joint_entropy[np.arange(len(winner)), winner]
    gaps = (best - runner_up) / info.factor_entropy  # (K,)
    j_nats = joint - best + runner_up
    return {
        "score": min(float(gaps.mean()), 1.0),
        "bins": bins,
        "factors": entries(
            factor=table.columns,
            code=winner,
            gap=gaps,
            gap_nats=best - runner_up,
            information=best,
            runner_up_information=runner_up,
            entropy=info.factor_entropy,
            j_nats=j_nats,
            jemmig_lower_is_better=j_nats / (info.factor_entropy + np.log(bins)),
        ),
        "factor_bins": FACTOR_BINS,
    } | left_out_and_binned(table, table.continuous)


def expected_counts(
    means: NDArray[np.float64], stds: NDArray[np.float64], table: Table, edges: NDArray[np.float64]
) -> NDArray[np.float64]:
    """`contingency` with each row spread over the bins by its posterior: `(D, S, B)`."""
    n, D, S = *means.shape, int(table.sizes.sum())
    counts = np.zeros((D, S, len(edges) - 1))
    cells = table.labels + np.cumsum(table.sizes) - table.sizes  # (N, K)
    for start in range(0, n, ROWS_AT_ONCE):
        rows = slice(start, min(start + ROWS_AT_ONCE, n))
        chosen = cells[rows]
        position = np.repeat(np.arange(len(chosen)), chosen.shape[1])
        values = csr_array((np.ones(chosen.size), (chosen.ravel(), position)), shape=(S, len(chosen)))
        for j in range(D):
            counts[j] += values @ quantised_posteriors(means[rows, j], stds[rows, j], edges)
    return counts


def quantised_posteriors(
    means: NDArray[np.float64], stds: NDArray[np.float64], edges: NDArray[np.float64]
) -> NDArray[np.float64]:
    """`means (N,)`, `stds (N,)` -> `(N, B)`: each row's weight of every bin, summing to 1."""
    stds = np.maximum(stds, NARROWEST)[:, None]
    centres = (edges[1:] + edges[:-1]) / 2
    density: NDArray[np.float64]
    density = np.exp(-0.5 * ((centres - means[:, None]) / stds) ** 2) / (stds * np.sqrt(2 * np.pi))  # (N, B)
    missed = density.max(axis=1) < FLAT
    density[missed] = 0.0
    density[missed, _bin_of_points(means[missed], edges)] = 1.0
    density /= density.sum(axis=1, keepdims=True)
    return density


def _bin_of_points(values: NDArray[np.float64], edges: NDArray[np.float64]) -> NDArray[np.intp]:
    """Find the bin of each value, whatever its shape; beyond the limits the first or the last one."""
    return bin_of(np.clip(values, edges[0], edges[-1]), edges)
