"""The one input of every metric: codes, factors, and where there are any deviations and groups, checked once."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache, cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from disbench.metrics.arrays import check_rows, check_shape, digest, to_array
from disbench.metrics.columns import column_extremes
from disbench.metrics.views import column_groups

LARGEST_CODE = 1e30  # well beyond it squares overflow and a classifier silently fails; no working encoder comes near
LARGEST_EXPONENT = 498  # factor values are scaled below 2**498, about 1e150, so that their squares do not overflow
FEW_WHOLE, FEW_FRACTIONS = 64, 20  # a factor of at most so many values is discrete, however few rows there are
FIRST_ROWS = 200


class NotApplicable(ValueError):  # noqa: N818 - it is a verdict on the table, and its message a reason for the page
    """The metric is undefined on this table; the message says why. Raised in place of a NaN or a dummy value."""


class Factor(NamedTuple):
    """One column of factors."""

    values: NDArray[np.float64]  # (N,)
    labels: NDArray[np.intp]  # (N,)
    size: int
    continuous: bool


class Factors(NamedTuple):
    """The K factors that vary."""

    values: NDArray[np.float64]  # (N, K)
    labels: NDArray[np.intp]  # (N, K): in 0 .. sizes[k] - 1, each of which occurs
    sizes: NDArray[np.intp]  # (K,)
    continuous: tuple[bool, ...]  # (K,): whether the values of a factor hardly recur


@dataclass(frozen=True, eq=False)
class Table:
    """The input of every metric: codes and factors that were checked once. `as_table` makes one from arrays.

    Letters: N rows, D codes, K factors that vary. Arrays are read-only views of the caller's, who must not change them while
    the table is in use.

    Attributes
    ----------
    codes : (N, D) float64. Codes of another type are converted at each access: keep the result in a variable.
    raw_codes : (N, D) in the caller's type, for a computation that converts a part at a time.
    values : (N, K) float64, the caller's numbers, where whole numbers too large for float64 are moved to begin at 0, and a
        column of huge numbers is scaled by a power of two.
    labels : (N, K), the rank of each value among the distinct ones of its factor.
    sizes : (K,), the number of distinct values of each factor.
    continuous : (K,), whether the values of a factor hardly recur.
    columns : the caller's column of each of the K factors.
    constant_factors : the caller's other columns, which have one value and are left out.
    dead_codes : the columns of `codes` with one value. They stay in `codes`, and each metric says what it does with them.
    std : (N, D) float64, the standard deviations of the posteriors with the means `codes`, or None.
    groups : (D,) integers, the group of each code, 0 for a code in no group, or None. See `group_columns`. It is checked, as
        `std` is, when a metric uses it.
    """

    raw_codes: NDArray[Any]
    raw_factors: NDArray[Any] | None  # (N, all factors)
    columns: list[int]
    constant_factors: list[int]
    dead_codes: list[int]
    relabelled: Callable[[], Factors]  # computed on first use, and shared by tables of the same factors
    raw_std: NDArray[Any] | None = None
    raw_groups: NDArray[Any] | None = None

    @property
    def codes(self) -> NDArray[np.float64]:
        return np.asarray(self.raw_codes, dtype=np.float64)

    @property
    def values(self) -> NDArray[np.float64]:
        return self.relabelled().values

    @property
    def labels(self) -> NDArray[np.intp]:
        return self.relabelled().labels

    @property
    def sizes(self) -> NDArray[np.intp]:
        return self.relabelled().sizes

    @property
    def continuous(self) -> tuple[bool, ...]:
        return self.relabelled().continuous

    @cached_property
    def std(self) -> NDArray[np.float64] | None:
        if self.raw_std is None:
            return None
        array = self.raw_std.astype(np.float64)
        if not (np.isfinite(array) & (array >= 0)).all():
            raise ValueError("std needs finite numbers >= 0; pass deviations and not logarithms of variances.")
        return array

    @cached_property
    def groups(self) -> NDArray[np.intp] | None:
        if self.raw_groups is None:
            return None
        array, codes = self.raw_groups, self.raw_codes.shape[1]
        if array.shape != (codes,) or array.dtype.kind not in "iuf" or (array != np.rint(array)).any():
            raise ValueError(
                f"groups needs a whole number for each of the {codes} codes, the group that it is in or 0, got"
                f" {array.dtype} {array.shape}."
            )
        return array.astype(np.intp)

    @cached_property
    def digest(self) -> tuple[Any, ...]:
        """What identifies the codes and the factors by their content."""
        return digest(self.raw_codes), None if self.raw_factors is None else digest(self.raw_factors)

    @property
    def live_codes(self) -> list[int]:
        """The columns of `codes` with more than one value."""
        return np.delete(np.arange(self.raw_codes.shape[1]), self.dead_codes).tolist()

    @property
    def group_columns(self) -> dict[int, list[int]]:
        """The columns of `codes` in each group, by its number; codes in no group (0) are left out."""
        groups = np.empty(0, np.intp) if self.groups is None else self.groups
        return {int(number): np.flatnonzero(groups == number).tolist() for number in np.unique(groups[groups != 0])}

    def columns_at(self, factors: NDArray[np.intp]) -> NDArray[np.intp]:
        """The caller's columns of some of the K factors."""
        return np.array(self.columns, dtype=np.intp)[factors]

    def left_out(self) -> dict[str, list[int]]:
        """The end of most details: which factors are constant and which codes are dead."""
        return {"constant_factors": list(self.constant_factors), "dropped_codes": list(self.dead_codes)}

    def with_factors(self, factors: Factors) -> "Table":
        """The same table with the factors' labels or values in another form."""
        return replace(self, relabelled=lambda: factors)

    def take(self, rows: NDArray[np.intp]) -> "Table":
        """A table of these rows, which is checked again: a factor may be constant on them."""
        factors, std = (None if array is None else array[rows] for array in (self.raw_factors, self.raw_std))
        return as_table(self.raw_codes[rows], factors, std=std, groups=self.raw_groups)


