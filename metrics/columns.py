"""Sums, extremes and deviations of the columns of large tables, a block of rows at a time."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

SAFE_EXPONENT = 400  # squares of numbers between 2**-400 and 2**400 stay in the range of a float
ELEMENTS_AT_ONCE = 1 << 18  # a block of a table that fits a processor's cache
LONG_ROW = 1024  # numbers
CROWDED = 1e-4  # of a range


def rows_at_once(columns: int) -> int:
    """How many rows of so many columns fit a processor's cache."""
    return max(1, ELEMENTS_AT_ONCE // columns)


def row_blocks(array: NDArray[Any]) -> Iterator[slice]:
    """Consecutive rows of `array (N, D)`, as many at a time as fit a processor's cache."""
    step = rows_at_once(array.shape[1])
    for start in range(0, len(array), step):
        yield slice(start, start + step)


def column_extremes(array: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """`array (N, D)`, N > 0 -> the least and the largest value of each column, NaN where a column holds one."""
    lowest, highest = array[0], array[0]
    for rows in row_blocks(array):
        lowest = np.minimum(lowest, _reduced(np.minimum, array[rows]))
        highest = np.maximum(highest, _reduced(np.maximum, array[rows]))
    return lowest, highest


def column_sums(array: NDArray[Any], unit: NDArray[np.float64]) -> NDArray[np.float64]:
    """`array (N, D)` -> the sum of each column in float64, its numbers divided by `unit (D,)`."""
    total, scaled = np.zeros(array.shape[1]), (unit != 1.0).any()
    for rows in row_blocks(array):
        block = np.asarray(array[rows], dtype=np.float64)
        total += _reduced(np.add, block / unit if scaled else block)
    return total


def deviations(array: NDArray[np.float64]) -> NDArray[np.float64]:
    """`array (N, D)` -> the standard deviation of each column, also where squares leave the range of a float."""
    step = max(1, ELEMENTS_AT_ONCE // max(len(array), 1))  # a table is not copied
    return np.concatenate([_deviations(array[:, j : j + step]) for j in range(0, array.shape[1], step)])


def uncrowded(columns: NDArray[np.float64]) -> NDArray[np.float64]:
    """`columns (N, D)` of ranges near 1 -> the same for trees, which compute in float32 and take differences below 1e-7 for none.

    A column whose middle 90 % lie within 1e-4 of its range is measured from its median in units of these 90 %, so that
    an outlier does not take the digits of the other values.
    """
    low, median, high = np.quantile(columns, [0.05, 0.5, 0.95], axis=0)
    crowded = (high > low) & (high - low < CROWDED)
    if not crowded.any():
        return columns
    scaled = columns.copy()
    scaled[:, crowded] = (columns[:, crowded] - median[crowded]) / (high - low)[crowded]
    return scaled


def _deviations(columns: NDArray[np.float64]) -> NDArray[np.float64]:
    exponents = np.frexp(np.ptp(columns, axis=0))[1]
    if (np.abs(exponents) < SAFE_EXPONENT).all():
        return np.asarray(columns.std(axis=0))
    scaled: NDArray[np.float64] = np.ldexp(np.ldexp(columns, -exponents).std(axis=0), exponents)  # which rounds nothing
    return scaled


def _reduced(function: np.ufunc, block: NDArray[Any]) -> Any:
    """Apply `function` over the rows of `block (rows, D)`."""
    side_by_side, rest = long_rows(block)
    if not len(side_by_side):
        return function.reduce(block, axis=0)
    folded = function.reduce(side_by_side, axis=0).reshape(-1, block.shape[1])
    return function.reduce(np.concatenate([folded, rest]), axis=0)


def long_rows(block: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """`block (rows, D)` -> `(rows / width, width * D)`, with several rows side by side, and the rows that are left.

    NumPy works along a row, so that short rows take it up to ten times as long.
    """
    width = max(1, LONG_ROW // block.shape[1])
    whole = len(block) - len(block) % width
    return np.ascontiguousarray(block[:whole]).reshape(-1, width * block.shape[1]), block[whole:]
