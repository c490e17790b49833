"""What a method has to do is checked before its first step, by its name; an encoder without a decoder is a full trial."""

import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from step_input import images_of_a_step
from tiny_trial import tiny_trial
from torch import Tensor, nn
from torch.optim import SGD, Adam
from torch.optim.lr_scheduler import CosineAnnealingLR, ExponentialLR, MultiStepLR, ReduceLROnPlateau

from disbench.baselines.alternating import AlternatingVAE, Stage, StageResult
from disbench.baselines.gaussian import kl_to_prior
from disbench.baselines.method import Batch, Codes, Method, Step
from disbench.baselines.vae import VAE
from disbench.benchmarks import METHODS
from disbench.benchmarks.runtime.machine import Machine
from disbench.benchmarks.settings.hyperparameters import check_method, hyperparameters, resolved
from disbench.benchmarks.training.contracts import ContractError, check_contract, checked_optimizers, no_pictures
from disbench.benchmarks.training.loop import build, train
from disbench.benchmarks.trials import traversals, trial as trial_module
from disbench.benchmarks.trials.encode import encode
from disbench.benchmarks.trials.trial import run_trial
from disbench.datasets import load
from disbench.reports.records import Record, Trial
from disbench.reports.records.migration import ADDED

SMALL = {"network": "mlp", "hidden_dim": 8}
SHAPE = (1, 64, 64)


class Small(VAE):
    """A VAE that counts the steps it makes; the tests change one thing at a time."""

    steps_made = 0

    def training_step(self, batch: Batch, batch_idx: int) -> Any:
        terms = super().training_step(batch, batch_idx)
        if not batch.images.is_meta:
            type(self).steps_made += 1
        return self.returned(terms)

    def returned(self, terms: dict[str, Tensor]) -> Any:
        return terms


class OneOptimizer(AlternatingVAE):
    """The VAE as one stage of one optimizer."""

    def stages(self, step: Step) -> Iterator[Stage]:
        yield Stage("all", type(self).all, (0,))

    def all(self, batch: Batch, context: Any) -> StageResult:
        q = self.posterior(batch.images)
        loss = self.reconstruction_loss(batch.images, q.sample()) + kl_to_prior(q).sum(1).mean()
        return StageResult((loss,), {"loss": loss}, context)

    def configure_optimizers(self) -> Any:
        return Adam(self.parameters(), self.lr)


class Mean(Method):
    """An encoder without a decoder: it learns to tell how bright the parts of an image are. Nothing here is named latent_dim."""

    generates = False

    def __init__(self, image_shape: tuple[int, ...], n_train: int, *, width: int = 4, lr: float = 1e-3) -> None:
        super().__init__()
        self.lr = lr
        self.network = nn.Sequential(nn.AdaptiveAvgPool2d(width), nn.Flatten(), nn.Linear(width**2 * image_shape[0], 5))

    def encode(self, x: Tensor) -> Codes:
        return Codes(self.network(x))

    def training_step(self, batch: Batch, batch_idx: int) -> dict[str, Tensor]:
        return {"loss": (self.network(batch.images).mean(1) - batch.images.mean((1, 2, 3))).square().mean()}

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return Adam(self.parameters(), self.lr)


@pytest.fixture(autouse=True)
def few_reconstructions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial_module, "IMAGES", 10)


def trained(kind: type[Method], out: Path, monkeypatch: pytest.MonkeyPatch, own: Any = None, **changes: Any) -> Record:
    monkeypatch.setitem(METHODS, "mine", kind)
    trial = tiny_trial("mine", own, **{"rows": 100, "steps": 3, **changes})
    return run_trial(trial, load(trial.dataset, **trial.dataset_options), out, {"mig": {"bins": 20}})


def check(method: Any, images: int = 8) -> None:
    check_contract(method, SHAPE, images, 10)


