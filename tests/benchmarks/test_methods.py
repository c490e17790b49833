"""What the runner expects of every method, asked of each that is registered."""

import inspect
from pathlib import Path

import pytest
import torch
from accelerator import NoWaiting
from pytorch_lightning import LightningModule
from pytorch_lightning.accelerators import CPUAccelerator
from pytorch_lightning.profilers import PassThroughProfiler
from pytorch_lightning.strategies import SingleDeviceStrategy

from disbench.baselines.method import Batch, as_batch
from disbench.benchmarks import METHODS
from disbench.benchmarks.settings.hyperparameters import hyperparameters
from disbench.benchmarks.training.loop import make_trainer
from disbench.mine_vae import MINEDisentangleVAE
from disbench.reports.records import Trial

BATCH = 8
SMALL = {"mine_vae": {"latent_dim": 6, "num_factors": 3}, "factor_vae": {"discriminator_dim": 16}}


class LeaveInPlace(SingleDeviceStrategy):
    """Trains a method on the device that it and its batches are on; Lightning knows no meta device."""

    def model_to_device(self) -> None: ...

    def batch_to_device(self, batch: torch.Tensor, device: object = None, dataloader_idx: int = 0) -> torch.Tensor:
        return batch

    def teardown(self) -> None: ...


def trial(name: str, steps: int, **fields: object) -> Trial:
    return Trial(method=name, dataset="none", dataset_version="1", seed=0, steps=steps, batch_size=BATCH, **fields)


def make(name: str, channels: int = 1, **hparams: object) -> LightningModule:
    return METHODS[name]((channels, 64, 64), 1000, **{**SMALL.get(name, {}), **hparams})


def fit(method: LightningModule, name: str, steps: int, device: str) -> None:
    images = (torch.rand(BATCH * method.sampling.rows, 1, 64, 64, device=device) for _ in range(steps))
    strategy = LeaveInPlace(device=torch.device("cpu"), accelerator=CPUAccelerator())
    make_trainer(trial(name, steps), [], strategy=strategy, accelerator="auto", devices="auto").fit(method, images)


