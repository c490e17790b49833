"""One huge value of a code does not take the digits of the others from metrics that fit trees, which compute in float32."""

import numpy as np
import pytest

from disbench.metrics import METRICS
from disbench.metrics.columns import uncrowded

FEW = {"train": 200, "test": 100}
SCORED = [
    ("dci_es_explicitness", {**FEW, "trees": 10}, "informativeness"),
    ("dci_informativeness", FEW, "score"),
    ("sap_tree", {"train": 400}, "score"),
    ("sample_efficiency", {**FEW, "few": 50, "model": "gradient_boosting"}, "accuracy"),
]


@pytest.mark.parametrize(("name", "options", "key"), SCORED)
def test_a_code_with_one_huge_value_still_tells_its_factor(name, options, key):
    rng = np.random.default_rng(0)
    factors = rng.integers(0, 3, (400, 2))
    codes = factors + 0.05 * rng.normal(size=factors.shape)
    whole = METRICS[name].detail(codes, factors, **options)[key]
    codes[7, 0] = 1e9
    assert METRICS[name].detail(codes, factors, **options)[key] == pytest.approx(whole, abs=0.1)


def test_columns_without_outliers_keep_their_bits_and_crowded_ones_their_order():
    rng = np.random.default_rng(0)
    columns = np.column_stack([rng.uniform(-0.5, 0.5, 500), np.zeros(500), 1e-9 * rng.normal(size=500)])
    columns[3, 2] = 0.5
    found = uncrowded(columns)
    assert (found[:, :2] == columns[:, :2]).all()
    assert (np.argsort(found[:, 2]) == np.argsort(columns[:, 2])).all()
    assert len(np.unique(found[:, 2].astype(np.float32))) == 500
    assert uncrowded(columns[:, :2]) is not None and np.ptp(found[np.arange(500) != 3, 2]) < 10
