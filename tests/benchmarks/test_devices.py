"""On two devices a trial is the one of a single device wherever its loss is a mean over images, and is refused elsewhere."""

import errno
import importlib
import multiprocessing
import signal
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from tiny_trial import SELECT, tiny_trial

from disbench.baselines.beta_vae import BetaVAE
from disbench.baselines.method import Independent
from disbench.benchmarks import METHODS
from disbench.benchmarks.runtime.failures import classify
from disbench.benchmarks.runtime.machine import Machine
from disbench.benchmarks.runtime.seeds import seed_for
from disbench.benchmarks.training.batches import Images
from disbench.benchmarks.training.checkpoint import RESUME
from disbench.benchmarks.training.experimental.data_parallel import check_shares, sendable
from disbench.benchmarks.training.position import POSITION, position
from disbench.benchmarks.trials import trial as trial_module
from disbench.benchmarks.trials.encode import read_table
from disbench.benchmarks.trials.trial import CHECKPOINT, CODES, run_trial
from disbench.datasets import load
from disbench.reports.records import RECORD_FILE, Record, Trial

TWO = Machine(devices=2, accelerator="cpu")
STEPS, STOPPED = 30, 11  # 24 minibatches are an epoch
# The processes import it; a class of this file they could not.
QUIET = '''
import os, signal, time
import torch
from disbench.baselines.vae import VAE

class Quiet(VAE):
    """z is the mean. The noise that would be drawn is a curve; from its own process, it says who drew it."""

    data_parallel = True

    def training_step(self, batch, batch_idx):
        x = batch.images
        q = self.posterior(x)
        reconstruction = self.reconstruction_loss(x, q.mean)
        penalty, terms = self.regulariser(q.mean, q)
        terms |= {"noise": torch.randn(()), "images": torch.tensor(float(len(x)))}
        return {"loss": reconstruction + penalty, "reconstruction": reconstruction, **terms}

class Stopping:
    """Stops the parent with its 11th minibatch in rank 0, and waits until the parent has handed that on."""

    def __init__(self, dataset, number):
        self.dataset, self.number, self.calls = dataset, number, 0

    @property
    def training(self):
        return self

    def __getattr__(self, name):
        if name == "dataset":
            raise AttributeError(name)
        return getattr(self.dataset, name)

    def __len__(self):
        return len(self.dataset)

    def batch(self, rows):
        self.calls += 1
        if self.calls == 11 and os.environ["LOCAL_RANK"] == "0":
            os.kill(os.getppid(), self.number)
            while signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
                time.sleep(0.01)
        return self.dataset.batch(rows)
'''


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[ModuleType]:
    (tmp_path / "quiet_method.py").write_text(QUIET)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(trial_module, "IMAGES", 20)
    module = importlib.import_module("quiet_method")
    monkeypatch.setitem(METHODS, "quiet", module.Quiet)
    yield module
    del sys.modules["quiet_method"]


def small_trial(method: str = "quiet", **changes: object) -> Trial:
    return tiny_trial(method, **{"steps": STEPS, **changes})


def run(trial: Trial, out: Path, machine: Machine = TWO, dataset: object = None) -> Record:
    return run_trial(trial, dataset or load(trial.dataset, **trial.dataset_options), out, {"mig": {}}, machine=machine)


def weights(out: Path, trial: Trial) -> dict[str, torch.Tensor]:
    return torch.load(out / trial.id / CHECKPOINT, weights_only=True)["state_dict"]


