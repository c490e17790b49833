"""`evaluate_every`: a trial's learning curves of scores. They change nothing else, and a resume leaves them whole."""

import pickle
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from tiny_trial import SELECT, tiny_trial
from torch import nn
from typer.testing import CliRunner

from disbench.benchmarks import METHODS
from disbench.benchmarks.cli.main import app
from disbench.benchmarks.runtime.machine import Machine
from disbench.benchmarks.settings.score_schedule import ScoreSchedule
from disbench.benchmarks.studies.engines import Job
from disbench.benchmarks.studies.engines.ray import ray_engine
from disbench.benchmarks.studies.engines.slurm import slurm_engine
from disbench.benchmarks.studies.engines.stacked import stacked_engine
from disbench.benchmarks.studies.run import planned, run_suite
from disbench.benchmarks.studies.suite import Suite, load_suite
from disbench.benchmarks.training import checkpoint
from disbench.benchmarks.training.score_curves.sample import undisturbed
from disbench.benchmarks.trials import trial as trial_module
from disbench.benchmarks.trials.trial import CHECKPOINT, run_trial
from disbench.datasets import load
from disbench.metrics import METRICS
from disbench.mine_vae import model
from disbench.reports.records import Record, Trial, read_record
from disbench.reports.records.collect import collect

SMALL = {
    "mine_vae": {"latent_dim": 6, "num_factors": 3, "mine_start": 0.3},
    "factor_vae": {"discriminator_dim": 16},
    "factor_qvae": {"discriminator_dim": 16},
}
SCORED = {"mig": {}, "irs": {}}
SCHEDULE = ScoreSchedule(5, 150, {"mig": {"bins": 10}, "factor_vae_score": {}})
EVERY = ScoreSchedule(5, 10**4, {"mig": {}})
SUITE: dict[str, Any] = {
    "name": "tiny",
    "datasets": [{"name": "dsprites_like", "options": {"select": SELECT}}],
    "methods": [{"name": "beta_vae"}],
    "hparams": {"network": "mlp", "hidden_dim": 8},
    "seeds": [0, 1],
    "steps": 10,
    "batch_size": 16,
    "metrics": {"mig": {"bins": 8}, "irs": {}},
}


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial_module, "IMAGES", 2)
    monkeypatch.setattr(model, "AUDIT_STEPS", 3)


def small_trial(method: str = "vae", **changes: Any) -> Trial:
    return tiny_trial(method, SMALL.get(method), **{"steps": 12, **changes})


def run(trial: Trial, out: Path, schedule: ScoreSchedule | None, machine: Machine | None = None) -> Record:
    dataset = load(trial.dataset, **trial.dataset_options)
    machine = machine or Machine(accelerator="cpu")
    record = run_trial(trial, dataset, out, SCORED, machine=machine, schedule=schedule)
    assert record.status == "ok", record.error
    return record


def weights(out: Path, trial: Trial) -> dict[str, torch.Tensor]:
    return checkpoint.read_checkpoint(out / trial.id / CHECKPOINT)["state_dict"]


@pytest.mark.parametrize("method", METHODS)
def test_a_trial_that_is_scored_on_the_way_trains_to_the_same_bits(method: str, tmp_path: Path) -> None:
    trial = small_trial(method)
    alone, watched = run(trial, tmp_path / "alone", None), run(trial, tmp_path / "watched", SCHEDULE)
    for name, tensor in weights(tmp_path / "alone", trial).items():
        assert torch.equal(tensor, weights(tmp_path / "watched", trial)[name]), name
    same = {"trial", "views", "floor", "ceiling", "curves", "detail", "reconstruction", "remarks", "partition"}
    assert watched.model_dump(include=same) == alone.model_dump(include=same)
    assert {name: [step for step, _ in points] for name, points in watched.score_curves.items()} == {
        "mig": [5, 10, 12],
        "factor_vae_score": [5, 10, 12],
    }
    assert alone.score_curves == {} and "evaluate" not in alone.seconds
    assert watched.seconds["evaluate"] > 0 and watched.seconds["train"] > 0


def test_the_last_point_on_all_rows_is_the_score_of_the_record(tmp_path: Path) -> None:
    record = run(small_trial(), tmp_path, EVERY)
    assert record.score_curves["mig"][-1] == (12, record.scores["mig"])


