"""Train one method on one data set with Lightning. Nothing here scores or writes a record."""

import logging
import math
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytorch_lightning as lightning
import torch
from pytorch_lightning.callbacks import TQDMProgressBar
from torch import Tensor

from disbench.baselines.vae import VAE
from disbench.benchmarks import METHODS
from disbench.benchmarks.seeds import generator_for, seed_for
from disbench.datasets import FactorDataset
from disbench.reports.records import Trial

log = logging.getLogger(__name__)
CURVE_POINTS = 100  # of each curve in a record, at most
LOG_SECONDS = 15.0


def minibatches(
    dataset: FactorDataset, size: int, generator: torch.Generator, device: torch.device | None = None
) -> Iterator[Tensor]:
    """Endless uint8 minibatches (size, C, H, W): a new random order each epoch, the last incomplete one left out.

    The order is drawn on the CPU, so it is the same on every machine; the images come from `device`, the CPU by default,
    where the data set can be there.
    """
    where = dataset.place(device or torch.device("cpu"))
    while True:
        order = torch.randperm(len(dataset), generator=generator).to(where)
        for rows in order[: len(order) // size * size].split(size):
            yield dataset.batch(rows)


class Images(lightning.LightningDataModule):
    """Whole minibatches by index, no loader of single items; bytes become floats on the training device."""

    def __init__(self, dataset: FactorDataset, trial: Trial, batches_per_step: int) -> None:
        super().__init__()
        self.dataset = dataset
        self.size = trial.batch_size * batches_per_step
        self.generator = generator_for(trial.dataset, trial.seed, "order of images")
        if len(dataset) < self.size:
            raise ValueError(
                f"A step of {trial.method} needs {self.size} images, {trial.dataset} with these options has {len(dataset)}. "
                "Select wider ranges or take a smaller batch."
            )

    def train_dataloader(self) -> Iterator[Tensor]:
        device = self.trainer.strategy.root_device if self.trainer else None
        return minibatches(self.dataset, self.size, self.generator, device)

    def on_after_batch_transfer(self, batch: Tensor, dataloader_idx: int) -> Tensor:
        return batch.float().div_(255)


class Curves(lightning.Callback):
    """Keeps each term at about CURVE_POINTS steps, stops a diverged run, and tells a log file how long it will take."""

    def __init__(self, steps: int, *, plain_log: bool) -> None:
        self.every = max(1, steps // CURVE_POINTS)
        self.steps = steps
        self.plain_log = plain_log
        self.points: dict[str, list[tuple[int, float]]] = {}
        self.started = self.last_line = time.monotonic()

    def on_train_batch_end(self, trainer: Any, module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        step = batch_idx + 1
        if step % self.every and step != self.steps:
            return
        for name, value in outputs.items():
            if not math.isfinite(number := float(value.detach())):
                raise FloatingPointError(f"{name} is {number} at step {step}: the run diverged. Try a smaller lr.")
            self.points.setdefault(name, []).append((step, number))
        now = time.monotonic()
        if self.plain_log and now - self.last_line > LOG_SECONDS:
            self.last_line = now
            left = (now - self.started) / step * (self.steps - step)
            log.info("step %d/%d, loss %.1f, %.0f s left", step, self.steps, self.points["loss"][-1][1], left)


class DescribeCheckpoint(lightning.Callback):
    """Puts into the checkpoint what it takes to build the method again."""

    def __init__(self, trial: Trial, dataset: FactorDataset) -> None:
        self.trial = trial
        self.shape = list(dataset.image_shape)
        self.n_train = len(dataset)

    def on_save_checkpoint(self, trainer: Any, module: Any, checkpoint: dict[str, Any]) -> None:
        content = self.trial.model_dump(mode="json")
        checkpoint["disbench"] = {"trial": content, "image_shape": self.shape, "n_train": self.n_train}


def build(trial: Trial, image_shape: tuple[int, ...], n_train: int) -> VAE:
    """The trial's method with its initial weights, which depend on method, data set and seed alone."""
    lightning.seed_everything(seed_for(trial.method, trial.dataset, trial.seed, "training"), verbose=False)
    return METHODS[trial.method](image_shape, n_train, **trial.hparams)


def make_trainer(trial: Trial, callbacks: list[lightning.Callback], **options: Any) -> lightning.Trainer:
    """A Lightning trainer whose one epoch is `trial.steps` calls of training_step, whatever the optimisers count."""
    return lightning.Trainer(
        max_epochs=1,
        limit_train_batches=trial.steps,
        precision=trial.precision,
        callbacks=callbacks,
        logger=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        enable_progress_bar=any(isinstance(callback, TQDMProgressBar) for callback in callbacks),
        **{"accelerator": "auto", "devices": 1, **options},
    )


def train(trial: Trial, dataset: FactorDataset, checkpoint: str) -> tuple[VAE, Curves, torch.device]:
    """Train for `trial.steps` steps and save `checkpoint`. Returns the method, its curves and the device it was on."""
    method = build(trial, dataset.image_shape, len(dataset))
    images = Images(dataset, trial, method.batches_per_step)
    on_terminal = sys.stderr.isatty()
    curves = Curves(trial.steps, plain_log=not on_terminal)
    callbacks: list[lightning.Callback] = [curves, DescribeCheckpoint(trial, dataset)]
    if on_terminal:
        callbacks.append(TQDMProgressBar(refresh_rate=50, leave=False))
    trainer = make_trainer(trial, callbacks)
    trainer.fit(method, datamodule=images)
    trainer.save_checkpoint(checkpoint)
    return method, curves, trainer.strategy.root_device


def load_checkpoint(path: str) -> tuple[VAE, Trial]:
    """The trained method in a checkpoint that `train` wrote, and its trial. Raises ValueError for any other file."""
    content = torch.load(path, map_location="cpu", weights_only=True)
    if "disbench" not in content:
        raise ValueError(f"{path} was not written by disbench: it lacks the description of its trial.")
    trial = Trial.model_validate(content["disbench"]["trial"])
    method = build(trial, tuple(content["disbench"]["image_shape"]), content["disbench"]["n_train"])
    method.load_state_dict(content["state_dict"])
    return method.eval(), trial
