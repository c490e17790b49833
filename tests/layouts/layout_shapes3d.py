"""A small file in the official 3DShapes layout."""

from pathlib import Path
from typing import Any

import h5py
import numpy as np

from disbench.datasets.official.shapes3d import FILE_NAME

VALUES = (
    np.arange(3) / 10,
    np.arange(2) / 10,
    np.arange(2) / 10,
    np.linspace(0.75, 1.25, 8)[:2],
    np.arange(4.0),
    np.linspace(-30, 30, 15)[:3],
)
SIZES = tuple(len(values) for values in VALUES)
ROWS = int(np.prod(SIZES))  # 288
CHUNK = (50, 4, 4, 1)  # the official one has 15,000 images and is otherwise the same


def labels() -> np.ndarray:
    """The values of every row, f64 (ROWS, 6)."""
    return np.stack([grid.ravel() for grid in np.meshgrid(*VALUES, indexing="ij")], axis=1)


def images() -> np.ndarray:
    """Random pictures, u8 (ROWS, 64, 64, 3)."""
    return np.random.default_rng(0).integers(0, 256, (ROWS, 64, 64, 3), dtype=np.uint8)


def write(root: Path, **changes: Any) -> Path:
    """Write 288 images to root/3dshapes/<official name>, with datasets replaced, or left out where they are None."""
    content = {"images": images(), "labels": labels()} | changes
    path = root / "3dshapes" / FILE_NAME
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        for key, value in content.items():
            if isinstance(value, np.ndarray) and value.ndim == 4:
                chunk = tuple(min(wanted, length) for wanted, length in zip(CHUNK, value.shape, strict=True))
                file.create_dataset(key, data=value, chunks=chunk, compression="gzip")
            elif value is not None:
                file[key] = value
    return path