@pytest.mark.parametrize("name", METHODS)
def test_a_training_step_stays_on_its_device_and_waits_for_nothing(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """On the meta device, mixing in a tensor of any real device raises, and so does asking for a value, as `if`, `float` and
    `nonzero` do. Ten steps reach every branch.
    """
    monkeypatch.setattr(MINEDisentangleVAE, "audit_at", ())  # a verdict is about numbers, and here are none
    with torch.device("meta"):
        method = make(name)
    with NoWaiting(torch.device("meta")):  # a tensor that is made on the CPU and moved
        fit(method, name, steps=10, device="meta")
    assert {tensor.device.type for tensor in method.state_dict().values()} == {"meta"}


@pytest.mark.parametrize("name", METHODS)
def test_one_step_moves_every_parameter_that_is_trained(name: str) -> None:
    torch.manual_seed(0)
    method = make(name, network="mlp", hidden_dim=16)
    before = {key: value.clone() for key, value in method.named_parameters()}
    fit(method, name, steps=10, device="cpu")
    still = {key for key, value in method.named_parameters() if torch.equal(value, before[key])}
    assert not still


@pytest.mark.parametrize("name", METHODS)
def test_no_backward_pass_is_under_autocast(name: str) -> None:
    """There it would round the gradients of what a method computes in float32 on purpose."""
    method = make(name, network="mlp", hidden_dim=16)
    forward, backward = [], []
    method.encoder.register_forward_hook(lambda *_: forward.append(torch.is_autocast_enabled("cpu")))
    for parameter in method.parameters():
        parameter.register_hook(lambda gradient: backward.append(torch.is_autocast_enabled("cpu")))
    images = (torch.rand(BATCH * method.sampling.rows, 1, 64, 64) for _ in range(10))
    make_trainer(trial(name, 10, precision="bf16-mixed"), []).fit(method, images)
    assert set(forward) == {True}
    assert set(backward) == {False}


def test_the_name_of_the_running_hook_is_kept_without_a_look_for_modules(monkeypatch: pytest.MonkeyPatch) -> None:
    original, names = torch.nn.Module.__setattr__, set()

    def noting(module: torch.nn.Module, name: str, value: object) -> None:
        names.add(name)
        original(module, name, value)

    monkeypatch.setattr(torch.nn.Module, "__setattr__", noting)
    method = make("vae", network="mlp", hidden_dim=16)
    hooks = []
    method.on_train_batch_start = lambda *_: hooks.append(method._current_fx_name)
    fit(method, "vae", steps=2, device="cpu")
    assert hooks == ["on_train_batch_start"] * 2
    assert {"encoder", "decoder", "lr"} <= names
    assert "_current_fx_name" not in names


def test_no_hook_of_a_step_is_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    timed = set()
    monkeypatch.setattr(PassThroughProfiler, "start", lambda profiler, action: timed.add(action))
    fit(make("vae", network="mlp", hidden_dim=16), "vae", steps=2, device="cpu")
    assert timed <= {"[_TrainingEpochLoop].train_dataloader_next"}  # which Lightning starts itself


def test_a_trainer_that_clips_gradients_clips_them_and_another_does_not_ask_how(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    original, asked = LightningModule.clip_gradients, []

    def noting(method: LightningModule, optimizer: torch.optim.Optimizer, **options: object) -> None:
        asked.append(options["gradient_clip_val"])
        original(method, optimizer, **options)

    monkeypatch.setattr(LightningModule, "clip_gradients", noting)
    for clip in (None, 1e-3):
        method, norms = make("vae", network="mlp", hidden_dim=16), []
        method.on_before_zero_grad = lambda optimizer, method=method, norms=norms: norms.append(
            torch.nn.utils.get_total_norm([p.grad for p in method.parameters() if p.grad is not None]).item()
        )
        make_trainer(trial("vae", 3), [], accelerator="cpu", gradient_clip_val=clip).fit(
            method, (torch.rand(BATCH, 1, 64, 64) for _ in range(3))
        )
        if clip is None:
            assert min(norms[1:]) > 1  # before the first step there are none
            assert asked == []
        else:
            assert norms[1:] == pytest.approx([clip] * 2, rel=1e-3)
            assert asked == [clip] * 3


def test_lightning_reads_the_arguments_of_a_step_of_ones_own() -> None:
    """The plain VAE's are kept beside it, where a subclass's must not be looked for."""
    given = []

    class Own(METHODS["vae"]):
        def training_step(self, batch: Batch) -> torch.Tensor:
            given.append(as_batch(batch).images.shape)
            return super().training_step(batch, 0)["loss"]

    assert inspect.getfullargspec(make("vae").training_step).args == ["self", "batch", "batch_idx"]
    fit(Own((1, 64, 64), 1000, network="mlp", hidden_dim=16), "vae", steps=2, device="cpu")
    assert given == [(BATCH, 1, 64, 64)] * 2


@pytest.mark.parametrize("name", METHODS)
def test_a_step_is_one_call_of_training_step_whatever_the_optimisers_count(name: str) -> None:
    method = make(name, network="mlp", hidden_dim=16)
    calls = []
    original = method.training_step

    def counting(batch: Batch, batch_idx: int) -> dict[str, torch.Tensor]:
        calls.append(len(as_batch(batch).images))
        return original(batch, batch_idx)

    method.training_step = counting
    fit(method, name, steps=7, device="cpu")
    assert calls == [BATCH * method.sampling.rows] * 7


@pytest.mark.parametrize("name", METHODS)
def test_a_methods_file_is_short(name: str) -> None:
    """The MINE VAE's holds the schedule of three parties and twice as many hyperparameters as all others together."""
    lines = Path(inspect.getfile(METHODS[name])).read_text(encoding="utf-8").splitlines()
    assert len(lines) < (300 if name == "mine_vae" else 150)


@pytest.mark.parametrize("name", METHODS)
def test_every_hyperparameter_is_typed_and_has_a_default(name: str) -> None:
    for parameter in hyperparameters(name).values():
        assert parameter.default is not inspect.Parameter.empty
        assert parameter.annotation is not inspect.Parameter.empty
