"""Several evaluations of a trial, from a suite to the commands: added later, refused early, and with seeds trained as one."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from disbench.benchmarks.cli.main import app
from disbench.benchmarks.studies.engines.stacked import stacked_engine
from disbench.benchmarks.studies.run import run_suite
from disbench.benchmarks.studies.suite import Suite
from disbench.benchmarks.trials import trial as trial_module
from disbench.benchmarks.trials.tables.tables import read_named_table
from disbench.reports.records import Record

OPTIONS = {
    "select": {"shape": 1, "orientation": 0, "position_x": "0-3", "position_y": "0-7"},
    "held_out": {"scale": "4-5"},
}


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial_module, "IMAGES", 2)


def suite(evaluations: dict[str, object], **changes: object) -> Suite:
    dataset = {"name": "dsprites_like", "options": OPTIONS, "evaluations": evaluations}
    fields = {"name": "tiny", "datasets": [dataset], "methods": [{"name": "vae"}], "seeds": [0], "steps": 4}
    shared = {"batch_size": 16, "hparams": {"network": "mlp", "hidden_dim": 8}, "metrics": {"mig": {}}}
    return Suite(**{**fields, **shared, "untrained": False, **changes})


def run(evaluations: dict[str, object], out: Path) -> Record:
    (record,) = run_suite(suite(evaluations), out)
    assert record.status == "ok", record.error
    return record


def test_an_evaluation_is_added_to_a_finished_trial_without_training_it_again(tmp_path: Path) -> None:
    before = run({}, tmp_path)
    checkpoint = tmp_path / before.trial.id / "model.ckpt"
    trained = checkpoint.stat().st_mtime_ns
    after = run({"small": {"scale": "0-1"}}, tmp_path)
    assert checkpoint.stat().st_mtime_ns == trained
    assert after.trial.id == before.trial.id
    assert list(before.evaluations) == ["held_out"]
    assert list(after.evaluations) == ["held_out", "small"]
    assert after.views == before.views
    assert after.evaluations["held_out"] == before.evaluations["held_out"]
    assert set(read_named_table(checkpoint.parent / "codes-small.h5").factors[:, 0]) == {0, 1}
    assert run({"small": {"scale": "0-1"}}, tmp_path) == after  # nothing is left to do


def test_a_changed_selection_of_one_name_is_encoded_again(tmp_path: Path) -> None:
    run({"some": {"scale": 0}}, tmp_path)
    record = run({"some": {"scale": 3}}, tmp_path)
    assert set(read_named_table(tmp_path / record.trial.id / "codes-some.h5").factors[:, 0]) == {3}


@pytest.mark.parametrize(
    ("evaluations", "reason"),
    [
        ({"some": {"scael": 1}}, "Did you mean scale"),
        ({"some": {"scale": 9}}, "value indices in 0..5"),
        ({"some": {"scale": 0, "position_x": 0, "position_y": 0}}, "needs two rows"),
    ],
)
def test_rows_that_are_not_there_are_refused_before_anything_is_trained(
    evaluations: dict[str, object], reason: str, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=reason):
        list(run_suite(suite(evaluations), tmp_path))
    assert not list(tmp_path.iterdir())


def test_the_commands_train_and_evaluate_each_evaluation(tmp_path: Path) -> None:
    words = ["train", "--method", "vae", "--dataset", "dsprites_like", "--steps", "2", "--batch-size", "16"]
    words += ["--set", "network=mlp", "--set", "hidden_dim=8", "--metrics", "mig", "--option", "held_out={scale: 4-5}"]
    words += [word for name, value in OPTIONS["select"].items() for word in ("--select", f"{name}={value}")]
    wrong = CliRunner().invoke(app, [*words, "--evaluation", "large.scael=5", "--out", str(tmp_path)])
    assert wrong.exit_code == 2
    assert not list(tmp_path.iterdir())
    done = CliRunner().invoke(app, [*words, "--evaluation", "large.scale=5", "--out", str(tmp_path)])
    assert done.exit_code == 0, done.output
    for name in ("trained", "held_out", "large"):
        assert f"{name}:" in done.output
    (checkpoint,) = tmp_path.glob("*/model.ckpt")
    shown = CliRunner().invoke(app, ["evaluate", str(checkpoint), "--metrics", "mig"])
    assert shown.exit_code == 0, shown.output
    assert "trained: 128 rows" in shown.output
    assert "held_out: 64 rows" in shown.output


def test_seeds_that_are_trained_as_one_model_see_no_held_out_row(tmp_path: Path) -> None:
    both = {"seeds": [0, 1]}
    apart = {record.trial.seed: record for record in run_suite(suite({}, **both), tmp_path / "apart")}
    together = {
        record.trial.seed: record
        for record in run_suite(suite({}, **both), tmp_path / "together", engine=stacked_engine(2))
    }
    for seed, record in together.items():
        assert any("stacked" in remark for remark in record.remarks)
        for name, points in apart[seed].curves.items():
            assert record.curves[name] == [(step, pytest.approx(value, rel=1e-4)) for step, value in points]
