"""The graded factors: what each one declares about itself, measured on the pictures."""

import numpy as np
import pytest
import torch

from disbench.datasets import load
from disbench.datasets.procedural.graded_like import RADIUS, RENDERER_VERSION, build_backgrounds, build_masks

DATASET = load("graded_like")
NAMES, SIZES = DATASET.factor_names, DATASET.factor_sizes
GLYPH, TEXTURE, HUE = range(3)
MIDDLE = np.arange(64) + 0.5
BETWEEN = slice(8, 56)  # the columns between the bars
ALL_GLYPHS = list(range(120))
MASKS = build_masks(64) / 255  # how white each pixel is, 0..1: the blurred glyph


def draw(*factors: object) -> np.ndarray:
    """Images (B, 3, 64, 64), 0..255, for factors given as values or lists that broadcast."""
    columns = torch.broadcast_tensors(*(torch.as_tensor(values).reshape(-1) for values in factors))
    return DATASET.batch(DATASET.space.indices(torch.stack(columns, dim=1))).double().numpy()


def swept(factor: int) -> np.ndarray:
    """Images (V, P) of all values of one factor, the others fixed."""
    values: list[object] = [5, 3, 1, 2, 3]
    values[factor] = list(range(SIZES[factor]))
    return draw(*values).reshape(SIZES[factor], -1)


def background(texture: int, hue: int) -> np.ndarray:
    """The picture (3, 64, 48) between the bars and behind the glyph."""
    return build_backgrounds(64)[texture * SIZES[HUE] + hue][..., BETWEEN].astype(float)


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
    assert DATASET.intrinsic_dimensions == {"glyph": 4, "texture": 3, "hue": 2, "left_bar": 1, "right_bar": 1}
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
        assert set(neighbors(points).sum(axis=1)) == {{2: 2, 3: 4, 4: 12}[dimension]}, "none lies on a boundary"


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
    parts = spectrum(MASKS.reshape(120, -1))
    assert parts[:4].sum() > 0.6
    assert parts[3] > 0.75 * parts[0]
    assert parts[3] > 4 * parts[4]


def test_the_second_and_third_harmonics_of_a_glyph_are_its_coordinates() -> None:
    angle = np.arctan2(MIDDLE[:, None] - 32, MIDDLE[None, :] - 32)
    waves = np.stack([wave(times * angle) for times in (2, 3) for wave in (np.cos, np.sin)])
    # The integral over the area of cos(2 angle) is that of r^2 / 2 times it over the angle. The blur weakens it a little.
    found = np.einsum("gyx,wyx->gw", MASKS, waves) / ((64 * RADIUS) ** 2 * 0.6 * np.pi / 2)
    assert np.allclose(found / (0.985, 0.985, 0.965, 0.965), DATASET.coordinates["glyph"], atol=0.04)


def test_no_glyph_is_larger_than_another_or_off_the_middle() -> None:
    for side, within in ((64, 0.02), (32, 0.03)):
        shapes = build_masks(side) / 255
        assert np.allclose(shapes.mean(axis=(1, 2)), np.pi * RADIUS**2, rtol=0.006)
        places = np.arange(side) + 0.5
        sums = np.stack((shapes.sum(axis=1) @ places, shapes.sum(axis=2) @ places), axis=1)
        assert np.allclose(sums / shapes.sum(axis=(1, 2))[:, None], side / 2, atol=within)


def test_every_glyph_lies_between_the_bars() -> None:
    assert not MASKS[..., :8].any()
    assert not MASKS[..., 56:].any()
    assert not MASKS[:, :8].any()
    assert not MASKS[:, 56:].any()


