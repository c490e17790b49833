"""Pictures that trials left, as data URIs: the page stays whole when it is mailed without its folder.

A traversal's strip, a grid of images by `figures.image_grid`, can be moved through without a second file: `strip` finds its
columns, and the page shows one after the other.
"""

import base64
import io
import os
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import quote

import numpy as np
from PIL import Image

from disbench.datasets.untrusted import path_inside, printable, read_regular
from disbench.reports.records import GRID
from disbench.reports.records.collect import Found
from disbench.reports.records.left_out import FROM_VALUES
from disbench.reports.records.reasons import reason_of
from disbench.reports.tables.table import Row

TRAVERSAL = "traversal"
CAPTIONS = {
    "group_traversal": "Factor-group traversal: a row moves all latents of one group together, along their first component",
    "traversal": "Latent traversal: a row moves one latent and holds all others",
    "reconstructions": "Reconstructions: images above what the method makes of them",
    "assignment": "Assignment of latents (columns, in the order of their groups) to groups",
    "capacity": "Capacity of each group beside its target, and the complexity of each factor",
}
# What Pillow raises on a damaged picture.
_DAMAGED = (*FROM_VALUES, OSError, EOFError, SyntaxError, struct.error, zlib.error, Image.DecompressionBombError)
REFUSED = "Not shown"
_PNG = b"\x89PNG\r\n\x1a\n"
_LARGEST = 2 << 20  # bytes of a picture that a page takes in
_PIXELS = 50_000_000  # of a picture; 128 latents in 11 columns of 64x64 have 6 million
_SMALL = 64 << 10  # characters of one that is not worth making smaller
_QUALITY = 90  # of WebP: a traversal in colour takes a sixth of its PNG, and its labels stay sharp
_GAP_ALPHA = 96  # of the half-transparent lines between the images of a grid


@dataclass(frozen=True)
class Strip:
    """A grid's columns, in pixels: the picture's size, the first column's left edge, its width, and the step to the next."""

    width: int
    height: int
    left: int
    cell: int
    pitch: int
    columns: int


@dataclass(frozen=True)
class Picture:
    """A picture to show, or the reason why it cannot be: one of `uri` and `note` is empty."""

    name: str
    uri: str = ""
    note: str = ""
    strip: Strip | None = None

    @property
    def caption(self) -> str:
        return CAPTIONS.get(self.name, self.name)


def picture(folder: Path, name: str, relative: str) -> Picture:
    """Embed the PNG that a record in `folder` names. Whatever is wrong with the file becomes a note, never an error."""
    content = _content(folder, relative)
    if isinstance(content, str):
        return Picture(name, note=content)
    uri = f"data:image/png;base64,{base64.b64encode(content).decode('ascii')}"
    return Picture(name, uri, strip=strip(content) if TRAVERSAL in name else None)


def smaller(found: Picture) -> Picture:
    """The picture with loss, as WebP, where that takes less room."""
    if len(found.uri) < _SMALL:
        return found
    drawn = io.BytesIO()
    try:
        with Image.open(io.BytesIO(base64.b64decode(found.uri.partition(",")[2]))) as file:
            file.save(drawn, "WEBP", quality=_QUALITY, method=1)
    except _DAMAGED:  # or Pillow without WebP
        return found
    uri = f"data:image/webp;base64,{base64.b64encode(drawn.getvalue()).decode('ascii')}"
    return replace(found, uri=uri) if len(uri) < len(found.uri) else found


def linked(folder: Path, name: str, relative: str, page_folder: Path) -> Picture:
    """The picture as a page in `page_folder` shows it from where it is, without taking it in."""
    content = _content(folder, relative)
    where = address(folder, relative, page_folder)
    if isinstance(content, str) or where is None:
        return Picture(name, note=content if isinstance(content, str) else f"{REFUSED}: {relative} is no file.")
    return Picture(name, where, strip=strip(content, search=False) if TRAVERSAL in name else None)


