"""MED and top-k MED by hand, and against scipy's entropy; the authors' scores are in test_agreement.py."""

import numpy as np
import pytest
from scipy.stats import entropy
from sklearn.metrics import mutual_info_score

from disbench.metrics import NotApplicable, med, topk_med

GRID = np.stack(np.meshgrid([0, 1], [0, 1], [0, 1], indexing="ij"), axis=-1).reshape(-1, 3)  # (8, 3)
FIRST, SECOND, THIRD = GRID.T


def test_a_code_of_two_factors_counts_by_its_shares():
    """The code of the first two factors has half of what is known of the second one, and all of the first.

    Shares: (1, 1/2, 0), (0, 1/2, 0), (0, 0, 1). Their sums are 3/2, 1/2 and 1 of 3.
    """
    codes = np.column_stack([2 * FIRST + SECOND, SECOND, THIRD])
    mixed = 1 - entropy([2 / 3, 1 / 3, 0], base=3)
    assert med(codes, GRID) == pytest.approx((1.5 * mixed + 0.5 + 1.0) / 3, abs=1e-12)
    detail = med.detail(codes, GRID)
    assert [entry["weight"] for entry in detail["codes"]] == pytest.approx([0.5, 1 / 6, 1 / 3], abs=1e-12)
    assert [entry["factor"] for entry in detail["codes"]] == [0, 1, 2]


def test_of_each_factors_codes_the_most_disentangled_stay():
    """The mixture belongs to the first factor, whose own code is purer; two codes of each factor bring it back."""
    codes = np.column_stack([2 * FIRST + SECOND, FIRST, SECOND, THIRD])
    assert [entry["code"] for entry in topk_med.detail(codes, GRID)["codes"]] == [1, 2, 3]
    assert topk_med(codes, GRID) == pytest.approx(1.0, abs=1e-12)
    assert topk_med(codes, GRID, k=2) == med(codes, GRID) < 0.9


def test_of_equally_pure_codes_the_one_that_knows_more_stays():
    half = np.where(THIRD == 1, FIRST, 0)  # less of the first factor, and some of the third
    codes = np.column_stack([half, FIRST, SECOND])
    for order in ([0, 1, 2], [1, 0, 2], [2, 1, 0]):
        kept = topk_med.detail(codes[:, order], GRID[:, :2])["codes"]
        assert sorted(order[entry["code"]] for entry in kept) == [1, 2]


def test_shares_are_those_of_the_information_in_bins(grid, noisy_codes):
    edges = [np.linspace(code.min(), code.max(), 8)[1:-1] for code in noisy_codes.T]
    binned = [np.digitize(code, inner) for code, inner in zip(noisy_codes.T, edges, strict=True)]
    information = np.array([[mutual_info_score(factor, code) for factor in grid.T] for code in binned])
    share = information / information.sum(axis=0)
    expected = share.sum(axis=1) / 3 @ (1 - entropy(share.T, base=3))
    assert med(noisy_codes, grid, bins=7) == pytest.approx(expected, abs=1e-12)


def test_a_copied_code_and_a_faint_one_are_not_seen(grid):
    copied = np.column_stack([grid, grid[:, 0]])
    assert med(copied, grid) == pytest.approx(1.0, abs=1e-12)
    rng = np.random.default_rng(0)
    faint = np.column_stack(
        [np.where(rng.random(len(grid)) < 0.5, grid[:, 0], rng.permutation(grid[:, 0])), grid[:, 1:]]
    )
    assert med(faint, grid) > 0.93


def test_a_factor_that_no_code_is_about_costs_med_and_not_the_best_codes(grid):
    assert med(grid[:, 1:].astype(float), grid) == pytest.approx(1.0, abs=1e-12)  # a full grid tells exactly nothing
    rng = np.random.default_rng(0)
    spare = np.column_stack([grid[:, 1:], rng.normal(size=(len(grid), 5))])
    assert med(spare, grid) < 0.8


def test_what_cannot_be_asked_is_refused(grid, noisy_codes):
    with pytest.raises(ValueError, match="k >= 1"):
        topk_med(noisy_codes, grid, k=0)
    with pytest.raises(ValueError, match="at least 2 bins"):
        med(noisy_codes, grid, bins=1)
    for metric in (med, topk_med):
        with pytest.raises(NotApplicable, match=f"{metric.name} compares"):
            metric(noisy_codes, grid[:, :1])
        assert metric(np.zeros((360, 2)), grid) == 0.0
