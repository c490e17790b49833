"""The mean correlation coefficient against enumeration and exact small cases."""

import itertools

import numpy as np
import pytest
from scipy.stats import pearsonr, spearmanr

from disbench.metrics.mcc import correlations, mcc
from disbench.metrics.metric import NotApplicable
from disbench.metrics.reference import as_codes


def test_correlations_are_those_of_the_textbook(grid, noisy_codes):
    assert correlations(noisy_codes, grid) == pytest.approx(
        np.array([[pearsonr(code, factor).statistic for factor in grid.T] for code in noisy_codes.T]), abs=1e-12
    )


@pytest.mark.parametrize(("correlation", "statistic"), [("pearson", pearsonr), ("spearman", spearmanr)])
@pytest.mark.parametrize("D", [1, 2, 3, 4])
def test_the_assignment_is_the_best_of_all(correlation, statistic, D, grid, noisy_codes):
    """By enumeration over one-to-one assignments; a factor without a code counts 0."""
    codes = noisy_codes[:, :D] @ np.random.default_rng(D).normal(size=(D, D))
    size = np.abs([[statistic(code, factor).statistic for factor in grid.T] for code in codes.T])
    best = max(
        sum(size[j, k] for j, k in zip(chosen, kept, strict=True))
        for n in [min(D, 3)]
        for chosen in itertools.permutations(range(D), n)
        for kept in itertools.combinations(range(3), n)
    )
    assert mcc(codes, grid, correlation=correlation) == pytest.approx(best / 3, abs=1e-12)


def test_one_code_is_credited_to_one_factor_only():
    """Each factor alone would choose the code that is both factors' sum: .71 each; the second must do with the rest."""
    factors = np.stack(np.meshgrid([0, 1], [0, 1], indexing="ij"), axis=-1).reshape(-1, 2)
    codes = np.column_stack([factors.sum(axis=1), [0.0, 1.0, 1.0, 0.0]])
    assert mcc(codes, factors) == pytest.approx(np.sqrt(0.5) / 2, abs=1e-12)
    assert [entry["code"] for entry in mcc.detail(codes[:, :1], factors)["factors"]].count(None) == 1


def test_ranks_straighten_a_monotone_curve_and_nothing_else(grid):
    codes = np.exp(3.0 * grid)
    assert mcc(codes, grid, correlation="spearman") == pytest.approx(1.0, abs=1e-12)
    assert mcc(codes, grid) < 0.9
    bent = (grid - grid.mean(axis=0)) ** 2
    assert mcc(bent, grid) == pytest.approx(0.0, abs=1e-12)


def test_the_order_of_values_is_taken_at_its_word(grid):
    relabelled = grid.copy()
    relabelled[:, 2] = np.array([0, 3, 1, 4, 2])[grid[:, 2]]
    assert mcc(as_codes(grid), grid[:, ::-1]) == pytest.approx(1.0, abs=1e-12)
    assert mcc(as_codes(grid), relabelled) == pytest.approx((1 + 1 + 0.5) / 3, abs=1e-12)


@pytest.mark.parametrize("scale", [1e-300, 1e29])
def test_neither_tiny_nor_huge_codes_are_lost(scale, grid, noisy_codes):
    assert mcc(scale * noisy_codes, grid) == pytest.approx(mcc(noisy_codes, grid), abs=1e-9)


def test_noise_scores_near_nothing_and_dead_codes_nothing(oracle_table):
    codes, factors = oracle_table("noise")
    assert mcc(codes, factors) == pytest.approx(0.035, abs=0.002)
    assert mcc(np.full((60, 2), 0.1), np.arange(60)[:, None] % 3) == 0.0
    detail = mcc.detail(np.column_stack([np.full(60, 0.1), np.arange(60) % 3]), np.arange(60)[:, None] % 3)
    assert detail["score"] == pytest.approx(1.0, abs=1e-12)
    assert detail["dropped_codes"] == [0]


def test_what_cannot_be_asked_is_refused(grid, noisy_codes):
    with pytest.raises(ValueError, match="pearson, spearman, got correlation='kendall'"):
        mcc(noisy_codes, grid, correlation="kendall")
    with pytest.raises(NotApplicable, match="no factor varies"):
        mcc(noisy_codes, np.ones_like(grid))
