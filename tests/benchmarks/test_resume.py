"""A trial that is stopped at any moment and run again ends bit for bit like one left alone, and says how to go on."""

import itertools
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_trial import SELECT, tiny_trial

from disbench.baselines.method import Independent
from disbench.baselines.vae import VAE
from disbench.benchmarks import METHODS
from disbench.benchmarks.runtime.locks import try_lock
from disbench.benchmarks.runtime.machine import Machine
from disbench.benchmarks.training.batches import Images
from disbench.benchmarks.training.checkpoint import RESUME, random_state, set_random_state
from disbench.benchmarks.training.loop import load_checkpoint
from disbench.benchmarks.training.position import POSITION, Position, position
from disbench.benchmarks.trials import trial as trial_module
from disbench.benchmarks.trials.encode import read_table
from disbench.benchmarks.trials.trial import CHECKPOINT, run_trial
from disbench.datasets import load
from disbench.mine_vae import model
from disbench.reports.records import RECORD_FILE, Record, Trial

SMALL = {
    "mine_vae": {"latent_dim": 6, "num_factors": 3, "mine_start": 0.3},
    "mine_groups": {"latent_dim": 6, "num_factors": 3, "mine_start": 0.3},
    "factor_vae": {"discriminator_dim": 16},
    "factor_qvae": {"discriminator_dim": 16},
    "hf_vae": {"blocks": "found", "find_at": [0.3, 0.7]},
}
METRICS = {"mig": {"bins": 20}, "irs": {}}
STEPS = 30  # 24 minibatches are an epoch, so that the order of images is drawn twice


class Watched:
    """A dataset that counts its minibatches and does something when one of them is asked for."""

    def __init__(self, dataset, at: int = -1, action: Callable[[], object] = lambda: None) -> None:
        self.dataset, self.at, self.action, self.calls = dataset, at, action, 0

    def __getattr__(self, name: str) -> object:
        return getattr(self.dataset, name)

    def __len__(self) -> int:
        return len(self.dataset)

    @property
    def training(self) -> "Watched":
        return self

    def batch(self, rows: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        if self.calls == self.at:
            self.action()
        return self.dataset.batch(rows)


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial_module, "IMAGES", 20)
    monkeypatch.setattr(model, "AUDIT_STEPS", 3)
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def small_trial(method: str = "vae", **changes: object) -> Trial:
    return tiny_trial(method, SMALL.get(method), **{"steps": STEPS, **changes})


def opened(trial: Trial, at: int = -1, action: Callable[[], object] = lambda: None) -> Watched:
    return Watched(load(trial.dataset, **trial.dataset_options), at, action)


def interrupt() -> None:
    signal.raise_signal(signal.SIGINT)


def same_as_alone(trial: Trial, found: Record, out: Path, tmp_path: Path) -> None:
    alone = run_trial(trial, opened(trial), tmp_path / "alone", METRICS)
    assert found.status == alone.status == "ok", (found.error, alone.error)
    fields = ("views", "floor", "ceiling", "curves", "reconstruction", "remarks", "partition", "images_seen")
    assert found.model_dump(include=set(fields)) == alone.model_dump(include=set(fields))
    codes, expected = (read_table(folder / trial.id / "codes.h5")[0] for folder in (out, tmp_path / "alone"))
    np.testing.assert_array_equal(codes, expected)


@pytest.mark.parametrize("method", METHODS)
def test_a_trial_stopped_by_ctrl_c_in_either_epoch_ends_like_one_left_alone(method: str, tmp_path: Path) -> None:
    trial = small_trial(method)
    with pytest.raises(KeyboardInterrupt):
        run_trial(trial, opened(trial, 14, interrupt), tmp_path, METRICS)
    assert position(tmp_path / trial.id)[:2] == (14, STEPS)
    assert not (tmp_path / trial.id / RECORD_FILE).exists()
    again = opened(trial, 13, interrupt)
    with pytest.raises(KeyboardInterrupt):
        run_trial(trial, again, tmp_path, METRICS)
    assert position(tmp_path / trial.id)[:2] == (27, STEPS)
    record = run_trial(trial, opened(trial), tmp_path, METRICS)
    assert record.resumed_at == [14, 27]
    same_as_alone(trial, record, tmp_path, tmp_path)


