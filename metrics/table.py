"""The one input of every metric: a table of codes beside a table of factors, checked once and put in one form."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from disbench.metrics.arrays import to_array
from disbench.metrics.metric import NotApplicable

LARGEST_CODE = 1e30  # well beyond it squares overflow and a classifier silently fails; no working encoder comes near


class Table(NamedTuple):
    """Checked codes and varying factors. Letters: N rows, D codes, K factors that vary.

    `columns[k]` is the caller's column of factor k, since constant factors are left out and named in
    `constant_factors`. `dead_codes` are the columns of `codes` with a single value; they stay in `codes`, each metric
    says what it does with them.
    """

    codes: NDArray[np.float64]  # (N, D)
    factors: NDArray[np.intp]  # (N, K): values relabelled 0 .. sizes[k] - 1 in increasing order
    sizes: NDArray[np.intp]  # (K,)
    columns: list[int]
    constant_factors: list[int]
    dead_codes: list[int]


def as_table(codes: ArrayLike, factors: ArrayLike) -> Table:
    """Check `codes (N, D)` (any real numbers) and `factors (N, K)` (any whole numbers) and bring them into one form.

    Raises ValueError for a wrong shape, type or value, and NotApplicable when no factor varies.
    """
    codes_array, factors_array = to_array(codes), to_array(factors)
    for name, array, column in (("codes", codes_array, "code"), ("factors", factors_array, "factor")):
        if array.ndim != 2 or array.shape[1] == 0:
            raise ValueError(
                f"{name} needs shape (rows, {name}), got {array.shape}; a single {column} is a column: {name}[:, None]."
            )
        if array.dtype.kind not in "biuf":
            raise ValueError(f"{name} needs real numbers, got dtype {array.dtype}; convert it first.")
    if len(codes_array) != len(factors_array):
        raise ValueError(
            f"codes and factors need the same rows, got {len(codes_array)} and {len(factors_array)}; "
            "pass the factors of the rows that were encoded."
        )
    if len(codes_array) < 2:
        raise ValueError(f"a metric needs at least 2 rows, got {len(codes_array)}; encode more of the dataset.")

    checked_codes = codes_array.astype(np.float64)
    if not (np.abs(checked_codes) <= LARGEST_CODE).all():
        worst = int(np.flatnonzero(~(np.abs(checked_codes) <= LARGEST_CODE).all(axis=0))[0])
        raise ValueError(
            f"codes need finite values of at most {LARGEST_CODE:g} in size, got others in code {worst}; "
            "a diverged encoder is a failed trial, drop or fix those rows."
        )
    if factors_array.dtype.kind == "f" and not (
        np.isfinite(factors_array).all() and (factors_array == np.rint(factors_array)).all()
    ):
        raise ValueError("factors need whole numbers, got fractions, NaN or infinity; bin continuous factors first.")

    relabelled = [_relabel(column) for column in factors_array.T]
    columns = [k for k, (_, size) in enumerate(relabelled) if size > 1]
    if not columns:
        raise NotApplicable(f"no factor varies: each of the {len(relabelled)} has one value on these rows.")
    return Table(
        codes=checked_codes,
        factors=np.stack([relabelled[k][0] for k in columns], axis=1),
        sizes=np.array([relabelled[k][1] for k in columns], dtype=np.intp),
        columns=columns,
        constant_factors=[k for k in range(len(relabelled)) if k not in columns],
        dead_codes=np.flatnonzero(np.ptp(checked_codes, axis=0) == 0).tolist(),
    )


def require_two_factors(columns: Sequence[int], metric: str) -> None:
    """Raise NotApplicable unless two factors vary, since guessing which one is fixed could not fail."""
    if len(columns) < 2:
        raise NotApplicable(
            f"{metric} guesses which factor is fixed and needs two that vary, got one (column {columns[0]})."
        )


def _relabel(column: NDArray[Any]) -> tuple[NDArray[np.intp], int]:
    """The rank of each value among the distinct ones, and how many there are."""
    lowest, span = int(column.min()), int(column.max()) - int(column.min())
    if span <= 4 * len(column):  # counting is many times faster than sorting, and factors are nearly always 0 .. V - 1
        shifted = (column.astype(np.int64 if column.dtype.kind != "u" else np.uint64) - lowest).astype(np.intp)
        present = np.bincount(shifted) > 0
        return (np.cumsum(present) - 1)[shifted], int(present.sum())
    values, ranks = np.unique(column, return_inverse=True)
    return ranks.astype(np.intp), len(values)
