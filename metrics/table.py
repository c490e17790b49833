"""The one input of every metric: a table of codes beside a table of factors, checked once and put in one form."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from disbench.metrics.arrays import check_rows, check_shape, to_array
from disbench.metrics.metric import NotApplicable

LARGEST_CODE = 1e30  # well beyond it squares overflow and a classifier silently fails; no working encoder comes near
LARGEST_EXPONENT = 498  # factor values are scaled below 2**498, about 1e150, so that their squares do not overflow
FEW_WHOLE, FEW_FRACTIONS = 64, 20  # a factor of at most so many values is discrete, however few rows there are
SAFE_EXPONENT = 400  # squares of numbers between 2**-400 and 2**400 stay in the range of a float
ELEMENTS_AT_ONCE = 1 << 18  # a block of a table that fits a processor's cache
LONG_ROW = 1024  # numbers
FIRST_ROWS = 200


class Table(NamedTuple):
    """Checked codes and varying factors. Letters: N rows, D codes, K factors that vary.

    `columns[k]` is the caller's column of factor k, since constant factors are left out and named in
    `constant_factors`. `dead_codes` are the columns of `codes` with a single value; they stay in `codes`, each metric
    says what it does with them.

    A metric reads either the values or the labels of the factors. Values are the caller's numbers, where whole numbers too
    large for float64 are moved to begin at 0, and a column of huge numbers is scaled by a power of two. Labels are the
    rank of each value among the distinct ones.
    """

    codes: NDArray[np.float64]  # (N, D)
    values: NDArray[np.float64]  # (N, K)
    labels: NDArray[np.intp]  # (N, K): in 0 .. sizes[k] - 1, each of which occurs
    sizes: NDArray[np.intp]  # (K,)
    continuous: tuple[bool, ...]  # (K,): whether the values of a factor hardly recur
    columns: list[int]
    constant_factors: list[int]
    dead_codes: list[int]


class Checked(NamedTuple):
    """A table that passed the checks, in the caller's types. The rest is as in `Table`."""

    codes: NDArray[Any]  # (N, D)
    factors: NDArray[Any]  # (N, all factors)
    columns: list[int]
    constant_factors: list[int]
    dead_codes: list[int]


class Factor(NamedTuple):
    """One column of factors."""

    values: NDArray[np.float64]  # (N,)
    labels: NDArray[np.intp]  # (N,)
    size: int
    continuous: bool


def as_table(codes: ArrayLike, factors: ArrayLike, *, cast: bool = True) -> Table:
    """Check `codes (N, D)` and `factors (N, K)` (any real numbers) and bring them into one form.

    Codes of float64 are not copied, so a metric must not write to them. Without `cast` codes of other types are not copied
    either, for a metric that converts a part of them at a time.
    Raises ValueError for a wrong shape, type or value, and NotApplicable when no factor varies or there are two rows.
    """
    checked = check(codes, factors)
    n, K = len(checked.codes), len(checked.columns)
    values, labels = np.empty((n, K)), np.empty((n, K), dtype=np.intp)
    sizes, continuous = np.empty(K, dtype=np.intp), []
    for k, column in enumerate(checked.columns):
        factor = _factor(np.ascontiguousarray(checked.factors[:, column]))
        values[:, k], labels[:, k], sizes[k] = factor.values, factor.labels, factor.size
        continuous.append(factor.continuous)
    return Table(
        codes=np.asarray(checked.codes, dtype=np.float64) if cast else checked.codes,
        values=values,
        labels=labels,
        sizes=sizes,
        continuous=tuple(continuous),
        columns=checked.columns,
        constant_factors=checked.constant_factors,
        dead_codes=checked.dead_codes,
    )


def check(codes: ArrayLike, factors: ArrayLike) -> Checked:
    """Check a table as `as_table` does, with the same errors, and leave it in the caller's types, uncopied."""
    codes_array, factors_array = _numbers(codes, "codes", "code"), _numbers(factors, "factors", "factor")
    check_rows(codes_array, factors_array)
    if len(codes_array) < 2:
        raise ValueError(f"a metric needs at least 2 rows, got {len(codes_array)}; encode more of the dataset.")

    if len(codes_array) == 2:
        raise NotApplicable("two rows cannot show a relation: any two points lie on a line. Score at least 3 rows.")

    lowest, highest = column_extremes(codes_array)
    if (
        codes_array.dtype.kind in "iu"
        and np.maximum(-lowest.astype(np.float64), highest.astype(np.float64)).max() > 2**53
    ):
        columns = np.ascontiguousarray(codes_array.T)  # float64 would merge whole numbers of this size
        codes_array = np.stack([_as_float64(column) for column in columns], axis=1)
        lowest, highest = column_extremes(codes_array)
    with np.errstate(over="ignore"):  # of a longer type than float64
        lowest, highest = (
            lowest.astype(np.float64),
            highest.astype(np.float64),
        )  # in float16 the limit would be infinite
    fit = (lowest >= -LARGEST_CODE) & (highest <= LARGEST_CODE)  # neither holds for NaN
    if not fit.all():
        raise ValueError(
            f"codes need finite values of at most {LARGEST_CODE:g} in size, got others in code {int(fit.argmin())}; "
            "a diverged encoder is a failed trial, drop or fix those rows."
        )
    varies = _varies(factors_array)
    if not varies.any():
        raise NotApplicable(f"no factor varies: each of the {len(varies)} has one value on these rows.")
    return Checked(
        codes=codes_array,
        factors=factors_array,
        columns=np.flatnonzero(varies).tolist(),
        constant_factors=np.flatnonzero(~varies).tolist(),
        dead_codes=np.flatnonzero(lowest == highest).tolist(),
    )


