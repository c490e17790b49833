"""Mutual information gap: Chen et al. 2018, arXiv:1802.04942v5, section 4.

    MIG = 1/K sum_k (I(z_best; v_k) - I(z_second; v_k)) / H(v_k)

The variant of disentanglement_lib: the mean code of a row, not a sample of it, in 20 equal-width bins, and plug-in
entropies. Others divide by the code's entropy or estimate I from posterior samples; those numbers are not comparable.
Bins cap the score: 20 of them cannot hold 32 positions, so a perfect code of dSprites scores .90.
"""

from typing import Any

from numpy.typing import ArrayLike

from disbench.metrics.information import gap, table_information


def mig(codes: ArrayLike, factors: ArrayLike, *, bins: int = 20, seed: int = 0) -> float:
    """The mean over factors of the gap between the best and the second-best code, in units of the factor's entropy.

    `codes (N, D)`, `factors (N, K)` -> a number in [0, 1], higher is better. Constant factors are left out of the
    mean; a dead code knows nothing; with one code the second-best knows nothing. `seed` is there for a uniform call
    and changes nothing. Raises NotApplicable when no factor varies and ValueError for a malformed table or bins < 2.
    """
    return float(mig_detail(codes, factors, bins=bins, seed=seed)["score"])


def mig_detail(codes: ArrayLike, factors: ArrayLike, *, bins: int = 20, seed: int = 0) -> dict[str, Any]:
    """`mig` with, for each varying factor, its winning code, gap in units of its entropy, and information in nats."""
    table = table_information(codes, factors, bins)
    info = table.info
    winner, best, runner_up = gap(info)
    gaps = (best - runner_up) / info.factor_entropy  # (K,)
    return {
        "score": min(float(gaps.mean()), 1.0),
        "bins": bins,
        "factors": [
            {
                "factor": column,
                "code": int(winner[k]),
                "gap": float(gaps[k]),
                "information": float(best[k]),
                "runner_up_information": float(runner_up[k]),
                "entropy": float(info.factor_entropy[k]),
            }
            for k, column in enumerate(table.columns)
        ],
        "constant_factors": list(table.constant_factors),
        "dropped_codes": list(table.dead_codes),
    }
