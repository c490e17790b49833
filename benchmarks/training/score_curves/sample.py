"""Score a fixed sample of a dataset during training without changing the training."""

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from disbench.baselines.method import Method, codes_of
from disbench.benchmarks.runtime.seeds import generator_for, random_state, set_random_state
from disbench.datasets import FactorDataset
from disbench.metrics import METRICS
from disbench.metrics.table import as_table

log = logging.getLogger(__name__)
Points = dict[str, list[tuple[int, float]]]
CHUNK = 100  # images that are encoded together, as when a trial is encoded


class Encoder:
    """A function that encodes, in the place of a method."""

    def __init__(self, function: Callable[[Any, Tensor], Any], module: nn.Module) -> None:
        self.function, self.module = function, module

    def encode(self, inputs: Tensor) -> Any:
        return self.function(self.module, inputs)


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
