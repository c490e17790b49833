"""A suite whose seeds are trained as one model leaves what the same suite leaves with its trials trained apart."""

import logging
import signal
from pathlib import Path

import pytest
import torch
import yaml
from torch import Tensor
from typer.testing import CliRunner

from disbench.baselines.gaussian import Posterior
from disbench.baselines.method import Step
from disbench.baselines.vae import VAE
from disbench.benchmarks import METHODS
from disbench.benchmarks.cli.main import app
from disbench.benchmarks.runtime.locks import try_lock
from disbench.benchmarks.runtime.machine import Machine
from disbench.benchmarks.studies.engines import Job
from disbench.benchmarks.studies.engines.stacked import stacked_engine
from disbench.benchmarks.studies.run import planned, run_suite
from disbench.benchmarks.studies.suite import Suite
from disbench.benchmarks.training.checkpoint import RESUME
from disbench.benchmarks.training.loop import build, load_checkpoint
from disbench.benchmarks.trials import trial as trial_module
from disbench.benchmarks.trials.encode import read_table
from disbench.datasets import load
from disbench.mine_vae import model
from disbench.reports.records import Record, read_record, write_record

SELECT = {"shape": 1, "orientation": "0-3", "position_x": "10-13", "position_y": "10-13"}
PARTS = {
    "latent_dim": 4,
    "num_factors": 3,
    "factor_dim": 4,
    "attention_dim": 8,
    "mine_hidden_dim": 8,
    "mine_start": 0.4,
}
TINY = {
    "name": "tiny",
    "datasets": [{"name": "dsprites_like", "options": {"select": SELECT}}],
    "methods": [{"name": "beta_vae"}],
    "hparams": {"network": "mlp", "hidden_dim": 8},
    "seeds": [0, 1, 2],
    "steps": 4,
    "batch_size": 16,
    "metrics": {"mig": {"bins": 20}},
    "untrained": False,
}
# What a trial cost is shared out or not measured, and a remark says so; nothing else differs but by rounding.
COSTS = {"seconds", "cpu_seconds", "images_per_second", "peak_memory"}
TOLERANCE = 1e-4


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial_module, "IMAGES", 2)
    monkeypatch.setattr(model, "AUDIT_STEPS", 3)


def tiny(**changes: object) -> Suite:
    return Suite(**{**TINY, **changes})


def stacked_of(record: Record) -> int:
    """How many seeds were trained as one model, by the record's own words."""
    (words,) = [remark.split() for remark in record.remarks if "stacked" in remark] or [["apart,", "", "1"]]
    return int(words[2])


def assert_alike(found: object, expected: object, where: str) -> None:
    if isinstance(expected, dict):
        assert found.keys() == expected.keys(), where
        for key in expected:
            assert_alike(found[key], expected[key], f"{where}.{key}")
    elif isinstance(expected, list | tuple):
        assert len(found) == len(expected), where
        for place, (one, other) in enumerate(zip(found, expected, strict=True)):
            assert_alike(one, other, f"{where}[{place}]")
    elif isinstance(expected, float):
        assert found == pytest.approx(expected, rel=TOLERANCE, abs=TOLERANCE, nan_ok=True), where
    else:
        assert found == expected, where


def test_records_tables_and_checkpoints_are_those_of_trials_trained_apart(tmp_path: Path) -> None:
    content = {
        **TINY,
        "methods": [{"name": "mine_vae", "hparams": PARTS}],
        "steps": 10,
        "metrics": {"mig": {"bins": 20}, "irs": {}},
    }
    suite = tmp_path / "suite.yaml"
    suite.write_text(yaml.safe_dump(content, sort_keys=False))
    result = CliRunner().invoke(app, ["run", str(suite), "--out", str(tmp_path / "stacked"), "--stack", "2"])
    assert result.exit_code == 0, result.output
    dataset = load("dsprites_like", select=SELECT)
    x = dataset.batch(torch.arange(16)).float() / 255
    sizes = []
    for expected in run_suite(Suite(**content), tmp_path / "apart"):
        folder, apart = (tmp_path / name / expected.trial.id for name in ("stacked", "apart"))
        found = read_record(folder / "record.json")
        sizes.append((found.trial.seed, stacked_of(found)))
        assert found.status == "ok"
        assert [remark for remark in found.remarks if "stacked" not in remark] == expected.remarks
        exempt = {*COSTS, "remarks"}
        assert_alike(found.model_dump(exclude=exempt), expected.model_dump(exclude=exempt), found.trial.id)
        assert set(found.seconds) == set(expected.seconds)
        assert set(found.cpu_seconds) == set(expected.cpu_seconds)
        assert {path.name for path in folder.iterdir()} == {path.name for path in apart.iterdir()}
        (trained, trial), (alone, _) = load_checkpoint(folder / "model.ckpt"), load_checkpoint(apart / "model.ckpt")
        assert trial == found.trial
        torch.testing.assert_close(trained.encode(x), alone.encode(x), rtol=0, atol=TOLERANCE)
        codes, factors = read_table(folder / "codes.h5")
        assert codes == pytest.approx(read_table(apart / "codes.h5")[0], abs=TOLERANCE)
        assert (factors == read_table(apart / "codes.h5")[1]).all()
    assert sorted(sizes) == [(0, 2), (1, 2), (2, 1)]


