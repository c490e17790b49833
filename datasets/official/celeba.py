"""The official CelebA faces, aligned and cropped.

Z. Liu, P. Luo, X. Wang, X. Tang, "Deep Learning Face Attributes in the Wild", ICCV 2015, arXiv:1411.7766v3,
http://mmlab.ie.cuhk.edu.hk/projects/CelebA.html, for non-commercial research only and never to be passed on. 202,599 jpg of
178x218; `list_attr_celeba.txt`: their number, 40 names, then a file and 40 values in {-1, 1} a line, with runs of blanks and a
blank after the last name; `list_eval_partition.txt`: a file and 0, 1 or 2 (train, valid, test) a line.
"""

import hashlib
import re
import threading
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from disbench.datasets.factors import FactorSpace
from disbench.datasets.factors.dataset import chosen_attributes
from disbench.datasets.storage.files import OfficialFile, Source, WrongContentError, explained, find, sha256_of
from disbench.datasets.storage.npz import check_zip
from disbench.datasets.storage.pictures import SIDE, in_order, opened, small_square
from disbench.datasets.storage.store import Create, ImageStore, StoredDataset, cached_conversion
from disbench.datasets.wording import shown

FOLDER = "img_align_celeba"
ARCHIVE, ATTRIBUTES, PARTITION = f"{FOLDER}.zip", "list_attr_celeba.txt", "list_eval_partition.txt"
HOMEPAGE = "http://mmlab.ie.cuhk.edu.hk/projects/CelebA.html"


def _drive(name: str, identifier: str, md5: str, size: int | None = None) -> OfficialFile:
    url = f"https://drive.usercontent.google.com/download?id={identifier}&export=download&confirm=t"
    return OfficialFile(name, (url,), f"md5:{md5}", size)


SOURCE = Source(
    name="celeba",
    homepage=HOMEPAGE,
    licence="for non-commercial research only; the images may not be passed on, published or sold",
    folders=("celeba",),
    files=(
        _drive(ARCHIVE, "0B7EVK8r0v71pZjFTYXZWM3FlRnM", "00d2c5bc6d35e252742224ab0c1e8fcb", 1443490838),
        _drive(ATTRIBUTES, "0B7EVK8r0v71pblRyaVFSWGxPY0U", "75e246fa4810816ffd6ee81facbd244c"),
        _drive(PARTITION, "0B7EVK8r0v71pY0NSMzRuSXJEVkk", "d32c9cbf5e040fd4025c592c306e6668"),
    ),
    restricted=True,
    manual=(
        f"Google refuses programs on some days. With a browser: from {HOMEPAGE}, 'Align&Cropped Images', take {ARCHIVE} out of "
        f"Img, {ATTRIBUTES} out of Anno and {PARTITION} out of Eval, and put all three into the folder celeba."
    ),
    stand_in="faces_like",
    images=202_599,
)
SPLITS = ("train", "valid", "test")  # by their numbers in the partition file
PREVALENCE = (0.05, 0.95)
WIDTH, HEIGHT, CROP = 178, 218, 148
PROTOCOL = f"crop{CROP}-bilinear{SIDE}"
MEMBER_BYTES = 2**24  # far more than a jpg of this size takes
ADVICE = f"Delete it and fetch it again: disbench data download {SOURCE.name}"


