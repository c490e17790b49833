"""Seeds that are trained as one model and seeds that are trained apart have the same losses and the same weights."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from disbench.baselines.alternating import Stage
from disbench.baselines.factor_vae import FactorVAE
from disbench.baselines.gaussian import Posterior
from disbench.baselines.method import Batch, Independent, Step
from disbench.baselines.vae import VAE
from disbench.benchmarks import METHODS
from disbench.benchmarks.training.experimental.seed_ensemble import train_stacked
from disbench.benchmarks.training.experimental.stack import Stack, clip_each, optimizers_of, stages_of
from disbench.benchmarks.training.loop import build, train
from disbench.datasets import FactorDataset, load
from disbench.mine_vae import MINEDisentangleVAE, model
from disbench.mine_vae.audit import Audit
from disbench.reports.records import Trial

PERCEPTRON = {"network": "mlp", "hidden_dim": 32, "latent_dim": 4, "lr": 1e-3}
SMALL = {"num_factors": 3, "factor_dim": 4, "attention_dim": 8, "mine_hidden_dim": 8, "recent_posteriors": 64}
OWN = {
    "factor_vae": {"discriminator_dim": 32},
    "factor_qvae": {"discriminator_dim": 32},
    "mine_vae": {**SMALL, "gaussian_fit_samples": 50, "mine_start": 0.4},
    "mine_groups": {"num_factors": 3, "attention_dim": 8, "mine_hidden_dim": 8, "recent_posteriors": 64},
    "hf_vae": {"blocks": "found"},
}
# At faster rates a MINE VAE makes ten times as much of a rounding error every seven to eleven steps.
SLOW = {name: {"lr": 1e-4, "critic_lr": 3e-4} for name in ("mine_vae", "mine_groups")}
SHAPE = (1, 64, 64)
CPU = torch.device("cpu")
STACKED = [
    name for name, method in METHODS.items() if not method.quantized and isinstance(method.sampling, Independent)
]


@pytest.fixture(autouse=True)
def short_audits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model, "AUDIT_STEPS", 3)


@pytest.fixture(scope="module")
def dataset() -> FactorDataset:
    return load("dsprites_like", select={"orientation": 0, "scale": 3})


def trials(name: str, seeds: int, precision: str = "32-true", steps: int = 100, **hparams: object) -> list[Trial]:
    fields = {"method": name, "dataset": "dsprites_like", "dataset_version": "1", "steps": steps, "batch_size": 8}
    hparams = {**OWN.get(name, {}), **hparams}
    return [Trial(**fields, seed=seed, precision=precision, hparams=hparams) for seed in range(seeds)]


def assert_same(asked: list[Trial], dataset: FactorDataset, folder: Path, *, loss: float, terms: float) -> None:
    """The curves agree at every step, to the relative tolerances; so do the codes in the end, to ten times the losses'.

    The random states are equal, and so are the remarks but for the one on stacking.
    """
    found = train_stacked(asked, dataset, CPU)
    x = dataset.batch(torch.arange(20)).float() / 255  # at whatever precision `float` has here
    for trial, (_, method, points, random, *_) in zip(asked, found, strict=True):
        alone, curves, _ = train(trial, dataset, str(folder / f"{trial.id}.ckpt"))
        assert torch.equal(random["torch"], torch.get_rng_state())
        assert method.remarks[:-1] == alone.remarks
        assert points.keys() == curves.points.keys()
        for term, expected in curves.points.items():
            assert [step for step, _ in points[term]] == [step for step, _ in expected]
            tolerance = loss if term == "loss" else terms
            values = [value for _, value in expected]
            assert [value for _, value in points[term]] == pytest.approx(values, rel=tolerance, abs=tolerance), term
        assert [step for step, _ in points["loss"]] == list(range(1, trial.steps + 1))
        torch.testing.assert_close(method.encode(x), alone.encode(x), rtol=0, atol=10 * loss)
    assert len({each.points["loss"][-1] for each in found}) == len(asked)


@pytest.mark.parametrize("name", STACKED)
def test_stacked_seeds_have_the_losses_of_seeds_trained_apart(
    name: str, dataset: FactorDataset, tmp_path: Path
) -> None:
    asked = trials(name, seeds=2, **PERCEPTRON | SLOW.get(name, {}))
    assert_same(asked, dataset, tmp_path, loss=1e-4, terms=1e-3 if name in SLOW else 1e-4)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"bi_level": False, "critic": "smile"},
        {"attention": "fixed", "gaussian_fit": False, "refine": False, "mine": False},
    ],
    ids=["bi-level", "joint", "fixed partition without MINE"],
)
def test_so_has_each_form_of_the_mine_vae_at_its_own_rates_in_float64(
    changes: dict[str, object], dataset: FactorDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where rounding is no excuse: whatever the code would have in float32 is float64."""
    monkeypatch.setattr(Tensor, "float", Tensor.double)
    monkeypatch.setattr(model, "CRITIC_CLIP", 0.1)  # so low that it is met
    usual = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        asked = trials("mine_vae", seeds=2, steps=15, **PERCEPTRON | {"mine_start": 0.3, **changes})
        assert_same(asked, dataset, tmp_path, loss=1e-9, terms=1e-9)
    finally:
        torch.set_default_dtype(usual)


