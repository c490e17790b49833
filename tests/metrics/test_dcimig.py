"""DCIMIG against a peer and by hand."""

import numpy as np
import pytest

from disbench.metrics import NotApplicable, as_codes
from disbench.metrics.dcimig import dcimig

UBISOFT_20_BINS = {
    "perfect": 1.0,
    "noisy_vae": 0.347451672246,
    "rotation": 0.0520714076215,
    "duplicated": 1.0,
    "dead_dims": 0.971051156803,
    "noise": 0.00130508947506,
    "dsprites10k": 0.48031240484,
}
UBISOFT_10_BINS = {
    "noisy_vae": 0.340753035842,
    "dead_dims": 0.946083051822,
    "noise": 0.000714723679081,
    "dsprites10k": 0.445761379984,
    "celeba40": 0.170429328887,
}


@pytest.mark.parametrize("case", UBISOFT_20_BINS)
def test_dcimig_is_that_of_zaidi(case, oracle_table):
    assert dcimig(*oracle_table(case)) == pytest.approx(UBISOFT_20_BINS[case], abs=1e-9)


@pytest.mark.parametrize("case", UBISOFT_10_BINS)
def test_dcimig_in_ten_bins_is_that_of_zaidi(case, oracle_table):
    assert dcimig(*oracle_table(case), bins=10) == pytest.approx(UBISOFT_10_BINS[case], abs=1e-9)


def test_a_factor_without_a_code_costs_its_share_of_the_entropy(grid):
    codes = as_codes(grid)
    detail = dcimig.detail(codes[:, [0, 2]], grid)
    assert detail["score"] == pytest.approx(np.log(3 * 5) / np.log(3 * 4 * 5), abs=1e-12)
    assert [entry["code"] for entry in detail["factors"]] == [0, None, 1]
    assert detail["factors"][1]["gap"] == 0.0


def test_a_copied_code_costs_nothing_and_each_factor_has_its_best_claim(grid):
    codes = as_codes(grid)
    assert dcimig(np.column_stack([codes, codes[:, 1]]), grid) == pytest.approx(1.0, abs=1e-12)
    coarse = codes[:, 1] // 2
    detail = dcimig.detail(np.column_stack([coarse, codes]), grid)
    assert detail["score"] == pytest.approx(1.0, abs=1e-12)
    assert detail["factors"][1]["code"] == 2
    assert dcimig(np.column_stack([codes[:, [0, 2]], coarse]), grid) == pytest.approx(
        np.log(3 * 2 * 5) / np.log(3 * 4 * 5), abs=1e-12
    )


def test_a_code_that_knows_two_factors_claims_the_difference():
    """Of eight values it tells all 8 = 2 x 4 combinations: log 4 about one factor, log 2 about the other."""
    cells = np.stack(np.meshgrid(range(2), range(4), indexing="ij"), axis=-1).reshape(-1, 2)
    detail = dcimig.detail(cells @ [[4], [1]], cells, bins=8)
    assert detail["factors"][1] == pytest.approx({"factor": 1, "code": 0, "gap": np.log(2), "entropy": np.log(4)})
    assert detail["score"] == pytest.approx(np.log(2) / np.log(8), abs=1e-12)


def test_dead_codes_claim_nothing_and_one_factor_is_a_reason(grid):
    assert dcimig(np.full((len(grid), 2), 0.1), grid) == 0.0
    with pytest.raises(NotApplicable, match="dcimig compares"):
        dcimig(as_codes(grid), grid[:, :1])
