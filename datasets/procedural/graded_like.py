"""A white shape on a colored texture: factors that need 4, 3, 2, 1 and 1 real numbers, so that capacity can be judged.

The values of a factor are points of the unit sphere of R^d, spread evenly over it. Pictures follow these points
continuously: the shape's outline for d = 4, the texture's shading for d = 3, the hue for d = 2. A position is a point of a
segment, d = 1. A sphere of R^d has no continuous one-to-one code of fewer than d real numbers, so d is the number of latents
that a factor needs. Its coordinates are uncorrelated but dependent, and no rotation makes them independent, so that they
belong together: a method that separates factors has no reason to split one.

Images are drawn from two small tables with whole numbers, so that an image has the same bytes in every batch and on
every device.
"""

import math
from itertools import product

import numpy as np
import torch
from numpy.typing import NDArray

from disbench.datasets.factors import FactorDataset, FactorSpace

RENDERER_VERSION = "2"

SIDE = 64
PIXELS = SIDE * SIDE
SAMPLES = 8  # samples of a pixel along each axis, of the shape's mask

Array = NDArray[np.float64]


def _vertices_of_24_cell() -> Array:
    """Points (24, 4) of the unit sphere of R^4: the nearest ones are 60 degrees apart."""
    axes = [sign * axis for axis in np.eye(4) for sign in (1, -1)]
    return np.array([*axes, *product((0.5, -0.5), repeat=4)], dtype=np.float64)


def _vertices_of_icosahedron() -> Array:
    """Points (12, 3) of the unit sphere of R^3: the nearest ones are 63 degrees apart."""
    golden = (1 + math.sqrt(5)) / 2
    points = [np.roll((0, one, other * golden), turn) for turn in range(3) for one, other in product((1, -1), repeat=2)]
    return np.array(points) / math.hypot(1, golden)


def _on_circle(count: int) -> Array:
    angles = 2 * np.pi * np.arange(count) / count
    return np.stack((np.cos(angles), np.sin(angles)), axis=1)


def _on_segment(count: int) -> Array:
    return np.linspace(-1, 1, count)[:, None]


# What the values of each factor are: points (V, d) of R^d.
COORDINATES: dict[str, Array] = {
    "glyph": _vertices_of_24_cell(),
    "texture": _vertices_of_icosahedron(),
    "hue": _on_circle(6),
    "position_x": _on_segment(5),
    "position_y": _on_segment(5),
}
SPACE = FactorSpace(tuple(COORDINATES), tuple(len(points) for points in COORDINATES.values()))
_, _, HUES, ACROSS, DOWN = SPACE.sizes

RADIUS = 14.5  # in pixels, of the disk that has the area of every glyph
BEND = 0.6  # how far the outline departs from that disk; below 1 / sqrt(2), so that the squared radius stays positive
SOFTNESS = 1.0  # in pixels, standard deviation of the blur of the outline, which is cut off at twice as much
STEP = 5  # pixels between two neighboring positions

MEAN_SHADE, SHADING = 0.5, 0.36  # of the texture, of 1: shades lie in 0 .. 1
WAVES = ((1, 0), (0, 1), (1, 1))  # periods across and down the image, of the texture's three waves


def squared_radius(coordinates: Array, angles: Array) -> Array:
    """Squared radius (V, A) of the outlines of glyphs with the coordinates (V, 4) at angles (A,), in squared pixels.

    The mean over all angles is RADIUS squared, so that all glyphs have the same area.
    """
    waves = np.stack((np.cos(2 * angles), np.sin(2 * angles), np.cos(3 * angles), np.sin(3 * angles)))
    squared: Array = RADIUS**2 * (1 + BEND * coordinates @ waves)
    return squared


