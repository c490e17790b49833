"""Modularity: Ridgeway and Mozer 2018, arXiv:1802.05312, section 3.

    modularity = mean over codes j of 1 - sum_{k != best} I(z_j; v_k)^2 / ((K - 1) I(z_j; v_best)^2)

Whether each code is about one factor; it says nothing about how well it knows it, nor whether others repeat it. Binned
as in Locatello et al. 2019, arXiv:1811.12359: 20 equal-width bins, plug-in information. Codes with a single value are
left out of the mean, where disentanglement_lib counts them as 0 and Zaidi et al. get NaN, so our score is
disentanglement_lib's times D over the number of live codes.
"""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from disbench.metrics.information import gap_over_factors, require_factors_to_compare, table_information


def modularity(codes: ArrayLike, factors: ArrayLike, *, bins: int = 20, seed: int = 0) -> float:
    """How far each code is about a single factor, averaged over the live codes.

    `codes (N, D)`, `factors (N, K)` -> a number in [0, 1], higher is better, and far above 0 for noise, whose small
    amounts of information differ by luck: about .7 for ten codes and five factors. A code that knows nothing about any
    factor counts 0, and the score is 0 where all codes are dead. Constant factors are left out and not counted in K.
    Continuous factors are binned into `bins` equal widths, as codes are. `seed` is there for a uniform call and
    changes nothing. Raises NotApplicable when fewer than two factors vary and ValueError for a malformed table or bins
    < 2.
    """
    return float(modularity_detail(codes, factors, bins=bins, seed=seed)["score"])


def modularity_detail(codes: ArrayLike, factors: ArrayLike, *, bins: int = 20, seed: int = 0) -> dict[str, Any]:
    """`modularity` with each live code's factor, its own modularity, and its information about that factor in nats."""
    table = table_information(codes, factors, bins)
    require_factors_to_compare(table.columns, "modularity")
    live = list(table.live_codes)
    mutual = table.info.mutual[:, live]  # (K, live)
    winner, best, _ = gap_over_factors(mutual)
    relative = np.divide(mutual, best, out=np.zeros_like(mutual), where=best > 0)  # before squaring: no underflow
    scores = np.where(best > 0, 1.0 - ((relative**2).sum(axis=0) - 1.0) / (len(mutual) - 1), 0.0)  # (live,)
    return {
        "score": min(max(float(scores.mean()), 0.0), 1.0) if live else 0.0,
        "bins": bins,
        "codes": [
            {
                "code": j,
                "factor": table.columns[int(winner[i])],
                "modularity": float(scores[i]),
                "information": float(best[i]),
            }
            for i, j in enumerate(live)
        ],
        "constant_factors": list(table.constant_factors),
        "dropped_codes": list(table.dead_codes),
        "binned_factors": list(table.binned_factors),
    }
