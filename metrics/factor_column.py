"""One column of factors: its values as float64, the ranks of the distinct ones, and whether it is continuous."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

LARGEST_EXPONENT = 498  # factor values are scaled below 2**498, about 1e150, so that their squares do not overflow
FEW_WHOLE, FEW_FRACTIONS = 64, 20  # a factor of at most so many values is discrete, however few rows there are


class Factor(NamedTuple):
    """One column of factors."""

    values: NDArray[np.float64]  # (N,)
    labels: NDArray[np.intp]  # (N,)
    size: int
    continuous: bool


def factor_column(column: NDArray[Any]) -> Factor:
    """Convert one finite column `(N,)`.

    A factor is continuous where its values hardly recur: more than 64 whole numbers, each in fewer than two rows on
    average, or more than 20 fractions, each in fewer than ten (on fewer than 40 rows, each in fewer than two).
    """
    n = len(column)
    labels, size = _relabel(column)
    if column.dtype.kind == "f" and (column != np.rint(column)).any():
        continuous = size > n / 10 and size > min(FEW_FRACTIONS, n / 2)
    else:
        continuous = size > n / 2 and size > FEW_WHOLE
    return Factor(as_float64(column), labels, size, continuous)


def as_float64(column: NDArray[Any]) -> NDArray[np.float64]:
    """Convert a column to float64, up to an offset or a factor where float64 or a square of it could not hold it."""
    if column.dtype.kind in "iu" and len(column) and max(abs(int(column.min())), abs(int(column.max()))) > 2**53:
        differences: NDArray[np.uint64] = column.astype(np.uint64) - column.min().astype(np.uint64)  # modulo 2**64
        return differences.astype(np.float64)
    if column.dtype.kind == "f" and len(column):
        largest = np.abs(column).max()  # maybe of a longer type than float64
        if np.frexp(largest)[1] > LARGEST_EXPONENT:
            column = np.ldexp(column, -int(np.frexp(largest)[1]))
    return column.astype(np.float64)


def _relabel(column: NDArray[Any]) -> tuple[NDArray[np.intp], int]:
    """Rank each value among the distinct ones, and count those."""
    whole = column.dtype.kind != "f" or (
        float(np.abs(column).max(initial=0.0)) <= 2**53 and (column == np.rint(column)).all()
    )
    if whole and len(column):
        lowest, span = int(column.min()), int(column.max()) - int(column.min())
        if span <= 4 * len(column):  # counting is many times faster than sorting; most factors are 0 .. V - 1
            shifted = (column.astype(np.int64 if column.dtype.kind != "u" else np.uint64) - lowest).astype(np.intp)
            present = np.bincount(shifted) > 0
            return (np.cumsum(present) - 1)[shifted], int(present.sum())
    values, ranks = np.unique(column, return_inverse=True)
    return ranks.astype(np.intp), len(values)
