"""Draws of rows that share a factor value, against enumeration."""

import numpy as np
import pytest

from disbench.metrics.groups import DRAWS_AT_ONCE, group_rows, points_by_factor

VALUES = np.array([2, 0, 1, 1, 0, 1, 1, 1, 1])  # two rows of 0, six of 1, one of 2
GROUPS = group_rows(VALUES, 3)


def test_groups_hold_the_rows_of_each_value():
    assert [GROUPS.rows(value).tolist() for value in range(3)] == [[1, 4], [2, 3, 5, 6, 7, 8], [0]]


def test_values_are_drawn_alike_however_many_rows_they_have_if_two_rows_share_them():
    drawn = GROUPS.draw_values((200, 100), np.random.default_rng(0))
    assert drawn.shape == (200, 100)
    assert np.bincount(drawn.ravel(), minlength=3) / drawn.size == pytest.approx([0.5, 0.5, 0.0], abs=0.02)


def test_rows_are_drawn_alike_and_with_replacement():
    drawn = GROUPS.draw_rows(np.full((500, 64), 1), np.random.default_rng(0))
    assert np.bincount(drawn.ravel(), minlength=9)[[2, 3, 5, 6, 7, 8]] / drawn.size == pytest.approx(
        [1 / 6] * 6, abs=0.01
    )
    assert all(len(set(group)) < 64 for group in drawn.tolist())


def test_a_pair_is_two_different_rows_and_all_pairs_are_drawn_alike():
    first, second = GROUPS.draw_pairs(np.full(60_000, 1), np.random.default_rng(0))
    counts = np.zeros((9, 9))
    np.add.at(counts, (first, second), 1)
    rows = GROUPS.rows(1)
    expected = (1 - np.eye(6)) / 30
    assert counts[np.ix_(rows, rows)] / 60_000 == pytest.approx(expected, abs=0.005)
    assert counts.sum() == counts[np.ix_(rows, rows)].sum()


def test_each_point_is_visited_once_with_its_factor_in_bounded_pieces():
    targets = np.random.default_rng(0).integers(0, 4, 3000)
    pieces = list(points_by_factor(targets, 64))
    assert sorted(np.concatenate([points for _, points in pieces]).tolist()) == list(range(3000))
    assert all((targets[points] == k).all() for k, points in pieces)
    assert max(len(points) for _, points in pieces) * 64 <= DRAWS_AT_ONCE
    assert all(len(points) == 1 for _, points in points_by_factor(targets[:5], 10 * DRAWS_AT_ONCE))
