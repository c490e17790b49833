"""The one reader of factors, whatever file they come from. No torch.

A column holds numbers (whole or not), or words. Its distinct values get the indices 0, 1, ...: numbers in increasing
order, words in alphabetical order, false before true. A missing value is an error, never a value.
"""

import logging
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import numpy as np
from numpy.typing import NDArray

_log = logging.getLogger(__name__)

NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d{1,3})?", re.ASCII | re.IGNORECASE)
DATE = re.compile(r"\d{1,2}[./-]\d{1,2}[./-]\d{2,4}( .*)?", re.ASCII)
# What pandas, R, SQL and spreadsheets write where there is no value, in small letters.
MISSING = ("", "nan", "na", "n/a", "#n/a", "null", "<na>", "nat")
MISSING_NUMBERS = (
    "none",
    "-",
    "--",
    "?",
    ".",
    "missing",
    "nil",
)  # possible words, but no number of a column of numbers
LARGEST_EXACT = 2**53  # of the whole numbers that a float64 holds exactly
IDENTIFIER_ROWS = 20  # as many rows with as many values are an identifier rather than a factor

Where = Callable[[int], str]


@dataclass(frozen=True)
class FactorColumn:
    """One factor of N rows.

    `labels` are the distinct values as text, in order; `indices` (N,) the label of each row, int64; `numbers` (N,) the
    values themselves, int64, uint64 or float64, or None where the column holds words.
    """

    name: str
    labels: tuple[str, ...]
    indices: NDArray[np.int64]
    numbers: NDArray[Any] | None


def row_number(row: int) -> str:
    return f"row {row} (counted from 0)"


def read_column(cells: Sequence[str] | NDArray[Any], name: str, where: Where = row_number) -> FactorColumn:
    """Read the values of a factor, N texts or an array (N,) of numbers, booleans or text.

    `where` names a row in an error. Raises ValueError for a missing or infinite value, a mix of numbers and words, dates
    whose text does not sort as time does, and Python objects.
    """
    if isinstance(cells, np.ndarray) and not _is_text(cells):
        return _from_numbers(cells, name, where)
    texts = [cell.decode("utf-8", "replace") if isinstance(cell, bytes) else str(cell) for cell in cells]
    return _from_text([text.strip() for text in texts], name, where)


def _is_text(cells: NDArray[Any]) -> bool:
    return cells.dtype.kind in "SU" or (
        cells.dtype.kind == "O" and all(isinstance(cell, str | bytes) for cell in cells)
    )


def warn_of_identifiers(columns: Sequence[FactorColumn]) -> None:
    """Warn of whole numbers and words that differ in every row: an identifier or a file name is no factor."""
    rows = len(columns[0].indices) if columns else 0
    for column in columns:
        whole = column.numbers is None or column.numbers.dtype.kind in "iu"
        if len(columns) > 1 and rows >= IDENTIFIER_ROWS and whole and len(column.labels) == rows:
            _log.warning(
                "Factor %s has another value in each of the %d rows, as an identifier has. Leave it out if it is one.",
                *(column.name, rows),
            )


def as_matrix(columns: Sequence[FactorColumn]) -> NDArray[Any]:
    """The values of K factors (N, K): numbers as they are, words as their indices. Whole numbers stay integers."""
    values = [column.indices if column.numbers is None else column.numbers for column in columns]
    if {array.dtype for array in values} in ({np.dtype(np.int64)}, {np.dtype(np.uint64)}):
        return np.stack(values, axis=1)
    for column, array in zip(columns, values, strict=True):
        if array.dtype.kind in "iu" and max(abs(int(array.min())), abs(int(array.max()))) > LARGEST_EXACT:
            raise ValueError(
                f"factor {column.name} has whole numbers beyond 2**53 beside factors of another type, which no array "
                "holds exactly; number its values 0, 1, 2, ..."
            )
    return np.stack([array.astype(np.float64) for array in values], axis=1)


