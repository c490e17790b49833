"""Checkpoints of a trial in training, from which it resumes, and its progress.

`Loop` gives weights, optimizers, schedulers and a gradient scaler; `ResumeCallback` adds random states, curves and the time that
was spent. The position in the data is the number of steps: the order of images depends on nothing else (see `minibatches`). A
checkpoint is written whole or not at all and is read as data, never as code.
"""

import errno
import io
import json
import logging
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from disbench.benchmarks.runtime.environment import code_version
from disbench.benchmarks.runtime.failures import classify
from disbench.benchmarks.runtime.optional import signals
from disbench.benchmarks.runtime.seeds import random_state, set_random_state
from disbench.benchmarks.training.position import POSITION
from disbench.benchmarks.training.steps import Callback, Loop
from disbench.datasets.storage.atomic import write_atomic
from disbench.reports.records import Trial, trial_of

log = logging.getLogger(__name__)
RESUME = "resume.ckpt"
DEFERRED_SIGNALS = signals("SIGTERM", "SIGUSR1", "SIGUSR2")  # signals that wait for a step's end and its checkpoint
ADVICE = (
    "Only checkpoints that `disbench train` or `disbench run` wrote can be used here. To score another model, encode a dataset "
    "with your own code, save codes and factors, and run: disbench score table.npz"
)
DESCRIPTION = "disbench"  # the key of a checkpoint's part that is ours
BUILDING = ("trial", "image_shape", "n_train")  # what it takes to build the method again
RESUMING = ("step", "points", "remarks", "seconds", "cpu_seconds", "resumed_at", "random", "code")


class Stopped(BaseException):
    """Raised for a signal once its step is over and the checkpoint written."""

    def __init__(self, number: int = signal.SIGINT) -> None:
        super().__init__(number)
        self.number = number


def delete_resume_files(folder: Path) -> None:
    """Remove what an unfinished trial goes on from."""
    for name in (POSITION, RESUME):
        (folder / name).unlink(missing_ok=True)


def read_checkpoint(path: Path, needed: tuple[str, ...] = BUILDING) -> dict[str, Any]:
    """A checkpoint that `train` wrote, on the CPU. Raises ValueError that names the file, and what it lacks, for any other."""
    if not path.exists():
        raise FileNotFoundError(errno.ENOENT, "no such checkpoint", str(path))
    if not path.is_file():
        raise ValueError(f"{path} is {'a folder' if path.is_dir() else 'no regular file'}, not a checkpoint. {ADVICE}")
    if path.stat().st_size == 0:
        raise ValueError(f"{path} is empty. {ADVICE}")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged file makes torch, zipfile and pickle raise a dozen types
        # torch's own words advise to load the file as code, so they are not repeated.
        raise ValueError(f"{path} is not a checkpoint of disbench, or a damaged one. {ADVICE}") from error
    description = content.get(DESCRIPTION) if isinstance(content, Mapping) else None
    if not isinstance(description, Mapping):
        raise ValueError(
            f"{path} was not written by disbench: it lacks the trial's description, {DESCRIPTION!r}. {ADVICE}"
        )
    if missing := [name for name in needed if name not in description]:
        raise ValueError(f"{path}: its {DESCRIPTION!r} lacks {', '.join(missing)}; it needs {', '.join(needed)}.")
    return dict(content)


def resumable(path: Path, trial: Trial) -> dict[str, Any] | None:
    """The checkpoint at `path` where the trial can go on from it; None, with the reason in the log, where it cannot."""
    try:
        content = read_checkpoint(path, BUILDING + RESUMING)
        found = trial_of(content[DESCRIPTION]["trial"])
    except FileNotFoundError:
        return None
    except ValueError as error:
        log.warning("%s The trial is trained from its beginning.", error)
        return None
    if found != trial:
        log.warning("%s is of %s, not of %s, which is trained from its beginning.", path, found.id, trial.id)
        return None
    return content


def write_checkpoint(content: Mapping[str, Any], path: Path) -> None:
    """Write a checkpoint whole or not at all, so that a kill leaves the one before."""
    buffer = io.BytesIO()
    torch.save(dict(content), buffer)
    write_atomic(path, buffer)


