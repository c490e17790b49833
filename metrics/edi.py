"""EDI, the exclusivity disentanglement index: Julka, Wang and Granitzer 2024, arXiv:2410.03056v1.

    R_jk        = I(z_j; v_k) / I(z; v_k)          the share of what is known of factor k that code j knows
    exclusivity = max - sqrt(mean of the squares of the others), of a row or a column of R

    modularity   = mean over factors of min(1, sum of the exclusivity over factors of the codes that know k best)
    compactness  = mean over factors of the exclusivity over codes
    explicitness = mean over factors of min(1, I(z; v_k) / H(v_k))

Codes that share a factor add up in modularity, so a factor that is encoded twice costs nothing there. The authors' code
returns the three numbers and no average of them. Here `part` names the one that is the score.

I(z; v_k) is the information of all codes together, which a network estimates in the authors' code. Here it is the sum of
the codes' own, or the largest of them (`captured`), which the authors' code also offers.
"""

from functools import partial
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from disbench.metrics.information import (
    TIE,
    left_out_and_binned,
    require_factors_to_compare,
    table_information,
)
from disbench.metrics.metric import Metric, entries
from disbench.metrics.table import Table


@partial(
    Metric,
    label="EDI",
    higher_is_better=True,
    bounds=(0.0, 1.0),
    definition="Mean over factors of how exclusively the codes that know a factor best know it rather than other"
    " factors; codes in 20 equal-width bins.",
    insensitive_to="A copied factor, and how much is known of a factor, since information is divided by that of all"
    " codes.",
    source="Julka, Wang and Granitzer 2024, arXiv:2410.03056v1",
)
def edi(
    table: Table,
    *,
    part: Literal["modularity", "compactness", "explicitness"] = "modularity",
    captured: Literal["sum", "max"] = "sum",
    bins: int = 20,
) -> dict[str, Any]:
    """Measure how exclusively codes know factors, by the largest share of information less the size of the others.

    Noise scores a little above 0. The score is 0 if all codes are dead. Constant factors are left out, and
    two must vary. The detail holds the three parts, for each factor too, and the best factor and the
    exclusivity of each live code.

    Parameters
    ----------
    part
        Which of the three numbers is the score.
    captured
        The information of all codes about a factor: the sum of the codes' own, or the largest.
    bins
        Number of equal-width bins over the range of each code, and of each continuous factor; at least 2.

    Examples
    --------
    >>> from disbench.metrics import edi
    >>> factors = [[0, 0], [0, 1], [1, 0], [1, 1]]
    >>> rotated = [[0, 0], [1, -1], [1, 1], [2, 0]]
    >>> edi(factors, factors), round(edi(rotated, factors), 3)
    (1.0, 0.0)
    """
    if part not in ("modularity", "compactness", "explicitness"):
        raise ValueError(f'edi scores "modularity", "compactness" or "explicitness", got part={part!r}.')
    if captured not in ("sum", "max"):
        raise ValueError(f'edi takes the "sum" or the "max" of the codes\' information, got captured={captured!r}.')
    info = table_information(table, bins)
    require_factors_to_compare(table.columns, "edi")
    live = table.live_codes
    mutual = info.mutual[:, live].T  # (live, K)
    known = mutual.sum(axis=0) if captured == "sum" else mutual.max(axis=0, initial=0.0)
    shares = np.divide(mutual, known, out=np.zeros_like(mutual), where=known > 0)
    tied = shares >= shares.max(axis=1, keepdims=True) - TIE
    best = np.where(tied, mutual, -1.0).argmax(axis=1)  # a code may have the whole of several factors
    of_codes = exclusivity(shares.T)
    parts = {
        "modularity": np.minimum(np.bincount(best, of_codes, minlength=len(known)), 1.0),
        "compactness": exclusivity(shares) if live else np.zeros_like(known),
        "explicitness": np.minimum(known / info.factor_entropy, 1.0),
    }
    return {
        "score": float(parts[part].mean()),
        "part": part,
        "captured": captured,
        "bins": bins,
        **{name: float(of_factors.mean()) for name, of_factors in parts.items()},
        "factors": entries(factor=table.columns, **parts),
        "codes": entries(code=live, factor=[table.columns[k] for k in best], exclusivity=of_codes),
    } | left_out_and_binned(table, info.continuous)


def exclusivity(shares: NDArray[np.float64]) -> NDArray[np.float64]:
    """`shares (n, m)`, n > 0, in [0, 1] -> `(m,)` in [0, 1]: the largest of a column, less the quadratic mean of its others."""
    ordered = np.sort(shares, axis=0)
    others = ordered[:-1]
    size = np.sqrt((others**2).mean(axis=0)) if len(others) else 0.0
    return np.asarray(np.maximum(ordered[-1] - size, 0.0))
