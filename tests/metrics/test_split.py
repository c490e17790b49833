"""Rows to fit on and rows to judge."""

import numpy as np
import pytest

from disbench.metrics.split import split_rows


@pytest.mark.parametrize(
    ("rows", "train", "test", "sizes"),
    [
        (100, 30, 20, (30, 20)),
        (100, 80, 20, (80, 20)),
        (30, 10_000, 5_000, (20, 10)),
        (2, 10_000, 1, (1, 1)),
        (3, 1, 99, (1, 2)),
    ],
)
def test_a_table_that_is_too_small_is_divided_in_the_same_proportion(rows, train, test, sizes):
    fitted, judged = split_rows(rows, train, test, seed=0)
    assert (len(fitted), len(judged)) == sizes


def test_no_row_is_on_both_sides_and_their_order_is_random():
    fitted, judged = split_rows(1000, 700, 300, seed=1)
    assert sorted([*fitted, *judged]) == list(range(1000))
    assert abs(np.mean(judged) - 499.5) < 60
    assert not np.array_equal(fitted, np.sort(fitted))


def test_the_seed_decides_the_rows():
    first, again, other = (split_rows(50, 20, 10, seed=seed)[0] for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
