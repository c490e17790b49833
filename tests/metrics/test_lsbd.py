"""LSBD distance against the authors' code, closed forms, and the structures for which it is not defined."""

import itertools

import numpy as np
import pytest

from disbench.metrics import NotApplicable, lsbd_distance, lsbd_distance_detail

SHAPES = [(8, 8), (12, 7), (5, 20), (16, 9), (3, 8, 6), (4, 10, 10)]  # the first of three is no angle
# dlsbd of github.com/luis-armando-perez-rey/lsbd-vae, commit bc725a4, lsbd_vae/metrics/dlsbd_metric.py
THEIRS = [
    0.2564381944467366,
    0.46872053155968085,
    0.30143992361366384,
    0.319259953789801,
    0.061011311810926616,
    0.17772644575903646,
]


def made(seed):
    """Mixed circles with a third harmonic and noise, and their factors."""
    sizes, rng = SHAPES[seed], np.random.default_rng(seed)
    factors = np.array(list(itertools.product(*map(range, sizes))))
    angles = 2 * np.pi * factors[:, -2:] * [1, 2] / np.array(sizes[-2:])
    torus = np.column_stack([np.cos(angles), np.sin(angles), 0.5 * np.cos(3 * angles)])
    return torus @ rng.normal(size=(6, 5)) + 0.3 * rng.normal(size=(len(factors), 5)), factors


def torus(sizes, frequencies=(1, 1)):
    factors = np.array(list(itertools.product(*map(range, sizes))))
    angles = 2 * np.pi * factors * frequencies / np.array(sizes)
    return np.column_stack([np.cos(angles), np.sin(angles)]), factors


@pytest.mark.parametrize("seed", range(5))
def test_the_distance_is_that_of_the_authors_code(seed):
    codes, factors = made(seed)
    found = lsbd_distance(codes, factors, cyclic=[factors.shape[1] - 2, factors.shape[1] - 1])
    assert found == pytest.approx(THEIRS[seed], abs=1e-9)


def test_the_better_direction_of_each_object_counts():
    """Their principal components of the four objects have arbitrary signs, and one sign of the frequency for all of them."""
    codes, factors = made(5)
    distance = lsbd_distance(codes, factors, cyclic=[1, 2])
    objects = [lsbd_distance(codes[factors[:, 0] == i], factors[factors[:, 0] == i], cyclic=[1, 2]) for i in range(4)]
    assert np.mean(objects) - 1e-12 <= distance < THEIRS[5]


def test_a_perfect_torus_scores_0_in_any_basis_and_order_of_rows():
    codes, factors = torus((7, 9), (2, 3))
    rng = np.random.default_rng(0)
    order = rng.permutation(len(codes))
    turned = codes @ np.linalg.qr(rng.normal(size=(4, 4)))[0] + 5
    detail = lsbd_distance_detail(turned[order], factors[order])
    assert detail["score"] == pytest.approx(0, abs=1e-12)
    assert [each["frequency"] for each in detail["factors"]] == [2, 3]


@pytest.mark.parametrize("size", [0.2, 0.5])
def test_a_second_harmonic_costs_its_share_of_the_square(size):
    """|e^(ig) + s e^(2ig)|^2 has the mean 1 + s^2, of which s^2 does not turn along."""
    angle = 2 * np.pi * np.arange(12) / 12
    codes = np.column_stack([np.cos(angle) + size * np.cos(2 * angle), np.sin(angle) + size * np.sin(2 * angle)])
    expected = 11 / 12 * size**2 / (1 + size**2)  # deviations divide by n - 1
    assert lsbd_distance(codes, np.arange(12)[:, None]) == pytest.approx(expected, abs=1e-12)


def test_an_object_may_turn_in_a_plane_and_a_direction_of_its_own():
    angle = 2 * np.pi * np.arange(9) / 9
    circle, nothing = np.column_stack([np.cos(angle), np.sin(angle)]), np.zeros((9, 1))
    codes = np.vstack([np.column_stack([circle, nothing]), np.column_stack([nothing, circle * [1, -1]])])
    factors = [[thing, value] for thing in range(2) for value in range(9)]
    assert lsbd_distance(codes, factors, cyclic=[1]) == pytest.approx(0, abs=1e-12)


def test_no_frequency_beyond_the_largest_is_tried():
    codes, factors = torus((13,), (3,))
    assert lsbd_distance(codes, factors, frequencies=3) == pytest.approx(0, abs=1e-12)
    assert lsbd_distance(codes, factors, frequencies=2) == pytest.approx(12 / 13, abs=1e-12)


def test_other_structures_are_a_reason():
    codes, factors = torus((5, 6))
    with pytest.raises(NotApplicable, match="full grid of 30 cells"):
        lsbd_distance(codes[1:], factors[1:])
    with pytest.raises(NotApplicable, match="full grid of 30 cells"):
        lsbd_distance(np.vstack([codes, codes]), np.vstack([factors, factors]))
    with pytest.raises(NotApplicable, match="factor 1 in fewer than two dimensions"):
        lsbd_distance(codes[:, [0, 1, 2]], factors)
    with pytest.raises(NotApplicable, match="three values"):
        lsbd_distance(codes, np.minimum(factors, 1))
    with pytest.raises(ValueError, match=r"cyclic=\[2\]"):
        lsbd_distance(codes, factors, cyclic=[2])
    with pytest.raises(ValueError, match="frequencies=0"):
        lsbd_distance(codes, factors, frequencies=0)


def test_the_smallest_of_equivalent_frequencies_is_told():
    """Twice and seven times a full turn are the same places for five values."""
    codes, factors = torus((5, 7), (2, 1))
    found = lsbd_distance_detail(codes + 0.2 * factors[:, [0, 1, 1, 0]], factors)["factors"]
    assert [each["frequency"] for each in found] == [2, 1]


def test_an_offset_does_not_hide_a_torus():
    codes, factors = torus((5, 6))
    assert lsbd_distance(codes + 1e12, factors) == pytest.approx(0, abs=1e-6)


def test_many_factors_that_are_no_grid_are_a_reason():
    rng = np.random.default_rng(0)
    with pytest.raises(NotApplicable, match="full grid"):
        lsbd_distance(rng.normal(size=(100, 2)), rng.normal(size=(100, 12)))
