"""Score, floor and ceiling of one table read the same factors; deviations of posteriors reach the metric that uses them."""

import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from typer.testing import CliRunner

from disbench.benchmarks.cli.main import app
from disbench.benchmarks.runtime.seeds import seed_for
from disbench.benchmarks.trials.score import score
from disbench.metrics import METRICS, PROTOCOLS, Metric, Table
from disbench.metrics.views import GROUP, view

RNG = np.random.default_rng(0)
ROWS = 1500
RANKS = RNG.integers(0, 8, (ROWS, 3))
CODES = RANKS + 0.1 * RNG.normal(size=RANKS.shape)
VALUES = {
    "one far value": np.array([0, 1, 2, 3, 4, 5, 6, 9999]),
    "powers of two": 2 ** np.arange(8),
    "uint64 beyond 2**63": np.array([2**63 + 1 + i for i in range(8)], dtype=np.uint64),
    "int64 beyond 2**53": np.array([-(2**60) + i for i in range(8)]),
    "negative": np.arange(8) - 1000,
    "whole floats": np.arange(8, dtype=np.float32) * 3,
    "fractions": np.array([0.1, 0.2, 0.35, 0.5, 0.55, 0.7, 7.1, 70.2]),
    "huge floats": np.array([0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 1e300]),
}
LABELS = {"mig": {}, "jemmig": {}, "dcimig": {}, "modularity": {}, "mig_sup": {}, "irs": {}, "rmig": {}}


@pytest.mark.parametrize("values", VALUES)
def test_score_floor_and_ceiling_read_one_relabelled_table(values: str) -> None:
    found, expected = score(CODES, VALUES[values][RANKS], LABELS), score(CODES, RANKS, LABELS)
    assert (found.scores, found.floor, found.ceiling) == (expected.scores, expected.floor, expected.ceiling)
    assert found.scores["mig"] > 0.9
    for name in LABELS:
        assert found.ceiling[name] >= found.scores[name] - 1e-9


@pytest.mark.parametrize("values", VALUES)
def test_the_ceiling_of_a_metric_of_values_is_a_code_of_values(values: str) -> None:
    ceiling = score(
        CODES, VALUES[values][RANKS], {"mcc": {}, "sap": {}, "dci_completeness": {"model": "lasso"}}
    ).ceiling
    assert ceiling["mcc"] == pytest.approx(1.0, abs=1e-9)
    assert ceiling["sap"] > 0.98
    assert ceiling["dci_completeness"] > 0.98


def test_booleans_are_factors() -> None:
    bits = RANKS > 3
    assert (
        score(CODES, bits, LABELS | {"mcc": {}}).scores == score(CODES, bits.astype(int), LABELS | {"mcc": {}}).scores
    )


def test_continuous_factors_are_scored_where_the_definition_allows_and_else_have_a_reason() -> None:
    factors = np.exp(RNG.normal(size=(ROWS, 3)))
    found = score(
        factors + 0.05 * factors.std(axis=0) * RNG.normal(size=factors.shape), factors, {name: {} for name in METRICS}
    )
    scored = {"mcc", "sap", "mig", "jemmig", "dcimig", "mig_sup", "modularity", "rmig", "infom", "infoe", "infoc"}
    assert scored <= set(found.scores)
    assert found.scores["mcc"] == pytest.approx(0.999, abs=1e-3)
    assert found.scores["infoe"] > 0.99
    for name in ("sap_svc", "explicitness", "dci_disentanglement", "z_diff", "irs"):
        assert "factor 0" in found.skipped[name]


DEVIATIONS = np.abs(RNG.normal(1.5, 0.5, size=CODES.shape))


def test_deviations_reach_rmig_and_their_rows_follow_the_shuffled_codes() -> None:
    plain, found = score(CODES, RANKS, {"rmig": {}}), score(CODES, RANKS, {"rmig": {}}, codes_std=DEVIATIONS)
    rmig = METRICS["rmig"]
    assert found.scores["rmig"] == rmig(CODES, RANKS, std=DEVIATIONS) < plain.scores["rmig"] - 0.1
    order = np.random.default_rng(seed_for(0, "floor")).permutation(ROWS)
    assert found.floor["rmig"] == rmig(CODES[order], RANKS, std=DEVIATIONS[order])
    assert found.floor["rmig"] != rmig(CODES[order], RANKS, std=DEVIATIONS)
    assert found.ceiling == plain.ceiling


def test_confidence_resamples_the_deviations_with_their_rows() -> None:
    found = score(CODES, RANKS, {"rmig": {}}, codes_std=DEVIATIONS, resamples=20)
    interval = found.confidence["rmig"]
    assert interval["low"] <= found.scores["rmig"] <= interval["high"]
    assert interval["high"] < METRICS["rmig"](CODES, RANKS)


@pytest.mark.parametrize("kind", [".npz", ".h5"])
def test_deviations_in_a_file_are_used(kind: str, tmp_path: Path) -> None:
    arrays = {"codes": CODES, "factors": RANKS, "codes_std": DEVIATIONS.astype(np.float32)}
    path = tmp_path / f"t{kind}"
    if kind == ".npz":
        np.savez(path, **arrays)
    else:
        with h5py.File(path, "w") as file:
            for name, array in arrays.items():
                file[name] = array
    found = json.loads(cli(path, "--metrics", "rmig,mig", "--json"))
    assert found["scores"]["rmig"] == METRICS["rmig"](CODES, RANKS, std=arrays["codes_std"])
    assert found["scores"]["mig"] == METRICS["mig"](CODES, RANKS)


