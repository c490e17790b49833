"""The official dSprites file.

L. Matthey, I. Higgins, D. Hassabis, A. Lerchner, "dSprites: Disentanglement testing Sprites dataset", 2017,
https://github.com/google-deepmind/dsprites-dataset (Apache-2.0). The file is an npz of `imgs` u8 (N, 64, 64) in {0, 1},
`latents_classes` i64 (N, 6), `latents_values` f64 (N, 6) and `metadata`, a pickle of Python 2 that is never read.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from disbench.datasets.factors import FactorSpace
from disbench.datasets.storage.files import OfficialFile, Source, explained, find, sha256_of
from disbench.datasets.storage.npz import byte_shape, rows_in_chunks, small_array
from disbench.datasets.storage.store import Create, ImageStore, StoredDataset, cached_conversion

FILE_NAME = "dsprites_ndarray_co1sh3sc6or40x32y32_64x64.npz"
URL = "https://github.com/google-deepmind/dsprites-dataset/raw/fa310c66517cfc1939d77fe17c725154efc97127/" + FILE_NAME
SOURCE = Source(
    name="dsprites",
    homepage="https://github.com/google-deepmind/dsprites-dataset",
    licence="Apache-2.0",
    folders=("dsprites",),
    files=(OfficialFile(FILE_NAME, (URL,), "md5:7da33b31b13a06f4b04a70402ce90c2e"),),
    stand_in="dsprites_like",
    images=737_280,
)
COLUMNS = ("color", "shape", "scale", "orientation", "position_x", "position_y")
SIDE = 64
PIXELS = SIDE * SIDE
ROWS_A_CHUNK = 4096  # 16 MB of unpacked images


class DSprites(StoredDataset):
    """3 shapes (square, ellipse, heart) x 6 scales x 40 orientations x 32 x 32 positions; images (1, 64, 64), {0, 255}.

    The color column has one value and is dropped. The file's {0, 1} become {0, 255}: dividing the file's own values
    by 255, as some published code does, trains on black images. The images are kept packed to one bit a pixel, 377 MB for
    the full grid, and are unpacked on the device where they are needed.

    Orientation 39 is orientation 0 again (at least 18,432 images occur twice), and a quarter turn of the square or a half turn
    of the ellipse cannot be seen: no code can hold the orientation wholly, and a perfect score for it is out of reach.
    """

    name = "dsprites"
    provenance = "official"
    image_shape = (1, SIDE, SIDE)

    def __init__(self, root: str | Path | None = None) -> None:
        """Read `<root>/dsprites/<file>` or `<root>/<file>`; root is `DISBENCH_DATA`, else `./Data`, by default.

        Raises FileNotFoundError that says how to get the file, and ValueError for a file that is damaged or does not
        have the official layout. A smaller grid in that layout is read too: the sizes come from `latents_classes`.
        """
        path = find(root, SOURCE, FILE_NAME)
        with explained(path, "dSprites", f"Delete it and fetch it again: disbench data download {SOURCE.name}"):
            sha256 = sha256_of(path)
            packed = cached_conversion("dsprites-bits", sha256, lambda create: _pack(path, create))
        self.conversion = packed.folder
        self.version = f"sha256-{sha256[:12]}"
        self.space = FactorSpace(tuple(packed.facts["names"]), tuple(packed.facts["sizes"]))
        self._images = ImageStore(packed.images)

    def batch(self, indices: torch.Tensor) -> torch.Tensor:
        return unpack(self._images.take(indices)).view(-1, 1, SIDE, SIDE)


def unpack(packed: torch.Tensor) -> torch.Tensor:
    """Bits packed by `numpy.packbits`, uint8 (B, M), to uint8 (B, 8 M) in {0, 255}."""
    masks = 2 ** torch.arange(7, -1, -1, dtype=torch.uint8, device=packed.device)  # a list would be copied there
    return (packed[:, :, None] & masks).ne(0).to(torch.uint8).mul_(255).flatten(1)


def _grid_of(classes: NDArray[Any]) -> FactorSpace:
    """The grid whose rows in C order are exactly `latents_classes` (N, 6), without the factors of one value."""
    if classes.ndim != 2 or classes.shape[1] != len(COLUMNS) or not len(classes) or classes.dtype.kind not in "iu":
        raise ValueError(
            f"latents_classes needs to be integers (N, {len(COLUMNS)}), got {classes.dtype} {classes.shape}"
        )
    sizes = tuple(int(size) for size in classes.max(axis=0) + 1)
    if sizes[0] != 1:
        raise ValueError(f"latents_classes needs one colour, got {sizes[0]}")
    expected = np.indices(sizes).reshape(len(sizes), -1).T if np.prod(sizes) == len(classes) else None
    if expected is None or not np.array_equal(classes, expected):
        raise ValueError(f"its {len(classes)} rows are not the grid {'x'.join(map(str, sizes))} in C order")
    kept = [column for column, size in enumerate(sizes) if size > 1]
    return FactorSpace(tuple(COLUMNS[column] for column in kept), tuple(sizes[column] for column in kept))


def _pack(path: Path, create: Create) -> dict[str, Any]:
    """`imgs` as bits (rows, PIXELS / 8). Decompressed piece by piece: the whole array would take 3 GB."""
    space = _grid_of(small_array(path, "latents_classes", most=(SOURCE.images or 0) * len(COLUMNS) * 8))
    rows = len(space)
    if (shape := byte_shape(path, "imgs")) != (rows, SIDE, SIDE):
        raise ValueError(f"imgs needs to be ({rows}, {SIDE}, {SIDE}), got {shape}")
    packed = create((rows, PIXELS // 8))
    for start, images in rows_in_chunks(path, "imgs", ROWS_A_CHUNK):
        if images.max() > 1:
            raise ValueError(f"imgs needs values in {{0, 1}}, got {int(images.max())}")
        packed[start : start + len(images)] = np.packbits(images.reshape(len(images), PIXELS), axis=1)
    return {"names": list(space.names), "sizes": list(space.sizes)}