def test_a_record_says_how_its_curves_were_made_and_comes_back_equal(tmp_path: Path) -> None:
    record = run(small_trial(), tmp_path, SCHEDULE)
    assert record.score_curve_settings == {
        "every": 5,
        "rows": 150,
        "metrics": {"mig": {"bins": 10}, "factor_vae_score": {}},
        "metric_versions": {name: METRICS[name].version for name in ("mig", "factor_vae_score")},
    }
    assert "--evaluate-every 5 --evaluate-rows 150 --evaluate-metrics mig,factor_vae_score" in record.command
    assert read_record(tmp_path / record.trial.id / "record.json") == record
    ((_, summary),) = collect(tmp_path).found
    assert summary.score_curves == record.score_curves and summary.curves == {}


KILLED = """
import os, signal, sys
sys.path[:0] = {path!r}
from pathlib import Path
import test_learning_curves as tests
from disbench.benchmarks.training import checkpoint

calls, whole = 0, checkpoint.write_checkpoint

def write(content, path):
    global calls
    calls += 1
    if calls == {call}:
        os.kill(os.getpid(), signal.SIGKILL)
    whole(content, path)

checkpoint.write_checkpoint = write
tests.run(tests.small_trial(), Path({out!r}), tests.SCHEDULE, tests.Machine(accelerator="cpu", checkpoint_seconds=1e-9))
"""


def killed_at(call: int, out: Path) -> None:
    """Run the trial in a process that is killed in the middle of its checkpoint number `call`, one a step."""
    here = Path(__file__).parent
    path = [str(here), str(here.parent / "layouts")]
    ended = subprocess.run([sys.executable, "-c", KILLED.format(path=path, call=call, out=str(out))], check=False)
    assert ended.returncode == -signal.SIGKILL


@pytest.mark.parametrize("call", [5, 6])  # while a point is saved, which is then lost; right after it was saved
def test_the_curve_of_a_killed_trial_is_that_of_one_left_alone(call: int, tmp_path: Path) -> None:
    trial = small_trial()
    killed_at(call, tmp_path / "killed")
    resumed, alone = run(trial, tmp_path / "killed", SCHEDULE), run(trial, tmp_path / "alone", SCHEDULE)
    assert resumed.resumed_at == [call - 1]
    assert resumed.score_curves == alone.score_curves
    assert resumed.views == alone.views


def test_a_trained_trial_without_a_record_has_the_curve_of_its_checkpoint(tmp_path: Path) -> None:
    trial = small_trial()
    record = run(trial, tmp_path, SCHEDULE)
    (tmp_path / trial.id / "record.json").unlink()
    assert run(trial, tmp_path, SCHEDULE).score_curves == record.score_curves