@pytest.mark.parametrize("method", ["beta_vae", "factor_vae", "mine_vae"])
def test_a_trial_in_mixed_precision_stopped_in_the_middle_ends_like_one_left_alone(method: str, tmp_path: Path) -> None:
    trial = small_trial(method, precision="bf16-mixed")
    with pytest.raises(KeyboardInterrupt):
        run_trial(trial, opened(trial, 14, interrupt), tmp_path, METRICS)
    assert position(tmp_path / trial.id)[:2] == (14, STEPS)
    record = run_trial(trial, opened(trial), tmp_path, METRICS)
    assert record.resumed_at == [14]
    same_as_alone(trial, record, tmp_path, tmp_path)
    first = run_trial(small_trial(method, steps=1), opened(trial), tmp_path, METRICS)
    assert first.curves["loss"][0] != record.curves["loss"][0]  # in full precision it is another number


@pytest.mark.parametrize("name", ["mine", "nwj", "infonce", "smile", "ratio", "club"])
def test_a_trial_with_any_estimator_of_total_correlation_is_resumed_to_the_same_bits(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model.MINEDisentangleVAE, "audit_at", ())
    settings = {**SMALL["mine_vae"], "tc_estimator": name, "network": "mlp", "hidden_dim": 16, "mine_hidden_dim": 16}
    trial = tiny_trial("mine_vae", settings, steps=12)
    with pytest.raises(KeyboardInterrupt):
        run_trial(trial, opened(trial, 7, interrupt), tmp_path, METRICS)
    record = run_trial(trial, opened(trial), tmp_path, METRICS)
    assert record.resumed_at == [7]
    same_as_alone(trial, record, tmp_path, tmp_path)


def send(number: int) -> Callable[[], object]:
    return lambda: signal.raise_signal(number)


def test_sigterm_leaves_a_checkpoint_of_the_step_that_it_came_in_and_its_own_exit_code(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    trial = small_trial()
    with pytest.raises(SystemExit) as raised:
        run_trial(trial, opened(trial, 7, send(signal.SIGTERM)), tmp_path, METRICS)
    assert raised.value.code == 128 + signal.SIGTERM
    assert "Stopped at step 7 of 30. Run the same command again" in caplog.text
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    assert position(tmp_path / trial.id)[:2] == (7, STEPS)
    same_as_alone(trial, run_trial(trial, opened(trial), tmp_path, METRICS), tmp_path, tmp_path)


@pytest.fixture
def handled() -> Iterator[Callable[[int, Callable[..., object]], None]]:
    """Puts a handler over a signal, as a scheduler's client does, and takes it away."""
    before = {}

    def handle(number: int, handler: Callable[..., object]) -> None:
        before[number] = signal.signal(number, handler)

    yield handle
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2])
def test_a_handler_that_ends_the_process_is_called_when_the_checkpoint_is_written(
    number: int, tmp_path: Path, handled: Callable[..., None]
) -> None:
    trial = small_trial()
    seen = []

    def requeue(number: int, frame: object) -> None:
        seen.append((number, position(tmp_path / trial.id)[:2]))
        sys.exit(7)

    handled(number, requeue)
    with pytest.raises(SystemExit) as raised:
        run_trial(trial, opened(trial, 7, send(number)), tmp_path, METRICS)
    assert raised.value.code == 7
    assert seen == [(number, (7, STEPS))]
    assert signal.getsignal(number) is requeue
    same_as_alone(trial, run_trial(trial, opened(trial), tmp_path, METRICS), tmp_path, tmp_path)


def test_a_handler_that_returns_lets_training_go_on_behind_a_checkpoint(
    tmp_path: Path, handled: Callable[..., None]
) -> None:
    trial = small_trial()
    seen = []
    handled(signal.SIGTERM, lambda number, frame: seen.append(position(tmp_path / trial.id)[:2]))
    record = run_trial(trial, opened(trial, 7, send(signal.SIGTERM)), tmp_path, METRICS)
    assert seen == [(7, STEPS)]
    assert record.resumed_at == []
    same_as_alone(trial, record, tmp_path, tmp_path)


def test_a_handler_that_fails_costs_the_trial_neither_its_checkpoint_nor_a_record(
    tmp_path: Path, handled: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    trial = small_trial()

    def requeue(number: int, frame: object) -> None:
        raise FileNotFoundError("there is no scontrol here")

    handled(signal.SIGUSR2, requeue)
    with pytest.raises(SystemExit):
        run_trial(trial, opened(trial, 7, send(signal.SIGUSR2)), tmp_path, METRICS)
    assert "there is no scontrol here" in caplog.text
    assert not (tmp_path / trial.id / RECORD_FILE).exists()
    assert run_trial(trial, opened(trial), tmp_path, METRICS).resumed_at == [7]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGUSR2])
