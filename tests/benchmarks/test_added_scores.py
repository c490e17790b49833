"""`disbench evaluate RUNS --add`: further metrics in records that exist, without training."""

import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from disbench.benchmarks.cli.main import app
from disbench.benchmarks.studies.run import run_suite
from disbench.benchmarks.studies.suite import Suite
from disbench.benchmarks.trials import trial as trial_module
from disbench.benchmarks.trials.tables.added import add_scores
from disbench.reports.records import RECORD_FILE, read_record

OPTIONS = {
    "select": {"shape": 1, "orientation": 0, "position_x": "0-3", "position_y": "0-7"},
    "held_out": {"scale": "4-5"},
}


def suite(metrics: dict[str, object]) -> Suite:
    dataset = {"name": "dsprites_like", "options": OPTIONS}
    shared = {"batch_size": 16, "hparams": {"network": "mlp", "hidden_dim": 8}, "untrained": False, "metrics": metrics}
    return Suite(name="tiny", datasets=[dataset], methods=[{"name": "vae"}], seeds=[0, 1], steps=4, **shared)


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(trial_module, "IMAGES", 2)
    assert all(record.status == "ok" for record in run_suite(suite({"mig": {}}), tmp_path))
    return tmp_path


def added(runs: Path, *words: str) -> str:
    result = CliRunner().invoke(app, ["evaluate", str(runs), *words])
    assert result.exit_code == 0, result.output
    return result.output + result.stderr


def test_scores_are_those_of_a_suite_with_these_metrics_and_the_earlier_ones_stay(runs: Path, tmp_path: Path) -> None:
    before = {path.parent.name: read_record(path) for path in runs.glob(f"*/{RECORD_FILE}")}
    trained = {path: path.stat().st_mtime_ns for path in runs.glob("*/model.ckpt")}
    output = added(runs, "--add", "sap,fairness", "--metric-option", "fairness.train=60")
    assert "Added to 2 of 2 records" in output
    assert trained == {path: path.stat().st_mtime_ns for path in runs.glob("*/model.ckpt")}
    wanted = suite({"mig": {}, "sap": {}, "fairness": {"train": 60}})
    others = {record.trial.id: record for record in run_suite(wanted, tmp_path / "other")}
    for name, record in before.items():
        now, other = read_record(runs / name / RECORD_FILE), others[name]
        assert now.views["mean"]["mig"] == record.views["mean"]["mig"]
        for part, whole in ((now, other), (now.evaluations["held_out"], other.evaluations["held_out"])):
            assert part.views == whole.views
            assert (part.floor, part.ceiling, part.skipped) == (whole.floor, whole.ceiling, whole.skipped)
            assert part.detail == whole.detail
        assert now.metric_options == other.metric_options
        assert now.metric_versions == other.metric_versions
        assert now.curves == record.curves
        assert "--metrics mig,sap,fairness" in now.command
    assert {record.trial.id for record in run_suite(wanted, runs)} == set(before)  # nothing is left to do
    assert trained == {path: path.stat().st_mtime_ns for path in runs.glob("*/model.ckpt")}


def test_missing_codes_are_made_again_from_the_checkpoint(runs: Path) -> None:
    folder = next(path.parent for path in runs.glob("*/model.ckpt"))
    original = (folder / "codes.h5").read_bytes()
    add_scores(folder, {"sap": {}})
    score = read_record(folder / RECORD_FILE).scores["sap"]
    content = json.loads((folder / RECORD_FILE).read_text())
    del content["views"]["mean"]["sap"], content["metric_options"]["sap"]
    (folder / RECORD_FILE).write_text(json.dumps(content))
    (folder / "codes.h5").unlink()
    assert add_scores(folder, {"sap": {}}).scores["sap"] == score
    assert len((folder / "codes.h5").read_bytes()) == len(original)


def test_records_without_codes_are_named_and_the_others_are_scored(runs: Path) -> None:
    bare, _ = sorted(path.parent for path in runs.glob("*/model.ckpt"))
    for path in [*bare.glob("*.h5"), bare / "model.ckpt"]:
        path.unlink()
    output = added(runs, "--add", "sap")
    assert "Added to 1 of 2 records" in output
    assert f"{bare.name}: it has neither codes nor a checkpoint" in output
    assert "sap" not in read_record(bare / RECORD_FILE).scores


def test_a_folder_without_records_and_an_unknown_metric_are_refused(runs: Path, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    for words, reason in (
        ((str(empty), "--add", "sap"), "no records"),
        ((str(runs), "--add", "sapp"), "Unknown metric"),
    ):
        result = CliRunner().invoke(app, ["evaluate", *words])
        assert result.exit_code == 2
        assert reason in result.stderr
    for path in runs.glob("*/*"):
        if path.suffix in (".h5", ".ckpt"):
            path.unlink()
    shutil.rmtree(empty)
    assert CliRunner().invoke(app, ["evaluate", str(runs), "--add", "sap"]).exit_code == 2
