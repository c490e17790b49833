"""InfoM, InfoE and InfoC against their authors' code, and by hand where that divides by zero."""

import numpy as np
import pytest
from sklearn.feature_selection import mutual_info_classif

from disbench.metrics import NotApplicable, as_codes, infomec, shuffled
from disbench.metrics.infomec import (
    infoc,
    infoe,
    infom,
    relative_information,
    shares_above_chance,
)
from disbench.metrics.table import as_table

LQ = {  # mean and deviation over three seeds (two for dsprites10k): infom, infoc; infoe has none
    "perfect": ((0.995356678179, 0.00125456), (0.995353697025, 0.00125461), 0.999692685621),
    "noisy_vae": ((0.7277808288, 0.0), (0.834138446202, 3.7e-7), 0.538130411458),
    "rotation": ((0.537743913213, 0.0), (0.524306639146, 0.0), 0.999775773541),
    "duplicated": ((0.995949350568, 4.2e-5), (0.875467598179, 5.2e-5), 0.999697716236),
    "dead_dims": ((0.992515069285, 4.6e-7), (0.992440667635, 4.6e-7), 0.995190339321),
    "noise": ((0.55807817808, 5.2e-5), (0.354493613683, 4.2e-5), 0.00451059554216),
    "dsprites10k": ((0.838013564622, 1.8e-6), (0.814017476927, 1.5e-6), 0.582303447064),
}
TIES = [
    "perfect",
    "duplicated",
    "rotation",
]  # noise of 1e-10 orders equal values, and separable classes have no best fit


@pytest.mark.parametrize("case", LQ)
def test_infom_and_infoc_are_those_of_the_authors(case, oracle_table):
    seeds = 4 if case in TIES else 1
    scores = np.array([[metric(*oracle_table(case), seed=seed) for metric in (infom, infoc)] for seed in range(seeds)])
    for ours, (mean, deviation) in zip(scores.T, LQ[case], strict=False):
        error = 4 * np.sqrt((ours.var() + deviation**2) / 3) + (0.005 if case in TIES else 1e-4)
        assert abs(ours.mean() - mean) < error


@pytest.mark.parametrize("case", LQ)
def test_infoe_is_that_of_the_authors(case, oracle_table):
    tolerance = 1e-4 if case in TIES else 1e-6
    assert infoe(*oracle_table(case)) == pytest.approx(LQ[case][2], abs=tolerance)


def test_codes_of_a_small_range_are_inactive(oracle_table):
    codes, factors = oracle_table("dead_dims")
    assert infom.detail(codes, factors)["dropped_codes"] == infoc.detail(codes, factors)["dropped_codes"] == [5, 6, 7]
    assert infoe.detail(codes, factors)["dropped_codes"] == [5, 6]
    grid_codes = np.column_stack([np.arange(50.0), np.arange(50.0) % 3])
    factors = np.column_stack([np.arange(50) % 5, np.arange(50) % 2])
    assert infom.detail(grid_codes * [1.0, 0.05 * 49 / 2 * 1.01], factors)["dropped_codes"] == []
    assert infom.detail(grid_codes * [1.0, 0.05 * 49 / 2 * 0.99], factors)["dropped_codes"] == [1]


def test_information_is_scikit_learns_nearest_neighbour_estimate_per_entropy(grid, noisy_codes):
    found = relative_information(as_table(noisy_codes, grid), neighbors=10, discrete=False, seed=0)
    for j in range(4):
        mutual = mutual_info_classif(noisy_codes[:, [j]], grid[:, 2], discrete_features=False, n_neighbors=10)
        assert found.information[2, j] == pytest.approx(mutual[0] / np.log(5), abs=1e-9)


def test_shares_by_hand():
    relative = np.array([[3.0, 1.0, 0.0, 1.0], [1.0, 1.0, 0.0, 0.0]])
    assert shares_above_chance(relative).tolist() == [0.5, 0.0, 0.0, 1.0]
    assert shares_above_chance(relative[:1]).tolist() == [1.0, 1.0, 0.0, 1.0]


def test_the_scores_are_means_of_those_shares(grid, noisy_codes):
    relative = relative_information(as_table(noisy_codes, grid), neighbors=10, discrete=False, seed=0).information
    by_code, by_factor = relative.max(axis=0) / relative.sum(axis=0), relative.max(axis=1) / relative.sum(axis=1)
    assert infom(noisy_codes, grid) == pytest.approx((by_code.mean() - 1 / 3) / (1 - 1 / 3), abs=1e-12)
    assert infoc(noisy_codes, grid) == pytest.approx((by_factor.mean() - 1 / 4) / (1 - 1 / 4), abs=1e-12)
    assert infom.detail(noisy_codes, grid)["codes"][0]["factor"] == 0
    assert infoc.detail(noisy_codes, grid)["factors"][2]["code"] == 2


def test_discrete_codes_have_exact_scores(grid):
    codes = as_codes(grid)
    assert infom(codes, grid, discrete=True) == pytest.approx(1.0, abs=1e-12)
    assert infoc(codes, grid, discrete=True) == pytest.approx(1.0, abs=1e-12)
    copied = np.column_stack([codes, codes[:, 0]])
    assert infom(copied, grid, discrete=True) == pytest.approx(1.0, abs=1e-12)
    assert infoc(copied, grid, discrete=True) == pytest.approx(((0.5 + 1 + 1) / 3 - 1 / 4) / (3 / 4), abs=1e-12)
    mixed = np.column_stack([codes[:, :2], grid[:, 2] * 4 + grid[:, 1]])
    assert infom(mixed, grid, discrete=True) == pytest.approx(((1 + 1 + 0.5) / 3 - 1 / 3) / (2 / 3), abs=1e-12)