TERMS = {
    "no loss": (lambda terms: {"reconstruction": terms["loss"]}, "needs a term 'loss', got 'reconstruction'"),
    "nothing": (lambda terms: None, "needs a dictionary with 'loss', got NoneType"),
    "a tuple": (lambda terms: (terms["loss"],), "needs a dictionary with 'loss', got tuple"),
    "detached": (lambda terms: {**terms, "loss": terms["loss"].detach()}, "needs a loss with a gradient"),
    "per image": (lambda terms: {**terms, "loss": terms["loss"].expand(8)}, r"'loss' as one number, got shape \(8,\)"),
    "a term per image": (lambda terms: {**terms, "kl": terms["kl"].expand(3)}, r"'kl' as one number, got shape \(3,\)"),
    "a number": (lambda terms: {**terms, "kl": 0.5}, "'kl' as a tensor, got float: 0.5"),
    "a name that is none": (lambda terms: {**terms, 1: terms["kl"]}, "strings, got 1"),
    "complex": (lambda terms: {"loss": terms["loss"] + 0j}, "'loss' as a real number, got torch.complex64"),
}


@pytest.mark.parametrize("returned", TERMS)
@pytest.mark.parametrize("meta", [True, False])
def test_terms_that_are_none_are_told_before_the_first_step(returned: str, meta: bool) -> None:
    change, words = TERMS[returned]

    class Mistaken(Small):
        def returned(self, terms: dict[str, Tensor]) -> Any:
            if not meta:
                float(terms["loss"])  # which the meta device cannot do
            return change(terms)

    with pytest.raises(ContractError, match=rf"Mistaken\.training_step .*{words}"):
        check(Mistaken(SHAPE, 100, **SMALL))


def test_a_trial_whose_terms_lack_the_loss_ends_before_its_first_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Lossless(Small):
        def returned(self, terms: dict[str, Tensor]) -> Any:
            return {"total": terms["loss"]}

    record = trained(Lossless, tmp_path, monkeypatch)
    assert record.status == "failed"
    assert "Lossless.training_step needs a term 'loss', got 'total': return {\"loss\": loss" in record.error
    assert Lossless.steps_made == 0
    assert record.curves == {}


def test_a_step_that_moves_optimizers_by_itself_is_checked_after_the_first_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class ByHand(Small):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            self.automatic_optimization = False

        def training_step(self, batch: Batch, batch_idx: int) -> Any:
            terms = super().training_step(batch, batch_idx)
            self.manual_backward(terms["loss"])
            self.optimizers().step()
            return {"kl": terms["kl"].detach()}

    record = trained(ByHand, tmp_path, monkeypatch, steps=900)  # curves have a point at each ninth step
    assert "ByHand.training_step needs a term 'loss', got 'kl'" in record.error
    assert ByHand.steps_made == 1


def test_a_loss_that_is_not_finite_at_the_first_step_is_told_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Infinite(Small):
        def returned(self, terms: dict[str, Tensor]) -> Any:
            return {**terms, "loss": terms["loss"] * torch.inf}

    record = trained(Infinite, tmp_path, monkeypatch, steps=900)
    assert "loss is inf at step 1" in record.error
    assert record.failure == "diverged"


def test_what_is_missing_altogether_is_told_with_how_to_write_it() -> None:
    class Empty(Method): ...

    class Encoding(Mean):
        training_step = Method.training_step

    class Alternating(AlternatingVAE): ...

    class Plain(nn.Module): ...

    with pytest.raises(ContractError, match=r"Empty needs a method encode: return Codes\(values\)"):
        check(Empty())
    with pytest.raises(ContractError, match=r'Encoding needs a method training_step: return {"loss": loss'):
        check(Encoding(SHAPE, 100))
    with pytest.raises(ContractError, match="Alternating needs a method stages: yield a Stage"):
        check(Alternating(SHAPE, 100, **SMALL))
    with pytest.raises(ContractError, match=r"Plain needs to derive from disbench.baselines.method.Method"):
        check(Plain())


