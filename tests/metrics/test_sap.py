"""SAP in its three readings, against the peers' code and exact small cases.

The peers' values are of disentanglement_lib, on the first 80 % of the rows and, for the classifiers, judged on the last
20 %; and of Zaidi et al.'s code, on all rows, with folds in the order of the table.
"""

import numpy as np
import pytest
from sklearn.model_selection import StratifiedKFold, cross_val_score
from sklearn.tree import DecisionTreeClassifier

from disbench.metrics import one_code_tree
from disbench.metrics.metric import NotApplicable
from disbench.metrics.one_code_tree import right_by_depth
from disbench.metrics.reference import as_codes
from disbench.metrics.sap import (
    sap,
    sap_svc,
    sap_tree,
    single_code_accuracies,
    stratified_folds,
    tree_accuracies,
    within_reach,
)
from disbench.metrics.table import as_table

ZAIDI = {
    "celeba40": 0.133755384391,
    "dead_dims": 0.989960122272,
    "dsprites10k": 0.73152436599,
    "duplicated": 0.8,
    "noise": 0.000570679892286,
    "noisy_vae": 0.624510328945,
    "perfect": 1.0,
    "rotation": 0.122572876148,
}
LOCATELLO_CONTINUOUS = {
    "celeba40": 0.134131122077,
    "dead_dims": 0.98972307871,
    "dsprites10k": 0.73268406936,
    "duplicated": 0.799801073484,
    "noise": 0.00080103725753,
    "noisy_vae": 0.623708939743,
    "perfect": 0.999793055191,
    "rotation": 0.129809394432,
}
LOCATELLO_DISCRETE = {
    "dead_dims": 0.457291666667,
    "dsprites10k": 0.1554,
    "duplicated": 0.399652777778,
    "noise": 0.00868055555556,
    "noisy_vae": 0.186111111111,
    "perfect": 0.470486111111,
    "rotation": 0.0336805555556,
}
ZAIDI_DISCRETE = {"duplicated": 0.575, "noisy_vae": 0.223680555556, "perfect": 0.735}


def folds_in_order(factors):
    folds = np.empty_like(factors)
    for k, factor in enumerate(factors.T):
        for number, (_, held_out) in enumerate(StratifiedKFold(10).split(factor, factor)):
            folds[held_out, k] = number
    return folds


@pytest.mark.parametrize("case", ZAIDI)
def test_the_gap_in_r2_equals_both_peers(case, oracle_table):
    codes, factors = oracle_table(case)
    first = int(0.8 * len(codes))
    assert sap(codes, factors) == pytest.approx(ZAIDI[case], abs=1e-9)
    assert sap(codes[:first], factors[:first]) == pytest.approx(LOCATELLO_CONTINUOUS[case], abs=1e-9)


@pytest.mark.parametrize("case", LOCATELLO_DISCRETE)
def test_the_gap_in_accuracy_equals_the_peers_on_its_rows(case, oracle_table):
    table = as_table(*oracle_table(case))
    rows = np.arange(len(table.codes))
    first = int(0.8 * len(rows))
    accuracy, _ = single_code_accuracies(table, rows[:first], rows[first:])
    ranked = np.sort(accuracy, axis=0)
    assert (ranked[-1] - ranked[-2]).mean() == pytest.approx(LOCATELLO_DISCRETE[case], abs=1e-9)


def test_the_gap_in_accuracy_on_other_rows_differs_by_their_luck(oracle_table):
    scores = [sap_svc(*oracle_table("perfect"), seed=seed) for seed in range(5)]
    assert np.mean(scores) == pytest.approx(LOCATELLO_DISCRETE["perfect"], abs=0.03)
    assert len(set(scores)) > 1


@pytest.mark.parametrize("case", ZAIDI_DISCRETE)
def test_the_gap_between_trees_equals_zaidis_on_its_folds(case, oracle_table):
    codes, factors = oracle_table(case)
    ranked = np.sort(tree_accuracies(codes.astype(float), factors, folds_in_order(factors)), axis=0)
    assert (ranked[-1] - ranked[-2]).mean() == pytest.approx(ZAIDI_DISCRETE[case], abs=1e-9)


def test_the_gap_between_trees_on_other_folds_differs_by_their_luck(oracle_table):
    scores = [sap_tree(*oracle_table("noisy_vae"), seed=seed) for seed in range(3)]
    assert np.mean(scores) == pytest.approx(ZAIDI_DISCRETE["noisy_vae"], abs=0.02)
    assert len(set(scores)) > 1


