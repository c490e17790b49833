"""The official Cars3D images.

S. Reed, Y. Zhang, Y. Zhang, H. Lee, "Deep Visual Analogy-Making", NIPS 2015, http://www.scottreed.info, who state no license;
183 car models after S. Fidler, S. Dickinson, R. Urtasun, NIPS 2012. In `nips2015-analogy-data.tar.gz`, the folder `data/cars`
holds `list.txt`, a name a line, and for each name a MATLAB file with `im` u8 (128, 128, 3, 24, 4): rows, columns, colors,
azimuth, elevation. As a set of factors it comes from F. Locatello et al., arXiv:1811.12359v4.
"""

import gzip
import itertools
import math
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from disbench.datasets.factors import FactorSpace
from disbench.datasets.storage.files import OfficialFile, Source, explained, find, sha256_of
from disbench.datasets.storage.pictures import SIDE, antialiased
from disbench.datasets.storage.store import Create, ImageStore, StoredDataset, cached_conversion

FILE_NAME = "nips2015-analogy-data.tar.gz"
LIST_NAME = "list.txt"
FOLDER = ("data", "cars")  # of the archive
SOURCE = Source(
    name="cars3d",
    homepage="http://www.scottreed.info",
    licence="none stated by the authors",
    folders=("cars3d", "cars"),
    files=(
        OfficialFile(
            FILE_NAME, (f"http://www.scottreed.info/files/{FILE_NAME}",), "md5:4e866a7919c1beedf53964e6f7a23686"
        ),
    ),
    images=17_568,
)
ELEVATIONS, AZIMUTHS = 4, 24
MESH_SHAPE = (128, 128, 3, AZIMUTHS, ELEVATIONS)
PROTOCOL = f"lanczos{SIDE}"
MEMBER_BYTES = 2**26  # far more than a car takes: 5 MB of pictures and their masks
BYTES, MATRIX, COMPRESSED = 2, 14, 15  # MATLAB's numbers for types of elements


class Cars3D(StoredDataset):
    """4 elevations x 24 azimuths x 183 cars; images (3, 64, 64), antialiased from 128x128 with Pillow's Lanczos filter.

    Factors, their order and the filter are those of disentanglement_lib, so that scores can be compared. The numbers of the cars
    are not: it counts them in whatever order the file system lists their files, which differs between machines. Here a car's
    number is its line in `list.txt`, which is the same everywhere. A car's number is only a name, so no score depends on it.
    """

    name = "cars3d"
    provenance = "official"
    image_shape = (3, SIDE, SIDE)

    def __init__(self, root: str | Path | None = None) -> None:
        """Read the archive, or the folder `data/cars` that was extracted from it, under `<root>/cars3d`, `<root>/cars` or
        `<root>`; root is `DISBENCH_DATA`, else `./Data`, by default. The archive is read in one pass, nothing is extracted.

        Raises FileNotFoundError that says how to get the file, and ValueError for one that is damaged or does not have the
        official layout. Any number of cars from two on is read.
        """
        path = find(root, SOURCE, FILE_NAME, "data/cars/list.txt", "cars/list.txt")
        if path.name == LIST_NAME:
            path = path.parent
        with explained(path, "Cars3D", f"Delete it and fetch it again: disbench data download {SOURCE.name}"):
            sha256 = sha256_of(path)
            pictures = cached_conversion(f"cars3d-{PROTOCOL}", sha256, lambda create: _convert(path, create))
        self.conversion = pictures.folder
        self.version = f"{PROTOCOL}-sha256-{sha256[:12]}"
        self.space = FactorSpace(
            ("elevation", "azimuth", "object_type"), (ELEVATIONS, AZIMUTHS, len(pictures.facts["cars"]))
        )
        self._images = ImageStore(pictures.images)


def _convert(path: Path, create: Create) -> dict[str, Any]:
    """All cars, (4 * 24 * cars, 3, 64, 64). They are held until the last is read, 216 MB, as `list.txt` may come after them."""
    names: list[str] = []
    cars: dict[str, NDArray[np.uint8]] = {}
    for file_name, content in _members(path):
        if file_name == LIST_NAME:
            names = content.decode().split()
        elif file_name.endswith(".mat"):
            cars[file_name.removesuffix(".mat")] = _shrunk(_mesh(file_name, content))
    if len(names) < 2 or sorted(names) != sorted(cars):
        only_listed, only_there = sorted(set(names) - set(cars)), sorted(set(cars) - set(names))
        raise ValueError(
            f"{LIST_NAME} needs to name each of two or more .mat files once: it has {len(names)} names for {len(cars)} files "
            f"(without a file: {only_listed[:3]}, without a name: {only_there[:3]})"
        )
    images = create((ELEVATIONS * AZIMUTHS * len(names), 3, SIDE, SIDE))
    grid = images.reshape(ELEVATIONS, AZIMUTHS, len(names), 3, SIDE, SIDE)
    for number, name in enumerate(names):
        grid[:, :, number] = cars[name]
    return {"cars": names}