class CelebA(StoredDataset):
    """Photographs of faces with binary attributes, 0 absent and 1 present; images (3, 64, 64). No grid.

    The central 148x148 pixels of 178x218, then bilinear and antialiased to 64x64, which cuts hair and background off and is
    what most published work trains on. The attributes are correlated, and many are rare: a perfect code scores below 1 on
    the metrics that suppose independent factors.
    """

    name = "celeba"
    provenance = "official"
    image_shape = (3, SIDE, SIDE)

    def __init__(
        self, root: str | Path | None = None, *, split: str = "train", attributes: str | Sequence[str] | None = None
    ) -> None:
        """Read `img_align_celeba/` or `img_align_celeba.zip` (nothing is extracted) and the two lists, under `<root>/celeba`
        or `<root>`; root is `DISBENCH_DATA`, else `./Data`, by default.

        `split` is "train", "valid", "test" or "all"; rows are in the order of the partition file, one split after the other.
        `attributes` are the names to keep as factors, or "all"; None keeps those that 5 to 95 % of all the pictures have,
        34 of the 40. That is counted over the whole official list, so that every split has the same factors.

        All pictures are converted once, 2.5 GB, whatever the split. Folder and archive give the same version.

        Raises FileNotFoundError that says how to get the files, and ValueError for a file that is damaged, does not have the
        official layout or does not agree with the others, for another split, and for unknown, repeated or no attributes. Any
        number of pictures and attributes is read.
        """
        if split not in (*SPLITS, "all"):
            raise ValueError(f"split needs to be one of {', '.join(SPLITS)}, all, got {shown(split)}.")
        images = find(root, SOURCE, f"{FOLDER}/{FOLDER}", FOLDER, ARCHIVE)
        attribute_file, partition_file = find(root, SOURCE, ATTRIBUTES), find(root, SOURCE, PARTITION)
        with explained(partition_file, "CelebA", ADVICE):
            files, parts = read_partition(partition_file)
        with explained(attribute_file, "CelebA", ADVICE):
            names, values = read_attributes(attribute_file, files)
        kept = _columns(names, values, attributes)
        order = np.argsort(parts, kind="stable")
        with explained(images, "CelebA", ADVICE):
            key = _sha256(sha256_of(images), sha256_of(partition_file))
            ordered = [files[row] for row in order]
            pictures = cached_conversion(f"celeba-{PROTOCOL}", key, lambda create: _convert(images, ordered, create))
        digest = _sha256(pictures.facts["sha256"], sha256_of(attribute_file), sha256_of(partition_file))
        ends = [0, *np.bincount(parts, minlength=len(SPLITS)).cumsum().tolist()]
        rows = slice(None)
        if split != "all":
            rows = slice(ends[SPLITS.index(split)], ends[SPLITS.index(split) + 1])
        self.conversion = pictures.folder
        self.version = f"{PROTOCOL}-sha256-{digest[:12]}"
        self.space = FactorSpace(tuple(names[column] for column in kept), (2,) * len(kept))
        self.labels = torch.from_numpy(values[order[rows]][:, kept])  # (N, K), uint8
        self._images = ImageStore(pictures.images[rows])


def read_partition(path: Path) -> tuple[list[str], NDArray[np.uint8]]:
    """Files and the number of each one's split, (N,). Raises ValueError that names the line."""
    numbers = {str(number): number for number in range(len(SPLITS))}
    files, parts = _read_rows(path.read_text(encoding="utf-8-sig").splitlines(), 0, 1, numbers)
    if empty := [split for number, split in enumerate(SPLITS) if number not in parts]:
        raise ValueError(f"it has no file of the split {', '.join(empty)}")
    return files, parts[:, 0]


def read_attributes(path: Path, files: list[str]) -> tuple[list[str], NDArray[np.uint8]]:
    """Names (K) and values (N, K) in {0, 1} of `files`. Raises ValueError that names the line, also for another order."""
    lines = path.read_text(encoding="utf-8-sig").splitlines()
    if len(lines) < 2 or not re.fullmatch(r"\d+", lines[0].strip(), re.ASCII):
        raise ValueError("line 1 needs to be the number of files and line 2 the names of the attributes")
    names = lines[1].split()
    if not names or len(set(names)) != len(names):
        raise ValueError(f"line 2 needs to hold distinct names, got {' '.join(names)!r}")
    found, values = _read_rows(lines, 2, len(names), {"-1": 0, "1": 1})
    if len(found) != int(lines[0]):
        raise ValueError(f"line 1 announces {lines[0].strip()} files and {len(found)} follow")
    for number, (here, there) in enumerate(zip(found, files, strict=False)):
        if here != there:
            raise ValueError(f"line {number + 3} is of {here} where line {number + 1} of {PARTITION} is of {there}")
    if len(found) != len(files):
        raise ValueError(f"it lists {len(found)} files and {PARTITION} lists {len(files)}")
    return names, values


def _read_rows(
    lines: list[str], first: int, width: int, numbers: dict[str, int]
) -> tuple[list[str], NDArray[np.uint8]]:
    """The files and values (N, width) of the lines from `first` on, each a distinct file and `width` of the keys of `numbers`."""
    while len(lines) > first and not lines[-1].strip():
        lines.pop()
    files: dict[str, None] = {}
    values = bytearray()
    for number, line in enumerate(lines[first:], first + 1):
        file, *row = line.split() or [""]
        if not re.fullmatch(r"\w[\w.-]*", file):  # above all no path out of the folder
            raise ValueError(f"line {number} needs to begin with the name of a file, got {file!r}")
        if file in files:
            raise ValueError(f"line {number} is the second of {file}")
        if len(row) != width:
            raise ValueError(f"line {number} needs {width} values after {file}, got {len(row)}")
        try:
            values += bytes(map(numbers.__getitem__, row))
        except KeyError as error:
            raise ValueError(f"line {number} needs values in {', '.join(numbers)}, got {error}") from error
        files[file] = None
    return list(files), np.frombuffer(values, dtype=np.uint8).reshape(len(files), width)


