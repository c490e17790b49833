"""Binning, counts, entropies, and the two metrics made of them, against small cases by hand."""

import math

import numpy as np
import pytest
from hypothesis import given, strategies as st
from sklearn.metrics import mutual_info_score

from disbench.metrics import METRICS, as_codes, information
from disbench.metrics.information import contingency, equal_width_bins, gap
from disbench.metrics.table import as_table

MIG, JEMMIG = METRICS["mig"], METRICS["jemmig"]
LOG2 = math.log(2)
# v = 0 0 1 1; one code copies it, the other differs in one row: its information by hand is H(v) + H(z) - H(z, v).
FACTOR = np.array([[0], [0], [1], [1]])
COPY, BLURRED = [0.0, 0.0, 1.0, 1.0], [0.0, 1.0, 1.0, 1.0]
BLURRED_ENTROPY = math.log(4) - 0.75 * math.log(3)
BLURRED_JOINT = 0.5 * math.log(4) + 0.5 * LOG2
BLURRED_INFORMATION = LOG2 + BLURRED_ENTROPY - BLURRED_JOINT


def test_bins_hold_their_left_edge_and_the_last_one_both():
    codes = np.array([[0.0], [0.9], [1.0], [1.9], [3.0], [3.9], [4.0]])
    assert equal_width_bins(codes, 4).tolist() == [[0, 0, 1, 1, 3, 3, 3]]


def test_edges_are_those_of_numpys_histogram():
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 30, (500, 3)) / 10 * np.array([1.0, 3.3, 1e6])  # many values on or beside an edge
    for code, indices in zip(codes.T, equal_width_bins(codes, 20), strict=True):
        edges = np.histogram_bin_edges(code, 20)
        assert np.array_equal(indices, np.digitize(code, edges[:-1]) - 1)


@pytest.mark.parametrize(
    "code",
    [
        np.nextafter(1.0, 2.0) ** np.arange(3),  # bins narrower than the spacing of floating-point numbers
        np.array([1.0, 1.0 + 40 * np.finfo(float).eps, 1.0 + 7 * np.finfo(float).eps]),
        np.array([0.0, 5e-324, 1e-323]),
        np.array([-1e30, 1e30, 0.0, 1e-300]),
        np.array([1e16, 1e16 + 2, 1e16 + 4, 1e16 + 64]),
    ],
)
def test_codes_near_the_limits_of_floating_point_are_binned_by_the_edges_too(code):
    left_edges = np.linspace(code.min(), code.max(), 21)[:-1]
    expected = np.searchsorted(left_edges, code, side="right") - 1
    assert equal_width_bins(code[:, None], 20)[0].tolist() == expected.tolist()


def test_a_constant_code_falls_into_a_single_bin():
    assert len(set(equal_width_bins(np.full((9, 1), 0.1), 20)[0].tolist())) == 1


@pytest.mark.parametrize("name", ["mig", "jemmig"])
def test_one_bin_is_refused(name):
    with pytest.raises(ValueError, match="at least 2 bins, got bins=1"):
        METRICS[name](as_codes(FACTOR), FACTOR, bins=1)


def test_counts_are_the_rows_of_each_pair_of_value_and_bin(monkeypatch):
    rng = np.random.default_rng(1)
    sizes, bins = np.array([2, 5, 3]), 4
    factors = np.stack([rng.integers(0, size, 200) for size in sizes], axis=1)
    indices = rng.integers(0, bins, (6, 200))
    expected = [
        [[np.sum((factors[:, k] == v) & (code == b)) for b in range(bins)] for k in range(3) for v in range(sizes[k])]
        for code in indices
    ]
    assert contingency(indices, factors, sizes, bins).tolist() == expected
    monkeypatch.setattr(information, "ELEMENTS_AT_ONCE", 32)  # many passes count as one does
    assert contingency(indices, factors, sizes, bins).tolist() == expected


@pytest.mark.parametrize("sizes", [(2,) * 9, (3, 2, 40, 2), (50,), (2, 2, 300, 2, 2)])
@pytest.mark.parametrize("rows", [30, 3000])
def test_small_factors_are_counted_jointly_to_the_same_counts(sizes, rows):
    rng = np.random.default_rng(0)
    factors = np.stack([rng.integers(0, size, rows) for size in sizes], axis=1)
    indices = rng.integers(0, 5, (2, rows))
    counts = contingency(indices, factors, np.array(sizes), 5)
    start = 0
    for k, size in enumerate(sizes):
        expected = np.zeros((2, size, 5), dtype=int)
        for j in range(2):
            np.add.at(expected[j], (factors[:, k], indices[j]), 1)
        assert np.array_equal(counts[:, start : start + size], expected)
        start += size


def test_information_that_is_a_rest_of_rounding_is_none():
    """Two exactly independent variables, whose entropies do not cancel to the last bit."""
    cells = np.stack(np.meshgrid(range(3), range(7), range(5), indexing="ij"), axis=-1).reshape(-1, 3)
    info = information.information(as_table(cells[:, :2], cells[:, 2:]), 20)
    assert not info.mutual.any()


def test_information_is_that_of_scikit_learn(grid, noisy_codes):
    table = as_table(noisy_codes, grid)
    info = information.information(table, 7)
    bins = equal_width_bins(table.codes, 7)
    for k in range(3):
        assert info.factor_entropy[k] == pytest.approx(math.log([3, 4, 5][k]), abs=1e-12)
        for j in range(4):
            assert info.mutual[k, j] == pytest.approx(mutual_info_score(grid[:, k], bins[j]), abs=1e-12)
            code_entropy = mutual_info_score(bins[j], bins[j])
            assert info.code_entropy[j] == pytest.approx(code_entropy, abs=1e-12)
            joint = info.factor_entropy[k] + code_entropy - info.mutual[k, j]
            assert info.joint_entropy[k, j] == pytest.approx(joint, abs=1e-12)


