"""IRS against small cases by hand."""

import numpy as np
import pytest

from disbench.metrics import METRICS, NotApplicable
from disbench.metrics.irs import deviations_with_factor_held
from disbench.metrics.table import as_table

IRS = METRICS["irs"]


def test_a_code_that_moves_little_while_its_factor_is_held():
    codes, factors = np.array([[0.0], [1.0], [10.0], [11.0]]), np.array([[0], [0], [1], [1]])
    assert IRS(codes, factors) == pytest.approx(1 - 0.5 / 5.5, abs=1e-12)  # mean 5.5, in a group 0.5


def test_values_count_alike_however_many_rows_they_have():
    codes = np.array([[0.0], [2.0], [10.0], [10.0], [10.0], [10.0]])  # mean 7: m = 7; deviations 1 and 0
    factors = np.array([[0], [0], [1], [1], [1], [1]])
    assert IRS(codes, factors) == pytest.approx(1 - 0.5 / 7, abs=1e-12)


def test_distances_within_a_group_are_to_the_groups_mean():
    codes = np.array([[0.0], [0.0], [3.0], [9.0]])  # mean 3: m = 6; group 0: mean 1, largest distance 2; group 1: none
    assert IRS(codes, np.array([[0], [0], [0], [1]])) == pytest.approx(1 - (2 + 0) / 2 / 6, abs=1e-12)


def test_a_factor_whose_values_hardly_recur_is_a_reason_and_not_a_perfect_score():
    rng = np.random.default_rng(0)
    noise, rows = rng.normal(size=(400, 3)), np.arange(400)
    for column in (rows, rng.normal(size=400), np.minimum(rows, 380), np.r_[rows[:201], rows[:199]]):
        with pytest.raises(NotApplicable, match="factor 1 has"):
            IRS(noise, np.column_stack([rows % 5, column]))
    assert IRS(noise, np.column_stack([rows % 5, rng.normal(size=400)]), factor_bins=10) < 0.4
    assert IRS.detail(noise, rng.normal(size=(400, 1)), factor_bins=10)["binned_factors"] == [0]


def test_codes_weigh_as_far_as_they_move_and_take_their_best_factor():
    factors = np.array([[0, 0], [0, 1], [1, 0], [1, 1]])
    large = np.array([0.0, 0.0, 6.0, 6.0])  # follows factor 0: score 1, weight 3
    small = np.array([0.0, 1.0, 1.0, 0.0])  # follows neither: score 0, weight 1/2
    detail = IRS.detail(np.column_stack([large, small]), factors)
    assert detail["score"] == pytest.approx(3 / 3.5, abs=1e-12)
    assert detail["codes"][0]["code"] == detail["codes"][0]["factor"] == 0
    assert [code["weight"] for code in detail["codes"]] == pytest.approx([3.0, 0.5])
    assert [code["score"] for code in detail["codes"]] == pytest.approx([1.0, 0.0])


def test_a_quantile_interpolates_between_distances():
    codes = np.array([[0.0], [1.0], [2.0], [3.0], [9.0]])  # one group: mean 3, distances 0 1 2 3 6
    table = as_table(np.vstack([codes, codes]), np.repeat([[0], [1]], 5, axis=0))
    assert deviations_with_factor_held(table, 1.0) == pytest.approx(6.0)
    assert deviations_with_factor_held(table, 0.5) == pytest.approx(2.0)
    assert deviations_with_factor_held(table, 0.9) == pytest.approx(3 + 0.6 * 3)


def test_a_lower_quantile_flatters(grid, noisy_codes):
    scores = [IRS(noisy_codes, grid, quantile=quantile) for quantile in (1.0, 0.99, 0.9, 0.5)]
    assert scores == sorted(scores)
    assert len(set(scores)) == 4


def test_a_score_below_zero_is_reported_as_zero_and_the_detail_keeps_it():
    """Each group is skewed the other way: 0.9 from its own mean at most, 0.5 from the common one."""
    codes = np.array([0.0] * 9 + [1.0] + [1.0] * 9 + [0.0])[:, None]
    factors = np.repeat([[0], [1]], 10, axis=0)
    assert IRS(codes, factors) == 0.0
    assert IRS.detail(codes, factors)["codes"][0]["score"] == pytest.approx(1 - 0.9 / 0.5)


def test_a_constant_factor_does_not_flatter_at_a_lower_quantile(oracle_table):
    codes, factors = oracle_table("noise")
    with_constant = np.column_stack([factors, np.zeros(len(factors), dtype=int)])
    assert IRS(codes, with_constant, quantile=0.9) == IRS(codes, factors, quantile=0.9)


@pytest.mark.parametrize("quantile", [0.0, 1.01, -1.0, float("nan")])
def test_a_quantile_outside_its_range_is_refused(quantile, grid, noisy_codes):
    with pytest.raises(ValueError, match=r"0 < quantile <= 1|quantile as a finite number"):
        IRS(noisy_codes, grid, quantile=quantile)
