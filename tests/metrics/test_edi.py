"""EDI by hand; test_agreement.py compares it with the authors' code."""

import itertools

import numpy as np
import pytest

from disbench.metrics import NotApplicable, edi
from disbench.metrics.edi import exclusivity

GRID = np.array(list(itertools.product(range(2), range(2), range(4))))
PARTS = ("modularity", "compactness", "explicitness")


def parts(codes, factors, **options):
    detail = edi.detail(codes, factors, **options)
    return [detail[part] for part in PARTS]


def test_exclusivity_is_the_largest_less_the_quadratic_mean_of_the_others():
    columns = np.array([[0.1, 1.0, 0.5], [0.9, 0.0, 0.5], [0.7, 0.0, 0.5]])
    assert exclusivity(columns) == pytest.approx([0.9 - 0.5, 1.0, 0.0])  # the mean of 0.01 and 0.49 is 0.25
    assert exclusivity(np.array([[0.3]])) == pytest.approx([0.3])


def test_a_code_a_factor_is_perfect_in_every_part():
    assert parts(GRID, GRID) == [1.0, 1.0, 1.0]


def test_a_missing_factor_costs_its_share_of_every_part():
    assert parts(GRID[:, :2], GRID) == pytest.approx([2 / 3, 2 / 3, 2 / 3])


def test_a_copied_factor_costs_compactness_alone():
    """Each copy has half of the factor: beside it are one half and two zeros, so 1/2 - sqrt(1/12)."""
    found = parts(np.column_stack([GRID, GRID[:, 0]]), GRID)
    assert found == pytest.approx([1.0, (2 + 0.5 - np.sqrt(1 / 12)) / 3, 1.0])


def test_two_factors_in_one_code_cost_modularity_alone():
    """The code has the whole of both: 1 - sqrt((1 + 0) / 2) for one of them, and nothing for the other."""
    merged = np.column_stack([2 * GRID[:, 0] + GRID[:, 1], GRID[:, 2]])
    for captured in ("sum", "max"):
        found = parts(merged, GRID, captured=captured)
        assert found == pytest.approx([(1 - np.sqrt(1 / 2) + 1) / 3, 1.0, 1.0])


def test_explicitness_is_what_is_known_of_the_entropy():
    half = np.column_stack([GRID[:, :2], GRID[:, 2] // 2])  # one of two bits
    assert parts(half, GRID) == pytest.approx([1.0, 1.0, (1 + 1 + 0.5) / 3])


def test_the_largest_or_the_sum_stands_for_all_codes():
    """Each of two codes has one of the two bits of the third factor: half of the sum, all of the largest."""
    codes = np.column_stack([GRID[:, :2], GRID[:, 2] // 2, GRID[:, 2] % 2])
    last = {captured: edi.detail(codes, GRID, captured=captured)["factors"][2] for captured in ("sum", "max")}
    assert [last["sum"][part] for part in PARTS] == pytest.approx([1.0, 0.5 - np.sqrt(1 / 12), 1.0])
    assert [last["max"][part] for part in PARTS] == pytest.approx([1.0, 1 - np.sqrt(1 / 3), 0.5])


def test_a_code_that_ties_is_of_the_factor_of_which_it_knows_most():
    merged = 4 * GRID[:, [0]] + GRID[:, [2]]
    assert edi.detail(merged, GRID[:, [0, 2]])["codes"][0]["factor"] == 1
    assert edi.detail(merged, GRID[:, [2, 0]])["codes"][0]["factor"] == 0


def test_part_names_the_score(oracle_table):
    codes, factors = oracle_table("noisy_vae")
    detail = edi.detail(codes, factors)
    assert [edi(codes, factors, part=part) for part in PARTS] == [detail[part] for part in PARTS]
    assert detail["score"] == detail["modularity"]


def test_a_code_of_noise_keeps_little_of_the_score(oracle_table):
    assert 0 < edi(*oracle_table("noise")) < 0.1


def test_one_factor_is_a_reason_and_wrong_options_are_named():
    with pytest.raises(NotApplicable, match="needs two that vary"):
        edi(GRID, GRID[:, :1])
    with pytest.raises(ValueError, match="part='score'"):
        edi(GRID, GRID, part="score")
    with pytest.raises(ValueError, match="captured='joint'"):
        edi(GRID, GRID, captured="joint")
