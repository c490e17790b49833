"""Seeds that are trained as one model and seeds that are trained apart have the same losses and the same weights."""

from pathlib import Path

import pytest
import torch

from disbench.baselines.vae import VAE
from disbench.benchmarks import METHODS
from disbench.benchmarks.stacked import moves_of, train_stacked
from disbench.benchmarks.train import train
from disbench.datasets import FactorDataset, load
from disbench.reports.records import Trial

PERCEPTRON = {"network": "mlp", "hidden_dim": 32, "latent_dim": 4, "lr": 1e-3}
OWN = {"factor_vae": {"discriminator_dim": 32}}
SHAPE = (1, 64, 64)
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def dataset() -> FactorDataset:
    return load("dsprites_like", select={"orientation": 0, "scale": 3})


def trials(name: str, seeds: int, precision: str = "32-true", steps: int = 100, **hparams: object) -> list[Trial]:
    fields = {"method": name, "dataset": "dsprites_like", "dataset_version": "1", "steps": steps, "batch_size": 8}
    hparams = {**OWN.get(name, {}), **hparams}
    return [Trial(**fields, seed=seed, precision=precision, hparams=hparams) for seed in range(seeds)]


def stackable(name: str) -> bool:
    try:
        return bool(moves_of(METHODS[name](SHAPE, 100)))
    except ValueError:
        return False


STACKABLE = [name for name in METHODS if stackable(name)]


def assert_same(asked: list[Trial], dataset: FactorDataset, folder: Path, *, loss: float, terms: float) -> None:
    """The curves agree at every step, to the relative tolerances; and so do the codes in the end, to ten times the losses'."""
    stacked = train_stacked(asked, dataset, CPU)
    x = dataset.batch(torch.arange(20)).float() / 255
    for trial, (method, points) in zip(asked, stacked, strict=True):
        alone, curves, _ = train(trial, dataset, str(folder / f"{trial.id}.ckpt"))
        assert points.keys() == curves.points.keys()
        for term, expected in curves.points.items():
            assert (
                [step for step, _ in points[term]] == [step for step, _ in expected] == list(range(1, trial.steps + 1))
            )
            tolerance = loss if term == "loss" else terms
            values = [value for _, value in expected]
            assert [value for _, value in points[term]] == pytest.approx(values, rel=tolerance, abs=tolerance), term
        torch.testing.assert_close(method.encode(x), alone.encode(x), rtol=0, atol=10 * loss)
    assert len({points["loss"][-1] for _, points in stacked}) == len(asked)


@pytest.mark.parametrize("name", STACKABLE)
def test_stacked_seeds_have_the_losses_of_seeds_trained_apart(
    name: str, dataset: FactorDataset, tmp_path: Path
) -> None:
    assert_same(trials(name, seeds=3, **PERCEPTRON), dataset, tmp_path, loss=1e-4, terms=1e-4)


def test_so_they_have_with_convolutions(dataset: FactorDataset, tmp_path: Path) -> None:
    assert_same(trials("beta_vae", seeds=2, steps=50), dataset, tmp_path, loss=1e-4, terms=1e-3)


def test_so_they_have_in_bf16_while_rounding_has_not_added_up(dataset: FactorDataset, tmp_path: Path) -> None:
    asked = trials("beta_vae", seeds=2, precision="bf16-mixed", steps=10, **PERCEPTRON)
    assert_same(asked, dataset, tmp_path, loss=5e-3, terms=2e-2)


def test_every_baseline_can_be_stacked_and_the_mine_vae_says_why_it_cannot() -> None:
    assert set(STACKABLE) == set(METHODS) - {"mine_vae"}
    with pytest.raises(ValueError, match="MINEDisentangleVAE cannot be trained stacked: it has several optimisers"):
        moves_of(METHODS["mine_vae"](SHAPE, 100))


def test_a_method_with_buffers_is_refused_by_their_names() -> None:
    method = VAE(SHAPE, 100, network="mlp", hidden_dim=4)
    method.register_buffer("average", torch.zeros(()))
    with pytest.raises(ValueError, match=r"VAE cannot be trained stacked.*average"):
        moves_of(method)


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
