"""Mutual information gap: Chen et al. 2018, arXiv:1802.04942v5, section 4.

    MIG = 1/K sum_k (I(z_best; v_k) - I(z_second; v_k)) / H(v_k)

The variant of disentanglement_lib: the mean code of a row, not a sample of it, in 20 equal-width bins, and plug-in
entropies. Zaidi et al. 2020, arXiv:2012.09276, divide each I(z_j; v_k) by the entropy of the code instead
(`divide_by="code"`), and others estimate I from posterior samples; those numbers are not comparable. Bins cap the score:
20 of them cannot hold 32 positions, so a perfect code of dSprites scores 0.90.
"""

from functools import partial
from typing import Any, Literal

import numpy as np

from disbench.metrics.information import gap, left_out_and_binned, table_information
from disbench.metrics.metric import Metric, entries
from disbench.metrics.table import Table


@partial(
    Metric,
    label="MIG",
    higher_is_better=True,
    bounds=(0.0, 1.0),
    definition="Mean over factors of the gap in mutual information between the best and the second-best code,"
    " divided by the factor's entropy; codes in 20 equal-width bins.",
    insensitive_to="A code that knows two factors; it charges a copied factor in full, and no factor of more than 20"
    " values can reach 1.",
    source="Chen et al. 2018, arXiv:1802.04942v5, section 4",
    version=2,
)
def mig(table: Table, *, bins: int = 20, divide_by: Literal["factor", "code"] = "factor") -> dict[str, Any]:
    """Average over factors how much more the best code knows than the second-best.

    The gap is in units of the factor's entropy. Constant factors are left out. A dead code, and a missing
    second code, know nothing. The detail holds the winning code of each varying factor, its gap, and
    information in nats.

    Parameters
    ----------
    bins
        Number of equal-width bins over the range of each code, and of each continuous factor; at least 2.
    divide_by
        "code" divides the information of each code by that code's entropy before codes are compared.

    Examples
    --------
    >>> from disbench.metrics import mig
    >>> factors = [[0, 0], [0, 1], [1, 0], [1, 1]]
    >>> rotated = [[0, 0], [1, -1], [1, 1], [2, 0]]
    >>> mig(factors, factors), mig(rotated, factors)
    (1.0, 0.0)
    """
    if divide_by not in ("factor", "code"):
        raise ValueError(f'mig divides by the entropy of "factor" or "code", got divide_by={divide_by!r}.')
    info = table_information(table, bins)
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
        "factors": entries(
            factor=table.columns,
            code=winner,
            gap=gaps,
            information=best,
            runner_up_information=runner_up,
            entropy=info.factor_entropy,
        ),
    } | left_out_and_binned(table, info.continuous)