def _varies(factors: NDArray[Any]) -> NDArray[np.bool_]:
    """`factors (N, K)` -> `(K,)`: which columns have two values. Raises ValueError unless all numbers are finite."""
    if factors.dtype.kind != "f":  # whole numbers are finite, and mostly the first rows differ
        least, most = column_extremes(factors[:FIRST_ROWS])
        if (least != most).all():
            return np.ones(factors.shape[1], dtype=np.bool_)
    least, most = column_extremes(factors)
    _require_finite(least, most)
    return np.asarray(least != most)


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


def _deviations(columns: NDArray[np.float64]) -> NDArray[np.float64]:
    exponents = np.frexp(np.ptp(columns, axis=0))[1]
    if (np.abs(exponents) < SAFE_EXPONENT).all():
        return np.asarray(columns.std(axis=0))
    scaled: NDArray[np.float64] = np.ldexp(np.ldexp(columns, -exponents).std(axis=0), exponents)  # which rounds nothing
    return scaled


def _reduced(function: np.ufunc, block: NDArray[Any]) -> Any:
    """`function` over the rows of `block (rows, D)`."""
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


def as_factors(factors: ArrayLike) -> list[Factor]:
    """The columns of `factors (N, K)` with their values and labels. Raises ValueError for a malformed array."""
    array = _numbers(factors, "factors", "factor")
    if len(array):
        _require_finite(*column_extremes(array))
    return [_factor(column) for column in np.ascontiguousarray(array.T)]


def _require_finite(lowest: NDArray[Any], highest: NDArray[Any]) -> None:
    finite = np.isfinite(lowest) & np.isfinite(highest)
    if not finite.all():
        raise ValueError(
            f"factors need finite numbers, got NaN or infinity in column {int(finite.argmin())}; "
            "drop those rows or fill in the values."
        )


def require_two_factors(columns: Sequence[int], metric: str) -> None:
    """Raise NotApplicable unless two factors vary, since guessing which one is fixed could not fail."""
    if len(columns) < 2:
        raise NotApplicable(
            f"{metric} guesses which factor is fixed and needs two that vary, got one (column {columns[0]})."
        )


def require_classes(table: Table, metric: str, instead: str) -> None:
    """Raise NotApplicable when a classifier would have to learn a continuous factor, one class a value."""
    for column, size, continuous in zip(table.columns, table.sizes, table.continuous, strict=True):
        if continuous:
            raise NotApplicable(
                f"{metric} classifies the values of a factor, and factor {column} is continuous: {size} values in"
                f" {len(table.codes)} rows. {instead}"
            )


def _numbers(array: ArrayLike, name: str, column: str) -> NDArray[Any]:
    checked = to_array(array)
    check_shape(checked, name, column)
    if checked.dtype.kind not in "biuf":
        advice = (
            "number the values of each column: numpy.unique(column, return_inverse=True)[1]."
            if checked.dtype.kind in "US"
            else f"convert it: {name}.astype(float)."
        )
        raise ValueError(f"{name} needs real numbers, got dtype {checked.dtype}; {advice}")
    return checked


def _factor(column: NDArray[Any]) -> Factor:
    """One finite column `(N,)`.

    A factor is continuous where its values hardly recur: more than 64 whole numbers, each in fewer than two rows on
    average, or more than 20 fractions, each in fewer than ten (on fewer than 40 rows, each in fewer than two).
    """
    n = len(column)
    labels, size = _relabel(column)
    if column.dtype.kind == "f" and (column != np.rint(column)).any():
        continuous = size > n / 10 and size > min(FEW_FRACTIONS, n / 2)
    else:
        continuous = size > n / 2 and size > FEW_WHOLE
    return Factor(_as_float64(column), labels, size, continuous)


def _as_float64(column: NDArray[Any]) -> NDArray[np.float64]:
    """The same numbers as float64, up to an offset or a factor where float64 or a square of it could not hold them."""
    if column.dtype.kind in "iu" and len(column) and max(abs(int(column.min())), abs(int(column.max()))) > 2**53:
        differences: NDArray[np.uint64] = column.astype(np.uint64) - column.min().astype(np.uint64)  # modulo 2**64
        return differences.astype(np.float64)
    if column.dtype.kind == "f" and len(column):
        largest = np.abs(column).max()  # maybe of a longer type than float64
        if np.frexp(largest)[1] > LARGEST_EXPONENT:
            column = np.ldexp(column, -int(np.frexp(largest)[1]))
    return column.astype(np.float64)


def _relabel(column: NDArray[Any]) -> tuple[NDArray[np.intp], int]:
    """The rank of each value among the distinct ones, and how many there are."""
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
