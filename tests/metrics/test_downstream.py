"""Sample efficiency and fairness against disentanglement_lib's code, and by hand."""

import itertools
import sys

import numpy as np
import pytest

from disbench.metrics import (
    METRICS,
    NotApplicable,
    as_table,
    downstream as module,
    fairness,
    sample_efficiency,
    shuffled,
)
from disbench.metrics.downstream import Predictions, predictions
from disbench.metrics.fairness import unfairness

GRID = np.array(list(itertools.product(range(3), range(4), range(5))) * 8)


def encoded(seed, strength, noise, rows):
    """Factors of 3, 4 and 5 values drawn uniformly, mixed into three codes with noise, and a fourth code of noise."""
    mixing = np.column_stack(
        [np.diag([1.5, 1.0, 0.8]) + strength * np.random.default_rng(seed).normal(size=(3, 3)), np.zeros(3)]
    )
    rng = np.random.default_rng(1000 + seed)
    factors = np.stack([rng.integers(size, size=rows) for size in (3, 4, 5)], axis=1)
    return factors @ mixing + noise * rng.normal(size=(rows, 4)), factors


def test_total_variation_by_hand():
    """s = 0 predicts 0 and 1 evenly, s = 1 always 1: P_0 = (1/2, 1/2), P_1 = (0, 1), mean (1/4, 3/4), both 1/4 away."""
    predicted, sensitive = np.array([0, 1, 1, 1]), np.array([0, 0, 1, 1])
    same_target = np.zeros(4, dtype=int)
    assert unfairness(predicted, same_target, 2, sensitive, 2) == pytest.approx(0.25)


def test_the_target_is_held_while_the_sensitive_factor_is_set():
    """Right predictions are fair although s = 0 has more of target 0 than s = 1 has."""
    target, sensitive = np.array([0, 0, 0, 1, 0, 1, 1, 1]), np.repeat([0, 1], 4)
    assert unfairness(target, target, 2, sensitive, 2) == 0.0
    # Target 1 is missed where s = 0, and half of all rows have it: P_0 = (1, 0), P_1 = (1/2, 1/2), both 1/4 from the mean.
    predicted = np.where(sensitive == 0, 0, target)
    assert unfairness(predicted, target, 2, sensitive, 2) == pytest.approx(0.25)


def test_a_combination_without_a_row_is_taken_from_all_rows_of_the_target():
    """s = 1 has no row of target 1, whose rows are predicted right: P_0 = P_1."""
    target, sensitive = np.array([0, 1, 0, 0]), np.array([0, 0, 1, 1])
    assert unfairness(target, target, 2, sensitive, 2) == 0.0


def test_a_value_without_a_row_is_left_out():
    predicted, target, sensitive = np.array([0, 1, 1, 1]), np.zeros(4, dtype=int), np.array([0, 0, 2, 2])
    assert unfairness(predicted, target, 2, sensitive, 5) == pytest.approx(0.25)


COUNTS = [  # predictions (rows) by value of the sensitive factor (columns), and disentanglement_lib's mean on them
    ([[10, 10], [10, 10]], 0.0),
    ([[20, 0], [0, 20]], 0.5),
    ([[10, 30, 20], [30, 10, 20]], 0.16666666666666666),
    ([[5, 1, 2, 8], [3, 3, 7, 1], [2, 6, 1, 1]], 0.3000000026077032),
    ([[100, 0, 0], [0, 100, 0], [0, 0, 100]], 0.6666666666666667),
    ([[50, 20], [30, 60], [20, 20]], 0.14999999850988388),
]


@pytest.mark.parametrize(("counts", "theirs"), COUNTS)
def test_total_variation_is_that_of_disentanglement_lib(counts, theirs):
    counts = np.array(counts)
    predicted, sensitive = (np.repeat(index.ravel(), counts.ravel()) for index in np.indices(counts.shape))
    one_target = np.zeros(len(predicted), dtype=int)
    found = unfairness(predicted, one_target, max(counts.shape), sensitive, counts.shape[1])
    assert found == pytest.approx(theirs, abs=1e-6)


# disentanglement_lib on the same encoders (seed, strength, noise), with a fresh encoding of each row: accuracy from 100 labels,
# from 2,000, and mean_fairness:mean_pred:mean_sens with num_train=2000 and num_test_points_per_class=2000.
LIBRARY = {
    (0, 0.0, 0.2): (0.97413, 0.98193, 0.00288),
    (1, 0.1, 0.3): (0.89740, 0.92593, 0.00861),
    (2, 0.3, 0.3): (0.83813, 0.93947, 0.00951),
    (3, 0.6, 0.3): (0.60107, 0.81640, 0.04631),
    (4, 1.0, 0.3): (0.57993, 0.68107, 0.07861),
    (5, 0.3, 1.0): (0.49960, 0.56913, 0.03460),
}


