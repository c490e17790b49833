"""Tables that hold an image several times, and tables of discrete codes, whose equal rows are different images."""

import numpy as np
import pytest

from disbench.metrics import METRICS, as_table, find_groups
from disbench.metrics.repeated_rows import rows_of_images

IMAGES, VALUES, KEPT = 1000, 10, 0.6
SAME = KEPT + (1 - KEPT) / VALUES  # of a code that is the factor with probability 0.6, and otherwise drawn
OTHER = (1 - SAME) / (VALUES - 1)
TOLD = 1 + (SAME * np.log(SAME) + (1 - SAME) * np.log(OTHER)) / np.log(VALUES)  # its information, as a share


def drawn(rng, rows=IMAGES, factors=2):
    return rng.integers(0, VALUES, (rows, factors))


def continuous(rng):
    factors = drawn(rng)
    return np.column_stack([factors[:, 0] + rng.normal(size=IMAGES), rng.normal(size=(IMAGES, 2))]), factors


def noise(rng):
    return rng.normal(size=(IMAGES, 3)), drawn(rng)


def quantised(rng):
    """Ten codes of ten values, two of which tell about the factors; hardly any two images have equal codes."""
    factors = drawn(rng)
    codes = drawn(rng, factors=10)
    codes[:, :2] = np.where(rng.random((IMAGES, 2)) < KEPT, factors, codes[:, :2])
    return 0.37 * codes, factors


def explicitness(codes, factors, groups=None, **options):
    groups = np.ones(codes.shape[1], dtype=int) if groups is None else groups
    return METRICS["group_explicitness"](codes, factors, groups=groups, **options)


def five_times(rng, codes, factors):
    order = rng.permutation(5 * len(codes))
    return np.repeat(codes, 5, axis=0)[order], np.repeat(factors, 5, axis=0)[order]


@pytest.mark.parametrize("images", [continuous, noise, quantised])
def test_a_table_that_holds_each_image_five_times_scores_as_one_that_holds_it_once(images):
    rng = np.random.default_rng(0)
    codes, factors = images(rng)
    many = five_times(rng, codes, factors)
    once = explicitness(codes, factors)
    assert once < 0.3
    assert explicitness(*many) == pytest.approx(once, abs=0.02)
    detail = METRICS["group_leak"].detail(*many, groups=np.ones(codes.shape[1], dtype=int))
    assert (detail["rows"], detail["repeated_rows"]) == (IMAGES, 4 * IMAGES)
    assert detail["score"] == 0.0


def test_images_that_are_drawn_with_replacement_are_read_once():
    rng = np.random.default_rng(0)
    codes, factors = noise(rng)
    rows = rng.integers(0, 400, 5000)
    table = as_table(codes[rows], factors[rows])
    assert len(rows_of_images(table)) == len(np.unique(rows)) == 400
    assert explicitness(codes[rows], factors[rows]) == 0.0
    assert len(rows_of_images(as_table(codes[rows], factors[rows], quantized=True))) == 5000
    codes[:400] = codes[:400] * 0.0  # dead codes are equal everywhere and show nothing
    codes[:400, 0] = rng.normal(size=400)
    assert len(rows_of_images(as_table(codes[rows], factors[rows]))) == 400


@pytest.mark.filterwarnings("error")
def test_dead_codes_alone_show_no_image():
    rng = np.random.default_rng(0)
    assert len(rows_of_images(as_table(np.zeros((IMAGES, 2)), drawn(rng)))) == IMAGES


def test_rows_that_are_equal_but_for_a_factor_or_the_sign_of_zero_are_told_rightly():
    rng = np.random.default_rng(0)
    codes, factors = continuous(rng)
    codes[:, 1] = np.where(np.arange(IMAGES) % 2, 0.0, codes[:, 1])
    twice, other = np.concatenate([codes, codes]), np.concatenate([factors, factors])
    twice[IMAGES:, 1] = np.where(twice[IMAGES:, 1] == 0, -0.0, twice[IMAGES:, 1])
    assert len(rows_of_images(as_table(twice, other))) == IMAGES
    other[IMAGES:] = (other[IMAGES:] + 1) % VALUES
    assert len(rows_of_images(as_table(twice, other))) == 2 * IMAGES


def independent_codes(rng):
    return rng.integers(0, 8, (3000, 2)), drawn(rng, 3000), 0.0


def factors_as_codes(rng):
    factors = rng.integers(0, 4, (3000, 2))
    return factors, factors, 1.0


def one_code_of_64_values(rng):
    factors = rng.integers(0, 8, (3000, 2))
    return 8 * factors[:, :1] + factors[:, 1:], factors, 1.0


def one_factor_of_200_values(rng):
    factors = rng.integers(0, 200, (3000, 1))
    return factors, factors, 1.0


def grid_of_60_cells_eight_times(rng):
    cells = np.repeat(np.indices((3, 4, 5)).reshape(3, -1).T, 8, axis=0)
    return cells, cells, 1.0


def grid_of_1000_cells_three_times(rng):
    cells = np.repeat(np.indices((10, 10, 10)).reshape(3, -1).T, 3, axis=0)
    return cells, cells, 1.0


def noisy_code(rng):
    factors = drawn(rng, 10_000, 1)
    return np.where(rng.random((10_000, 1)) < KEPT, factors, drawn(rng, 10_000, 1)), factors, TOLD


DISCRETE = [independent_codes, factors_as_codes, one_code_of_64_values, one_factor_of_200_values]
DISCRETE += [grid_of_60_cells_eight_times, grid_of_1000_cells_three_times, noisy_code]


@pytest.mark.parametrize("known", DISCRETE)
def test_equal_rows_of_discrete_codes_tell_what_is_known(known):
    codes, factors, truth = known(np.random.default_rng(0))
    assert explicitness(codes, factors) == pytest.approx(truth, abs=0.012)


def test_found_groups_do_not_depend_on_how_often_an_image_is_in_the_table():
    """Independent codes of few images depend on each other a little by chance, less than as many rows could."""
    codes = np.random.default_rng(2).normal(size=(600, 8))
    assert find_groups(codes).tolist() == find_groups(np.repeat(codes, 20, axis=0)).tolist() == list(range(1, 9))


def test_rows_are_read_up_to_the_limit_and_the_detail_has_their_number():
    codes, factors = continuous(np.random.default_rng(0))
    detail = METRICS["group_mig"].detail(codes, factors, groups=[1, 2, 2], rows=300)
    assert (detail["rows"], detail["repeated_rows"]) == (300, 0)


def test_one_continuous_code_among_discrete_ones_tells_which_rows_are_of_one_image():
    rng = np.random.default_rng(0)
    codes = np.column_stack([rng.integers(0, 3, (500, 3)), rng.normal(size=(500, 2))])
    factors = rng.integers(0, 5, (500, 2))
    rows = rng.integers(0, 500, 1000)
    assert len(rows_of_images(as_table(codes[rows], factors[rows]))) == len(np.unique(rows))
