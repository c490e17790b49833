"""Read a table of codes and factors from anybody's file. No torch."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.lib.npyio import NpzFile
from numpy.typing import NDArray

from disbench.datasets.hdf5 import open_hdf5, read_array

ARRAYS = ("codes", "factors", "codes_std", "group", "factor_names", "code_names")
TABLE = "A table is an .npz or .h5 file with arrays 'codes' (N, D) and 'factors' (N, K)."


class NamedTable(NamedTuple):
    """codes (N, D) and factors (N, K) as they are in a file; the names of K factors and of D codes, () where it has none.

    `codes_std` (N, D) are the standard deviations of Gaussian posteriors with the means `codes`, and `group` (D,) is the
    group of each code; None where the file has none.
    """

    codes: NDArray[Any]
    factors: NDArray[Any]
    factor_names: tuple[str, ...] = ()
    code_names: tuple[str, ...] = ()
    codes_std: NDArray[Any] | None = None
    group: NDArray[Any] | None = None


def read_table(path: Path) -> tuple[NDArray[Any], NDArray[Any]]:
    """codes (N, D) and factors (N, K) of `read_named_table`."""
    return read_named_table(path)[:2]


def read_named_table(path: Path) -> NamedTable:
    """A table from an .npz or .h5 file of anybody's. Raises ValueError that says what is wrong with the file.

    It holds arrays 'codes' (N, D) and 'factors' (N, K), and may hold 'factor_names' (K,) and 'code_names' (D,), text.
    Whether the numbers can be scored is the metrics' to say.
    """
    if not path.exists():
        raise ValueError(f"{path}: no such file. {TABLE}")
    if path.is_dir():
        raise ValueError(f"{path} is a folder. {TABLE}")
    kind = path.suffix.lower()
    if kind not in (".npz", ".h5", ".hdf5"):
        raise ValueError(f"{path} has {path.suffix or 'no extension'}. {TABLE}")
    try:
        found, other = _read_npz(path) if kind == ".npz" else _read_hdf5(path)
    except Exception as error:  # a damaged file makes numpy, zipfile and h5py raise a dozen types
        raise ValueError(f"{path} cannot be read as {kind}: {str(error) or type(error).__name__}") from error
    missing = [name for name in ARRAYS[:2] if name not in found]
    if missing:
        holds = ", ".join(map(repr, (*found, *other))) or "nothing"
        raise ValueError(f"{path} lacks {' and '.join(missing)}; it holds {holds}. {TABLE}")
    codes, factors = found["codes"], found["factors"]
    names = {}
    for key, array in (("factor_names", factors), ("code_names", codes)):
        names[key] = _texts(found[key], f"{path}: {key}") if key in found else ()
        if names[key] and array.ndim == 2 and len(names[key]) != array.shape[1]:
            columns = f"{array.shape[1]} columns of {'factors' if array is factors else 'codes'}"
            raise ValueError(f"{path}: {key} has {len(names[key])} names for {columns}.")
    std, group = found.get("codes_std"), found.get("group")
    if std is not None and std.shape != codes.shape:
        raise ValueError(f"{path}: codes_std needs the shape of codes, {codes.shape}, got {std.shape}.")
    return NamedTable(codes, factors, **names, codes_std=std, group=group)


def _read_npz(path: Path) -> tuple[dict[str, NDArray[Any]], list[str]]:
    """The arrays that a table has, and the names of any others."""
    found = {}
    with path.open("rb") as stream:
        file = np.load(stream, allow_pickle=False)
        if not isinstance(file, NpzFile):
            raise ValueError(
                "it is a single .npy array; save both with numpy.savez(path, codes=codes, factors=factors)."
            )
        for name in ARRAYS:
            if name in file:
                try:
                    found[name] = np.asarray(file[name])
                except ValueError as error:
                    if "allow_pickle" not in str(error):
                        raise
                    better = "str" if name.endswith("names") else "float"
                    raise ValueError(f"{name} holds Python objects; save {name}.astype({better}).") from error
        return found, [name for name in file.files if name not in found]


def _read_hdf5(path: Path) -> tuple[dict[str, NDArray[Any]], list[str]]:
    with open_hdf5(path) as file:
        found = {name: read_array(file, name) for name in ARRAYS if name in list(file)}
        return found, [name for name in file if name not in found]


def _texts(array: NDArray[Any], what: str) -> tuple[str, ...]:
    """An array of text as a tuple; HDF5 keeps text as bytes."""
    if array.ndim != 1:
        raise ValueError(f"{what} needs a list of names, got shape {array.shape}.")
    values = [value.decode("utf-8", "replace") if isinstance(value, bytes) else value for value in array.tolist()]
    if not all(isinstance(value, str) for value in values):
        raise ValueError(f"{what} needs text, got dtype {array.dtype}; save numpy.array(names, dtype=str).")
    return tuple(values)
