"""Six small files in the official SmallNORB layout."""

import gzip
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from disbench.datasets.official.smallnorb import BYTES, FILES, INTEGERS

SIZES = (2, 2, 3, 4, 3)  # category, instance, elevation, azimuth, lighting
INSTANCE_OF = {"testing": 0, "training": 1}


def matrix(array: NDArray[np.generic]) -> bytes:
    """A file's content: type, number of dimensions, at least three lengths, elements."""
    lengths = (*array.shape, 1, 1)[: max(3, array.ndim)]
    magic = BYTES if array.dtype == np.uint8 else INTEGERS
    header = np.array([magic, array.ndim, *lengths], dtype="<i4")
    return header.tobytes() + array.astype("<u1" if magic == BYTES else "<i4").tobytes()


def content(part: str) -> dict[str, NDArray[np.generic]]:
    """`dat`, `cat` and `info` of 'testing' or 'training': 72 rows in a random order."""
    rng = np.random.default_rng(INSTANCE_OF[part])
    grid = np.indices(SIZES).reshape(len(SIZES), -1).T
    rows = rng.permutation(grid[grid[:, 1] == INSTANCE_OF[part]])
    tiles = rng.integers(0, 256, (len(rows), 2, 6, 6), dtype=np.uint8)
    tiles[:, :, 2, 1], tiles[:, :, 3, 4] = 0, 255
    return {
        "dat": tiles.repeat(16, axis=2).repeat(16, axis=3),
        "cat": rows[:, 0].astype(np.int32),
        "info": (rows[:, 1:] * (1, 1, 2, 1)).astype(np.int32),
    }


def write(root: Path, *, packed: bool = True, **changes: NDArray[np.generic] | bytes | None) -> Path:
    """Write the six files to root/smallnorb, gzipped or not, and return the folder.

    `changes`, named like `training_dat`, replace an array or a whole content, or leave a file out where they are None.
    """
    folder = root / "smallnorb"
    folder.mkdir(parents=True, exist_ok=True)
    parts = {part: content(part) for part in INSTANCE_OF}
    for name in FILES:
        _, part, kind = name.removesuffix(".mat.gz").rsplit("-", 2)
        array = changes.get(f"{part}_{kind}", parts[part][kind])
        if array is None:
            continue
        whole = array if isinstance(array, bytes) else matrix(array)
        if packed:
            (folder / name).write_bytes(gzip.compress(whole, compresslevel=1, mtime=0))
        else:
            (folder / name.removesuffix(".gz")).write_bytes(whole)
    return folder
