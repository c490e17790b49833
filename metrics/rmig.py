"""Robust mutual information gap: Do and Tran 2020, arXiv:1908.09961v3.

    RMIG = 1/K sum_k (I(z_best; v_k) - I(z_second; v_k)) / H(v_k),     p(z_j, v_k) = mean over rows x of q(z_j | x) p(v_k | x)

MIG's formula over another distribution of codes: each row holds its whole posterior q(z_j | x), a normal of mean `codes`
and deviation `stds`, quantised to 100 bins of equal width over [-4, 4]. A bin's weight is the density at its centre,
made to sum to 1; a posterior so narrow that it falls between centres, or one beyond the limits, gives all its weight to
its mean's bin, the first or the last one if that is outside. Without `stds` every posterior is a point, and what is left
of the difference to MIG is the bins. Of the authors' two forms this is the one divided by H(v_k); the gap in nats is in
the detail, and so is their JEMMIG over the same distribution (lower is better, unlike the score of that name here).

The limits suit codes that are standard normal over the data set. Here they are in units of each code's own deviation
about its mean, which is the same for such codes, and makes the score independent of scale; `standardise=False` takes
codes as they are, as the authors did.
"""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_array

from disbench.metrics.arrays import to_array
from disbench.metrics.information import (
    bin_of,
    binned_factors,
    contingency,
    continuous_columns,
    gap,
    information_from_counts,
    standardised,
)
from disbench.metrics.table import Table, as_table

ROWS_AT_ONCE = 1 << 14
FLAT = 1e-5  # a density that stays below this at all centres has missed them
NARROWEST = 1e-8
FACTOR_BINS = 20  # of a continuous factor, over its own range; as many as MIG has


def rmig(
    codes: ArrayLike,
    factors: ArrayLike,
    *,
    stds: ArrayLike | None = None,
    bins: int = 100,
    limit: float = 4.0,
    standardise: bool = True,
    seed: int = 0,
) -> float:
    """The mean over factors of the gap between the two codes that know most, over the codes' posterior distribution.

    `codes (N, D)` are posterior means, `stds (N, D)` their standard deviations or None for points, `factors (N, K)` ->
    a number in [0, 1], higher is better, near 0 for noise: 100 bins raise all information by (V - 1) 99 / 2N nats, the
    runner-up's too. Constant factors are left out of the mean; a code with a single mean value is dead and knows
    nothing; with one code the second-best knows nothing. Continuous factors are binned into 20 equal widths. `seed` is
    there for a uniform call and changes nothing. Raises NotApplicable when no factor varies, and ValueError for a
    malformed table, bins < 2, a limit that is not positive, or stds of another shape than codes, negative or not
    finite.
    """
    options: dict[str, Any] = {"bins": bins, "limit": limit, "standardise": standardise, "seed": seed}
    return float(rmig_detail(codes, factors, stds=stds, **options)["score"])


def rmig_detail(
    codes: ArrayLike,
    factors: ArrayLike,
    *,
    stds: ArrayLike | None = None,
    bins: int = 100,
    limit: float = 4.0,
    standardise: bool = True,
    seed: int = 0,
) -> dict[str, Any]:
    """`rmig` with, for each varying factor, its winning code, both gaps, information and entropies, and J, in nats."""
    if bins < 2:
        raise ValueError(f"rmig needs at least 2 bins, got bins={bins}; the paper uses 100.")
    if not 0 < limit < np.inf:
        raise ValueError(f"rmig needs a positive limit, got limit={limit}; the paper's is 4.")
    table = binned_factors(as_table(codes, factors), FACTOR_BINS)
    means, spread = table.codes, None if stds is None else _checked_stds(stds, table)
    if standardise:
        means, spread = standardised(means, spread)
    edges = np.linspace(-limit, limit, bins + 1)
    counts: NDArray[np.int64] | NDArray[np.float64]
    if spread is None:
        counts = contingency(_bin_of_points(means.T, edges), table.labels, table.sizes, bins)
    else:
        counts = expected_counts(means, spread, table, edges)
    info = information_from_counts(counts, table)
    winner, best, runner_up = gap(info)
    joint = info.joint_entropy[np.arange(len(winner)), winner]
    gaps = (best - runner_up) / info.factor_entropy  # (K,)
    j_nats = joint - best + runner_up
    return {
        "score": min(float(gaps.mean()), 1.0),
        "bins": bins,
        "factors": [
            {
                "factor": column,
                "code": int(winner[k]),
                "gap": float(gaps[k]),
                "gap_nats": float(best[k] - runner_up[k]),
                "information": float(best[k]),
                "runner_up_information": float(runner_up[k]),
                "entropy": float(info.factor_entropy[k]),
                "j_nats": float(j_nats[k]),
                "jemmig_lower_is_better": float(j_nats[k] / (info.factor_entropy[k] + np.log(bins))),
            }
            for k, column in enumerate(table.columns)
        ],
        "constant_factors": table.constant_factors,
        "dropped_codes": table.dead_codes,
        "binned_factors": list(continuous_columns(table)),
        "factor_bins": FACTOR_BINS,
    }


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
    """The bin of each value, whatever its shape; beyond the limits the first or the last one."""
    return bin_of(np.clip(values, edges[0], edges[-1]), edges)


def _checked_stds(stds: ArrayLike, table: Table) -> NDArray[np.float64]:
    array = to_array(stds).astype(np.float64)
    if array.shape != table.codes.shape:
        raise ValueError(f"rmig needs a standard deviation for each code, got {array.shape} for {table.codes.shape}.")
    if not (np.isfinite(array) & (array >= 0)).all():
        raise ValueError("rmig needs finite standard deviations >= 0; pass deviations and not logarithms of variances.")
    return array
