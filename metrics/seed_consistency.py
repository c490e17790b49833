"""Do other seeds find the same codes, up to order and sign, or up to a linear map? No factors are needed.

Khemakhem et al. 2020 (ICE-BeeM), arXiv:2002.11537v4; Roeder, Metz and Kingma 2021,
arXiv:2007.00810v4.

    strong  up to order, sign and scale: mean absolute correlation of codes that are assigned to each other one to one
    weak    up to a linear map: the same after canonical correlation analysis

Both are fitted on one half of the rows and measured on the other, or many codes would agree by chance. The assignment, the
directions of the analysis and the pairing of directions are fitted. The weak score of a model that mixes what another
separates is 1, the strong one is not. So the difference of the two is what is found but not aligned with the codes.

Public code divides by the codes of both models, which are equally many there. Here models may differ, and the sum is divided
by the larger number, so a code that the other model lacks counts 0. Uninformative codes are left out first, as for `udr`.
"""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from disbench.metrics.correlation import correlations
from disbench.metrics.information import standardised
from disbench.metrics.options import require_number, require_whole
from disbench.metrics.threads import one_thread
from disbench.metrics.udr import informative_masks, same_rows

SMALLEST = 1e-10  # of a direction, relative to the largest, below which codes depend on each other linearly


def seed_consistency(
    tables: Sequence[ArrayLike],
    *,
    up_to: Literal["permutation", "linear"] = "permutation",
    informative: Sequence[ArrayLike] | None = None,
    threshold: float = 0.05,
    seed: int = 0,
) -> list[float]:
    """Score how well the codes of each model agree with those of models that differ in their seed.

    Parameters
    ----------
    tables : sequence of array-like
        Two or more arrays (N, D_i) of codes, one per model, of the same N rows in the same order.
    up_to : {"permutation", "linear"}, default "permutation"
        What models may differ in: the order, sign and scale of codes, or any linear map.
    informative : sequence of array-like, optional
        A boolean mask (D_i,) per table. By default, codes whose deviation is at least `threshold` of the
        table's largest are kept.
    threshold : float, default 0.05
        At least 0. Ignored if `informative` is given.
    seed : int, default 0
        Seed of the halves.

    Returns
    -------
    list of float
        One score per table, the mean over the other tables, in [0, 1]; higher is better. Unrelated codes score
        about sqrt(2 / (pi N)) times a few. A model without an informative code scores 0.

    Raises
    ------
    ValueError
        If there are fewer than two tables or six rows, tables are malformed or differ in rows, or masks do not
        fit.

    References
    ----------
    Khemakhem et al. 2020, arXiv:2002.11537v4; Roeder et al. 2021, arXiv:2007.00810v4

    Examples
    --------
    >>> from disbench.metrics import seed_consistency
    >>> codes = [[a, b] for a in range(5) for b in range(5)]
    >>> mirrored = [[b, -a] for a, b in codes]
    >>> mixed = [[a + b, a - b] for a, b in codes]
    >>> [round(score, 2) for score in seed_consistency([codes, mirrored])]
    [1.0, 1.0]
    >>> [round(score, 2) for score in seed_consistency([codes, mixed], up_to="linear")]
    [1.0, 1.0]
    """
    scores: list[float] = seed_consistency_detail(
        tables, up_to=up_to, informative=informative, threshold=threshold, seed=seed
    )["scores"]
    return scores


def seed_consistency_detail(
    tables: Sequence[ArrayLike],
    *,
    up_to: Literal["permutation", "linear"] = "permutation",
    informative: Sequence[ArrayLike] | None = None,
    threshold: float = 0.05,
    seed: int = 0,
) -> dict[str, Any]:
    """Compute the scores of `seed_consistency` and the numbers behind them.

    Parameters
    ----------
    tables, up_to, informative, threshold, seed
        As in `seed_consistency`.

    Returns
    -------
    dict
        "scores" as `seed_consistency` returns them; "pairs", the score of each pair of tables as a symmetric list of rows
        with 1 on the diagonal; "informative_codes", the columns that each model keeps.

    Examples
    --------
    >>> from disbench.metrics import seed_consistency_detail
    >>> codes = [[a, b] for a in range(5) for b in range(5)]
    >>> seed_consistency_detail([codes, codes])["informative_codes"]
    [[0, 1], [0, 1]]
    """
    if up_to not in ("permutation", "linear"):
        raise ValueError(f'seed_consistency compares codes up to "permutation" or "linear", got up_to={up_to!r}.')
    require_number("seed_consistency", 0, threshold=threshold)
    require_whole("seed_consistency", 0, seed=seed)
    models = same_rows(tables, "seed_consistency")
    if len(models[0]) < 6:
        raise ValueError(f"seed_consistency fits on half of the rows and needs 6 rows, got {len(models[0])}.")
    masks = informative_masks(models, informative, threshold, "seed_consistency")
    kept = [standardised(codes[:, mask])[0] for codes, mask in zip(models, masks, strict=True)]
    order = np.random.default_rng(seed).permutation(len(models[0]))
    halves = order[: len(order) // 2], order[len(order) // 2 :]
    agreement = strong_agreement if up_to == "permutation" else weak_agreement
    pairs = np.eye(len(kept))
    with one_thread():  # threaded sums round differently
        for i, first in enumerate(kept):
            for j in range(i):
                pairs[i, j] = pairs[j, i] = agreement(first, kept[j], *halves)
    return {
        "scores": [float(np.delete(row, i).mean()) for i, row in enumerate(pairs)],
        "pairs": pairs.tolist(),
        "informative_codes": [np.flatnonzero(mask).tolist() for mask in masks],
    }


def strong_agreement(
    first: NDArray[np.float64], second: NDArray[np.float64], fitted: NDArray[np.intp], judged: NDArray[np.intp]
) -> float:
    """Mean absolute correlation on rows `judged` of codes (N, D) and (N, E) that are assigned to each other on rows `fitted`."""
    from scipy.optimize import linear_sum_assignment

    if not first.size or not second.size:
        return 0.0
    pairs = linear_sum_assignment(np.abs(correlations(first[fitted], second[fitted])), maximize=True)
    size = np.abs(correlations(first[judged], second[judged]))[pairs]
    return float(size.sum() / max(first.shape[1], second.shape[1]))


def weak_agreement(
    first: NDArray[np.float64], second: NDArray[np.float64], fitted: NDArray[np.intp], judged: NDArray[np.intp]
) -> float:
    """Mean absolute correlation on rows `judged` of the canonical variates that were fitted to (N, D) and (N, E) codes."""
    if not first.size or not second.size:
        return 0.0
    maps = [_whitening(codes[fitted]) for codes in (first, second)]
    whitened = [
        (codes[fitted] - codes[fitted].mean(axis=0)) @ to for codes, to in zip((first, second), maps, strict=True)
    ]
    left, _, right = np.linalg.svd(whitened[0].T @ whitened[1], full_matrices=False)
    variates = first[judged] @ maps[0] @ left, second[judged] @ maps[1] @ right.T
    size = np.abs(np.diag(correlations(*variates)))
    return float(size.sum() / max(to.shape[1] for to in maps))


def _whitening(codes: NDArray[np.float64]) -> NDArray[np.float64]:
    """`codes (N, D)` -> `(D, R)`: a map to R uncorrelated columns of length 1, where R is the rank of the centered codes."""
    _, lengths, axes = np.linalg.svd(codes - codes.mean(axis=0), full_matrices=False)
    rank = int((lengths > SMALLEST * lengths.max(initial=0.0)).sum())
    return np.asarray(axes[:rank].T / lengths[:rank])
