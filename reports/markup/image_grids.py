"""Pictures of images: latent traversals and dataset previews, as one labeled grid. And of a matrix and a partition.

Grids are put together with Pillow, which takes a tenth of matplotlib's time. The others are drawn with matplotlib's object
interface only (no pyplot), so nothing global is touched and no display is needed. All are transparent with mid-grey labels:
they can be read on a light and on a dark page. matplotlib is imported when something is drawn: pages embed finished pictures.
"""

import io
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from PIL.PngImagePlugin import PngInfo

from disbench.reports.records import GRID

if TYPE_CHECKING:
    from matplotlib.figure import Figure

GREY = "#808080"
_BAR = "#2b8cbe"  # to be read on a light and on a dark page
_DPI = 100
_GAP = 3  # pixels between two images
_BETWEEN = (128, 128, 128, 96)  # tells black pictures apart on a dark page and white ones on a light page
_FONT = 8.0  # points
_CHARACTER = 7.0  # pixels a character of a label takes at most, at this font and resolution


def image_grid(
    images: NDArray[np.uint8],
    row_labels: Sequence[str],
    column_labels: Sequence[str] | None = None,
    title: str = "",
) -> Image.Image:
    """Draw images uint8 (R, Cc, C, H, W) in R rows of Cc columns, one picture pixel an image pixel.

    For a traversal rows are latents and columns their values; for a preview a row is a factor's sweep. C is 1 or 3.
    """
    images = np.asarray(images)
    if images.ndim != 5 or images.dtype != np.uint8 or images.shape[2] not in (1, 3) or 0 in images.shape:
        raise ValueError(
            f"image_grid needs uint8 (rows, columns, 1 or 3, height, width), got {images.dtype} {images.shape}."
        )
    rows, columns, _, height, width = images.shape
    if len(row_labels) != rows or (column_labels is not None and len(column_labels) != columns):
        got = f"{len(row_labels)} and {None if column_labels is None else len(column_labels)}"
        raise ValueError(f"image_grid needs {rows} row labels and {columns} column labels (or None), got {got}.")
    canvas = _tile(images)  # (canvas height, canvas width, 4)
    left = round(_CHARACTER * max(len(label) for label in row_labels)) + 10
    above = 24 if title else 4
    size = (
        max(left + canvas.shape[1] + 8, round(_CHARACTER * len(title)) + 16),
        above + canvas.shape[0] + (18 if column_labels is not None else 4),
    )
    drawn = Image.new("RGBA", size, GREY + "00")  # of the same gray as letters, whose edges are between the two
    drawn.paste(Image.fromarray(canvas), (left, above))
    drawn.info[GRID] = f"{left} {width} {width + _GAP} {columns}"
    ink = ImageDraw.Draw(drawn)
    font = _font(_FONT)
    for row, label in enumerate(row_labels):
        ink.text((left - 4, above + row * (height + _GAP) + height / 2), label, GREY, font, anchor="rm")
    for column, label in enumerate(column_labels or ()):
        at = left + column * (width + _GAP) + width / 2, above + canvas.shape[0] + 3
        ink.text(at, label, GREY, font, anchor="ma")
    if title:
        ink.text((8, 6), title, GREY, _font(_FONT + 1), anchor="la")
    return drawn


