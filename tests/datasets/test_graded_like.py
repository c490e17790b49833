"""The graded factors: what each one declares about itself, measured on the pictures."""

import numpy as np
import pytest
import torch

from disbench.datasets import load
from disbench.datasets.procedural.graded_like import RENDERER_VERSION

DATASET = load("graded_like")
NAMES, SIZES = DATASET.factor_names, DATASET.factor_sizes
GLYPH, TEXTURE, HUE = range(3)
CYAN = 3  # this hue has no red, so that the red channel is the glyph's mask
CENTERS = np.array([22, 27, 32, 37, 42])  # of the glyph at each position, in pixels
MIDDLE = np.arange(64) + 0.5
ALL_GLYPHS = list(range(24))


def draw(*factors: object) -> np.ndarray:
    """Images (B, 3, 64, 64), 0..255, for factors given as values or lists that broadcast."""
    columns = torch.broadcast_tensors(*(torch.as_tensor(values).reshape(-1) for values in factors))
    return DATASET.batch(DATASET.space.indices(torch.stack(columns, dim=1))).double().numpy()


def masks(glyph: object, x: object, y: object) -> np.ndarray:
    """How white each pixel (B, 64, 64) is, 0..1: the blurred glyph."""
    return draw(glyph, 0, CYAN, x, y)[:, 0] / 255


def swept(factor: int) -> np.ndarray:
    """Images (V, P) of all values of one factor, the others fixed."""
    values: list[object] = [5, 3, 1, 2, 3]
    values[factor] = list(range(SIZES[factor]))
    return draw(*values).reshape(SIZES[factor], -1)


def background(texture: int, hue: int) -> np.ndarray:
    """The picture (3, 64, 64) behind the glyphs: each pixel is free of them in some images, and white makes it no darker."""
    every = np.array(np.meshgrid(ALL_GLYPHS, range(5), range(5))).reshape(3, -1)
    return draw(every[0], texture, hue, every[1], every[2]).min(axis=0)


def distances(points: np.ndarray) -> np.ndarray:
    """Euclidean distances (V, V) of all pairs of rows."""
    return np.linalg.norm(points[:, None] - points[None], axis=-1)


def neighbors(points: np.ndarray) -> np.ndarray:
    """Whether two rows (V, V) are as near to each other as the nearest two."""
    apart = distances(points) + 1e9 * np.eye(len(points))
    return apart < apart.min() + 1e-9


def spectrum(pictures: np.ndarray) -> np.ndarray:
    """Parts (V,) of the variance of pictures (V, P) in each principal direction, largest first."""
    squares = np.linalg.svd(pictures - pictures.mean(axis=0), compute_uv=False) ** 2
    return squares / squares.sum()


def center(shapes: np.ndarray) -> np.ndarray:
    """Mean x and y (B, 2) of masks, in pixels."""
    sums = np.stack((shapes.sum(axis=1) @ MIDDLE, shapes.sum(axis=2) @ MIDDLE), axis=1)
    return sums / shapes.sum(axis=(1, 2))[:, None]


def test_the_factors_declare_graded_dimensions_and_entropies() -> None:
    assert DATASET.intrinsic_dimensions == {"glyph": 4, "texture": 3, "hue": 2, "position_x": 1, "position_y": 1}
    columns = dict(zip(NAMES, DATASET.factors(slice(None)).numpy().T, strict=True))
    for name, column in columns.items():
        part = np.bincount(column) / len(column)
        assert DATASET.entropies[name] == pytest.approx(-(part * np.log(part)).sum())
    assert list(DATASET.entropies) == sorted(columns, key=lambda name: -DATASET.entropies[name])


@pytest.mark.parametrize("name", NAMES)
def test_the_values_of_a_factor_spread_evenly_over_a_sphere_of_its_dimension(name: str) -> None:
    points, dimension = DATASET.coordinates[name], DATASET.intrinsic_dimensions[name]
    assert points.shape == (SIZES[NAMES.index(name)], dimension)
    assert np.allclose(points.mean(axis=0), 0)
    assert np.allclose(np.cov(points.T, bias=True), np.eye(dimension) * (points**2).mean()), "uncorrelated, alike"
    if dimension > 1:
        assert np.allclose(np.linalg.norm(points, axis=1), 1)
        assert set(neighbors(points).sum(axis=1)) == {{2: 2, 3: 5, 4: 8}[dimension]}, "none lies on a boundary"


@pytest.mark.parametrize("name", NAMES)
def test_values_that_are_neighbors_on_the_sphere_are_neighbors_in_the_pictures(name: str) -> None:
    near = neighbors(DATASET.coordinates[name])
    differ = distances(swept(NAMES.index(name)))
    assert differ[near].max() < differ[~near & ~np.eye(len(near), dtype=bool)].min()


@pytest.mark.parametrize("factor", [TEXTURE, HUE])
def test_pictures_of_textures_and_hues_lie_on_a_sphere_of_exactly_their_dimension(factor: int) -> None:
    pairs = [(value, 1) if factor == TEXTURE else (3, value) for value in range(SIZES[factor])]
    pictures = np.stack([background(*pair).ravel() for pair in pairs])
    dimension = DATASET.intrinsic_dimensions[NAMES[factor]]
    assert np.allclose(spectrum(pictures)[:dimension], 1 / dimension, atol=0.01)
    assert spectrum(pictures)[dimension:].sum() < 1e-4
    radius = np.linalg.norm(pictures - pictures.mean(axis=0), axis=1)
    assert radius.max() / radius.min() < 1.01


