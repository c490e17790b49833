"""Mean correlation coefficient: Hyvarinen and Morioka 2016, arXiv:1605.06336; Khemakhem et al. 2020, arXiv:1907.04809.

    MCC = 1/K max over assignments of one code to each factor of sum_k abs(corr(z_a(k), v_k))

The score of nonlinear ICA: each factor gets a code of its own, chosen for all factors at once (Hungarian method), so two
factors cannot be credited to one code. Correlations are Pearson's or Spearman's. Public code averages over the min(D, K)
pairs that were assigned; here a factor that is left without a code counts 0, so that a missing factor is not free, and
for D >= K the two are the same number.
"""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from disbench.metrics.correlation import correlations
from disbench.metrics.table import as_table

CORRELATIONS = ("pearson", "spearman")


def mcc(codes: ArrayLike, factors: ArrayLike, *, correlation: str = "pearson", seed: int = 0) -> float:
    """The mean absolute correlation of the factors with the codes assigned to them, one code a factor.

    `codes (N, D)`, `factors (N, K)` -> a number in [0, 1], higher is better, near 0 for noise on many rows (about
    sqrt(log(D) / N)). It sees lines (`correlation="pearson"`) or monotone curves (`"spearman"`) only, and takes the
    factors' values at their word: shape labels in another order are another score, and so are the logarithms of a
    factor. Continuous factors are welcome. A dead code correlates with
    nothing. Constant factors are left out of the mean. `seed` is there for a uniform call and changes nothing. Raises
    NotApplicable when no factor varies and ValueError for a malformed table or an unknown correlation.
    """
    return float(mcc_detail(codes, factors, correlation=correlation, seed=seed)["score"])


def mcc_detail(codes: ArrayLike, factors: ArrayLike, *, correlation: str = "pearson", seed: int = 0) -> dict[str, Any]:
    """`mcc` with each factor's code (None where there are fewer codes than factors) and their absolute correlation."""
    from scipy.optimize import linear_sum_assignment
    from scipy.stats import rankdata

    if correlation not in CORRELATIONS:
        raise ValueError(f"mcc knows the correlations {', '.join(CORRELATIONS)}, got correlation={correlation!r}.")
    table = as_table(codes, factors, cast=False)
    rank = correlation == "spearman"
    values, targets = (rankdata(array, axis=0) if rank else array for array in (table.codes, table.values))
    size = np.abs(correlations(values, targets))  # (D, K)
    size[table.dead_codes] = 0.0
    assigned_codes, assigned_factors = linear_sum_assignment(size, maximize=True)
    code_of = dict(zip(assigned_factors.tolist(), assigned_codes.tolist(), strict=True))
    scores = [float(size[code_of[k], k]) if k in code_of else 0.0 for k in range(len(table.columns))]
    return {
        "score": float(np.mean(scores)),
        "correlation": correlation,
        "factors": [
            {"factor": column, "code": code_of.get(k), "score": scores[k]} for k, column in enumerate(table.columns)
        ],
        "constant_factors": table.constant_factors,
        "dropped_codes": table.dead_codes,
    }