def test_a_signal_in_the_last_step_ends_the_process_when_training_is_kept(
    number: int, tmp_path: Path, handled: Callable[..., None]
) -> None:
    trial = small_trial()
    if number == signal.SIGUSR2:
        handled(number, lambda number, frame: sys.exit(7))
    with pytest.raises(KeyboardInterrupt if number == signal.SIGINT else SystemExit):
        run_trial(trial, opened(trial, STEPS, send(number)), tmp_path, METRICS)
    names = {path.name for path in (tmp_path / trial.id).iterdir()}
    assert CHECKPOINT in names
    assert not {RESUME, POSITION, RECORD_FILE} & names
    again = opened(trial)
    record = run_trial(trial, again, tmp_path, METRICS)
    assert again.calls < STEPS
    same_as_alone(trial, record, tmp_path, tmp_path)


def test_a_stopped_trial_says_how_to_go_on_and_ctrl_c_is_its_own_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    trial = small_trial()
    with pytest.raises(KeyboardInterrupt):
        run_trial(trial, opened(trial, 5, interrupt), tmp_path, METRICS)
    assert "Stopped at step 5 of 30. Run the same command again" in caplog.text
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_second_ctrl_c_does_not_wait_for_the_step(tmp_path: Path) -> None:
    def twice() -> None:
        interrupt()
        interrupt()

    trial = small_trial()
    with pytest.raises((KeyboardInterrupt, SystemExit)):
        run_trial(trial, opened(trial, 5, twice), tmp_path, METRICS)
    assert position(tmp_path / trial.id) is None


@pytest.mark.parametrize("after", [1, 2])
def test_what_is_stopped_while_it_is_encoded_or_drawn_is_not_trained_again(after: int, tmp_path: Path) -> None:
    trial = small_trial("beta_tcvae")
    with pytest.raises(KeyboardInterrupt):
        run_trial(trial, opened(trial, STEPS + after, interrupt), tmp_path, METRICS)
    again = opened(trial)
    record = run_trial(trial, again, tmp_path, METRICS)
    assert again.calls < STEPS
    same_as_alone(trial, record, tmp_path, tmp_path)


def test_a_running_trial_tells_how_far_it_is_and_a_finished_one_leaves_nothing_to_resume(tmp_path: Path) -> None:
    trial = small_trial()
    seen: list[Position | None] = []
    dataset = opened(trial, 9, lambda: seen.append(position(tmp_path / trial.id)))
    record = run_trial(trial, dataset, tmp_path, METRICS, machine=Machine(checkpoint_seconds=1e-9))
    assert seen[0][:2] == (8, STEPS)
    assert 0 < seen[0].seconds < record.seconds["train"]
    assert position(tmp_path / trial.id) is None
    assert not {RESUME, POSITION} & {path.name for path in (tmp_path / trial.id).iterdir()}


