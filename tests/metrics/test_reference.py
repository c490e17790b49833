"""Floors and ceilings."""

import numpy as np

from disbench.metrics import METRICS, as_codes, shuffled


def test_shuffling_moves_whole_rows_by_the_seed_alone(noisy_codes):
    once = shuffled(noisy_codes, seed=3)
    assert np.array_equal(once, shuffled(noisy_codes, seed=3))
    assert not np.array_equal(once, shuffled(noisy_codes, seed=4))
    assert sorted(map(tuple, once)) == sorted(map(tuple, noisy_codes))


def test_factors_as_codes_are_themselves_up_to_an_exact_factor(grid):
    codes = as_codes(grid)
    assert codes.dtype == np.float64
    for column, factor in zip(codes.T, grid.T, strict=True):
        scale = factor.max() / column.max()
        assert np.log2(scale) % 1 == 0
        assert np.array_equal(column * scale, factor)
        assert 0.7 < column.std() < 1.42


def test_constant_factors_stay_and_no_table_is_too_small():
    assert np.array_equal(as_codes([[3, 0], [3, 1]])[:, 0], [3, 3])
    assert as_codes(np.zeros((0, 2))).shape == (0, 2)


def test_a_factor_of_two_values_beside_one_of_forty_is_not_taken_for_a_dead_code():
    factors = np.stack(np.meshgrid(np.arange(2), np.arange(40), indexing="ij"), -1).reshape(-1, 2).repeat(5, axis=0)
    assert METRICS["factor_vae_score"](as_codes(factors), factors, seed=0) == 1.0
