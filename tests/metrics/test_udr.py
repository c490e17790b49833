"""UDR by hand, and on models that agree and that do not."""

import json

import numpy as np
import pytest
from scipy.stats import spearmanr
from sklearn.linear_model import Lasso

from disbench.metrics.udr import lasso_strength, rank_strength, relative_strength, udr, udr_detail

RNG = np.random.default_rng(0)
SOURCES = RNG.normal(size=(2000, 4))
ROTATIONS = [np.linalg.qr(np.random.default_rng(seed).normal(size=(4, 4)))[0] for seed in range(3)]


@pytest.mark.parametrize(
    ("strength", "expected"),
    [
        (np.eye(3), 1.0),
        ([[1, 1, 0], [1, 1, 0], [0, 0, 1]], 2 / 3),  # disentanglement_lib's own tests hold these four
        (np.ones((3, 3)), 1 / 3),
        (np.zeros((3, 3)), 0.0),
        ([[0.5, 0.0]], 0.5 * ((0.5 + 0.0) / 2 + 0.5)),
        ([[0.8, 0.2], [0.4, 0.6]], 0.5 * (np.mean([0.64 / 1.2, 0.36 / 0.8]) + np.mean([0.64, 0.36]))),
    ],
)
def test_relative_strength_by_hand(strength, expected):
    assert relative_strength(np.array(strength, dtype=float)) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(("correlation", "expected"), [("spearman", 1.0), ("lasso", 0.9)])
def test_order_sign_and_scale_of_codes_do_not_matter(correlation, expected):
    """Orthogonal codes, so that the lasso takes alpha off each coefficient and nothing else."""
    codes = np.stack(np.meshgrid(*[np.arange(4.0)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    other = codes[:, [2, 0, 1]] * [-1.0, 100.0, 1e-3] + 5
    assert udr([codes, other], correlation=correlation, threshold=0.0) == pytest.approx([expected] * 2, abs=1e-9)


@pytest.mark.parametrize("correlation", ["spearman", "lasso"])
def test_models_that_agree_outrank_one_that_is_rotated(correlation):
    agree = [SOURCES[:, order] for order in ([0, 1, 2, 3], [3, 2, 1, 0], [1, 3, 0, 2])]
    scores = udr([*agree, SOURCES @ ROTATIONS[0]], correlation=correlation)
    assert min(scores[:3]) > 0.85
    assert scores[3] < 0.6


@pytest.mark.parametrize("correlation", ["spearman", "lasso"])
def test_models_that_are_each_rotated_in_their_own_way_do_not_agree(correlation):
    assert max(udr([SOURCES @ rotation for rotation in ROTATIONS], correlation=correlation)) < 0.6


def test_a_score_is_the_median_over_the_other_models():
    detail = udr_detail([SOURCES, SOURCES[:, ::-1], SOURCES @ ROTATIONS[0], SOURCES @ ROTATIONS[1]])
    pairs = np.array(detail["pairs"])
    assert pairs.shape == (4, 4)
    assert not np.diag(pairs).any()
    for j in range(4):
        assert detail["scores"][j] == pytest.approx(np.median([pairs[i, j] for i in range(4) if i != j]), abs=1e-15)
    assert detail["pairs"][2][0] != detail["pairs"][0][2]  # a lasso from i to j, and back
    assert json.loads(json.dumps(detail, allow_nan=False)) == detail


def test_strengths_are_coefficients_of_the_source_and_rank_correlations():
    source, target = SOURCES, SOURCES @ ROTATIONS[0] + 0.3 * RNG.normal(size=SOURCES.shape)
    source, target = ((codes - codes.mean(0)) / codes.std(0) for codes in (source, target))
    lasso, ranks = lasso_strength(source, target[:, :3], 0.1), rank_strength(source, target[:, :3])
    assert lasso.shape == ranks.shape == (4, 3)
    for b in range(3):
        coefficients = Lasso(alpha=0.1).fit(source, target[:, b]).coef_
        assert lasso[:, b] == pytest.approx(np.abs(coefficients), abs=1e-12)
        for a in range(4):
            assert ranks[a, b] == pytest.approx(abs(spearmanr(source[:, a], target[:, b]).statistic), abs=1e-12)
    assert lasso_strength(source[:, :1], target[:, :1], 0.1).shape == (1, 1)


def test_ties_have_their_mean_rank():
    source, target = np.array([[0.0], [0.0], [1.0], [2.0]]), np.array([[0.0], [1.0], [1.0], [2.0]])
    assert rank_strength(source, target)[0, 0] == pytest.approx(spearmanr(source[:, 0], target[:, 0]).statistic)


def test_uninformative_codes_are_left_out_by_spread_or_by_mask():
    idle = 0.01 * RNG.normal(size=(2000, 2))
    padded = [
        np.column_stack([SOURCES, idle]),
        np.column_stack([idle[::-1], SOURCES]),
        np.insert(SOURCES, 0, 1.0, axis=1),
    ]
    detail = udr_detail(padded)
    assert detail["informative_codes"] == [[0, 1, 2, 3], [2, 3, 4, 5], [1, 2, 3, 4]]
    plain = udr([SOURCES] * 3)
    assert detail["scores"] == pytest.approx(plain, abs=1e-12)
    everything = udr(padded, threshold=0.0)
    assert max(everything) < min(plain) - 0.1
    masks = [np.array([True] * 4 + [False] * 2), np.array([False] * 2 + [True] * 4), np.array([True] * 5)]
    by_mask = udr_detail(padded, informative=masks, threshold=0.0)
    assert by_mask == detail
    one = udr_detail(padded, informative=[np.arange(6) == 0, np.arange(6) == 2, np.arange(5) == 1])
    assert one["scores"] == pytest.approx([0.9] * 3, abs=1e-9)


def test_a_model_without_an_informative_code_scores_nothing():
    assert udr([SOURCES, np.ones((2000, 3)), SOURCES]) == pytest.approx([0.45, 0.0, 0.45], abs=0.01)


@pytest.mark.parametrize(
    ("tables", "options", "message"),
    [
        ([SOURCES], {}, "at least 2 tables of codes, got 1"),
        ([SOURCES, SOURCES[:9]], {}, r"same rows of every model, got \[2000, 9\]"),
        ([SOURCES, SOURCES[:, 0]], {}, r"codes needs shape"),
        ([SOURCES, SOURCES * np.nan], {}, "finite values"),
        ([SOURCES, 3.0], {}, "codes needs shape"),
        ([SOURCES] * 2, {"correlation": "pearson"}, "got correlation='pearson'"),
        ([SOURCES] * 2, {"alpha": 0.0}, "alpha > 0"),
        ([SOURCES] * 2, {"threshold": -1.0}, "threshold >= 0"),
        ([SOURCES] * 2, {"informative": [np.ones(4, dtype=bool)]}, "a mask of truth values for each table"),
        ([SOURCES] * 2, {"informative": [np.ones(4)] * 2}, "a mask of truth values"),
    ],
)
def test_what_cannot_be_compared_is_refused(tables, options, message):
    with pytest.raises(ValueError, match=message):
        udr(tables, **options)