def test_one_hot_features_read_what_a_line_cannot(grid):
    """The middle one of three values is inside the others: linear in a one-hot code, not in the number itself."""
    middle = (grid[:, :1] == 1).astype(int)
    assert infoe(as_codes(grid[:, :1]), middle) < 0.2
    assert infoe(as_codes(grid[:, :1]), middle, discrete=True) > 0.99


def test_explicitness_by_hand():
    """Rows (z, v) = 6 x (0,0), 2 x (0,1), 2 x (1,0), 6 x (1,1): the best linear odds are 3 : 1 for each z."""
    code, factor = np.repeat([0.0, 0.0, 1.0, 1.0], [6, 2, 2, 6]), np.repeat([0, 1, 0, 1], [6, 2, 2, 6])
    entropy = -(0.75 * np.log(0.75) + 0.25 * np.log(0.25))
    detail = infoe.detail(code[:, None], factor[:, None])
    assert detail["factors"][0]["loss"] == pytest.approx(entropy, abs=1e-6)
    assert detail["score"] == pytest.approx(1 - entropy / np.log(2), abs=1e-6)
    assert detail["factors"][0]["converged"]
    assert not infoe.detail(code[:, None], factor[:, None], max_iter=1)["factors"][0]["converged"]


def test_classes_weigh_alike_so_a_rare_value_can_cost_more_than_it_explains():
    rng = np.random.default_rng(0)
    factor = (np.arange(400) < 20).astype(int)[:, None]
    code = factor + 2.0 * rng.normal(size=(400, 1))
    detail = infoe.detail(code, factor)
    assert detail["factors"][0]["explicitness"] < 0.1
    assert 0.0 <= detail["score"] < 0.1


def test_a_code_that_knows_nothing_counts_nothing_where_the_authors_divide_zero_by_zero(grid):
    codes, blind = as_codes(grid), np.arange(len(grid)) % 2
    assert infom(np.column_stack([codes, blind]), grid, discrete=True) == pytest.approx(0.75, abs=1e-12)
    assert infoc(codes[:, :2], grid, discrete=True) == pytest.approx(2 / 3, abs=1e-12)


def test_a_code_beside_one_that_knows_nothing_is_compact_and_alone_it_is_a_reason(grid):
    code, blind = as_codes(grid[:, :1]), np.arange(len(grid)) % 2
    assert infoc(np.column_stack([code, blind]), grid, discrete=True) == pytest.approx(1 / 3)
    for alone in (code, np.column_stack([code, np.full(len(grid), 0.1)])):
        with pytest.raises(NotApplicable, match="two that are active, got one"):
            infoc(alone, grid, discrete=True)


def test_without_a_live_code_nothing_is_known(grid):
    dead = np.full((len(grid), 2), 0.1)
    assert infom(dead, grid) == infoe(dead, grid) == infoc(dead, grid) == 0.0
    assert infoc.detail(dead, grid)["dropped_codes"] == [0, 1]
    assert infoc.detail(dead, grid)["factors"][0]["code"] is None


def test_noise_in_few_rows_has_large_shares_of_nothing(grid, noisy_codes):
    """The floor of InfoM and InfoC depends on the number of rows; InfoE tells."""
    codes = shuffled(noisy_codes, seed=1)
    assert infom(codes, grid) > 0.7
    assert infoc(codes, grid) > 0.7
    assert infoe(codes, grid) < 0.1


def test_infom_and_infoc_share_one_computation(grid, noisy_codes, monkeypatch):
    calls = []
    estimate = infomec.information_about_labels
    monkeypatch.setattr(infomec, "information_about_labels", lambda *args: calls.append(1) or estimate(*args))
    codes = noisy_codes + 2e-3
    infom(codes, grid), infoc(codes, grid), infoc.detail(codes, grid)
    assert len(calls) == 1
    infoc(codes, grid, seed=1)
    assert len(calls) == 2


def test_a_seed_breaks_ties_and_nothing_else(grid, noisy_codes):
    assert infom(noisy_codes, grid, seed=1) == pytest.approx(infom(noisy_codes, grid, seed=2), abs=1e-9)
    tied = [infom(as_codes(grid), grid, seed=seed) for seed in (1, 2, 1)]
    assert tied[0] == tied[2] != tied[1]


def test_what_cannot_be_asked_is_refused(grid, noisy_codes):
    with pytest.raises(NotApplicable, match=r"infom compares .* got one"):
        infom(noisy_codes, grid[:, :1])
    with pytest.raises(NotApplicable, match=r"infoc compares .* got one"):
        infoc(noisy_codes, grid[:, :1])
    with pytest.raises(NotApplicable, match="factor 1 has no estimate: no two rows share"):
        infoc(noisy_codes[:12], np.column_stack([grid[:12, 2], np.arange(12)]))
    with pytest.raises(NotApplicable, match="more rows than neighbors, got 9 rows"):
        infoc(noisy_codes[:9], np.column_stack([grid[:9, 2], np.linspace(0.1, 0.7, 9)]))
    with pytest.raises(ValueError, match="neighbors >= 1, got neighbors=0"):
        infom(noisy_codes, grid, neighbors=0)
    with pytest.raises(ValueError, match="max_iter >= 1, got max_iter=0"):
        infoe(noisy_codes, grid, max_iter=0)
