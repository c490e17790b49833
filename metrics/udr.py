"""Unsupervised disentanglement ranking: Duan et al. 2020 (ICLR), arXiv:1905.12614.

    R(a, b)  = how strongly code a of model i goes with code b of model j
    UDR_ij   = (mean_b max_a R(a, b)^2 / sum_a R(a, b)  +  mean_a max_b R(a, b)^2 / sum_b R(a, b)) / 2
    UDR_j    = median over the other models i of UDR_ij

Models that disentangle find the same codes from different seeds, up to order and sign; models that do not differ. So it
takes no factors and several tables of codes of the same rows, and a model's score is only as good as its company. R is
the size of the coefficients of a lasso from the codes of i to those of j (the paper's UDR_L, alpha = 0.1), or Spearman's
correlation (UDR_S). The means run over informative codes alone. The variant is that of disentanglement_lib, which the
authors contributed.
"""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from disbench.metrics.arrays import check_index
from disbench.metrics.columns import deviations
from disbench.metrics.information import standardised
from disbench.metrics.options import require_number
from disbench.metrics.table import as_table
from disbench.metrics.threads import one_thread


def udr(
    tables: Sequence[ArrayLike],
    *,
    correlation: Literal["lasso", "spearman"] = "lasso",
    informative: Sequence[ArrayLike] | None = None,
    threshold: float = 0.05,
    alpha: float = 0.1,
) -> list[float]:
    """Compare the codes of models that differ in their seed, and score how well each agrees with the others.

    Parameters
    ----------
    tables : sequence of array-like
        Two or more arrays (N, D_i) of codes, one per model, of the same N rows in the same order.
    correlation : {"lasso", "spearman"}, default "lasso"
        How strongly two codes agree: the absolute lasso coefficient, or Spearman's absolute correlation.
    informative : sequence of array-like, optional
        A boolean mask (D_i,) per table. The paper keeps codes whose mean KL divergence from the prior exceeds
        0.01. By default, codes whose deviation is at least `threshold` of the table's largest are kept.
    threshold : float, default 0.05
        At least 0. Ignored if `informative` is given.
    alpha : float, default 0.1
        Penalty of the lasso, greater than 0.

    Returns
    -------
    list of float
        One score per table, in [0, 1] with Spearman's correlation and about that with the lasso; higher is
        better. A model that meets its own copy scores 1, or 1 - alpha with the lasso, if its codes are
        independent. A model without an informative code scores 0.

    Raises
    ------
    ValueError
        If there are fewer than two tables, tables are malformed or differ in rows, or masks do not fit.

    References
    ----------
    Duan et al. 2020, ICLR, arXiv:1905.12614

    Examples
    --------
    >>> from disbench.metrics import udr
    >>> codes = [[0, 0], [0, 1], [1, 0], [1, 1]]
    >>> mirrored = [[0, 1], [0, 0], [1, 1], [1, 0]]
    >>> [round(score, 3) for score in udr([codes, mirrored])]
    [0.9, 0.9]
    >>> [round(score, 3) for score in udr([codes, mirrored], correlation="spearman")]
    [1.0, 1.0]
    """
    scores: list[float] = udr_detail(
        tables, correlation=correlation, informative=informative, threshold=threshold, alpha=alpha
    )["scores"]
    return scores