def test_two_devices_stopped_by_ctrl_c_and_run_again_train_the_trial_of_one(quiet: ModuleType, tmp_path: Path) -> None:
    trial = small_trial()
    alone = run(trial, tmp_path / "one", Machine(accelerator="cpu"))
    two = tmp_path / "two"
    with pytest.raises(KeyboardInterrupt):
        run(trial, two, dataset=quiet.Stopping(load(trial.dataset, **trial.dataset_options), signal.SIGINT))
    assert not (two / trial.id / RECORD_FILE).exists()
    assert position(two / trial.id)[:2] == (STOPPED, STEPS)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler

    record = run(trial, two)
    assert record.status == alone.status == "ok", record.error
    assert record.resumed_at == [STOPPED]
    expected = weights(tmp_path / "one", trial)
    for name, found in weights(two, trial).items():
        torch.testing.assert_close(found, expected[name], rtol=0, atol=1e-5)
    for name in ("loss", "reconstruction", "kl"):
        np.testing.assert_allclose(record.curves[name], alone.curves[name], rtol=1e-5)
    assert {count for _, count in alone.curves["images"]} == {16}
    assert {count for _, count in record.curves["images"]} == {8}
    noise = []
    for rank in range(2):
        torch.manual_seed(seed_for("quiet", "dsprites_like", 0, "training", rank))
        noise.append(torch.stack([torch.randn(()) for _ in range(STEPS)]))
    np.testing.assert_allclose([value for _, value in record.curves["noise"]], sum(noise) / 2, rtol=1e-6)
    assert record.images_seen == alone.images_seen == 16 * STEPS
    assert record.remarks == ["Trained on 2 devices, each with its share of every minibatch and noise of its own."]
    assert record.seconds["train"] > 0
    assert set(record.artefacts) == set(alone.artefacts)
    assert not {RESUME, POSITION} & {path.name for path in (two / trial.id).iterdir()}
    codes = [read_table(folder / trial.id / CODES)[0] for folder in (tmp_path / "one", two)]
    np.testing.assert_allclose(*codes, atol=1e-4)


def test_the_shares_of_a_minibatch_are_equal_and_together_the_minibatch() -> None:
    dataset = load("dsprites_like", select=SELECT)

    def first(**share: int) -> torch.Tensor:
        images = Images(dataset, small_trial(batch_size=12), Independent())
        return next(images.stream(torch.device("cpu"), **share)).images

    shares = [first(rank=rank, ranks=3) for rank in range(3)]
    assert [len(share) for share in shares] == [4, 4, 4]
    assert torch.equal(torch.stack(shares, dim=1).flatten(0, 1), first())


@pytest.mark.parametrize("method", ["beta_tcvae", "factor_vae", "mine_vae", "silent"])
def test_a_method_that_does_not_say_its_loss_is_a_mean_over_images_is_refused(
    method: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(METHODS, "silent", type("Silent", (BetaVAE,), {}))  # inherits, and may look at pairs
    check_shares(small_trial(method), Machine())
    record = run(small_trial(method), tmp_path)
    assert record.status == "failed"
    assert f"{method} does not, and got devices=2" in record.error


def test_a_minibatch_without_equal_shares_is_refused() -> None:
    for method in ("vae", "beta_vae"):
        check_shares(small_trial(method), TWO)
        with pytest.raises(ValueError, match="batch_size=15 for devices=2"):
            check_shares(small_trial(method, batch_size=15), TWO)


@pytest.mark.parametrize("strategy", ["ddp_spawn", "ddp_fork", "fsdp"])
def test_a_strategy_that_starts_processes_itself_or_parts_the_weights_is_refused(strategy: str) -> None:
    Machine(devices=2, strategy="ddp")
    with pytest.raises(ValueError, match=f"got '{strategy}'"):
        Machine(devices=2, strategy=strategy)
    with pytest.raises(ValueError, match="1 or more, got 0"):
        Machine(devices=0)


class UnpicklableError(Exception):
    def __reduce__(self) -> str:
        raise TypeError("not to be pickled")


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (FloatingPointError("loss is nan"), "diverged"),
        (OSError(errno.ENOSPC, "No space left on device"), "disk full"),
        (torch.OutOfMemoryError("CUDA out of memory"), "out of memory"),
        (UnpicklableError("odd"), "error"),
    ],
)
def test_an_error_comes_out_of_its_process_with_its_kind_and_its_traceback(error: Exception, kind: str) -> None:
    ours, theirs = multiprocessing.Pipe(duplex=False)
    try:
        raise error
    except Exception as raised:  # noqa: BLE001 -- every kind of the cases above
        theirs.send(sendable(raised))
    found = ours.recv()
    assert classify(found) == kind
    assert "in test_an_error_comes_out" in "".join(traceback.format_exception(found))