def test_so_they_have_with_convolutions(dataset: FactorDataset, tmp_path: Path) -> None:
    assert_same(trials("beta_vae", seeds=2, steps=20), dataset, tmp_path, loss=1e-4, terms=1e-3)


@pytest.mark.parametrize("name", STACKED)
def test_so_they_have_in_bf16_while_rounding_has_not_added_up(
    name: str, dataset: FactorDataset, tmp_path: Path
) -> None:
    asked = trials(name, seeds=2, precision="bf16-mixed", steps=10, **PERCEPTRON | SLOW.get(name, {}))
    assert_same(asked, dataset, tmp_path, loss=5e-3, terms=2e-2)


@pytest.mark.parametrize("name", sorted(name for name, method in METHODS.items() if method.quantized))
def test_quantized_codes_are_refused_with_a_reason(name: str, dataset: FactorDataset) -> None:
    with pytest.raises(ValueError, match="moves quantized codes to another value"):
        train_stacked(trials(name, seeds=2, **PERCEPTRON), dataset, CPU)


class Remembering(VAE):
    """Keeps a buffer that is written in place, one that is replaced, and the number of its steps; each is in its loss."""

    def __init__(self, *args: object, **keywords: object) -> None:
        super().__init__(*args, **keywords)
        self.register_buffer("total", torch.zeros(()))
        self.register_buffer("last", torch.zeros(self.latent_dim))
        self.steps_done = 0

    def regulariser(self, z: Tensor, q: Posterior, step: Step) -> tuple[Tensor, dict[str, Tensor]]:
        self.total.add_(z.detach().abs().mean())
        penalty = (z.mean(0) - self.last).square().sum() * self.total + self.steps_done
        self.last = z.mean(0).detach()
        self.steps_done += 1
        return penalty, {"penalty": penalty}


