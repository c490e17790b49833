"""Scores while a method trains: in a Lightning Trainer of the user's and in trials. They change nothing."""

import logging
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from pytorch_lightning import LightningModule, Trainer, seed_everything
from pytorch_lightning.callbacks import ModelCheckpoint
from pytorch_lightning.loggers import CSVLogger
from tiny_trial import SELECT
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from disbench.baselines.beta_vae import BetaVAE
from disbench.baselines.method import Codes
from disbench.benchmarks.training.score_curves import ScoreCallback
from disbench.datasets import FactorDataset, load
from disbench.metrics import METRICS

QUIET: dict[str, Any] = {"accelerator": "cpu", "enable_progress_bar": False, "enable_model_summary": False}


class Noisy(LightningModule):
    """An autoencoder whose training draws random numbers, and whose encoder draws some more in a layer that is always on."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Flatten(), nn.Linear(64 * 64, 4), nn.BatchNorm1d(4), nn.Dropout(0.2))
        self.decoder = nn.Linear(4, 64 * 64)
        self.decoder.eval()  # a part that its author keeps in evaluation mode
        self.modes: list[bool] = []

    def training_step(self, batch: list[torch.Tensor], batch_idx: int) -> torch.Tensor:
        self.modes = [self.training, self.encoder[3].training, self.decoder.training]
        x = batch[0].flatten(1)
        return (self.decoder(self.encoder(batch[0])) + 0.1 * torch.randn_like(x) - x).square().mean()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), 0.01)


def noisy_codes(module: Noisy, inputs: torch.Tensor) -> torch.Tensor:
    np.random.random()  # noqa: NPY002 -- as code of others may do
    return module.encoder(inputs) + 0.01 * torch.randn(len(inputs), 4)


@pytest.fixture(scope="module")
def dataset() -> FactorDataset:
    return load("dsprites_like", select=SELECT)


@pytest.fixture(scope="module")
def images(dataset: FactorDataset) -> torch.Tensor:
    return dataset.batch(slice(None)).float() / 255


def fitted(module: LightningModule, images: torch.Tensor, *callbacks: Any, steps: int = 12, **options: Any) -> Trainer:
    seed_everything(0, verbose=False)
    given = {"logger": False, "enable_checkpointing": False, **options}
    trainer = Trainer(max_steps=steps, callbacks=list(callbacks), **QUIET, **given)
    trainer.fit(module, DataLoader(TensorDataset(images), batch_size=64, shuffle=True))
    return trainer


def module_of(kind: str, images: torch.Tensor) -> LightningModule:
    seed_everything(1, verbose=False)
    return Noisy() if kind == "noisy" else BetaVAE(tuple(images.shape[1:]), len(images), network="mlp", hidden_dim=8)


@pytest.mark.parametrize("kind", ["noisy", "beta_vae"])
def test_a_training_with_the_callback_gives_the_bits_of_one_without(
    kind: str, dataset: FactorDataset, images: torch.Tensor
) -> None:
    alone, watched = module_of(kind, images), module_of(kind, images)
    fitted(alone, images)
    encode = noisy_codes if kind == "noisy" else None
    callback = ScoreCallback(dataset, ("mig", "factor_vae_score"), every=5, rows=100, encode=encode)
    fitted(watched, images, callback)
    assert [step for step, _ in callback.history["mig"]] == [5, 10]
    assert callback.history.keys() == {"mig", "factor_vae_score"}
    for name, tensor in alone.state_dict().items():
        assert torch.equal(tensor, watched.state_dict()[name]), name
    if isinstance(watched, Noisy):
        assert watched.modes == [True, True, False]


def test_the_score_is_the_metric_of_the_codes_of_the_sample(dataset: FactorDataset, images: torch.Tensor) -> None:
    method = module_of("beta_vae", images)
    callback = ScoreCallback(dataset, {"mig": {"bins": 7}}, every=3, rows=10**6)
    fitted(method, images, callback, steps=3)
    with torch.no_grad():
        codes = method.encode(images).values
    expected = METRICS["mig"](codes, dataset.factors(slice(None)), bins=7)
    assert callback.history == {"mig": [(3, pytest.approx(expected))]}


def test_inputs_and_factors_of_the_users_are_scored_as_they_are() -> None:
    factors = np.stack([np.arange(60) % 3, np.arange(60) % 4], axis=1)
    inputs = torch.tensor(factors)

    def encode(module: LightningModule, x: torch.Tensor) -> Codes:
        assert x.dtype == torch.int64
        return Codes(x.float(), torch.full(x.shape, 0.1))

    callback = ScoreCallback((inputs, factors), ("mig", "rmig"), every=1, rows=60, encode=encode)
    fitted(module_of("noisy", inputs), torch.zeros(64, 1, 64, 64), callback, steps=1)
    assert callback.history["mig"] == [(1, 1.0)]
    assert callback.history["rmig"][0][1] > 0.9


def test_every_score_reaches_the_logger_and_the_checkpoints_that_monitor_one(
    dataset: FactorDataset, images: torch.Tensor, tmp_path: Any
) -> None:
    best = ModelCheckpoint(tmp_path, monitor="score/mig", mode="max", every_n_train_steps=3, filename="{step}")
    callback = ScoreCallback(dataset, every=3, rows=200)
    logger = CSVLogger(tmp_path)
    options = {"enable_checkpointing": True, "logger": logger, "log_every_n_steps": 1000}
    fitted(module_of("beta_vae", images), images, callback, best, steps=9, **options)
    lines = pd.read_csv(tmp_path / logger.name / f"version_{logger.version}" / "metrics.csv")
    assert list(zip(lines["step"], lines["score/mig"], strict=True)) == callback.history["mig"]
    assert list(lines["step"]) == [3, 6, 9]
    step, score = max(callback.history["mig"], key=lambda point: point[1])
    assert best.best_model_path.endswith(f"step={step}.ckpt")
    assert float(best.best_model_score) == pytest.approx(score)


def test_the_history_goes_on_from_a_checkpoint(dataset: FactorDataset, images: torch.Tensor, tmp_path: Any) -> None:
    whole = ScoreCallback(dataset, every=2, rows=200)
    fitted(module_of("beta_vae", images), images, whole, steps=8)
    first, then = ScoreCallback(dataset, every=2, rows=200), ScoreCallback(dataset, every=2, rows=200)
    method = module_of("beta_vae", images)
    fitted(method, images, first, steps=4).save_checkpoint(tmp_path / "half.ckpt")
    trainer = Trainer(max_steps=8, callbacks=[then], logger=False, enable_checkpointing=False, **QUIET)
    loader = DataLoader(TensorDataset(images), batch_size=64, shuffle=True)
    trainer.fit(module_of("beta_vae", images), loader, ckpt_path=tmp_path / "half.ckpt")
    assert [step for step, _ in then.history["mig"]] == [2, 4, 6, 8]
    assert then.history["mig"][:2] == first.history["mig"] == whole.history["mig"][:2]


def test_with_accumulated_gradients_a_step_is_scored_once(dataset: FactorDataset, images: torch.Tensor) -> None:
    callback = ScoreCallback(dataset, every=2, rows=200)
    fitted(module_of("beta_vae", images), images, callback, steps=4, accumulate_grad_batches=3)
    assert [step for step, _ in callback.history["mig"]] == [2, 4]


def test_codes_without_a_score_leave_no_point_and_training_goes_on(
    dataset: FactorDataset, images: torch.Tensor, caplog: pytest.LogCaptureFixture
) -> None:
    def dead(module: LightningModule, x: torch.Tensor) -> torch.Tensor:
        return torch.full((len(x), 2), torch.nan)

    callback = ScoreCallback(dataset, every=1, rows=100, encode=dead)
    with caplog.at_level(logging.WARNING):
        trainer = fitted(module_of("noisy", images), images, callback, steps=3)
    assert trainer.global_step == 3 and callback.history == {}
    assert [record.message for record in caplog.records if "There is no score now: codes need finite" in record.message]
    assert sum("no score now" in record.message for record in caplog.records) == 1


@pytest.mark.parametrize(
    ("given", "options", "error", "words"),
    [
        (None, {"metrics": ("migg",)}, ValueError, "migg.*in metrics.*mig"),
        (None, {"metrics": {"mig": {"bin": 3}}}, ValueError, "mig has no option 'bin'.*bins"),
        (None, {"metrics": ()}, ValueError, "metrics needs at least one of"),
        (None, {"every": 0}, ValueError, "ScoreCallback needs every >= 1, got every=0"),
        (None, {"every": 2.5}, ValueError, "ScoreCallback needs every as a whole number, got 2.5"),
        (None, {"rows": 2}, ValueError, "ScoreCallback needs rows >= 3, got rows=2"),
        (None, {"seed": "1"}, ValueError, "ScoreCallback needs seed as a whole number, got '1'"),
        ((np.zeros((4, 2)), np.zeros((4, 1))), {}, ValueError, "no factor varies"),
        ((np.zeros((4, 2)), np.arange(4)), {}, ValueError, "a single factor is a column"),
        ((np.zeros((4, 2)), [[0], [1], [np.nan], [1]]), {}, ValueError, "factors need finite numbers"),
        ((np.zeros((3, 2)), np.zeros((4, 1))), {}, ValueError, "the same rows, got 3 inputs and 4 factors"),
        ("dsprites", {}, TypeError, r"a FactorDataset or a tuple \(inputs, factors\), got str"),
    ],
)
def test_what_cannot_be_scored_is_refused_at_once(
    given: Any, options: dict[str, Any], error: type[Exception], words: str, dataset: FactorDataset
) -> None:
    with pytest.raises(error, match=words):
        ScoreCallback(dataset if given is None else given, **options)


def test_a_module_that_cannot_encode_is_refused_before_the_first_step(
    dataset: FactorDataset, images: torch.Tensor
) -> None:
    with pytest.raises(TypeError, match=r"Noisy has no method `encode`\. Pass a function, such as encode=lambda"):
        fitted(module_of("noisy", images), images, ScoreCallback(dataset))
    one = ScoreCallback(dataset, every=1, encode=lambda module, x: module.encoder(x)[:1])
    with pytest.raises(ValueError, match="needs values of shape"):
        fitted(module_of("noisy", images), images, one)


@pytest.mark.parametrize("precision", ["bf16-true", "64-true", "bf16-mixed"])
def test_images_have_the_type_that_the_weights_have(
    precision: str, dataset: FactorDataset, images: torch.Tensor
) -> None:
    callback = ScoreCallback(dataset, every=1, rows=100, encode=lambda module, x: module.encoder(x))
    fitted(module_of("noisy", images), images, callback, steps=2, precision=precision)
    assert [step for step, _ in callback.history["mig"]] == [1, 2]


def resumed(then: ScoreCallback, images: torch.Tensor, path: Any, *others: ScoreCallback) -> list[int]:
    """Resume from a checkpoint of 4 steps up to step 6: the steps of the history of MIG."""
    trainer = Trainer(max_steps=6, callbacks=[then, *others], logger=False, enable_checkpointing=False, **QUIET)
    trainer.fit(module_of("beta_vae", images), DataLoader(TensorDataset(images), batch_size=64), ckpt_path=path)
    return [step for step, _ in then.history["mig"]]


def test_a_resume_with_other_settings_says_so_and_begins_a_history(
    dataset: FactorDataset, images: torch.Tensor, tmp_path: Any, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "four.ckpt"
    first = ScoreCallback(dataset, every=2, rows=200)
    fitted(module_of("beta_vae", images), images, first, steps=4).save_checkpoint(path)
    assert resumed(ScoreCallback(dataset, every=3, rows=200), images, path) == [2, 4, 6]
    assert "ScoreCallback" not in caplog.text
    changes: list[tuple[str, dict[str, Any]]] = [
        ("rows", {"rows": 150}),
        ("metrics", {"metrics": {"mig": {"bins": 7}}}),
        ("seed, factors", {"seed": 1}),
    ]
    for words, changed in changes:
        caplog.clear()
        assert resumed(ScoreCallback(dataset, **{"every": 2, "rows": 200, **changed}), images, path) == [6]
        assert f"has a ScoreCallback of other {words}" in caplog.text, caplog.text
    caplog.clear()
    beside = ScoreCallback(dataset, every=2, rows=150, prefix="few/")
    assert resumed(ScoreCallback(dataset, every=2, rows=200), images, path, beside) == [2, 4, 6]
    assert [step for step, _ in beside.history["mig"]] == [6]
    assert "The checkpoint has no ScoreCallback" in caplog.text


def test_callbacks_of_one_metric_need_different_prefixes(dataset: FactorDataset, images: torch.Tensor) -> None:
    few, many = (ScoreCallback(dataset, every=1, rows=rows) for rows in (100, 200))
    with pytest.raises(ValueError, match=r"another one logs score/mig, too\. Pass prefix="):
        fitted(module_of("beta_vae", images), images, few, many)
    other = ScoreCallback(dataset, every=1, rows=100, prefix="few/")
    fitted(module_of("beta_vae", images), images, other, many, ScoreCallback(dataset, "mcc", every=1), steps=1)
    assert other.history.keys() == many.history.keys() == {"mig"}