@pytest.mark.parametrize(
    ("first", "then", "steps", "words"),
    [
        (None, SCHEDULE, [10, 12], "began without evaluate_every"),
        (EVERY, SCHEDULE, [10, 12], "began with other evaluate_rows or evaluate_metrics"),
        (SCHEDULE._replace(every=3), SCHEDULE, [3, 6, 10, 12], None),
    ],
)
def test_points_of_another_schedule_are_kept_only_if_they_are_comparable(
    first: ScoreSchedule | None,
    then: ScoreSchedule,
    steps: list[int],
    words: str | None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    trial = small_trial()

    def stop(self: Any, loop: Any, step: int, terms: Any) -> None:
        self.step = step
        if step == 7:
            self.save(loop)
            raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(checkpoint.ResumeCallback, "on_step", stop)
        with pytest.raises(KeyboardInterrupt):
            run(trial, tmp_path, first)
    record = run(trial, tmp_path, then)
    assert [step for step, _ in record.score_curves["mig"]] == steps
    assert (words is None) == ("This training began" not in caplog.text) and (words or "") in caplog.text


def test_a_finished_trial_without_curves_is_kept_and_the_log_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    plain = Suite(**SUITE)
    before = {record.trial.id: record for record in run_suite(plain, tmp_path)}
    after = {record.trial.id: record for record in run_suite(Suite(**SUITE, evaluate_every=5), tmp_path)}
    assert before == after
    assert caplog.text.count("were trained without evaluate_every and have no curves of scores") == 1
    assert len(list((tmp_path / "plans").iterdir())) == 1  # the schedule does not make another study


def test_every_trained_trial_of_a_suite_has_curves_with_the_options_of_the_suite(tmp_path: Path) -> None:
    suite = Suite(**SUITE, evaluate_every=5, evaluate_metrics=["mig", "mcc"], evaluate_rows=200)
    for record in run_suite(suite, tmp_path):
        assert bool(record.score_curves) == bool(record.trial.steps)
        if record.score_curves:
            assert record.score_curve_settings["metrics"] == {"mig": {"bins": 8}, "mcc": {}}
            assert [step for step, _ in record.score_curves["mcc"]] == [5, 10]


def test_a_job_takes_its_schedule_to_another_process() -> None:
    (plan, *_) = [plan for plan in planned(Suite(**SUITE, evaluate_every=5)) if plan.trial.steps]
    job = Job(plan.trial, Path("out"), None, plan.metrics, Machine(), schedule=plan.schedule)
    assert pickle.loads(pickle.dumps(job)).schedule == ScoreSchedule(5, 1000, {"mig": {"bins": 8}})


def test_every_engine_hands_a_trial_its_schedule(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray and submitit are replaced by what matters of them: a function and its argument reach a worker as bytes."""
    suite = Suite(**{**SUITE, "untrained": False, "seeds": [0]}, evaluate_every=5)

    class Sent:
        def __init__(self, function: Any, job: Job) -> None:
            self.bytes = pickle.dumps((function, job))

        def result(self) -> Any:
            function, job = pickle.loads(self.bytes)
            return function(job)

    class Task:
        def __init__(self, function: Any) -> None:
            self.function = function

        def options(self, **_: Any) -> "Task":
            return self

        def remote(self, job: Job) -> Any:
            return Sent(self.function, job)

    class Executor:
        def __init__(self, *_: Any, **__: Any) -> None:
            pass

        def update_parameters(self, **_: Any) -> None:
            pass

        def map_array(self, function: Any, jobs: list[Job]) -> list[Any]:
            return [Sent(function, job) for job in jobs]

    errors = SimpleNamespace(RayError=OSError, RayTaskError=KeyError)
    ray = SimpleNamespace(is_initialized=lambda: True, remote=Task, get=Sent.result, exceptions=errors)
    ray.wait = lambda running, num_returns: (running[:1], running[1:])
    utils = SimpleNamespace(FailedJobError=OSError, UncompletedJobError=KeyError)
    helpers = SimpleNamespace(as_completed=lambda jobs, poll_frequency: iter(jobs))
    submitit = SimpleNamespace(AutoExecutor=Executor, helpers=helpers)
    modules = {"ray": ray, "ray.exceptions": errors, "submitit": submitit, "submitit.core.utils": utils}
    for name, module in {**modules, "submitit.core": SimpleNamespace(utils=utils)}.items():
        monkeypatch.setitem(sys.modules, name, module)
    for name, engine in {"ray": ray_engine(), "slurm": slurm_engine(cluster="local")}.items():
        (record,) = run_suite(suite, tmp_path / name, engine=engine, machine=Machine(accelerator="cpu"))
        assert [step for step, _ in record.score_curves["mig"]] == [5, 10], name


def test_seeds_that_are_trained_stacked_have_the_curves_of_seeds_trained_apart(tmp_path: Path) -> None:
    suite = Suite(**{**SUITE, "untrained": False}, evaluate_every=4)
    machine = Machine(accelerator="cpu")
    apart = {r.trial.id: r for r in run_suite(suite, tmp_path / "apart", machine=machine)}
    stacked = {r.trial.id: r for r in run_suite(suite, tmp_path / "stacked", engine=stacked_engine(2), machine=machine)}
    plain = {
        r.trial.id: r
        for r in run_suite(Suite(**{**SUITE, "untrained": False}), tmp_path / "plain", engine=stacked_engine(2))
    }
    for name, record in stacked.items():
        assert any("Trained stacked, 2 seeds" in remark for remark in record.remarks)
        steps, scores = zip(*record.score_curves["mig"], strict=True)
        expected_steps, expected = zip(*apart[name].score_curves["mig"], strict=True)
        assert steps == expected_steps == (4, 8, 10)
        np.testing.assert_allclose(scores, expected, atol=0.02)  # up to rounding, which may move a code to another bin
        assert record.curves == plain[name].curves and record.views == plain[name].views


def test_two_devices_give_the_points_of_one(tmp_path: Path) -> None:
    trial = small_trial("vae", steps=4)
    schedule = ScoreSchedule(2, 150, {"mig": {}})
    plain = run(trial, tmp_path / "plain", None, Machine(devices=2, accelerator="cpu"))
    watched = run(trial, tmp_path / "watched", schedule, Machine(devices=2, accelerator="cpu"))
    assert [step for step, _ in watched.score_curves["mig"]] == [2, 4]
    assert watched.curves == plain.curves and watched.views == plain.views


def test_scoring_compiles_nothing() -> None:
    graphs = []

    def backend(graph: torch.fx.GraphModule, inputs: Any) -> Any:
        graphs.append(graph)
        return graph.forward

    network = nn.Linear(3, 2)
    network.forward = torch.compile(network.forward, backend=backend, dynamic=False)
    network(torch.zeros(16, 3))
    with undisturbed(network, torch.device("cpu")):
        network(torch.zeros(100, 3))
    network(torch.zeros(16, 3))
    assert len(graphs) == 1


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"evaluate_every": 0}, r"evaluate_every needs a number of steps from 1 to 10, the steps of training, got 0"),
        ({"evaluate_every": 11}, r"from 1 to 10, the steps of training, got 11"),
        ({"evaluate_every": 1, "steps": 5000}, r"scores 5,000 times in 5,000 steps; 1,000 times are allowed. Use 5 or"),
        ({"evaluate_every": True}, "a whole number is needed, got True"),
        ({"evaluate_every": 5, "evaluate_metrics": ["migg"]}, r"migg.*in evaluate_metrics.*Did you mean mig"),
        (
            {"evaluate_every": 5, "evaluate_metrics": []},
            r"evaluate_metrics needs a list of metrics, such as \[mig, mcc\]",
        ),
        ({"evaluate_every": 5, "evaluate_rows": 10}, "evaluate_rows: .*greater than or equal to 100, got 10"),
        ({"evaluate_rows": 500}, "evaluate_rows needs evaluate_every, the number of steps between two scores"),
        ({"evaluate_evry": 5}, "unknown key evaluate_evry.*Did you mean evaluate_every"),
    ],
)
def test_a_schedule_that_makes_no_curve_is_refused_before_anything_is_trained(
    given: dict[str, Any], words: str, tmp_path: Path
) -> None:
    (tmp_path / "suite.yaml").write_text(yaml.safe_dump({**SUITE, **given}))
    with pytest.raises(ValueError, match=words):
        load_suite(str(tmp_path / "suite.yaml"))


def test_steps_of_one_dataset_limit_its_schedule() -> None:
    short = {**SUITE["datasets"][0], "steps": 4}
    with pytest.raises(ValueError, match="from 1 to 4, the steps of training, got 5"):
        Suite(**{**SUITE, "datasets": [*SUITE["datasets"], short]}, evaluate_every=5)


TRAIN = ["train", "--method", "vae", "--dataset", "dsprites_like", "--steps", "6", "--metrics", "mig"]
TRAIN += [word for name, value in SELECT.items() for word in ("--select", f"{name}={value}")]
TRAIN += ["--set", "network=mlp", "--set", "hidden_dim=8", "--batch-size", "16"]


def test_the_flags_of_train_make_the_curve_that_the_command_in_the_record_makes(tmp_path: Path) -> None:
    words = [*TRAIN, "--evaluate-every", "3", "--evaluate-metrics", "mig, mcc", "--evaluate-rows", "128"]
    found = CliRunner().invoke(app, [*words, "--out", str(tmp_path / "a")])
    assert found.exit_code == 0, found.output
    (first,) = (read_record(path) for path in (tmp_path / "a").glob("*/record.json"))
    assert [step for step, _ in first.score_curves["mcc"]] == [3, 6]
    again = first.command.split()[1:-1]
    assert CliRunner().invoke(app, [*again, str(tmp_path / "b")]).exit_code == 0
    (second,) = (read_record(path) for path in (tmp_path / "b").glob("*/record.json"))
    assert second.score_curves == first.score_curves and second.command == first.command


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--evaluate-every", "0"], "from 1 to 6, the steps of training, got 0"),
        (["--evaluate-every", "7"], "from 1 to 6, the steps of training, got 7"),
        (["--evaluate-every", "3", "--evaluate-metrics", "migg"], "Did you mean mig"),
        (["--evaluate-metrics", "mig"], "need --evaluate-every"),
    ],
)
def test_flags_that_make_no_curve_are_refused(flags: list[str], words: str, tmp_path: Path) -> None:
    found = CliRunner().invoke(app, [*TRAIN, *flags, "--out", str(tmp_path / "out")])
    assert found.exit_code == 2
    assert words in " ".join(found.output.split())
    assert not (tmp_path / "out").exists()


def test_run_takes_another_interval_than_the_suite(tmp_path: Path) -> None:
    (tmp_path / "suite.yaml").write_text(yaml.safe_dump({**SUITE, "seeds": [0], "untrained": False}))
    words = ["run", str(tmp_path / "suite.yaml"), "--out", str(tmp_path / "out")]
    found = CliRunner().invoke(app, [*words, "--evaluate-every", "12"])
    assert found.exit_code == 2 and "from 1 to 10, the steps of training, got 12" in " ".join(found.output.split())
    assert CliRunner().invoke(app, [*words, "--evaluate-every", "5"]).exit_code == 0
    (record,) = (read_record(path) for path in (tmp_path / "out").glob("*/record.json"))
    assert [step for step, _ in record.score_curves["mig"]] == [5, 10]