@pytest.mark.parametrize("meta", [True, False])
def test_codes_and_images_of_a_wrong_shape_are_told_before_training(meta: bool) -> None:
    class Transposed(Small):
        def encode(self, x: Tensor) -> Codes:
            assert meta or x.any()
            return Codes(super().encode(x).values.T)

    class Flat(Small):
        def decode(self, z: Tensor) -> Tensor:
            assert meta or z.any()
            return super().decode(z).flatten(1)

    class Broken(Small):
        def encode(self, x: Tensor) -> Codes:
            raise AttributeError("no such layer")

    with pytest.raises(ContractError, match=r"Transposed.encode needs values of shape \(B, D\) or .* got \(10, 2\)"):
        check(Transposed(SHAPE, 100, **SMALL))
    with pytest.raises(ContractError, match=r"Flat.decode needs .* \(2, 1, 64, 64\), got \(2, 4096\)"):
        check(Flat(SHAPE, 100, **SMALL))
    with pytest.raises(ContractError, match=r"Broken.encode fails: no such layer"):
        check(Broken(SHAPE, 100, **SMALL))


@pytest.mark.parametrize(
    ("configured", "words"),
    [
        (lambda method: None, "at least one optimizer, got None"),
        (lambda method: [], r"at least one optimizer, got \[\]"),
        (lambda method: 0.1, "optimizers of torch.optim, got float"),
        (lambda method: {"optimiser": method.adam()}, "optimizers of torch.optim, got NoneType"),
        (lambda method: [method.adam(), method.adam()], "2 optimizers, but training_step has one loss"),
        (lambda method: ([method.adam()], ["cosine"]), "schedulers of torch.optim.lr_scheduler, got str"),
        (lambda method: method.scheduled(interval="batch"), "interval is 'step' or 'epoch', got 'batch'"),
        (lambda method: method.scheduled(every=2), "no setting 'every'"),
        (lambda method: ([a := method.adam()], [ReduceLROnPlateau(a)]), "ReduceLROnPlateau needs a validation score"),
    ],
)
def test_optimizers_that_cannot_train_are_told_before_training(configured: Any, words: str) -> None:
    class Mistaken(Small):
        def adam(self) -> Adam:
            return Adam(self.parameters())

        def scheduled(self, **settings: Any) -> Any:
            adam = self.adam()
            return {"optimizer": adam, "lr_scheduler": {"scheduler": ExponentialLR(adam, 0.9), **settings}}

        def configure_optimizers(self) -> Any:
            return configured(self)

    with pytest.raises(ContractError, match=f"Mistaken.configure_optimizers.*{words}"):
        check(Mistaken(SHAPE, 100, **SMALL))


@pytest.mark.parametrize(
    ("stage", "words"),
    [
        (Stage("far", OneOptimizer.all, (1,)), "'far' names optimizer 1, but configure_optimizers returns 1"),
        (Stage("none", OneOptimizer.all), "'none' has a loss but no optimizer"),
        (
            Stage("dead", lambda *_: StageResult((torch.zeros(()),), {}, ()), (0,)),
            "'dead' needs a scalar loss with a gradient",
        ),
        (Stage("mute", lambda *_: StageResult((), {"kl": torch.zeros(())}, ()), (0,)), "needs a term 'loss', got 'kl'"),
    ],
)
def test_a_stage_that_cannot_be_run_is_told_before_training(stage: Stage, words: str) -> None:
    class Staged(OneOptimizer):
        def stages(self, step: Step) -> Iterator[Stage]:
            yield stage

    with pytest.raises(ContractError, match=f"Staged.*{words}"):
        check(Staged(SHAPE, 100, **SMALL))