def _columns(names: list[str], values: NDArray[np.uint8], wanted: str | Sequence[str] | None) -> list[int]:
    """The columns of the attributes that are kept, in the order in which they are wanted."""
    if wanted is None:
        low, high = PREVALENCE
        kept = np.flatnonzero((values.mean(axis=0) >= low) & (values.mean(axis=0) <= high)).tolist()
        if not kept:
            raise ValueError(f"No attribute is as frequent as {low:.0%} to {high:.0%}. Name some: attributes=[...].")
        return kept
    return [names.index(name) for name in chosen_attributes(wanted, names)]


def _convert(path: Path, files: list[str], create: Create) -> dict[str, Any]:
    """All pictures (N, 3, 64, 64) in the order of `files`, and the sha256 of the sha256s of these files."""
    with _content(path) as (there, read):
        _check_complete(files, there)

        def work(row: int) -> tuple[bytes, NDArray[np.uint8]]:
            content = read(files[row])
            try:
                picture = opened(content, ("JPEG",))
                if picture.size != (WIDTH, HEIGHT):
                    raise ValueError(f"it needs {WIDTH}x{HEIGHT} pixels, got {picture.width}x{picture.height}")
                return hashlib.sha256(content).digest(), small_square(picture, CROP)
            except ValueError as error:
                raise ValueError(f"in {files[row]}, {error}") from error

        images = create((len(files), 3, SIDE, SIDE))
        digest = hashlib.sha256()
        for row, (sha256, image) in in_order(work, len(files)):
            digest.update(sha256)
            images[row] = image
    return {"sha256": digest.hexdigest()}


def _check_complete(files: list[str], there: set[str]) -> None:
    """Raise WrongContentError where the pictures are not exactly those of the partition file."""
    missing, unlisted = sorted(set(files) - there), sorted(there - set(files))
    extra = [name for name in unlisted if name.endswith(".jpg")]
    if not missing and not extra:
        return
    import_it = "disbench data import FOLDER --name celeba_part --factors FILE.csv"
    if len(extra) < len(unlisted):
        raise WrongContentError(
            f"it holds png pictures, and this dataset is the published jpg ones ({FOLDER}.zip), whose bytes its version names. "
            f"Use those, or import yours under a name of its own: {import_it}"
        )
    raise WrongContentError(
        f"{PARTITION} lists {len(files)} files, of which {len(missing)} are missing {missing[:3]}, and {len(extra)} are here "
        f"that it does not list {extra[:3]}. For the whole dataset, complete the folder from {ARCHIVE}. A part of it is another "
        f"dataset: import it under a name of its own, {import_it}"
    )


@contextmanager
def _content(path: Path) -> Iterator[tuple[set[str], Callable[[str], bytes]]]:
    """The names of the pictures in a folder or zip, and a function of a name that reads one; hidden files are left out."""
    if path.is_dir():
        found = _by_published_name(file for file in path.iterdir() if _is_picture(file) and file.is_file())
        yield set(found), lambda name: found[name].read_bytes()
        return
    check_zip(path)
    with zipfile.ZipFile(path) as archive:
        members = {}
        for member in archive.infolist():
            inside = PurePosixPath(member.filename)
            if not _is_picture(inside):
                continue
            name = _published_name(inside)
            if name in members or member.file_size > MEMBER_BYTES:
                raise ValueError(
                    f"{member.filename} is there twice, or of {member.file_size} bytes, which no file of it has"
                )
            members[name] = member
        lock = threading.Lock()  # a ZipFile counts its readers, which threads must not do at once

        def read(name: str) -> bytes:
            with lock:
                return archive.read(members[name])

        yield set(members), read


def _is_picture(path: Path | PurePosixPath) -> bool:
    return path.suffix.lower() in (".jpg", ".png") and not path.name.startswith(".")


def _published_name(path: Path | PurePosixPath) -> str:
    """The name with its extension in small letters, which some programs write in capitals."""
    return path.stem + path.suffix.lower()


def _by_published_name(files: Iterable[Path]) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for file in files:
        name = _published_name(file)
        if name in found:
            raise ValueError(f"{file.name} is there twice, with its extension in small letters and in capitals")
        found[name] = file
    return found


def _sha256(*parts: str) -> str:
    return hashlib.sha256("".join(parts).encode()).hexdigest()