def test_a_bar_is_gray_and_changes_nothing_else() -> None:
    left, right = draw(3, 4, 5, [0, 1, 2, 3, 4, 5], 2), draw(3, 4, 5, 2, [0, 1, 2, 3, 4, 5])
    assert np.array_equal(left[2], right[2])
    grays = [28, 68, 108, 148, 188, 228]
    for value, gray in enumerate(grays):
        assert (left[value, ..., :8] == gray).all()
        assert (right[value, ..., 56:] == gray).all()
        assert np.array_equal(left[value, ..., 8:], left[0, ..., 8:])
        assert np.array_equal(right[value, ..., :56], right[0, ..., :56])


def test_an_image_is_white_over_the_background_as_the_glyph_says() -> None:
    for glyph, texture, hue in ((3, 0, 5), (8, 7, 1), (20, 29, 4)):
        inside = MASKS[glyph][..., BETWEEN]
        expected = 255 * inside + (1 - inside) * background(texture, hue)
        assert np.array_equal(draw(glyph, texture, hue, 1, 4)[0][..., BETWEEN], np.floor(expected + 0.5 + 1e-9))


def test_no_hue_and_no_texture_is_brighter_than_another() -> None:
    for texture, hue in ((0, 0), (5, 1), (11, 2), (6, 3)):
        assert background(texture, hue).sum(axis=0).mean() == pytest.approx(255 * 0.5 * 3 * 0.55, abs=0.5)


def test_images_of_half_the_side_show_the_same() -> None:
    small = load("graded_like", side=32)
    rows = torch.tensor([0, 311_000, 621_111, 932_222, 1_295_999])
    halved = DATASET.batch(rows).float().view(5, 3, 32, 2, 32, 2).mean(dim=(3, 5))
    assert small.image_shape == (3, 32, 32)
    assert (small.batch(rows) - halved).abs().mean() < 3
    with pytest.raises(ValueError, match=r"side must be one of 64, 32, got 48\."):
        load("graded_like", side=48)


def test_a_part_keeps_the_dimensions_of_the_factors_that_are_whole() -> None:
    part = load("graded_like", select={"hue": "0-7", "texture": 0})
    assert part.intrinsic_dimensions == {"glyph": 4, "left_bar": 1, "right_bar": 1}
    split = load("graded_like", held_out=0.5)
    assert split.intrinsic_dimensions == split.training.intrinsic_dimensions == DATASET.intrinsic_dimensions
    assert load("dsprites_like", select={"shape": 0}).intrinsic_dimensions is None


def test_a_changed_picture_needs_a_changed_version() -> None:
    # Means of blocks, not a hash: a sample on an edge may fall on either side on another processor.
    images = DATASET.batch(torch.tensor([0, 311_000, 621_111, 932_222, 1_295_999])).double()
    blocks = images.view(5, 3, 4, 16, 4, 16).mean(dim=(1, 3, 5)).view(5, 16)
    assert RENDERER_VERSION == "3"
    assert torch.allclose(blocks, torch.tensor(BLOCK_MEANS, dtype=torch.float64), atol=0.15)


BLOCK_MEANS = [
    [60.5, 104.3, 35.9, 37.7, 76.4, 206.8, 185.3, 60.7, 76.4, 206.8, 185.3, 60.7, 60.5, 104.3, 35.9, 37.7],
    [163.5, 98.4, 15.9, 77.8, 158.8, 239.6, 138.8, 103.3, 153.2, 224.2, 192.0, 108.7, 160.3, 125.1, 47.3, 74.6],
    [69.2, 91.2, 68.1, 124.5, 71.1, 246.8, 185.5, 139.5, 21.9, 135.2, 232.3, 106.2, 33.6, 77.0, 69.2, 89.0],
    [36.4, 81.5, 45.7, 69.4, 40.8, 208.9, 197.6, 65.5, 73.2, 206.4, 189.4, 97.3, 68.7, 123.4, 93.2, 101.8],
    [125.2, 28.5, 108.8, 150.9, 150.6, 178.6, 240.2, 154.1, 158.8, 193.8, 189.9, 165.6, 147.2, 46.0, 126.8, 172.9],
]