def _from_numbers(cells: NDArray[Any], name: str, where: Where) -> FactorColumn:
    if cells.dtype.kind == "M":
        raise ValueError(f"factor {name} holds dates; write them as numbers, such as days since the first one")
    if cells.dtype.kind not in "biuf":
        raise ValueError(f"factor {name} needs numbers or text, got {cells.dtype}; convert it: column.astype(float)")
    if cells.dtype.kind == "f":
        if not (finite := np.isfinite(cells)).all():
            row = int(np.flatnonzero(~finite)[0])
            what = "a missing value (NaN)" if np.isnan(cells[row]) else "an infinite value"
            raise ValueError(f"factor {name} has {what} in {where(row)}; fill it in or leave the row out")
        cells = cells.astype(np.float64)
        if (cells == np.rint(cells)).all() and np.abs(cells).max(initial=0) <= LARGEST_EXACT:
            cells = cells.astype(np.int64)
    elif cells.dtype.kind != "u":
        cells = cells.astype(np.int64)
    else:
        cells = cells.astype(np.int64 if int(cells.max(initial=0)) < 2**63 else np.uint64)
    values, indices = np.unique(cells, return_inverse=True)
    return FactorColumn(name, tuple(map(str, values.tolist())), indices.astype(np.int64), cells)


def _from_text(cells: list[str], name: str, where: Where) -> FactorColumn:
    distinct = list(dict.fromkeys(cells))
    first = {cell: cells.index(cell) for cell in distinct if cell.lower() in MISSING}
    numbers = [cell for cell in distinct if NUMBER.fullmatch(cell)]
    others = [cell for cell in distinct if cell not in set(numbers)]
    if numbers:
        first |= {cell: cells.index(cell) for cell in others if cell.lower() in MISSING_NUMBERS}
    if first:
        cell, row = min(first.items(), key=lambda item: item[1])
        raise ValueError(
            f"factor {name} has no value in {where(row)}, got {cell!r}; fill it in or leave the row out of the table"
        )
    if numbers and others:
        row = cells.index(others[0])
        raise ValueError(
            f"factor {name} mixes numbers and words: {others[0]!r} in {where(row)} where others are numbers such as "
            f"{numbers[0]!r}. Correct it, or make all of them words"
        )
    if numbers:
        return _from_numerals(cells, distinct, name)
    if all(DATE.fullmatch(cell) for cell in distinct):
        raise ValueError(f"factor {name} holds dates such as {distinct[0]!r}; write them as 2024-01-31, or as numbers")
    if {cell.lower() for cell in distinct} <= {"false", "true"}:
        cells = [cell.lower() for cell in cells]
    labels = sorted(set(cells))
    index = {label: number for number, label in enumerate(labels)}
    shown = ", ".join(f"{label}={number}" for label, number in list(index.items())[:6])
    _log.info("Factor %s holds words, numbered alphabetically: %s%s", name, shown, ", ..." if len(labels) > 6 else "")
    return FactorColumn(name, tuple(labels), np.array([index[cell] for cell in cells], dtype=np.int64), None)


def _from_numerals(cells: list[str], distinct: list[str], name: str) -> FactorColumn:
    """Numbers written as text, compared exactly: 1 and 1.0 are one value, and 9007199254740993 is no other's neighbor."""
    exact = {cell: Decimal(cell) for cell in distinct}
    shown: dict[Decimal, str] = {}
    for cell, value in exact.items():
        shown.setdefault(value, cell)
    index = {value: number for number, value in enumerate(sorted(shown))}
    whole = all(value == value.to_integral_value() and abs(value) < 2**63 for value in index)
    place = {cell: index[value] for cell, value in exact.items()}
    indices = np.array([place[cell] for cell in cells], dtype=np.int64)
    values = np.array([int(value) for value in index], np.int64) if whole else np.array([*map(float, index)])
    if not np.isfinite(values).all():
        raise ValueError(f"factor {name} has numbers too large for a float64")
    exactly = len(np.unique(values)) == len(values)  # else float64 makes one value of two
    return FactorColumn(name, tuple(shown[value] for value in index), indices, values[indices] if exactly else None)
