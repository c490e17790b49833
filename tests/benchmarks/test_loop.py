"""The training loop does what Lightning's Trainer does: the same weights, hooks, schedulers, clipping and loss scale."""

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as lightning
import torch
from lightning_fabric.strategies import SingleDeviceStrategy
from step_input import images_of_a_step, with_all_it_samples
from tiny_trial import tiny_trial
from torch.optim.lr_scheduler import ReduceLROnPlateau
from torch.utils.data import DataLoader, TensorDataset

from disbench.baselines.alternating import AlternatingVAE, Stage, StageResult
from disbench.baselines.method import Batch
from disbench.baselines.vae import VAE
from disbench.benchmarks import METHODS
from disbench.benchmarks.training import loop as training
from disbench.benchmarks.training.checkpoint import RESUME, ResumeCallback
from disbench.benchmarks.training.contracts import ContractError
from disbench.benchmarks.training.steps import Callback, Loop, Mixed, precision_options
from disbench.datasets import load

BATCH, STEPS = 8, 12
OWN = {
    "mine_vae": {"latent_dim": 6, "num_factors": 3, "handover": 0.3},
    "factor_vae": {"discriminator_dim": 16},
    "factor_qvae": {"discriminator_dim": 16},
}
QUIET = dict.fromkeys(("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False)
SHAPE = (1, 16, 16)
SMALL = {"network": "mlp", "hidden_dim": 8}


def make(kind: type[VAE] = VAE, **options: Any) -> VAE:
    torch.manual_seed(0)
    return kind(SHAPE, 100, **SMALL, **options)


def images(steps: int, size: int = BATCH) -> torch.Tensor:
    return torch.rand(steps * size, *SHAPE, generator=torch.Generator().manual_seed(1)).round()


def batches(steps: int, size: int = BATCH) -> Iterator[torch.Tensor]:
    return iter(images(steps, size).split(size))


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
@pytest.mark.parametrize("name", METHODS)
def test_a_trainer_of_ones_own_trains_every_method_to_the_same_bits(
    name: str, precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(METHODS["mine_vae"], "audit_at", ())
    weights = []
    for trainer in (False, True):
        torch.manual_seed(0)
        method = METHODS[name](SHAPE, 100, **SMALL, **OWN.get(name, {}))
        size = images_of_a_step(method, BATCH)
        given = with_all_it_samples(method, images(STEPS, size))
        torch.manual_seed(2)
        if trainer:
            loader = DataLoader(TensorDataset(*(each for each in given if each is not None)), batch_size=size)
            loader.generator = torch.Generator()  # or it draws from the global one
            lightning.Trainer(max_epochs=1, accelerator="cpu", precision=precision, **QUIET).fit(method, loader)
        else:
            parts = [[None] * STEPS if each is None else each.split(size) for each in given]
            Loop(STEPS, precision=precision, accelerator="cpu").fit(
                method, (Batch(*each) for each in zip(*parts, strict=True))
            )
        weights.append(method.state_dict())
    torch.testing.assert_close(weights[0], weights[1], rtol=0, atol=0)


HOOKS = (
    "on_fit_start",
    "on_train_start",
    "on_train_epoch_start",
    "on_after_batch_transfer",
    "on_train_batch_start",
    "on_before_zero_grad",
    "on_before_backward",
    "on_after_backward",
    "on_before_optimizer_step",
    "configure_gradient_clipping",
    "on_train_batch_end",
    "on_train_epoch_end",
    "on_train_end",
    "on_fit_end",
)


class Noting(VAE):
    """Notes which hooks are called."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.called: list[str] = []


def noting(name: str) -> Any:
    def hook(self: Noting, *arguments: Any, **keywords: Any) -> Any:
        self.called.append(name)
        return getattr(VAE, name)(self, *arguments, **keywords)

    return hook


for _name in HOOKS:
    setattr(Noting, _name, noting(_name))


def test_the_hooks_of_a_training_are_called_in_lightnings_order() -> None:
    called = []
    for trainer in (False, True):
        method = make(Noting)
        if trainer:
            lightning.Trainer(max_epochs=1, accelerator="cpu", **QUIET).fit(
                method, DataLoader(images(2), batch_size=BATCH)
            )
        else:
            Loop(2, accelerator="cpu").fit(method, batches(2))
        called.append(method.called)
    assert called[0] == called[1]
    assert set(called[0]) == set(HOOKS)


def test_a_hook_that_would_change_a_step_and_is_not_called_is_refused() -> None:
    class Warming(VAE):
        def optimizer_step(self, *arguments: Any) -> None: ...

    with pytest.raises(ContractError, match="Warming overrides optimizer_step, which the training loop does not call"):
        Loop(1, accelerator="cpu").fit(make(Warming), batches(1))


def test_a_method_sees_the_steps_that_are_done_and_those_of_the_whole_training() -> None:
    seen = []

    class Looking(VAE):
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            seen.append((self.global_step, self.trainer.num_training_batches, self.current_step(batch_idx)))
            return super().training_step(batch, batch_idx)

    Loop(3, accelerator="cpu").fit(make(Looking), batches(3))
    assert seen == [(step, 3, (step, 3)) for step in range(3)]


class Clipping(VAE):
    """Clips to a norm or to values."""

    by = "norm"

    def configure_gradient_clipping(self, optimizer: Any, *arguments: Any) -> None:
        self.clip_gradients(optimizer, gradient_clip_val=1e-3, gradient_clip_algorithm=self.by)
        self.largest = max(float(parameter.grad.abs().max()) for parameter in self.parameters())
        self.norm = float(torch.nn.utils.get_total_norm([parameter.grad for parameter in self.parameters()]))


@pytest.mark.parametrize("by", ["norm", "value"])
def test_a_method_clips_its_gradients_by_norm_or_by_value(by: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Clipping, "by", by)
    method = make(Clipping)
    Loop(2, accelerator="cpu").fit(method, batches(2))
    assert {"norm": method.norm, "value": method.largest}[by] == pytest.approx(1e-3, rel=1e-3)


class Scaled(SingleDeviceStrategy):
    """A CPU with float16 autocast and a loss that is scaled, as a GPU has it."""

    def __init__(self, scaler: torch.amp.GradScaler) -> None:
        super().__init__(device=torch.device("cpu"), precision=Mixed("16-mixed", "cpu", scaler))


def scaler() -> torch.amp.GradScaler:
    return torch.amp.GradScaler("cpu", init_scale=1024.0, growth_interval=2)


class ClippedStage(AlternatingVAE):
    """One stage, clipped."""

    def stages(self, step: Any) -> Iterator[Stage]:
        yield Stage("all", type(self).all, (0,), clip=1e-3)

    def all(self, batch: Any, context: Any) -> StageResult:
        terms = VAE.training_step(self, batch, 0)
        return StageResult((terms["loss"],), terms, context)

    def configure_optimizers(self) -> list[torch.optim.Optimizer]:
        return [torch.optim.SGD(self.parameters(), lr=1.0)]


def test_clipping_bounds_the_gradient_and_not_its_scaled_copy() -> None:
    method = make(ClippedStage)
    before = torch.nn.utils.parameters_to_vector(method.parameters()).detach().clone()
    scaling = scaler()
    Loop(1, strategy=Scaled(scaling)).fit(method, batches(1))
    moved = torch.nn.utils.parameters_to_vector(method.parameters()).detach() - before
    assert float(moved.norm()) == pytest.approx(1e-3, rel=1e-2)


class Keep(Callback):
    """Keeps the content of a checkpoint after one step."""

    def __init__(self, at: int) -> None:
        self.at = at
        self.content: dict[str, Any] = {}

    def on_step(self, loop: Loop, step: int, terms: Any) -> None:
        if step == self.at:
            self.content = copy.deepcopy({**loop.content(), "random": torch.get_rng_state()})


def test_a_training_in_float16_resumes_with_its_scale_to_the_same_bits() -> None:
    torch.manual_seed(0)
    kept, whole, scaling = Keep(3), make(), scaler()
    Loop(6, [kept], strategy=Scaled(scaling)).fit(whole, batches(6))
    assert scaling.get_scale() == 1024.0 * 2**3
    resumed, again = make(), scaler()
    rest = list(batches(6))[3:]
    torch.set_rng_state(kept.content["random"])
    Loop(6, strategy=Scaled(again)).fit(resumed, iter(rest), kept.content)
    assert again.get_scale() == scaling.get_scale()
    torch.testing.assert_close(resumed.state_dict(), whole.state_dict(), rtol=0, atol=0)


def test_float16_on_a_cpu_is_bfloat16_and_the_log_says_so(caplog: pytest.LogCaptureFixture) -> None:
    (_, precision) = precision_options("16-mixed", "cpu")["plugins"]
    assert precision.precision == "bf16-mixed"
    assert "16-mixed needs a GPU" in caplog.text


class Plateau(VAE):
    """Halves the learning rate when a term stops falling."""

    monitor = "loss"

    def configure_optimizers(self) -> Any:
        self.optimizer = torch.optim.SGD(self.parameters(), lr=1e-4)
        scheduler = ReduceLROnPlateau(self.optimizer, factor=0.5, patience=0, threshold=1e9, threshold_mode="abs")
        return {"optimizer": self.optimizer, "lr_scheduler": {"scheduler": scheduler, "monitor": self.monitor}}


def test_a_scheduler_can_monitor_a_term_of_the_step(monkeypatch: pytest.MonkeyPatch) -> None:
    method = make(Plateau)
    Loop(3, accelerator="cpu").fit(method, batches(3))
    assert method.optimizer.param_groups[0]["lr"] < 1e-4
    monkeypatch.setattr(Plateau, "monitor", "score")
    with pytest.raises(ContractError, match=r"needs to monitor one of the terms .*loss.*; got 'score'"):
        Loop(1, accelerator="cpu").fit(make(Plateau), batches(1))


def test_too_few_batches_are_an_error() -> None:
    with pytest.raises(ValueError, match="Training has 3 steps, but the batches ended after 2"):
        Loop(3, accelerator="cpu").fit(make(), batches(2))


def test_a_trained_method_can_be_copied_and_trained_again() -> None:
    method = make()
    Loop(2, accelerator="cpu").fit(method, batches(2))
    assert method.fabric is None
    copied = copy.deepcopy(method)
    Loop(2, accelerator="cpu").fit(copied, batches(2))
    assert not torch.equal(next(copied.parameters()), next(method.parameters()))


def test_an_unfinished_checkpoint_of_version_0_1_is_resumed_to_the_same_bits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such a one has what Lightning's Trainer kept: steps of optimizers for `global_step`, and no key for the scale."""
    trial = tiny_trial("factor_vae", {"discriminator_dim": 16}, steps=8)
    dataset = load(trial.dataset, **trial.dataset_options)
    whole, half = tmp_path / "whole", tmp_path / "half"
    whole.mkdir(), half.mkdir()
    expected, _, _ = training.train(trial, dataset, str(whole / "model.ckpt"))
    interrupted = ResumeCallback.on_step

    def stop(self: ResumeCallback, loop: Loop, step: int, terms: Any) -> None:
        self.interrupted = step == 4
        interrupted(self, loop, step, terms)

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(ResumeCallback, "on_step", stop)
        training.train(trial, dataset, str(half / "model.ckpt"))
    content = torch.load(half / RESUME, weights_only=True)
    del content["precision"]
    torch.save({**content, "global_step": 8, "epoch": 0, "loops": {}}, half / RESUME)
    found, curves, _ = training.train(trial, dataset, str(half / "model.ckpt"))
    assert curves.resume.resumed_at == [4]
    torch.testing.assert_close(found.state_dict(), expected.state_dict(), rtol=0, atol=0)