def _members(path: Path) -> Iterator[tuple[str, bytes]]:
    """(file name, content) of the files of the archive's `data/cars`, or of such a folder; hidden files are left out."""
    if path.is_dir():
        for file in sorted(path.iterdir()):
            if file.is_file() and not file.name.startswith("."):
                yield file.name, file.read_bytes()
        return
    # tarfile does not compare gzip's checksum; GzipFile does once it has been read to its end.
    with gzip.open(path) as content:
        try:
            with tarfile.open(fileobj=content, mode="r|") as archive:
                for member in archive:
                    parts = PurePosixPath(member.name).parts
                    if not member.isreg() or parts[:-1] != FOLDER or parts[-1].startswith("."):
                        continue
                    if member.size > MEMBER_BYTES:
                        raise ValueError(f"{member.name} has {member.size} bytes, which no file of this set has")
                    stream = archive.extractfile(member)
                    assert stream is not None  # it is a regular file
                    yield parts[-1], stream.read()
        except tarfile.TarError as error:
            raise ValueError(str(error)) from error
        while content.read(2**20):
            pass


def _mesh(file_name: str, content: bytes) -> NDArray[np.uint8]:
    try:
        mesh = matlab_bytes(content, "im")
        if mesh.shape != MESH_SHAPE:
            raise ValueError(f"`im` needs to be {MESH_SHAPE}, got {mesh.shape}")
        return mesh
    except (ValueError, zlib.error) as error:
        raise ValueError(f"{file_name} cannot be read: {error}") from error


def matlab_bytes(content: bytes, name: str) -> NDArray[np.uint8]:
    """The array `name` of bytes in a MATLAB file, format 5 as in MathWorks' "MAT-File Format", with or without compression.

    Its own few lines because scipy.io.loadmat takes the process down on some damaged files, and a file that was downloaded
    may be damaged. Raises ValueError or zlib.error for any content that does not hold such an array.
    """
    if content[124:128] != b"\x00\x01IM":
        raise ValueError("it is not a little-endian MATLAB 5 file")
    for kind, element in _elements(content[128:]):
        if kind == COMPRESSED:
            stream = zlib.decompressobj()
            inflated = stream.decompress(element, MEMBER_BYTES)
            if not stream.eof:
                raise ValueError("a compressed variable ends too early or is too large")
            kind, element = next(_elements(inflated), (0, b""))
        # Flags, lengths, name and values; what is not an array of numbers begins otherwise, or has no bytes for values.
        parts = list(itertools.islice(_elements(element), 4)) if kind == MATRIX else []
        if len(parts) == 4 and parts[2][1] == name.encode():
            (_, lengths), _, (kind, values) = parts[1:]
            shape = tuple(int.from_bytes(lengths[at : at + 4], "little") for at in range(0, len(lengths), 4))
            if kind != BYTES or len(values) != math.prod(shape):
                raise ValueError(f"`{name}` needs to be bytes, got {len(values)} of MATLAB's type {kind} for {shape}")
            return np.frombuffer(values, np.uint8).reshape(shape, order="F")
    raise ValueError(f"it lacks `{name}`")


def _elements(content: bytes) -> Iterator[tuple[int, bytes]]:
    """(type, content) of one element of a MATLAB file after the other."""
    position = 0
    while position < len(content):
        kind, size = (int.from_bytes(content[at : at + 4], "little") for at in (position, position + 4))
        head = 8
        if kind >> 16:  # a short one: its size and type share one word, and its content is the next
            kind, size, head = kind & 0xFFFF, kind >> 16, 4
        end = position + head + size
        if end > len(content):
            raise ValueError(f"it ends {end - len(content)} bytes too early")
        yield kind, content[position + head : end]
        position = end if kind == COMPRESSED else end + -(head + size) % 8


def _shrunk(mesh: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(128, 128, 3, azimuths, elevations) to (elevations, azimuths, 3, 64, 64)."""
    views = np.ascontiguousarray(mesh.transpose(4, 3, 0, 1, 2)).reshape(-1, *mesh.shape[:3])
    return antialiased(views).transpose(0, 3, 1, 2).reshape(ELEVATIONS, AZIMUTHS, 3, SIDE, SIDE)