def all_gather(own: tuple[dict[str, Any], float]) -> list[tuple[dict[str, Any], float]]:
    """What each process of a training passes, in the order of their ranks; called by all of them."""
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return [own]
    everyone = [own] * torch.distributed.get_world_size()
    torch.distributed.all_gather_object(everyone, own)
    return everyone


def any_rank(loop: Loop, *wishes: bool) -> list[bool]:
    """What any process of a training on several devices wishes; called by all of them."""
    wanted = torch.tensor(wishes, dtype=torch.int32, device=loop.device)
    loop.all_reduce(wanted, reduce_op="max")
    return [bool(wish) for wish in wanted.tolist()]


class ResumeCallback(Callback):
    """One resume of a trial's training: takes up the one before, and checkpoints every `every` seconds and when stopped.

    Steps are whole: signals wait for the end of the step, whose checkpoint then is a state that training was in.
    `seconds` and `cpu_seconds` count every resume up to its last checkpoint; `resumed_at` holds the steps done when one began.
    On several devices each has one, they stop and save at the same step, and `cpu_seconds` is their sum.
    """

    def __init__(
        self,
        trial: Trial,
        image_shape: tuple[int, ...],
        n_train: int,
        points: dict[str, Any],
        checkpoint: Path,
        every: float,
    ) -> None:
        self.described = {"trial": trial.model_dump(mode="json"), "image_shape": list(image_shape), "n_train": n_train}
        self.steps = trial.steps
        self.points = points
        self.checkpoint = checkpoint
        self.folder = checkpoint.parent
        self.every = every
        self.step = 0
        self.resumed_at: list[int] = []
        self.interrupted = False
        self.received: int | None = None
        self.handlers: dict[int, Any] = {}
        self._before = (0.0, 0.0)
        self._random: Mapping[str, Any] | None = None
        self._started = (time.monotonic(), time.process_time())
        self._saved = time.monotonic()

    @property
    def seconds(self) -> float:
        return self._before[0] + time.monotonic() - self._started[0]

    @property
    def cpu_seconds(self) -> float:
        return self._before[1] + time.process_time() - self._started[1]

    def on_save(self, loop: Loop, content: dict[str, Any]) -> None:
        everyone = all_gather((random_state(loop.device), self.cpu_seconds))
        content[DESCRIPTION] = {
            **self.described,
            "step": self.step,
            "points": self.points,
            "remarks": loop.method.remarks,
            "seconds": self.seconds,
            "cpu_seconds": sum(seconds for _, seconds in everyone),
            "resumed_at": self.resumed_at,
            "random": everyone[0][0],
            "random_of_others": [state for state, _ in everyone[1:]],
            "code": code_version(),
        }

    def restore(self, description: Mapping[str, Any], module: Any, device: torch.device, rank: int = 0) -> None:
        """Go on from what `on_save` left; a rank that was not there before keeps the random state that it has."""
        self.step = description["step"]
        self.points.update(description["points"])
        module.remarks[:] = description["remarks"]
        self._before = description["seconds"], description["cpu_seconds"] if rank == 0 else 0.0
        self.resumed_at = list(description["resumed_at"])
        states = [description["random"], *description.get("random_of_others", [])]
        if rank < len(states):
            self._random = states[rank]
            set_random_state(self._random, device)
        if (code := description["code"]) != code_version():
            module.remarks.append(f"Trained by code {code} up to step {self.step}, by {code_version()} from there.")

    def on_load(self, loop: Loop, content: Mapping[str, Any]) -> None:
        self.restore(content[DESCRIPTION], loop.method, loop.device, loop.global_rank)
        self.resumed_at.append(self.step)

    def on_start(self, loop: Loop) -> None:
        if self._random is not None:  # again: the method's own hooks came between
            set_random_state(self._random, loop.device)
            self._random = None

    def note(self, number: int, frame: Any) -> None:
        self.received = number

    def reraise_signal(self) -> None:
        """Let the signal that was noted do what it did before: end the process, or what its handler does and then go on."""
        if self.received is None:
            return
        number, self.received = self.received, None
        handler = self.handlers[number]
        if not callable(handler):
            raise Stopped(number)
        log.warning("%s: step %d of %d is over, and is kept.", signal.Signals(number).name, self.step, self.steps)
        try:
            handler(number, None)
        except Exception as error:  # that a job could not be queued again, say, is not the trial's fault
            log.exception("%s could not be dealt with.", signal.Signals(number).name)
            raise Stopped(number) from error

    def on_step(self, loop: Loop, step: int, terms: Any) -> None:
        self.step = step
        if self.step == self.steps:
            return  # nothing is left to resume
        received = self.received  # now: a signal that comes while the checkpoint is written is for the next step
        ending = received is not None and (loop.world_size > 1 or not callable(self.handlers[received]))
        stopping = self.interrupted or ending
        due = received is not None or time.monotonic() - self._saved >= self.every
        if loop.world_size > 1:
            stopping, due = any_rank(loop, stopping, due)
        if stopping or due:
            self.save(loop)
        if stopping:
            log.warning(
                "Stopped at step %d of %d. Run the same command again to go on from its checkpoint.",
                self.step,
                self.steps,
            )
        if stopping and (self.interrupted or loop.world_size > 1):
            raise Stopped
        if received is not None:
            self.reraise_signal()

    def on_end(self, loop: Loop) -> None:
        self._write(loop, self.checkpoint)
        if loop.is_global_zero:
            delete_resume_files(self.folder)

    def save(self, loop: Loop) -> None:
        """Write the checkpoint. Where there is no room the one before stays, and training goes on."""
        written = self._written(lambda: self._write(loop, self.folder / RESUME))
        if written and loop.is_global_zero:
            told = {"step": self.step, "steps": self.steps, "seconds": self.seconds}
            self._written(lambda: write_atomic(self.folder / POSITION, json.dumps(told).encode()))
        self._saved = time.monotonic()

    def _write(self, loop: Loop, path: Path) -> None:
        """Let every process give its part, and one of them write; the others wait for it, also where it fails."""
        content = loop.content()
        try:
            if loop.is_global_zero:
                write_checkpoint(content, path)
        finally:
            loop.barrier()

    def _written(self, write: Callable[[], object]) -> bool:
        """Whether there was room for what `write` writes."""
        try:
            write()
        except OSError as error:
            if classify(error) != "disk full":
                raise
            log.warning("The checkpoint at step %d is left out: %s. The one before it is kept.", self.step, error)
            return False
        return True


