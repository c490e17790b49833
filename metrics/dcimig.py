"""DCIMIG: Sepliarskaia et al. 2019, arXiv:1910.05587, as in Zaidi et al. 2020, arXiv:2012.09276.

    gap_j  = I(z_j; v_best) - I(z_j; v_second)          each code claims its best factor, by the gap
    DCIMIG = sum_k max of gap_j over the codes that claim k / sum_k H(v_k)

MIG compares codes for a factor; this compares factors for a code, then keeps one code a factor, so a factor that is
encoded twice costs nothing and one that no code claims costs its whole entropy. Factors weigh as much as their entropy.
20 equal-width bins here, as in the other information scores; Zaidi et al. used 10.
"""

from functools import partial
from typing import Any

import numpy as np

from disbench.metrics.information import (
    gap_over_factors,
    left_out_and_binned,
    require_factors_to_compare,
    table_information,
)
from disbench.metrics.metric import Metric, entries
from disbench.metrics.table import Table


@partial(
    Metric,
    label="DCIMIG",
    higher_is_better=True,
    bounds=(0.0, 1.0),
    definition="The share of the factors' entropy that the best code of each knows beyond what it knows about any"
    " other factor; codes in 20 equal-width bins.",
    insensitive_to="A copied factor and useless codes; factors weigh by their entropy, so small ones hardly count.",
    source="Sepliarskaia et al. 2019, arXiv:1910.05587",
    version=2,
)
def dcimig(table: Table, *, bins: int = 20) -> dict[str, Any]:
    """Measure the share of the factors' entropy that the best code of each factor knows exclusively.

    Only what a code knows beyond its second-best factor counts. Noise scores near 0. Constant factors are
    left out, and two must vary. A dead code claims no factor. The detail holds, for each varying factor, the
    code that claims it or None, the gap and the entropy in nats.

    Parameters
    ----------
    bins
        Number of equal-width bins over the range of each code, and of each continuous factor; at least 2.

    Examples
    --------
    >>> from disbench.metrics import dcimig
    >>> factors = [[0, 0], [0, 1], [1, 0], [1, 1]]
    >>> rotated = [[0, 0], [1, -1], [1, 1], [2, 0]]
    >>> dcimig(factors, factors), dcimig(rotated, factors)
    (1.0, 0.0)
    """
    info = table_information(table, bins)
    require_factors_to_compare(table.columns, "dcimig")
    claimed, best, runner_up = gap_over_factors(info.mutual)
    claims = np.zeros_like(info.mutual)  # (K, D)
    claims[claimed, np.arange(len(claimed))] = best - runner_up
    gaps, entropy = claims.max(axis=1), info.factor_entropy  # (K,)
    return {
        "score": min(float(gaps.sum() / entropy.sum()), 1.0),
        "bins": bins,
        "factors": entries(
            factor=table.columns,
            code=[int(claim.argmax()) if claim.any() else None for claim in claims],
            gap=gaps,
            entropy=entropy,
        ),
    } | left_out_and_binned(table, info.continuous)
