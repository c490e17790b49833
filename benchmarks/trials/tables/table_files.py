"""Open a file of arrays or of columns without running code that it contains. Each format is a function here.

An array file gives its arrays by name, a column file a list of named columns. Sizes are compared with limits before reading,
and pickles are never opened.
"""

import re
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from disbench.datasets.imported.csv_file import read_csv
from disbench.datasets.storage.hdf5 import MOST_BYTES, check_regular_file, open_hdf5, read_array
from disbench.datasets.storage.npz import small_array
from disbench.datasets.wording import needs_extra
from disbench.metrics.arrays import to_array

SAVE = "numpy.savez('table.npz', codes=codes, factors=factors)"
PACKED_BYTES, PACKED_RATIO = 2**30, 200  # beyond both a compressed array is taken for a trap: codes never shrink so far

# What turns another file into one that is read. {path} is the file, {stem} its name without extension.
CONVERSIONS = {
    **dict.fromkeys(
        (".pkl", ".pickle", ".joblib"),
        f"A pickle can run code, so it is not opened. In Python, load it and save {SAVE}.",
    ),
    **dict.fromkeys(
        (".xlsx", ".xls", ".ods"),
        'Convert it: python -c "import pandas; pandas.read_excel({path!r}).to_csv({stem!r}, index=False)"',
    ),
    ".json": 'Convert it: python -c "import pandas; pandas.read_json({path!r}).to_csv({stem!r}, index=False)"',
    ".feather": 'Convert it: python -c "import pandas; pandas.read_feather({path!r}).to_csv({stem!r}, index=False)"',
    **dict.fromkeys((".gz", ".bz2", ".xz", ".zip", ".zst"), "Unpack it first."),
    ".safetensors": (
        "Convert it: python -c \"from safetensors.numpy import load_file; import numpy; numpy.savez('table.npz', "
        '**load_file({path!r}))"'
    ),
}


@dataclass(frozen=True)
class Arrays:
    """The names of the arrays in a file, and a function that reads one."""

    names: list[str]
    read: Callable[[str], NDArray[Any]]


@dataclass(frozen=True)
class Columns:
    """The columns of N rows by name, and a function of a row that says where it is in the file."""

    columns: Mapping[str, list[str] | NDArray[Any]]
    where: Callable[[int], str]


def open_npz(path: Path) -> Arrays:
    """Open an .npz file."""
    with path.open("rb") as file:
        if file.read(6) == np.lib.format.MAGIC_PREFIX:
            raise ValueError(
                "it is a single .npy array; save both with numpy.savez(path, codes=codes, factors=factors)."
            )
    with zipfile.ZipFile(path) as archive:
        members = {member.filename.removesuffix(".npy"): member for member in archive.infolist()}

    def read(name: str) -> NDArray[Any]:
        member = members[name]
        if member.file_size > max(PACKED_BYTES, PACKED_RATIO * member.compress_size):
            raise ValueError(
                f"{name} unpacks to {member.file_size:,} bytes from {member.compress_size:,}; it is not read"
            )
        try:
            return small_array(path, name, MOST_BYTES)
        except ValueError as error:
            if "allow_pickle" not in str(error):
                raise
            better = "str" if name.endswith("names") else "float"
            raise ValueError(f"{name} holds Python objects; save {name}.astype({better}).") from error

    return Arrays(list(members), read)


def open_npy(path: Path, other: Path | None) -> Arrays:
    """Codes in one .npy file and factors in another."""
    if other is None:
        raise ValueError(f"it is a single array; name the other one: --factors factors.npy, or save both with {SAVE}.")
    files = {"codes": path, "factors": other}

    def read(name: str) -> NDArray[Any]:
        check_regular_file(files[name])
        return np.asarray(np.load(files[name], mmap_mode="r", allow_pickle=False))

    return Arrays(list(files), read)


def open_h5(path: Path, *, transposed: bool = False) -> Arrays:
    """Open an HDF5 file, whose arrays may be transposed."""
    with open_hdf5(path) as file:
        names = list(file)

    def read(name: str) -> NDArray[Any]:
        with open_hdf5(path) as file:
            array = read_array(file, name)
            return array.T if transposed else array

    return Arrays(names, read)


