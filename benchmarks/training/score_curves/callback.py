"""Scores of a fixed sample in your own Lightning Trainer."""

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import numpy as np
import pytorch_lightning as pl
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from disbench.baselines.method import Method
from disbench.benchmarks.settings.choices import EVALUATE_METRICS
from disbench.benchmarks.settings.defaults import metric_versions
from disbench.benchmarks.settings.validation import check_metrics
from disbench.benchmarks.training.score_curves.sample import Encoder, Points, Sample, add, chosen_rows, undisturbed
from disbench.datasets import FactorDataset
from disbench.datasets.wording import listed
from disbench.metrics.arrays import digest, to_array
from disbench.metrics.options import require_whole
from disbench.metrics.table import as_table

log = logging.getLogger(__name__)
STATE = "ScoreCallback"  # how the key of a history begins


class ScoreCallback(pl.Callback):
    """Score a fixed sample of a dataset every few steps of your own Lightning Trainer.

    Scores go to the Trainer's loggers, to `trainer.callback_metrics`, and to `history`, which the Trainer's checkpoints keep.
    Scoring changes no weight, mode or random state: training gives the same bits with and without it. On several devices the
    first one scores.

    Parameters
    ----------
    dataset : FactorDataset or (inputs, factors)
        A dataset, whose images (B, C, H, W) in [0, 1] are encoded; or inputs of N rows, which are passed on as they are, and
        their factors (N, K).
    metrics : sequence of str, or mapping of str to dict, default ("mig",)
        Names in `METRICS`, or the options of each.
    every : int, default 1000
        Optimizer steps between two scores, as `trainer.global_step` counts them.
    rows : int, default 2000
        Rows of the sample, at most; at least 3. Their factors are checked at once.
    encode : callable, optional
        `encode(module, inputs)` returns codes (B, D), or `Codes` with standard deviations. By default `module.encode(inputs)`.
    seed : int, default 0
        Seed of the sample.
    prefix : str, default "score/"
        What precedes the name of a metric in the logs. Several callbacks that share a metric need different ones.

    Attributes
    ----------
    history : dict of list
        (step, score) pairs by metric.

    Raises
    ------
    ValueError, TypeError
        If a metric, an option or a number is refused, or the dataset is of another kind.

    Examples
    --------
    >>> from disbench.benchmarks.training.score_curves import ScoreCallback
    >>> from disbench.datasets import load
    >>> dataset = load("dsprites_like", select={"shape": 0, "scale": 0, "orientation": "0-3"})
    >>> callback = ScoreCallback(dataset, metrics=("mig", "mcc"), every=500, encode=lambda module, x: module.encoder(x))
    >>> callback.history
    {}
    """

    def __init__(
        self,
        dataset: FactorDataset | tuple[Any, ArrayLike],
        metrics: Sequence[str] | Mapping[str, Mapping[str, Any]] = EVALUATE_METRICS,
        *,
        every: int = 1000,
        rows: int = 2000,
        encode: Callable[[Any, Tensor], Any] | None = None,
        seed: int = 0,
        prefix: str = "score/",
    ) -> None:
        require_whole("ScoreCallback", 1, every=every)
        require_whole("ScoreCallback", 3, rows=rows)
        require_whole("ScoreCallback", 0, seed=seed)
        names = [metrics] if isinstance(metrics, str) else metrics
        options = metrics if isinstance(metrics, Mapping) else dict.fromkeys(names)
        self.metrics = check_metrics(options, " in metrics")
        if not isinstance(dataset, FactorDataset) and not (isinstance(dataset, tuple) and len(dataset) == 2):
            raise TypeError(
                f"ScoreCallback needs a FactorDataset or a tuple (inputs, factors), got {type(dataset).__name__}."
            )
        self.dataset, self.every, self.rows, self.encode = dataset, int(every), int(rows), encode
        self.seed, self.prefix = int(seed), prefix
        self.history: Points = {}
        self._sample: Sample | None = None
        self._step = 0  # up to which the last batch came
        factors = self._factors()
        as_table(np.arange(len(factors))[:, None], factors)  # raises for factors that no metric can use
        self._data = digest(factors)[2].hex()[:12]

    def settings(self) -> dict[str, Any]:
        """Get what the points of a history must have in common, in JSON types."""
        options = {"metrics": self.metrics, "metric_versions": metric_versions(self.metrics)}
        return options | {"rows": self.rows, "seed": self.seed, "prefix": self.prefix, "factors": self._data}

    @property
    def state_key(self) -> str:
        """Key of the history in a checkpoint. Callbacks with other settings have other keys."""
        return STATE + json.dumps(self.settings() | {"every": self.every}, sort_keys=True)

    def state_dict(self) -> dict[str, Any]:
        """Get the history, and the settings that it was made with."""
        return {"history": self.history, "settings": self.settings()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Put back the history of a checkpoint."""
        self.history = {name: [tuple(point) for point in points] for name, points in state_dict["history"].items()}

    def on_load_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Take over a history that differs in `every` alone; say so if there is none with the same settings."""
        states = checkpoint.get("callbacks", {})
        if self.state_key in states:
            return  # the Trainer loads it
        taken = {callback.state_key for callback in trainer.callbacks}  # type: ignore[attr-defined]
        left = [state for key, state in states.items() if str(key).startswith(STATE) and key not in taken]
        for state in left:
            if state["settings"] == self.settings():
                self.load_state_dict(state)
                return
        if not left:
            log.warning("The checkpoint has no ScoreCallback, so the history of scores begins at its step.")
            return
        differ = [name for name, value in self.settings().items() if left[0]["settings"].get(name) != value]
        log.warning(
            "The checkpoint has a ScoreCallback of other %s, whose scores are not comparable, so the history begins at its step.",
            listed(differ),
        )

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Check that the module can encode, and that no other callback logs under the same names."""
        if self.encode is None and not hasattr(pl_module, "encode"):
            raise TypeError(
                f"ScoreCallback needs an encoder, and {type(pl_module).__name__} has no method `encode`. Pass a function, such "
                "as encode=lambda module, inputs: module.encoder(inputs)."
            )
        others = [each for each in trainer.callbacks if isinstance(each, ScoreCallback) and each is not self]  # type: ignore[attr-defined]
        logged = {other.prefix + name for other in others for name in other.metrics}
        if twice := sorted(logged & {self.prefix + name for name in self.metrics}):
            raise ValueError(
                f"ScoreCallback needs a prefix of its own: another one logs {twice[0]}, too. Pass prefix=."
            )

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Count from the step that a checkpoint was of."""
        self._step = trainer.global_step

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Score if it is time."""
        before, self._step = self._step, trainer.global_step
        if self._step // self.every == before // self.every:
            return
        scores: dict[str, float] = {}
        if trainer.is_global_zero:
            with undisturbed(pl_module, pl_module.device):
                scores = self._scores(pl_module)
        scores = trainer.strategy.broadcast(scores)
        add(self.history, self._step, scores)
        named = {f"{self.prefix}{name}": score for name, score in scores.items()}
        for logger in trainer.loggers:
            logger.log_metrics(named, step=self._step)
        for name, score in named.items():  # for other callbacks; the loggers have it, also between two of their steps
            pl_module.log(name, score, on_step=True, on_epoch=False, logger=False, batch_size=1)

    def _scores(self, module: pl.LightningModule) -> dict[str, float]:
        if self._sample is None:
            self._sample = self._drawn(module)
        method = module if self.encode is None else Encoder(self.encode, module)
        return self._sample.score(cast("Method", method), module.device)

    def _factors(self) -> NDArray[Any]:
        """The factors (N, K) of the sample, after a check that each input has its factors."""
        if isinstance(self.dataset, FactorDataset):
            return np.asarray(self.dataset.factors(chosen_rows(len(self.dataset), self.rows, self.seed)).numpy())
        inputs, factors = self.dataset[0], to_array(self.dataset[1])
        if len(inputs) != len(factors):
            raise ValueError(f"ScoreCallback needs the same rows, got {len(inputs)} inputs and {len(factors)} factors.")
        return np.asarray(factors[chosen_rows(len(factors), self.rows, self.seed).numpy()])

    def _drawn(self, module: pl.LightningModule) -> Sample:
        if isinstance(self.dataset, FactorDataset):
            rows = chosen_rows(len(self.dataset), self.rows, self.seed)
            return Sample.of_dataset(self.dataset, rows, self.metrics, module.device)
        inputs = torch.as_tensor(self.dataset[0])
        rows = chosen_rows(len(inputs), self.rows, self.seed)
        return Sample(inputs[rows.to(inputs.device)], self._factors(), self.metrics)