def _content(folder: Path, relative: str) -> bytes | str:
    """A PNG's bytes, or why there are none."""
    path = path_inside(folder, relative)
    if path is None:
        return f"{REFUSED}: {relative} lies outside its trial's folder."
    try:
        content = read_regular(path, _LARGEST, follow=True)
    except FileNotFoundError:
        return f"Missing: the record names {relative}, and the file is not there."
    except (OSError, ValueError) as error:
        return f"{REFUSED}: {reason_of(error).replace(printable(path), relative)}"
    if not content.startswith(_PNG):
        return f"{REFUSED}: {relative} is not a PNG picture."
    width, height = (int.from_bytes(content[at : at + 4], "big") for at in (16, 20))  # a PNG's first chunk
    if width * height > _PIXELS:
        return f"{REFUSED}: {relative} has {width:,} x {height:,} pixels, a page takes {_PIXELS:,}."
    return content


def strip(content: bytes, search: bool = True) -> Strip | None:
    """The columns of a PNG that `figures.image_grid` drew; None for any other picture, or one of a single column.

    Files of versions that did not write them down are searched for them, which takes some 20 ms, unless told not to.
    """
    try:
        with Image.open(io.BytesIO(content), formats=["PNG"]) as file:
            told = [int(word) for word in str(file.info.get(GRID, "")).split()]
            size = file.size
        found = Strip(*size, *told) if len(told) == 4 else _searched(content) if search else None
    except _DAMAGED:
        return None
    if found is None:
        return None
    inside = found.left >= 0 and 0 < found.cell <= found.pitch and found.columns > 1
    return found if inside and found.left + found.pitch * (found.columns - 1) + found.cell <= found.width else None


def _searched(content: bytes) -> Strip | None:
    with Image.open(io.BytesIO(content), formats=["PNG"]) as file:
        if file.mode != "RGBA":
            return None
        alpha = np.asarray(file.getchannel("A"))
    inked = alpha >= _GAP_ALPHA
    across, down = inked.mean(axis=0), inked.mean(axis=1)
    columns, rows = (np.flatnonzero(share > 0.9 * share.max()) for share in (across, down))
    if not len(columns) or not len(rows):
        return None
    left, right = int(columns[0]), int(columns[-1]) + 1
    gap = (alpha[rows[0] : rows[-1] + 1, left:right] == _GAP_ALPHA).all(axis=0)
    between = np.flatnonzero(gap)
    if not len(between) or not between[0]:
        return None
    cell = int(between[0])
    pitch = cell + int(np.argmin(gap[cell:]))
    count, rest = divmod(right - left + pitch - cell, pitch)
    wanted = np.arange(right - left) % pitch >= cell
    if rest or not (gap == wanted).all():
        return None
    return Strip(alpha.shape[1], alpha.shape[0], left, cell, pitch, count)


def address(folder: Path, relative: str, page_folder: Path) -> str | None:
    """A link from a page in `page_folder` to a file of a trial; None for one that is not there or lies elsewhere."""
    path = path_inside(folder, relative)
    if path is None or not path.is_file():
        return None
    return quote(Path(os.path.relpath(path, page_folder)).as_posix())


def representatives(rows: Sequence[Row]) -> list[tuple[Row, Found]]:
    """For each method the row of best mean MIG, the first without any, and its trial of median MIG."""
    found = []
    for method in dict.fromkeys(row.trial.method for row in rows):
        own = [row for row in rows if row.trial.method == method and row.trials]
        if own:
            best = max(own, key=lambda row: _mig(row))
            found.append((best, median_trial(best.trials)))
    return found


def _mig(row: Row) -> float:
    mean = row.cells["mig"].mean if "mig" in row.cells else None
    return -1.0 if mean is None else mean


def median_trial(trials: Sequence[Found]) -> Found:
    """The trial of median MIG; ties and missing scores go by seed."""
    scored = [pair for pair in trials if "mig" in pair[1].scores] or [trials[0]]
    scored.sort(key=lambda pair: (pair[1].scores.get("mig", 0.0), pair[1].trial.seed))
    return scored[(len(scored) - 1) // 2]
