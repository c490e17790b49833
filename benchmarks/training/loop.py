"""Train one method on one dataset, without scores and records."""

import logging
import math
import signal
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import seed_everything
from pydantic import ValidationError
from torch import Tensor

from disbench.baselines.method import Method
from disbench.benchmarks import METHODS
from disbench.benchmarks.runtime.failures import classify
from disbench.benchmarks.runtime.machine import Machine
from disbench.benchmarks.runtime.seeds import seed_for
from disbench.benchmarks.settings.hyperparameters import check_method
from disbench.benchmarks.settings.score_schedule import ScoreSchedule
from disbench.benchmarks.settings.validation import explained
from disbench.benchmarks.training import checkpoint as checkpoints
from disbench.benchmarks.training.batches import Images
from disbench.benchmarks.training.checkpoint import DESCRIPTION, RESUME, ResumeCallback
from disbench.benchmarks.training.contracts import check_contract, checked_terms
from disbench.benchmarks.training.experimental.compiled import compiled
from disbench.benchmarks.training.experimental.data_parallel import Share, check_shares, on_each_device
from disbench.benchmarks.training.progress import Progress, title
from disbench.benchmarks.training.score_curves import ScoreCurves
from disbench.benchmarks.training.steps import Callback, Loop
from disbench.datasets import FactorDataset
from disbench.datasets.storage.atomic import set_aside
from disbench.reports.records import Trial, trial_of

log = logging.getLogger(__name__)
LOSS_SECONDS = 0.5  # between two readings of the loss for the progress that is shown
CURVE_POINTS = 100  # of each curve in a record, at most
EXPLODED = 1e9  # nats an image that no method comes near while it learns anything
ON_THIS_MACHINE = Machine()


