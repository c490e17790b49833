"""The official MPI3D files.

M. W. Gondal et al., "On the Transfer of Inductive Bias from Simulation to the Real World: a New Disentanglement Dataset",
NeurIPS 2019, arXiv:1906.03292, https://github.com/rr-learning/disentanglement_dataset (CC-BY-4.0). A file is an npz of one
array, `images` u8 (N, 64, 64, 3). It holds no labels: the order of the rows is the label, and the number of rows tells
which grid it is.
"""

from pathlib import Path
from typing import Any

import torch

from disbench.datasets.factors import FactorSpace
from disbench.datasets.storage.files import OfficialFile, Source, explained, find, sha256_of
from disbench.datasets.storage.npz import byte_shape, mapped_bytes, rows_in_chunks
from disbench.datasets.storage.store import Create, ImageStore, StoredDataset, cached_conversion

KEY = "images"
NAMES = (
    "object_color",
    "object_shape",
    "object_size",
    "camera_height",
    "background_color",
    "horizontal_axis",
    "vertical_axis",
)
# The sizes of the grid by the number of images.
GRIDS: dict[int, tuple[int, ...]] = {
    1_036_800: (6, 6, 2, 3, 3, 40, 40),
    460_800: (4, 4, 2, 3, 3, 40, 40),
}
# The images in each variant's file. An early release of toy and realistic had 460,800, of 4 other colors and 4 shapes.
ROWS = {"toy": 1_036_800, "realistic": 1_036_800, "real": 1_036_800, "complex": 460_800}
SIDE = 64
CHANNELS = 3
ROWS_A_CHUNK = 4096  # 50 MB of images

_MIRRORS = (
    "https://huggingface.co/datasets/waleedgondal/mpi3d/resolve/main/",
    "https://storage.googleapis.com/disentanglement_dataset/Final_Dataset/",
)
_COMPLEX_ID = "1Tp8eTdHxgUMtsZv5uAoYAbJR1BOa_OQm"


def _source(variant: str, file: OfficialFile, manual: str = "") -> Source:
    return Source(
        name=f"mpi3d_{variant}",
        homepage="https://github.com/rr-learning/disentanglement_dataset",
        licence="CC-BY-4.0",
        folders=(f"mpi3d/mpi3d_{variant}", f"mpi3d_{variant}", "mpi3d"),
        files=(file,),
        manual=manual,
        stand_in="mpi3d_like",
        images=ROWS[variant],
    )


def _simple(variant: str, md5: str) -> Source:
    name = f"mpi3d_{variant}.npz"
    return _source(variant, OfficialFile(name, tuple(mirror + name for mirror in _MIRRORS), f"md5:{md5}"))


SOURCES: dict[str, Source] = {
    "toy": _simple("toy", "55889cb7c7dfc655d6e0277beee88868"),
    "realistic": _simple("realistic", "59a6225b88b635365f70c91b3e52f70f"),
    "real": _simple("real", "0f33f609918fb5c97996692f91129802"),
    "complex": _source(
        "complex",
        OfficialFile(
            "real3d_complicated_shapes_ordered.npz",
            (f"https://drive.usercontent.google.com/download?id={_COMPLEX_ID}&export=download&confirm=t",),
            checksum="",
        ),
        manual=(
            f"Where the download is refused, open https://drive.google.com/file/d/{_COMPLEX_ID}/view in a browser and save "
            "real3d_complicated_shapes_ordered.npz (5.7 GB) as mpi3d/mpi3d_complex/real3d_complicated_shapes_ordered.npz in "
            "the folder of the data. No checksum of it was ever published."
        ),
    ),
}


class MPI3D(StoredDataset):
    """A robot arm that holds an object: 6 colors x 6 shapes x 2 sizes x 3 camera heights x 3 backgrounds x 40 x 40 angles;
    `complex` has 4 colors and 4 shapes.

    Images are (3, 64, 64). `toy` and `realistic` are rendered, `real` is photographed; `complex` shows 4 everyday objects in
    4 colors, photographed. Where the array was stored uncompressed in the npz it is mapped there and takes no more room.
    A batch is a permuted view, channels last in memory.
    """

    provenance = "official"
    image_shape = (CHANNELS, SIDE, SIDE)

    def __init__(self, root: str | Path | None = None, *, variant: str) -> None:
        """Read the file of `variant` (toy, realistic, real, complex) in `<root>/mpi3d/mpi3d_<variant>/`,
        `<root>/mpi3d_<variant>/`, `<root>/mpi3d/` or `<root>`; root is `DISBENCH_DATA`, else `./Data`, by default.

        Raises FileNotFoundError that says how to get the file, ValueError for an unknown variant and for a file that is
        damaged, does not have the official layout or belongs to another variant, and OSError where the disk is full.
        """
        if variant not in SOURCES:
            raise ValueError(f"There is no variant {variant!r} of MPI3D; there are {', '.join(SOURCES)}.")
        source = SOURCES[variant]
        self.name = source.name
        path = find(root, source, source.files[0].name)
        with explained(path, source.name, f"Delete it and fetch it again: disbench data download {source.name}"):
            self.space = _grid_of(byte_shape(path, KEY), variant)  # first, because the checksum reads 12.7 GB
            sha256 = sha256_of(path)
            images = mapped_bytes(path, KEY)
            if images is None:
                conversion = cached_conversion(self.name, sha256, lambda create: _decompress(path, create))
                self.conversion, images = conversion.folder, conversion.images
        self.version = f"sha256-{sha256[:12]}"
        self._images = ImageStore(images)  # (N, 64, 64, 3)

    def batch(self, indices: torch.Tensor) -> torch.Tensor:
        return self._images.take(indices).permute(0, 3, 1, 2)


def _grid_of(shape: tuple[int, ...], variant: str) -> FactorSpace:
    """The grid of a variant's array of this shape. A wrong grid would silently mislabel every image."""
    if len(shape) != 4 or shape[1:] != (SIDE, SIDE, CHANNELS):
        raise ValueError(f"{KEY} needs to be (N, {SIDE}, {SIDE}, {CHANNELS}), got {shape}")
    rows = shape[0]
    if rows not in GRIDS:
        known = ", ".join(f"{count} ({'x'.join(map(str, sizes))})" for count, sizes in GRIDS.items())
        raise ValueError(f"{KEY} has {rows} rows, and the order is only known of {known}")
    if rows != ROWS[variant] and rows in ROWS.values():
        raise ValueError(f"mpi3d_{variant} has {ROWS[variant]} rows, got {rows}, which is the grid of other variants")
    return FactorSpace(NAMES, GRIDS[rows])


def _decompress(path: Path, create: Create) -> dict[str, Any]:
    target = create(byte_shape(path, KEY))
    for start, images in rows_in_chunks(path, KEY, ROWS_A_CHUNK):
        target[start : start + len(images)] = images
    return {}
