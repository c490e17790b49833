"""A schedule: the KL is drawn to a capacity that grows during training. Burgess et al. 2018, arXiv:1804.03599v1, Eq. 8."""

from collections.abc import Sequence
from pathlib import Path
from typing import Unpack

import pytest
from torch import Tensor

from disbench.baselines.gaussian import Posterior, kl_to_prior
from disbench.baselines.method import Step
from disbench.baselines.vae import VAE, ShellOptions
from disbench.benchmarks import METHODS
from disbench.benchmarks.trials.trial import run_trial
from disbench.datasets import load
from disbench.reports.records import Trial


class AnnealedVAE(VAE):
    """The capacity rises from 0 to `capacity` nats over the first half of training."""

    def __init__(
        self,
        image_shape: Sequence[int],
        n_train: int,
        *,
        gamma: float = 100.0,
        capacity: float = 25.0,
        **shell: Unpack[ShellOptions],
    ) -> None:
        super().__init__(image_shape, n_train, **shell)
        self.gamma, self.capacity = gamma, capacity

    def regulariser(self, z: Tensor, q: Posterior, step: Step) -> tuple[Tensor, dict[str, Tensor]]:
        kl = kl_to_prior(q).sum(1).mean()
        capacity = self.capacity * min(1.0, 2 * step.fraction)
        return self.gamma * (kl - capacity).abs(), {"kl": kl, "capacity": kl.new_tensor(capacity)}


def test_the_capacity_of_a_trial_rises_with_the_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(METHODS, "annealed", AnnealedVAE)
    options = {"select": {"shape": 1, "orientation": 0, "position_x": "0-9", "position_y": "0-9"}}
    dataset = load("dsprites_like", **options)
    trial = Trial(
        method="annealed",
        dataset="dsprites_like",
        dataset_options=options,
        dataset_version=dataset.version,
        seed=0,
        steps=10,
        batch_size=16,
        rows=100,
        hparams={"network": "mlp", "hidden_dim": 16, "capacity": 20.0},
    )
    record = run_trial(trial, dataset, tmp_path, {"mig": {}})
    assert record.status == "ok", record.error
    assert [value for _, value in record.curves["capacity"]] == pytest.approx([0, 4, 8, 12, 16, 20, 20, 20, 20, 20])
