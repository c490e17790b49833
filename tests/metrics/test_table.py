"""The one input check: what it refuses, and how factor values are relabelled."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from disbench.metrics import NotApplicable
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
        (CODES, FACTORS + 0.5, "whole numbers, got fractions"),
        (CODES, np.where(FACTORS == 0, np.nan, FACTORS), "whole numbers"),
        (CODES, np.where(FACTORS == 0, np.inf, FACTORS), "whole numbers"),
    ],
)
def test_a_malformed_table_is_refused_with_what_was_needed_and_got(codes, factors, message):
    with pytest.raises(ValueError, match=message) as error:
        as_table(codes, factors)
    assert not isinstance(error.value, NotApplicable)


def test_dead_codes_and_constant_factors_are_named_by_the_callers_columns():
    table = as_table(CODES, FACTORS[:, ::-1])
    assert table.dead_codes == [1]
    assert table.constant_factors == [0]
    assert table.columns == [1]
    assert table.factors.ravel().tolist() == [0, 1, 1]
    assert table.sizes.tolist() == [2]
    assert table.codes.dtype == np.float64


def test_a_constant_far_from_zero_is_dead_although_its_mean_rounds():
    codes = np.full((1001, 1), 0.1)
    assert codes.std() > 0
    assert as_table(codes, np.arange(1001)[:, None] % 2).dead_codes == [0]


@given(
    column=arrays(np.int64, st.integers(2, 40), elements=st.one_of(st.integers(-9, 9), st.integers(-(2**62), 2**62)))
)
def test_relabelling_is_the_rank_among_distinct_values(column):
    values, ranks = np.unique(column, return_inverse=True)
    codes = np.zeros((len(column), 1))
    if len(values) == 1:
        with pytest.raises(NotApplicable):
            as_table(codes, column[:, None])
    else:
        table = as_table(codes, column[:, None])
        assert table.factors[:, 0].tolist() == ranks.tolist()
        assert table.sizes.tolist() == [len(values)]


@pytest.mark.parametrize(
    "column",
    [
        np.array([-(2**63), 2**63 - 1], dtype=np.int64),
        np.array([2**64 - 1, 2**64 - 2], dtype=np.uint64),
        np.array([-128, 127], dtype=np.int8),
        np.array([True, False]),
        np.array([1e300, -1e300]),
    ],
)
def test_extreme_factor_values_are_only_names(column):
    assert sorted(as_table(np.zeros((2, 1)), column[:, None]).factors[:, 0].tolist()) == [0, 1]
