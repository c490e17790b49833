"""Metrics of large tables work on a part of the table at a time."""

import tracemalloc

import numpy as np
import pytest

from disbench.metrics import METRICS

NAMES = ("mig", "jemmig", "sap", "mcc", "gaussian_total_correlation", "wasserstein_correlation")


@pytest.fixture(scope="module")
def large_table():
    rng = np.random.default_rng(0)
    factors = rng.integers(0, 5, (100_000, 2), dtype=np.uint8)
    return rng.normal(size=(100_000, 128)), factors


@pytest.mark.parametrize(
    ("name", "kind"), [(name, kind) for name in NAMES for kind in ("float64", "float32")] + [("irs", "float64")]
)
def test_a_large_table_is_not_copied(name, kind, large_table):
    codes, factors = large_table[0].astype(kind, copy=False), large_table[1]
    tracemalloc.start()
    try:
        METRICS[name](codes, factors)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 0.5 * codes.nbytes