@pytest.mark.parametrize("wrong", ["bytes", "half", "other trial", "weights alone"])
def test_a_file_that_is_no_checkpoint_of_the_trial_is_named_and_passed_over(
    wrong: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    trial = small_trial()
    with pytest.raises(KeyboardInterrupt):
        run_trial(trial, opened(trial, 5, interrupt), tmp_path, METRICS)
    path = tmp_path / trial.id / RESUME
    if wrong == "bytes":
        path.write_bytes(b"no checkpoint")
    elif wrong == "half":
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    else:
        content = torch.load(path, weights_only=True)
        if wrong == "other trial":
            content["disbench"]["trial"]["seed"] = 1
        else:
            del content["disbench"]
        torch.save(content, path)
    record = run_trial(trial, opened(trial), tmp_path, METRICS)
    assert str(path) in caplog.text
    assert record.resumed_at == []
    same_as_alone(trial, record, tmp_path, tmp_path)


def test_loading_anything_but_a_checkpoint_names_the_file_and_what_it_lacks(tmp_path: Path) -> None:
    path = tmp_path / "model.ckpt"
    path.write_bytes(b"no checkpoint")
    with pytest.raises(ValueError, match=r"model\.ckpt is not a checkpoint of disbench"):
        load_checkpoint(str(path))
    torch.save({"state_dict": {}}, path)
    with pytest.raises(ValueError, match=r"model\.ckpt was not written by disbench: it lacks .*'disbench'"):
        load_checkpoint(str(path))
    torch.save({"disbench": {"trial": {}}}, path)
    with pytest.raises(ValueError, match="lacks image_shape, n_train; it needs trial, image_shape, n_train"):
        load_checkpoint(str(path))
    trial = small_trial(steps=1)
    described = {"trial": trial.model_dump(mode="json"), "image_shape": [1, 64, 64], "n_train": 384}
    torch.save({"state_dict": {}, "disbench": described}, path)
    with pytest.raises(ValueError, match=r"model\.ckpt has not the weights of today's vae"):
        load_checkpoint(str(path))


@pytest.mark.parametrize("skip", [0, 1, 23, 24, 25, 70])
def test_skipped_minibatches_are_those_that_would_have_come(skip: int) -> None:
    dataset = load("dsprites_like", select=SELECT)

    def stream(skip: int = 0):
        return Images(dataset, small_trial(batch_size=16), Independent()).stream(torch.device("cpu"), skip)

    expected = next(itertools.islice(stream(), skip, None))
    assert torch.equal(next(stream(skip)).images, expected.images)


def test_every_random_state_comes_back_through_a_file(tmp_path: Path) -> None:
    def draws() -> list[object]:
        return [*torch.rand(3).tolist(), *np.random.randn(3), random.random()]  # noqa: NPY002 -- the global state is meant

    torch.save(random_state(torch.device("cpu")), tmp_path / "state")
    expected = draws()
    set_random_state(torch.load(tmp_path / "state", weights_only=True), torch.device("cpu"))
    assert draws() == expected


def test_a_run_that_a_change_of_code_divides_says_so(tmp_path: Path) -> None:
    trial = small_trial()
    with pytest.raises(KeyboardInterrupt):
        run_trial(trial, opened(trial, 5, interrupt), tmp_path, METRICS)
    path = tmp_path / trial.id / RESUME
    content = torch.load(path, weights_only=True)
    content["disbench"]["code"] = "0123456789ab"
    torch.save(content, path)
    record = run_trial(trial, opened(trial), tmp_path, METRICS)
    assert any("0123456789ab up to step 5" in remark for remark in record.remarks)


def test_trials_killed_at_random_moments_end_like_one_left_alone() -> None:
    script = Path(__file__).with_name("kill_trials.py")
    words = ["--kills", "2", "--steps", "30", "--methods", "vae", "factor_vae"]
    ended = subprocess.run([sys.executable, script, *words], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert ended.stdout.count("2 of 2 the same") == 2


def test_a_trials_folder_is_free_again_when_its_holder_is_killed(tmp_path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path; from disbench.benchmarks.runtime.locks import try_lock\n"
        "with try_lock(Path(sys.argv[1])) as ours: print(ours, flush=True); time.sleep(60)"
    )
    holder = subprocess.Popen([sys.executable, "-c", code, tmp_path], stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout.readline() == "True\n"
        with try_lock(tmp_path) as ours:
            assert not ours
    finally:
        os.kill(holder.pid, signal.SIGKILL)
        holder.wait()
        holder.stdout.close()
    with try_lock(tmp_path) as ours:
        assert ours


def test_a_job_of_slurm_takes_up_nothing_from_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLURM_NTASKS", "2")
    monkeypatch.setenv("SLURM_JOB_NAME", "disbench")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "hpc_ckpt_1.ckpt").write_bytes(b"of another trial")
    record = run_trial(small_trial(), opened(small_trial()), tmp_path / "runs", METRICS)
    assert record.status == "ok", record.error


def test_training_time_counts_every_sitting(tmp_path: Path) -> None:
    trial = small_trial()

    def dawdle() -> None:
        time.sleep(0.5)
        interrupt()

    with pytest.raises(KeyboardInterrupt):
        run_trial(trial, opened(trial, 5, dawdle), tmp_path, METRICS)
    record = run_trial(trial, opened(trial), tmp_path, METRICS)
    assert record.seconds["train"] > 0.5
    assert record.cpu_seconds["train"] > 0
    assert record.images_per_second == pytest.approx(STEPS * 16 / record.seconds["train"])


def test_the_methods_remarks_come_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Remarking(VAE):
        def training_step(self, batch: torch.Tensor, batch_idx: int) -> dict[str, torch.Tensor]:
            if batch_idx == 2:
                self.remarks.append("Seen at step 3.")
            return super().training_step(batch, batch_idx)

    monkeypatch.setitem(METHODS, "remarking", Remarking)
    trial = small_trial("remarking")
    with pytest.raises(KeyboardInterrupt):
        run_trial(trial, opened(trial, 5, interrupt), tmp_path, METRICS)
    assert run_trial(trial, opened(trial), tmp_path, METRICS).remarks == ["Seen at step 3."]
    assert load_checkpoint(str(tmp_path / trial.id / CHECKPOINT))[1] == trial