def as_table(
    codes: ArrayLike | Table,
    factors: ArrayLike | None = None,
    *,
    std: ArrayLike | None = None,
    groups: ArrayLike | None = None,
) -> Table:
    """Check codes and factors and bring them into one form.

    Parameters
    ----------
    codes : (N, D), real numbers of any type, or vector-valued latents (N, G, F), which become G * F codes in G groups. A
        `Table` is returned as it is.
    factors : (N, K), real numbers, or None for metrics that use codes alone.
    std : the standard deviations of the posteriors with the means `codes`, in the shape of `codes`.
    groups : (D,) integers, the group of each code, 0 for a code in no group; also (G,) of vectors.

    Returns
    -------
    A table that shares memory with the arrays where it can.

    Raises
    ------
    ValueError
        For a wrong shape, type or value.
    NotApplicable
        When no factor varies, or there are two rows.
    """
    if isinstance(codes, Table):
        if not (factors is std is groups is None):
            raise ValueError("a Table has its own factors, std and groups; pass it alone, or arrays to as_table.")
        return codes
    array = to_array(codes)
    vectors = array.shape[1:] if array.ndim == 3 and array.size else None
    if vectors is not None:
        array = array.reshape(len(array), -1)
        groups = column_groups(vectors, None if groups is None else to_array(groups))
    array = _numbers(array, "codes", "code")
    raw_factors = None if factors is None else _read_only(_numbers(to_array(factors), "factors", "factor"))
    if raw_factors is not None:
        check_rows(array, raw_factors)
    array, dead_codes = _checked_codes(array)
    varies = np.empty(0, np.bool_) if raw_factors is None else _varies(raw_factors)
    if len(varies) and not varies.any():
        raise NotApplicable(f"no factor varies: each of the {len(varies)} has one value on these rows.")
    columns = np.flatnonzero(varies).tolist()
    to_relabel = np.empty((len(array), 0)) if raw_factors is None else raw_factors
    return Table(
        raw_codes=_read_only(array),
        raw_factors=raw_factors,
        columns=columns,
        constant_factors=np.flatnonzero(~varies).tolist(),
        dead_codes=dead_codes,
        relabelled=cache(lambda: _relabelled(to_relabel, columns)),
        raw_std=None if std is None else _read_only(_checked_std(std, array.shape, vectors)),
        raw_groups=None if groups is None else to_array(groups),
    )


