"""Train a method, load what was trained, and run a suite."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from disbench.baselines.method import Codes, Method, codes_of
from disbench.benchmarks.runtime.locks import try_lock
from disbench.benchmarks.settings.defaults import resolved_trial
from disbench.benchmarks.settings.trial_settings import check_precision_here, checked_trial
from disbench.benchmarks.studies.run import run_suite
from disbench.benchmarks.studies.suite import Suite, load_suite
from disbench.benchmarks.training.loop import load_checkpoint
from disbench.benchmarks.trials.existing import CHECKPOINT
from disbench.benchmarks.trials.score import Scores
from disbench.benchmarks.trials.trial import run_trial
from disbench.reports.records import RECORD_FILE, Record, Trial, read_record
from disbench.result_folder import Results
from disbench.scoring import Metrics, ScoreTable, metric_options


class Trained:
    """A trained method, which is an encoder.

    Attributes
    ----------
    method : Method
        The method in evaluation mode, on the CPU.
    trial : Trial
        What was trained: method, dataset, seed, steps and hyperparameters.
    folder : Path
        Folder of the trial.
    record : Record or None
        Everything that the trial measured, if its record lies beside the checkpoint.
    scores : ScoreTable
        Scores of the record.
    """

    def __init__(self, method: Method, trial: Trial, folder: Path, record: Record | None) -> None:
        self.method, self.trial, self.folder, self.record = method, trial, folder, record

    @property
    def scores(self) -> ScoreTable:
        """Scores of the record."""
        if self.record is None:
            raise ValueError(
                f"{self.folder} has no {RECORD_FILE}, so there are no scores. Use disbench.encode and score."
            )
        record = self.record
        return ScoreTable(Scores(record.scores, record.floor, record.ceiling, record.skipped, record.detail))

    @property
    def quantized(self) -> bool:
        """Whether each code takes one of few values."""
        return self.method.quantized

    def __call__(self, images: torch.Tensor) -> Codes:
        """Encode images (B, C, H, W) from 0 to 1."""
        self.method.to(images.device)
        with torch.no_grad():
            return codes_of(self.method, images)

    def encode(self, images: Any) -> NDArray[np.float32]:
        """Encode images (B, C, H, W) from 0 to 1 to an array of codes (B, D)."""
        return np.asarray(self(torch.as_tensor(images).float()).values.float().cpu())

    def __repr__(self) -> str:
        trial = self.trial
        return f"Trained({trial.method} on {trial.dataset}, {trial.steps:,} steps, seed {trial.seed}, in {self.folder})"


def train(
    method: str,
    dataset: str,
    *,
    steps: int,
    seed: int = 0,
    batch_size: int = 64,
    precision: str = "32-true",
    rows: int = 100_000,
    select: Mapping[str, str | int] | None = None,
    metrics: Metrics | None = None,
    out: str | Path = "runs/train",
    data_dir: str | Path | None = None,
    **hparams: Any,
) -> Trained:
    """Train a method on a dataset, encode the dataset and score the codes.

    A trial that is finished in `out` is not trained again, and one that was stopped is resumed.

    Parameters
    ----------
    method, dataset : str
        Names, as `disbench list` shows them.
    steps : int
        Number of training steps; 0 gives an untrained encoder without a checkpoint, which `train` refuses.
    seed : int, default 0
        Seed of the weights, the order of images and the noise.
    batch_size : int, default 64
        Images in a minibatch.
    precision : str, default "32-true"
        Lightning's name of a precision.
    rows : int, default 100,000
        Rows that are encoded and scored, at most.
    select : mapping, optional
        Ranges of factor values, as in `disbench.datasets.load`.
    metrics : str, sequence of str or mapping, optional
        As in `disbench.score`.
    out : str or Path, default "runs/train"
        Folder in which the trial's folder is made.
    data_dir : str or Path, optional
        Folder of the files of official and imported datasets.
    **hparams
        Hyperparameters of the method.

    Returns
    -------
    Trained
        With `scores`, `record`, `encode` and `method`.

    Raises
    ------
    ValueError
        If a name or a value is refused.
    RuntimeError
        If training failed, or another process runs the same trial.

    Examples
    --------
    >>> import disbench
    >>> few = {"shape": 0, "scale": 0, "orientation": "0-1", "position_x": "0-1", "position_y": "0-1"}
    >>> model = disbench.train(
    ...     "beta_vae", "dsprites_like", steps=1, batch_size=4, select=few, metrics="sap", beta=4, network="mlp", hidden_dim=8
    ... )
    >>> model.trial.hparams["beta"], list(model.scores)
    (4, ['sap'])
    """
    wanted, root = metric_options(metrics), None if data_dir is None else str(data_dir)
    if steps < 1:
        raise ValueError(f"steps needs at least 1, got {steps}. An untrained encoder: disbench train --steps 0.")
    settings = {"method": method, "dataset": dataset, "steps": steps, "seed": seed, "batch_size": batch_size}
    settings |= {"precision": precision, "rows": rows, "hparams": hparams}
    settings["dataset_options"] = {} if select is None else {"select": dict(select)}
    trial, opened = checked_trial(settings, root)
    check_precision_here(trial.precision)
    trial = resolved_trial(trial)
    folder = Path(out) / trial.id
    with try_lock(folder) as ours:
        if not ours:
            raise RuntimeError(f"Another process is running {trial.id} in {out}.")
        record = run_trial(trial, opened, Path(out), wanted, root=root)
    if record.status != "ok":
        raise RuntimeError(f"{trial.id} failed: {record.error_line}. The whole error is in {folder / RECORD_FILE}.")
    return load(folder)


def load(checkpoint: str | Path) -> Trained:
    """Load a trained method.

    Parameters
    ----------
    checkpoint : str or Path
        A `model.ckpt` of a trial, or the trial's folder.

    Returns
    -------
    Trained
        It can be passed to `disbench.encode`.

    Raises
    ------
    ValueError
        If the file is no checkpoint of disbench.
    FileNotFoundError
        If there is none.

    Examples
    --------
    >>> import disbench
    >>> def codes(trial_folder, images):
    ...     return disbench.load(trial_folder).encode(images)
    """
    path = Path(checkpoint)
    path = path / CHECKPOINT if path.is_dir() else path
    method, trial = load_checkpoint(str(path))
    file = path.with_name(RECORD_FILE)
    return Trained(method, trial, path.parent, read_record(file) if file.exists() else None)


def run(
    suite: str | Path | Mapping[str, Any],
    out: str | Path = "runs",
    *,
    only: Mapping[str, Any] | None = None,
    data_dir: str | Path | None = None,
) -> Results:
    """Run the trials of a suite on this machine, one after the other. Finished trials are not run again.

    Parameters
    ----------
    suite : str, Path or mapping
        A suite's name, a YAML file, or the content of such a file.
    out : str or Path, default "runs"
        Folder of the trials.
    only : mapping, optional
        Of "method", "dataset" and "seed" the value or list of values to run.
    data_dir : str or Path, optional
        Folder of the files of official and imported datasets.

    Returns
    -------
    Results
        All results in `out`. `failed` lists the trials that failed.

    Raises
    ------
    ValueError
        If the suite is malformed.

    Examples
    --------
    >>> import disbench
    >>> few = {"shape": 0, "scale": 0, "orientation": "0-1", "position_x": "0-1", "position_y": "0-1"}
    >>> suite = {
    ...     "name": "small", "datasets": [{"name": "dsprites_like", "options": {"select": few}}], "methods": [{"name": "vae"}],
    ...     "seeds": [0], "steps": 1, "batch_size": 4, "untrained": False, "metrics": {"sap": {}},
    ...     "hparams": {"network": "mlp", "hidden_dim": 8},
    ... }
    >>> disbench.run(suite, "small_runs").frame["method"].tolist()
    ['vae']
    """
    root = None if data_dir is None else str(data_dir)
    if isinstance(suite, Mapping):
        loaded = Suite.model_validate(dict(suite), context={"root": root, "folder": Path.cwd()})
    else:
        loaded = load_suite(str(suite), root)
    values = {field: own if isinstance(own, list | tuple) else [own] for field, own in (only or {}).items()}
    if strange := [field for field in values if field not in ("method", "dataset", "seed")]:
        raise ValueError(f"only needs method, dataset or seed, got {', '.join(strange)}.")
    chosen = {field: {str(value) for value in own} for field, own in values.items()}
    for _ in run_suite(loaded, Path(out), root, only=chosen or None):
        pass
    return Results(Path(out))
