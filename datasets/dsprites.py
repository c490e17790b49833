"""The official dSprites file.

L. Matthey, I. Higgins, D. Hassabis, A. Lerchner, "dSprites: Disentanglement testing Sprites dataset", 2017,
https://github.com/google-deepmind/dsprites-dataset (Apache-2.0). The file is an npz of `imgs` u8 (N, 64, 64) in {0, 1},
`latents_classes` i64 (N, 6), `latents_values` f64 (N, 6) and `metadata`, a pickle of Python 2 that is never read.
"""

import hashlib
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch
from numpy.typing import NDArray

from disbench.datasets.factors import FactorDataset, FactorSpace
from disbench.datasets.files import find_file

FILE_NAME = "dsprites_ndarray_co1sh3sc6or40x32y32_64x64.npz"
URL = "https://github.com/google-deepmind/dsprites-dataset/raw/fa310c66517cfc1939d77fe17c725154efc97127/" + FILE_NAME
COLUMNS = ("color", "shape", "scale", "orientation", "position_x", "position_y")
SIDE = 64
PIXELS = SIDE * SIDE
ROWS_A_CHUNK = 4096  # 16 MB of unpacked images


class DSprites(FactorDataset):
    """3 shapes (square, ellipse, heart) x 6 scales x 40 orientations x 32 x 32 positions; images (1, 64, 64), {0, 255}.

    The colour column has one value and is dropped. The file's {0, 1} become {0, 255}: dividing the file's own values
    by 255, as some published code does, trains on black images. The images stay in memory packed to one bit a pixel:
    377 MB for the full grid, which the reader never exceeds by much.

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
        path = find_file(root, "dsprites", FILE_NAME, url=URL, size="26 MB", stand_in="dsprites_like")
        with _explained(path):
            if not zipfile.is_zipfile(path):
                raise ValueError("it is not a zip file, cut short or perhaps a web page saved in its place")
            with path.open("rb") as file:
                self.version = f"md5-{hashlib.file_digest(file, 'md5').hexdigest()[:12]}"
            with np.load(path, allow_pickle=False) as archive:
                missing = sorted({"imgs", "latents_classes"} - set(archive.files))
                if missing:
                    raise ValueError(f"it lacks {', '.join(missing)} and has {', '.join(archive.files)}")
                self.space = _grid_of(archive["latents_classes"])
            self._packed = torch.from_numpy(_pack_images(path, len(self.space)))

    def batch(self, indices: torch.Tensor) -> torch.Tensor:
        self.space.factors(indices)
        # The packed images move to where they were asked for last, and stay there.
        self._packed = self._packed.to(indices.device)
        return unpack(self._packed[indices]).view(-1, 1, SIDE, SIDE)


def unpack(packed: torch.Tensor) -> torch.Tensor:
    """Bits packed by `numpy.packbits`, uint8 (B, M), to uint8 (B, 8 M) in {0, 255}."""
    masks = torch.tensor([128, 64, 32, 16, 8, 4, 2, 1], dtype=torch.uint8, device=packed.device)
    return (packed[:, :, None] & masks).ne(0).to(torch.uint8).mul_(255).flatten(1)


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Turn what zip, zlib and numpy say about a damaged file into one ValueError that names it and what to do."""
    try:
        yield
    except (ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise ValueError(
            f"{path} is not a readable dSprites file: {error}. Delete it and fetch it again from {URL}"
        ) from error


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


def _pack_images(path: Path, rows: int) -> NDArray[np.uint8]:
    """`imgs` as bits (rows, PIXELS / 8). Decompressed piece by piece: the whole array would take 3 GB."""
    packed = np.empty((rows, PIXELS // 8), dtype=np.uint8)
    with zipfile.ZipFile(path) as archive, archive.open("imgs.npy") as member:
        shape, fortran_order, dtype = _read_header(member)
        if shape != (rows, SIDE, SIDE) or dtype != np.uint8 or fortran_order:
            raise ValueError(f"imgs needs to be uint8 ({rows}, {SIDE}, {SIDE}) in C order, got {dtype} {shape}")
        for start in range(0, rows, ROWS_A_CHUNK):
            chunk = packed[start : start + ROWS_A_CHUNK]
            images = np.frombuffer(member.read(len(chunk) * PIXELS), dtype=np.uint8).reshape(len(chunk), PIXELS)
            if images.max() > 1:
                raise ValueError(f"imgs needs values in {{0, 1}}, got {int(images.max())}")
            chunk[:] = np.packbits(images, axis=1)
        # zipfile is only sure to have compared the checksum once it was asked to read beyond the last byte.
        if member.read(1):
            raise ValueError(f"imgs holds more than its {rows} images")
    return packed


def _read_header(member: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Shape, Fortran order and dtype of an npy file; leaves `member` at the first element."""
    version = np.lib.format.read_magic(member)
    if version == (1, 0):
        return np.lib.format.read_array_header_1_0(member)
    return np.lib.format.read_array_header_2_0(member)
