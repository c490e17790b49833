"""The official 3DShapes file.

C. Burgess, H. Kim, "3D Shapes Dataset", 2018, https://github.com/google-deepmind/3d-shapes (Apache-2.0); made for H. Kim,
A. Mnih, "Disentangling by Factorising", arXiv:1802.05983. The file is HDF5 with `images` u8 (N, 64, 64, 3) and `labels`
f64 (N, 6). A chunk of `images` holds one channel of 4x4 pixels of 15,000 images, so a single image takes the decompression
of 768 chunks, 184 MB: the file is converted once, along its chunks, and not read again.
"""

import logging
import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from disbench.datasets.factors import FactorSpace
from disbench.datasets.storage.files import OfficialFile, Source, explained, find, sha256_of
from disbench.datasets.storage.hdf5 import open_hdf5, stored_array
from disbench.datasets.storage.store import Create, ImageStore, StoredDataset, cached_conversion

_log = logging.getLogger(__name__)

FILE_NAME = "3dshapes.h5"
SOURCE = Source(
    name="shapes3d",
    homepage="https://github.com/google-deepmind/3d-shapes",
    licence="Apache-2.0",
    folders=("3dshapes", "shapes3d"),
    files=(
        OfficialFile(
            FILE_NAME,
            (f"https://storage.googleapis.com/3d-shapes/{FILE_NAME}",),
            "sha256:0a0f6ed98baff276a50f3a081a7434d788da63cb135a98189b2a5b5769be1785",
            size=267_573_662,
        ),
    ),
    stand_in="shapes3d_like",
    images=480_000,
)
COLUMNS = ("floor_hue", "wall_hue", "object_hue", "scale", "shape", "orientation")
SIDE = 64
CHANNELS = 3
ROWS_A_SLAB = 15_000  # those of one chunk; a slab of one channel takes 61 MB


class Shapes3D(StoredDataset):
    """10 floor, wall and object hues x 8 scales x 4 shapes x 15 orientations of a room with one solid; images (3, 64, 64).

    Hues are 0, 0.1 .. 0.9 of the hue circle, scales 0.75 .. 1.25 (the published text says 0 .. 1), orientations -30 .. 30
    degrees; shapes are cube, cylinder, sphere and capsule. The converted images take 5.9 GB in the cache folder.
    """

    name = "shapes3d"
    provenance = "official"
    image_shape = (CHANNELS, SIDE, SIDE)

    def __init__(self, root: str | Path | None = None) -> None:
        """Read `<root>/3dshapes/<file>`, `<root>/shapes3d/<file>` or `<root>/<file>`; root is `DISBENCH_DATA`, else `./Data`.

        Raises FileNotFoundError that says how to get the file, ValueError for a file that is damaged or does not have the
        official layout, and OSError where the disk is full. A smaller grid in that layout is read too: its factors are the
        columns of `labels` with more than one value.
        """
        path = find(root, SOURCE, FILE_NAME)
        with explained(path, "3DShapes", f"Delete it and fetch it again: disbench data download {SOURCE.name}"):
            sha256 = sha256_of(path)
            conversion = cached_conversion(self.name, sha256, lambda create: _convert(path, create))
        self.conversion = conversion.folder
        self.version = f"sha256-{sha256[:12]}"
        self.space = FactorSpace(tuple(conversion.facts["names"]), tuple(conversion.facts["sizes"]))
        self._images = ImageStore(conversion.images)


def _grid_of(labels: NDArray[np.float64]) -> FactorSpace:
    """The grid whose rows in C order are exactly `labels` (N, 6), without the factors of one value.

    The values of a factor are the distinct numbers of its column in ascending order.
    """
    values = [np.unique(column, return_inverse=True) for column in labels.T]
    sizes = tuple(len(distinct) for distinct, _ in values)
    whole = bool(np.isfinite(labels).all()) and math.prod(sizes) == len(labels)
    expected = np.indices(sizes).reshape(len(sizes), -1) if whole else None
    if expected is None or not np.array_equal([indices for _, indices in values], expected):
        raise ValueError(f"its {len(labels)} labels are not the grid {'x'.join(map(str, sizes))} in C order")
    kept = [column for column, size in enumerate(sizes) if size > 1]
    return FactorSpace(tuple(COLUMNS[column] for column in kept), tuple(sizes[column] for column in kept))


def _convert(path: Path, create: Create) -> dict[str, Any]:
    """`images` as (N, 3, 64, 64). Each chunk is decompressed once, because a slab is one channel of a whole row of chunks."""
    with open_hdf5(path) as file:
        labels, images = stored_array(file, "labels"), stored_array(file, "images")
        if labels.dtype != np.float64 or labels.ndim != 2 or labels.shape[1] != len(COLUMNS) or not len(labels):
            raise ValueError(f"labels needs to be float64 (N, {len(COLUMNS)}), got {labels.dtype} {labels.shape}")
        rows = len(labels)
        if rows > (SOURCE.images or 0):  # an empty array of any length takes no room in the file
            raise ValueError(f"labels has {rows} rows, more than the {SOURCE.images} of the whole set")
        if images.dtype != np.uint8 or images.shape != (rows, SIDE, SIDE, CHANNELS):
            raise ValueError(
                f"images needs to be uint8 ({rows}, {SIDE}, {SIDE}, {CHANNELS}), got {images.dtype} {images.shape}"
            )
        space = _grid_of(labels[()])
        target = create((rows, CHANNELS, SIDE, SIDE))
        for start in range(0, rows, ROWS_A_SLAB):
            stop = min(start + ROWS_A_SLAB, rows)
            for channel in range(CHANNELS):
                target[start:stop, channel] = images[start:stop, :, :, channel]
            _log.info("3DShapes: %d of %d images are converted", stop, rows)
    return {"names": list(space.names), "sizes": list(space.sizes)}
