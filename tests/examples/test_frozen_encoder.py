"""A frozen encoder without a decoder: only a small head on top of it is trained, on labels of a few images."""

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from disbench.baselines.method import Batch, Codes, Labelled, Method
from disbench.benchmarks import METHODS
from disbench.benchmarks.settings.hyperparameters import hyperparameters
from disbench.benchmarks.trials.trial import run_trial
from disbench.datasets import load
from disbench.reports.records import Trial


class Pretrained(Method):
    """The frozen part stands for a network whose weights you load here."""

    generates = False

    def __init__(
        self, image_shape: Sequence[int], n_train: int, *, labels: int = 40, factors: int = 3, lr: float = 1e-3
    ) -> None:
        super().__init__()
        self.sampling = Labelled(labels, share=0.5)
        self.lr = lr
        self.frozen = nn.Sequential(nn.AdaptiveAvgPool2d(8), nn.Flatten()).requires_grad_(False)
        self.head = nn.Linear(64 * image_shape[0], factors)

    def encode(self, x: Tensor) -> Codes:
        return Codes(self.head(self.frozen(x)))

    def training_step(self, batch: Batch, batch_idx: int) -> dict[str, Tensor]:
        known = (batch.labels >= 0).all(1)
        loss = functional.mse_loss(self.encode(batch.images[known]).values, batch.labels[known].float())
        return {"loss": loss, "labelled": known.float().sum()}

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.head.parameters(), self.lr)


def test_a_trial_without_a_decoder_says_why_it_has_no_pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(METHODS, "pretrained", Pretrained)
    assert list(hyperparameters("pretrained")) == ["labels", "factors", "lr"]
    options = {"select": {"shape": 1, "orientation": 0, "position_x": "0-9", "position_y": "0-9"}}
    dataset = load("dsprites_like", **options)
    fields = {"dataset": "dsprites_like", "dataset_options": options, "dataset_version": dataset.version, "rows": 100}
    trial = Trial(method="pretrained", seed=0, steps=9, batch_size=16, **fields)
    record = run_trial(trial, dataset, tmp_path, {"mig": {}})
    assert record.status == "ok", record.error
    assert record.scores.keys() == {"mig"}
    assert all(value >= 8 for _, value in record.curves["labelled"])
    assert "generates no images" in record.reconstruction_skipped["psnr"]
    assert set(record.artefacts) == {"checkpoint", "codes"}
