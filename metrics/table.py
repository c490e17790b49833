"""The input of every metric: validated codes and factors, with optional standard deviations and groups."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache, cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from disbench.metrics import arrays
from disbench.metrics.columns import column_extremes
from disbench.metrics.factor_column import Factor, as_float64, factor_column
from disbench.metrics.views import column_groups

LARGEST_CODE = 1e30  # well beyond it squares overflow and a classifier silently fails; no working encoder comes near
FIRST_ROWS = 200
LARGEST_GROUP = 2**31


class NotApplicable(ValueError):  # noqa: N818 - it is a verdict on the table, and its message a reason for the page
    """The metric is undefined on this table; the message says why. Raised in place of a NaN or a dummy value."""


class Factors(NamedTuple):
    """The K factors that vary."""

    values: NDArray[np.float64]  # (N, K)
    labels: NDArray[np.intp]  # (N, K): in 0 .. sizes[k] - 1, each of which occurs
    sizes: NDArray[np.intp]  # (K,)
    continuous: tuple[bool, ...]  # (K,): whether the values of a factor hardly recur


@dataclass(frozen=True, eq=False)
class Table:
    """Hold codes and factors that were checked once, as every metric reads them. `as_table` makes one from arrays.

    Letters: N rows, D codes, K factors that vary. Arrays are read-only views of the caller's arrays. Do not change those
    while the table is in use. Factors, `std` and `groups` are converted when a metric first reads them.

    Attributes
    ----------
    raw_codes : ndarray of shape (N, D)
        The codes in the caller's type, for a computation that converts a part at a time.
    raw_factors, raw_std, raw_groups : ndarray, optional
        All factors, the deviations and the groups of the caller, before they are checked.
    columns : list of int
        The caller's column of each of the K factors.
    constant_factors : list of int
        The caller's other columns. They have a single value and are left out.
    dead_codes : list of int
        The columns of `codes` with a single value. They stay in `codes`.
    relabelled : callable
        Converts the factors when called first. Tables of the same factors share it.
    code_names, factor_names : tuple of str, optional
        Names of the caller's columns of codes and of factors, if they came with names.
    quantized : bool
        Whether each code takes one of few values, so that metrics count these in place of bins or nearest neighbors.
    """

    raw_codes: NDArray[Any]
    raw_factors: NDArray[Any] | None  # (N, all factors)
    columns: list[int]
    constant_factors: list[int]
    dead_codes: list[int]
    relabelled: Callable[[], Factors]  # computed on first use, and shared by tables of the same factors
    raw_std: NDArray[Any] | None = None
    raw_groups: NDArray[Any] | None = None
    code_names: tuple[str, ...] | None = None
    factor_names: tuple[str, ...] | None = None
    quantized: bool = False

    @property
    def codes(self) -> NDArray[np.float64]:
        """Codes (N, D) as float64, converted at each access if they have another type: keep them in a variable."""
        return np.asarray(self.raw_codes, dtype=np.float64)

    @property
    def values(self) -> NDArray[np.float64]:
        """Factor values (N, K) as float64; integers beyond 2**53 start at 0, huge numbers are scaled by a power of two."""
        return self.relabelled().values

    @property
    def labels(self) -> NDArray[np.intp]:
        """Rank of each value among the distinct values of its factor: (N, K) in 0 .. sizes[k] - 1."""
        return self.relabelled().labels

    @property
    def sizes(self) -> NDArray[np.intp]:
        """Number of distinct values of each factor: (K,)."""
        return self.relabelled().sizes

    @property
    def continuous(self) -> tuple[bool, ...]:
        """Whether the values of each factor hardly recur: (K,)."""
        return self.relabelled().continuous

    @cached_property
    def std(self) -> NDArray[np.float64] | None:
        """Standard deviations (N, D) of the posteriors with means `codes`, float64, or None."""
        if self.raw_std is None:
            return None
        array = self.raw_std.astype(np.float64)
        if not (np.isfinite(array) & (array >= 0)).all():
            raise ValueError("std needs finite numbers >= 0; pass deviations and not logarithms of variances.")
        return array

    @cached_property
    def groups(self) -> NDArray[np.intp] | None:
        """Group of each code: (D,) integers, 0 for a code in no group; or None."""
        if self.raw_groups is None:
            return None
        array, codes = self.raw_groups, self.raw_codes.shape[1]
        whole = array.dtype.kind in "iuf" and bool((array == np.rint(array)).all())
        if array.shape != (codes,) or not whole or (array <= -LARGEST_GROUP).any() or (array >= LARGEST_GROUP).any():
            raise ValueError(
                f"groups needs a whole number for each of the {codes} codes, the group that it is in or 0, got"
                f" {array.dtype} {array.shape}."
            )
        return array.astype(np.intp)

    @cached_property
    def digest(self) -> tuple[Any, ...]:
        """What identifies the codes and the factors by their content."""
        factors = None if self.raw_factors is None else arrays.digest(self.raw_factors)
        return arrays.digest(self.raw_codes), factors, self.quantized

    @property
    def live_codes(self) -> list[int]:
        """Columns of `codes` with more than one value."""
        return np.delete(np.arange(self.raw_codes.shape[1]), self.dead_codes).tolist()

    @property
    def group_columns(self) -> dict[int, list[int]]:
        """Columns of `codes` in each group, by its number; codes in no group (0) are left out."""
        groups = np.empty(0, np.intp) if self.groups is None else self.groups
        return {int(number): np.flatnonzero(groups == number).tolist() for number in np.unique(groups[groups != 0])}

    def columns_at(self, factors: NDArray[np.intp]) -> NDArray[np.intp]:
        """Look up the caller's columns of some of the K factors."""
        return np.array(self.columns, dtype=np.intp)[factors]

    def left_out(self) -> dict[str, list[int]]:
        """List the constant factors and the dead codes, as most details end."""
        return {"constant_factors": list(self.constant_factors), "dropped_codes": list(self.dead_codes)}

    def with_factors(self, factors: Factors) -> "Table":
        """Replace the factors' labels or values by another form of them."""
        return replace(self, relabelled=lambda: factors)

    def take(self, rows: NDArray[np.intp]) -> "Table":
        """Select rows, and check them again: a factor may be constant on them."""
        factors, std = (None if array is None else array[rows] for array in (self.raw_factors, self.raw_std))
        taken = as_table(self.raw_codes[rows], factors, std=std, groups=self.raw_groups, quantized=self.quantized)
        return replace(taken, code_names=self.code_names, factor_names=self.factor_names)

    def with_names(self, detail: dict[str, Any]) -> dict[str, Any]:
        """Write the names of codes and factors beside their numbers in the entries of a detail, if the columns have names."""
        names = {"factor": self.factor_names, "code": self.code_names, "other": self.code_names}
        if self.factor_names is None and self.code_names is None:
            return detail
        named = dict(detail)
        for part in ("factors", "codes"):
            if part in detail:
                named[part] = [_named(entry, names) for entry in detail[part]]
        return named


