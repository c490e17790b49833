"""DCIMIG: Sepliarskaia et al. 2019, arXiv:1910.05587, as in Zaidi et al. 2020, arXiv:2012.09276.

    gap_j  = I(z_j; v_best) - I(z_j; v_second)          each code claims its best factor, by the gap
    DCIMIG = sum_k max of gap_j over the codes that claim k / sum_k H(v_k)

MIG compares codes for a factor; this compares factors for a code, then keeps one code a factor, so a factor that is
encoded twice costs nothing and one that no code claims costs its whole entropy. Factors weigh as much as their entropy.
20 equal-width bins here, as in the other information scores; Zaidi et al. used 10.
"""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from disbench.metrics.information import gap_over_factors, require_factors_to_compare, table_information


def dcimig(codes: ArrayLike, factors: ArrayLike, *, bins: int = 20, seed: int = 0) -> float:
    """The share of the factors' entropy that the best code of each knows beyond what it knows about any other factor.

    `codes (N, D)`, `factors (N, K)` -> a number in [0, 1], higher is better, near 0 for noise. Constant factors are
    left out; a dead code claims nothing. Continuous factors are binned into
    `bins` equal widths, as codes are. `seed` is there for a uniform call and changes nothing. Raises NotApplicable
    when fewer than two factors vary and ValueError for a malformed table or bins < 2.
    """
    return float(dcimig_detail(codes, factors, bins=bins, seed=seed)["score"])


def dcimig_detail(codes: ArrayLike, factors: ArrayLike, *, bins: int = 20, seed: int = 0) -> dict[str, Any]:
    """`dcimig` with, for each varying factor, the code that claims it (None if none does), the gap and the entropy in nats."""
    table = table_information(codes, factors, bins)
    require_factors_to_compare(table.columns, "dcimig")
    claimed, best, runner_up = gap_over_factors(table.info.mutual)
    claims = np.zeros_like(table.info.mutual)  # (K, D)
    claims[claimed, np.arange(len(claimed))] = best - runner_up
    gaps, entropy = claims.max(axis=1), table.info.factor_entropy  # (K,)
    return {
        "score": min(float(gaps.sum() / entropy.sum()), 1.0),
        "bins": bins,
        "factors": [
            {
                "factor": column,
                "code": int(claims[k].argmax()) if gaps[k] > 0 else None,
                "gap": float(gaps[k]),
                "entropy": float(entropy[k]),
            }
            for k, column in enumerate(table.columns)
        ],
        "constant_factors": list(table.constant_factors),
        "dropped_codes": list(table.dead_codes),
        "binned_factors": list(table.binned_factors),
    }
