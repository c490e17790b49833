"""Joint entropy minus mutual information gap: Do and Tran 2020, arXiv:1908.09961v3.

    J_k = H(z_best, v_k) - I(z_best; v_k) + I(z_second; v_k)         in nats, lower is better
    JEMMIG = 1/K sum_k 1 - J_k / (H(v_k) + log B)                    in [0, 1], higher is better

J adds to MIG's gap what z_best says beyond v_k. The normalization is that of Zaidi et al. 2020, arXiv:2012.09276, for
equal-width bins over each code's own range; J in nats stands in the detail. Do and Tran bin [-4, 4] and sample the
posterior, which gives other numbers.
"""

from functools import partial
from typing import Any

import numpy as np

from disbench.metrics.information import gap, left_out_and_binned, table_information, value_indices
from disbench.metrics.metric import Metric, entries
from disbench.metrics.table import Table


@partial(
    Metric,
    label="JEMMIG",
    higher_is_better=True,
    bounds=(0.0, 1.0),
    definition="One minus the normalised joint entropy of a factor and its best code less their information gap;"
    " codes in 20 equal-width bins.",
    insensitive_to="Which defect it was, and it is flattered where there is nothing: constant codes score well above 0.",
    source="Do and Tran 2020, arXiv:1908.09961v3; normalised as in Zaidi et al. 2020, arXiv:2012.09276",
    version=2,
)
def jemmig(table: Table, *, bins: int = 20) -> dict[str, Any]:
    """Average over factors one minus the normalized J, the joint entropy less the information gap.

    Noise scores well above 0. Constant factors are left out. A dead code, and a missing second code, know
    nothing. If *all* codes are dead, the formula gives log B / (H(v_k) + log B), so read MIG beside it. The
    detail holds the mean J in nats, and for each varying factor its winning code, J and the terms of J.

    Parameters
    ----------
    bins
        Number of equal-width bins over the range of each code, and of each continuous factor; at least 2.

    Examples
    --------
    >>> from disbench.metrics import jemmig
    >>> factors = [[0, 0], [0, 1], [1, 0], [1, 1]]
    >>> rotated = [[0, 0], [1, -1], [1, 1], [2, 0]]
    >>> jemmig(factors, factors), round(jemmig(rotated, factors), 3)
    (1.0, 0.624)
    """
    info = table_information(table, bins)
    if table.quantized:  # a bin for each value
        bins = value_indices(table.raw_codes)[1]
    winner, best, runner_up = gap(info)
    joint = info.joint_entropy[np.arange(len(winner)), winner]  # (K,)
    j_nats = joint - best + runner_up
    scores = 1.0 - j_nats / (info.factor_entropy + np.log(bins))
    return {
        "score": min(max(float(scores.mean()), 0.0), 1.0),
        "j_nats": float(j_nats.mean()),
        "bins": bins,
        "factors": entries(
            factor=table.columns,
            code=winner,
            score=scores,
            j_nats=j_nats,
            information=best,
            runner_up_information=runner_up,
            joint_entropy=joint,
            entropy=info.factor_entropy,
        ),
    } | left_out_and_binned(table, info.continuous)
