"""Correlations by blocks of rows against NumPy's."""

import numpy as np
import pytest

from disbench.metrics import columns as columns_module
from disbench.metrics.columns import column_extremes, column_sums
from disbench.metrics.correlation import correlations, spread


@pytest.fixture
def codes():
    rng = np.random.default_rng(0)
    return rng.normal(size=(501, 6)) @ rng.normal(size=(6, 6))


@pytest.mark.parametrize("elements", [64, 1 << 18])
def test_correlations_are_numpys_in_blocks_of_any_size(codes, elements, monkeypatch):
    monkeypatch.setattr(columns_module, "ELEMENTS_AT_ONCE", elements)
    factors = np.round(codes @ np.ones((6, 2)) + [[3.0, -50.0]])
    expected = np.corrcoef(codes.T, factors.T)
    assert correlations(codes, factors) == pytest.approx(expected[:6, 6:], abs=1e-13)
    assert spread(codes).correlation() == pytest.approx(expected[:6, :6], abs=1e-13)


def test_neither_offset_nor_scale_costs_digits(codes):
    expected = np.corrcoef(codes.T)
    assert spread(codes + 1e6).correlation() == pytest.approx(expected, abs=1e-9)
    assert spread(codes + np.array([0, 1e4, 0, 0, -1e4, 0])).correlation() == pytest.approx(expected, abs=1e-11)
    scales = 10.0 ** np.array([-290, -120, -3, 0, 20, 140])
    assert spread(codes * scales).correlation() == pytest.approx(expected, abs=1e-13)
    assert spread(codes.astype(np.float32)).correlation() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("elements", [10, 1 << 18])
@pytest.mark.parametrize("columns", [1, 6, 600])
def test_columns_are_reduced_in_blocks_of_any_size(order, elements, columns, monkeypatch):
    monkeypatch.setattr(columns_module, "ELEMENTS_AT_ONCE", elements)
    array = np.asarray(np.random.default_rng(1).normal(size=(303, columns)), order=order)
    lowest, highest = column_extremes(array)
    assert np.array_equal(lowest, array.min(axis=0))
    assert np.array_equal(highest, array.max(axis=0))
    assert column_sums(array, np.full(columns, 2.0)) == pytest.approx(array.sum(axis=0) / 2, abs=1e-12)
    array[7, 0] = np.nan
    lowest, highest = column_extremes(array)
    assert np.isnan([lowest[0], highest[0]]).all()
    assert np.isfinite(lowest[1:]).all()
