"""The one input check: what it refuses, and how factor values are relabelled."""

import numpy as np
import pytest
from hypothesis import given, strategies as st
from hypothesis.extra.numpy import arrays

from disbench.metrics import METRICS, NotApplicable, shuffled
from disbench.metrics.table import as_table

CODES = np.array([[0.0, 1.0], [1.0, 1.0], [2.0, 1.0]])
FACTORS = np.array([[0, 5], [1, 5], [1, 5]])


@pytest.mark.parametrize(
    ("codes", "factors", "message"),
    [
        (CODES[:, 0], FACTORS, r"codes needs shape \(rows, codes\), got \(3,\)"),
        (CODES, FACTORS[:, 0], r"factors needs shape \(rows, factors\), got \(3,\).*factors\[:, None\]"),
        (CODES[:, :0], FACTORS, r"got \(3, 0\)"),
        (CODES.astype(complex), FACTORS, "real numbers, got dtype complex128"),
        (CODES.astype(str), FACTORS, "real numbers"),
        (CODES[:2], FACTORS, "same rows, got 2 and 3"),
        (CODES[:1], FACTORS[:1], "at least 2 rows, got 1"),
        (np.where(CODES == 2.0, np.nan, CODES), FACTORS, "finite values .* in code 0"),
        (np.where(CODES == 2.0, -np.inf, CODES), FACTORS, "finite values"),
        (np.where(CODES == 2.0, 1e31, CODES), FACTORS, "finite values"),
        (CODES, np.where(FACTORS == 0, np.nan, FACTORS), "got NaN or infinity in column 0"),
        (CODES, np.where(FACTORS == 0, np.nan, FACTORS)[:, ::-1], "got NaN or infinity in column 1"),
        (CODES, np.where(FACTORS == 0, -np.inf, FACTORS), "got NaN or infinity in column 0"),
    ],
)
def test_a_malformed_table_is_refused_with_what_was_needed_and_got(codes, factors, message):
    with pytest.raises(ValueError, match=message) as error:
        as_table(codes, factors)
    assert not isinstance(error.value, NotApplicable)
    assert " bin " not in str(error.value)


def test_dead_codes_and_constant_factors_are_named_by_the_callers_columns():
    table = as_table(CODES, FACTORS[:, ::-1])
    assert table.dead_codes == [1]
    assert table.constant_factors == [0]
    assert table.columns == [1]
    assert table.labels.ravel().tolist() == [0, 1, 1]
    assert table.sizes.tolist() == [2]
    assert table.codes.dtype == np.float64


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_codes_of_half_precision_are_checked_and_kept(wrong):
    codes = CODES.astype(np.float16)
    assert np.array_equal(as_table(codes, FACTORS).codes, CODES)
    codes[2, 0] = wrong
    with pytest.raises(ValueError, match=r"finite values .* in code 0"):
        as_table(codes, FACTORS)


@pytest.mark.parametrize("dtype", [np.uint64, np.int64])
def test_whole_codes_that_float64_would_merge_stay_apart(dtype):
    codes = np.array([[0, 7], [1, 7], [2, 7]], dtype=dtype) + dtype(2**62 + 1)
    table = as_table(codes, FACTORS)
    assert np.array_equal(table.codes, [[0, 0], [1, 0], [2, 0]])
    assert table.dead_codes == [1]
    assert np.array_equal(np.sort(shuffled(codes, seed=0), axis=0), codes)


@pytest.mark.skipif(np.finfo(np.longdouble).max == np.finfo(float).max, reason="long double is float64 here")
def test_values_beyond_float64_keep_their_proportions():
    factors = np.array([[1], [11], [11]], dtype=np.longdouble) * np.longdouble(10) ** 400
    values = as_table(CODES, factors).values[:, 0]
    assert values / values[0] == pytest.approx([1, 11, 11])


@pytest.mark.parametrize("metric", ["mig", "mcc", "infom"])
def test_words_dates_and_masked_values_are_refused_in_plain_words(metric):
    for codes, factors, words in (
        (CODES, np.array([["a", "b"]] * 3), r"number the values of each column: numpy\.unique"),
        (CODES, FACTORS.astype("datetime64[D]"), r"convert it: factors\.astype\(float\)"),
        (CODES, np.ma.masked_greater(FACTORS, 4), "masked values"),
        (np.ma.masked_greater(CODES, 1), FACTORS, "masked values"),
    ):
        with pytest.raises(ValueError, match=words):
            METRICS[metric](codes, factors)


