"""Overlap and multiple encoding scores: Dapueto, Noceti and Odone 2024 (NeurIPS), arXiv:2409.18017v3.

Take pairs of rows that differ in factor k alone, and correlate each code over the two rows of a pair.

    S_jk  = 1 - abs(corr_jk): 0 where code j does not move with factor k
    o_jk  = 1 - mean over factors m of abs(1[m = k] - S_jm): no overlap, the code moves with factor k alone
    m_jk  = 1 - mean over codes i of abs(1[i = j] - S_ik): no multiple encoding, factor k moves this code alone
    OMES  = mean_k of the S-weighted mean over codes of S_jk (alpha o_jk + (1 - alpha) m_jk)

The authors' code draws pairs: it splits the cells that agree on all other factors into random halves. Here S is the limit
of many draws, computed from sums over those cells, so the score has no seed. With `pooling="max"` the two parts take the
best code each, as in the authors' code.

Two draws of a factor with V values that never agree have the correlation -1 / (V - 1), so a perfect code has
S = 1 - 1 / (V - 1) and **scores below 1: 0 for a binary factor, 1/2 for three values**. Compare with the ceiling.
"""

from functools import partial
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from disbench.metrics.columns import deviations
from disbench.metrics.information import binned_factors, standardised
from disbench.metrics.metric import Metric, entries
from disbench.metrics.table import NotApplicable, Table


@partial(
    Metric,
    label="OMES",
    higher_is_better=True,
    bounds=(0.0, 1.0),
    definition="Mean over factors of how far the codes that move with a factor move with it alone, and alone move with"
    " it, where rows differ in that factor only.",
    insensitive_to="Binary factors, whose perfect code scores 0; what a code says, since noise moves with every factor.",
    source="Dapueto, Noceti and Odone 2024, NeurIPS, arXiv:2409.18017v3",
)
def omes(
    table: Table,
    *,
    alpha: float = 0.5,
    pooling: Literal["avg", "max"] = "avg",
    threshold: float = 0.05,
    relative: bool = True,
    factor_bins: int = 0,
) -> dict[str, Any]:
    """Average over factors the overlap score and the multiple encoding score of the codes.

    A perfect code of a factor with V values has S = 1 - 1 / (V - 1), so the ceiling is below 1 and a binary
    factor scores 0. Noise moves with every factor and scores above 0. Cells of several rows count as one
    cell whose rows are drawn at random. Not applicable to one factor, of which every code that moves
    would seem to know all, or if a factor never varies alone. Constant factors are
    left out. The detail holds both parts of each factor, its code with the largest S, and S of all kept codes.

    Parameters
    ----------
    alpha
        Weight of the overlap score, from 0 to 1; that of the multiple encoding score is 1 - alpha.
    pooling
        "avg" averages over codes with the weights S; "max" takes the best code of each part.
    threshold, relative
        Codes with a standard deviation below `threshold` are dropped; below `threshold` times the largest one
        if `relative`.
    factor_bins
        Number of equal-width bins for the continuous ones of the other factors, at least 2; 0 bins none.

    Examples
    --------
    >>> from disbench.metrics import omes
    >>> factors = [[a, b] for a in range(9) for b in range(9)]
    >>> rotated = [[a + b, a - b] for a, b in factors]
    >>> round(omes(factors, factors), 3), round(omes(rotated, factors), 3)
    (0.82, 0.281)
    """
    if pooling not in ("avg", "max"):
        raise ValueError(f'omes pools codes by "avg" or "max", got pooling={pooling!r}.')
    if not 0 <= alpha <= 1 or not threshold >= 0:
        raise ValueError(f"omes needs 0 <= alpha <= 1 and threshold >= 0, got alpha={alpha} and threshold={threshold}.")
    if len(table.columns) < 2:
        raise NotApplicable(
            f"omes asks whether a code moves with one factor alone and needs two that vary, got one (column {table.columns[0]})."
        )
    codes = table.codes
    spread = deviations(codes)
    kept = np.flatnonzero((spread > 0) & (spread >= threshold * (spread.max() if relative else 1.0)))
    moves = movement(standardised(codes[:, kept])[0], binned_factors(table, factor_bins))
    overlap, encoding = parts(moves, pooling)
    scores = alpha * overlap + (1 - alpha) * encoding
    return {
        "score": float(scores.mean()),
        "alpha": alpha,
        "pooling": pooling,
        "factors": entries(
            factor=table.columns,
            code=[int(kept[row.argmax()]) if row.any() else None for row in moves.T],
            score=scores,
            overlap=overlap,
            multiple_encoding=encoding,
            moves=moves.T,
        ),
        "kept_codes": kept.tolist(),
    } | (table.left_out() | {"dropped_codes": np.delete(np.arange(codes.shape[1]), kept).tolist()})


def movement(codes: NDArray[np.float64], table: Table) -> NDArray[np.float64]:
    """`codes (N, D)`, standardized, and the factors of `table` -> S `(D, K)` in [0, 1].

    In a line of n cells, which agree on all factors but k, the authors draw n // 2 pairs for each of the n cells. A pair is
    any two different cells of the line with equal probability, and a cell is any of its rows.
    """
    moves = np.zeros((codes.shape[1], len(table.columns)))
    for k, column in enumerate(table.columns):
        line = np.zeros(len(codes), dtype=np.intp)
        for other in np.delete(table.labels, k, axis=1).T:
            line = np.unique(line * (other.max() + 1) + other, return_inverse=True)[1]
        cells, cell_of, rows = np.unique(
            line * table.sizes[k] + table.labels[:, k], return_inverse=True, return_counts=True
        )
        line_of_cell = cells // table.sizes[k]
        size = np.bincount(line_of_cell)  # cells of each line
        pairs = size * (size // 2)  # a line of one cell has none
        if not pairs.any():
            raise NotApplicable(
                f"factor {column} never varies alone: no two rows differ in it and agree on all other factors."
            )
        weight = pairs / pairs.sum()
        share = weight / size  # of each cell of a line
        for j, code in enumerate(codes.T):
            means = np.bincount(cell_of, code) / rows
            total, squares = np.bincount(line_of_cell, means), np.bincount(line_of_cell, means**2)
            mean = share @ total
            variance = share @ np.bincount(line_of_cell, np.bincount(cell_of, code**2) / rows) - mean**2
            product = share @ np.divide(total**2 - squares, size - 1, out=np.zeros(len(size)), where=size > 1)
            if variance > 1e-12:  # otherwise the code is constant on these rows and moves with nothing
                moves[j, k] = 1.0 - min(abs(product - mean**2) / variance, 1.0)
    moves[moves < 1e-12] = 0.0  # rests of rounding must not become weights
    return moves


def parts(moves: NDArray[np.float64], pooling: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Pool S `(D, K)` into the overlap score and the multiple encoding score of each factor: `(K,)` each, in [0, 1]."""
    if not len(moves):
        return np.zeros(moves.shape[1]), np.zeros(moves.shape[1])
    # abs(1 - S) + the sum over the others of S, where S itself is counted in the sum
    overlap = 1.0 - (moves.sum(axis=1, keepdims=True) + 1.0 - 2.0 * moves) / moves.shape[1]
    encoding = 1.0 - (moves.sum(axis=0) + 1.0 - 2.0 * moves) / len(moves)
    if pooling == "max":
        return (moves * overlap).max(axis=0), (moves * encoding).max(axis=0)
    weights = np.divide(moves, moves.sum(axis=0), out=np.zeros_like(moves), where=moves.sum(axis=0) > 0)
    return (weights * moves * overlap).sum(axis=0), (weights * moves * encoding).sum(axis=0)
