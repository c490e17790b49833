"""Mean correlation coefficient: Hyvarinen and Morioka 2016, arXiv:1605.06336; Khemakhem et al. 2020, arXiv:1907.04809.

    MCC = 1/K max over assignments of one code to each factor of sum_k abs(corr(z_a(k), v_k))

The score of nonlinear ICA: each factor gets a code of its own, chosen for all factors at once (Hungarian method), so two
factors cannot be credited to one code. Correlations are Pearson's or Spearman's. Public code averages over the min(D, K)
pairs that were assigned; here a factor that is left without a code counts 0, so that a missing factor is not free, and
for D >= K the two are the same number.
"""

from functools import partial
from typing import Any

import numpy as np

from disbench.metrics.correlation import correlations
from disbench.metrics.metric import Metric, entries
from disbench.metrics.table import Table

CORRELATIONS = ("pearson", "spearman")


@partial(
    Metric,
    label="MCC",
    higher_is_better=True,
    bounds=(0.0, 1.0),
    definition="Mean absolute correlation of the factors with the codes that are assigned to them one to one.",
    insensitive_to="What a code knows beside its factor, copies and spare codes; a mixture of all factors can score two"
    " thirds.",
    source="Hyvarinen and Morioka 2016, arXiv:1605.06336; Khemakhem et al. 2020, arXiv:1907.04809",
    version=2,
    uses=("codes", "values"),
)
def mcc(table: Table, *, correlation: str = "pearson") -> dict[str, Any]:
    """The mean absolute correlation of the factors with the codes assigned to them, one code a factor.

    In [0, 1], higher is better, near 0 for noise on many rows (about sqrt(log(D) / N)). It takes the factors' values at their
    word: shape labels in another order are another score, and so are the logarithms of a factor. Continuous factors are
    welcome. A dead code correlates with nothing. Constant factors are left out of the mean. The detail holds each factor's
    code (None where there are fewer codes than factors) and their absolute correlation.

    Parameters
    ----------
    correlation
        "pearson" sees lines, "spearman" monotone curves.
    """
    from scipy.optimize import linear_sum_assignment
    from scipy.stats import rankdata

    if correlation not in CORRELATIONS:
        raise ValueError(f"mcc knows the correlations {', '.join(CORRELATIONS)}, got correlation={correlation!r}.")
    rank = correlation == "spearman"
    values, targets = (rankdata(array, axis=0) if rank else array for array in (table.raw_codes, table.values))
    size = np.abs(correlations(values, targets))  # (D, K)
    size[table.dead_codes] = 0.0
    assigned_codes, assigned_factors = linear_sum_assignment(size, maximize=True)
    code_of = dict(zip(assigned_factors.tolist(), assigned_codes.tolist(), strict=True))
    code = [code_of.get(k) for k in range(len(table.columns))]
    scores = [0.0 if j is None else float(size[j, k]) for k, j in enumerate(code)]
    return {
        "score": float(np.mean(scores)),
        "correlation": correlation,
        "factors": entries(factor=table.columns, code=code, score=scores),
    } | table.left_out()
