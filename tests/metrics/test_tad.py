"""The total AUROC difference against scikit-learn, exact small cases and the authors' rules."""

import numpy as np
import pytest
from sklearn.metrics import mutual_info_score, roc_auc_score

from disbench.metrics.metric import NotApplicable
from disbench.metrics.reference import as_codes, shuffled
from disbench.metrics.tad import detection_areas, shared_entropy, tad


@pytest.fixture(scope="module")
def bits():
    """All settings of four binary attributes, twenty rows each."""
    return np.repeat((np.arange(16)[:, None] >> np.arange(4)) & 1, 20, axis=0)


def test_areas_are_scikit_learns_with_the_better_sign(oracle_table):
    codes, factors = oracle_table("celeba40")
    codes = np.round(codes[:800, :6].astype(float), 1)  # ties
    factors = factors[:800, :10]
    expected = np.array([[roc_auc_score(factor, code) for factor in factors.T] for code in codes.T])
    assert detection_areas(codes, factors) == pytest.approx(np.maximum(expected, 1 - expected), abs=1e-12)


def test_shared_entropy_is_the_largest_mutual_information_over_the_entropy(oracle_table):
    factors = oracle_table("celeba40")[1][:, :12]
    mutual = np.array([[mutual_info_score(a, b) for b in factors.T] for a in factors.T])
    expected = (mutual - np.diag(np.diag(mutual))).max(axis=1) / np.diag(mutual)
    assert shared_entropy(factors) == pytest.approx(expected, abs=1e-12)
    assert shared_entropy(factors[:, :1]) == [0.0]


def test_the_authors_rule_by_loops(oracle_table):
    """Their code in a dozen lines: for each attribute the gap between the two best areas, if captured and not redundant."""
    codes, factors = oracle_table("celeba40")
    codes, factors = codes[:1500].astype(float), factors[:1500, :12]
    areas = np.array([[roc_auc_score(factor, code) for code in codes.T] for factor in factors.T])  # (K, D)
    areas = np.maximum(areas, 1 - areas)
    total, count = 0.0, 0
    for k in range(12):
        told = [mutual_info_score(factors[:, k], factors[:, other]) for other in range(12) if other != k]
        if areas[k].max() >= 0.75 and max(told) / mutual_info_score(factors[:, k], factors[:, k]) <= 0.02:
            best, second = np.sort(areas[k])[::-1][:2]
            total, count = total + best - second, count + 1
    detail = tad.detail(codes, factors, shared=0.02)
    assert detail["score"] == pytest.approx(total, abs=1e-9)
    assert detail["captured"] == count
    assert 0 < count < 12


def test_a_perfect_code_scores_half_a_point_for_each_attribute(bits):
    detail = tad.detail(as_codes(bits), bits)
    assert detail["score"] == pytest.approx(2.0, abs=1e-12)
    assert detail["captured"] == 4
    assert tad(as_codes(bits)[:, :1], bits[:, :1]) == pytest.approx(0.5, abs=1e-12)


def test_a_small_case_by_hand():
    """Of the nine pairs of a row with and a row without, code 0 orders eight, code 1 seven."""
    factors = np.array([[0, 0, 0, 1, 1, 1]]).T
    codes = np.array([[0.0, 1.0, 3.0, 2.0, 4.0, 5.0], [5.0, 3.0, 2.0, 4.0, 1.0, 0.0]]).T
    detail = tad.detail(codes, factors)
    assert detail["factors"][0]["area"] == pytest.approx(8 / 9, abs=1e-12)
    assert detail["factors"][0]["runner_up_area"] == pytest.approx(7 / 9, abs=1e-12)
    assert detail["score"] == pytest.approx(1 / 9, abs=1e-12)


@pytest.mark.parametrize(("captured", "score"), [(8 / 9 - 1e-9, 8 / 9 - 0.5), (8 / 9 + 1e-9, 0.0)])
def test_an_attribute_counts_from_the_threshold_on(captured, score):
    factors = np.array([[0, 0, 0, 1, 1, 1]]).T
    codes = np.array([[0.0, 1.0, 3.0, 2.0, 4.0, 5.0]]).T
    assert tad(codes, factors, captured=captured) == pytest.approx(score, abs=1e-9)


def test_an_attribute_that_another_one_tells_does_not_count(bits):
    copied = np.column_stack([bits, 1 - bits[:, 0]])
    detail = tad.detail(as_codes(copied), copied)
    assert [entry["captured"] for entry in detail["factors"]] == [False, True, True, True, False]
    assert [entry["shared_entropy"] for entry in detail["factors"]] == pytest.approx([1, 0, 0, 0, 1], abs=1e-12)
    assert detail["score"] == pytest.approx(1.5, abs=1e-12)
    assert tad(as_codes(bits), copied, shared=1.0) == pytest.approx(2.5, abs=1e-12)


def test_noise_captures_nothing_and_so_do_dead_codes(bits, oracle_table):
    codes, factors = oracle_table("celeba40")
    noise = tad.detail(shuffled(codes, seed=0), factors)
    assert noise["score"] == noise["captured"] == 0
    dead = tad.detail(np.full((len(bits), 2), 0.1), bits)
    assert dead["score"] == 0.0
    assert {entry["area"] for entry in dead["factors"]} == {0.5}


def test_signs_and_increasing_functions_and_labels_change_nothing(oracle_table):
    codes, factors = oracle_table("celeba40")
    codes = codes[:, :8].astype(float)
    whole = tad(codes, factors)
    assert whole > 0.1
    assert tad(-codes, factors) == pytest.approx(whole, abs=1e-12)
    assert tad(np.exp(codes), 7 - 3 * factors) == pytest.approx(whole, abs=1e-12)
    order = np.random.default_rng(0).permutation(len(codes))
    assert tad(codes[order], factors[order]) == whole


def test_what_cannot_be_asked_is_refused(grid, noisy_codes, bits):
    with pytest.raises(NotApplicable, match="binary attributes, got factor 0 with 3 values"):
        tad(noisy_codes, grid)
    with pytest.raises(ValueError, match=r"\.5 <= captured <= 1, got captured=0\.3"):
        tad(as_codes(bits), bits, captured=0.3)
    with pytest.raises(ValueError, match="shared as a finite number, got nan"):
        tad(as_codes(bits), bits, shared=float("nan"))
