"""A small file in the official MPI3D layout, and a sparse one of the official size.

A reader knows the grid by the number of rows alone, so a test adds the small one: `setitem(GRIDS, ROWS, SIZES)`.
"""

import io
import itertools
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from disbench.datasets.official.mpi3d import SOURCES

SIZES = (3, 2, 2, 2, 2, 2, 2)
ROWS = 192


def images() -> np.ndarray:
    """Random pictures, u8 (ROWS, 64, 64, 3), whose upper left corner holds the values of the 7 factors and the row.

    The first axis of the grid varies slowest, as nested loops in the documented order of the factors would.
    """
    pictures = np.random.default_rng(0).integers(0, 256, (ROWS, 64, 64, 3), dtype=np.uint8)
    for row, values in enumerate(itertools.product(*map(range, SIZES))):
        pictures[row, 0, :7, 0] = values
        pictures[row, 0, 7, 0] = row
    return pictures


def path_of(root: Path, variant: str) -> Path:
    path = root / "mpi3d" / f"mpi3d_{variant}" / SOURCES[variant].files[0].name
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def write(root: Path, *, variant: str = "toy", save: Callable[..., None] = np.savez, **changes: Any) -> Path:
    """Write 192 images to root/mpi3d/mpi3d_<variant>/<official name>, with keys replaced, or left out where they are None."""
    content = {"images": images()} | changes
    path = path_of(root, variant)
    save(path, **{key: value for key, value in content.items() if value is not None})
    return path


def write_sparse(root: Path, rows: int, *, variant: str = "toy") -> Path:
    """Write `rows` black images, stored, as a zip in which they are a hole: that takes neither time nor room on the disk.

    Lengths are in 64-bit fields, as those of every zip beyond 4 GB. The member's checksum is left 0.
    """
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "|u1", "fortran_order": False, "shape": (rows, 64, 64, 3)})
    length = header.tell() + rows * 64 * 64 * 3
    name, elsewhere, version = b"images.npy", 2**32 - 1, 45
    extra = struct.pack("<HHQQ", 1, 16, length, length)
    fields = struct.pack("<5H3I2H", version, 0, 0, 0, 0, 0, elsewhere, elsewhere, len(name), len(extra))
    path = path_of(root, variant)
    with path.open("wb") as file:
        file.write(b"PK\3\4" + fields + name + extra + header.getvalue())
        directory = file.seek(length - header.tell(), io.SEEK_CUR)
        entry = b"PK\1\2" + struct.pack("<H", version) + fields + bytes(14) + name + extra
        end = struct.pack("<4sQ2H2I4Q", b"PK\6\6", 44, version, version, 0, 0, 1, 1, len(entry), directory)
        locator = struct.pack("<4sIQI", b"PK\6\7", 0, directory + len(entry), 1)
        old_end = struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, 2**16 - 1, 2**16 - 1, elsewhere, elsewhere, 0)
        file.write(entry + end + locator + old_end)
    return path
