"""MIG-sup: Li et al. 2020 (ICLR), arXiv:2002.10549.

    MIG-sup = mean over codes j of R(z_j, v_best) - R(z_j, v_second),     R(z_j, v_k) = I(z_j; v_k) / H(v_k)

MIG's supplement: it asks of each code whether it is about one factor, where MIG asks of each factor whether one code
holds it, so a factor encoded twice costs nothing. The authors divide by the factor's entropy and leave inactive codes
out; Zaidi et al. 2020, arXiv:2012.09276, divide by the code's (`divide_by="code"`), which counts what is in the code
beyond its factor and gives NaN for a dead one. Bins and estimates are those of MIG. A live code that is noise does
count, as a gap of nearly 0: unused codes lower the score unless they are constant.
"""

from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from disbench.metrics.information import gap_over_factors, require_factors_to_compare, table_information


def mig_sup(
    codes: ArrayLike,
    factors: ArrayLike,
    *,
    bins: int = 20,
    divide_by: Literal["factor", "code"] = "factor",
    seed: int = 0,
) -> float:
    """The mean over live codes of the gap in relative information between a code's best and second-best factor.

    `codes (N, D)`, `factors (N, K)` -> a number in [0, 1], higher is better, near 0 for noise, and 0 where all codes
    are dead. Constant factors are left out. Continuous factors are binned into
    `bins` equal widths, as codes are. `seed` is there for a uniform call and changes nothing. Raises
    NotApplicable when fewer than two factors vary and ValueError for a malformed table, bins < 2 or another divisor.
    """
    return float(mig_sup_detail(codes, factors, bins=bins, divide_by=divide_by, seed=seed)["score"])


def mig_sup_detail(
    codes: ArrayLike,
    factors: ArrayLike,
    *,
    bins: int = 20,
    divide_by: Literal["factor", "code"] = "factor",
    seed: int = 0,
) -> dict[str, Any]:
    """`mig_sup` with each live code's best factor and its gap."""
    if divide_by not in ("factor", "code"):
        raise ValueError(f'mig_sup divides by the entropy of "factor" or "code", got divide_by={divide_by!r}.')
    table = table_information(codes, factors, bins)
    require_factors_to_compare(table.columns, "mig_sup")
    live, info = list(table.live_codes), table.info
    entropy = info.factor_entropy[:, None] if divide_by == "factor" else info.code_entropy[live]
    # A live code can still fall into one bin but for values that rounding hides; then it knows nothing, and 0/0 is 0.
    mutual = info.mutual[:, live]
    relative = np.divide(mutual, entropy, out=np.zeros_like(mutual), where=entropy > 0)  # (K, live)
    winner, best, runner_up = gap_over_factors(relative)
    gaps = best - runner_up  # (live,)
    return {
        "score": min(float(gaps.mean()), 1.0) if live else 0.0,
        "bins": bins,
        "divide_by": divide_by,
        "codes": [
            {"code": j, "factor": table.columns[int(winner[i])], "gap": float(gaps[i])} for i, j in enumerate(live)
        ],
        "constant_factors": list(table.constant_factors),
        "dropped_codes": list(table.dead_codes),
        "binned_factors": list(table.binned_factors),
    }
