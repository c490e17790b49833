"""Correlations of the columns of large tables: a matrix product, a block of rows at a time."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from disbench.metrics.columns import column_extremes, column_sums, long_rows, row_blocks, rows_at_once
from disbench.metrics.threads import one_thread

SAFE = (1e-200, 1e200)  # sums of squares within these limits neither vanish nor overflow


class Spread(NamedTuple):
    """How the columns of a table vary, each in a separate unit: a power of two."""

    products: NDArray[np.float64]  # (D, E): sums of products of deviations from the means
    squares: NDArray[np.float64]  # (D,)
    other_squares: NDArray[np.float64]  # (E,)
    unit: NDArray[np.float64]  # (D,)

    def correlation(self) -> NDArray[np.float64]:
        """`(D, E)` in [-1, 1]; 0 where a column is constant."""
        lengths = np.sqrt(self.squares)[:, None] * np.sqrt(self.other_squares)
        shares = np.divide(self.products, lengths, out=np.zeros_like(self.products), where=lengths > 0)
        limited: NDArray[np.float64] = np.clip(
            shares, -1.0, 1.0
        )  # rounding may leave the range by an ulp; scores must not
        return limited


def correlations(codes: NDArray[Any], factors: NDArray[Any]) -> NDArray[np.float64]:
    """`codes (N, D)`, `factors (N, K)` -> Pearson's correlations `(D, K)` in [-1, 1].

    A constant column correlates with nothing, up to rounding; whoever needs an exact 0 sets it.
    """
    with one_thread():  # threaded sums round differently
        return spread(codes, factors).correlation()


def spread(codes: NDArray[Any], others: NDArray[Any] | None = None) -> Spread:
    """`codes (N, D)` against `others (N, E)`, or against each other.

    Columns are centered before they are multiplied, and scaled where their squares would leave the range of a float. One
    block of rows at a time is in memory as float64, never the whole table. Callers hold `one_thread`.
    """
    found = _spread(codes, others, np.ones(codes.shape[1]), None if others is None else np.ones(others.shape[1]))
    safe = [squares.min(initial=1.0) >= SAFE[0] and squares.max(initial=1.0) <= SAFE[1] for squares in found[1:3]]
    if all(safe):
        return found
    return _spread(codes, others, _unit(codes), None if others is None else _unit(others))


def _spread(
    codes: NDArray[Any], others: NDArray[Any] | None, unit: NDArray[np.float64], other_unit: NDArray[np.float64] | None
) -> Spread:
    means = _means(codes, unit)
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):  # then the columns are scaled
        if others is None or other_unit is None:
            if (unit == 1.0).all() and (raw := _from_raw_products(codes, means)) is not None:
                return raw
            products = np.zeros((codes.shape[1], codes.shape[1]))
            for block in _centered_blocks(codes, unit, means, rows_at_once(codes.shape[1])):
                products += block.T @ block
            squares = np.diag(products).copy()
            return Spread(products, squares, squares, unit)
        other_means = _means(others, other_unit)
        products = np.zeros((codes.shape[1], others.shape[1]))
        squares, other_squares = np.zeros(codes.shape[1]), np.zeros(others.shape[1])
        step = rows_at_once(codes.shape[1] + others.shape[1])
        blocks = _centered_blocks(codes, unit, means, step)
        for block, other in zip(blocks, _centered_blocks(others, other_unit, other_means, step), strict=True):
            products += block.T @ other
            squares += np.einsum("nd,nd->d", block, block)
            other_squares += np.einsum("nd,nd->d", other, other)
    return Spread(products, squares, other_squares, unit)


def _from_raw_products(codes: NDArray[Any], means: NDArray[np.float64]) -> Spread | None:
    """Compute the spread without a copy of the codes, None where a mean is larger than a deviation and would cost digits."""
    products = np.zeros((codes.shape[1], codes.shape[1]))
    for rows in row_blocks(codes):
        block = np.asarray(codes[rows], dtype=np.float64)
        products += block.T @ block
    offset = len(codes) * means**2
    squares = np.diag(products) - offset
    if not (offset <= squares).all():
        return None
    products -= len(codes) * np.outer(means, means)
    return Spread(products, squares, squares, np.ones(len(means)))


def _centered_blocks(
    array: NDArray[Any], unit: NDArray[np.float64], means: NDArray[np.float64], step: int
) -> Iterator[NDArray[np.float64]]:
    """Blocks of rows about the means in the same memory, valid until the next one."""
    memory, scaled = np.empty((min(step, len(array)), array.shape[1])), (unit != 1.0).any()
    for start in range(0, len(array), step):
        rows = array[start : start + step]
        block = memory[: len(rows)]
        side_by_side, rest = long_rows(rows / unit if scaled else rows)
        repeats = side_by_side.shape[1] // array.shape[1]
        whole = len(rows) - len(rest)
        np.subtract(side_by_side, np.tile(means, repeats), out=block[:whole].reshape(side_by_side.shape))
        np.subtract(rest, means, out=block[whole:])
        yield block


def _means(array: NDArray[Any], unit: NDArray[np.float64]) -> NDArray[np.float64]:
    means: NDArray[np.float64] = column_sums(array, unit) / len(array)
    return means


def _unit(array: NDArray[Any]) -> NDArray[np.float64]:
    """`(D,)`: the power of two near the size of each column's numbers."""
    lowest, highest = (extreme.astype(np.float64) for extreme in column_extremes(array))
    return np.ldexp(1.0, np.frexp(highest / 2 - lowest / 2)[1])
