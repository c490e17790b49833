"""The official SmallNORB images.

F. J. Huang, Y. LeCun, "The small NORB dataset, v1.0", 2005, https://cs.nyu.edu/~ylclab/data/norb-v1.0-small/; for research
only, not to be sold, and publications need to cite Y. LeCun, F. J. Huang, L. Bottou, CVPR 2004. Six gzipped little-endian
matrices, for testing and for training each `dat` u8 (24300, 2, 96, 96), pairs of pictures from the left and the right camera,
`cat` i32 (24300,), the category, and `info` i32 (24300, 4): instance, elevation, azimuth (0, 2 .. 34), lighting.
"""

import functools
import gzip
import hashlib
import math
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedIOBase
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from disbench.datasets.factors import FactorSpace
from disbench.datasets.storage.files import OfficialFile, Source, explained, find, sha256_of
from disbench.datasets.storage.pictures import SIDE, antialiased
from disbench.datasets.storage.store import Create, ImageStore, StoredDataset, cached_conversion

URL = "https://cs.nyu.edu/~ylclab/data/norb-v1.0-small/"
TESTING, TRAINING = "smallnorb-5x01235x9x18x6x2x96x96-testing", "smallnorb-5x46789x9x18x6x2x96x96-training"
PARTS = (TESTING, TRAINING)
FILES = {
    f"{TESTING}-cat.mat.gz": (347, "ecaf6d5bb8c3bc5eab9cf0258f6d2198dd474e016e374836fc097f2e5ff509ff"),
    f"{TESTING}-dat.mat.gz": (130799817, "cf7104eed3e51174d2f65b66d1e5878b9da233b886f161b0d88f4510ba2c7474"),
    f"{TESTING}-info.mat.gz": (10428, "16adf314226327ee006d1a44db8cfef52773c06c829951d5653a9f6f310248a2"),
    f"{TRAINING}-cat.mat.gz": (348, "2784e542c1922060691090952b6cd6278879a216c90f81476f0f00256d42cdaa"),
    f"{TRAINING}-dat.mat.gz": (131896188, "5ffd6272a07d32695ee1082a26a41a93a37aab8c28da047f8c34ed348d214873"),
    f"{TRAINING}-info.mat.gz": (71052, "de7eb932ebe7a4ee16217fead60660d0eb3d23632c2f4d1c51f88c501c17bf32"),
}
SOURCE = Source(
    name="smallnorb",
    homepage=URL,
    licence="for research only, not to be sold; cite LeCun, Huang, Bottou, CVPR 2004",
    folders=("smallnorb", "small_norb"),
    files=tuple(OfficialFile(name, (URL + name,), f"sha256:{sha256}", size) for name, (size, sha256) in FILES.items()),
    restricted=True,
    images=48_600,
)
BYTES, INTEGERS = 0x1E3D4C55, 0x1E3D4C54  # the first four bytes of a file, by the type of its elements
COLUMNS = ("category", "instance", "elevation", "azimuth", "lighting")
SIZES = (5, 10, 9, 18, 6)
INSTANCE = COLUMNS.index("instance")
ROWS = 24300  # of each of the two parts
FULL_SIDE = 96
ROWS_A_CHUNK = 512  # 9 MB of pairs
PROTOCOL = f"left-lanczos{SIDE}"

_readable = functools.partial(
    explained, what="SmallNORB", advice=f"Delete it and fetch it again: disbench data download {SOURCE.name}"
)


class SmallNORB(StoredDataset):
    """5 categories x 9 elevations x 18 azimuths x 6 lightings, each ten times; images (1, 64, 64), photographs of toys.

    The two published parts are joined: they differ in their toys, and only together do they hold all ten of a category. The
    rows are in the order of category, instance, elevation, azimuth, lighting, whatever the order of the files.

    The instance is not a factor: it numbers the toys within their category, so that the third animal and the third car have
    nothing in common. As each combination of the four factors is there once for each toy, the set is no grid but has `labels`.
    disentanglement_lib observes the same four and leaves the toy to chance. Also as there, the left camera is used, and
    96x96 pixels become 64x64 with Pillow's antialiasing Lanczos filter.
    """

    name = "smallnorb"
    provenance = "official"
    image_shape = (1, SIDE, SIDE)

    def __init__(self, root: str | Path | None = None) -> None:
        """Read the six files, gzipped or not, in `<root>/smallnorb`, `<root>/small_norb` or `<root>`; root is `DISBENCH_DATA`,
        else `./Data`, by default.

        Raises FileNotFoundError that says how to get the files, and ValueError for one that is damaged or does not have the
        official layout. Fewer values of a factor than the official ones are read too, in all their combinations; a factor of
        which one value is left is dropped.
        """
        paths = {name: find(root, SOURCE, name, name.removesuffix(".gz")) for name in FILES}
        sha256 = hashlib.sha256("".join(sha256_of(path) for path in paths.values()).encode()).hexdigest()
        pictures = cached_conversion(f"smallnorb-{PROTOCOL}", sha256, lambda create: _convert(paths, create))
        self.conversion = pictures.folder
        self.version = f"{PROTOCOL}-sha256-{sha256[:12]}"
        sizes = tuple(pictures.facts["sizes"])
        kept = [column for column, size in enumerate(sizes) if size > 1 and column != INSTANCE]
        self.space = FactorSpace(tuple(COLUMNS[column] for column in kept), tuple(sizes[column] for column in kept))
        self.labels = FactorSpace(COLUMNS, sizes).factors(torch.arange(math.prod(sizes)))[:, kept]
        self._images = ImageStore(pictures.images)


