"""Encoding a dataset is `method.encode` on its rows and nothing else."""

from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from tiny_trial import tiny_trial
from torch import Tensor

from disbench.baselines.gaussian import Posterior
from disbench.baselines.method import Codes, codes_of
from disbench.baselines.vae import VAE
from disbench.benchmarks import METHODS
from disbench.benchmarks.trials import trial as trial_module
from disbench.benchmarks.trials.encode import encode, write_codes
from disbench.benchmarks.trials.trial import CODES, run_trial
from disbench.datasets import FactorDataset, load
from disbench.mine_vae import MINEDisentangleVAE

SMALL = {"network": "mlp", "hidden_dim": 8}
X = torch.rand(3, 1, 64, 64)


class Rounded(VAE):
    """Codes that are no posterior means."""

    def encode(self, x: Tensor) -> Codes:
        values = self.posterior(x).mean
        return Codes((4 * values).round() / 4 + 7, torch.full_like(values, 0.5))


class Bare(VAE):
    def encode(self, x: Tensor) -> Tensor:
        return super().encode(x).values + 7


class BareWithGroups(MINEDisentangleVAE):
    def encode(self, x: Tensor) -> Tensor:
        return super().encode(x).values


@pytest.fixture
def dataset() -> FactorDataset:
    trial = tiny_trial("vae")
    return load(trial.dataset, **trial.dataset_options)


@pytest.mark.parametrize("kind", [Rounded, Bare])
def test_an_encode_of_ones_own_gives_the_table(kind: type[VAE], dataset: FactorDataset) -> None:
    torch.manual_seed(0)
    method = kind(dataset.image_shape, len(dataset), **SMALL)
    rows = torch.arange(0, 250, 2)  # more than one chunk
    table = encode(method, dataset, rows, torch.device("cpu"))
    images = dataset.batch(rows).float() / 255
    with torch.no_grad():
        own = codes_of(method, images)
    np.testing.assert_allclose(table.codes, own.values.numpy(), atol=0.26 if kind is Rounded else 1e-5)
    assert table.codes.min() > 5
    assert set(np.unique(table.codes_std)) == {0.5} if kind is Rounded else table.codes_std is None


def test_a_vaes_deviations_are_those_of_its_posterior(dataset: FactorDataset) -> None:
    method = VAE(dataset.image_shape, len(dataset), **SMALL)
    table = encode(method, dataset, torch.arange(5), torch.device("cpu"))
    with torch.no_grad():
        q = method.posterior(dataset.batch(torch.arange(5)).float() / 255)
    expected = torch.distributions.Normal(q.mean, q.logvar.exp().sqrt())
    np.testing.assert_allclose(table.codes, expected.mean.numpy(), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(table.codes_std, expected.stddev.numpy(), rtol=1e-5)


def test_a_table_without_deviations_has_no_such_array(dataset: FactorDataset, tmp_path: Path) -> None:
    method = Bare(dataset.image_shape, len(dataset), **SMALL)
    write_codes(encode(method, dataset, torch.arange(5), torch.device("cpu")), tmp_path / "codes.h5")
    with h5py.File(tmp_path / "codes.h5") as file:
        assert "codes_std" not in file
        assert file["codes"].shape == (5, 10)


@pytest.mark.parametrize("kind", [Bare, BareWithGroups])
def test_codes_without_deviations_are_scored_and_recorded(
    kind: type[VAE], dataset: FactorDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(METHODS, "bare", kind)
    monkeypatch.setattr(trial_module, "IMAGES", 10)
    own = {"num_factors": 2, "latent_dim": 4} if kind is BareWithGroups else {}
    trial = tiny_trial("bare", own, steps=2, rows=200)
    record = run_trial(trial, dataset, tmp_path, {"mig": {"bins": 20}, "rmig": {}})
    assert record.status == "ok", record.error
    assert "mig" in record.scores
    assert "rmig" in {**record.scores, **record.skipped}
    assert record.partition is None
    with h5py.File(tmp_path / trial.id / CODES) as file:
        assert "codes_std" not in file


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (Posterior(torch.zeros(3, 2), torch.zeros(3, 2)), "got Posterior"),
        ((torch.zeros(3, 2), torch.ones(3, 2)), "got tuple"),
        (None, "got NoneType"),
        (
            torch.zeros(3, 2, dtype=torch.long),
            r"values as a tensor of floats, got torch.int64. Convert it with .float\(\)",
        ),
        (torch.zeros(3), r"\(B, G, F\), one row for each of B=3 images, got \(3,\)"),
        (torch.zeros(2, 5), r"each of B=3 images, got \(2, 5\)"),
        (torch.zeros(3, 2, 2, 2), r"got \(3, 2, 2, 2\)"),
        (torch.zeros(3, 2, 0), r"at least one code per image, got values of shape \(3, 2, 0\)"),
        (Codes(torch.zeros(3, 2), torch.zeros(3, 1)), r"std of shape .* as values, \(3, 2\), got \(3, 1\)"),
        (Codes(torch.zeros(3, 2), 1.0), "std as a tensor of floats, got float"),
    ],
)
def test_what_is_no_table_of_codes_is_refused_by_the_methods_name(found: object, words: str) -> None:
    class Mistaken(VAE):
        def encode(self, x: Tensor) -> object:
            return found

    with pytest.raises((TypeError, ValueError), match=f"Mistaken.encode needs .*{words}"):
        codes_of(Mistaken((1, 64, 64), 100, **SMALL), X)


def test_reconstruction_goes_through_an_encode_of_ones_own() -> None:
    method = Bare((1, 64, 64), 100, **SMALL)
    torch.testing.assert_close(method(X), method.decode(method.posterior(X).mean + 7))