def test_a_constant_far_from_zero_is_dead_although_its_mean_rounds():
    codes = np.full((1001, 1), 0.1)
    assert codes.std() > 0
    assert as_table(codes, np.arange(1001)[:, None] % 2).dead_codes == [0]


@given(
    column=arrays(np.int64, st.integers(3, 40), elements=st.one_of(st.integers(-9, 9), st.integers(-(2**62), 2**62)))
)
def test_relabelling_is_the_rank_among_distinct_values(column):
    values, ranks = np.unique(column, return_inverse=True)
    codes = np.zeros((len(column), 1))
    if len(values) == 1:
        with pytest.raises(NotApplicable):
            as_table(codes, column[:, None])
    else:
        table = as_table(codes, column[:, None])
        assert table.labels[:, 0].tolist() == ranks.tolist()
        assert table.sizes.tolist() == [len(values)]


@pytest.mark.parametrize(
    "column",
    [
        np.array([-(2**63), 2**63 - 1, -(2**63)], dtype=np.int64),
        np.array([2**64 - 2, 2**64 - 1, 2**64 - 2], dtype=np.uint64),
        np.array([-128, 127, -128], dtype=np.int8),
        np.array([False, True, False]),
        np.array([-1e300, 1e300, -1e300]),
        np.array([0.25, 0.5, 0.25], dtype=np.float16),
        np.array([-1e-300, 1e-320, -1e-300]),
    ],
)
def test_any_two_values_have_two_labels_and_finite_values_in_the_same_order(column):
    table = as_table(np.zeros((3, 1)), column[:, None])
    assert table.labels[:, 0].tolist() == [0, 1, 0]
    assert np.isfinite(table.values).all()
    assert table.values[0] == table.values[2] < table.values[1]


def test_values_are_the_callers_numbers_whatever_their_type():
    for kind in (np.int8, np.uint16, np.float32, np.float64):
        column = np.array([[3], [100], [7], [3]], dtype=kind)
        assert as_table(np.zeros((4, 1)), column).values[:, 0].tolist() == [3.0, 100.0, 7.0, 3.0]
    fractions = np.array([[0.1], [-2.5], [1e9]])
    assert as_table(np.zeros((3, 1)), fractions).values.tolist() == fractions.tolist()


def test_neighboring_whole_numbers_beyond_float64_keep_their_distances():
    column = np.array([[2**63 + 1], [2**63 + 4], [2**63 + 2]], dtype=np.uint64)
    assert as_table(np.zeros((3, 1)), column).values[:, 0].tolist() == [0.0, 3.0, 1.0]
    column = np.array([[-(2**62) - 3], [-(2**62)], [-(2**62) + 1]])
    assert as_table(np.zeros((3, 1)), column).values[:, 0].tolist() == [0.0, 3.0, 4.0]


@pytest.mark.parametrize(
    ("column", "continuous"),
    [
        (np.random.default_rng(0).normal(size=600), True),
        (np.random.default_rng(0).normal(size=600).astype(np.float32), True),
        (np.random.default_rng(0).normal(size=600).round(2), True),  # fewer than ten rows per value
        (np.random.default_rng(0).permutation(600), True),  # whole numbers, as many as rows
        (np.random.default_rng(0).permutation(600).astype(np.float64), True),
        (np.random.default_rng(0).integers(0, 100, 600), False),
        (np.random.default_rng(0).integers(0, 40, 600) / 39 * 6.28, False),  # an angle with 40 levels
        (np.arange(600) % 2 / 3, False),
        (np.random.default_rng(0).normal(size=12), True),
        (np.arange(40), False),  # a full grid of one factor
    ],
)
def test_a_factor_is_continuous_where_its_values_hardly_recur(column, continuous):
    assert as_table(np.zeros((len(column), 1)), column[:, None]).continuous == (continuous,)


def test_two_rows_are_a_reason_and_not_a_score():
    with pytest.raises(NotApplicable, match="two rows"):
        as_table(CODES[:2], FACTORS[:2])


def test_a_float64_table_is_not_copied_and_another_one_only_when_asked():
    codes, factors = np.random.default_rng(0).normal(size=(20, 3)), np.arange(20)[:, None] % 3
    assert np.shares_memory(as_table(codes, factors).codes, codes)
    narrow = as_table(codes.astype(np.float32), factors)
    assert narrow.codes.dtype == np.float64
    assert narrow.raw_codes.dtype == np.float32
