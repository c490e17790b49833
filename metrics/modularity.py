"""Modularity: Ridgeway and Mozer 2018, arXiv:1802.05312, section 3.

    modularity = mean over codes j of 1 - sum_{k != best} I(z_j; v_k)^2 / ((K - 1) I(z_j; v_best)^2)

Whether each code is about one factor; it says nothing about how well it knows it, nor whether others repeat it. Binned
as in Locatello et al. 2019, arXiv:1811.12359: 20 equal-width bins, plug-in information. Codes with a single value are
left out of the mean, where disentanglement_lib counts them as 0 and Zaidi et al. get NaN, so our score is
disentanglement_lib's times D over the number of live codes.
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
    label="Modularity",
    higher_is_better=True,
    bounds=(0.0, 1.0),
    definition="How far each code is about a single factor: one minus the squared information about the others,"
    " relative to that about its best; codes in 20 equal-width bins.",
    insensitive_to="How much a code knows, and a copied or missing factor; unused codes pull it to the floor.",
    source="Ridgeway and Mozer 2018, arXiv:1802.05312v2, section 3",
    version=2,
)
def modularity(table: Table, *, bins: int = 20) -> dict[str, Any]:
    """Average over live codes how far each code is about a single factor.

    Noise scores far above 0, because its small amounts of information differ by chance: about 0.7 for ten
    codes and five factors. A code that knows nothing counts 0, and the score is 0 if all codes are dead.
    Constant factors are left out and not counted in K; two factors must vary. The detail holds the factor of
    each live code, its modularity, and its information about that factor in nats.

    Parameters
    ----------
    bins
        Number of equal-width bins over the range of each code, and of each continuous factor; at least 2.

    Examples
    --------
    >>> from disbench.metrics import modularity
    >>> factors = [[0, 0], [0, 1], [1, 0], [1, 1]]
    >>> rotated = [[0, 0], [1, -1], [1, 1], [2, 0]]
    >>> modularity(factors, factors), modularity(rotated, factors)
    (1.0, 0.0)
    """
    info = table_information(table, bins)
    require_factors_to_compare(table.columns, "modularity")
    live = table.live_codes
    mutual = info.mutual[:, live]  # (K, live)
    winner, best, _ = gap_over_factors(mutual)
    relative = np.divide(mutual, best, out=np.zeros_like(mutual), where=best > 0)  # before squaring: no underflow
    scores = np.where(best > 0, 1.0 - ((relative**2).sum(axis=0) - 1.0) / (len(mutual) - 1), 0.0)  # (live,)
    return {
        "score": min(max(float(scores.mean()), 0.0), 1.0) if live else 0.0,
        "bins": bins,
        "codes": entries(code=live, factor=table.columns_at(winner), modularity=scores, information=best),
    } | left_out_and_binned(table, info.continuous)
