"""Z-diff, Z-min Var and the FactorVAE score against enumeration and small cases."""

import itertools

import numpy as np
import pytest

from disbench.metrics import METRICS, as_codes
from disbench.metrics.groups import all_groups
from disbench.metrics.majority_vote import extreme_codes
from disbench.metrics.table import as_table
from disbench.metrics.z_diff import mean_differences

Z_DIFF, Z_MIN_VAR, FACTOR_VAE = (METRICS[name] for name in ("z_diff", "z_min_var", "factor_vae_score"))
FEW = {"train": 600, "test": 600}


def test_a_feature_of_z_diff_is_the_mean_distance_of_two_rows_of_a_value():
    """By enumeration over values, which count alike, and pairs of different rows."""
    codes = np.random.default_rng(0).normal(size=(8, 2)) * np.array([1.0, 5.0])
    factors = np.array([[0, 0, 1, 1, 1, 1, 1, 1], [0, 1, 0, 1, 0, 1, 0, 1]]).T
    table = as_table(codes, factors)
    features = mean_differences(table.codes, all_groups(table), np.array([0, 1]), 200_000, np.random.default_rng(1))
    for k in range(2):
        by_value = []
        for value in range(2):
            rows = codes[factors[:, k] == value]
            by_value.append(np.mean([abs(a - b) for a, b in itertools.permutations(rows, 2)], axis=0))
        assert features[k] == pytest.approx(np.mean(by_value, axis=0), rel=0.01)


def test_pairs_draw_a_value_each_and_groups_share_one(grid):
    """Within one point a pair's code of the fixed factor does not move, and other codes do."""
    table = as_table(as_codes(grid), grid)
    targets = np.arange(300) % 3
    features = mean_differences(table.codes, all_groups(table), targets, 64, np.random.default_rng(0))
    fixed = features == 0
    assert np.array_equal(fixed, targets[:, None] == np.arange(3))
    # One value for all pairs of a point would leave a code that is constant in half of the groups at 0 half of the time.
    codes = as_codes(np.where(grid[:, :1] < 2, grid[:, 1:2], 0))
    moving = mean_differences(codes, all_groups(table), np.zeros(200, dtype=int), 64, np.random.default_rng(0))
    assert moving.min() > 0.3


def test_the_code_that_varies_least_is_that_of_the_held_factor(grid):
    table = as_table(as_codes(grid), grid)
    targets = np.arange(300) % 3
    winners = extreme_codes(table.codes, all_groups(table), targets, 64, np.random.default_rng(0), np.argmin)
    assert np.array_equal(winners, targets)


def test_a_variance_is_about_the_groups_mean_and_not_about_zero(grid):
    """The held code is far from 0 in most groups; a second moment would call the small code the stillest."""
    codes = np.column_stack(
        [as_codes(grid[:, :1]) * 10 + 50, 0.5 * np.random.default_rng(0).normal(size=(len(grid), 1))]
    )
    groups = all_groups(as_table(codes, grid))
    winners = extreme_codes(codes, groups, np.zeros(50, dtype=int), 64, np.random.default_rng(0), np.argmin)
    assert not winners.any()


def test_a_groups_variance_is_judged_against_the_codes_own(grid):
    """Code 1 is still in absolute terms, whatever is held; relative to itself it moves as noise does."""
    noise = np.random.default_rng(0).normal(size=(len(grid), 1))
    held = as_codes(grid) + 0.3 * np.random.default_rng(1).normal(size=grid.shape)
    codes = np.column_stack([held[:, :1], 0.15 * noise, held[:, 1:]])
    assert FACTOR_VAE(codes, grid, **FEW) > 0.95
    assert FACTOR_VAE.detail(codes, grid, **FEW)["dropped_codes"] == []


@pytest.mark.parametrize("metric", [Z_DIFF, FACTOR_VAE])
def test_the_score_is_that_of_fresh_points(metric):
    """Thirty noise codes and few points: what fits the training points by luck is worth nothing."""
    rng = np.random.default_rng(0)
    codes, factors = rng.normal(size=(20_000, 30)), rng.integers(0, 3, (20_000, 3))
    detail = metric.detail(codes, factors, train=40, test=5000)
    assert detail["train_accuracy"] > 0.55
    assert detail["score"] == detail["accuracy"] == pytest.approx(1 / 3, abs=0.05)


def test_each_code_stands_for_the_factor_that_voted_for_it_most_often():
    """One live code: every vote is for it, it can stand for one factor only, and the score is that factor's share."""
    rng = np.random.default_rng(0)
    factors = rng.integers(0, 3, (500, 4))
    detail = FACTOR_VAE.detail(rng.normal(size=(500, 1)), factors, train=2000, test=2000)
    assert [entry["recall"] for entry in detail["factors"]].count(1.0) == 1
    assert [entry["recall"] for entry in detail["factors"]].count(0.0) == 3
    assert detail["codes"][0]["votes"] == 2000
    assert detail["score"] == pytest.approx(0.25, abs=0.04)


