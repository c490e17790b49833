"""Joint entropy minus mutual information gap: Do and Tran 2020, arXiv:1908.09961v3.

    J_k = H(z_best, v_k) - I(z_best; v_k) + I(z_second; v_k)         in nats, lower is better
    JEMMIG = 1/K sum_k 1 - J_k / (H(v_k) + log B)                    in [0, 1], higher is better

J adds to MIG's gap what z_best says beyond v_k. The normalisation is that of Zaidi et al. 2020, arXiv:2012.09276, for
equal-width bins over each code's own range; J in nats stands in the detail. Do and Tran bin [-4, 4] and sample the
posterior, which gives other numbers.
"""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from disbench.metrics.information import gap, table_information


def jemmig(codes: ArrayLike, factors: ArrayLike, *, bins: int = 20, seed: int = 0) -> float:
    """One minus the normalised J, averaged over the factors.

    `codes (N, D)`, `factors (N, K)` -> a number in [0, 1], higher is better, well above 0 for noise. Constant factors
    are left out of the mean; a dead code knows nothing; with one code the second-best knows nothing. Where *all*
    codes are dead the formula gives log B / (H(v_k) + log B): nothing is known, but nothing superfluous is said; look
    at MIG beside it. Continuous factors are binned into
    `bins` equal widths, as codes are. `seed` is there for a uniform call and changes nothing. Raises NotApplicable when no factor
    varies and ValueError for a malformed table or bins < 2.
    """
    return float(jemmig_detail(codes, factors, bins=bins, seed=seed)["score"])


def jemmig_detail(codes: ArrayLike, factors: ArrayLike, *, bins: int = 20, seed: int = 0) -> dict[str, Any]:
    """`jemmig` with J in nats, and for each varying factor its winning code, J and the terms of J."""
    table = table_information(codes, factors, bins)
    info = table.info
    winner, best, runner_up = gap(info)
    joint = info.joint_entropy[np.arange(len(winner)), winner]  # (K,)
    j_nats = joint - best + runner_up
    scores = 1.0 - j_nats / (info.factor_entropy + np.log(bins))
    return {
        "score": min(max(float(scores.mean()), 0.0), 1.0),
        "j_nats": float(j_nats.mean()),
        "bins": bins,
        "factors": [
            {
                "factor": column,
                "code": int(winner[k]),
                "score": float(scores[k]),
                "j_nats": float(j_nats[k]),
                "information": float(best[k]),
                "runner_up_information": float(runner_up[k]),
                "joint_entropy": float(joint[k]),
                "entropy": float(info.factor_entropy[k]),
            }
            for k, column in enumerate(table.columns)
        ],
        "constant_factors": list(table.constant_factors),
        "dropped_codes": list(table.dead_codes),
        "binned_factors": list(table.binned_factors),
    }
