"""Mutual information gap: Chen et al. 2018, arXiv:1802.04942v5, section 4.

    MIG = 1/K sum_k (I(z_best; v_k) - I(z_second; v_k)) / H(v_k)

The variant of disentanglement_lib: the mean code of a row, not a sample of it, in 20 equal-width bins, and plug-in
entropies. Zaidi et al. 2020, arXiv:2012.09276, divide each I(z_j; v_k) by the entropy of the code instead
(`divide_by="code"`), and others estimate I from posterior samples; those numbers are not comparable. Bins cap the score:
20 of them cannot hold 32 positions, so a perfect code of dSprites scores 0.90.
"""

from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from disbench.metrics.information import gap, table_information


def mig(
    codes: ArrayLike,
    factors: ArrayLike,
    *,
    bins: int = 20,
    divide_by: Literal["factor", "code"] = "factor",
    seed: int = 0,
) -> float:
    """The mean over factors of the gap between the best and the second-best code, in units of the factor's entropy.

    `codes (N, D)`, `factors (N, K)` -> a number in [0, 1], higher is better. Constant factors are left out of the
    mean; a dead code knows nothing; with one code the second-best knows nothing. Continuous factors are binned into
    `bins` equal widths, as codes are. With `divide_by="code"` the information of each code is divided by that code's
    entropy before codes are compared. `seed` is there for a uniform call and changes nothing. Raises NotApplicable when
    no factor varies and ValueError for a malformed table, bins < 2 or another divisor.
    """
    return float(mig_detail(codes, factors, bins=bins, divide_by=divide_by, seed=seed)["score"])


def mig_detail(
    codes: ArrayLike,
    factors: ArrayLike,
    *,
    bins: int = 20,
    divide_by: Literal["factor", "code"] = "factor",
    seed: int = 0,
) -> dict[str, Any]:
    """`mig` with, for each varying factor, its winning code, gap in units of entropy, and information in nats."""
    if divide_by not in ("factor", "code"):
        raise ValueError(f'mig divides by the entropy of "factor" or "code", got divide_by={divide_by!r}.')
    table = table_information(codes, factors, bins)
    info = table.info
    entropy = info.factor_entropy[:, None] if divide_by == "factor" else info.code_entropy
    relative = np.divide(info.mutual, entropy, out=np.zeros_like(info.mutual), where=entropy > 0)  # (K, D)
    winner, most, second = gap(info._replace(mutual=relative))
    gaps = most - second  # (K,)
    best = info.mutual[np.arange(len(winner)), winner]
    others = info.mutual.copy()
    others[np.arange(len(winner)), winner] = 0.0
    runner_up = others.max(axis=1)
    return {
        "score": min(float(gaps.mean()), 1.0),
        "bins": bins,
        "divide_by": divide_by,
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
        "binned_factors": list(table.binned_factors),
    }
