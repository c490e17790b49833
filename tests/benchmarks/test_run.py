"""Many trials: each once whoever drives, none that another changes, and what is told of them before, while and after they run."""

import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import yaml
from typer.testing import CliRunner

from disbench.benchmarks.cli.main import app
from disbench.benchmarks.runtime.locks import try_lock
from disbench.benchmarks.runtime.machine import Machine
from disbench.benchmarks.studies.budget import estimates
from disbench.benchmarks.studies.engines import Job, run_job
from disbench.benchmarks.studies.engines.job import written_at
from disbench.benchmarks.studies.run import NOT_OPENED, planned, run_suite
from disbench.benchmarks.studies.status import rows, states
from disbench.benchmarks.studies.suite import Suite
from disbench.benchmarks.training.position import POSITION
from disbench.benchmarks.trials import trial as trial_module
from disbench.benchmarks.trials.encode import read_table
from disbench.reports.records import Record, read_record, write_record

SELECT = {"shape": 1, "orientation": "0-3", "position_x": "10-13", "position_y": "10-13"}
TINY = {
    "name": "tiny",
    "datasets": [{"name": "dsprites_like", "options": {"select": SELECT}}],
    "methods": [{"name": "vae"}, {"name": "beta_vae", "grid": {"beta": [1, 4]}}],
    "hparams": {"network": "mlp", "hidden_dim": 8},
    "seeds": [0, 1],
    "steps": 3,
    "batch_size": 16,
    "metrics": {"mig": {"bins": 20}, "irs": {}},
    "untrained": False,
}
MISSING = {"name": "dsprites"}  # an official file that is not there


@pytest.fixture(autouse=True)
def few_reconstructions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial_module, "IMAGES", 2)


def tiny(**changes: object) -> Suite:
    return Suite(**{**TINY, **changes})


def results(records: list[Record]) -> dict[str, dict[str, dict[str, float]]]:
    assert all(record.status == "ok" for record in records), [record.error for record in records]
    return {record.trial.id: record.views for record in records}


def disbench(*words: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, [str(word) for word in words])
    return result.exit_code, result.output


def test_the_same_suite_in_two_folders_has_identical_scores_and_codes(tmp_path: Path) -> None:
    one, two = (results(list(run_suite(tiny(), tmp_path / name))) for name in ("one", "two"))
    assert one == two
    assert len(one) == 6
    for name in one:
        first, second = (read_table(tmp_path / folder / name / "codes.h5") for folder in ("one", "two"))
        assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))


def test_a_method_a_seed_or_a_metric_more_changes_no_other_record(tmp_path: Path) -> None:
    before = results(list(run_suite(tiny(seeds=[1], methods=[{"name": "beta_vae"}]), tmp_path / "before")))
    wider = tiny(
        methods=[{"name": "factor_vae", "hparams": {"discriminator_dim": 8}}, {"name": "vae"}, {"name": "beta_vae"}],
        metrics={"mig": {"bins": 20}, "sap": {}, "irs": {}},
    )
    after = results(list(run_suite(wider, tmp_path / "after")))
    assert len(after) == 6
    for name, views in before.items():
        assert {metric: after[name]["mean"][metric] for metric in ("mig", "irs")} == views["mean"]


def test_two_drivers_in_one_folder_run_each_trial_once(tmp_path: Path) -> None:
    suite = tmp_path / "suite.yaml"
    suite.write_text(yaml.safe_dump({**TINY, "seeds": [0, 1, 2]}))
    command = [sys.executable, Path(__file__).with_name("driver.py"), suite, tmp_path / "runs", tmp_path / "notes"]
    drivers = [subprocess.Popen(command) for _ in range(2)]
    assert [driver.wait() for driver in drivers] == [0, 0]
    begun = [line.split() for line in (tmp_path / "notes").read_text().splitlines()]
    once = Counter(name for _, name in begun)
    assert len(once) == 9
    assert set(once.values()) == {1}
    records = [read_record(path) for path in (tmp_path / "runs").glob("*/record.json")]
    assert set(results(records)) == set(once)
    assert not list((tmp_path / "runs").glob("*/.record.json.*"))


def test_a_trial_that_another_driver_runs_is_left_to_the_end_and_waited_for(tmp_path: Path) -> None:
    suite = tiny(seeds=[0])
    first, *others = [entry.trial.id for entry in planned(suite)]
    release = threading.Event()
    held = threading.Event()

    def other_driver() -> None:
        with try_lock(tmp_path / first) as ours:
            assert ours
            held.set()
            release.wait()

    thread = threading.Thread(target=other_driver, daemon=True)
    thread.start()
    held.wait()
    records = run_suite(suite, tmp_path)
    assert [next(records).trial.id, next(records).trial.id] == others
    release.set()
    assert next(records).trial.id == first
    thread.join()


