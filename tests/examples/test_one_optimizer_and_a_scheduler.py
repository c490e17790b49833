"""A method that trains by stages with a single optimizer, whose learning rate a scheduler lowers at each step."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.optim.lr_scheduler import LinearLR

from disbench.baselines.alternating import AlternatingVAE, Stage, StageResult
from disbench.baselines.gaussian import kl_to_prior
from disbench.baselines.method import Batch, Step
from disbench.benchmarks import METHODS
from disbench.benchmarks.trials.trial import run_trial
from disbench.datasets import load
from disbench.reports.records import Trial


class TwoLosses(AlternatingVAE):
    """First the reconstruction is minimized, then the KL, by the same Adam."""

    def stages(self, step: Step) -> Iterator[Stage]:
        yield Stage("reconstruction", type(self).reconstruct, (0,), clip=100.0)
        yield Stage("kl", type(self).to_the_prior, (0,))

    def reconstruct(self, batch: Batch, context: Any) -> StageResult:
        loss = self.reconstruction_loss(batch.images, self.posterior(batch.images).sample())
        rate = self.optimizers().param_groups[0]["lr"] if self.trainer.optimizers else self.lr
        return StageResult((loss,), {"loss": loss, "rate": loss.new_tensor(rate)}, context)

    def to_the_prior(self, batch: Batch, context: Any) -> StageResult:
        kl = kl_to_prior(self.posterior(batch.images)).sum(1).mean()
        return StageResult((kl,), {"kl": kl}, context)

    def configure_optimizers(self) -> tuple[list[torch.optim.Optimizer], list[LinearLR]]:
        optimizer = torch.optim.Adam(self.parameters(), self.lr)
        return [optimizer], [LinearLR(optimizer, start_factor=1.0, end_factor=0.1, total_iters=9)]


def test_the_learning_rate_of_a_trial_falls_at_each_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(METHODS, "two_losses", TwoLosses)
    options = {"select": {"shape": 1, "orientation": 0, "position_x": "0-9", "position_y": "0-9"}}
    dataset = load("dsprites_like", **options)
    fields = {"dataset": "dsprites_like", "dataset_options": options, "dataset_version": dataset.version, "rows": 100}
    hparams = {"network": "mlp", "hidden_dim": 16, "lr": 0.001}
    trial = Trial(method="two_losses", seed=0, steps=10, batch_size=16, hparams=hparams, **fields)
    record = run_trial(trial, dataset, tmp_path, {"mig": {}})
    assert record.status == "ok", record.error
    assert [rate for _, rate in record.curves["rate"]] == pytest.approx([1e-3 * (1 - 0.1 * step) for step in range(10)])
    assert {"loss", "kl"} <= record.curves.keys()
