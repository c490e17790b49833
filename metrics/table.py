"""The one input of every metric: a table of codes beside a table of factors, checked once and put in one form."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from disbench.metrics.arrays import check_rows, check_shape, to_array
from disbench.metrics.metric import NotApplicable

LARGEST_CODE = 1e30  # well beyond it squares overflow and a classifier silently fails; no working encoder comes near
LARGEST_VALUE = 1e150  # factor values are scaled below it, so that their squares do not overflow
FEW_WHOLE, FEW_FRACTIONS = 64, 20  # a factor of at most so many values is discrete, however few rows there are


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


class Factor(NamedTuple):
    """One column of factors."""

    values: NDArray[np.float64]  # (N,)
    labels: NDArray[np.intp]  # (N,)
    size: int
    continuous: bool


def as_table(codes: ArrayLike, factors: ArrayLike) -> Table:
    """Check `codes (N, D)` and `factors (N, K)` (any real numbers) and bring them into one form.

    Raises ValueError for a wrong shape, type or value, and NotApplicable when no factor varies or there are two rows.
    """
    codes_array, factors_array = _numbers(codes, "codes", "code"), _numbers(factors, "factors", "factor")
    check_rows(codes_array, factors_array)
    if len(codes_array) < 2:
        raise ValueError(f"a metric needs at least 2 rows, got {len(codes_array)}; encode more of the dataset.")

    if len(codes_array) == 2:
        raise NotApplicable("two rows cannot show a relation: any two points lie on a line. Score at least 3 rows.")

    checked_codes = codes_array.astype(np.float64)
    if not (np.abs(checked_codes) <= LARGEST_CODE).all():
        worst = int(np.flatnonzero(~(np.abs(checked_codes) <= LARGEST_CODE).all(axis=0))[0])
        raise ValueError(
            f"codes need finite values of at most {LARGEST_CODE:g} in size, got others in code {worst}; "
            "a diverged encoder is a failed trial, drop or fix those rows."
        )
    checked = as_factors(factors_array)
    columns = [k for k, factor in enumerate(checked) if factor.size > 1]
    if not columns:
        raise NotApplicable(f"no factor varies: each of the {len(checked)} has one value on these rows.")
    return Table(
        codes=checked_codes,
        values=np.stack([checked[k].values for k in columns], axis=1),
        labels=np.stack([checked[k].labels for k in columns], axis=1),
        sizes=np.array([checked[k].size for k in columns], dtype=np.intp),
        continuous=tuple(checked[k].continuous for k in columns),
        columns=columns,
        constant_factors=[k for k in range(len(checked)) if k not in columns],
        dead_codes=np.flatnonzero(np.ptp(checked_codes, axis=0) == 0).tolist(),
    )


def as_factors(factors: ArrayLike) -> list[Factor]:
    """The columns of `factors (N, K)` with their values and labels. Raises ValueError for a malformed array."""
    array = _numbers(factors, "factors", "factor")
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        worst = int(np.flatnonzero(~np.isfinite(array).all(axis=0))[0])
        raise ValueError(
            f"factors need finite numbers, got NaN or infinity in column {worst}; drop those rows or fill in the values."
        )
    return [_factor(column) for column in np.ascontiguousarray(array.T)]


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
        raise ValueError(f"{name} needs real numbers, got dtype {checked.dtype}; convert it: {name}.astype(float).")
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
    values = column.astype(np.float64)
    largest = float(np.abs(values).max(initial=0.0))
    if largest > LARGEST_VALUE:
        values = np.ldexp(values, -int(np.frexp(largest)[1]))
    return values


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