def _relabelled(factors: NDArray[Any], columns: list[int]) -> Factors:
    n, K = len(factors), len(columns)
    values, labels = np.empty((n, K)), np.empty((n, K), dtype=np.intp)
    sizes, continuous = np.empty(K, dtype=np.intp), []
    for k, column in enumerate(columns):
        factor = _factor(np.ascontiguousarray(factors[:, column]))
        values[:, k], labels[:, k], sizes[k] = factor.values, factor.labels, factor.size
        continuous.append(factor.continuous)
    return Factors(_read_only(values), _read_only(labels), sizes, tuple(continuous))


def _checked_codes(codes: NDArray[Any]) -> tuple[NDArray[Any], list[int]]:
    """`codes (N, D)`, with whole numbers beyond 2**53 moved to begin at 0, and the columns with one value."""
    if len(codes) < 2:
        raise ValueError(f"a metric needs at least 2 rows, got {len(codes)}; encode more of the dataset.")
    if len(codes) == 2:
        raise NotApplicable("two rows cannot show a relation: any two points lie on a line. Score at least 3 rows.")
    lowest, highest = column_extremes(codes)
    if codes.dtype.kind in "iu" and np.maximum(-lowest.astype(np.float64), highest.astype(np.float64)).max() > 2**53:
        columns = np.ascontiguousarray(codes.T)  # float64 would merge whole numbers of this size
        codes = np.stack([_as_float64(column) for column in columns], axis=1)
        lowest, highest = column_extremes(codes)
    with np.errstate(over="ignore"):  # of a longer type than float64; in float16 the limit would be infinite
        lowest, highest = lowest.astype(np.float64), highest.astype(np.float64)
    fit = (lowest >= -LARGEST_CODE) & (highest <= LARGEST_CODE)  # neither holds for NaN
    if not fit.all():
        raise ValueError(
            f"codes need finite values of at most {LARGEST_CODE:g} in size, got others in code {int(fit.argmin())}; "
            "a diverged encoder is a failed trial, drop or fix those rows."
        )
    return codes, np.flatnonzero(lowest == highest).tolist()


def _checked_std(std: ArrayLike, shape: tuple[int, ...], vectors: tuple[int, ...] | None) -> NDArray[Any]:
    array = to_array(std)
    if vectors is not None and array.shape == (shape[0], *vectors):
        array = array.reshape(shape)
    if array.shape != shape or array.dtype.kind not in "iuf":
        raise ValueError(f"std needs a standard deviation for each code, got {array.dtype} {array.shape} for {shape}.")
    return array


def _read_only(array: NDArray[Any]) -> NDArray[Any]:
    array = array.view()
    array.flags.writeable = False
    return array


def _varies(factors: NDArray[Any]) -> NDArray[np.bool_]:
    """`factors (N, K)` -> `(K,)`: which columns have two values. Raises ValueError unless all numbers are finite."""
    if factors.dtype.kind != "f":  # whole numbers are finite, and mostly the first rows differ
        least, most = column_extremes(factors[:FIRST_ROWS])
        if (least != most).all():
            return np.ones(factors.shape[1], dtype=np.bool_)
    least, most = column_extremes(factors)
    _require_finite(least, most)
    return np.asarray(least != most)


def as_factors(factors: ArrayLike) -> list[Factor]:
    """The columns of `factors (N, K)` with their values and labels. Raises ValueError for a malformed array."""
    array = _numbers(to_array(factors), "factors", "factor")
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


def require_classes(table: Table, metric: str, instead: str) -> None:
    """Raise NotApplicable when a classifier would have to learn a continuous factor, one class a value."""
    for column, size, continuous in zip(table.columns, table.sizes, table.continuous, strict=True):
        if continuous:
            raise NotApplicable(
                f"{metric} classifies the values of a factor, and factor {column} is continuous: {size} values in"
                f" {len(table.labels)} rows. {instead}"
            )


def _numbers(checked: NDArray[Any], name: str, column: str) -> NDArray[Any]:
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