@pytest.mark.parametrize("name", METHODS)
def test_the_check_changes_neither_the_method_nor_any_random_state(name: str) -> None:
    own = {"num_factors": 2, "latent_dim": 4} if name == "mine_vae" else {}
    trial = tiny_trial(name, own)
    method = build(trial, SHAPE, 100)
    before = {key: value.clone() for key, value in method.state_dict().items()}
    method.train()

    def draws() -> tuple[float, ...]:
        return torch.rand(()).item(), np.random.default_rng().random() * 0, np.random.rand(), random.random()  # noqa: NPY002

    states = torch.get_rng_state(), np.random.get_state(), random.getstate()  # noqa: NPY002
    expected = draws()
    torch.set_rng_state(states[0])
    np.random.set_state(states[1])  # noqa: NPY002
    random.setstate(states[2])
    method.label_sizes = (2,)  # as of the factors of `check`
    check(method, images_of_a_step(method, 16))
    assert draws() == expected
    assert method.training
    assert all(torch.equal(value, before[key]) for key, value in method.state_dict().items())


def test_the_check_draws_on_no_random_state_where_a_method_needs_values() -> None:
    class NeedsValues(Small):
        def returned(self, terms: dict[str, Tensor]) -> Any:
            float(terms["loss"])
            np.random.rand()  # noqa: NPY002
            random.random()
            return terms

    method = NeedsValues(SHAPE, 100, **SMALL)
    states = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].copy()  # noqa: NPY002
    check(method)
    assert NeedsValues.steps_made == 1
    assert torch.equal(torch.get_rng_state(), states[0])
    assert random.getstate() == states[1]
    assert (np.random.get_state()[1] == states[2]).all()  # noqa: NPY002


def test_the_check_of_a_small_network_takes_less_than_a_twentieth_of_a_second() -> None:
    method = VAE(SHAPE, 1000, network="mlp", hidden_dim=256)
    check(method, 64)
    seconds = []
    for _ in range(5):
        started = time.process_time()
        check(method, 64)
        seconds.append(time.process_time() - started)
    assert min(seconds) < 0.05


def test_an_error_inside_a_step_is_left_to_the_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Failing(Small):
        def returned(self, terms: dict[str, Tensor]) -> Any:
            raise KeyError("a mistake of its own")

    check(Failing(SHAPE, 100, **SMALL))
    assert "a mistake of its own" in trained(Failing, tmp_path, monkeypatch).error


def test_one_optimizer_with_stages_trains_as_the_vae_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Plain(VAE):
        def configure_optimizers(self) -> Any:
            return Adam(self.parameters(), self.lr)

    losses = {}
    for kind in (OneOptimizer, Plain):
        record = trained(kind, tmp_path / kind.__name__, monkeypatch)
        assert record.status == "ok", record.error
        losses[kind] = [value for _, value in record.curves["loss"]]
    assert losses[OneOptimizer] == losses[Plain]


class Scheduled(VAE):
    """A VAE with a learning rate that falls; `form` says how it is given to Lightning."""

    form = staticmethod(lambda optimizer, scheduler: ([optimizer], [scheduler]))
    scheduler = staticmethod(lambda optimizer: ExponentialLR(optimizer, 0.5))

    def configure_optimizers(self) -> Any:
        optimizer = SGD(self.parameters(), lr=1e-3, momentum=0.9)
        return type(self).form(optimizer, type(self).scheduler(optimizer))


class ScheduledStages(OneOptimizer):
    form = Scheduled.__dict__["form"]
    scheduler = Scheduled.__dict__["scheduler"]
    configure_optimizers = Scheduled.configure_optimizers


FORMS = {
    "two lists": lambda optimizer, scheduler: ([optimizer], [scheduler]),
    "a dictionary": lambda optimizer, scheduler: {"optimizer": optimizer, "lr_scheduler": scheduler},
    "settings": lambda optimizer, scheduler: {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler}},
    "a list of dictionaries": lambda optimizer, scheduler: [{"optimizer": optimizer, "lr_scheduler": scheduler}],
    "every second step": lambda optimizer, scheduler: (
        [optimizer],
        [{"scheduler": scheduler, "interval": "step", "frequency": 2}],
    ),
}


