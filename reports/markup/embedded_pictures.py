"""Pictures of trials as data URIs, so that the page is complete without its folder.

A traversal is a grid of images by `image_grids.image_grid`. The page can animate it without a second file: `strip` reads where
its columns are, and the page shows one after the other.
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

from PIL import Image

from disbench.datasets.untrusted import path_inside, printable, read_regular
from disbench.reports.records import GRID
from disbench.reports.records.collect import Found
from disbench.reports.records.reasons import FROM_VALUES, reason_of
from disbench.reports.tables.table import Cell, Row

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
_LARGEST = 2 << 20  # bytes of an embedded picture
_PIXELS = 50_000_000  # of a picture; 128 latents in 11 columns of 64x64 have 6 million
_SMALL = 64 << 10  # characters of a picture that is not worth compressing
_QUALITY = 90  # of WebP: a color traversal takes a sixth of its PNG, and its labels stay sharp


@dataclass(frozen=True)
class Strip:
    """The columns of a grid, in pixels: size of the picture, left edge and width of the first column, step to the next."""

    width: int
    height: int
    left: int
    cell: int
    pitch: int
    columns: int


@dataclass(frozen=True)
class Picture:
    """A picture to show, or the reason why it cannot be shown: one of `uri` and `note` is empty."""

    name: str
    uri: str = ""
    note: str = ""
    strip: Strip | None = None

    @property
    def caption(self) -> str:
        return CAPTIONS.get(self.name, self.name)


def picture(folder: Path, name: str, relative: str) -> Picture:
    """Embed the PNG that a record in `folder` names. A problem with the file becomes a note, never an error."""
    content = _content(folder, relative)
    if isinstance(content, str):
        return Picture(name, note=content)
    uri = f"data:image/png;base64,{base64.b64encode(content).decode('ascii')}"
    return Picture(name, uri, strip=strip(content) if TRAVERSAL in name else None)


def smaller(found: Picture) -> Picture:
    """The picture as lossy WebP if that is smaller."""
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
    """The picture as a link from a page in `page_folder`."""
    content = _content(folder, relative)
    where = address(folder, relative, page_folder)
    if isinstance(content, str) or where is None:
        return Picture(name, note=content if isinstance(content, str) else f"{REFUSED}: {relative} is no file.")
    return Picture(name, where, strip=strip(content) if TRAVERSAL in name else None)


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


def strip(content: bytes) -> Strip | None:
    """The columns of a PNG that `image_grids.image_grid` drew; None for any other picture and for a single column."""
    try:
        with Image.open(io.BytesIO(content), formats=["PNG"]) as file:
            found = Strip(*file.size, *(int(word) for word in str(file.info.get(GRID, "")).split()))
    except _DAMAGED:  # TypeError: the file does not say where its columns are
        return None
    inside = found.left >= 0 and 0 < found.cell <= found.pitch and found.columns > 1
    return found if inside and found.left + found.pitch * (found.columns - 1) + found.cell <= found.width else None


def address(folder: Path, relative: str, page_folder: Path) -> str | None:
    """A link from a page in `page_folder` to a file of a trial; None for a missing file or one outside the trial's folder."""
    path = path_inside(folder, relative)
    if path is None or not path.is_file():
        return None
    return quote(Path(os.path.relpath(path, page_folder)).as_posix())


def representatives(rows: Sequence[Row]) -> list[tuple[Row, Found]]:
    """For each method, the row with the best mean MIG (the first row if none has MIG), and its trial with the median MIG."""
    best: dict[str, Row] = {}
    for row in rows:
        if row.trials and (row.trial.method not in best or _mig(row) > _mig(best[row.trial.method])):
            best[row.trial.method] = row
    return [(row, median_trial(row.trials)) for row in best.values()]


def _mig(row: Row) -> float:
    mean = row.cells.get("mig", Cell()).mean
    return -1.0 if mean is None else mean


def median_trial(trials: Sequence[Found]) -> Found:
    """The trial with the median MIG; ties and missing scores are ordered by seed."""
    scored = [pair for pair in trials if "mig" in pair[1].scores] or [trials[0]]
    scored.sort(key=lambda pair: (pair[1].scores.get("mig", 0.0), pair[1].trial.seed))
    return scored[(len(scored) - 1) // 2]
