"""A white shape on a colored texture between two gray bars: factors that need 4, 3, 2, 1 and 1 real numbers.

The values of a factor are points of the unit sphere of R^d, spread evenly over it. Pictures follow these points
continuously: the shape's outline for d = 4, the texture's shading for d = 3, the hue for d = 2. The gray of a bar is a point
of a segment, d = 1. A sphere of R^d has no continuous one-to-one code of fewer than d real numbers, so d is the number of
latents that a factor needs. Its coordinates are uncorrelated but dependent, and no rotation makes them independent, so that
they belong together: a method that separates factors has no reason to split one.

Images are drawn from small tables with whole numbers, so that an image has the same bytes in every batch and on
every device.
"""

import math
from itertools import permutations, product

import numpy as np
import torch
from numpy.typing import NDArray

from disbench.datasets.factors import FactorDataset, FactorSpace

RENDERER_VERSION = "3"

SIDES = (64, 32)
SAMPLES = 4  # samples of a pixel along each axis, of the shape's mask

Array = NDArray[np.float64]


GOLDEN = (1 + math.sqrt(5)) / 2


def _even_permutations(point: tuple[float, ...]) -> list[tuple[float, ...]]:
    """Permutations of four numbers that an even number of exchanges makes."""
    return [
        tuple(point[place] for place in order)
        for order in permutations(range(4))
        if sum(order[i] > order[j] for i in range(4) for j in range(i + 1, 4)) % 2 == 0
    ]


def _vertices_of_600_cell() -> Array:
    """Points (120, 4) of the unit sphere of R^4: the nearest ones are 36 degrees apart."""
    axes = [sign * axis for axis in np.eye(4) for sign in (1, -1)]
    halves = list(product((0.5, -0.5), repeat=4))
    golden = [
        point
        for a, b, c in product((0.5, -0.5), repeat=3)
        for point in _even_permutations((a * GOLDEN, b, c / GOLDEN, 0.0))
    ]
    return np.array([*axes, *halves, *golden], dtype=np.float64)


def _vertices_of_icosidodecahedron() -> Array:
    """Points (30, 3) of the unit sphere of R^3: the nearest ones are 36 degrees apart."""
    axes = [sign * axis for axis in np.eye(3) for sign in (1, -1)]
    halves = [
        np.roll((a, b * GOLDEN, c / GOLDEN), turn) for turn in range(3) for a, b, c in product((0.5, -0.5), repeat=3)
    ]
    return np.array([*axes, *halves], dtype=np.float64)


def _on_circle(count: int) -> Array:
    angles = 2 * np.pi * np.arange(count) / count
    return np.stack((np.cos(angles), np.sin(angles)), axis=1)


def _on_segment(count: int) -> Array:
    return np.linspace(-1, 1, count)[:, None]


# What the values of each factor are: points (V, d) of R^d.
COORDINATES: dict[str, Array] = {
    "glyph": _vertices_of_600_cell(),
    "texture": _vertices_of_icosidodecahedron(),
    "hue": _on_circle(10),
    "left_bar": _on_segment(6),
    "right_bar": _on_segment(6),
}
SPACE = FactorSpace(tuple(COORDINATES), tuple(len(points) for points in COORDINATES.values()))
HUES = SPACE.sizes[2]

# Lengths are parts of the image's side.
RADIUS = 0.25  # of the disk that has the area of every glyph
BEND = 0.6  # how far the outline departs from that disk; below 1 / sqrt(2), so that the squared radius stays positive
SOFTNESS = 1 / 64  # standard deviation of the blur of the outline, which is cut off at twice as much
BAR = 1 / 8  # width of each bar
MEAN_GRAY, GRAYNESS = 128, 100  # of the bars: grays lie in 28 .. 228 of 0 .. 255

MEAN_SHADE, SHADING = 0.5, 0.34  # of the texture, of 1: shades lie in 0 .. 1
MEAN_COLOR, COLORING = 0.55, 0.4  # of each channel at full shade, of 1
WAVES = ((1, 0), (0, 1), (1, 1))  # periods across and down the image, of the texture's three waves


def squared_radius(coordinates: Array, angles: Array) -> Array:
    """Squared radius (V, A) of the outlines of glyphs with the coordinates (V, 4) at angles (A,), of a side squared.

    The mean over all angles is RADIUS squared, so that all glyphs have the same area.
    """
    waves = np.stack((np.cos(2 * angles), np.sin(2 * angles), np.cos(3 * angles), np.sin(3 * angles)))
    squared: Array = RADIUS**2 * (1 + BEND * coordinates @ waves)
    return squared