def test_a_failure_of_another_driver_is_not_tried_again_by_this_one(tmp_path: Path) -> None:
    entry = planned(tiny())[0]
    job = Job(entry.trial, tmp_path, None, entry.metrics, Machine(), written_at(tmp_path / entry.trial.id))
    write_record(Record(trial=entry.trial, status="failed", error="it diverged there"), job.folder)
    assert run_job(job).error == "it diverged there"
    again = job._replace(failed_at=written_at(job.folder))
    assert run_job(again).status == "ok"


def test_failed_trials_are_run_again_unless_they_are_to_be_kept(tmp_path: Path) -> None:
    suite = tiny(seeds=[0])
    failed = planned(suite)[0].trial
    write_record(Record(trial=failed, status="failed", error="long ago"), tmp_path / failed.id)
    kept = {record.trial.id: record for record in run_suite(suite, tmp_path, keep_failed=True)}
    assert kept[failed.id].error == "long ago"
    assert sum(record.status == "ok" for record in kept.values()) == 2
    assert len(results(list(run_suite(suite, tmp_path)))) == 3


def test_other_settings_of_a_metric_are_scored_without_training_again(tmp_path: Path) -> None:
    one = {"seeds": [0], "methods": [{"name": "vae"}]}
    list(run_suite(tiny(**one), tmp_path))
    (checkpoint,) = tmp_path.glob("*/model.ckpt")
    written = checkpoint.stat().st_mtime_ns
    (record,) = run_suite(tiny(**one, metrics={"mig": {"bins": 5}}), tmp_path)
    assert record.metric_options == {"mig": {"bins": 5}}
    assert checkpoint.stat().st_mtime_ns == written


def test_only_a_part_is_run(tmp_path: Path) -> None:
    suite = tmp_path / "suite.yaml"
    suite.write_text(yaml.safe_dump(TINY))
    status, output = disbench("run", suite, "--out", tmp_path / "runs", "--only", "method=beta_vae,seed=1")
    assert status == 0, output
    trials = [read_record(path).trial for path in (tmp_path / "runs").glob("*/record.json")]
    assert sorted((trial.method, trial.seed, trial.hparams["beta"]) for trial in trials) == [
        ("beta_vae", 1, 1),
        ("beta_vae", 1, 4),
    ]
    for words, told in (("method=gan", "beta_vae, vae"), ("seed=7", "0, 1"), ("steps=3", "method=..., dataset=...")):
        status, output = disbench("run", suite, "--out", tmp_path / "runs", "--only", words)
        assert status == 2
        assert told in output


def test_a_data_set_that_cannot_be_opened_is_not_opened_to_run_the_others(tmp_path: Path) -> None:
    suite = tiny(datasets=[MISSING, *TINY["datasets"]])
    plan = planned(suite, str(tmp_path))
    assert [entry.trial.dataset_version == NOT_OPENED for entry in plan] == [True] * 6 + [False] * 6
    assert len(planned(suite, str(tmp_path), {"dataset": {"dsprites_like"}})) == 6


def test_a_data_set_that_a_worker_cannot_open_fails_its_trial_alone(tmp_path: Path) -> None:
    trial = planned(tiny())[0].trial.model_copy(update={"dataset": "dsprites", "dataset_options": {}})
    record = run_job(Job(trial, tmp_path / "runs", str(tmp_path), {}, Machine()))
    assert record.status == "failed"
    assert record.failure == "dataset missing"
    assert "disbench data download" in record.error
    assert read_record(tmp_path / "runs" / trial.id / "record.json") == record


def test_a_trial_that_stands_twice_in_a_suite_is_run_once() -> None:
    twice = tiny(methods=[{"name": "beta_vae", "hparams": {"beta": 4}}, {"name": "beta_vae", "grid": {"beta": [1, 4]}}])
    assert [entry.trial.hparams["beta"] for entry in planned(twice)] == [4, 1, 4, 1]  # two seeds


def test_a_dry_run_counts_and_measures_and_runs_nothing(tmp_path: Path) -> None:
    suite = tmp_path / "suite.yaml"
    suite.write_text(yaml.safe_dump({**TINY, "datasets": [MISSING, *TINY["datasets"]]}))
    status, output = disbench("run", suite, "--out", tmp_path / "runs", "--dry-run", "--data-dir", tmp_path)
    assert status == 0, output
    assert "12 trials, 0 finished. The other 12 need" in output
    assert "Not counted, because it cannot be measured: vae on dsprites, beta_vae on dsprites" in output
    assert not (tmp_path / "runs").exists()


