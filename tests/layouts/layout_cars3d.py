"""A small archive, or extracted folder, in the official Cars3D layout."""

import gzip
import io
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.io import savemat

from disbench.datasets.official.cars3d import FILE_NAME

NAMES = ("car_020_mesh", "car_003_mesh")  # not in the order of the alphabet


def mesh(car: int) -> NDArray[np.uint8]:
    """The pictures of a car, (128, 128, 3, 24, 4): random tiles of 16 pixels, among them a black and a white one."""
    tiles = np.random.default_rng(car).integers(0, 256, (8, 8, 3, 24, 4), dtype=np.uint8)
    tiles[2, 3], tiles[5, 4] = 0, 255
    return tiles.repeat(16, axis=0).repeat(16, axis=1)


def mat(**variables: Any) -> bytes:
    """A MATLAB file, without the date that scipy writes into its header."""
    file = io.BytesIO()
    savemat(file, variables, do_compression=True)
    return b"MATLAB 5.0 MAT-file".ljust(116) + file.getvalue()[116:]


def members() -> dict[str, bytes]:
    """The archive's files by name: 2 cars x 24 azimuths x 4 elevations, and others that are no cars."""
    mask = np.ones((128, 128, 24, 4), dtype=np.uint8)
    return {
        "data/shapes48.mat": b"not a car",
        **{f"data/cars/{name}.mat": mat(mask=mask, im=mesh(car)) for car, name in enumerate(NAMES)},
        "data/cars/list.txt": ("\n".join(NAMES) + "\n").encode(),
        "data/sprites/list.txt": b"nobody\n",
    }


def tar_gz(files: Mapping[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return gzip.compress(packed.getvalue(), compresslevel=1, mtime=0)


def write(root: Path, *, files: Mapping[str, bytes | None] | None = None, extracted: str | None = None) -> Path:
    """Write root/cars3d/<official name>, or the extracted files under root/`extracted`, and return the file or folder.

    `files` replaces or adds members by their name in the archive, or leaves them out where they are None.
    """
    changed: dict[str, bytes | None] = {**members(), **(files or {})}
    content = {name: content for name, content in changed.items() if content is not None}
    if extracted is None:
        path = root / "cars3d" / FILE_NAME
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(tar_gz(content))
        return path
    for name, file in content.items():
        path = root / extracted / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(file)
    return root / extracted / "data" / "cars"
