"""DCI-ES explicitness and size: curves by hand and by the authors' code, and forests cut at a depth against scikit-learn's."""

import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

from disbench.metrics import NotApplicable, dci_es_explicitness, dci_es_size
from disbench.metrics.dci_es import DEPTHS, cut_forest, explicitness_of_curve, loss_capacity_curve

ROWS = np.arange(600)
# The authors' metrics/explitcitness.py at 9329dae, class Explitcitness, on the curves of `drawn_curve`.
AUTHORS = [
    0.7812545090769332,
    0.48261072076682154,
    0.04565434378182753,
    0.6431955376099623,
    0.45568531940936696,
    0.8830283257647367,
    0.9021204386701861,
    0.21696958709411718,
]


def drawn_curve(seed):
    rng = np.random.default_rng([seed, 462])
    points, baseline = int(rng.integers(3, 13)), float(rng.uniform(0.4, 1))
    capacities = np.sort(rng.choice(40, points, replace=False)) + 1
    falling = baseline * np.exp(-rng.uniform(0, 3) * np.arange(points) / points)
    return capacities, np.clip(falling + 0.05 * rng.normal(size=points), 0, baseline), baseline


@pytest.mark.parametrize("seed", range(8))
def test_explicitness_of_a_curve_equals_the_authors(seed):
    assert explicitness_of_curve(*drawn_curve(seed)) == pytest.approx(AUTHORS[seed], abs=1e-12)


@pytest.mark.parametrize(
    ("losses", "expected"),
    [
        ([0.0, 0.0, 0.0], 1.0),  # the simplest probe makes no error
        ([0.8, 0.4, 0.0], 0.0),  # a line from the guess to no error
        ([0.8, 0.8, 0.0], -0.5),  # the first step is in vain
        ([0.8, 0.8, 0.8], 1.0),  # no capacity is of any use
        ([0.4, 0.0, 0.6], 0.75),  # more capacity never counts as worse
        ([2.0, 0.4, 0.0], 0.0),  # nor does a probe as worse than a guess
    ],
)
def test_explicitness_of_a_curve_by_hand(losses, expected):
    assert explicitness_of_curve(np.array([1, 2, 3]), np.array(losses), 0.8) == pytest.approx(expected, abs=1e-12)


def test_capacities_are_not_steps_but_distances():
    """From 1 to 2 a triangle of 1 x 1 / 2, then nothing for eight more: 1 - 2 x 0.5 / 9."""
    assert explicitness_of_curve(np.array([1, 2, 10]), np.array([1.0, 0.0, 0.0]), 1.0) == pytest.approx(1 - 1 / 9)
    assert explicitness_of_curve(np.array([1, 2, 10]), np.array([1.0, 0.0, 0.0]), 0.0) == 1.0


def continuous(rows=600):
    rng = np.random.default_rng(0)
    codes = rng.normal(size=(rows, 3)).astype(np.float32)
    return codes, codes[:, 0] ** 2 + codes[:, 1]


def test_a_forest_cut_at_a_depth_is_the_forest_grown_to_it():
    """Leaves have many rows, since splits of few rows tie and are chosen by chance."""
    codes, target = continuous(4000)
    options = {"n_estimators": 5, "random_state": 3, "min_samples_leaf": 30}
    deep = RandomForestRegressor(max_depth=32, **options).fit(codes[:3000], target[:3000])
    cut = cut_forest(deep, codes[3000:])
    assert cut.shape == (len(DEPTHS), 1000, 1)
    for depth in (1, 2, 3, 4, 8, 10):
        shallow = RandomForestRegressor(max_depth=depth, **options).fit(codes[:3000], target[:3000])
        assert cut[DEPTHS.index(depth), :, 0] == pytest.approx(shallow.predict(codes[3000:]), abs=1e-9)
    assert cut[-1, :, 0] == pytest.approx(deep.predict(codes[3000:]), abs=1e-9)


def test_the_deepest_cut_of_a_classifier_is_the_classifier():
    codes, target = continuous()
    labels = np.digitize(target, [0, 1])
    forest = RandomForestClassifier(n_estimators=5, random_state=1).fit(codes[:400], labels[:400])
    assert cut_forest(forest, codes[400:])[-1] == pytest.approx(forest.predict_proba(codes[400:]), abs=1e-9)


def test_losses_are_of_judged_rows_and_relative_to_a_guess():
    codes, target = continuous()
    noise = np.random.default_rng(5).normal(size=600)
    losses, baseline = loss_capacity_curve(codes, noise, ROWS[:400], ROWS[400:], True, 20, 0)
    assert baseline == 1.0
    assert losses.min() > 0.9
    labels = (target > 1).astype(np.intp)
    losses, baseline = loss_capacity_curve(codes, labels, ROWS[:400], ROWS[400:], False, 20, 0)
    assert baseline == pytest.approx(labels[400:].mean(), abs=1e-12)
    assert losses[-1] < 0.1 < losses[0]
    scaled = loss_capacity_curve(codes, 100 * target + 7, ROWS[:400], ROWS[400:], True, 20, 0).losses
    assert scaled == pytest.approx(
        loss_capacity_curve(codes, target, ROWS[:400], ROWS[400:], True, 20, 0).losses, abs=0.01
    )


def test_a_rotation_needs_depth_and_a_monotone_curve_does_not():
    factors = np.random.default_rng(0).uniform(size=(3000, 2))
    rotated = factors @ np.array([[1, 1], [1, -1]])
    plain, curved, mixed = (
        dci_es_explicitness(codes, factors, trees=10) for codes in (factors, np.exp(4 * factors), rotated)
    )
    assert curved == pytest.approx(plain, abs=0.01)
    assert mixed < plain - 0.03


def test_codes_that_tell_nothing_score_1_and_the_detail_says_so(grid):
    noise = np.random.default_rng(0).normal(size=(len(grid), 3))
    useless, useful = (dci_es_explicitness.detail(codes, grid, trees=20) for codes in (noise, grid.astype(float)))
    assert useless["score"] > 0.95
    assert useless["informativeness"] < 0.15 < 0.99 < useful["informativeness"]
    assert [len(entry["losses"]) for entry in useful["factors"]] == [len(DEPTHS)] * 3


def test_size_counts_what_varies(grid):
    codes = np.column_stack([grid, grid, np.zeros(len(grid))])
    assert dci_es_size(codes, np.column_stack([grid, np.ones(len(grid))])) == 0.5
    assert dci_es_size(grid[:, :1], grid) == 3.0


def test_what_cannot_be_asked_is_refused(grid, noisy_codes):
    with pytest.raises(ValueError, match="trees >= 1"):
        dci_es_explicitness(noisy_codes, grid, trees=0)
    for metric in (dci_es_explicitness, dci_es_size):
        with pytest.raises(NotApplicable, match=f"{metric.name} is about codes that vary"):
            metric(np.ones((360, 2)), grid)
