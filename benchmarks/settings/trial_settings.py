"""The settings of one trial from any source, validated like those of a suite before training."""

from collections.abc import Mapping
from typing import Annotated, Any

import torch
from pydantic import BeforeValidator, Field, ValidationError

from disbench.benchmarks import METHODS
from disbench.benchmarks.settings import validation
from disbench.benchmarks.settings.hyperparameters import Strict, check_method
from disbench.benchmarks.settings.validation import Options, explained
from disbench.datasets import FactorDataset, load
from disbench.reports.records import Trial


class TrialSettings(Strict):
    """The fields of a `Trial` that a user decides; `steps: 0` is an untrained encoder."""

    method: str
    dataset: str
    dataset_options: Options = Field(default_factory=dict)
    seed: validation.Seed = 0
    steps: Annotated[int, BeforeValidator(validation.whole_number), Field(ge=0, le=10**9)]
    batch_size: validation.BatchSize = 64
    precision: validation.Precision = "32-true"
    rows: validation.Rows = 100_000
    hparams: Options = Field(default_factory=dict)


def checked_trial(settings: Mapping[str, Any], root: str | None = None) -> tuple[Trial, FactorDataset]:
    """The trial and its opened dataset. Raises ValueError for a setting that is refused, OSError for a missing dataset."""
    try:
        checked = TrialSettings.model_validate(dict(settings))
    except ValidationError as error:
        raise ValueError(explained(error)) from error
    hparams = dict(checked.hparams)
    channels = hparams.pop("in_channels", None)
    hparams = check_method(checked.method, hparams)
    validation.check_dataset(checked.dataset, checked.dataset_options, root)
    try:
        dataset = load(checked.dataset, root, **checked.dataset_options)
    except TypeError as error:
        raise ValueError(f"{checked.dataset}: {error}") from error
    if channels is not None and channels != dataset.image_shape[0]:
        raise ValueError(
            f"in_channels is {channels}, {checked.dataset} has images of {dataset.image_shape[0]} channel(s)."
        )
    try:
        trial = Trial(**{**checked.model_dump(), "hparams": hparams}, dataset_version=dataset.version)
    except ValidationError as error:
        raise ValueError(explained(error)) from error
    check_fits(trial, dataset)
    return trial, dataset


def check_fits(trial: Trial, dataset: FactorDataset) -> None:
    """Raise ValueError where the dataset has fewer images than one training step takes."""
    needed = trial.batch_size * METHODS[trial.method].sampling.rows
    size = len(dataset.training)
    if trial.steps and size < needed:
        raise ValueError(
            f"A step of {trial.method} needs {needed} images, {trial.dataset} with these options has {size} to train on. "
            "Select wider ranges or use a smaller batch_size."
        )


def check_precision_here(precision: str) -> None:
    """Raise ValueError where this machine does not train in that precision: on a CPU, 16-mixed would be bf16-mixed."""
    if precision == "16-mixed" and not torch.cuda.is_available():
        raise ValueError("precision 16-mixed needs a CUDA GPU, and this machine has none. Use bf16-mixed or 32-true.")
