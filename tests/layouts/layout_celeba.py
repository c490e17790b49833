"""Small folders, or a small archive, in the official CelebA layout."""

import functools
import io
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from disbench.datasets.official.celeba import ARCHIVE, ATTRIBUTES, FOLDER, PARTITION

HEADER = (
    "5_o_Clock_Shadow Arched_Eyebrows Attractive Bags_Under_Eyes Bald Bangs Big_Lips Big_Nose Black_Hair Blond_Hair Blurry "
    "Brown_Hair Bushy_Eyebrows Chubby Double_Chin Eyeglasses Goatee Gray_Hair Heavy_Makeup High_Cheekbones Male "
    "Mouth_Slightly_Open Mustache Narrow_Eyes No_Beard Oval_Face Pale_Skin Pointy_Nose Receding_Hairline Rosy_Cheeks Sideburns "
    "Smiling Straight_Hair Wavy_Hair Wearing_Earrings Wearing_Hat Wearing_Lipstick Wearing_Necklace Wearing_Necktie Young "
)
NAMES = tuple(HEADER.split())
PARTS = (0,) * 80 + (1,) * 20 + (2,) * 20
ROWS = len(PARTS)
FILES = tuple(f"{row + 1:06d}.jpg" for row in range(ROWS))


def values() -> NDArray[np.int64]:
    """(120, 40) in {-1, 1}: of 120 files 3 have the first attribute, 6 the second, .. 117 the last."""
    rng = np.random.default_rng(0)
    counts = np.linspace(3, 117, len(NAMES)).round().astype(int)
    return np.stack([np.where(rng.permutation(ROWS) < count, 1, -1) for count in counts], axis=1)


@functools.cache
def jpg(row: int, size: tuple[int, int] = (178, 218)) -> bytes:
    """A face of a few ellipses on a black and white ground."""
    rng = np.random.default_rng(row)
    picture = Image.new("RGB", size, "black")
    draw = ImageDraw.Draw(picture)
    draw.rectangle((size[0] // 2, 0, *size), fill="white")
    for left, top, width, height in ((45, 60, 90, 120), (60, 95, 20, 14), (100, 95, 20, 14), (70, 145, 40, 12)):
        x, y = left + int(rng.integers(-12, 13)), top + int(rng.integers(-12, 13))
        draw.ellipse((x, y, x + width, y + height), fill=tuple(rng.integers(0, 256, 3).tolist()))
    content = io.BytesIO()
    picture.save(content, "JPEG", quality=95)
    return content.getvalue()


def attribute_lines() -> list[str]:
    return [
        str(ROWS),
        HEADER,
        *(f"{file} " + " ".join(f"{value:2d}" for value in row) for file, row in zip(FILES, values(), strict=True)),
    ]


def partition_lines() -> list[str]:
    return [f"{file} {part}" for file, part in zip(FILES, PARTS, strict=True)]


def write(
    root: Path,
    *,
    pictures: Mapping[str, bytes | None] | None = None,
    attributes: Sequence[str] | None = None,
    partition: Sequence[str] | None = None,
    newline: str = "\n",
    zipped: bool = False,
    inside: str = FOLDER,
) -> Path:
    """Write the two lists and the pictures to root/celeba, and return the folder or archive of the pictures.

    `pictures` replaces or adds files, or leaves them out where they are None. `attributes` and `partition` replace the
    lines of a list. `inside` is the folder of the pictures, in the archive or under root/celeba.
    """
    folder = root / "celeba"
    folder.mkdir(parents=True, exist_ok=True)
    for name, lines in ((ATTRIBUTES, attributes or attribute_lines()), (PARTITION, partition or partition_lines())):
        (folder / name).write_bytes("".join(line + newline for line in lines).encode())
    changed: dict[str, bytes | None] = {**{file: jpg(row) for row, file in enumerate(FILES)}, **(pictures or {})}
    content = {name: file for name, file in changed.items() if file is not None}
    if zipped:
        with zipfile.ZipFile(folder / ARCHIVE, "w") as archive:
            archive.mkdir(inside)
            for name, file in content.items():
                archive.writestr(f"{inside}/{name}", file)
        return folder / ARCHIVE
    (folder / inside).mkdir(parents=True, exist_ok=True)
    for name, file in content.items():
        (folder / inside / name).write_bytes(file)
    return folder / inside
