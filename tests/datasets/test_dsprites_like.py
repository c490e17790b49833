"""The sprites against the documented geometry, worked out independently of the renderer."""

import hashlib
import math

import numpy as np
import pytest
import torch
from matplotlib.path import Path as Polygon

from disbench.datasets import load
from disbench.datasets.procedural.dsprites_like import RENDERER_VERSION

DATASET = load("dsprites_like")
SQUARE, ELLIPSE, HEART = range(3)
PIXEL_CENTRES = np.stack(np.meshgrid(np.arange(64) + 0.5, np.arange(64) + 0.5), axis=-1)  # (row, column): x, y


def draw(*factors: object) -> torch.Tensor:
    """Sprites (B, 64, 64), bool, for factors given as values or lists that broadcast."""
    columns = torch.broadcast_tensors(*(torch.tensor(values).reshape(-1) for values in factors))
    return DATASET.batch(DATASET.space.indices(torch.stack(columns, dim=1)))[:, 0] == 255


def outline(shape: int, scale: int, orientation: int, x: int, y: int) -> np.ndarray:
    """The documented outline as a fine polygon (M, 2) of x, y in pixels, y downwards."""
    t = np.linspace(0, 2 * np.pi, 4_000, endpoint=False)
    if shape == SQUARE:
        points = 9.6 * np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)])
    elif shape == ELLIPSE:
        points = np.stack((12.75 * np.cos(t), 7.25 * np.sin(t)), axis=1)
    else:
        height = 13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t)
        points = np.stack((9.595 * np.sin(t) ** 3, -0.6636 * height - 1.434), axis=1)
    angle = orientation * 2 * np.pi / 39
    # Counter-clockwise as seen, with y pointing down.
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    return (0.5 + 0.1 * scale) * points @ turn.T + (16 + 32 * x / 31, 16 + 32 * y / 31)


