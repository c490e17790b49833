"""What the runner expects of every method, asked of each that is registered."""

import ast
import inspect
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from accelerator import NoWaiting
from lightning_fabric.accelerators import CPUAccelerator
from lightning_fabric.strategies import SingleDeviceStrategy
from pytorch_lightning import LightningModule
from step_input import images_of_a_step, with_all_it_samples

from disbench.baselines.method import Batch, as_batch
from disbench.benchmarks import METHODS
from disbench.benchmarks.settings.hyperparameters import hyperparameters
from disbench.benchmarks.training.steps import Loop
from disbench.mine_vae import MINEDisentangleVAE, MINEGroupVAE

BATCH = 8
SMALL = {
    "mine_vae": {"latent_dim": 6, "num_factors": 3},
    "mine_groups": {"latent_dim": 6, "num_factors": 3, "mine_start": 0.3},
    "factor_vae": {"discriminator_dim": 16},
    "factor_qvae": {"discriminator_dim": 16},
    "hf_vae": {"blocks": "found"},
}


class OnMeta(CPUAccelerator):
    """Lets a method train on the meta device, which Lightning does not know."""

    def setup_device(self, device: torch.device) -> None: ...


def make(name: str, channels: int = 1, **hparams: object) -> LightningModule:
    return METHODS[name]((channels, 64, 64), 1000, **{**SMALL.get(name, {}), **hparams})


def inputs(method: LightningModule, steps: int, device: str = "cpu") -> Iterator[Batch]:
    size = images_of_a_step(method, BATCH)
    return (with_all_it_samples(method, torch.rand(size, 1, 64, 64, device=device)) for _ in range(steps))


def fit(method: LightningModule, steps: int, device: str = "cpu") -> None:
    images = inputs(method, steps, device)
    strategy = SingleDeviceStrategy(device=torch.device(device), accelerator=OnMeta())
    Loop(steps, strategy=strategy).fit(method, images)


@pytest.mark.parametrize("name", METHODS)
def test_a_training_step_stays_on_its_device_and_waits_for_nothing(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """On the meta device, mixing in a tensor of any real device raises, and so does asking for a value, as `if`, `float` and
    `nonzero` do. Ten steps reach every branch.
    """
    for audited in (MINEDisentangleVAE, MINEGroupVAE):
        monkeypatch.setattr(audited, "audit_at", ())  # a verdict is about numbers, and here are none
    with torch.device("meta"):
        method = make(name)
    with NoWaiting(torch.device("meta")):  # a tensor that is made on the CPU and moved
        fit(method, steps=10, device="meta")
    assert {tensor.device.type for tensor in method.state_dict().values()} == {"meta"}


@pytest.mark.parametrize("name", METHODS)
def test_one_step_moves_every_parameter_that_is_trained(name: str) -> None:
    torch.manual_seed(0)
    method = make(name, network="mlp", hidden_dim=16)
    before = {key: value.clone() for key, value in method.named_parameters()}
    fit(method, steps=10)
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
    Loop(10, precision="bf16-mixed", accelerator="cpu").fit(method, inputs(method, 10))
    assert set(forward) == {True}
    assert set(backward) == {False}


def test_a_step_of_ones_own_may_leave_out_the_batch_index() -> None:
    given = []

    class Own(METHODS["vae"]):
        def training_step(self, batch: Batch) -> torch.Tensor:
            given.append(as_batch(batch).images.shape)
            return super().training_step(batch, 0)["loss"]

    fit(Own((1, 64, 64), 1000, network="mlp", hidden_dim=16), steps=2)
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
    fit(method, steps=7)
    assert calls == [images_of_a_step(method, BATCH)] * 7


@pytest.mark.parametrize("name", METHODS)
def test_a_methods_file_is_short(name: str) -> None:
    """Docstrings are not counted. The MINE VAE has more to schedule, and twice as many hyperparameters as all others together."""
    tree = ast.parse(Path(inspect.getfile(METHODS[name])).read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None:
            node.body[0] = ast.Pass()
    assert len(ast.unparse(tree).splitlines()) < (300 if name.startswith("mine") else 150)


@pytest.mark.parametrize("name", METHODS)
def test_every_hyperparameter_is_typed_and_has_a_default(name: str) -> None:
    for parameter in hyperparameters(name).values():
        assert parameter.default is not inspect.Parameter.empty
        assert parameter.annotation is not inspect.Parameter.empty