def _convert(paths: dict[str, Path], create: Create) -> dict[str, Any]:
    """The left pictures (N, 1, 64, 64) of both parts, in the order of `COLUMNS`."""
    columns = [_columns(paths[f"{part}-cat.mat.gz"], paths[f"{part}-info.mat.gz"]) for part in PARTS]
    with _readable(paths[f"{TESTING}-info.mat.gz"].parent):
        sizes, rows = _grid_of(np.concatenate(columns))
    images = create((len(rows), 1, SIDE, SIDE))
    start = 0
    for part, part_columns in zip(PARTS, columns, strict=True):
        with _matrix(paths[f"{part}-dat.mat.gz"], BYTES, (2, FULL_SIDE, FULL_SIDE)) as (file, count):
            if count != len(part_columns):
                raise ValueError(f"it has {count} pairs of pictures, and {part}-cat has {len(part_columns)} categories")
            for first in range(0, count, ROWS_A_CHUNK):
                size = min(ROWS_A_CHUNK, count - first)
                pairs = np.frombuffer(_exactly(file, size * 2 * FULL_SIDE**2), np.uint8)
                left = pairs.reshape(size, 2, FULL_SIDE, FULL_SIDE)[:, 0]
                images[rows[start + first : start + first + size], 0] = antialiased(left)
        start += count
    return {"sizes": list(sizes)}


def _columns(category_path: Path, info_path: Path) -> NDArray[np.int64]:
    """The value indices (N, 5) of one part, in the order of its files."""
    with _matrix(category_path, INTEGERS, ()) as (file, count):
        category = np.frombuffer(_exactly(file, count * 4), "<i4")
    with _matrix(info_path, INTEGERS, (4,)) as (file, count):
        if count != len(category):
            raise ValueError(f"it has {count} rows, and {category_path.name} has {len(category)}")
        info = np.frombuffer(_exactly(file, count * 4 * 4), "<i4").reshape(count, 4)
    columns = np.column_stack([category, info]).astype(np.int64)
    with _readable(info_path):
        azimuth = COLUMNS.index("azimuth")
        if (columns[:, azimuth] % 2).any():
            raise ValueError("its azimuths need to be even")
        columns[:, azimuth] //= 2
        highest = np.array(SIZES) - 1
        for column in np.flatnonzero(((columns < 0) | (columns > highest)).any(axis=0)):
            low, high = columns[:, column].min(), columns[:, column].max()
            raise ValueError(f"{COLUMNS[column]} needs values in 0..{highest[column]}, got {low}..{high}")
    return columns


def _grid_of(columns: NDArray[np.int64]) -> tuple[tuple[int, ...], NDArray[np.intp]]:
    """The sizes of the grid that holds each row (N, 5) exactly once, and the index (N,) of each row in it."""
    sizes = tuple(int(size) for size in columns.max(axis=0) + 1)
    rows = np.ravel_multi_index(tuple(columns.T), sizes)
    if len(rows) != math.prod(sizes) or len(np.unique(rows)) != len(rows):
        raise ValueError(
            f"its {len(rows)} rows are not each combination of "
            f"{', '.join(f'{size} {name}' for name, size in zip(COLUMNS, sizes, strict=True))} once"
        )
    return sizes, rows


@contextmanager
def _matrix(path: Path, magic: int, width: tuple[int, ...]) -> Iterator[tuple[BufferedIOBase, int]]:
    """The elements of a matrix (N, *width) as a stream, and N, which is only believed up to the official number.

    Whoever reads all of it gets gzip's checksum compared. A problem of its reader's becomes an error that names the file.
    """
    with _readable(path), _opened(path) as file:
        found, dimensions = np.frombuffer(_exactly(file, 8), "<u4").tolist()
        if found != magic:
            raise ValueError(f"it needs to begin with {magic:#x}, got {found:#x}")
        if dimensions != 1 + len(width):
            raise ValueError(f"it needs {1 + len(width)} dimensions, got {dimensions}")
        # Three lengths are stored at least, whatever the number of dimensions.
        count, *rest = np.frombuffer(_exactly(file, 4 * max(3, dimensions)), "<i4").tolist()[:dimensions]
        if tuple(rest) != width or not 1 <= count <= ROWS:
            raise ValueError(f"it needs to be {('1..' + str(ROWS), *width)}, got {(count, *rest)}")
        yield file, count
        if file.read(1):
            raise ValueError(f"it holds more than the {count} rows of its header")


def _opened(path: Path) -> BufferedIOBase:
    return gzip.open(path) if path.suffix == ".gz" else path.open("rb")


def _exactly(file: BufferedIOBase, count: int) -> bytes:
    content = file.read(count)
    if len(content) != count:
        raise ValueError(f"it ends {count - len(content)} bytes too early")
    return content
