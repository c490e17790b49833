"""Measure the time of one trial: parts of a step, encoding, each metric, reconstruction and pictures.

A short training as `train` has it, in which every part starts and stops a clock. Parts nest, and time belongs to the innermost;
what no part claims between one step's end and the next one's is the training loop's. In a backward pass the gradient's
arrival at the decoder's output, at its input and at the encoder's output tells the parts from each other.
"""

import functools
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from disbench.baselines.method import Batch, Method
from disbench.benchmarks.settings.choices import WARM_UP
from disbench.benchmarks.training.batches import Images
from disbench.benchmarks.training.contracts import checked_optimizers, no_pictures
from disbench.benchmarks.training.loop import Curves, build
from disbench.benchmarks.training.steps import Callback, Loop
from disbench.benchmarks.trials.encode import encode, scored_rows
from disbench.benchmarks.trials.reconstruction import IMAGES, decoded, fixed_rows, reconstruction_quality
from disbench.benchmarks.trials.score import score
from disbench.benchmarks.trials.traversals import draw
from disbench.datasets import FactorDataset
from disbench.reports.records import Record, Trial

DATA, LOOP, OPTIMIZER = "data", "training loop", "optimizer"
FORWARD, BACKWARD = "forward: {}", "backward: {}"
REST = "losses and the rest"
# What a step calls of a method, and the part that it is.
WATCHED = {
    "on_after_batch_transfer": DATA,
    "training_step": FORWARD.format(REST),
    "backward": BACKWARD.format(REST),
    "manual_backward": BACKWARD.format(REST),
}


class Row(NamedTuple):
    """A part, its seconds in the whole trial, and its share of a step or, for parts outside training, None."""

    part: str
    seconds: float
    share_of_step: float | None = None


class Clock:
    """Seconds by part, each moment counted once, for the part entered last. Waits for the device at every change."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self.stack: list[str] = []
        self.since = 0.0

    def _turn(self) -> None:
        """Credit the time since the last change to the part that runs."""
        if self.device.type != "cpu":
            torch.accelerator.synchronize(self.device)
        now = time.perf_counter()
        if self.stack:
            self.seconds[self.stack[-1]] += now - self.since
        self.since = now

    def taken(self) -> dict[str, float]:
        """Seconds since the last call."""
        self._turn()
        seconds, self.seconds = dict(self.seconds), defaultdict(float)
        return seconds

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        self._turn()
        self.stack.append(name)
        depth = len(self.stack)
        try:
            yield
        finally:
            self._turn()
            del self.stack[depth - 1 :]

    def switch(self, name: str) -> None:
        """From here on the running part is another."""
        self._turn()
        self.stack[-1] = name

    def timed(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def call(*arguments: Any, **keywords: Any) -> Any:
            with self.part(name):
                return function(*arguments, **keywords)

        return call


class Timed(Callback):
    """Keeps the seconds by part of each step after the first WARM_UP."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.steps: list[dict[str, float]] = []

    def on_step(self, loop: Loop, step: int, terms: Any) -> None:
        seconds = self.clock.taken()
        if step > WARM_UP:
            self.steps.append(seconds)


def watch(method: Method, clock: Clock) -> None:
    """Put the clock around what a method's step consists of."""
    for name, part in WATCHED.items():
        setattr(method, name, clock.timed(part, getattr(method, name)))
    configure = method.configure_optimizers

    def configured() -> Any:
        found = configure()
        for optimizer in checked_optimizers(method, found)[0]:
            watch_optimizer(optimizer, clock)
        return found

    method.configure_optimizers = configured  # type: ignore[method-assign]
    for name, network in method.networks().items():
        watch_network(network, name, clock)


def watch_optimizer(optimizer: torch.optim.Optimizer, clock: Clock) -> None:
    optimizer.step = clock.timed(OPTIMIZER, optimizer.step)  # type: ignore[method-assign]
    optimizer.zero_grad = clock.timed(OPTIMIZER, optimizer.zero_grad)  # type: ignore[method-assign]


def watch_network(network: nn.Module, name: str, clock: Clock) -> None:
    forward = network.forward

    def timed_forward(x: Tensor) -> Tensor:
        with clock.part(FORWARD.format(name)):
            y: Tensor = forward(x)
        if y.requires_grad:
            y.register_hook(lambda gradient: clock.switch(BACKWARD.format(name)))
        if x.requires_grad:
            x.register_hook(lambda gradient: clock.switch(BACKWARD.format(REST)))
        return y

    network.forward = timed_forward


def profile_steps(trial: Trial, dataset: FactorDataset, steps: int) -> tuple[Method, dict[str, float]]:
    """Train for WARM_UP and `steps` more; the method and, of each part, its median seconds a step.

    A median, because on a shared machine a step now and then waits for others. What a method does only rarely is not in it.
    """
    device = torch.accelerator.current_accelerator(check_available=True) or torch.device("cpu")
    clock = Clock(device)
    short = trial.model_copy(update={"steps": WARM_UP + steps})
    method = build(short, dataset.image_shape, len(dataset.training))
    images = Images(dataset.training, trial, method.sampling)
    method.label_sizes = images.label_sizes
    timed = Timed(clock)
    loop = Loop(short.steps, [Curves(trial.steps), timed], precision=trial.precision)
    watch(method, clock)
    batches = images.stream(loop.device)

    def timed_batches() -> Iterator[Batch]:
        while True:
            with clock.part(DATA):
                batch = next(batches)
            yield batch

    with clock.part(LOOP):
        loop.fit(method, timed_batches())
    for name in (*WATCHED, "configure_optimizers"):
        delattr(method, name)
    for network in method.networks().values():
        del network.forward
    parts = {part for seconds in timed.steps for part in seconds}
    return method, {part: median(seconds.get(part, 0.0) for seconds in timed.steps) for part in parts}


def profile_trial(
    trial: Trial, dataset: FactorDataset, metrics: dict[str, dict[str, Any]], steps: int = 30
) -> list[Row]:
    """Of each part of a trial its seconds, those of training scaled from `steps` steps to the trial's."""
    method, parts = profile_steps(trial, dataset, steps)
    whole = sum(parts.values())
    order = sorted(parts, key=lambda part: -parts[part])
    rows = [Row(part, parts[part] * trial.steps, parts[part] / whole) for part in order]
    device = torch.accelerator.current_accelerator(check_available=True) or torch.device("cpu")

    def timed(part: str, function: Callable[[], Any]) -> Any:
        started = time.perf_counter()
        found = function()
        rows.append(Row(part, time.perf_counter() - started))
        return found

    codes = timed("encode", lambda: encode(method, dataset, scored_rows(trial, len(dataset)), device))
    flat = codes.flat()
    for name, options in metrics.items():
        timed(f"score: {name}", partial(score, flat.codes, flat.factors, {name: options}, codes_std=flat.codes_std))
    fixed = fixed_rows(torch.from_numpy(codes.rows), decoded(method, IMAGES))
    if no_pictures(method) is None:
        timed("reconstruction quality", lambda: reconstruction_quality(method, dataset, fixed, device))
    record = Record(trial=trial, status="failed")
    with TemporaryDirectory() as folder:
        timed("pictures", lambda: draw(record, method, dataset, codes, Path(folder)))
    return rows


def shares(rows: Sequence[Row]) -> list[float]:
    """Each part's share of the whole trial."""
    whole = sum(row.seconds for row in rows)
    return [row.seconds / whole for row in rows]