@pytest.mark.parametrize("encoder", LIBRARY)
def test_accuracies_and_unfairness_are_those_of_disentanglement_lib(encoder):
    """Up to the draw of the rows: a hundred labels scatter by 0.03 in accuracy, five thousand judged rows by 0.005."""
    few, many, unfair = LIBRARY[encoder]
    table, options = encoded(*encoder, rows=7000), {"train": 2000, "test": 5000}
    detail = sample_efficiency.detail(*table, **options)
    assert detail["accuracy"] == pytest.approx(many, abs=0.015)
    assert detail["accuracy_few"] == pytest.approx(few, abs=0.07)
    assert fairness(*table, **options) == pytest.approx(unfair, abs=0.004)


def test_efficiency_is_the_ratio_of_mean_accuracies(monkeypatch):
    """From few rows 1/2 and 1/4 of two factors are right, 3/8; from many 3/4 and 3/4."""
    actual = np.zeros((4, 2), dtype=int)
    few = Predictions(np.array([[0, 1], [0, 1], [1, 1], [1, 0]]), actual, 100)
    many = Predictions(np.array([[0, 0], [0, 0], [0, 0], [1, 1]]), actual, 10_000)
    answers = {100: few, None: many}
    monkeypatch.setattr(
        sys.modules["disbench.metrics.sample_efficiency"],
        "predictions",
        lambda *given, labelled=None, **options: answers[labelled],
    )
    detail = sample_efficiency.detail(GRID, GRID[:, :2])
    assert detail["score"] == pytest.approx(0.5)
    assert (detail["accuracy_few"], detail["accuracy"]) == (0.375, 0.75)
    assert [entry["accuracy_few"] for entry in detail["factors"]] == [0.5, 0.25]


def test_rows_with_few_labels_are_among_those_with_many_and_judged_rows_are_others(monkeypatch):
    seen = []
    monkeypatch.setattr(module, "_predict", lambda codes, labels, others, *rest: seen.append((codes, others)) or 0)
    rows = np.arange(480.0)[:, None]
    options = {"model": "hist_gradient_boosting", "train": 10_000, "test": 5_000, "seed": 3}
    for labelled in (20, None):
        predictions(as_table(rows, GRID[:, :1]), "x", labelled=labelled, **options)
    (few, others), (many, same_others) = seen
    assert (len(few), len(many), len(others)) == (20, 320, 160)
    assert set(few[:, 0]) < set(many[:, 0])
    assert not set(many[:, 0]) & set(others[:, 0])
    assert np.array_equal(others, same_others)


def test_a_perfect_code_is_efficient_and_fair():
    assert sample_efficiency(GRID * 1.0, GRID) == 1.0
    assert fairness(GRID * 1.0, GRID) == 0.0


def test_both_metrics_share_the_predictors(monkeypatch):
    fits = []
    predict = module._predict
    monkeypatch.setattr(module, "_predict", lambda *given: fits.append(len(given[0])) or predict(*given))
    codes = GRID + 0.1 * np.random.default_rng(5).normal(size=GRID.shape)
    sample_efficiency(codes, GRID)
    fairness(codes, GRID)
    assert fits == [320] * 3 + [100] * 3


def test_noise_is_as_good_with_few_labels_as_with_many_and_hardly_unfair():
    codes, factors = encoded(5, 0.3, 0.3, rows=7000)
    noise = shuffled(codes, 1)
    options = {"train": 2_000, "test": 5_000}
    assert sample_efficiency(noise, factors, **options) == pytest.approx(1.0, abs=0.08)
    assert fairness(noise, factors, **options) < 0.05


def test_too_few_rows_and_wrong_options_are_reasons():
    with pytest.raises(NotApplicable, match="leaves 32 to fit"):
        sample_efficiency(GRID[:48] * 1.0, GRID[:48])
    with pytest.raises(ValueError, match="few < train"):
        sample_efficiency(GRID, GRID, few=10, train=10)
    for metric in (sample_efficiency, fairness):
        with pytest.raises(ValueError, match="hist_gradient_boosting, gradient_boosting"):
            metric(GRID, GRID, model="forest")
        with pytest.raises(NotApplicable, match="is continuous"):
            metric(GRID * 1.0, np.column_stack([GRID[:, 0], np.random.default_rng(0).normal(size=480)]))


def test_unfairness_counts_down():
    assert METRICS["fairness"].higher_is_better is False
