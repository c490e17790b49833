"""Weak supervision by pairs: Ada-GVAE, Locatello et al. 2020, arXiv:2002.02886v3, section 5 and Eq. 6, in miniature."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from disbench.baselines.gaussian import Posterior, kl_to_prior
from disbench.baselines.method import Batch, Pairs
from disbench.baselines.vae import VAE
from disbench.benchmarks import METHODS
from disbench.benchmarks.trials.trial import run_trial
from disbench.datasets import load
from disbench.reports.records import Trial


class AdaGVAE(VAE):
    """Latents whose posteriors differ little between the images of a pair are taken as shared, and averaged."""

    sampling = Pairs(changed=1)

    def training_step(self, batch: Batch, batch_idx: int) -> dict[str, Tensor]:
        one, two = self.posterior(batch.images), self.posterior(batch.partner)
        precision = torch.exp(-two.logvar)
        distance = two.logvar - one.logvar + (one.logvar.exp() + (one.mean - two.mean).square()) * precision - 1
        shared = distance < (distance.amin(1, keepdim=True) + distance.amax(1, keepdim=True)) / 2  # (B, D)
        mean = (one.mean + two.mean) / 2
        logvar = torch.log((one.logvar.exp() + two.logvar.exp()) / 2)
        terms = {"changed": (batch.images != batch.partner).any(-1).any(-1).float().mean()}
        loss = torch.zeros(())
        for q, x in ((one, batch.images), (two, batch.partner)):
            q = Posterior(torch.where(shared, mean, q.mean), torch.where(shared, logvar, q.logvar))
            loss = loss + self.reconstruction_loss(x, q.sample()) + kl_to_prior(q).sum(1).mean()
        return {"loss": loss / 2, "shared": shared.float().sum(1).mean(), **terms}


def trial_of(method: str, dataset: str, options: dict[str, Any]) -> Trial:
    version = load(dataset, **options).version
    fields = {"dataset": dataset, "dataset_options": options, "dataset_version": version, "seed": 0, "rows": 100}
    return Trial(method=method, steps=8, batch_size=16, hparams={"network": "mlp", "hidden_dim": 16}, **fields)


def test_a_method_of_pairs_is_trained_and_scored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(METHODS, "ada_gvae", AdaGVAE)
    options = {"select": {"shape": 1, "orientation": 0, "position_x": "0-9", "position_y": "0-9"}}
    trial = trial_of("ada_gvae", "dsprites_like", options)
    record = run_trial(trial, load("dsprites_like", **options), tmp_path, {"mig": {}})
    assert record.status == "ok", record.error
    assert record.images_seen == 8 * 16 * 2
    assert {value for _, value in record.curves["changed"]} == {1.0}  # no image is paired with itself
    assert all(0 < value < 10 for _, value in record.curves["shared"])
