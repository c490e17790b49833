"""MIG-sup: Li et al. 2020 (ICLR), arXiv:2002.10549.

    MIG-sup = mean over codes j of R(z_j, v_best) - R(z_j, v_second),     R(z_j, v_k) = I(z_j; v_k) / H(v_k)

MIG's supplement: it asks of each code whether it is about one factor, where MIG asks of each factor whether one code
holds it, so a factor encoded twice costs nothing. The authors divide by the factor's entropy and leave inactive codes
out; Zaidi et al. 2020, arXiv:2012.09276, divide by the code's (`divide_by="code"`), which counts what is in the code
beyond its factor and gives NaN for a dead one. Bins and estimates are those of MIG. A live code that is noise does
count, as a gap of nearly 0: unused codes lower the score unless they are constant.
"""

from functools import partial
from typing import Any, Literal

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
    label="MIG-sup",
    higher_is_better=True,
    bounds=(0.0, 1.0),
    definition="Mean over codes of the gap between the best and the second-best factor in information divided by"
    " the factor's entropy; codes in 20 equal-width bins.",
    insensitive_to="A copied or missing factor; unused codes lower it unless they are exactly constant.",
    source="Li et al. 2020, arXiv:2002.10549",
    version=2,
)
def mig_sup(table: Table, *, bins: int = 20, divide_by: Literal["factor", "code"] = "factor") -> dict[str, Any]:
    """Average over live codes how much more a code knows about its best factor than about its second-best.

    Noise scores near 0. The score is 0 if all codes are dead. Constant factors are left out, and two must
    vary. The detail holds the best factor of each live code and its gap.

    Parameters
    ----------
    bins
        Number of equal-width bins over the range of each code, and of each continuous factor; at least 2.
    divide_by
        Whose entropy divides the information.

    Examples
    --------
    >>> from disbench.metrics import mig_sup
    >>> factors = [[0, 0], [0, 1], [1, 0], [1, 1]]
    >>> rotated = [[0, 0], [1, -1], [1, 1], [2, 0]]
    >>> mig_sup(factors, factors), mig_sup(rotated, factors)
    (1.0, 0.0)
    """
    if divide_by not in ("factor", "code"):
        raise ValueError(f'mig_sup divides by the entropy of "factor" or "code", got divide_by={divide_by!r}.')
    info = table_information(table, bins)
    require_factors_to_compare(table.columns, "mig_sup")
    live = table.live_codes
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
        "codes": entries(code=live, factor=table.columns_at(winner), gap=gaps),
    } | left_out_and_binned(table, info.continuous)