def test_a_component_has_the_deviation_of_a_sum_of_independent_posteriors() -> None:
    shown = view(GROUP, CODES, np.array([1, 1, 2]), DEVIATIONS)
    along = np.linalg.eigh(np.cov(CODES[:, :2], rowvar=False))[1][:, -1]
    assert shown.codes_std is not None
    assert shown.codes_std[:, 0] == pytest.approx(np.sqrt((along**2 * DEVIATIONS[:, :2] ** 2).sum(axis=1)))
    assert shown.codes_std[:, 1] == pytest.approx(DEVIATIONS[:, 2])


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_protocol_leaves_no_usual_metric_out_without_a_reason(protocol: str, tmp_path: Path) -> None:
    path = tmp_path / "t.npz"
    np.savez(path, codes=CODES[:300], factors=RANKS[:300])
    usual = json.loads(cli(path, "--json", "--metric-option", "z_diff.train=100", "--metric-option", "z_diff.test=100"))
    words = [w for name in ("z_diff", "z_min_var") if name in PROTOCOLS[protocol] for w in quick(name)]
    found = json.loads(cli(path, "--protocol", protocol, "--json", *words))
    assert set(found["scores"]) | set(found["skipped"]) == set(usual["scores"]) | set(usual["skipped"])
    assert ("mig" in found["scores"]) == (protocol != "higgins2017")
    for name in set(found["skipped"]) - set(PROTOCOLS[protocol]):
        assert found["skipped"][name].startswith(f"{protocol} has no settings for it")


def quick(name: str) -> list[str]:
    return [word for count in ("train", "test") for word in ("--metric-option", f"{name}.{count}=100")]


def cli(*words: Any) -> str:
    result = CliRunner().invoke(app, ["score", *map(str, words)])
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.mark.filterwarnings("error")
def test_no_advice_of_a_library_is_passed_on() -> None:
    many = np.column_stack([np.random.default_rng(0).integers(0, 300, 500), RANKS[:500, 0]])
    found = score(CODES[:500], many, {"infoe": {"max_iter": 3}, "sap_svc": {}})
    assert set(found.scores) == {"infoe", "sap_svc"}
    assert not found.detail["infoe"]["factors"][0]["converged"]


@pytest.mark.parametrize(
    ("factors", "wanted"),
    [
        (RANKS[:, :1], {"dci_completeness": {"model": "lasso", "train": 200}, "mcc": {}}),
        (np.column_stack([RANKS, RANKS[:, 0]]), {"gaussian_total_correlation": {}, "mcc": {}}),
    ],
)
def test_a_score_that_has_no_ceiling_is_a_score(factors: Any, wanted: dict[str, dict[str, Any]]) -> None:
    found = score(CODES, factors, wanted)
    first, usual = wanted
    assert not found.skipped
    assert found.scores[first] == METRICS[first](CODES, factors, **wanted[first])
    assert set(found.floor) == {first, usual}
    assert set(found.ceiling) == {usual}


def own(compute: Any) -> Metric:
    """A metric of somebody's."""
    card = {"label": "Own", "higher_is_better": True, "bounds": (0.0, 1.0), "definition": "A number.", "source": "Me"}
    return Metric(compute, **card)


def test_numbers_and_arrays_of_numpy_in_a_metric_of_ones_own_become_plain(monkeypatch: pytest.MonkeyPatch) -> None:
    def compute(table: Table, *, seed: int) -> dict[str, Any]:
        return {"score": np.float32(0.5), "counts": np.arange(3), "parts": ({"rank": np.int64(2)},)}

    monkeypatch.setitem(METRICS, "own", own(compute))
    found = score(CODES, RANKS, {"own": {}})
    assert json.loads(json.dumps(vars(found)))["detail"] == {
        "own": {"score": 0.5, "counts": [0, 1, 2], "parts": [{"rank": 2}]}
    }
    assert (found.scores, found.floor, found.ceiling) == ({"own": 0.5}, {"own": 0.5}, {"own": 0.5})


def test_a_metric_of_ones_own_may_return_a_number_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(METRICS, "own", own(lambda table: float(table.codes[0, 0] == CODES[0, 0])))
    found = score(CODES, RANKS, {"own": {}})
    assert (found.scores, found.detail) == ({"own": 1.0}, {"own": {"score": 1.0}})


def broken(table: Table) -> float:
    raise RuntimeError("a mistake of mine")


@pytest.mark.parametrize(
    ("metric", "told"),
    [
        (own(broken), "own fails: RuntimeError: a mistake of mine"),
        (own(lambda codes, factors: 0.5), "own fails: TypeError"),
        (own(lambda table: None), "own needs to return a number, got None"),
        (own(lambda table: "high"), "own needs to return a number, got 'high'"),
        (own(lambda table: {"value": 0.5}), "own needs to be a dictionary with 'score', got {'value': 0.5}"),
        (own(lambda table: {"score": 0.5, "of": print}), "own needs numbers, text, lists"),
    ],
)
def test_a_mistake_in_a_metric_of_ones_own_is_told_by_its_name(
    metric: Metric, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(METRICS, "own", metric)
    np.savez(tmp_path / "t.npz", codes=CODES, factors=RANKS)
    result = CliRunner().invoke(app, ["score", str(tmp_path / "t.npz"), "--metrics", "own"])
    assert result.exit_code == 2
    assert told in result.output
    assert "bug in disbench" not in result.output