def rates_of(kind: type[Method], steps: int, out: Path, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The learning rate of each step, as the optimizer has it when it moves."""
    rates: list[float] = []
    original = SGD.step

    def noting(optimizer: SGD, *arguments: Any, **options: Any) -> Any:
        rates.append(optimizer.param_groups[0]["lr"])
        return original(optimizer, *arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(SGD, "step", noting)
        record = trained(kind, out, monkeypatch, steps=steps)
    assert record.status == "ok", record.error
    return rates


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", [Scheduled, ScheduledStages])
def test_a_scheduler_is_stepped_at_each_step(
    kind: type[VAE], form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kind, "form", staticmethod(FORMS[form]))
    expected = [1e-3 / 2 ** (step // 2 if form == "every second step" else step) for step in range(4)]
    assert rates_of(kind, 4, tmp_path, monkeypatch) == pytest.approx(expected)


def test_a_scheduler_that_asks_for_epochs_gets_the_one_epoch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    epochs = lambda optimizer, scheduler: ([optimizer], [{"scheduler": scheduler, "interval": "epoch"}])  # noqa: E731
    monkeypatch.setattr(Scheduled, "form", staticmethod(epochs))
    assert rates_of(Scheduled, 4, tmp_path, monkeypatch) == pytest.approx([1e-3] * 4)


@pytest.mark.parametrize("kind", [Scheduled, ScheduledStages])
@pytest.mark.parametrize(
    "scheduler",
    [lambda optimizer: CosineAnnealingLR(optimizer, 8), lambda optimizer: MultiStepLR(optimizer, [2, 5], 0.1)],
)
def test_a_scheduled_training_that_is_stopped_goes_on_to_the_same_bits(
    kind: type[VAE], scheduler: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kind, "scheduler", staticmethod(scheduler))
    monkeypatch.setitem(METHODS, "scheduled", kind)
    trial = tiny_trial("scheduled", steps=8)
    dataset = load(trial.dataset, **trial.dataset_options)
    whole, resumed = tmp_path / "whole", tmp_path / "resumed"
    expected, _, _ = train(trial, dataset, str(whole / "model.ckpt"))
    original = kind.on_train_batch_start

    def stop(method: VAE, batch: Any, batch_idx: int) -> Any:
        if batch_idx == 5:
            raise RuntimeError("stopped")
        return original(method, batch, batch_idx)

    often = Machine(checkpoint_seconds=1e-9)
    with monkeypatch.context() as patch:
        patch.setattr(kind, "on_train_batch_start", stop)
        with pytest.raises(RuntimeError, match="stopped"):
            train(trial, dataset, str(resumed / "model.ckpt"), often)
    found, curves, _ = train(trial, dataset, str(resumed / "model.ckpt"))
    assert curves.resume.resumed_at == [5]
    for key, value in expected.state_dict().items():
        assert torch.equal(value, found.state_dict()[key]), key


def test_an_encoder_without_a_decoder_is_trained_scored_and_recorded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = trained(Mean, tmp_path, monkeypatch, hparams={"width": 2})
    assert (record.status, record.error) == ("ok", None)
    assert "mig" in record.scores
    assert [step for step, _ in record.curves["loss"]] == [1, 2, 3]
    assert set(record.reconstruction_skipped) == {"psnr", "ssim", "lpips", "fid"}
    assert all("Mean generates no images" in reason for reason in record.reconstruction_skipped.values())
    assert record.reconstruction == {}
    assert not {"traversal", "reconstructions"} & set(record.artefacts)
    assert any("no picture of it is drawn" in remark for remark in record.remarks)


def test_an_expensive_decoder_decodes_few_images_and_the_record_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Expensive(Small):
        decode_limit = 20
        decoded = 0

        def decode(self, z: Tensor) -> Tensor:
            if not z.is_meta:
                assert len(z) <= 20
                type(self).decoded += len(z)
            return super().decode(z)

    monkeypatch.setattr(trial_module, "IMAGES", 1000)
    record = trained(Expensive, tmp_path, monkeypatch)
    assert record.status == "ok", record.error
    assert record.reconstruction["images"] == 20
    assert Expensive.decoded == 20 + 18 + 9  # quality, two latents of nine images, nine reconstructions
    assert any("shows the 2 of 10 latents that vary most" in remark for remark in record.remarks)


def test_who_has_no_decoder_is_told_from_who_has_one() -> None:
    class Headless(Small):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            self.decoder = None

    class OwnDecoder(Headless):
        def decode(self, z: Tensor) -> Tensor:
            return z[:, :1, None, None].sigmoid().expand(-1, *SHAPE)

    class Deleted(Small):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            del self.decoder

    assert no_pictures(Small(SHAPE, 100, **SMALL)) is None
    assert no_pictures(OwnDecoder(SHAPE, 100, **SMALL)) is None
    assert no_pictures(Headless(SHAPE, 100, **SMALL)) == "Headless has no decoder."
    assert no_pictures(Deleted(SHAPE, 100, **SMALL)) == "Deleted has no decoder."


@pytest.mark.parametrize("broken", ["decode", "groups after", "partition"])
def test_an_error_after_scoring_loses_no_score(broken: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken(VAE):
        def decode(self, z: Tensor) -> Tensor:
            if broken == "decode" and not self.training and not z.is_meta and len(z) > 2:
                raise RuntimeError("the decoder is broken")
            return super().decode(z)

        def partition(self) -> None:
            if broken == "partition":
                raise RuntimeError("the partition is broken")

    if broken == "groups after":
        monkeypatch.setattr(traversals, "latent_traversals", lambda *_: 1 / 0)
    record = trained(Broken, tmp_path, monkeypatch)
    assert (record.status, record.error) == ("ok", None)
    assert "mig" in record.scores
    words = {
        "decode": "the decoder is broken",
        "groups after": "ZeroDivisionError",
        "partition": "the partition is broken",
    }
    assert any(words[broken] in remark for remark in record.remarks)
    assert ("reconstructions" in record.artefacts) == (broken != "decode")
    assert ("psnr" in record.reconstruction) == (broken != "decode")
    if broken == "decode":
        assert all("see the remarks" in reason for reason in record.reconstruction_skipped.values())


def test_a_table_of_a_method_that_names_its_latents_otherwise() -> None:
    trial: Trial = tiny_trial("vae")
    dataset = load(trial.dataset, **trial.dataset_options)
    table = encode(Mean(dataset.image_shape, 10), dataset, torch.arange(3), torch.device("cpu"))
    assert table.code_names == ("z0", "z1", "z2", "z3", "z4")


def test_hyperparameters_are_those_that_a_constructor_can_take(monkeypatch: pytest.MonkeyPatch) -> None:
    class Positional(VAE):
        def __init__(self, image_shape: Any, n_train: int, weight: float = 2.0, **options: Any) -> None:
            super().__init__(image_shape, n_train, **options)

    class Other(METHODS["beta_vae"]):
        def __init__(self, image_shape: Any, n_train: int, *, beta: float = 9.0, **options: Any) -> None:
            super().__init__(image_shape, n_train, beta=beta, **options)

    class Closed(VAE):
        def __init__(self, image_shape: Any, n_train: int, *, size: int = 3) -> None:
            super().__init__(image_shape, n_train, latent_dim=size, **SMALL)

    def defaults(kind: type[Method]) -> dict[str, Any]:
        monkeypatch.setitem(METHODS, "mine", kind)
        return {name: parameter.default for name, parameter in hyperparameters("mine").items()}

    shell = {"latent_dim": 10, "lr": 1e-4, "network": "conv", "hidden_dim": 1200, **ADDED[0][1]}
    assert defaults(Mean) == {"width": 4, "lr": 1e-3}
    assert defaults(VAE) == shell
    assert defaults(Positional) == {"weight": 2.0, **shell}
    assert defaults(Other) == {"beta": 9.0, **shell}
    assert defaults(OneOptimizer) == shell
    assert defaults(Closed) == {"size": 3}
    with pytest.raises(ValueError, match=r"has no hyperparameter latent_dim\. It takes: size"):
        check_method("mine", {"latent_dim": 4})
    assert defaults(METHODS["mine_vae"])["latent_dim"] == 128


def test_a_default_that_a_class_gives_to_its_base_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    class Wide(VAE):
        def __init__(self, image_shape: Any, n_train: int, **shell: Any) -> None:
            super().__init__(image_shape, n_train, **{"latent_dim": 6, **shell})

    class Renamed(AlternatingVAE):
        def __init__(self, image_shape: Any, n_train: int, *, size: int = 10, **shell: Any) -> None:
            super().__init__(image_shape, n_train, latent_dim=size, **shell)

        stages = OneOptimizer.stages
        all = OneOptimizer.all

    for kind, expected in ((Wide, {"latent_dim": 6}), (Renamed, {"size": 10})):
        monkeypatch.setitem(METHODS, "mine", kind)
        found = {name: parameter.default for name, parameter in hyperparameters("mine").items()}
        assert found == {"lr": 1e-4, "network": "conv", "hidden_dim": 1200, **ADDED[0][1], **expected}
        hparams = resolved("mine", SMALL)
        check_method("mine", hparams)
        assert kind(SHAPE, 100, **hparams).latent_dim == next(iter(expected.values()))
    assert kind(SHAPE, 100, **resolved("mine", {**SMALL, "size": 5})).latent_dim == 5
    monkeypatch.setitem(METHODS, "mine", Wide)
    assert resolved("mine", {"latent_dim": 4})["latent_dim"] == 4
    assert VAE.__init__.__code__.co_name == "__init__"  # the constructors are themselves again


def test_an_abstract_method_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    from abc import ABC, abstractmethod

    class Abstract(VAE, ABC):
        @abstractmethod
        def penalty(self) -> Tensor: ...

    monkeypatch.setitem(METHODS, "mine", Abstract)
    with pytest.raises(ValueError, match=r"mine: .*abstract.*penalty"):
        check_method("mine", SMALL)


def test_every_form_of_optimizers_that_lightning_takes_is_read() -> None:
    method = VAE(SHAPE, 100, **SMALL)
    adam = Adam(method.parameters())
    falling = ExponentialLR(adam, 0.5)
    forms = [adam, [adam], {"optimizer": adam}, ([adam], []), [{"optimizer": adam}]]
    assert [checked_optimizers(method, form) for form in forms] == [([adam], [])] * 5
    given = {"scheduler": falling, "frequency": 3}
    assert checked_optimizers(method, {"optimizer": adam, "lr_scheduler": given}) == (
        [adam],
        [{"interval": "step", **given}],
    )


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_codes_of_another_precision_are_decoded_and_drawn(
    dtype: torch.dtype, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Rounded(VAE):
        def encode(self, x: Tensor) -> Codes:
            return Codes(super().encode(x).values.to(dtype))

    record = trained(Rounded, tmp_path, monkeypatch, SMALL)
    assert record.status == "ok", record.error
    assert record.remarks == []
    assert {"traversal", "reconstructions"} <= set(record.artefacts)


def test_an_encoder_without_any_code_is_refused() -> None:
    class Empty(VAE):
        def encode(self, x: Tensor) -> Codes:
            return Codes(super().encode(x).values[:, :0])

    with pytest.raises(ContractError, match="at least one code per image"):
        check(Empty(SHAPE, 100, **SMALL))


@pytest.mark.parametrize("found", [nn.Module, lambda *_: None, VAE(SHAPE, 100, **SMALL)])
def test_what_is_registered_and_is_no_method_is_named(found: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(METHODS, "mine", found)
    with pytest.raises(ValueError, match=r"METHODS\['mine'\] needs a class derived from"):
        hyperparameters("mine")


def test_a_default_that_no_record_can_hold_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    class Callback(VAE):
        def __init__(self, image_shape: Any, n_train: int, *, shape_of: Any = len, latent_dim: int = 10) -> None:
            super().__init__(image_shape, n_train, latent_dim=latent_dim)

    monkeypatch.setitem(METHODS, "mine", Callback)
    with pytest.raises(ValueError, match=r"mine.shape_of needs what a record can hold"):
        resolved("mine", {})
