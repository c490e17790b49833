"""Scores of a fixed sample while a method trains, in trials and in your own Lightning Trainer.

Scoring changes nothing: weights, modes and random states are afterwards what they were, so that a training with scores gives the
same bits as one without.
"""

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, cast

import pytorch_lightning as pl
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from disbench.baselines.method import Method, codes_of
from disbench.benchmarks.runtime.seeds import generator_for, random_state, set_random_state
from disbench.benchmarks.settings.choices import EVALUATE_METRICS
from disbench.benchmarks.settings.score_schedule import ScoreSchedule
from disbench.benchmarks.settings.validation import check_metric
from disbench.benchmarks.training.steps import Callback, Loop
from disbench.datasets import FactorDataset
from disbench.metrics import METRICS
from disbench.metrics.arrays import to_array
from disbench.metrics.table import as_table
from disbench.reports.records import Trial

log = logging.getLogger(__name__)
CHUNK = 100  # images that are encoded together, as when a trial is encoded
SCORES = "disbench_scores"  # the key of a checkpoint's part with the scores so far
Points = dict[str, list[tuple[int, float]]]


@contextmanager
def undisturbed(model: nn.Module, device: torch.device) -> Iterator[None]:
    """Within, the model is in evaluation mode and has no gradients. Afterwards modes and random states are as before."""
    modes = {module: module.training for module in model.modules()}
    state = random_state(device)
    model.eval()
    try:
        # A compiled network would be compiled again for this number of images, and later steps could take that one.
        with torch.no_grad(), torch.compiler.set_stance("force_eager"):
            yield
    finally:
        for module, training in modes.items():
            module.training = training
        set_random_state(state, device)


class Sample:
    """Inputs and factors (N, K) of fixed rows, and the metrics that score their codes.

    images: whether the inputs are images of 0 to 255, which methods encode in [0, 1].
    """

    def __init__(
        self,
        inputs: Tensor,
        factors: NDArray[Any],
        metrics: Mapping[str, Mapping[str, Any]],
        images: bool = False,
    ) -> None:
        self.inputs, self.factors, self.metrics, self.images = inputs, factors, metrics, images
        self.complained: set[str] = set()

    @classmethod
    def of_dataset(
        cls, dataset: FactorDataset, rows: Tensor, metrics: Mapping[str, Mapping[str, Any]], device: torch.device
    ) -> "Sample":
        """Draw the rows (N,) of a dataset, on the device where it draws them."""
        drawn = [dataset.batch(chunk) for chunk in rows.to(dataset.preferred_device(device)).split(CHUNK)]
        return cls(torch.cat(drawn), dataset.factors(rows).numpy(), metrics, images=True)

    def score(self, method: Method, device: torch.device) -> dict[str, float]:
        """Score the codes of the rows. A metric that has no score now is left out, and the log says why, once."""
        values, deviations = [], []
        for chunk in self.inputs.split(CHUNK):
            inputs = chunk.to(device)
            inputs = inputs.float().div_(255) if self.images else inputs
            codes = codes_of(method, inputs.to(type_of_weights(method)) if inputs.is_floating_point() else inputs)
            values.append(codes.values.cpu())
            if codes.std is not None:
                deviations.append(codes.std.cpu())
        std = torch.cat(deviations) if len(deviations) == len(values) else None
        groups = method.groups() if isinstance(method, Method) else None
        try:
            quantized = isinstance(method, Method) and method.quantized
            table = as_table(torch.cat(values), self.factors, std=std, groups=groups, quantized=quantized)
        except ValueError as error:  # codes of a run that diverges, or that are all alike
            self.complain("", f"There is no score now: {error}")
            return {}
        scores = {}
        for name, options in self.metrics.items():
            try:
                scores[name] = METRICS[name](table, **options)
            except MemoryError:
                raise
            except Exception as error:  # noqa: BLE001 -- no metric, not even of a plugin, ends a training
                self.complain(name, f"{name} has no score now: {error}")
        return scores

    def complain(self, name: str, words: str) -> None:
        if name not in self.complained:
            self.complained.add(name)
            log.warning("%s", words)


def type_of_weights(method: "Method | Encoder") -> torch.dtype:
    """The floating type that a network takes: that of its first weights, such as bfloat16 in a Trainer of "bf16-true"."""
    module = method if isinstance(method, nn.Module) else method.module
    return next((weight.dtype for weight in module.parameters() if weight.is_floating_point()), torch.float32)


def chosen_rows(size: int, rows: int, *names: object) -> Tensor:
    """Choose rows (N,) of `size`, sorted: all, or a sample that depends on the names alone."""
    if size <= rows:
        return torch.arange(size)
    return torch.randperm(size, generator=generator_for(*names, "rows of score curves"))[:rows].sort().values


def add(points: Points, step: int, scores: Mapping[str, float]) -> None:
    for name, score in scores.items():
        points.setdefault(name, []).append((step, score))


