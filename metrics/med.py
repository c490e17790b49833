"""MED and top-k MED: Cao et al. 2022 (NeurIPS), arXiv:2206.04756v1.

    R_jk = I(z_j; v_k) / sum_i I(z_i; v_k)                          the share of code j in what is known of factor k
    MED  = sum_j w_j (1 - H(R_j. / sum_k R_jk) / log K)              w_j = sum_k R_jk / sum_jk R_jk

The disentanglement of DCI with information in place of a predictor's importances, so that nothing is fitted and hundreds of
codes cost little. Top-k MED is MED of some codes only: each code belongs to the factor with its largest R_jk, and of each
factor's codes the k with the smallest entropy stay. It asks whether a representation contains a disentangled part.

As in the authors' code (github.com/noahcao/disentanglement_lib_med at e8db5c7, evaluation/metrics/med.py): 20 equal-width
bins, plug-in information, k = 1. Beyond it: of codes with equal entropies that with the larger sum of R_jk is kept, where
theirs keeps one by its position; a factor that no code knows adds nothing, where theirs divides 0 by 0. Theirs adds 1e-11 to
each R_jk, which moves a score by less than 1e-8.
"""

from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from disbench.metrics.dci import one_minus_entropy
from disbench.metrics.information import left_out_and_binned, require_factors_to_compare, table_information
from disbench.metrics.metric import Metric, entries
from disbench.metrics.table import Table


class Shares(NamedTuple):
    """The part of each live code in what is known of each factor."""

    share: NDArray[np.float64]  # (live, K)
    codes: NDArray[np.intp]  # (live,): columns of the caller
    continuous: tuple[bool, ...]


@partial(
    Metric,
    label="MED",
    higher_is_better=True,
    bounds=(0.0, 1.0),
    definition="How far each code has a share in what is known of one factor only, weighted by its shares; codes in 20"
    " equal-width bins.",
    insensitive_to="How much is known of a factor, since shares of each factor sum to 1, and a copied factor.",
    source="Cao et al. 2022, arXiv:2206.04756v1, NeurIPS 2022",
)
def med(table: Table, *, bins: int = 20) -> dict[str, Any]:
    """Average over codes, by their shares, how far each code is about one factor only.

    The shares of all codes in one factor sum to 1, so a factor of which nothing is known counts as much as any other,
    and a code that is not about any factor counts by its chance information. Noise scores above 0 on few rows. The
    score is 0 if no code knows anything. Constant factors are left out, and two must vary. The detail holds the factor
    of each live code, its score and its weight.

    Parameters
    ----------
    bins
        Number of equal-width bins over the range of each code, and of each continuous factor; at least 2.

    Examples
    --------
    >>> from disbench.metrics import med
    >>> factors = [[0, 0], [0, 1], [1, 0], [1, 1]]
    >>> rotated = [[0, 0], [1, -1], [1, 1], [2, 0]]
    >>> med(factors, factors), med(rotated, factors)
    (1.0, 0.0)
    """
    shares = _shares(table, bins, "med")
    return _scores(table, shares, np.arange(len(shares.codes))) | {"bins": bins}


@partial(
    Metric,
    label="Top-k MED",
    higher_is_better=True,
    bounds=(0.0, 1.0),
    definition="MED of the k codes of each factor that are most about one factor, by default one code.",
    insensitive_to="All codes but a few, a copied factor, and a factor that no code is about.",
    source="Cao et al. 2022, arXiv:2206.04756v1, NeurIPS 2022",
)
def topk_med(table: Table, *, k: int = 1, bins: int = 20) -> dict[str, Any]:
    """Score by MED the k codes of each factor that are most about one factor.

    A code belongs to the factor in which it has its largest share. A factor to which no code belongs is not missed.
    Shares are those among all codes. Noise scores higher than with MED, because the best of many codes are kept. The
    score is 0 if no code knows anything. Constant factors are left out, and two must vary. The detail holds the
    codes that were kept.

    Parameters
    ----------
    k
        Number of codes of each factor that are kept, at least 1. The authors' configuration has 1.
    bins
        As in `med`.

    Examples
    --------
    >>> from disbench.metrics import topk_med
    >>> factors = [[0, 0], [0, 1], [1, 0], [1, 1]]
    >>> with_mixtures = [[0, 0, 0], [0, 1, 1], [1, 0, 1], [1, 1, 2]]
    >>> topk_med(with_mixtures, factors), topk_med(with_mixtures, factors, k=2) < 1
    (1.0, True)
    """
    if k < 1:
        raise ValueError(f"topk_med keeps k >= 1 codes of each factor, got k={k}; the authors keep 1.")
    shares = _shares(table, bins, "topk_med")
    return _scores(table, shares, _most_disentangled(shares.share, k)) | {"k": k, "bins": bins}


def _shares(table: Table, bins: int, metric: str) -> Shares:
    info = table_information(table, bins)
    require_factors_to_compare(table.columns, metric)
    live = np.array(table.live_codes, dtype=np.intp)
    mutual = info.mutual[:, live]  # (K, live)
    total = mutual.sum(axis=1, keepdims=True)
    share = np.divide(mutual, total, out=np.zeros_like(mutual), where=total > 0)
    return Shares(share.T, live, info.continuous)


def _most_disentangled(share: NDArray[np.float64], k: int) -> NDArray[np.intp]:
    """Choose the rows of `share (live, K)` that stay: of each factor's rows the k with the smallest entropies."""
    factor = share.argmax(axis=1)
    order = np.lexsort((-share.sum(axis=1), -one_minus_entropy(share).round(12)))  # rounding must not decide a tie
    kept = [order[factor[order] == number][:k] for number in range(share.shape[1])]
    return np.sort(np.concatenate(kept))


def _scores(table: Table, shares: Shares, kept: NDArray[np.intp]) -> dict[str, Any]:
    share = shares.share[kept]
    scores, weights = one_minus_entropy(share), share.sum(axis=1)
    weights = weights / weights.sum() if weights.any() else weights
    return {
        "score": min(float(weights @ scores), 1.0),
        "codes": entries(
            code=shares.codes[kept], factor=table.columns_at(share.argmax(axis=1)), score=scores, weight=weights
        ),
    } | left_out_and_binned(table, shares.continuous)
