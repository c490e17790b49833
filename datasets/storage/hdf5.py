"""Read arrays from an HDF5 file, and only from that file. Imports no torch.

HDF5 can make bytes of other files look like an array of this one: soft and external links, external storage and virtual
datasets. Where the other file is missing, HDF5 reads zeros without an error. All of them are refused here.
"""

import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

MOST_BYTES = 2**36  # an HDF5 array may declare any size without storing a byte of it


def check_regular_file(path: Path) -> None:
    """Raise ValueError unless `path` is a regular file, and OSError where it is not there.

    Reading a named pipe or a device may never end.
    """
    mode = path.stat().st_mode
    if stat.S_ISDIR(mode):
        raise ValueError(f"{path} is a folder.")
    if not stat.S_ISREG(mode):
        raise ValueError(f"{path} is not a regular file.")


@contextmanager
def open_hdf5(path: Path) -> Iterator[h5py.File]:
    """Open a regular file for reading. Without a lock, which some network file systems refuse."""
    check_regular_file(path)
    with h5py.File(path, "r", locking=False) as file:
        yield file


def stored_array(file: h5py.File, key: str) -> h5py.Dataset:
    """The array `key` whose bytes lie in this very file. Raises ValueError for anything else."""
    names = list(file)
    if key not in names:
        raise ValueError(f"it lacks {key} and has {', '.join(names)}")
    array = file[key] if isinstance(file.get(key, getlink=True), h5py.HardLink) else None
    if not isinstance(array, h5py.Dataset) or array.external or array.is_virtual:
        raise ValueError(f"{key} needs to be an array in the file itself, got a group or a reference to something else")
    return array


def read_array(file: h5py.File, key: str, most: int = MOST_BYTES) -> NDArray[Any]:
    """The array `key`, read whole. Raises ValueError for one of more than `most` bytes, of no bytes, or elsewhere."""
    array = stored_array(file, key)
    if array.shape is None:
        raise ValueError(f"{key} is empty")
    if array.size * array.dtype.itemsize > most:
        raise ValueError(f"{key} declares {array.size * array.dtype.itemsize:,} bytes, more than {most:,}")
    return np.asarray(array[()])