@contextmanager
def finishing_steps(resume: ResumeCallback, then: Any = signal.default_int_handler) -> Iterator[None]:
    """Signals that come within wait until the step is over and its checkpoint written. Outside the main thread they do not.

    Ctrl-C and SIGTERM then end the process, with KeyboardInterrupt and SystemExit. A second Ctrl-C is for `then`: it interrupts
    at once. Where other code handles SIGTERM, SIGUSR1 or SIGUSR2, as a scheduler's client does to put the job back into its
    queue, that handler is called then, and training continues if it returns. A handler of SIGINT is left alone.
    """

    def interrupted(number: int, frame: Any) -> None:
        resume.interrupted = True
        signal.signal(signal.SIGINT, then)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, *DEFERRED_SIGNALS)}
    if before[signal.SIGINT] is signal.default_int_handler:
        signal.signal(signal.SIGINT, interrupted)
    else:
        del before[signal.SIGINT]
    for number in DEFERRED_SIGNALS:
        if callable(before[number]) or (number == signal.SIGTERM and before[number] is signal.SIG_DFL):
            resume.handlers[number] = before[number]
            signal.signal(number, resume.note)
        else:
            del before[number]
    try:
        yield
        if resume.interrupted:  # in the last step, after which there is nothing to save
            raise Stopped
        resume.reraise_signal()
    except Stopped as stopped:
        if stopped.number == signal.SIGINT:
            raise KeyboardInterrupt from None
        raise SystemExit(128 + stopped.number) from None
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