def build_masks(side: int) -> NDArray[np.uint8]:
    """Masks (V, side, side) of the glyphs, 0..255: the part of each pixel that is inside, blurred."""
    softness = SOFTNESS * side
    reach = np.arange(-np.ceil(2 * softness), np.ceil(2 * softness) + 1)
    weights = np.exp(-((reach / softness) ** 2) / 2)
    weights /= weights.sum()
    samples = (np.arange(side * SAMPLES) + 0.5) / (side * SAMPLES) - 0.5
    angles = 2 * np.pi * np.arange(720) / 720
    masks = np.empty((len(COORDINATES["glyph"]), side, side), dtype=np.uint8)
    for value, point in enumerate(COORDINATES["glyph"]):
        # The center of mass of the area within r(angle) is moved to the middle of the image.
        cubed = squared_radius(point[None], angles)[0] ** 1.5
        shift_x = (cubed * np.cos(angles)).mean() * 2 / 3 / RADIUS**2
        shift_y = (cubed * np.sin(angles)).mean() * 2 / 3 / RADIUS**2
        x, y = samples[None, :] + shift_x, samples[:, None] + shift_y
        angle = np.arctan2(y, x)
        inside = x**2 + y**2 <= squared_radius(point[None], angle.ravel()).reshape(angle.shape)
        parts = inside.reshape(side, SAMPLES, side, SAMPLES).mean(axis=(1, 3))
        for axis in (0, 1):
            parts = np.apply_along_axis(np.convolve, axis, parts, weights, "same")
        masks[value] = np.rint(255 * parts)
    return masks


def build_backgrounds(side: int) -> NDArray[np.uint8]:
    """Pictures (texture, hue) in C order, (30 * 10, 3, side, side), of the background; the bars hide what is below them."""
    middle = (np.arange(side) + 0.5) / side
    across, down = (middle - BAR) / (1 - 2 * BAR), middle  # a wave has whole periods between the bars
    waves = np.stack([np.sin(2 * np.pi * (i * across[None, :] + j * down[:, None])) for i, j in WAVES])
    shades = MEAN_SHADE + SHADING * np.einsum("vd,dyx->vyx", COORDINATES["texture"], waves)
    primaries = _on_circle(3)  # red, green and blue lie a third of the circle apart
    colors = MEAN_COLOR + COLORING * COORDINATES["hue"] @ primaries.T  # (hue, 3)
    pictures = shades[:, None, None] * colors[None, :, :, None, None]
    levels: NDArray[np.uint8] = np.rint(255 * pictures).astype(np.uint8).reshape(-1, 3, side, side)
    return levels


def build_grays() -> NDArray[np.uint8]:
    """Gray levels (6,) of the values of a bar."""
    levels: NDArray[np.uint8] = np.rint(MEAN_GRAY + GRAYNESS * COORDINATES["left_bar"][:, 0]).astype(np.uint8)
    return levels


class GradedLike(FactorDataset):
    """120 glyphs x 30 textures x 10 hues x 6 x 6 grays of the bars; images (3, side, side).

    Parameters
    ----------
    root : object, optional
        Folder of the files of a dataset; it is accepted as by every dataset and not needed.
    side : {64, 32}, default 64
        Height and width of an image in pixels. With 32 a step of a perceptron takes about a quarter of the time.

    Attributes
    ----------
    intrinsic_dimensions : dict of str to int
        Number of real numbers that a continuous one-to-one code of each factor needs.
    entropies : dict of str to float
        Entropy of each factor in nats, as rows are drawn uniformly from the grid.
    coordinates : dict of str to ndarray of shape (V, d)
        Points of the unit sphere of R^d (of the segment -1..1 for d = 1) that the V values of each factor are.

    Examples
    --------
    >>> from disbench.datasets import load
    >>> load("graded_like").intrinsic_dimensions
    {'glyph': 4, 'texture': 3, 'hue': 2, 'left_bar': 1, 'right_bar': 1}
    """

    name = "graded_like"
    version = RENDERER_VERSION
    provenance = "procedural"
    space = SPACE

    def __init__(self, root: object = None, side: int = SIDES[0]) -> None:
        if side not in SIDES:
            raise ValueError(f"side must be one of {', '.join(map(str, SIDES))}, got {side!r}.")
        self.image_shape = (3, side, side)
        self.coordinates = {name: points.copy() for name, points in COORDINATES.items()}
        self.intrinsic_dimensions = {name: points.shape[1] for name, points in COORDINATES.items()}
        self.entropies = {name: math.log(len(points)) for name, points in COORDINATES.items()}
        self._bar = round(BAR * side)  # in pixels
        self._glyphs = torch.from_numpy(build_masks(side))
        self._backgrounds = torch.from_numpy(build_backgrounds(side))
        self._grays = torch.from_numpy(build_grays())

    def batch(self, indices: torch.Tensor) -> torch.Tensor:
        """Draw the images of rows."""
        if self._glyphs.device != indices.device:
            tables = (self._glyphs, self._backgrounds, self._grays)
            self._glyphs, self._backgrounds, self._grays = (table.to(indices.device) for table in tables)
        glyph, texture, hue, left, right = self.factors(indices).unbind(dim=1)
        inside = self._glyphs.index_select(0, glyph)[:, None].float()
        background = self._backgrounds.index_select(0, texture * HUES + hue).float()
        # Whole numbers below 2^24 are exact in float32, and no quotient ends on a half, so that rounding is exact too.
        images = ((255 * inside + (255 - inside) * background) / 255 + 0.5).to(torch.uint8)
        images[..., : self._bar] = self._grays.index_select(0, left)[:, None, None, None]
        images[..., -self._bar :] = self._grays.index_select(0, right)[:, None, None, None]
        return images
