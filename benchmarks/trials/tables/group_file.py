"""Groups for the codes of a table: found in the codes, or read from a file of whole numbers."""

import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from disbench.benchmarks.trials.tables.named_table import NamedTable
from disbench.datasets.storage.hdf5 import check_regular_file
from disbench.metrics import find_groups
from disbench.metrics.views import NUISANCE, column_groups

FOUND = "found"
READERS: dict[str, Callable[[Path], Any]] = {
    ".npy": lambda path: np.load(path, allow_pickle=False),
    ".csv": lambda path: np.loadtxt(path, delimiter=",", ndmin=1, encoding="utf-8-sig"),  # as spreadsheets write it
    ".json": lambda path: json.loads(path.read_text(encoding="utf-8-sig")),
}
LARGEST = 2**31  # of a group's number
NEEDED = "one whole number for each code, 0 for nuisance"


def with_groups(table: NamedTable, source: str) -> NamedTable:
    """Replace the groups of a table.

    Parameters
    ----------
    table : NamedTable
        Codes (N, D).
    source : str
        "found" finds groups in the codes, without the factors. Any other word is an .npy, .csv or .json file of D integers, or
        of G for codes that were vectors (N, G, F).

    Returns
    -------
    NamedTable

    Raises
    ------
    ValueError
        If there is no such file, or it does not hold the groups of these codes.
    """
    if source == FOUND:
        return table._replace(group=find_groups(table.codes, std=table.codes_std))
    path = Path(source)
    if path.suffix.lower() not in READERS or not path.exists():
        reason = "there is no such file" if path.suffix.lower() in READERS else "it is no such file"
        raise ValueError(
            f"--groups needs the word {FOUND} or an .npy, .csv or .json file with {NEEDED}; of {source}, {reason}."
        )
    check_regular_file(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of an empty file, which is refused below
            numbers = np.asarray(READERS[path.suffix.lower()](path))
    except (ValueError, TypeError, EOFError, RecursionError) as error:
        raise ValueError(f"{path} needs {NEEDED}, and cannot be read as {path.suffix}: {error}") from error
    return table._replace(group=_checked(numbers.squeeze() if numbers.ndim > 1 else numbers, path, table))


def _checked(numbers: NDArray[Any], path: Path, table: NamedTable) -> NDArray[np.int64]:
    columns = table.codes.shape[1]
    if numbers.dtype.kind not in "iuf" or not np.isfinite(numbers).all() or (numbers != np.rint(numbers)).any():
        raise ValueError(f"{path} needs {NEEDED}, got {numbers.dtype} {numbers.shape}.")
    if ((numbers <= -LARGEST) | (numbers >= LARGEST)).any():
        raise ValueError(f"{path} needs {NEEDED}, less than 2**31, got {numbers.min()} to {numbers.max()}.")
    group = numbers.astype(np.int64)
    if table.shape and group.shape == table.shape[:1]:
        group = np.asarray(column_groups(table.shape, group))
    if group.shape != (columns,):
        raise ValueError(f"{path} needs {NEEDED}: {columns} numbers for this table, got shape {numbers.shape}.")
    return group


def described(table: NamedTable, source: str) -> str:
    """Say in one line which codes are in which group, and where the groups come from."""
    names = table.code_names or tuple(f"z{j}" for j in range(table.codes.shape[1]))
    group = np.zeros(0, np.int64) if table.group is None else table.group
    numbers = sorted(set(group.tolist()), key=lambda number: (number == NUISANCE, number))
    members = {number: [name for name, own in zip(names, group, strict=True) if own == number] for number in numbers}
    parts = [f"{'nuisance' if number == NUISANCE else number}: {' '.join(own)}" for number, own in members.items()]
    origin = "found afterwards, without factors" if source == FOUND else f"from {source}"
    return f"Groups {origin}. {'; '.join(parts)}."
