"""Engines other than this process: they end with the same records, whatever node or job is lost on the way."""

import os
import re
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from disbench.benchmarks.runtime.machine import Machine
from disbench.benchmarks.studies.engines import Job, make_engine
from disbench.benchmarks.studies.engines.ray import ray_engine
from disbench.benchmarks.studies.engines.slurm import Requeued, slurm_engine
from disbench.benchmarks.studies.run import planned, run_suite
from disbench.benchmarks.studies.status import TrialState, states, write_plan
from disbench.benchmarks.studies.suite import Suite
from disbench.benchmarks.studies.tracking import mlflow_tracker, tensorboard_tracker
from disbench.benchmarks.training.position import position
from disbench.reports.records import Record, read_record

STEPS = 400  # a second or so; four times that is enough to lose a node within
OFTEN = Machine(checkpoint_seconds=0.1)
SELECT = {"shape": 1, "orientation": "0-3", "position_x": "10-13", "position_y": "10-13"}


def tiny(**changes: object) -> Suite:
    fields = {
        "name": "tiny",
        "datasets": [{"name": "dsprites_like", "options": {"select": SELECT}}],
        "methods": [{"name": "beta_vae"}],
        "hparams": {"network": "mlp", "hidden_dim": 8},
        "seeds": [0, 1],
        "steps": 3,
        "batch_size": 16,
        "metrics": {"mig": {"bins": 20}, "irs": {}},
        "untrained": False,
    }
    return Suite(**{**fields, **changes})


def what_decides(records: list[Record]) -> dict[str, tuple[object, ...]]:
    """Everything of a record but when, where and how fast."""
    assert all(record.status == "ok" for record in records), [record.error for record in records]
    return {
        record.trial.id: (record.views, record.floor, record.ceiling, record.curves, record.reconstruction)
        for record in records
    }


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """As Ray gives a task of one core: more threads add in another order."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def in_process(suite: Suite, out: Path) -> dict[str, tuple[object, ...]]:
    return what_decides(list(run_suite(suite, out)))


def test_jobs_of_submitit_end_with_the_records_of_this_process(tmp_path: Path) -> None:
    pytest.importorskip("submitit")
    engine = slurm_engine(cluster="local", settings={"time": 5})
    found = what_decides(list(run_suite(tiny(), tmp_path / "jobs", engine=engine)))
    assert found == in_process(tiny(), tmp_path / "here")


def test_a_job_that_is_told_of_its_end_is_kept_up_to_that_step_and_queued_again(tmp_path: Path) -> None:
    submitit = pytest.importorskip("submitit")
    if not Path("/proc/self/task").is_dir():
        pytest.skip("finds the job's process in /proc")
    (entry,) = planned(tiny(seeds=[0], steps=4 * STEPS))
    job = Job(entry.trial, tmp_path / "runs", None, entry.metrics, Machine(checkpoint_seconds=0.5))
    executor = submitit.AutoExecutor(tmp_path / "logs", cluster="local")
    executor.update_parameters(timeout_min=5)
    submitted = executor.submit(Requeued(), job)
    while position(job.folder) is None:
        time.sleep(0.02)
    (worker,) = Path(f"/proc/{submitted.job_id}/task/{submitted.job_id}/children").read_text().split()
    os.kill(int(worker), signal.SIGTERM)  # as SLURM does when it preempts; submitit waits for what follows
    time.sleep(0.3)
    os.kill(int(worker), signal.SIGUSR2)  # as SLURM tells a job of its end, through submitit
    record = submitted.result()
    assert record.status == "ok", record.error
    log = submitted.stderr() + submitted.stdout()  # which has submitit's warnings once more
    told = list(dict.fromkeys(re.findall(r"SIG(?:TERM|USR2): step \d+|Bypassing signal SIGTERM|Requeued job", log)))
    kept = [int(words.split()[-1]) for words in told if "step" in words]
    assert [words.split(": ")[0] for words in told] == [
        "SIGTERM",
        "Bypassing signal SIGTERM",
        "SIGUSR2",
        "Requeued job",
    ]
    assert 0 < kept[0] < kept[1] < 4 * STEPS
    assert record.resumed_at == kept[1:]


def test_a_job_that_ends_without_a_word_becomes_a_failed_record(tmp_path: Path) -> None:
    pytest.importorskip("submitit")
    (entry,) = planned(tiny(seeds=[0]))
    job = Job(entry.trial, tmp_path, None, Bomb(), Machine())
    ((same, record),) = slurm_engine(cluster="local")([job])
    assert same is job
    assert record.status == "failed"
    assert "its job ended without a result" in record.error
    assert read_record(job.folder / "record.json") == record


class Bomb(dict[str, Any]):
    """Ends the process that reads it, as the system does to one that takes too much memory."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os._exit, (1,)