def test_what_a_method_keeps_in_buffers_is_kept_for_each_seed(
    dataset: FactorDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(METHODS, "remembering", Remembering)
    asked = trials("remembering", seeds=3, steps=20, **PERCEPTRON)
    assert_same(asked, dataset, tmp_path, loss=1e-4, terms=1e-4)


class Choosy(MINEDisentangleVAE):
    """Whose audit has a reading for some seeds alone, as one has where Monte Carlo is to be trusted."""

    def audit(self, step: int, batch: int) -> dict[str, Audit]:
        if self.encoder[1].weight[0, 0] > 0:
            self.diagnostics["audit_of_some"] = torch.rand((), device=self.monte_carlo.device)
        return {}


def test_a_reading_that_one_seed_lacks_is_not_in_its_curves(
    dataset: FactorDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(METHODS, "choosy", Choosy)
    asked = trials("choosy", seeds=2, steps=10, **OWN["mine_vae"] | PERCEPTRON | SLOW["mine_vae"])
    positive = [build(trial, SHAPE, 100).encoder[1].weight[0, 0] > 0 for trial in asked]
    assert sum(positive) == 1
    assert_same(asked, dataset, tmp_path, loss=1e-4, terms=1e-4)


class OtherTurns(FactorVAE):
    def training_step(self, batch: Batch, batch_idx: int) -> dict[str, Tensor]:
        return super().training_step(Batch(batch.images.flip(0)), batch_idx)


class Momentum(VAE):
    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=1e-3)


class Falling(VAE):
    def configure_optimizers(self) -> dict[str, object]:
        adam = torch.optim.Adam(self.parameters())
        return {"optimizer": adam, "lr_scheduler": torch.optim.lr_scheduler.ExponentialLR(adam, 0.9)}


class OtherDescent(FactorVAE):
    def minimize(self, optimizers: list[object], loss: Tensor, clip: float | None = None) -> None:
        super().minimize(optimizers, 2 * loss, clip)


class Deciding(FactorVAE):
    def stages(self, step: Step) -> Iterator[Stage]:
        for stage in super().stages(step):
            yield stage._replace(data_dependent=stage.name == "discriminator")


def test_a_stage_that_descends_by_what_it_sees_is_refused_and_not_passed_over() -> None:
    small = {"network": "mlp", "hidden_dim": 4, "discriminator_dim": 4}
    stack = Stack([Deciding(SHAPE, 100, **small) for _ in range(2)], [torch.Generator() for _ in range(2)], 1)
    with pytest.raises(ValueError, match=r"'discriminator' cannot be .* data_dependent and has optimisers \(1,\)"):
        stack.step(0, torch.rand(2, 8, *SHAPE))


def test_a_method_that_the_stack_would_train_otherwise_is_refused_with_the_reason() -> None:
    small = {"network": "mlp", "hidden_dim": 4}
    with pytest.raises(ValueError, match="OtherDescent cannot be trained stacked"):
        stages_of(OtherDescent(SHAPE, 100, **small, discriminator_dim=4), 0, 1)
    with pytest.raises(ValueError, match=r"OtherTurns cannot be trained stacked: it has several .* training_step"):
        stages_of(OtherTurns(SHAPE, 100, **small, discriminator_dim=4), 0, 1)
    for method, got in ((Momentum, "SGD"), (Falling, "dict")):
        with pytest.raises(ValueError, match=rf"{method.__name__} cannot be .* one group .* got {got}"):
            optimizers_of(method(SHAPE, 100, **small))


def test_gradients_are_clipped_by_each_seeds_own_norm() -> None:
    generator = torch.Generator().manual_seed(0)
    shapes, scales = [(3, 2), (4,), ()], [0.01, 1.0, 100.0]
    apart = [[nn.Parameter(torch.zeros(shape)) for shape in shapes] for _ in scales]
    for parameters, scale in zip(apart, scales, strict=True):
        for parameter in parameters:
            parameter.grad = scale * torch.randn(parameter.shape, generator=generator)
    stacked = [nn.Parameter(torch.stack([own.detach() for own in same])) for same in zip(*apart, strict=True)]
    for parameter, same in zip(stacked, zip(*apart, strict=True), strict=True):
        parameter.grad = torch.stack([own.grad for own in same])
    clip_each([*stacked, nn.Parameter(torch.zeros(3, 7))], 1.0)  # the last has no gradient
    for seed, parameters in enumerate(apart):
        nn.utils.clip_grad_norm_(parameters, 1.0)
        for parameter, own in zip(stacked, parameters, strict=True):
            torch.testing.assert_close(parameter.grad[seed], own.grad)


def test_trials_that_differ_in_more_than_the_seed_are_refused(dataset: FactorDataset) -> None:
    first, second = trials("beta_vae", seeds=2)
    with pytest.raises(ValueError, match=r"differs from .* in steps, hparams"):
        train_stacked([first, second.model_copy(update={"steps": 7, "hparams": {"beta": 2.0}})], dataset, CPU)
    with pytest.raises(ValueError, match="32-true and bf16-mixed, got '16-mixed'"):
        train_stacked([first.model_copy(update={"precision": "16-mixed"})], dataset, CPU)
    with pytest.raises(ValueError, match="at least one trial"):
        train_stacked([], dataset, CPU)


def test_a_seed_that_diverges_is_named(dataset: FactorDataset) -> None:
    with pytest.raises(FloatingPointError, match=r"of seed 0 is \S+ at step \d+: the run diverged"):
        train_stacked(trials("vae", seeds=2, **{**PERCEPTRON, "lr": 1e30}), dataset, CPU)


def test_stacking_leaves_the_global_random_state_where_building_left_it(dataset: FactorDataset) -> None:
    asked = [trial.model_copy(update={"steps": 2}) for trial in trials("factor_vae", seeds=2, **PERCEPTRON)]
    train_stacked(asked, dataset, CPU)
    first = torch.get_rng_state()
    train_stacked([trial.model_copy(update={"steps": 5}) for trial in asked], dataset, CPU)
    assert torch.equal(torch.get_rng_state(), first)
    assert torch.get_default_dtype() == torch.float32