class Curves(Callback):
    """Keeps each term at about CURVE_POINTS steps and stops a diverged run."""

    def __init__(self, steps: int) -> None:
        self.every = max(1, steps // CURVE_POINTS)
        self.steps = steps
        self.points: dict[str, list[tuple[int, float]]] = {}
        self.resume: ResumeCallback  # whose checkpoints hold these points
        self.scores: ScoreCurves | None = None  # the learning curves of scores, if a schedule was given
        self.first = 0  # steps that an earlier resume did

    def on_start(self, loop: Loop) -> None:
        self.first = loop.global_step

    def on_step(self, loop: Loop, step: int, terms: dict[str, Tensor]) -> None:
        kept = step % self.every == 0 or step == self.steps
        if not kept and step != self.first + 1:  # the first of a resume is checked in any case
            return
        for name, term in checked_terms(loop.method, terms).items():
            if not math.isfinite(number := loop.mean(term)) or (name == "loss" and abs(number) > EXPLODED):
                raise FloatingPointError(f"{name} is {number} at step {step}: the run diverged. Try a smaller lr.")
            if kept:
                self.points.setdefault(name, []).append((step, number))


class ShowProgress(Callback):
    """Hands a `Progress` the steps and the loss of a training."""

    def __init__(self, progress: Progress) -> None:
        self.progress = progress
        self.loss_read = -math.inf  # the time at which the loss was last read

    def on_start(self, loop: Loop) -> None:
        self.progress.begin(loop.global_step)

    def on_step(self, loop: Loop, step: int, terms: dict[str, Tensor]) -> None:
        self.progress.done = step
        # Reading the loss waits for the device. It is read in time for the lines that the progress shows by itself.
        now = time.monotonic()
        if now - self.loss_read >= LOSS_SECONDS or self.progress.due:
            self.loss_read = now
            self.progress.update(step, f"loss {float(terms['loss']):.1f}")


def build(trial: Trial, image_shape: tuple[int, ...], n_train: int) -> Method:
    """The trial's method with its initial weights, which depend on method, dataset and seed alone."""
    seed_everything(seed_for(trial.method, trial.dataset, trial.seed, "training"), verbose=False)
    make: Callable[..., Method] = METHODS[trial.method]
    return make(image_shape, n_train, **trial.hparams)


def finished(checkpoint: Path, trial: Trial) -> dict[str, Any] | None:
    """The checkpoint where it is of this trial, and of all its steps; else None."""
    done = checkpoints.resumable(checkpoint, trial)
    return done if done is not None and done[DESCRIPTION]["step"] == trial.steps else None


def train(
    trial: Trial,
    dataset: FactorDataset,
    checkpoint: str,
    machine: Machine = ON_THIS_MACHINE,
    name: str = "",
    schedule: ScoreSchedule | None = None,
) -> tuple[Method, Curves, torch.device]:
    """Train for `trial.steps` steps and save `checkpoint`. Returns the method, its curves and the device it was on.

    Beside `checkpoint` there is one of the unfinished training meanwhile, from which the next call goes on to the same result;
    where `checkpoint` is of this trial and finished, nothing is trained. Ctrl-C ends the step first. name: of the trial in the
    log and on the terminal; by default its `title`. schedule: when the method is scored on the way, which changes no weight.
    """
    dataset = dataset.training
    if machine.devices == 1:
        return train_here(trial, machine, dataset, checkpoint, name, schedule)
    check_shares(trial, machine)
    if finished(Path(checkpoint), trial) is None:
        on_each_device(train_here, trial, machine, dataset, checkpoint, name, schedule)
        if finished(Path(checkpoint), trial) is None:
            raise RuntimeError(f"The processes on {machine.devices} devices left no finished {checkpoint}.")
    alone = replace(machine, devices=1, strategy="auto")
    return train_here(trial, alone, dataset, checkpoint, name, schedule)  # which reads it


def train_here(
    trial: Trial,
    machine: Machine,
    dataset: FactorDataset,
    checkpoint: str,
    name: str = "",
    schedule: ScoreSchedule | None = None,
) -> tuple[Method, Curves, torch.device]:
    """`train` in this process: with the whole of each minibatch, or with the share of one of several devices."""
    method = build(trial, dataset.image_shape, len(dataset))
    images = Images(dataset, trial, method.sampling)
    method.label_sizes = images.label_sizes
    curves = Curves(trial.steps)
    folder = Path(checkpoint).parent
    described = trial, dataset.image_shape, len(dataset), curves.points
    resume = ResumeCallback(*described, Path(checkpoint), machine.checkpoint_seconds)
    curves.resume = resume
    progress = Progress(f"{name or title(trial)}: training", trial.steps, "step", early=True)
    callbacks: list[Callback] = [curves, ShowProgress(progress), resume]
    if schedule is not None:
        curves.scores = ScoreCurves(schedule, trial, dataset)
        callbacks.insert(0, curves.scores)  # before the checkpoint of its step is written
    if machine.devices > 1:
        callbacks.insert(0, Share(trial))
    loop = Loop(
        trial.steps,
        callbacks,
        precision=trial.precision,
        accelerator=machine.accelerator,
        devices=machine.devices,
        strategy=machine.strategy,
    )
    device = loop.device
    path = Path(checkpoint)
    if (ended := finished(path, trial)) is not None:
        try:
            method.load_state_dict(ended["state_dict"])
            resume.restore(ended[DESCRIPTION], method, device)
            if curves.scores is not None:
                curves.scores.restore(ended)
        except Exception as error:
            if classify(error) == "out of memory":
                raise
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            kept = set_aside(path, "unreadable")
            log.warning("%s does not fit, is kept as %s, and the trial is trained again: %s", path, kept.name, reason)
            return train_here(trial, machine, dataset, checkpoint, schedule=schedule)
        checkpoints.delete_resume_files(folder)  # in case it was killed before its last checkpoint's forerunner was
        return method, curves, device
    if loop.is_global_zero and path.exists():
        log.warning("%s is kept as %s.", path, set_aside(path, "unreadable").name)
    unfinished = folder / RESUME
    content = checkpoints.resumable(unfinished, trial)
    begun = content if content is not None and fits(content, method, unfinished) else None
    if begun is not None and loop.is_global_zero:
        log.info("%s: training goes on from its checkpoint.", name or title(trial))
    progress.shown = loop.is_global_zero
    # With several devices the parent counts: a terminal sends Ctrl-C to all, and the parent hands it on to all.
    ending = checkpoints.finishing_steps(resume, signal.default_int_handler if machine.devices == 1 else signal.SIG_IGN)
    networks = compiled(method, machine.compiler) if machine.compiler else nullcontext()
    check_contract(method, dataset.image_shape, images.per_step, trial.steps, images.label_sizes)
    done = 0
    if begun is not None:  # version 0.1 counted the steps of optimizers, and had another name for the scale
        done = begun[DESCRIPTION]["step"]
        begun = {"precision": begun.get("MixedPrecision", {}), **begun, "global_step": done}
    batches = images.stream(device, done, loop.global_rank, loop.world_size)
    with ending, networks, progress:
        loop.fit(method, batches, begun)
    return method, curves, device


def fits(content: dict[str, Any], method: Method, path: Path) -> bool:
    """Whether a checkpoint's weights have the names and shapes of the method's."""
    weights = content.get("state_dict")
    own = {name: tensor.shape for name, tensor in method.state_dict().items()}
    if isinstance(weights, dict) and {name: getattr(value, "shape", None) for name, value in weights.items()} == own:
        return True
    log.warning("%s has not the weights of today's method. The trial is trained from its beginning.", path)
    return False


def load_checkpoint(path: str) -> tuple[Method, Trial]:
    """Load the trained method in a checkpoint.

    Parameters
    ----------
    path : str
        The checkpoint of a trial.

    Returns
    -------
    tuple of Method and Trial
        The method is in evaluation mode, on the CPU.

    Raises
    ------
    ValueError
        If the file is not such a checkpoint, or its method is unknown or has other weights today.

    Examples
    --------
    >>> from pathlib import Path
    >>> from disbench.benchmarks.training.loop import load_checkpoint
    >>> def encode(record):
    ...     method, trial = load_checkpoint(str(Path("runs") / record.trial.id / record.artefacts["checkpoint"]))
    ...     return method.encode
    """
    content = checkpoints.read_checkpoint(Path(path))
    description = content[DESCRIPTION]
    try:
        trial = trial_of(description["trial"])
        check_method(trial.method, trial.hparams)
        method = build(trial, tuple(description["image_shape"]), description["n_train"])
    except (ValueError, TypeError, KeyError, RuntimeError) as error:
        reason = explained(error) if isinstance(error, ValidationError) else str(error)
        raise ValueError(f"{path} describes a trial that this disbench cannot build: {reason[:300]}") from error
    try:
        method.load_state_dict(content["state_dict"])
    except (KeyError, RuntimeError, TypeError, AttributeError) as error:
        raise ValueError(f"{path} has not the weights of today's {trial.method}: {str(error)[:300]}") from error
    return method.eval(), trial