def centroid(sprites: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean x and y (B,) of the pixels that are on, in pixels."""
    mass, line = sprites.double(), torch.arange(64) + 0.5
    area = mass.sum((1, 2))
    return (mass.sum(1) @ line.double()) / area, (mass.sum(2) @ line.double()) / area


def test_a_pixel_is_on_when_its_centre_is_inside_the_documented_outline() -> None:
    indices = torch.randint(len(DATASET), (60,), generator=torch.Generator().manual_seed(0))
    for image, factors in zip(DATASET.batch(indices)[:, 0], DATASET.factors(indices).tolist(), strict=True):
        expected = Polygon(outline(*factors)).contains_points(PIXEL_CENTRES.reshape(-1, 2)).reshape(64, 64)
        assert (image.numpy() == 255 * expected).mean() > 1 - 1.5 / 64**2, factors


@pytest.mark.parametrize(
    ("shape", "area"),
    [(SQUARE, 19.2**2), (ELLIPSE, math.pi * 12.75 * 7.25), (HEART, 180 * math.pi * 9.595 / 16 * 0.6636)],
)
def test_areas_are_the_analytic_ones_and_grow_with_the_square_of_scale(shape: int, area: float) -> None:
    for scale in range(6):
        sprites = draw(shape, scale, list(range(39)) * 32, [x for x in range(32) for _ in range(39)], 7)
        measured = sprites.sum().item() / len(sprites)
        assert measured == pytest.approx(area * (0.5 + 0.1 * scale) ** 2, rel=0.01)


@pytest.mark.parametrize("shape", [SQUARE, ELLIPSE])
def test_the_centre_of_mass_is_the_documented_centre(shape: int) -> None:
    steps = list(range(32))
    x, y = centroid(draw(shape, 5, 4, steps, steps[::-1]))
    expected = 16 + 32 * torch.linspace(0, 1, 32).double()
    assert torch.allclose(x, expected, atol=0.3)
    assert torch.allclose(y, expected.flip(0), atol=0.3)


@pytest.mark.parametrize("shape", [SQUARE, ELLIPSE, HEART])
def test_from_the_first_to_the_last_position_is_exactly_half_the_image(shape: int) -> None:
    left, right = draw(shape, 3, 6, [0, 31], 9)
    assert torch.equal(left.roll(32, dims=1), right)
    top, bottom = draw(shape, 3, 6, 9, [0, 31])
    assert torch.equal(top.roll(32, dims=0), bottom)


def test_position_x_moves_to_the_right_only_and_position_y_down_only() -> None:
    steps = list(range(32))
    for shape in range(3):
        x, y = centroid(draw(shape, 5, 6, steps, 16))
        assert (x.diff() > 0.5).all()
        assert y.max() - y.min() < 0.4
        x, y = centroid(draw(shape, 5, 6, 16, steps))
        assert (y.diff() > 0.5).all()
        assert x.max() - x.min() < 0.4


def test_orientation_turns_counter_clockwise_as_seen() -> None:
    mass = draw(ELLIPSE, 5, [0, 5, 10, 15], 16, 16).double()
    x, y = torch.arange(64).double() + 0.5 - 16 - 512 / 31, torch.arange(64).double() + 0.5 - 16 - 512 / 31
    xx, yy = torch.einsum("brc,c->b", mass, x**2), torch.einsum("brc,r->b", mass, y**2)
    xy = torch.einsum("brc,r,c->b", mass, y, x)
    assert xx[0] > 2 * yy[0], "lies flat at first"
    assert xy[1] < 0, "then rises to the right"
    assert yy[2] > 2 * xx[2], "then stands"
    assert xy[3] > 0, "then rises to the left"
    quarter, three_quarters = draw(HEART, 5, [10, 29], 16, 16).double().sum(1)
    left, right = x < -7, x > 7
    assert quarter[right].sum() < 0.6 * quarter[left].sum(), "the tip, below at first, then points to the right"
    assert three_quarters[left].sum() < 0.6 * three_quarters[right].sum(), "and later to the left"


def test_the_first_and_last_orientation_are_the_same_picture() -> None:
    steps = list(range(32))
    for shape in range(3):
        for scale in range(6):
            assert torch.equal(draw(shape, scale, 0, steps, steps[::-1]), draw(shape, scale, 39, steps, steps[::-1]))


def test_symmetric_shapes_look_nearly_the_same_after_their_turn() -> None:
    assert (draw(SQUARE, 5, 0, 16, 16) ^ draw(SQUARE, 5, 39 // 3, 16, 16)).sum() > 40
    for shape, period in ((SQUARE, 39 / 4), (ELLIPSE, 39 / 2)):
        # Whole steps of the grid never hit the period, they come within half a step (4.6 degrees) of it.
        a, b = draw(shape, 5, [0, round(period)], 16, 16)
        assert (a ^ b).sum() < 40
    a, b = draw(HEART, 5, [0, 20], 16, 16)
    assert (a ^ b).sum() > 100


def test_every_other_step_of_every_factor_changes_the_picture() -> None:
    generator = torch.Generator().manual_seed(1)
    factors = DATASET.factors(torch.randint(len(DATASET), (60,), generator=generator))
    factors[:, 1] = factors[:, 1].clamp(min=2)  # the smallest sprites turn by less than a pixel in one step
    for position, size in enumerate(DATASET.factor_sizes):
        steps = factors.repeat(size, 1, 1)
        steps[:, :, position] = torch.arange(size)[:, None]
        images = DATASET.batch(DATASET.space.indices(steps.flatten(0, 1))).view(size, 60, -1)
        same = (images[1:] == images[:-1]).all(dim=2)
        assert not same.any(), DATASET.factor_names[position]


def test_no_sprite_touches_the_border() -> None:
    corners = draw(
        [0, 1, 2] * 160, 5, [o for o in range(40) for _ in range(12)], [0, 0, 0, 31, 31, 31] * 80, [0, 31] * 240
    )
    assert not corners[:, [0, -1]].any()
    assert not corners[:, :, [0, -1]].any()


def test_nothing_is_held_in_memory() -> None:
    assert vars(load("dsprites_like")) == {"nuisance": None}


def test_a_changed_picture_needs_a_changed_version() -> None:
    # No pixel centre of these images crosses the outline when sprites grow or shrink by 1e-5, so rounding cannot matter.
    images = DATASET.batch(torch.arange(0, len(DATASET), 23_456))
    digest = hashlib.sha256(images.numpy().tobytes()).hexdigest()[:16]
    assert (RENDERER_VERSION, digest) == ("1", "0b51019aeb531350")