def udr_detail(
    tables: Sequence[ArrayLike],
    *,
    correlation: Literal["lasso", "spearman"] = "lasso",
    informative: Sequence[ArrayLike] | None = None,
    threshold: float = 0.05,
    alpha: float = 0.1,
) -> dict[str, Any]:
    """Compute the scores of `udr` and the numbers behind them.

    Parameters
    ----------
    tables, correlation, informative, threshold, alpha
        As in `udr`.

    Returns
    -------
    dict
        "scores" as `udr` returns them; "pairs", UDR_ij as a list of rows i; "informative_codes", the columns that each model
        keeps.

    Examples
    --------
    >>> from disbench.metrics import udr_detail
    >>> codes = [[0, 0], [0, 1], [1, 0], [1, 1]]
    >>> udr_detail([codes, codes], correlation="spearman")["informative_codes"]
    [[0, 1], [0, 1]]
    """
    if correlation not in ("lasso", "spearman"):
        raise ValueError(f'udr compares codes by "lasso" or "spearman", got correlation={correlation!r}.')
    require_number("udr", 0, alpha=alpha, threshold=threshold)
    if alpha == 0:
        raise ValueError(f"udr needs alpha > 0, got alpha={alpha}.")
    models = same_rows(tables, "udr")
    masks = informative_masks(models, informative, threshold, "udr")
    kept = [standardised(codes[:, mask])[0] for codes, mask in zip(models, masks, strict=True)]
    pairs = np.zeros((len(kept), len(kept)))
    with one_thread():  # threaded sums round differently
        for i, source in enumerate(kept):
            for j, target in enumerate(kept):
                if i != j and source.size and target.size:
                    strength = lasso_strength(source, target, alpha) if correlation == "lasso" else None
                    pairs[i, j] = relative_strength(rank_strength(source, target) if strength is None else strength)
    scores = [float(np.median(np.delete(pairs[:, j], j))) for j in range(len(kept))]
    return {
        "scores": scores,
        "pairs": pairs.tolist(),
        "informative_codes": [np.flatnonzero(mask).tolist() for mask in masks],
    }


def relative_strength(strength: NDArray[np.float64]) -> float:
    """UDR_ij of `strength (D_i, D_j)`: 1 for a permutation of ones; a row or column of zeros counts 0."""
    scores = []
    for matrix in (strength, strength.T):
        total = matrix.sum(axis=0)
        scores.append(np.divide(matrix.max(axis=0) ** 2, total, out=np.zeros(len(total)), where=total > 0).mean())
    return float(np.mean(scores))


def lasso_strength(source: NDArray[np.float64], target: NDArray[np.float64], alpha: float) -> NDArray[np.float64]:
    """`(D_i, D_j)`: sizes of the lasso's coefficients from standardized codes `(N, D_i)` to `(N, D_j)`."""
    from sklearn.linear_model import Lasso

    coefficients: NDArray[np.float64] = np.abs(Lasso(alpha=alpha).fit(source, target).coef_)
    return coefficients.reshape(target.shape[1], source.shape[1]).T


def rank_strength(source: NDArray[np.float64], target: NDArray[np.float64]) -> NDArray[np.float64]:
    """`(D_i, D_j)`: sizes of Spearman's rank correlations, ties at their mean rank."""
    from scipy.stats import rankdata

    ranks, other_ranks = (standardised(rankdata(codes, axis=0))[0] for codes in (source, target))
    return np.minimum(np.abs(ranks.T @ other_ranks) / len(ranks), 1.0)


def same_rows(tables: Sequence[ArrayLike], metric: str) -> list[NDArray[np.float64]]:
    """Check that there are several tables of codes (N, D_i) of the same number of rows. Raises ValueError otherwise."""
    for number, codes in enumerate(tables):
        check_index("tables[0]", tables[0], f"tables[{number}]", codes)
    models = [as_table(codes).codes for codes in tables]
    if len(models) < 2:
        raise ValueError(f"{metric} compares models and needs at least 2 tables of codes, got {len(models)}.")
    if len({len(codes) for codes in models}) > 1:
        raise ValueError(f"{metric} needs the same rows of every model, got {[len(codes) for codes in models]} rows.")
    return models


def informative_masks(
    models: list[NDArray[np.float64]], informative: Sequence[ArrayLike] | None, threshold: float, metric: str
) -> list[NDArray[np.bool_]]:
    """Check or make the masks of informative codes: `(D_i,)` a model. A code with a single value is never informative."""
    live = [np.ptp(codes, axis=0) > 0 for codes in models]
    if informative is None:
        spreads = [deviations(codes) for codes in models]
        return [alive & (spread >= threshold * spread.max()) for alive, spread in zip(live, spreads, strict=True)]
    masks = [np.asarray(mask) for mask in informative]
    if [mask.shape for mask in masks] != [alive.shape for alive in live] or any(m.dtype != bool for m in masks):
        raise ValueError(f"{metric} needs a mask of truth values for each table, one for each of its codes: kl > 0.01.")
    return [alive & mask for alive, mask in zip(live, masks, strict=True)]
