"""A metric that takes minutes says so before it begins."""

import logging

import numpy as np
import pytest

from disbench.benchmarks.trials.cost import seconds, warning
from disbench.benchmarks.trials.score import score


@pytest.mark.parametrize(
    ("name", "options", "rows", "codes", "words"),
    [
        ("dci_disentanglement", {}, 10_000, 512, "512 codes x 5 factors x 10,000 rows, this may take about 2 hours"),
        ("dci_informativeness", {"model": "random_forest"}, 10_000, 10, "minute"),
        ("dci_disentanglement", {"model": "lasso"}, 10_000, 512, None),
        ("dci_disentanglement", {"train": 100, "test": 100}, 10_000, 10, None),
        ("mutual_info_score", {}, 10_000, 4096, "minutes"),
        ("mig", {}, 1_000_000, 512, None),
        ("dcimig", {}, 1_000_000, 512, None),
    ],
)
def test_a_long_metric_is_told_with_its_size_and_a_short_one_is_not(name, options, rows, codes, words):
    told = warning(name, options, rows, codes, [10] * 5)
    assert told is None if words is None else words in told


def test_more_of_anything_costs_more():
    least = seconds("infoe", {}, 1000, 10, [5, 5])
    assert 0 < least < seconds("infoe", {}, 2000, 10, [5, 5])
    assert least < seconds("infoe", {}, 1000, 20, [5, 5])
    assert least < seconds("infoe", {}, 1000, 10, [5, 50])


def test_score_tells_once_for_the_scores_that_share_a_computation(monkeypatch, caplog):
    monkeypatch.setattr("disbench.benchmarks.trials.cost.LONG", 0.0)
    rng = np.random.default_rng(0)
    few = {"train": 40, "test": 20}
    with caplog.at_level(logging.INFO):
        score(
            rng.normal(size=(60, 2)), rng.integers(0, 2, (60, 2)), {"dci_disentanglement": few, "dci_completeness": few}
        )
    assert [record.getMessage().partition(":")[0] for record in caplog.records] == ["dci_disentanglement"]