def test_the_top_of_a_deep_tree_is_the_shallow_tree_and_the_depth_is_cross_validated(oracle_table):
    """By scikit-learn's own trees of every depth."""
    codes, factors = oracle_table("noisy_vae")
    code, factor = np.float32(codes[:700, :1].astype(float)), factors[:700, 1]
    trees = [DecisionTreeClassifier(max_depth=depth, random_state=0) for depth in range(1, 10)]
    fitted, fresh = slice(0, 500), slice(500, 700)
    expected = [tree.fit(code[fitted], factor[fitted]).score(code[fresh], factor[fresh]) for tree in trees]
    found = right_by_depth(code[fitted, 0], factor[fitted], code[fresh, 0], factor[fresh])
    assert found == pytest.approx(expected, abs=1e-12)
    assert len(set(found)) > 3

    table = code.astype(float), factor[:, None]
    scaled = (code - code.min()) / np.ptp(code)
    best = trees[int(np.argmax([cross_val_score(tree, scaled, factor, cv=10).mean() for tree in trees]))]
    accuracy = tree_accuracies(*table, folds_in_order(factor[:, None]))
    assert accuracy[0, 0] == pytest.approx(best.fit(scaled, factor).score(scaled, factor), abs=1e-12)


@pytest.mark.filterwarnings("ignore:The number of unique classes")
@pytest.mark.parametrize(
    "kind", ["continuous", "tenths", "whole", "heavy tails", "two far clusters", "the factor itself"]
)
def test_trees_of_one_code_are_scikit_learns(kind, monkeypatch):
    near = np.float32([[0], [0.5e-7], [1]])
    if DecisionTreeClassifier(random_state=0).fit(near, [0, 1, 1]).tree_.threshold[0] < 1e-7:
        # scikit-learn 1.7 never sets its own least distance, so that it is 0 there (scikit-learn pull request 32259).
        monkeypatch.setattr(one_code_tree, "NEAR", np.float32(0))
    rng = np.random.default_rng(len(kind))
    for size in (3, 10, 50, 400, 2000):
        values = int(rng.integers(2, 20))
        target = np.minimum(rng.integers(0, values, size), rng.integers(0, values, size))
        code = 0.3 * target + rng.normal(size=size)
        code = {
            "continuous": code,
            "tenths": code.round(1),
            "whole": code.round(),
            "heavy tails": code**9,
            "two far clusters": 1e6 * rng.integers(0, 2, size) + 0.3 * code,
            "the factor itself": target,
        }[kind]
        code = np.float32((code - code.min()) / max(np.ptp(code), 1e-30))
        fitted, fresh = slice(0, None, 2), slice(1, None, 2)
        trees = [DecisionTreeClassifier(max_depth=depth, random_state=0) for depth in range(1, 10)]
        rows = code[fitted, None], target[fitted]
        expected = [tree.fit(*rows).score(code[fresh, None], target[fresh]) for tree in trees]
        assert right_by_depth(code[fitted], target[fitted], code[fresh], target[fresh]) == pytest.approx(expected)


def test_a_value_on_a_threshold_goes_to_the_lower_side():
    fitted = np.float32([0, 1]), np.array([0, 1])
    assert right_by_depth(*fitted, np.float32([0.5]), np.array([0])) == [1.0] * 9


def test_values_no_farther_apart_than_a_ten_millionth_are_not_split():
    """Where each value has its own label, a split is what tells two of them apart."""
    target = np.arange(3)
    for second, right in ((0.9e-7, 2 / 3), (1.1e-7, 1.0)):
        code = np.float32([0, second, 1])
        assert right_by_depth(code, target, code, target)[-1] == pytest.approx(right)


def test_folds_share_out_every_value_equally():
    rng = np.random.default_rng(0)
    targets = np.column_stack([rng.integers(0, 3, 200), rng.random(200) < 0.1]).astype(int)
    folds = stratified_folds(targets)
    for k in range(2):
        for value in np.unique(targets[:, k]):
            counts = np.bincount(folds[targets[:, k] == value, k], minlength=10)
            assert np.ptp(counts) <= 1


def test_a_perfect_tree_beats_a_guess_by_what_a_guess_lacks(grid):
    """1 - (1/3 + 1/4 + 1/5) / 3, in any order of the values; a copied first factor closes its gap."""
    codes = as_codes(grid)
    assert sap_tree(codes, grid) == pytest.approx(1 - 47 / 180, abs=1e-12)
    assert sap_tree(np.column_stack([np.array([1, 2, 0])[grid[:, 0]], codes[:, 1:]]), grid) == sap_tree(codes, grid)
    copied = sap_tree(np.column_stack([codes, codes[:, 0]]), grid)
    assert copied == pytest.approx(1 - 47 / 180 - (1 - 1 / 3) / 3, abs=1e-12)


def test_trees_are_fitted_to_as_many_rows_as_asked(grid, noisy_codes):
    assert sap_tree.detail(noisy_codes, grid, train=100)["train"] == 100
    assert sap_tree.detail(noisy_codes, grid)["train"] == 360
    with pytest.raises(ValueError, match="train >= 1, got train=0"):
        sap_tree(noisy_codes, grid, train=0)


