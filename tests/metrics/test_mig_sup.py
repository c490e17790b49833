"""MIG-sup against a peer's variant, and both variants by hand."""

import numpy as np
import pytest

from disbench.metrics import NotApplicable, as_codes
from disbench.metrics.information import table_information
from disbench.metrics.mig_sup import mig_sup
from disbench.metrics.table import as_table

UBISOFT_20_BINS = {  # divided by the entropy of the code
    "perfect": 1.0,
    "noisy_vae": 0.100705745966,
    "rotation": 0.0413514070549,
    "duplicated": 1.0,
    "noise": 0.00262643075856,
    "dsprites10k": 0.246922263482,
}
UBISOFT_10_BINS = {"noisy_vae": 0.129417242506, "rotation": 0.0542500820647, "dsprites10k": 0.300239844133}


@pytest.mark.parametrize("case", UBISOFT_20_BINS)
def test_mig_sup_per_code_entropy_is_that_of_zaidi(case, oracle_table):
    assert mig_sup(*oracle_table(case), divide_by="code") == pytest.approx(UBISOFT_20_BINS[case], abs=1e-9)


@pytest.mark.parametrize("case", UBISOFT_10_BINS)
def test_mig_sup_in_ten_bins_is_that_of_zaidi(case, oracle_table):
    score = mig_sup(*oracle_table(case), bins=10, divide_by="code")
    assert score == pytest.approx(UBISOFT_10_BINS[case], abs=1e-9)


@pytest.mark.parametrize("divide_by", ["factor", "code"])
def test_a_dead_code_where_the_peer_gives_nan_is_left_out(divide_by, oracle_table):
    codes, factors = oracle_table("dead_dims")
    detail = mig_sup.detail(codes, factors, divide_by=divide_by)
    live = np.delete(codes, detail["dropped_codes"], axis=1)
    assert live.shape[1] < codes.shape[1]
    assert detail["score"] == mig_sup(live, factors, divide_by=divide_by) > 0.4


def test_each_code_is_measured_in_units_of_the_factors_entropies(grid, noisy_codes):
    info = table_information(as_table(noisy_codes, grid), 20)
    relative = np.sort(info.mutual / np.log([[3], [4], [5]]), axis=0)
    assert mig_sup(noisy_codes, grid) == pytest.approx(np.mean(relative[-1] - relative[-2]), abs=1e-12)


def test_the_two_divisors_by_hand():
    """Eight values tell all 2 x 4 combinations. By factor both are known fully: 1 - 1. By code: (log 4 - log 2) / log 8."""
    cells = np.stack(np.meshgrid(range(2), range(4), indexing="ij"), axis=-1).reshape(-1, 2)
    codes = cells @ [[4], [1]]
    assert mig_sup(codes, cells, bins=8) == pytest.approx(0.0, abs=1e-12)
    assert mig_sup(codes, cells, bins=8, divide_by="code") == pytest.approx(1 / 3, abs=1e-12)
    half = mig_sup.detail(cells[:, 1:] // 2, cells)
    assert half["score"] == half["codes"][0]["gap"] == pytest.approx(0.5, abs=1e-12)
    assert half["codes"][0]["factor"] == 1


def test_a_copied_code_costs_nothing_and_an_idle_one_its_share(grid):
    codes = as_codes(grid)
    assert mig_sup(np.column_stack([codes, codes[:, 1]]), grid) == pytest.approx(1.0, abs=1e-12)
    idle = np.arange(len(grid)) % 2
    assert mig_sup(np.column_stack([codes, idle]), grid) == pytest.approx(0.75, abs=1e-12)


def test_what_cannot_be_asked_is_refused(grid, noisy_codes):
    with pytest.raises(NotApplicable, match="mig_sup compares"):
        mig_sup(noisy_codes, grid[:, :1])
    with pytest.raises(ValueError, match="divide_by='rows'"):
        mig_sup(noisy_codes, grid, divide_by="rows")
    assert mig_sup(np.ones((len(grid), 2)), grid) == 0.0