def test_a_copied_code_closes_the_gap(grid):
    codes = as_codes(grid)
    assert MIG(codes, grid) == pytest.approx(1.0, abs=1e-12)
    assert MIG(np.column_stack([codes, -2 * codes[:, 1]]), grid) == pytest.approx(2 / 3, abs=1e-12)


def test_mig_by_hand():
    codes = np.column_stack([BLURRED, COPY])
    assert MIG(codes, FACTOR, bins=2) == pytest.approx(1 - BLURRED_INFORMATION / LOG2, abs=1e-12)
    assert MIG(np.column_stack([BLURRED]), FACTOR, bins=2) == pytest.approx(BLURRED_INFORMATION / LOG2, abs=1e-12)
    detail = MIG.detail(codes, FACTOR, bins=2)["factors"][0]
    assert detail["code"] == 1
    assert detail["information"] == pytest.approx(LOG2, abs=1e-12)
    assert detail["runner_up_information"] == pytest.approx(BLURRED_INFORMATION, abs=1e-12)
    assert detail["entropy"] == pytest.approx(LOG2, abs=1e-12)


def test_each_factors_gap_is_in_units_of_its_own_entropy():
    """Factor 0 (two values) is known fully, factor 1 (four values) by half: the mean of 1 and 1/2."""
    factors = np.stack(np.meshgrid(range(2), range(4), indexing="ij"), axis=-1).reshape(-1, 2)
    codes = np.column_stack([factors[:, 0], factors[:, 1] // 2])
    assert MIG(codes, factors) == pytest.approx(0.75, abs=1e-12)


def test_jemmig_by_hand():
    detail = JEMMIG.detail(np.column_stack([BLURRED, COPY]), FACTOR, bins=2)
    assert detail["j_nats"] == pytest.approx(BLURRED_INFORMATION, abs=1e-12)  # H(z, v) - I of the copy is 0
    assert detail["score"] == pytest.approx(1 - BLURRED_INFORMATION / (LOG2 + LOG2), abs=1e-12)
    alone = JEMMIG.detail(np.column_stack([BLURRED]), FACTOR, bins=2)
    assert alone["j_nats"] == pytest.approx(BLURRED_JOINT - BLURRED_INFORMATION, abs=1e-12)
    wider = JEMMIG(np.column_stack([BLURRED, COPY]), FACTOR, bins=8)
    assert wider == pytest.approx(1 - BLURRED_INFORMATION / (LOG2 + math.log(8)), abs=1e-12)


def test_jemmig_charges_for_what_a_code_says_beyond_its_factor_and_mig_does_not(grid):
    """One code holds factor 0 and, in finer steps, factor 1: it knows factor 0 as well as a plain copy does."""
    plain, crowded = as_codes(grid[:, :1]), as_codes(grid[:, :1] * 4 + grid[:, 1:2])
    factor = grid[:, :1]
    assert MIG(crowded, factor) == pytest.approx(MIG(plain, factor), abs=1e-12)
    excess = JEMMIG.detail(crowded, factor)["j_nats"] - JEMMIG.detail(plain, factor)["j_nats"]
    assert excess == pytest.approx(math.log(4), abs=1e-12)


def test_of_codes_that_know_as_much_the_plainer_one_wins_whatever_their_order(grid):
    plain, crowded = grid[:, 0], grid[:, 0] * 4 + grid[:, 1]
    for codes, winner in ((np.column_stack([plain, crowded]), 0), (np.column_stack([crowded, plain]), 1)):
        info = information.information(as_table(codes, grid[:, :1]), 20)
        assert gap(info).winner.tolist() == [winner]
        assert gap(info).runner_up == pytest.approx(gap(info).best)


def test_one_code_has_a_runner_up_that_knows_nothing(grid):
    info = information.information(as_table(as_codes(grid[:, :1]), grid), 20)
    assert gap(info).runner_up.tolist() == [0.0, 0.0, 0.0]


def test_a_dead_code_has_exactly_no_information(grid):
    info = information.information(as_table(np.full((len(grid), 2), 0.1), grid), 20)
    assert not info.mutual.any()


@pytest.mark.parametrize(("bins", "expected"), [(10, 0.790), (20, 0.902), (40, 1.0)])
def test_bins_cap_the_mig_of_a_perfect_dsprites_code(bins, expected):
    """Factor by factor, as on the full grid; a sample of rows scores a little less, its runner-up knows something by luck."""
    scores = [MIG(np.arange(size)[:, None], np.arange(size)[:, None], bins=bins) for size in (3, 6, 40, 32, 32)]
    assert np.mean(scores) == pytest.approx(expected, abs=5e-4)


@given(seed=st.integers(0, 10**6), bins=st.integers(2, 12))
def test_merging_values_of_a_code_never_adds_information(seed, bins):
    rng = np.random.default_rng(seed)
    factors, fine = rng.integers(0, 4, (40, 1)), rng.integers(0, bins, 40)
    codes = np.column_stack([fine, fine // 2])
    counts = contingency(codes.T.astype(np.intp), factors, np.array([4]), bins)
    fine_information, coarse_information = (
        mutual_info_score(None, None, contingency=table) for table in counts + 1e-300
    )
    assert coarse_information <= fine_information + 1e-9
