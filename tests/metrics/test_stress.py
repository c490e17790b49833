"""The stress suite: its encoders have the properties that they are described with, and a run says what it measured."""

import json

import numpy as np
import pytest

from disbench.metrics import METRICS
from disbench.metrics.stress import Cell, StressRow, StressRun, findings, placed, stress
from disbench.metrics.stress_encoders import BINARY, stress_encoders

ENCODERS = stress_encoders()
QUICK = ["mig", "tad", "group_mig", "gaussian_total_correlation", "r2_separation"]


@pytest.fixture(scope="module")
def run():
    return stress(QUICK)


def correlations(name):
    one = ENCODERS[name]
    return np.abs(np.corrcoef(one.codes.T, one.factors.T)[: one.codes.shape[1], one.codes.shape[1] :])  # (D, K)


@pytest.mark.parametrize("name", ENCODERS)
@pytest.mark.parametrize("sizes", [(3, 4, 5), BINARY])
def test_every_encoder_is_a_whole_table(name, sizes):
    one = stress_encoders(480, 0, sizes)[name]
    assert one.codes.shape == one.std.shape and len(one.codes) == len(one.factors)
    assert one.groups.shape == one.codes.shape[1:] and one.groups.min() >= 1
    assert [len(np.unique(column)) for column in one.factors.T] == list(sizes)
    assert one.what.endswith(".")


@pytest.mark.parametrize(
    "name, best",
    [
        ("perfect", [1.0, 1.0, 1.0]),
        ("permuted", [1.0, 1.0, 1.0]),
        ("duplicated", [1.0, 1.0, 1.0]),
        ("dropped", [0.0, 1.0, 1.0]),
        ("rotated_45", [0.7, 0.7, 1.0]),
        ("noisy", [0.96, 0.96, 0.96]),
        ("noise", [0.05, 0.05, 0.05]),
        ("merged", [0.95, 0.3, 1.0]),
        ("correlated", [1.0, 1.0, 1.0]),
    ],
)
def test_encoders_follow_the_factors_as_described(name, best):
    assert correlations(name).max(axis=0) == pytest.approx(best, abs=0.06)


def test_a_circle_is_on_a_circle_and_reordered_values_are_on_no_line():
    circle, reordered = ENCODERS["circle"], ENCODERS["reordered"]
    assert np.hypot(*circle.codes[:, 2:].T).std() < 1e-9
    assert correlations("reordered")[[0, 1, 2], [0, 1, 2]].max() < 0.6
    pairs = np.column_stack([reordered.codes[:, 2], reordered.factors[:, 2]])
    assert len(np.unique(np.round(pairs, 6), axis=0)) == 5


def test_conditions_have_the_factors_that_they_name():
    first, second, _ = ENCODERS["correlated"].factors.T
    assert 0.5 < np.corrcoef(first, second)[0, 1] < 0.9
    counts = np.bincount(ENCODERS["imbalanced"].factors[:, 2])
    assert (counts[:-1] > 1.5 * counts[1:]).all()
    assert len(ENCODERS["small_n"].codes) == 100


def test_encoders_depend_on_the_seed_alone():
    again, other = stress_encoders(480, 0), stress_encoders(480, 1)
    assert all((again[name].codes == one.codes).all() for name, one in ENCODERS.items())
    assert (other["noise"].codes != ENCODERS["noise"].codes).all()


def test_too_few_rows_are_refused_with_the_least_number():
    with pytest.raises(ValueError, match="rows >= 120"):
        stress_encoders(119)


def test_a_run_has_a_row_for_each_metric_with_floor_and_ceiling(run):
    assert [row.metric for row in run.metrics] == [name for name in METRICS if name in QUICK]
    mig = run.metrics[0].cells
    assert (mig["perfect"].place, mig["noise"].place) == (1.0, pytest.approx(0.0, abs=0.05))
    assert mig["duplicated"].score == pytest.approx(0.0, abs=1e-6)
    assert mig["dropped"].floor < 0.1 and mig["dropped"].ceiling == 1.0


def test_a_metric_of_binary_factors_gets_binary_factors(run):
    by_name = {row.metric: row for row in run.metrics}
    assert [row.metric for row in run.metrics if row.binary] == ["tad"]
    assert by_name["tad"].cells["perfect"].score == pytest.approx(1.5)


def test_a_metric_that_reads_codes_alone_has_no_place_and_its_reasons_are_kept(run):
    cells = {row.metric: row for row in run.metrics}["gaussian_total_correlation"].cells
    assert cells["perfect"].place is None and cells["perfect"].floor is None
    assert cells["duplicated"].score is None and cells["duplicated"].reason


def test_a_run_survives_json(run):
    written = json.loads(json.dumps(run.as_json()))
    assert StressRun.from_json(written) == run
    assert written["metrics"][0]["cells"]["perfect"]["place"] == 1.0


def test_every_metric_is_told_of_as_it_ends():
    told = []
    stress(["mig", "jemmig"], on_metric=lambda *what: told.append(what))
    assert told == [("mig", 0, 2), ("jemmig", 1, 2)]


def test_findings_sort_encoders_by_what_they_cost():
    kinds = {"perfect": "reference", "a": "defect", "b": "defect", "c": "defect", "d": "harmless", "e": "condition"}
    kinds |= {"f": "defect", "g": "defect", "h": "defect"}
    cells = {
        "perfect": Cell(0.9, 0.1, 0.9, 1.0),
        "a": Cell(0.5, 0.1, 0.9, 0.5),
        "b": Cell(0.8, 0.1, 0.9, 0.875),
        "c": Cell(0.9, 0.1, 0.9, 1.0),
        "d": Cell(0.3, 0.1, 0.9, 0.25),
        "e": Cell(0.7, 0.1, 0.7, 1.0),
        "f": Cell(reason="no reason"),
        "g": Cell(0.905, 0.9, 0.92),
        "h": Cell(0.6, 0.6, 0.6),
    }
    row = StressRow("x", "X", "", "", True, 1, False, cells)
    found = findings(row, {name: {"kind": kind} for name, kind in kinds.items()})
    assert (found.sees, found.hardly_sees, found.misses) == (["a", "h"], ["b"], ["c", "g"])
    assert (found.charges, found.moves, found.without) == (["d"], ["e"], {"f": "no reason"})


@pytest.mark.parametrize(
    "metric, score, floor, ceiling, place",
    [
        ("mig", 0.5, 0.0, 1.0, 0.5),
        ("mig", 1.2, 0.0, 1.0, 1.0),
        ("mig", -0.1, 0.0, 1.0, 0.0),
        ("z_min_var", 0.2, 0.8, 0.0, 0.75),
        ("mig", 0.5, 0.48, 0.5, None),
        ("mig", 0.5, 1.0, 0.0, None),
        ("r2_separation", 0.4, 0.0, 0.4, None),
        ("mig", 0.5, None, 1.0, None),
    ],
)
def test_a_place_needs_a_ceiling_that_is_better_than_the_floor(metric, score, floor, ceiling, place):
    assert placed(METRICS[metric], score, floor, ceiling).place == place