class Fragile(VAE):
    """Diverges where the first weight lies above `limit`."""

    limit = 0.0

    def regulariser(self, z: Tensor, q: Posterior, step: Step) -> tuple[Tensor, dict[str, Tensor]]:
        penalty, terms = super().regulariser(z, q, step)
        return torch.where(self.encoder[1].weight[0, 0] > self.limit, torch.inf, penalty), terms


def test_a_seed_that_diverges_is_a_record_and_the_others_are_trained_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(METHODS, "fragile", Fragile)
    suite = tiny(methods=[{"name": "fragile"}])
    trials = [entry.trial for entry in planned(suite)]
    first = {trial.seed: build(trial, (1, 64, 64), 100).encoder[1].weight[0, 0].item() for trial in trials}
    lower, weak = sorted(first, key=first.__getitem__)[-2:]
    monkeypatch.setattr(Fragile, "limit", (first[lower] + first[weak]) / 2)
    records = list(run_suite(suite, tmp_path, engine=stacked_engine(3)))
    assert {record.trial.seed: record.failure for record in records} == {
        seed: "diverged" if seed == weak else None for seed in (0, 1, 2)
    }
    assert all(stacked_of(record) == 1 for record in records)
    assert f"Seeds 0, 1, 2 of fragile on dsprites_like are trained apart. diverged: loss of seed {weak}" in caplog.text


class Stopping(VAE):
    """Ctrl-C is pressed in its third step, as often as `presses` says."""

    presses = 0

    def training_step(self, batch: Tensor, batch_idx: int) -> dict[str, Tensor]:
        if batch_idx == 2 and Stopping.presses:
            Stopping.presses -= 1
            signal.raise_signal(signal.SIGINT)
        return super().training_step(batch, batch_idx)


def test_ctrl_c_in_stacked_training_loses_no_finished_trial_and_says_what_begins_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(METHODS, "stopping", Stopping)
    suite = tiny(methods=[{"name": "beta_vae"}, {"name": "stopping"}], seeds=[0, 1])
    monkeypatch.setattr(Stopping, "presses", 1)
    begun = []
    with pytest.raises(KeyboardInterrupt):
        begun.extend(run_suite(suite, tmp_path, engine=stacked_engine(3)))
    assert "Seeds 0, 1 of stopping on dsprites_like: their training was stopped and begins anew." in caplog.text
    kept = sorted(tmp_path.glob("*/record.json"))
    assert [read_record(path).trial.method for path in kept] == ["beta_vae"] * 2
    written = [path.stat().st_mtime_ns for path in kept]
    records = list(run_suite(suite, tmp_path, engine=stacked_engine(3)))
    assert [stacked_of(record) for record in records] == [2] * 4
    assert [path.stat().st_mtime_ns for path in kept] == written


def test_what_was_begun_apart_goes_on_apart_and_what_another_driver_runs_is_left_to_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(METHODS, "stopping", Stopping)
    monkeypatch.setattr(Stopping, "presses", 1)
    suite = tiny(methods=[{"name": "stopping"}], seeds=[0, 1, 2, 3])
    with pytest.raises(KeyboardInterrupt):
        list(run_suite(suite, tmp_path))
    plan = planned(suite)
    jobs = [Job(entry.trial, tmp_path, None, entry.metrics, Machine()) for entry in plan]
    assert (jobs[0].folder / RESUME).exists()
    with try_lock(jobs[1].folder) as ours:
        assert ours
        found = {job.trial.seed: record for job, record in stacked_engine(4)(jobs)}
    assert found.pop(1) is None
    assert {seed: (stacked_of(record), record.resumed_at) for seed, record in found.items()} == {
        0: (1, [3]),
        2: (2, []),
        3: (2, []),
    }


