"""Floors and ceilings."""

import numpy as np

from disbench.metrics import as_codes, shuffled


def test_shuffling_moves_whole_rows_by_the_seed_alone(noisy_codes):
    once = shuffled(noisy_codes, seed=3)
    assert np.array_equal(once, shuffled(noisy_codes, seed=3))
    assert not np.array_equal(once, shuffled(noisy_codes, seed=4))
    assert sorted(map(tuple, once)) == sorted(map(tuple, noisy_codes))


def test_factors_as_codes_are_themselves(grid):
    assert as_codes(grid).dtype == np.float64
    assert np.array_equal(as_codes(grid), grid)
