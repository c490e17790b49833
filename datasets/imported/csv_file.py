"""Read the text of a CSV file: its encoding, its delimiter, its header and its rows. No torch."""

import codecs
import csv
import io
import re
from dataclasses import dataclass
from pathlib import Path

from disbench.datasets.storage.hdf5 import check_regular_file

DELIMITERS = (",", ";", "\t")
INDEX_COLUMN = re.compile(r"(unnamed: 0)?", re.IGNORECASE)  # the index that pandas and R write before the first column
DECIMAL_COMMA = re.compile(r"[+-]?\d+,\d+(e[+-]?\d+)?", re.ASCII | re.IGNORECASE)
MOST_BYTES = 2**34


@dataclass(frozen=True)
class CsvFile:
    """The names of the columns, and N rows of as many cells, each with the number of its line.

    `index_column` is whether a column without a name, the row numbers that pandas writes, was left out.
    """

    header: list[str]
    rows: list[list[str]]
    lines: list[int]
    index_column: bool


def text_of(path: Path) -> str:
    """The text of a file in UTF-8, with or without a byte order mark, or in UTF-16 with one."""
    check_regular_file(path)
    if path.stat().st_size > MOST_BYTES:
        raise ValueError(f"{path} has {path.stat().st_size:,} bytes, more than {MOST_BYTES:,}; save it as .npz.")
    content = path.read_bytes()
    wide = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        return content.decode("utf-16" if wide else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"it is not UTF-8 text ({error}); save it as UTF-8") from error


def delimiter_of(text: str) -> str:
    """The most frequent of comma, semicolon and tab in the first line, outside quotes."""
    first = next((line for line in text.splitlines() if line.strip()), "")
    outside = re.sub(r'"[^"]*"', "", first)
    return max(DELIMITERS, key=outside.count)


def read_csv(path: Path) -> CsvFile:
    """The rows of a CSV file with a header. Blank lines are left out and cells are stripped.

    Where semicolons separate the cells, a comma is a decimal point, as spreadsheets write it in much of the world.
    Raises ValueError that names the line.
    """
    text = text_of(path)
    delimiter = delimiter_of(text)
    reader = csv.reader(io.StringIO(text, newline=""), strict=True, delimiter=delimiter)
    try:
        found = [(reader.line_num, [cell.strip() for cell in row]) for row in reader]
    except csv.Error as error:
        raise ValueError(f"line {reader.line_num}: {error}") from error
    found = [(line, row) for line, row in found if any(row)]
    if not found:
        raise ValueError("it has no rows")
    (_, header), *rest = found
    for line, row in rest:
        if len(row) != len(header):
            raise ValueError(f"line {line} has {len(row)} cells where the header has {len(header)}")
    rows = [row for _, row in rest]
    index_column = bool(rows) and INDEX_COLUMN.fullmatch(header[0]) is not None and _counts([row[0] for row in rows])
    if index_column:
        header, rows = header[1:], [row[1:] for row in rows]
    if repeated := sorted({name for name in header if header.count(name) > 1}):
        raise ValueError(f"the names of its columns are not distinct: {', '.join(map(repr, repeated))} is there twice")
    if bad := [name for name in header if not name or not name.isprintable()]:
        raise ValueError(f"the names of its columns need to be printable text, got {bad}")
    if delimiter == ";":
        rows = [[cell.replace(",", ".") if DECIMAL_COMMA.fullmatch(cell) else cell for cell in row] for row in rows]
    return CsvFile(header, rows, [line for line, _ in rest], index_column)


def _counts(cells: list[str]) -> bool:
    """Whether the cells are whole numbers that all differ."""
    return all(re.fullmatch(r"\d+", cell, re.ASCII) for cell in cells) and len(set(cells)) == len(cells)
