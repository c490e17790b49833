"""A folder of pictures and a CSV of factors: which picture each row means, and the values of its factors."""

import logging
from collections.abc import Callable
from pathlib import Path, PureWindowsPath
from typing import TypeVar

from disbench.datasets.imported.csv_file import CsvFile, read_csv
from disbench.datasets.imported.factor_columns import FactorColumn, read_column
from disbench.datasets.storage.pictures import SUFFIXES

_log = logging.getLogger(__name__)

# In small letters, without blanks, - and _.
PATH_COLUMNS = (
    *("file", "filename", "filepath", "path", "image", "imagefile", "imagename", "imagepath", "imageid"),
    *("img", "imgpath", "picture"),
)
MOST_PICTURE_BYTES = 2**29  # a sparse file may claim any size

T = TypeVar("T")


def only_table(folder: Path) -> Path:
    """The one CSV file in a folder. Raises ValueError where there are none or several."""
    tables = sorted(
        file for file in folder.iterdir() if file.suffix.lower() == ".csv" and not file.name.startswith(".")
    )
    if len(tables) != 1:
        raise ValueError(
            f"{folder} has {len(tables)} CSV files; say which one holds the factors (--factors FILE; in Python, table)."
        )
    if not _lies_in(tables[0], folder):
        raise ValueError(f"{tables[0]} is a link out of the folder; name its target yourself (--factors FILE).")
    return tables[0]


def read_table_of_pictures(path: Path, source: Path) -> tuple[list[FactorColumn], list[Path]]:
    """The K factors of the N rows of a CSV file, and the N pictures in the folder `source`.

    Raises ValueError that names the line.
    """
    table = read_csv(path)
    if not table.rows or len(table.header) < 2:
        raise ValueError("it has no rows, or no column beside that of the files")
    if table.index_column:
        _log.info("The first column of %s has no name and counts the rows; it is ignored.", path.name)
    files_at = _column_of_files(table, source)
    names: dict[str, dict[str, Path]] = {}  # of the folders that were looked into, for names in other letters
    files: dict[Path, int] = {}
    for line, row in zip(table.lines, table.rows, strict=True):
        if not row[files_at]:
            raise ValueError(f"line {line} has no value for {table.header[files_at]}")
        picture = _inside(source, row[files_at], line, names)
        if picture in files:
            raise ValueError(f"line {line} is of {row[files_at]}, which line {files[picture]} is of already")
        files[picture] = line
    columns = [
        read_column([row[number] for row in table.rows], name, lambda row: f"line {table.lines[row]}")
        for number, name in enumerate(table.header)
        if number != files_at
    ]
    return columns, list(files)


def warn_of_pictures_left_out(source: Path, files: list[Path], table: Path) -> None:
    mentioned = set(files)
    left_out = sum(
        file.suffix.lower() in SUFFIXES and not file.name.startswith(".") and file not in mentioned
        for file in source.rglob("*")
    )
    if left_out:
        _log.warning("%d pictures in %s are not in %s and are left out.", left_out, source, table.name)


def of_file(file: Path, work: Callable[[bytes], T]) -> T:
    """`work` on the content of a picture. Raises ValueError that names the picture."""
    try:
        if (size := file.stat().st_size) > MOST_PICTURE_BYTES:
            raise ValueError(f"it has {size:,} bytes, more than {MOST_PICTURE_BYTES:,}")
        return work(file.read_bytes())
    except (OSError, ValueError) as error:
        raise ValueError(f"{file} cannot be imported: {error}. Repair it, or take its row out of the table.") from error


def _column_of_files(table: CsvFile, source: Path) -> int:
    """The column with one of the usual names; of several, or of none, the first whose first cell is a file; else the first."""
    plain = [name.lower().translate({ord(letter): None for letter in " -_"}) for name in table.header]
    named = [number for number, name in enumerate(plain) if name in PATH_COLUMNS]
    if len(named) == 1:
        return named[0]
    possible = named or range(len(plain))
    first = table.rows[0]
    return next((number for number in possible if _is_file(source, first[number])), possible[0])


def _is_file(source: Path, text: str) -> bool:
    path = PureWindowsPath(text)
    return bool(text) and not path.anchor and ".." not in path.parts and source.joinpath(*path.parts).is_file()


def _inside(source: Path, text: str, line: int, names: dict[str, dict[str, Path]]) -> Path:
    """The file at a path relative to the folder `source`, with / or Windows' \\ between its parts.

    A name that differs from the file's in capital letters alone, such as one.jpg for one.JPG, is accepted.
    """
    path = PureWindowsPath(text)
    if path.anchor or ".." in path.parts:
        raise ValueError(f"line {line} needs a path inside {source}, got {text!r}")
    file = source.joinpath(*path.parts)
    if not file.is_file():
        file = _same_letters(file, names) or file
    if not file.is_file():
        what = "no regular file" if file.exists() and not file.is_dir() else "no such file"
        raise ValueError(f"line {line} is of {text!r}, and there is {what} in {source}")
    if not _lies_in(file, source):
        raise ValueError(
            f"line {line} is of {text!r}, a link to {file.resolve()}, outside {source}; copy the file into the folder"
        )
    return file


def _same_letters(file: Path, names: dict[str, dict[str, Path]]) -> Path | None:
    folder = str(file.parent)
    if folder not in names:
        found: dict[str, list[Path]] = {}
        for entry in file.parent.iterdir() if file.parent.is_dir() else ():
            found.setdefault(entry.name.lower(), []).append(entry)
        names[folder] = {name: entries[0] for name, entries in found.items() if len(entries) == 1}
    return names[folder].get(file.name.lower())


def _lies_in(file: Path, folder: Path) -> bool:
    return file.resolve().is_relative_to(folder.resolve())
