"""Explicitness under its three protocols, against the peers' code and small cases."""

import numpy as np
import pytest

from disbench.metrics.explicitness import PROTOCOLS, explicitness, roc_areas
from disbench.metrics.metric import NotApplicable
from disbench.metrics.reference import as_codes, shuffled
from disbench.metrics.table import as_table

LOCATELLO = {  # disentanglement_lib: fitted to the first 80 % of the rows, judged on the last 20 %
    "celeba40": 0.888965084426,
    "duplicated": 1.0,
    "noise": 0.502133557102,
    "noisy_vae": 0.90935465284,
    "perfect": 1.0,
    "rotation": 1.0,
}
ZAIDI = {
    "dead_dims": 0.986190584353,
    "duplicated": 1.0,
    "noise": 0.0844237684175,
    "noisy_vae": 0.749438370352,
    "perfect": 1.0,
    "rotation": 0.959047619048,
}
DO = {
    "duplicated": 0.979523837566,
    "noise": 0.542118191719,
    "noisy_vae": 0.895601093769,
    "perfect": 0.979523837566,
    "rotation": 0.979523837566,
}


@pytest.mark.parametrize("case", LOCATELLO)
def test_held_out_areas_equal_the_peers_on_its_rows(case, oracle_table):
    table = as_table(*oracle_table(case))
    rows = np.arange(len(table.codes))
    first = int(0.8 * len(rows))
    areas = roc_areas(table.codes, table.labels, rows[:first], rows[first:], PROTOCOLS["locatello2019"])
    assert areas.mean() == pytest.approx(LOCATELLO[case], abs=1e-9)


def test_a_dead_code_where_a_peer_fails_leaves_the_score_as_it_was(oracle_table):
    """The peer standardises it by 0 and its classifier refuses the NaN."""
    codes, factors = oracle_table("dead_dims")
    live = np.ptp(codes, axis=0) > 0
    detail = explicitness.detail(codes, factors)
    assert detail["score"] == explicitness(codes[:, live], factors) > 0.999
    assert detail["dropped_codes"] == np.flatnonzero(~live).tolist() == [5, 6]


@pytest.mark.parametrize("case", ZAIDI)
def test_one_regression_a_value_equals_zaidis(case, oracle_table):
    assert explicitness(*oracle_table(case), protocol="zaidi2020") == pytest.approx(ZAIDI[case], abs=1e-9)


@pytest.mark.parametrize("case", DO)
def test_one_regression_a_value_without_penalty_equals_dos(case, oracle_table):
    """Their mean is in float32."""
    assert explicitness(*oracle_table(case), protocol="do2020") == pytest.approx(DO[case], abs=1e-7)


def test_a_constant_code_is_a_second_intercept_in_a_peer(oracle_table):
    """liblinear penalises the intercept, however little; a constant code shares the load, and the score moves by 4e-6."""
    table = as_table(*oracle_table("dead_dims"))
    rows = np.arange(len(table.codes))
    theirs = 0.983351349831
    assert roc_areas(table.codes, table.labels, rows, rows, PROTOCOLS["do2020"]).mean() == pytest.approx(
        theirs, abs=1e-7
    )
    assert explicitness(table.codes, table.labels, protocol="do2020") == pytest.approx(theirs, abs=1e-5)


@pytest.mark.parametrize(("protocol", "chance"), [("locatello2019", 0.5), ("zaidi2020", 0.0), ("do2020", 0.5)])
def test_chance_is_where_the_protocol_puts_it(protocol, chance, grid):
    rng = np.random.default_rng(0)
    noise = explicitness(rng.normal(size=(4000, 4)), rng.integers(0, 3, (4000, 2)), protocol=protocol)
    assert noise == pytest.approx(chance, abs=0.06)
    assert explicitness(np.full((len(grid), 2), 0.1), grid, protocol=protocol) == chance


def test_fitted_rows_flatter_and_fresh_rows_do_not():
    rng = np.random.default_rng(0)
    codes, factors = rng.normal(size=(300, 20)), rng.integers(0, 4, (300, 3))
    assert explicitness(codes, factors, protocol="do2020") > 0.6
    assert explicitness(codes, factors) == pytest.approx(0.5, abs=0.06)


def test_two_values_and_one_code_are_a_rank_statistic():
    """With one code a regression's probability rises or falls with it: the area is the share of pairs in the right order."""
    codes = np.array([[0.0], [1.0], [2.0], [3.0], [4.0], [5.0]])
    factors = np.array([[0, 0, 1, 0, 1, 1]]).T
    for protocol, expected in (("do2020", 8 / 9), ("zaidi2020", 2 * 8 / 9 - 1)):
        assert explicitness(codes, factors, protocol=protocol) == pytest.approx(expected, abs=1e-12)


def test_which_code_tells_a_factor_does_not_matter(grid):
    rotation = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0]
    assert explicitness(as_codes(grid) @ rotation, grid) == pytest.approx(1.0, abs=1e-3)
    assert explicitness(as_codes(grid)[:, :2], grid) == pytest.approx(1 - 0.5 / 3, abs=0.04)


def test_a_factor_of_many_values_counts_as_much_as_one_of_two():
    rng = np.random.default_rng(0)
    factors = np.column_stack([rng.integers(0, 2, 3000), rng.integers(0, 8, 3000)])
    detail = explicitness.detail(as_codes(factors[:, :1]), factors)
    assert detail["factors"][0]["score"] == 1.0
    assert detail["score"] == pytest.approx(np.mean([entry["score"] for entry in detail["factors"]]), abs=1e-12)
    assert detail["score"] == pytest.approx(0.75, abs=0.02)


def test_values_that_only_some_rows_have_are_guessed_or_left_out():
    codes = np.arange(12.0)[:, None]
    assert explicitness(codes, np.array([[0] * 11 + [1]]).T, train=11, test=1) == 0.5
    for protocol in PROTOCOLS:
        assert -1 <= explicitness(codes, np.arange(12)[:, None], protocol=protocol) <= 1
        assert -1 <= explicitness(codes, np.array([[0] * 11 + [1]]).T, protocol=protocol, seed=1) <= 1


def test_a_code_that_the_fitted_rows_do_not_vary_is_no_trouble(grid):
    rare = np.where(np.arange(len(grid)) == 0, 1.0, 0.0)
    assert np.isfinite(explicitness(np.column_stack([as_codes(grid), rare]), grid, train=20, test=300))


def test_a_shuffled_table_is_at_chance(grid, noisy_codes):
    assert explicitness(shuffled(noisy_codes, seed=0), grid) == pytest.approx(0.5, abs=0.06)
    assert explicitness(noisy_codes, grid) > 0.65


def test_what_cannot_be_asked_is_refused(grid, noisy_codes):
    with pytest.raises(ValueError, match="locatello2019, zaidi2020, do2020, got protocol='best'"):
        explicitness(noisy_codes, grid, protocol="best")
    with pytest.raises(ValueError, match="test >= 1, got test=0"):
        explicitness(noisy_codes, grid, test=0)
    with pytest.raises(NotApplicable, match="no factor varies"):
        explicitness(noisy_codes, np.ones_like(grid))
