"""Picture files to small squares of bytes, by Pillow (https://python-pillow.org, MIT-CMU), on several threads.

Pillow's `resize` averages over all pixels that a smaller one covers (it is antialiased) and lets other threads run meanwhile.
"""

import io
import logging
import struct
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

_log = logging.getLogger(__name__)

SIDE = 64
FORMATS = ("JPEG", "PNG", "BMP", "GIF", "PPM", "TIFF", "WEBP")  # not all that Pillow knows: EPS would start Ghostscript
SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".pgm", ".ppm", ".tif", ".tiff", ".webp")
GREY_MODES = ("1", "L", "LA")
DEEP_MODES = ("I", "F")  # 16 bits or more a pixel, which Pillow cuts off at 255 rather than scale
# What Pillow's decoders raise on files that are damaged, or made to do damage.
DAMAGE = (
    *(OSError, EOFError, SyntaxError, ValueError, TypeError, LookupError, ArithmeticError),
    *(struct.error, zlib.error, Image.DecompressionBombError),
)
ORIENTATION = 0x0112  # the EXIF tag
AHEAD = 4096  # results that may wait: 50 MB of small pictures

T = TypeVar("T")


def opened(content: bytes, formats: tuple[str, ...] = FORMATS) -> Image.Image:
    """The picture in a file's content, its pixels not yet decoded. Raises ValueError where there is none in these formats."""
    try:
        picture = Image.open(io.BytesIO(content), formats=formats)
    except DAMAGE as error:
        raise ValueError(f"it is no picture that can be read as {', '.join(formats)} ({error})") from error
    if picture.mode.startswith(DEEP_MODES):
        raise ValueError(f"it has more than 8 bits a pixel (Pillow's mode {picture.mode}); save it with 8")
    return picture


def turned_upright(picture: Image.Image) -> Image.Image:
    """The picture as its EXIF orientation says that it was held; the same object where it says nothing."""
    try:
        if picture.getexif().get(ORIENTATION, 1) == 1:
            return picture
        return ImageOps.exif_transpose(picture)
    except DAMAGE as error:
        raise ValueError(f"it is damaged or cut short ({error})") from error


def small_square(picture: Image.Image, crop: int, *, grey: bool = False) -> NDArray[np.uint8]:
    """The central square of `crop` pixels, shrunk or enlarged bilinearly to 64: bytes (C, 64, 64), C = 1 if `grey` else 3.

    What is transparent lies on black. Raises ValueError for a picture whose pixels cannot all be decoded.
    """
    try:
        picture.load()
        if picture.has_transparency_data:
            over = picture.convert("RGBA")
            picture = Image.alpha_composite(Image.new("RGBA", over.size, (0, 0, 0, 255)), over)
        picture = picture.convert("L" if grey else "RGB")
    except DAMAGE as error:
        raise ValueError(f"it is damaged or cut short ({error})") from error
    left, top = (picture.width - crop) // 2, (picture.height - crop) // 2
    square = picture.crop((left, top, left + crop, top + crop)).resize((SIDE, SIDE), Image.Resampling.BILINEAR)
    return np.asarray(square).reshape(SIDE, SIDE, -1).transpose(2, 0, 1)


def antialiased(pictures: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Shrink pictures (N, H, W) or (N, H, W, 3) to 64x64 with Pillow's Lanczos filter."""
    small = [Image.fromarray(picture).resize((SIDE, SIDE), Image.Resampling.LANCZOS) for picture in pictures]
    return np.stack([np.asarray(picture) for picture in small])


def in_order(work: Callable[[int], T], count: int) -> Iterator[tuple[int, T]]:
    """(number, work(number)) for 0..count-1, computed by threads; the first error ends it."""
    with ThreadPoolExecutor() as threads:
        for start in range(0, count, AHEAD):
            stop = min(start + AHEAD, count)
            yield from enumerate(threads.map(work, range(start, stop)), start)
            _log.info("%d of %d pictures", stop, count)