def information_matrix(
    shares: NDArray[np.float64], factor_names: Sequence[str], code_names: Sequence[str], title: str = ""
) -> "Figure":
    """Draw shares (K, D) in [0, 1], the information in each code about each factor over the factor's entropy.

    Rows are factors, columns are codes; 0 is white and 1 is dark. Up to 400 cells hold their number, and names that would
    run into each other are left out at regular steps.
    """
    from matplotlib.figure import Figure

    shares = np.asarray(shares, dtype=np.float64)
    if shares.ndim != 2 or shares.size == 0 or not ((shares >= 0) & (shares <= 1)).all():
        raise ValueError(f"information_matrix needs shares in [0, 1] of shape (factors, codes), got {shares.shape}.")
    rows, columns = shares.shape
    if (len(factor_names), len(code_names)) != shares.shape:
        raise ValueError(
            f"information_matrix needs {rows} names of factors and {columns} of codes, got {len(factor_names)} and"
            f" {len(code_names)}."
        )
    numbers = shares.size <= 400
    width, height = (40, 26) if numbers else (max(1, min(16, 8000 // max(shares.shape))),) * 2  # pixels a cell
    left = round(_CHARACTER * max(map(len, factor_names))) + 12
    longest = round(_CHARACTER * max(map(len, code_names)))
    upright = longest > width - 4
    below, above, beside = (longest if upright else 12) + 12, 26 if title else 8, 64
    inner_width, inner_height = columns * width, max(rows * height, 60)
    total_width = max(left + inner_width + beside, round(_CHARACTER * len(title)) + 16)
    total_height = above + inner_height + below
    figure = Figure(figsize=(total_width / _DPI, total_height / _DPI), dpi=_DPI, facecolor="none")

    def box(x: int, wide: int) -> tuple[float, float, float, float]:
        return x / total_width, below / total_height, wide / total_width, inner_height / total_height

    axes = figure.add_axes(box(left, inner_width))
    drawn = axes.imshow(shares, cmap="Blues", vmin=0.0, vmax=1.0, interpolation="nearest", aspect="auto")
    scale = figure.colorbar(drawn, cax=figure.add_axes(box(left + inner_width + 14, 10)), ticks=[0.0, 0.5, 1.0])
    for each in (axes, scale.ax):
        each.tick_params(length=0, pad=4, labelsize=_FONT, labelcolor=GREY)
        for spine in each.spines.values():
            spine.set_color(GREY)
    scale.outline.set_edgecolor(GREY)
    # Names are other people's words: a lone $ must not start matplotlib's formula syntax.
    every = -(-13 // height)
    axes.set_yticks(range(0, rows, every), labels=list(factor_names[::every]), parse_math=False)
    every = -(-13 // width)
    turned = 90 if upright else 0
    axes.set_xticks(range(0, columns, every), labels=list(code_names[::every]), parse_math=False, rotation=turned)
    if numbers:
        for (row, column), share in np.ndenumerate(shares):
            ink = "white" if share > 0.55 else "black"
            axes.text(column, row, f"{share:.2f}", ha="center", va="center", fontsize=_FONT, color=ink)
    if title:
        figure.text(
            8 / total_width, 1 - 6 / total_height, title, va="top", fontsize=_FONT + 1, color=GREY, parse_math=False
        )
    return figure


def capacity_bars(
    group_names: Sequence[str], nats: Sequence[float], target: Sequence[float], complexities: Sequence[float]
) -> "Figure":
    """Draw what each of K+1 groups holds in nats, full bars, beside what is meant for it, hollow bars; and complexities (K,).

    nats (K+1,) and `target` (K+1,), shares of all nats, have nuisance first; it has no complexity.
    """
    from matplotlib.figure import Figure

    groups = len(group_names)
    if not len(nats) == len(target) == len(complexities) + 1 == groups:
        got = f"{len(nats)}, {len(target)} and {len(complexities)}"
        raise ValueError(
            f"capacity_bars needs {groups} nats, {groups} targets and {groups - 1} complexities, got {got}."
        )
    left = round(_CHARACTER * max(map(len, group_names))) + 12
    width, height, above, below = 240, 22 * groups, 26, 24  # pixels of a panel, and round it
    total_width, total_height = left + 2 * width + 40, above + height + below
    figure = Figure(figsize=(total_width / _DPI, total_height / _DPI), dpi=_DPI, facecolor="none")
    meant = np.asarray(target) * sum(nats)
    rows = np.arange(groups)
    for panel, title in enumerate(("KL, nats per image (outline: target)", "complexity R, nats")):
        at = (left + panel * (width + 26)) / total_width, below / total_height
        axes = figure.add_axes((*at, width / total_width, height / total_height))
        if panel == 0:
            axes.barh(rows, nats, height=0.6, color=_BAR)
            axes.barh(rows, meant, height=0.8, facecolor="none", edgecolor=GREY, linewidth=1.2)
        else:
            axes.barh(rows[1:], complexities, height=0.6, color=_BAR)
        axes.set_title(title, fontsize=_FONT, color=GREY, loc="left", pad=5)
        axes.set_facecolor("none")
        axes.set_ylim(groups - 0.5, -0.5)
        axes.tick_params(length=0, pad=4, labelsize=_FONT, labelcolor=GREY)
        axes.set_yticks(rows, labels=[""] * groups if panel else list(group_names), parse_math=False)
        for side, spine in axes.spines.items():
            spine.set_visible(side == "left")
            spine.set_color(GREY)
    return figure


def png(figure: "Figure | Image.Image") -> bytes:
    """The figure as a PNG file's bytes; equal figures give equal bytes under one version of matplotlib and Pillow.

    A grid's file says under GRID where its columns are: the first's left edge, their width, the step to the next, their number.
    """
    buffer = io.BytesIO()
    if not isinstance(figure, Image.Image):
        figure.savefig(buffer, format="png", facecolor="none")
        return buffer.getvalue()
    known = PngInfo()
    if GRID in figure.info:
        known.add_text(GRID, figure.info[GRID])
    figure.save(buffer, "PNG", pnginfo=known, dpi=(_DPI, _DPI))
    return buffer.getvalue()


@cache
def _font(points: float) -> ImageFont.FreeTypeFont:
    """The font of matplotlib's figures, which has most alphabets, laid out as Pillow does without further libraries."""
    from matplotlib.font_manager import FontProperties, findfont

    where = findfont(FontProperties("DejaVu Sans"))
    return ImageFont.truetype(where, points * _DPI / 72, layout_engine=ImageFont.Layout.BASIC)


def _tile(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(R, Cc, C, H, W) to one RGBA picture with half-transparent gaps."""
    rows, columns, _, height, width = images.shape
    tiles = np.full((rows, height + _GAP, columns, width + _GAP, 4), _BETWEEN, dtype=np.uint8)
    tiles[:, :height, :, :width, :3] = images.transpose(0, 3, 1, 4, 2)  # one channel becomes three
    tiles[:, :height, :, :width, 3] = 255
    return tiles.reshape(rows * (height + _GAP), columns * (width + _GAP), 4)[:-_GAP, :-_GAP]
