"""Several seeds of one method trained as one model (see `stack`).

A network of this size leaves most of a GPU idle, and S of them in each call fill it: under `torch.func.vmap` layers become
batched products and grouped convolutions. Each seed keeps the streams that it has when trained alone (weights, order of
images, noise), so its losses are the same up to rounding. On a CPU it is no faster.
"""

import math
import time
import warnings
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from disbench.baselines.vae import VAE
from disbench.benchmarks.runtime.environment import code_version
from disbench.benchmarks.runtime.seeds import random_state
from disbench.benchmarks.settings.score_schedule import ScoreSchedule
from disbench.benchmarks.training.batches import Images
from disbench.benchmarks.training.checkpoint import DESCRIPTION, write_checkpoint
from disbench.benchmarks.training.experimental.stack import Stack, global_stream
from disbench.benchmarks.training.loop import CURVE_POINTS, EXPLODED, build
from disbench.benchmarks.training.progress import Progress
from disbench.benchmarks.training.score_curves import SCORES, ScoreCurves
from disbench.datasets import FactorDataset
from disbench.reports.records import Trial

PRECISIONS = ("32-true", "bf16-mixed")
Points = dict[str, list[tuple[int, float]]]


def check_alike(trials: Sequence[Trial]) -> None:
    """Raise ValueError unless the trials differ in their seeds alone."""
    if not trials:
        raise ValueError("Stacked training needs at least one trial, got none.")
    if trials[0].precision not in PRECISIONS:
        raise ValueError(f"Stacked training knows precision {' and '.join(PRECISIONS)}, got {trials[0].precision!r}.")
    first = trials[0].model_dump(exclude={"seed"})
    for trial in trials[1:]:
        other = trial.model_dump(exclude={"seed"})
        if differing := [field for field in first if first[field] != other[field]]:
            raise ValueError(
                f"Trials that are trained stacked differ in their seeds alone; {trial.id} differs from {trials[0].id} in "
                f"{', '.join(differing)}. Stack them by method, dataset and settings."
            )


@contextmanager
def computing(precision: str, device: torch.device) -> Iterator[None]:
    """A step within is computed at that precision, as Lightning has it, and without a word on what `vmap` has to loop over."""
    mixed = precision == "bf16-mixed"
    with torch.autocast(device.type, torch.bfloat16, mixed, cache_enabled=False), warnings.catch_warnings():
        # Operations in place on small buffers, which some methods have, are looped over.
        warnings.filterwarnings(
            "ignore", "There is a performance drop because we have not yet implemented the batching"
        )
        yield


class Trained(NamedTuple):
    """Of one trial of a stack: what `train` gives, and what it would have left. The seconds are an equal share of the stack's.

    random: every global random state as it would be after the trial's own training.
    """

    trial: Trial
    method: VAE
    points: Points
    random: dict[str, Any]
    seconds: float
    cpu_seconds: float
    scores: ScoreCurves | None = None


def train_stacked(
    trials: Sequence[Trial],
    dataset: FactorDataset,
    device: torch.device | None = None,
    schedule: ScoreSchedule | None = None,
) -> list[Trained]:
    """Train trials that differ in their seeds alone, all at once.

    device: an accelerator by default, where there is one. Raises ValueError for a method that cannot be stacked and for
    trials that are not alike, FloatingPointError where a seed diverges.
    """
    check_alike(trials)
    started, cpu_started = time.monotonic(), time.process_time()
    device = device or torch.accelerator.current_accelerator(check_available=True) or torch.device("cpu")
    methods: list[Any] = []  # VAEs, or `Stack` refuses them
    generators, streams, states = [], [], []
    for trial in trials:
        method = build(trial, dataset.image_shape, len(dataset)).to(device)
        methods.append(method)
        generators.append(global_stream(device))
        states.append(random_state(device))
        method.total_steps = trial.steps
        streams.append(Images(dataset, trial, method.sampling).stream(device))
    steps = trials[0].steps
    stack = Stack(methods, generators, steps)
    every = max(1, steps // CURVE_POINTS)
    curves: list[Points] = [{} for _ in trials]
    scores = [] if schedule is None else [ScoreCurves(schedule, trial, dataset) for trial in trials]
    first = trials[0]
    what = f"{first.method} on {first.dataset}, seeds {', '.join(str(trial.seed) for trial in trials)}: training"
    with Progress(what, steps, "step", early=True) as progress:
        for step in range(1, steps + 1):
            batches = torch.stack([next(stream).images for stream in streams]).to(device).float().div_(255)
            with computing(trials[0].precision, device):
                terms = stack.step(step - 1, batches)
            if step % every == 0 or step == steps:
                keep(curves, trials, step, terms, stack.lacking)
            if scores and scores[0].due(step):
                stack.unstack()
                for own, method in zip(scores, methods, strict=True):
                    own.score(step, method, device)
            progress.done = step
            if progress.due:  # reading the loss waits for the device
                progress.update(step, f"mean loss {float(terms['loss'].mean()):.1f}")
    stack.unstack()
    methods[0].trainer = None
    seconds = (time.monotonic() - started) / len(trials), (time.process_time() - cpu_started) / len(trials)
    for method, generator, state in zip(methods, generators, states, strict=True):
        state["torch" if device.type == "cpu" else "device"] = generator.get_state()
        if len(trials) > 1:
            method.remarks.append(
                f"Trained stacked, {len(trials)} seeds as one model; each has an equal share of the seconds that it took."
            )
    kept: Sequence[ScoreCurves | None] = scores or [None] * len(trials)
    trained = zip(trials, methods, curves, states, kept, strict=True)
    return [Trained(trial, method, points, state, *seconds, own) for trial, method, points, state, own in trained]


def keep(
    curves: list[Points],
    trials: Sequence[Trial],
    step: int,
    terms: dict[str, Tensor],
    lacking: Sequence[Collection[str]],
) -> None:
    """Add each seed's terms, (S,) each, to its curves, those it lacks left out. Raises FloatingPointError where one diverged."""
    table = torch.stack(list(terms.values()), dim=1).tolist()  # (S, terms), in one transfer
    for points, trial, values, without in zip(curves, trials, table, lacking, strict=True):
        for name, value in zip(terms, values, strict=True):
            if name in without:
                continue
            if not math.isfinite(value) or (name == "loss" and abs(value) > EXPLODED):
                raise FloatingPointError(
                    f"{name} of seed {trial.seed} is {value} at step {step}: the run diverged. Try a smaller lr, or train "
                    "the seeds apart."
                )
            points.setdefault(name, []).append((step, value))


def write_finished(trained: Trained, dataset: FactorDataset, checkpoint: Path) -> None:
    """Write the checkpoint that `train` reads as finished; training cannot resume from it, because it has no optimizers."""
    trial, method = trained.trial, trained.method
    content: dict[str, Any] = {
        "state_dict": {name: tensor.cpu() for name, tensor in method.state_dict().items()},
        DESCRIPTION: {
            "trial": trial.model_dump(mode="json"),
            "image_shape": list(dataset.image_shape),
            "n_train": len(dataset),
            "step": trial.steps,
            "points": trained.points,
            "remarks": method.remarks,
            "seconds": trained.seconds,
            "cpu_seconds": trained.cpu_seconds,
            "resumed_at": [],
            "random": trained.random,
            "code": code_version(),
        },
    }
    if trained.scores is not None:
        content[SCORES] = trained.scores.content()
    method.on_save_checkpoint(content)
    write_checkpoint(content, checkpoint)