def test_a_small_case_by_hand():
    """R2 of (0, 1, 2, 3) with the bits of 0 .. 3: .8 and .2; with a code of the low bit: 0 and 1."""
    factors = np.array([[0, 0], [0, 1], [1, 0], [1, 1]])
    codes = np.array([[0.0, 0.0], [1.0, 5.0], [2.0, 0.0], [3.0, 5.0]])
    detail = sap.detail(codes, factors)
    assert detail["score"] == pytest.approx(((0.8 - 0.0) + (1.0 - 0.2)) / 2, abs=1e-12)
    assert [entry["code"] for entry in detail["factors"]] == [0, 1]
    assert [entry["runner_up_predictability"] for entry in detail["factors"]] == pytest.approx([0.0, 0.2], abs=1e-12)


def test_a_copied_code_closes_the_gap(grid):
    codes = as_codes(grid)
    assert sap(np.column_stack([codes, -2 * codes[:, 0]]), grid) == pytest.approx(2 / 3, abs=1e-12)
    whole, copied = (sap_svc(c, grid) for c in (codes, np.column_stack([codes, codes[:, 0]])))
    assert copied < whole - 0.1


def test_a_perfect_code_is_far_from_one_where_lines_must_cut_out_values(grid):
    """Three, four and five values in a line. Two values are cut by one point, and the gap is what guessing leaves: a half."""
    assert sap(as_codes(grid), grid) == pytest.approx(1.0, abs=1e-12)
    assert 0.3 < sap_svc(as_codes(grid), grid) < 0.6
    binary = np.stack(np.meshgrid([0, 1], [0, 1], range(50), indexing="ij"), axis=-1).reshape(-1, 3)[:, :2]
    assert sap_svc(as_codes(binary), binary) == pytest.approx(0.5, abs=0.1)


def test_noise_scores_near_nothing(oracle_table):
    codes, factors = oracle_table("noise")
    assert sap(codes, factors) < 0.002
    assert 0 <= sap_svc(codes, factors) < 0.03


@pytest.mark.parametrize("detail", [sap.detail, sap_svc.detail, sap_tree.detail])
def test_dead_codes_and_missing_codes_predict_what_can_be_guessed(detail, grid):
    dead = np.full((len(grid), 2), 0.1)
    assert detail(dead, grid)["score"] == 0.0
    assert {entry["code"] for entry in detail(dead, grid)["factors"]} == {None}
    alone = detail(as_codes(grid[:, :1]), grid[:, :1])
    beside = detail(np.column_stack([dead, as_codes(grid[:, :1])]), grid[:, :1])
    assert alone["score"] == pytest.approx(beside["score"], abs=1e-12)
    assert alone["score"] > 0.2


def test_a_lone_code_that_is_worse_than_guessing_costs_nothing():
    """Balanced classes on a rare attribute: a code of noise is right less often than always saying no."""
    rng = np.random.default_rng(0)
    factors = (rng.random((2000, 1)) < 0.02).astype(int)
    assert sap_svc(rng.normal(size=(2000, 1)), factors) == 0.0


def test_a_value_that_only_fresh_rows_have_is_a_miss():
    codes = np.arange(12.0)[:, None]
    assert 0 <= sap_svc(codes, np.array([[0] * 11 + [1]]).T, train=11, test=1) <= 1
    assert 0 <= sap_svc(codes, np.arange(12)[:, None]) <= 1


def test_small_codes_are_penalised_by_the_classifier_and_not_by_the_line(grid, noisy_codes):
    assert sap(1e-9 * noisy_codes, grid) == pytest.approx(sap(noisy_codes, grid), abs=1e-9)
    assert sap_svc(1e-9 * noisy_codes, grid) < 0.1 < sap_svc(as_codes(grid), grid)


def test_what_cannot_be_asked_is_refused(grid, noisy_codes):
    with pytest.raises(ValueError, match="train >= 1, got train=0"):
        sap_svc(noisy_codes, grid, train=0)
    with pytest.raises(NotApplicable, match="no factor varies"):
        sap(noisy_codes, np.ones_like(grid))


@pytest.mark.parametrize("largest", [1e5, 1e29])
def test_codes_that_the_classifier_never_returns_from_are_brought_within_reach(largest, grid):
    """The penalty decides nothing on large codes, so their size decides nothing; values near 0 are 0."""
    codes = as_codes(grid)
    assert sap_svc(largest * codes, grid) == pytest.approx(sap_svc(500 * codes, grid), abs=0.02)
    assert within_reach(codes + 1e-40) == pytest.approx(codes, abs=0)
    code = np.array([[1e-300], [-3.0], [3.0], [0.0]])
    assert 0 <= sap_svc(code, np.array([[1, 0, 0, 1]]).T) <= 1