def test_z_diff_cannot_see_a_missing_factor_and_the_factor_vae_score_can(oracle_table):
    codes, factors = oracle_table("perfect")
    assert Z_DIFF(codes[:, :4], factors, **FEW) > 0.99
    assert FACTOR_VAE(codes[:, :4], factors, **FEW) < 0.9


@pytest.mark.parametrize("metric", [Z_DIFF, FACTOR_VAE])
@pytest.mark.parametrize("factors_kept", [2, 3])
def test_scaling_puts_chance_at_zero_and_leaves_one_at_one(metric, factors_kept, grid, noisy_codes):
    factors = grid[:, :factors_kept]
    raw, scaled = (metric(noisy_codes, factors, **FEW, scaled=scaled) for scaled in (False, True))
    assert scaled == pytest.approx((raw - 1 / factors_kept) / (1 - 1 / factors_kept), abs=1e-12)
    assert metric(as_codes(factors), factors, **FEW, scaled=True) == 1.0


@pytest.mark.parametrize("scaled", [False, True])
def test_z_min_var_is_the_error_of_the_factor_vae_score(scaled, grid, noisy_codes):
    error = Z_MIN_VAR(noisy_codes, grid, **FEW, scaled=scaled, seed=4)
    assert error == 1 - FACTOR_VAE(noisy_codes, grid, **FEW, scaled=scaled, seed=4)
    assert Z_MIN_VAR.detail(noisy_codes, grid, **FEW, scaled=scaled, seed=4)["score"] == error
    assert 0 < error < 1


def test_more_rows_a_group_tell_more(grid, noisy_codes):
    assert FACTOR_VAE(noisy_codes, grid, **FEW, group=3) < FACTOR_VAE(noisy_codes, grid, **FEW, group=64) - 0.1
    assert Z_DIFF(noisy_codes, grid, **FEW, pairs=1) < Z_DIFF(noisy_codes, grid, **FEW, pairs=64) - 0.1


@pytest.mark.parametrize("metric", [Z_DIFF, FACTOR_VAE])
def test_groups_smaller_than_what_is_drawn_from_them_are_no_obstacle(metric):
    factors = np.stack(np.meshgrid(range(3), range(3), indexing="ij"), axis=-1).reshape(-1, 2)  # three rows a value
    assert metric(as_codes(factors), factors, **FEW) == 1.0


def test_a_near_dead_code_wins_no_vote(grid):
    """Its variance within a group over its variance is 0/0, or noise: it is dropped by the relative threshold."""
    codes = as_codes(grid)
    near_dead = np.column_stack(
        [np.full(len(grid), 0.1), codes, 1e-3 * np.random.default_rng(0).normal(size=len(grid))]
    )
    detail = FACTOR_VAE.detail(near_dead, grid, **FEW)
    assert detail["score"] == 1.0
    assert detail["dropped_codes"] == [0, 4]
    assert [entry["code"] for entry in detail["codes"]] == [1, 2, 3]


@pytest.mark.parametrize(("factor", "dropped"), [(0.049, [3]), (0.051, [])])
def test_the_relative_threshold_is_a_twentieth_of_the_largest_spread(factor, dropped, grid):
    codes = grid * 100.0
    small = codes[:, 2] * factor  # its spread over the largest one, that of code 2
    assert codes.std(axis=0).argmax() == 2
    assert FACTOR_VAE.detail(np.column_stack([codes, small]), grid, **FEW)["dropped_codes"] == dropped


@pytest.mark.parametrize(("spread", "dropped"), [(0.049, [3]), (0.051, [])])
def test_the_absolute_threshold_is_that_of_the_literature(spread, dropped, grid):
    code = np.random.default_rng(0).normal(size=len(grid))
    codes = np.column_stack([as_codes(grid) * 100, code / code.std() * spread])
    assert FACTOR_VAE.detail(codes, grid, **FEW, relative=False)["dropped_codes"] == dropped


def test_a_threshold_of_zero_still_drops_what_has_no_variance(grid):
    codes = np.column_stack([np.full(len(grid), 0.1), as_codes(grid)])
    for relative in (True, False):
        detail = FACTOR_VAE.detail(codes, grid, **FEW, threshold=0.0, relative=relative)
        assert detail["dropped_codes"] == [0]
        assert detail["score"] == 1.0


@pytest.mark.parametrize(
    ("metric", "options", "message"),
    [
        (Z_DIFF, {"pairs": 0}, "pairs >= 1, got pairs=0"),
        (Z_DIFF, {"train": 0}, "train >= 1"),
        (Z_DIFF, {"test": -1}, "test >= 1, got test=-1"),
        (Z_DIFF, {"train": 1}, "training points of two factors, got train=1"),
        (FACTOR_VAE, {"group": 1}, "group >= 2 rows, got group=1"),
        (Z_MIN_VAR, {"train": 0}, "train >= 1"),
        (Z_MIN_VAR, {"test": 0}, "test >= 1"),
        (FACTOR_VAE, {"threshold": -0.1}, "threshold >= 0"),
        (FACTOR_VAE, {"threshold": float("nan")}, "threshold as a finite number"),
    ],
)
def test_an_impossible_option_is_refused(metric, options, message, grid, noisy_codes):
    with pytest.raises(ValueError, match=message):
        metric(noisy_codes, grid, **options)