def build_masks() -> NDArray[np.uint8]:
    """Masks (V, 64, 64) of the glyphs in the middle of the image, 0..255: the part of each pixel that is inside, blurred."""
    reach = np.arange(-2 * SOFTNESS, 2 * SOFTNESS + 1)
    weights = np.exp(-((reach / SOFTNESS) ** 2) / 2)
    weights /= weights.sum()
    samples = (np.arange(SIDE * SAMPLES) + 0.5) / SAMPLES - SIDE / 2
    angles = 2 * np.pi * np.arange(720) / 720
    masks = np.empty((len(COORDINATES["glyph"]), SIDE, SIDE), dtype=np.uint8)
    for value, point in enumerate(COORDINATES["glyph"]):
        # The center of mass of the area within r(angle) is moved to the middle of the image.
        cubed = squared_radius(point[None], angles)[0] ** 1.5
        shift_x = (cubed * np.cos(angles)).mean() * 2 / 3 / RADIUS**2
        shift_y = (cubed * np.sin(angles)).mean() * 2 / 3 / RADIUS**2
        x, y = samples[None, :] + shift_x, samples[:, None] + shift_y
        angle = np.arctan2(y, x)
        inside = x**2 + y**2 <= squared_radius(point[None], angle.ravel()).reshape(angle.shape)
        parts = inside.reshape(SIDE, SAMPLES, SIDE, SAMPLES).mean(axis=(1, 3))
        for axis in (0, 1):
            parts = np.apply_along_axis(np.convolve, axis, parts, weights, "same")
        masks[value] = np.rint(255 * parts)
    return masks


def build_glyphs() -> NDArray[np.uint8]:
    """Masks (glyph, position_x, position_y) in C order, (24 * 25, PIXELS), of the glyphs at all positions."""
    masks = build_masks()
    shifts_x = STEP * (np.arange(ACROSS) - ACROSS // 2)
    shifts_y = STEP * (np.arange(DOWN) - DOWN // 2)
    moved = [[np.roll(masks, (y, x), axis=(1, 2)) for y in shifts_y] for x in shifts_x]
    return np.ascontiguousarray(np.moveaxis(np.array(moved), 2, 0)).reshape(-1, PIXELS)


def build_backgrounds() -> NDArray[np.uint8]:
    """Pictures (texture, hue) in C order, (12 * 6, 3, PIXELS), of the background without a glyph."""
    middle = (np.arange(SIDE) + 0.5) * (2 * np.pi / SIDE)
    waves = np.stack([np.sin(across * middle[None, :] + down * middle[:, None]) for across, down in WAVES])
    shades = MEAN_SHADE + SHADING * np.einsum("vd,dyx->vyx", COORDINATES["texture"], waves).reshape(-1, PIXELS)
    primaries = _on_circle(3)  # red, green and blue lie a third of the circle apart
    colors = 0.5 + 0.5 * COORDINATES["hue"] @ primaries.T  # (hue, 3)
    pictures = shades[:, None, None, :] * colors[None, :, :, None]
    levels: NDArray[np.uint8] = np.rint(255 * pictures).astype(np.uint8).reshape(-1, 3, PIXELS)
    return levels


class GradedLike(FactorDataset):
    """24 glyphs x 12 textures x 6 hues x 5 x 5 positions; images (3, 64, 64).

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
    {'glyph': 4, 'texture': 3, 'hue': 2, 'position_x': 1, 'position_y': 1}
    """

    name = "graded_like"
    version = RENDERER_VERSION
    provenance = "procedural"
    space = SPACE
    image_shape = (3, SIDE, SIDE)

    def __init__(self, root: object = None) -> None:
        """Draw the two tables. `root`, where files lie, is accepted as by every dataset and not needed."""
        self.coordinates = {name: points.copy() for name, points in COORDINATES.items()}
        self.intrinsic_dimensions = {name: points.shape[1] for name, points in COORDINATES.items()}
        self.entropies = {name: math.log(len(points)) for name, points in COORDINATES.items()}
        self._glyphs = torch.from_numpy(build_glyphs())
        self._backgrounds = torch.from_numpy(build_backgrounds())

    def batch(self, indices: torch.Tensor) -> torch.Tensor:
        """Draw the images of rows."""
        if self._glyphs.device != indices.device:
            self._glyphs, self._backgrounds = self._glyphs.to(indices.device), self._backgrounds.to(indices.device)
        glyph, texture, hue, x, y = self.factors(indices).unbind(dim=1)
        inside = self._glyphs.index_select(0, (glyph * ACROSS + x) * DOWN + y)[:, None].float()
        background = self._backgrounds.index_select(0, texture * HUES + hue).float()
        # Whole numbers below 2^24 are exact in float32, and no quotient ends on a half, so that rounding is exact too.
        levels = (255 * inside + (255 - inside) * background) / 255
        return (levels + 0.5).to(torch.uint8).view(-1, 3, SIDE, SIDE)
