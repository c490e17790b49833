"""Sprites drawn to the geometry of dSprites, so that no download is needed.

The grid and its order are those of dSprites (L. Matthey, I. Higgins, D. Hassabis, A. Lerchner, 2017,
https://github.com/google-deepmind/dsprites-dataset, Apache-2.0). No pixel is copied: the outlines below were fitted to
the animated preview that its authors published, of which three frames in four come out pixel for pixel and the worst
differs by four pixels. Results on it are `procedural` and are never averaged with results on the official file.
"""

import math

import torch

from disbench.datasets.factors import FactorDataset, FactorSpace
from disbench.datasets.procedural.nuisance import CHANNELS, NUISANCE_VERSION, check_nuisance, with_nuisance

RENDERER_VERSION = "1"

SPACE = FactorSpace(("shape", "scale", "orientation", "position_x", "position_y"), (3, 6, 40, 32, 32))
SIDE = 64

# Lengths in pixels at scale 1.
SQUARE_HALF_SIDE = 9.6
ELLIPSE_LONG, ELLIPSE_SHORT = 12.75, 7.25
HEART_WIDTH, HEART_HEIGHT, HEART_SHIFT = 9.595, 0.6636, -1.434

# The square's corners reach furthest, 9.6 * sqrt(2) = 13.58 from the center: 29 pixels hold that at every sub-pixel shift.
WINDOW = 29


def in_square(u: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    return torch.maximum(u.abs(), v.abs()) <= SQUARE_HALF_SIDE


def in_ellipse(u: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    return (u / ELLIPSE_LONG).square() + (v / ELLIPSE_SHORT).square() <= 1


def in_heart(u: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    """Inside u = W sin^3 t, v = -H (13 cos t - 5 cos 2t - 2 cos 3t - cos 4t) + S, with v pointing down.

    u gives sin^2 t = (|u| / W)^(2/3) and so c = |cos t|. The bracket is even(c) + odd(c) on the upper arc, where
    cos t = c, and even(c) - odd(c) on the lower one, with even = 4 - 2 c^2 - 8 c^4 and odd = 19 c - 8 c^3.
    """
    squared = 1 - (u.abs() / HEART_WIDTH) ** (2 / 3)
    # Beyond the heart's width the root would be of a negative number, which takes ten times as long.
    cosine = squared.clamp(min=0).sqrt()
    even = 4 - 2 * squared - 8 * squared.square()
    odd = cosine * (19 - 8 * squared)
    return (squared >= 0) & (((HEART_SHIFT - v) / HEART_HEIGHT - even).abs() <= odd)


OUTLINES = (in_square, in_ellipse, in_heart)


def render(factors: torch.Tensor) -> torch.Tensor:
    """Factor values (B, 5), int64, to sprites (B, 64, 64), uint8 in {0, 255}, on the device of `factors`.

    A pixel is on if and only if its center lies inside the outline: like the original, nothing is anti-aliased.
    Only a window around each sprite is tested, a fifth of the image.
    """
    shape, scale, orientation, position_x, position_y = factors.unbind(dim=1)
    size = 0.5 + 0.1 * scale.float()
    # Both ends of the official linspace(0, 2 pi, 40) are the same picture; the modulus makes them so to the last bit.
    angle = (orientation % 39).float() * (2 * math.pi / 39)
    centre = torch.stack((position_x, position_y)).float() * (32 / 31) + 16  # (2, B): x and y
    corner = (centre - WINDOW / 2).round()
    pixels = corner[:, :, None] + torch.arange(WINDOW, device=factors.device)  # (2, B, WINDOW)
    dx, dy = (pixels + 0.5 - centre[:, :, None]) / size[:, None]
    cosine, sine = angle.cos()[:, None], angle.sin()[:, None]
    # (B, row, column): pixel centers in the frame of an upright sprite of scale 1.
    u = (cosine * dx)[:, None, :] - (sine * dy)[:, :, None]
    v = (sine * dx)[:, None, :] + (cosine * dy)[:, :, None]

    inside = torch.empty_like(u, dtype=torch.bool)
    for value, outline in enumerate(OUTLINES):
        if factors.device.type == "cpu":
            members = (shape == value).nonzero().squeeze(1)
            inside[members] = outline(u[members], v[members])
        else:  # where it is quicker to draw all three than to wait for how many there are of each
            inside = torch.where((shape == value)[:, None, None], outline(u, v), inside)

    columns, rows = pixels.long()
    targets = rows[:, :, None] * SIDE + columns[:, None, :]
    images = torch.zeros((len(factors), SIDE * SIDE), dtype=torch.uint8, device=factors.device)
    images.scatter_(1, targets.flatten(1), inside.flatten(1).to(torch.uint8) * 255)
    return images.view(-1, SIDE, SIDE)


class DSpritesLike(FactorDataset):
    """3 shapes (square, ellipse, heart) x 6 scales x 40 orientations x 32 x 32 positions; images (1, 64, 64), {0, 255}.

    Scales are 0.5, 0.6 .. 1; orientations 0 .. 2 pi with both ends, counter-clockwise as seen; the sprite's center is at
    pixel 16 + 32 x, 16 + 32 y with x (to the right) and y (downwards) in 32 equal steps from 0 to 1.

    As in the official set, orientation 39 is orientation 0 again (at least 18,432 images occur twice), and a quarter turn of the
    square or a half turn of the ellipse cannot be seen: no code can hold the orientation wholly, and a perfect score
    for it is out of reach.
    """

    name = "dsprites_like"
    version = RENDERER_VERSION
    provenance = "procedural"
    space = SPACE
    image_shape = (1, SIDE, SIDE)

    def __init__(self, root: object = None, nuisance: str | None = None) -> None:
        """`root`, where files lie, is accepted as by every dataset and not needed: the images are drawn when asked.

        nuisance: "color", "noise" or "texture", a random color of the sprite or a background, fixed for each row; images are
        then (3, 64, 64). Raises ValueError for another word.
        """
        check_nuisance(nuisance)
        self.nuisance = nuisance
        if nuisance is not None:
            self.image_shape = (CHANNELS, SIDE, SIDE)
            self.version = f"{RENDERER_VERSION}+{NUISANCE_VERSION}"

    def batch(self, indices: torch.Tensor) -> torch.Tensor:
        sprites = render(self.factors(indices))
        return sprites[:, None] if self.nuisance is None else with_nuisance(sprites, indices, self.nuisance)