def open_mat(path: Path) -> Arrays:
    """Open a MATLAB file. SciPy reads those up to version 7; those of version 7.3 are HDF5, with every array transposed."""
    import h5py
    from scipy.io import loadmat, whosmat

    if h5py.is_hdf5(path):
        found = open_h5(path, transposed=True)
        return Arrays([name for name in found.names if not name.startswith("#")], found.read)
    shapes = {name: shape for name, shape, _ in whosmat(path)}

    def read(name: str) -> NDArray[Any]:
        if np.prod(shapes[name], dtype=float) * 8 > max(PACKED_BYTES, PACKED_RATIO * path.stat().st_size):
            raise ValueError(f"{name} unpacks to an array of shape {shapes[name]} from {path.stat().st_size:,} bytes")
        array = loadmat(path, variable_names=[name])[name]
        array = array.toarray() if hasattr(array, "toarray") else array
        if array.dtype.kind == "O":  # a cell array of text
            cells = [np.ravel(cell) for cell in np.ravel(array)]
            if not all(cell.size == 1 and cell.dtype.kind == "U" for cell in cells):
                raise ValueError(f"{name} is a cell array; save a matrix")
            return np.array([str(cell[0]) for cell in cells])
        return np.char.strip(array) if array.dtype.kind == "U" else np.asarray(array)

    return Arrays(list(shapes), read)


def open_torch(path: Path) -> Arrays:
    """Open a dictionary of tensors that was saved by torch.save. Nothing but tensors and text is unpickled."""
    with needs_extra():
        import torch

    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch's own message advises to load it unsafely
        raise ValueError(
            "it holds more than tensors, or is damaged. In the program that wrote it, save "
            "numpy.savez('table.npz', codes=codes.detach().cpu().numpy(), factors=factors.cpu().numpy())"
        ) from error
    if isinstance(content, list | tuple) and len(content) == 2:
        content = dict(zip(("codes", "factors"), content, strict=True))
    if not isinstance(content, Mapping):
        raise ValueError("it needs a dictionary of tensors: torch.save({'codes': codes, 'factors': factors}, path)")

    def read(name: str) -> NDArray[Any]:
        value = content[name]
        if isinstance(value, torch.Tensor) and value.numel() * value.element_size() > max(
            PACKED_BYTES, PACKED_RATIO * path.stat().st_size
        ):  # an expanded tensor takes no room in the file
            raise ValueError(f"{name} expands to shape {tuple(value.shape)}; it is not read")
        if isinstance(value, torch.Tensor):
            return to_array(value)
        if isinstance(value, list | tuple) and all(isinstance(item, str | int | float) for item in value):
            return np.array(value)
        raise ValueError(f"{name} needs to be a tensor, got {type(value).__name__}")

    return Arrays([str(name) for name in content], read)


def open_csv(path: Path) -> Columns:
    """Open a CSV or TSV file."""
    found = read_csv(path)
    columns: dict[str, list[str] | NDArray[Any]] = {
        name: [row[number] for row in found.rows] for number, name in enumerate(found.header)
    }
    return Columns(columns, lambda row: f"line {found.lines[row]}")


def open_parquet(path: Path) -> Columns:
    """Open a Parquet file."""
    try:
        from pyarrow import parquet
    except ImportError as error:
        raise ValueError("it needs pyarrow: pip install 'disbench[parquet]'") from error
    with parquet.ParquetFile(path) as file:
        rows, names = file.metadata.num_rows, file.schema_arrow.names
        if rows * len(names) * 8 > max(PACKED_BYTES, PACKED_RATIO * path.stat().st_size):
            raise ValueError(f"it unpacks to {rows:,} rows of {len(names)} columns; it is not read")
        table = file.read()
    columns: dict[str, list[str] | NDArray[Any]] = {}
    for name in names:
        if re.fullmatch(r"__index_level_\d+__", name):
            continue
        column = table.column(name).combine_chunks()
        if column.null_count:
            row = column.is_null().to_pylist().index(True)
            raise ValueError(
                f"column {name} has no value in row {row} (counted from 0); fill it in or leave the row out"
            )
        columns[name] = column.to_numpy(zero_copy_only=False)
    return Columns(columns, lambda row: f"row {row} (counted from 0)")