class ScoreCurves(Callback):
    """Scores a trial on a sample of its training images, and keeps the points in its checkpoints.

    The seed of the trial draws the sample. On several devices the first one scores, and the others wait for its next step.
    """

    def __init__(self, schedule: ScoreSchedule, trial: Trial, dataset: FactorDataset) -> None:
        self.schedule, self.trial, self.dataset = schedule, trial, dataset
        self.points: Points = {}
        self.seconds = self.cpu_seconds = 0.0
        self._sample: Sample | None = None

    def due(self, step: int) -> bool:
        return step % self.schedule.every == 0 or step == self.trial.steps

    def on_step(self, loop: Loop, step: int, terms: Any) -> None:
        if loop.is_global_zero and self.due(step):
            self.score(step, loop.method, loop.device)

    def score(self, step: int, method: Method, device: torch.device) -> None:
        """Add the points of a step."""
        wall, cpu = time.perf_counter(), time.process_time()
        with undisturbed(method, device):
            if self._sample is None:
                trial = self.trial
                rows = chosen_rows(
                    len(self.dataset), self.schedule.rows, trial.dataset, trial.dataset_version, trial.seed
                )
                self._sample = Sample.of_dataset(self.dataset, rows, self.schedule.metrics, device)
            add(self.points, step, self._sample.score(method, device))
        self.seconds += time.perf_counter() - wall
        self.cpu_seconds += time.process_time() - cpu

    def content(self) -> dict[str, Any]:
        """What a checkpoint holds of the scores so far."""
        took = {"seconds": self.seconds, "cpu_seconds": self.cpu_seconds}
        return {"settings": self.schedule.settings(), "points": self.points, **took}

    def on_save(self, loop: Loop, content: dict[str, Any]) -> None:
        content[SCORES] = self.content()

    def on_load(self, loop: Loop, content: Mapping[str, Any]) -> None:
        self.restore(content)

    def restore(self, content: Mapping[str, Any]) -> None:
        """Take over the points of a checkpoint, unless they are of other rows or metrics."""
        saved = content.get(SCORES)
        if saved is None:
            log.warning("This training began without evaluate_every, so its curve of scores begins later.")
            return
        own = self.schedule.settings()
        if any(saved["settings"].get(name) != own[name] for name in own if name != "every"):
            log.warning("This training began with other evaluate_rows or evaluate_metrics, so its curve begins anew.")
            return
        self.points.update({name: [tuple(point) for point in points] for name, points in saved["points"].items()})
        self.seconds, self.cpu_seconds = saved["seconds"], saved["cpu_seconds"]


class Encoder:
    """A function that encodes, in the place of a method."""

    def __init__(self, function: Callable[[Any, Tensor], Any], module: nn.Module) -> None:
        self.function, self.module = function, module

    def encode(self, inputs: Tensor) -> Any:
        return self.function(self.module, inputs)


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
        Rows of the sample, at most; at least 3.
    encode : callable, optional
        `encode(module, inputs)` returns codes (B, D), or `Codes` with standard deviations. By default `module.encode(inputs)`.
    seed : int, default 0
        Seed of the sample.
    prefix : str, default "score/"
        What precedes the name of a metric in the logs.

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
        names = [metrics] if isinstance(metrics, str) else list(metrics)
        options = metrics if isinstance(metrics, Mapping) else {}
        self.metrics = {name: check_metric(name, options.get(name, {}), " in metrics") for name in names}
        if every < 1 or rows < 3:
            raise ValueError(f"ScoreCallback needs every >= 1 and rows >= 3, got every={every} and rows={rows}.")
        if not isinstance(dataset, FactorDataset) and not (isinstance(dataset, tuple) and len(dataset) == 2):
            raise TypeError(
                f"ScoreCallback needs a FactorDataset or a tuple (inputs, factors), got {type(dataset).__name__}."
            )
        self.dataset, self.every, self.rows, self.encode = dataset, every, rows, encode
        self.seed, self.prefix = seed, prefix
        self.history: Points = {}
        self._sample: Sample | None = None
        self._step = 0  # up to which the last batch came

    @property
    def state_key(self) -> str:
        """Key of the history in a checkpoint; it tells several of these callbacks apart."""
        return f"ScoreCallback{sorted(self.metrics)}{self.prefix}"

    def state_dict(self) -> dict[str, Any]:
        """Get the history."""
        return {"history": self.history}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Put back the history of a checkpoint."""
        self.history = {name: [tuple(point) for point in points] for name, points in state_dict["history"].items()}

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Check that the module can encode."""
        if self.encode is None and not hasattr(pl_module, "encode"):
            raise TypeError(
                f"ScoreCallback needs an encoder, and {type(pl_module).__name__} has no method `encode`. Pass a function, such "
                "as encode=lambda module, inputs: module.encoder(inputs)."
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

    def _drawn(self, module: pl.LightningModule) -> Sample:
        if isinstance(self.dataset, FactorDataset):
            rows = chosen_rows(len(self.dataset), self.rows, self.seed)
            return Sample.of_dataset(self.dataset, rows, self.metrics, module.device)
        inputs, factors = torch.as_tensor(self.dataset[0]), to_array(self.dataset[1])
        if len(inputs) != len(factors):
            raise ValueError(f"ScoreCallback needs the same rows, got {len(inputs)} inputs and {len(factors)} factors.")
        rows = chosen_rows(len(inputs), self.rows, self.seed)
        return Sample(inputs[rows.to(inputs.device)], factors[rows.numpy()], self.metrics)