def test_pictures_of_glyphs_have_four_directions_that_stand_out() -> None:
    parts = spectrum(masks(ALL_GLYPHS, 2, 3).reshape(24, -1))
    assert parts[:4].sum() > 0.6
    assert parts[3] > 0.75 * parts[0]
    assert parts[3] > 4 * parts[4]


def test_the_second_and_third_harmonics_of_a_glyph_are_its_coordinates() -> None:
    shapes = masks(ALL_GLYPHS, 2, 3)
    angle = np.arctan2(MIDDLE[:, None] - CENTERS[3], MIDDLE[None, :] - CENTERS[2])
    waves = np.stack([wave(times * angle) for times in (2, 3) for wave in (np.cos, np.sin)])
    # The integral over the area of cos(2 angle) is that of r^2 / 2 times it over the angle. The blur weakens it a little.
    found = np.einsum("gyx,wyx->gw", shapes, waves) / (14.5**2 * 0.6 * np.pi / 2)
    assert np.allclose(found / (0.985, 0.985, 0.965, 0.965), DATASET.coordinates["glyph"], atol=0.04)


def test_no_glyph_is_larger_than_another_or_off_its_position() -> None:
    for x, y in ((0, 0), (4, 2)):
        shapes = masks(ALL_GLYPHS, x, y)
        assert np.allclose(shapes.sum(axis=(1, 2)), np.pi * 14.5**2, rtol=0.002)
        assert np.allclose(center(shapes), (CENTERS[x], CENTERS[y]), atol=0.02)


def test_a_position_moves_the_glyph_and_nothing_else() -> None:
    for glyph in (0, 9):
        first = masks(glyph, 0, 0)[0]
        for x, y in ((1, 0), (0, 1), (4, 4), (3, 2)):
            assert np.array_equal(masks(glyph, x, y)[0], np.roll(first, (5 * y, 5 * x), axis=(0, 1)))


def test_every_glyph_lies_inside_the_image_at_every_position() -> None:
    corners = np.concatenate([masks(ALL_GLYPHS, x, y) for x in (0, 4) for y in (0, 4)])
    for edge in (corners[:, 0], corners[:, -1], corners[:, :, 0], corners[:, :, -1]):
        assert not edge.any()


@pytest.mark.parametrize("axis", [0, 1])
def test_positions_are_one_curve_with_two_ends(axis: int) -> None:
    steps = list(range(5))
    places = (steps, 3) if axis == 0 else (3, steps)
    means = np.mean([masks(glyph, *places) for glyph in ALL_GLYPHS], axis=0).reshape(5, -1)
    for value, row in enumerate(distances(means)):
        assert (np.diff(row[value:]) > 0).all(), "farther positions differ more"
        assert (np.diff(row[value::-1]) > 0).all()


def test_an_image_is_white_over_the_background_as_the_glyph_says() -> None:
    for glyph, texture, hue in ((3, 0, 5), (8, 7, 1), (20, 11, 4)):
        inside = masks(glyph, 1, 4)
        expected = 255 * inside + (1 - inside) * background(texture, hue)
        assert np.array_equal(draw(glyph, texture, hue, 1, 4)[0], np.floor(expected + 0.5 + 1e-9))


def test_no_hue_and_no_texture_is_brighter_than_another() -> None:
    for texture, hue in ((0, 0), (5, 1), (11, 2), (6, CYAN)):
        assert background(texture, hue).sum(axis=0).mean() == pytest.approx(255 * 0.5 * 1.5, abs=0.5)


def test_a_part_keeps_the_dimensions_of_the_factors_that_are_whole() -> None:
    part = load("graded_like", select={"hue": "0-4", "texture": 0})
    assert part.intrinsic_dimensions == {"glyph": 4, "position_x": 1, "position_y": 1}
    split = load("graded_like", held_out=0.5)
    assert split.intrinsic_dimensions == split.training.intrinsic_dimensions == DATASET.intrinsic_dimensions
    assert load("dsprites_like", select={"shape": 0}).intrinsic_dimensions is None


def test_a_changed_picture_needs_a_changed_version() -> None:
    # Means of blocks, not a hash: a sample on an edge may fall on either side on another processor.
    images = DATASET.batch(torch.tensor([0, 11_000, 21_111, 32_222, 43_199])).double()
    blocks = images.view(5, 3, 4, 16, 4, 16).mean(dim=(1, 3, 5)).view(5, 16)
    assert RENDERER_VERSION == "2"
    assert torch.allclose(blocks, torch.tensor(BLOCK_MEANS, dtype=torch.float64), atol=0.15)


BLOCK_MEANS = [
    [131.3, 125.9, 62.0, 79.1, 200.7, 248.9, 160.7, 110.8, 20.2, 54.2, 80.8, 48.4, 48.4, 80.0, 48.4, 16.7],
    [57.4, 176.5, 110.8, 79.1, 160.5, 250.3, 125.4, 47.5, 92.7, 63.9, 25.0, 48.4, 48.4, 16.7, 48.4, 80.0],
    [104.0, 107.8, 77.4, 73.3, 117.4, 245.1, 231.3, 73.7, 54.2, 78.0, 134.9, 23.5, 54.2, 54.2, 23.5, 23.5],
    [73.3, 73.6, 107.6, 104.0, 73.3, 105.7, 240.2, 144.2, 23.5, 23.7, 219.0, 111.1, 23.5, 23.5, 70.3, 54.4],
    [23.5, 23.5, 54.3, 54.3, 23.5, 23.5, 89.9, 86.0, 73.2, 107.9, 250.0, 148.8, 73.2, 76.0, 196.1, 113.5],
]
