"""Mean correlation coefficient: Hyvarinen and Morioka 2016, arXiv:1605.06336; Khemakhem et al. 2020, arXiv:1907.04809.

    MCC = 1/K max over assignments of one code to each factor of sum_k abs(corr(z_a(k), v_k))

The score of nonlinear ICA: each factor gets a different code, chosen for all factors at once (Hungarian method), so two
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
    """Average the absolute correlation of each factor with the code assigned to it, one code per factor.

    Noise scores about sqrt(log(D) / N). The score depends on the factor values as numbers: another order of
    shape labels, or the logarithm of a factor, gives another score. Continuous factors are supported. A dead
    code correlates with nothing. Constant factors are left out. The detail holds the code of each factor
    (None if there are fewer codes than factors) and their absolute correlation.

    Parameters
    ----------
    correlation
        "pearson" measures linear relations, "spearman" monotone ones.

    Examples
    --------
    >>> from disbench.metrics import mcc
    >>> factors = [[0, 0], [0, 1], [1, 0], [1, 1]]
    >>> rotated = [[0, 0], [1, -1], [1, 1], [2, 0]]
    >>> mcc(factors, factors), round(mcc(rotated, factors), 3)
    (1.0, 0.707)
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