def test_a_method_that_cannot_be_stacked_is_trained_apart_with_the_reason_in_the_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    class Branching(VAE):
        def regulariser(self, z: Tensor, q: Posterior, step: Step) -> tuple[Tensor, dict[str, Tensor]]:
            penalty, terms = super().regulariser(z, q, step)
            return (penalty if penalty.item() > 0 else -penalty), terms

    class Warming(VAE):
        def training_step(self, batch: Tensor, batch_idx: int) -> dict[str, Tensor]:
            terms = super().training_step(batch, batch_idx)
            return {**terms, "loss": terms["loss"] * self.global_step}

    monkeypatch.setitem(METHODS, "branching", Branching)
    monkeypatch.setitem(METHODS, "warming", Warming)
    caplog.set_level(logging.WARNING)
    suite = tiny(methods=[{"name": "branching"}, {"name": "warming"}], seeds=[0, 1])
    assert [record.status for record in run_suite(suite, tmp_path, engine=stacked_engine(2))] == ["ok"] * 4
    for name, reason in (("branching", ".item()"), ("warming", "global_step")):
        (told,) = [line for line in caplog.messages if f"of {name} on dsprites_like are trained apart. error: " in line]
        assert reason in told


def test_seconds_are_shared_out_and_other_metrics_train_nothing_again(tmp_path: Path) -> None:
    suite = tiny(seeds=[0, 1])
    records = list(run_suite(suite, tmp_path, engine=stacked_engine(2)))
    contents = [torch.load(path, weights_only=True)["disbench"] for path in tmp_path.glob("*/model.ckpt")]
    assert len({content["seconds"] for content in contents}) == 1
    assert len({content["cpu_seconds"] for content in contents}) == 1
    assert all(record.seconds["train"] >= contents[0]["seconds"] for record in records)
    written = {path: path.stat().st_mtime_ns for path in tmp_path.glob("*/model.ckpt")}
    again = list(run_suite(tiny(seeds=[0, 1], metrics={"mig": {"bins": 5}}), tmp_path, engine=stacked_engine(2)))
    assert all(record.metric_options == {"mig": {"bins": 5}} for record in again)
    write_record(Record(trial=again[0].trial, status="failed", error="later"), tmp_path / again[0].trial.id)
    assert next(run_suite(suite, tmp_path, engine=stacked_engine(2))).status == "ok"
    assert {path: path.stat().st_mtime_ns for path in written} == written


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--stack", "2", "--engine", "ray"], "--engine ray"),
        (["--stack", "2", "--devices", "2"], "--devices 2"),
        (["--stack", "2", "--compile", "eager"], "--compile eager"),
        (["--stack", "1"], "Invalid value for '--stack'"),
    ],
)
def test_the_command_refuses_what_cannot_be_stacked_by_name(tmp_path: Path, words: list[str], told: str) -> None:
    suite = tmp_path / "suite.yaml"
    suite.write_text(yaml.safe_dump(TINY))
    result = CliRunner().invoke(app, ["run", str(suite), "--out", str(tmp_path / "runs"), *words])
    assert result.exit_code == 2
    assert told in result.output
    assert not (tmp_path / "runs").exists()


def test_the_engine_itself_refuses_several_devices_a_compiler_and_a_stack_of_one(tmp_path: Path) -> None:
    entry = planned(tiny())[0]
    job = Job(entry.trial, tmp_path, None, entry.metrics, Machine(devices=2))
    with pytest.raises(ValueError, match="one device for all its seeds, got devices=2"):
        next(stacked_engine(2)([job]))
    with pytest.raises(ValueError, match="compiles no network, got compiler='eager'"):
        next(stacked_engine(2)([job._replace(machine=Machine(compiler="eager"))]))
    with pytest.raises(ValueError, match="2 seeds or more at once, got 1"):
        stacked_engine(1)