def test_an_estimate_is_what_finished_trials_of_the_kind_took(tmp_path: Path) -> None:
    list(run_suite(tiny(), tmp_path, only={"seed": {"0"}, "method": {"beta_vae"}}))
    for path in tmp_path.glob("*/record.json"):
        record = read_record(path)
        record.seconds = {"train": 6.0, "encode": 1.0, "score": 2.0, "decode": 3.0}
        write_record(record, path.parent)
    longer = tiny(steps=30, seeds=[0, 1, 2], methods=[{"name": "beta_vae", "grid": {"beta": [1, 4, 9]}}])
    (row,) = estimates(planned(longer), tmp_path, None, Machine())
    assert (row.trials, row.left, row.source) == (9, 9, "2 trials")
    assert row.seconds == pytest.approx(9 * (30 * 2.0 + 6.0))
    half = tiny(methods=[{"name": "beta_vae", "grid": {"beta": [1, 4]}}])
    (row,) = estimates(planned(half), tmp_path, None, Machine())
    assert (row.trials, row.left, row.seconds) == (4, 2, pytest.approx(2 * (3 * 2.0 + 6.0)))
    folders = [path.parent for path in tmp_path.glob("*/record.json")]
    sizes = [sum(path.stat().st_size for path in folder.iterdir()) for folder in folders]
    assert row.size == pytest.approx(sum(sizes))


def test_status_tells_finished_from_failed_running_and_waiting(tmp_path: Path) -> None:
    suite = tiny()
    finished, failed, running, *_ = [entry.trial for entry in planned(suite)]
    records = run_suite(suite, tmp_path)
    assert next(records).trial == finished
    records.close()
    write_record(
        Record(trial=failed, status="failed", error="Traceback\nFloatingPointError: it diverged"), tmp_path / failed.id
    )
    with try_lock(tmp_path / running.id):
        (tmp_path / running.id / POSITION).write_text('{"step": 2, "steps": 3, "seconds": 100.0}')
        found = {state.trial.id: state for state in states(tmp_path)}
        status, output = disbench("status", tmp_path)
    kinds = Counter(state.state for state in found.values())
    assert kinds == {"finished": 1, "failed": 1, "running": 1, "waiting": 3}
    assert found[running.id][2:5] == ("running", 2, 50.0)
    assert found[failed.id].reason == "FloatingPointError: it diverged"
    assert status == 0
    assert "6 trials: 1 finished, 1 failed, 1 running, 3 waiting" in output
    assert "running: dsprites_like, beta_vae (beta=4), seed 0, step 2 of 3, 50 s left" in output
    assert Counter(state.state for state in states(tmp_path)) == kinds - Counter(["running"]) + Counter(["stopped"])
    assert [row.label for row in rows(list(found.values()))] == ["vae", "beta_vae (beta=1)", "beta_vae (beta=4)"]


def test_status_of_a_folder_without_trials_says_how_to_start(tmp_path: Path) -> None:
    status, output = disbench("status", tmp_path)
    assert status == 2
    assert "disbench run" in output


def test_finished_trials_are_tracked_once(tmp_path: Path) -> None:
    reader = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    suite = tmp_path / "suite.yaml"
    suite.write_text(yaml.safe_dump({**TINY, "seeds": [0], "methods": [{"name": "beta_vae"}]}))
    files = []
    for _ in range(2):
        status, output = disbench("run", suite, "--out", tmp_path / "runs", "--track")
        assert status == 0, output
        files.append({path: path.stat().st_mtime_ns for path in (tmp_path / "runs" / "tensorboard").rglob("*")})
    assert files[0] == files[1]
    (path,) = (tmp_path / "runs").glob("*/record.json")
    record = read_record(path)
    read = reader.EventAccumulator(str(tmp_path / "runs" / "tensorboard" / record.trial.id))
    read.Reload()
    curve = [(event.step, event.value) for event in read.Scalars("training/loss")]
    assert curve == record.curves["loss"]
    assert read.Scalars("mean/mig")[0].value == pytest.approx(record.scores["mig"])


def test_a_setting_that_an_engine_has_not_is_refused(tmp_path: Path) -> None:
    for words, told in (
        (["--engine", "kubernetes"], "local, ray, slurm"),
        (["--workers", "4"], "--engine ray, or start the same command several times"),
        (["--slurm", "partition=gpu"], "--slurm sets options of --engine slurm"),
    ):
        status, output = disbench("run", "quick", "--out", tmp_path / "runs", *words)
        assert status == 2
        assert told in " ".join(output.split())
    assert not (tmp_path / "runs").exists()
