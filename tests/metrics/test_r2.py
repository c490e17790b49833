"""R2 of identifiability on tables whose R2 is known, and the assignment of codes to factors by hand."""

import numpy as np
import pytest
from sklearn.metrics import r2_score

from disbench.metrics import METRICS, NotApplicable, mcc, r2_diagonal, r2_separation
from disbench.metrics.r2 import held_out_r2

N = 10_000


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


def test_a_linear_mixture_has_its_squared_correlations():
    """The code z = 0.8 v_1 + 0.6 v_2 knows 0.64 of the first factor and 0.36 of the second one, to which nothing is assigned."""
    factors = normal(N, 2)
    code = factors @ np.array([[0.8], [0.6]])
    assert r2_diagonal(code, factors) == pytest.approx(0.64 / 2, abs=0.02)
    assert r2_separation(code, factors) == pytest.approx(0.36 / 2, abs=0.02)


def test_a_code_with_noise_knows_its_share_of_the_variance():
    factors = normal(N, 2)
    codes = factors * np.sqrt([0.9, 0.5]) + normal(N, 2, seed=1) * np.sqrt([0.1, 0.5])
    detail = r2_diagonal.detail(codes, factors)
    assert [entry["score"] for entry in detail["factors"]] == pytest.approx([0.9, 0.5], abs=0.025)
    assert r2_separation(codes, factors) < 0.01


def test_a_curve_counts_in_full_where_a_correlation_does_not():
    factors = np.random.default_rng(0).uniform(-1, 1, size=(N, 2))
    codes = np.column_stack([factors[:, 1] ** 5, np.exp(4 * factors[:, 0])])
    assert r2_diagonal(codes, factors) > 0.995
    assert mcc(codes, factors) < 0.9


def test_codes_of_one_factor_are_taken_together():
    """Neither the cosine nor the sine tells the angle, the two together do."""
    angle = np.random.default_rng(0).uniform(-np.pi, np.pi, size=N)
    factors = np.column_stack([angle, normal(N)])
    codes = np.column_stack([np.cos(angle), normal(N, seed=1), np.sin(angle) + 0.01 * normal(N, seed=2)])
    detail = r2_diagonal.detail(codes, factors)
    assert [entry["codes"] for entry in detail["factors"]] == [[2], []]  # the cosine alone tells nothing of the sign
    grouped = r2_diagonal.detail(codes, factors, groups=[1, 2, 1])
    assert [entry["codes"] for entry in grouped["factors"]] == [[0, 2], []]
    assert grouped["factors"][0]["score"] > 0.95 > 0.8 > detail["factors"][0]["score"]


def test_nuisance_is_assigned_to_nothing_and_two_groups_of_a_factor_are_one():
    factors = normal(N, 2)
    codes = np.column_stack([factors[:, 0] + normal(N, seed=1), factors[:, 0] + normal(N, seed=2), factors[:, 1]])
    detail = r2_diagonal.detail(codes, factors, groups=[5, 3, 0])
    assert [entry["codes"] for entry in detail["factors"]] == [[0, 1], []]
    assert detail["factors"][0]["score"] == pytest.approx(2 / 3, abs=0.02)  # the mean of two has half of the noise
    assert r2_diagonal(codes, factors, groups=[5, 3, 1]) == pytest.approx((2 / 3 + 1) / 2, abs=0.02)


def test_separation_is_the_mean_of_the_largest_r2_of_another_factor():
    factors = normal(N, 3)
    codes = factors @ np.array([[1.0, 0.0, 0.0], [0.5, 1.0, 0.0], [0.25, 0.0, 1.0]])
    variance = 1 + 0.25 + 0.0625
    detail = r2_separation.detail(codes, factors)
    assert [entry["score"] for entry in detail["factors"]] == pytest.approx([0.25 / variance, 0, 0], abs=0.02)
    assert detail["score"] == pytest.approx(np.mean([entry["score"] for entry in detail["factors"]]), abs=1e-12)


def test_rows_that_were_fitted_are_not_judged():
    """Trees of 200 rows remember some of them: on those their R2 of noise is far above 0."""
    inputs, targets, rows = normal(400, 2), normal(400, 1, seed=1), np.arange(400)
    remembered = held_out_r2(inputs, targets, rows[:200], rows[:200], 0)
    assert held_out_r2(inputs, targets, rows[:200], rows[200:], 0)[0] < 0.05 < remembered[0]
    assert r2_diagonal(inputs, targets) < 0.05


def test_r2_is_relative_to_the_mean_of_the_judged_rows():
    from sklearn.ensemble import HistGradientBoostingRegressor

    inputs, rows = normal(2000, 1), np.arange(2000)
    targets = inputs + 0.5 * normal(2000, 1, seed=1)
    trees = HistGradientBoostingRegressor(max_leaf_nodes=15, min_samples_leaf=20, early_stopping=True, random_state=3)
    predicted = trees.fit(inputs[:1500], targets[:1500, 0]).predict(inputs[1500:])
    expected = r2_score(targets[1500:, 0], predicted)
    assert held_out_r2(inputs, targets, rows[:1500], rows[1500:], 3) == pytest.approx([expected], abs=1e-12)


def test_a_factor_with_one_value_on_either_rows_counts_0():
    inputs, rows = normal(200, 1), np.arange(200)
    rare = (rows == 0).astype(float)[:, None]
    assert held_out_r2(inputs, rare, rows[:100], rows[100:], 0) == [0.0]
    assert held_out_r2(inputs, rare, rows[100:], rows[:100], 0) == [0.0]


@pytest.mark.parametrize("name", ["r2_diagonal", "r2_separation"])
def test_what_cannot_be_asked_is_refused(name):
    metric = METRICS[name]
    with pytest.raises(ValueError, match="train >= 1"):
        metric(normal(100, 2), normal(100, 2), train=0)
    with pytest.raises(NotApplicable, match="at least 40 rows, got 60 rows"):
        metric(normal(60, 2), normal(60, 2))
    with pytest.raises(NotApplicable, match="train=30"):
        metric(normal(200, 2), normal(200, 2), train=30)
