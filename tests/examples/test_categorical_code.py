"""A categorical code by Gumbel-softmax: each latent is one of several categories. Jang et al. 2017, arXiv:1611.01144v5."""

from collections.abc import Sequence
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from disbench.baselines import networks
from disbench.baselines.bernoulli import bernoulli_loss
from disbench.baselines.method import Batch, Codes, Method
from disbench.benchmarks import METHODS
from disbench.benchmarks.trials.trial import run_trial
from disbench.datasets import load
from disbench.reports.records import Trial


class Categorical(Method):
    """Codes are vectors of probabilities, (B, latents, categories). They are no Gaussians, so they have no std."""

    def __init__(self, image_shape: Sequence[int], n_train: int, *, latents: int = 3, categories: int = 4) -> None:
        super().__init__()
        self.shape = latents, categories
        self.encoder = networks.encoder("mlp", image_shape, latents * categories, 16)
        self.decoder = nn.Sequential(nn.Flatten(), networks.decoder("mlp", image_shape, latents * categories, 16))

    def encode(self, x: Tensor) -> Codes:
        return Codes(self.encoder(x).unflatten(1, self.shape).softmax(-1))

    def decode(self, z: Tensor) -> Tensor:
        return torch.sigmoid(self.decoder(z))

    def training_step(self, batch: Batch, batch_idx: int) -> dict[str, Tensor]:
        temperature = 1 - 0.5 * self.current_step(batch_idx).fraction
        z = functional.gumbel_softmax(self.encoder(batch.images).unflatten(1, self.shape), temperature)
        return {"loss": bernoulli_loss(self.decoder(z), batch.images)}

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), 1e-3)


def test_vectors_are_stored_and_scored_by_number_and_group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(METHODS, "categorical", Categorical)
    options = {"select": {"shape": 1, "orientation": 0, "position_x": "0-9", "position_y": "0-9"}}
    dataset = load("dsprites_like", **options)
    fields = {"dataset": "dsprites_like", "dataset_options": options, "dataset_version": dataset.version, "rows": 100}
    trial = Trial(method="categorical", seed=0, steps=8, batch_size=16, **fields)
    record = run_trial(trial, dataset, tmp_path, {"mig": {}})
    assert record.status == "ok", record.error
    with h5py.File(tmp_path / record.trial.id / "codes.h5") as file:
        np.testing.assert_allclose(file["codes"][:].sum(-1), np.ones((100, 3)), rtol=1e-5)
        assert file["group"][:].tolist() == [1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3]
        assert "codes_std" not in file
    assert list(record.views) == ["mean", "group"]
    assert record.further_views["group"].codes == ["group 1", "group 2", "group 3"]
    assert {"traversal", "group_traversal"} <= set(record.artefacts)