def test_settings_of_slurm_are_checked_before_anything_is_submitted(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("submitit")
    with pytest.raises(ValueError, match=r"whole GPUs, got --gpus-per-trial 0\.25"):
        make_engine("slurm", gpus_per_trial=0.25)
    with pytest.raises(ValueError, match=r"(?s)--slurm takes submitit's names.*partitoin.*partition"):
        slurm_engine(cluster="local", settings={"partitoin": "gpu"})
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ValueError, match="needs sbatch"):
        make_engine("slurm", slurm={"partition": "gpu"})


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """Two nodes of one core each, and a head that runs nothing."""
    ray = pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    for _ in range(2):
        made.add_node(num_cpus=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_ADDRESS", made.address)
        yield made
    ray.shutdown()
    made.shutdown()


def test_on_ray_every_trial_ends_once_though_a_node_is_lost_in_the_middle(cluster: Any, tmp_path: Path) -> None:
    import ray

    suite = tiny(seeds=[0, 1, 2], steps=4 * STEPS)
    out = tmp_path / "cluster"
    running: list[TrialState] = []

    def lose_a_node() -> None:
        """Once a trial on each node has a checkpoint."""
        while len(running) < 2:
            time.sleep(0.05)
            running[:] = [state for state in states(out) if state.state == "running" and state.step is not None]
        ours = ray.get_runtime_context().get_node_id()  # not the head in every release of Ray, and it has to stay
        lost = next(node for node in cluster.worker_nodes if node.node_id != ours)
        cluster.remove_node(lost, allow_graceful=False)

    thread = threading.Thread(target=lose_a_node, daemon=True)
    (tmp_path / "cluster").mkdir()
    write_plan("tiny", [entry.trial for entry in planned(suite)], out)
    thread.start()
    records = list(run_suite(suite, out, engine=make_engine("ray"), machine=OFTEN))
    thread.join()
    assert len(records) == 3
    went_on = [record for record in records if record.resumed_at]
    assert [record.trial.id for record in went_on] in [[state.folder.name] for state in running]
    assert what_decides(records) == in_process(suite, tmp_path / "here")


def test_a_trial_that_no_worker_of_ray_survives_becomes_a_failed_record(cluster: Any, tmp_path: Path) -> None:
    (entry,) = planned(tiny(seeds=[0]))
    job = Job(entry.trial, tmp_path, None, Bomb(), Machine())
    ((_, record),) = ray_engine(retries=1)([job])
    assert record.status == "failed"
    assert "its worker died, 2 times in all" in record.error


@pytest.mark.parametrize(
    ("package", "make", "extra"),
    [
        ("ray", lambda: make_engine("ray"), "disbench[ray]"),
        ("submitit", lambda: make_engine("slurm"), "disbench[slurm]"),
        ("tensorboard", tensorboard_tracker, "disbench[tracking]"),
        ("mlflow", lambda: mlflow_tracker("sqlite://", "x"), "pip install mlflow"),
    ],
)
def test_what_is_not_installed_is_named_with_how_to_install_it(
    package: str, make: Any, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == package or name == "torch.utils.tensorboard"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ValueError, match=re.escape(extra)):
        make()
