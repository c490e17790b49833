"""Modularity against peers, by hand, and where a peer is wrong."""

import numpy as np
import pytest

from disbench.metrics import NotApplicable, as_codes
from disbench.metrics.information import table_information
from disbench.metrics.modularity import modularity
from disbench.metrics.table import as_table

DLIB = {
    "perfect": 1.0,
    "noisy_vae": 0.849670815777,
    "rotation": 0.830210574128,
    "duplicated": 1.0,
    "noise": 0.691602761636,
    "dsprites10k": 0.894348483625,
    "celeba40": 0.919934499456,
}
UBISOFT_10_BINS = {
    "noisy_vae": 0.81697539891,
    "rotation": 0.832194891608,
    "noise": 0.667079182365,
    "dsprites10k": 0.895631179464,
}
DLIB_COUNTS_DEAD_CODES = 0.727747691727  # on dead_dims; ubisoft's and Do and Tran's scores are NaN there


@pytest.mark.parametrize("case", DLIB)
def test_modularity_is_that_of_disentanglement_lib(case, oracle_table):
    assert modularity(*oracle_table(case)) == pytest.approx(DLIB[case], abs=1e-9)


@pytest.mark.parametrize("case", UBISOFT_10_BINS)
def test_modularity_in_ten_bins_is_that_of_zaidi(case, oracle_table):
    assert modularity(*oracle_table(case), bins=10) == pytest.approx(UBISOFT_10_BINS[case], abs=1e-9)


def test_dead_codes_are_left_out_where_a_peer_counts_them_as_nothing_and_others_give_nan(oracle_table):
    codes, factors = oracle_table("dead_dims")
    detail = modularity.detail(codes, factors)
    D, dead = codes.shape[1], len(detail["dropped_codes"])
    assert dead > 0
    assert detail["score"] * (D - dead) / D == pytest.approx(DLIB_COUNTS_DEAD_CODES, abs=1e-9)
    assert detail["score"] == modularity(np.delete(codes, detail["dropped_codes"], axis=1), factors)


def test_modularity_by_hand(grid):
    """One code holds one factor: 1. One holds two independent factors of equal size in 16 values: 1 - (I/I)^2 / (3 - 1)."""
    cells = np.stack(np.meshgrid(*[range(4)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    both = cells[:, 0] * 4 + cells[:, 1]
    detail = modularity.detail(np.column_stack([cells[:, 2], both]), cells, bins=16)
    assert [entry["modularity"] for entry in detail["codes"]] == pytest.approx([1.0, 0.5], abs=1e-12)
    assert detail["score"] == pytest.approx(0.75, abs=1e-12)
    assert [entry["information"] for entry in detail["codes"]] == pytest.approx([np.log(4)] * 2, abs=1e-12)
    assert detail["codes"][0]["factor"] == 2


def test_modularity_is_the_papers_formula_code_by_code(grid, noisy_codes):
    mutual = table_information(as_table(noisy_codes, grid), 20).mutual
    expected = []
    for column in mutual.T:
        best = column.argmax()
        others = sum(column[k] ** 2 for k in range(3) if k != best)
        expected.append(1 - others / (2 * column[best] ** 2))
    entries = modularity.detail(noisy_codes, grid)["codes"]
    assert [entry["modularity"] for entry in entries] == pytest.approx(expected, abs=1e-12)


def test_copies_of_a_code_do_not_matter_and_a_mixture_does(grid):
    codes = as_codes(grid)
    assert modularity(np.column_stack([codes, codes, codes[:, 0]]), grid) == pytest.approx(1.0, abs=1e-12)
    assert modularity(np.column_stack([codes, codes[:, 0] * 5 + codes[:, 2]]), grid) < 0.95


def test_a_live_code_that_knows_nothing_counts_nothing(grid):
    """The parity of the row within its cell: exactly independent of every factor."""
    blind = np.arange(len(grid)) % 2
    assert modularity(np.column_stack([as_codes(grid), blind]), grid) == pytest.approx(0.75, abs=1e-12)
    assert modularity(blind[:, None], grid) == 0.0


def test_one_factor_is_a_reason(grid, noisy_codes):
    with pytest.raises(NotApplicable, match=r"modularity compares .* needs two that vary, got one .column 1"):
        modularity(noisy_codes, np.column_stack([np.ones(len(grid)), grid[:, 0]]))
    assert 0 < modularity(noisy_codes[:, :1], grid) < 1