def as_table(
    codes: ArrayLike | Table,
    factors: ArrayLike | None = None,
    *,
    std: ArrayLike | None = None,
    groups: ArrayLike | None = None,
    quantized: bool = False,
) -> Table:
    """Check codes and factors and convert them to one form.

    Parameters
    ----------
    codes : array-like of shape (N, D) or (N, G, F), or Table
        Real numbers: NumPy arrays, lists, pandas DataFrames, or PyTorch tensors of any type, on any device, with or without a
        gradient. Vector-valued latents (N, G, F) become G * F codes in G groups. A `Table` is returned as it is.
        Rows are matched by position; DataFrames of codes, factors and std need the same index in the same order.
    factors : array-like of shape (N, K), optional
        Real numbers, in the same types. Metrics that use codes alone need none.
    std : array-like, optional
        Standard deviations of the posteriors with means `codes`, in the shape of `codes`.
    groups : array-like of shape (D,) or (G,), optional
        Integers: the group of each code or vector, 0 for no group.
    quantized : bool, default False
        Whether each code takes one of few values. Mutual information then counts these, and InfoMEC is that of discrete codes.

    Returns
    -------
    Table
        It shares memory with the arrays where possible.

    Raises
    ------
    ValueError
        If a shape, type or value is wrong.
    NotApplicable
        If no factor varies, or there are only two rows.

    Examples
    --------
    >>> from disbench.metrics import as_table
    >>> table = as_table([[0.5, 0], [0.1, 0], [0.3, 0]], [[7, 1], [8, 1], [7, 1]])
    >>> table.columns, table.constant_factors, table.dead_codes
    ([0], [1], [1])
    >>> table.labels.tolist()
    [[0], [1], [0]]
    """
    if isinstance(codes, Table):
        if not (factors is std is groups is None) or quantized:
            raise ValueError(
                "a Table has its own factors, std, groups and quantized; pass it alone, or arrays to as_table."
            )
        return codes
    arrays.check_index("codes", codes, "factors", factors)
    arrays.check_index("codes", codes, "std", std)
    array = arrays.to_array(codes)
    vectors = array.shape[1:] if array.ndim == 3 and array.size else None
    if vectors is not None:
        array = array.reshape(len(array), -1)
        groups = column_groups(vectors, None if groups is None else arrays.to_array(groups))
    array = _numbers(array, "codes", "code")
    raw_factors = None if factors is None else _read_only(_numbers(arrays.to_array(factors), "factors", "factor"))
    if raw_factors is not None:
        arrays.check_rows(array, raw_factors)
    array, dead_codes = _checked_codes(array)
    arrays.check_recurring(array, quantized)
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
        raw_std=None if std is None else _read_only(arrays.deviations_of(std, array.shape, vectors)),
        raw_groups=None if groups is None else arrays.to_array(groups),
        code_names=arrays.column_names(codes),
        factor_names=arrays.column_names(factors),
        quantized=quantized,
    )


def _named(entry: dict[str, Any], names: dict[str, tuple[str, ...] | None]) -> dict[str, Any]:
    """One entry of a detail, with the name of each column right after its number."""
    named: dict[str, Any] = {}
    for key, value in entry.items():
        named[key] = value
        if (own := names.get(key)) is not None and value is not None:
            named[f"{key}_name"] = own[value]
    return named


def _relabelled(factors: NDArray[Any], columns: list[int]) -> Factors:
    n, K = len(factors), len(columns)
    values, labels = np.empty((n, K)), np.empty((n, K), dtype=np.intp)
    sizes, continuous = np.empty(K, dtype=np.intp), []
    for k, column in enumerate(columns):
        factor = factor_column(np.ascontiguousarray(factors[:, column]))
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
        codes = np.stack([as_float64(column) for column in columns], axis=1)
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
    """Split `factors (N, K)` into columns with their values and labels. Raises ValueError for a malformed array."""
    array = _numbers(arrays.to_array(factors), "factors", "factor")
    if len(array):
        _require_finite(*column_extremes(array))
    return [factor_column(column) for column in np.ascontiguousarray(array.T)]


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
    arrays.check_shape(checked, name, column)
    if checked.dtype.kind not in "biuf":
        advice = (
            "number the values of each column: numpy.unique(column, return_inverse=True)[1]."
            if checked.dtype.kind in "US"
            else f"convert it: {name}.astype(float)."
        )
        raise ValueError(f"{name} needs real numbers, got dtype {checked.dtype}; {advice}")
    return checked
