"""In this process, the seeds of one row of a suite trained as one model (see `benchmarks.stacked`), then each scored on its own.

Stacked training leaves each trial the checkpoint that training it apart leaves, so everything after it is the ordinary path.
Where seeds cannot be trained stacked, or one of them diverges, the same path trains each apart.
"""

import logging
from collections.abc import Iterator, Sequence
from contextlib import ExitStack

import torch

from disbench.benchmarks.runtime.allocator import keep_memory
from disbench.benchmarks.runtime.failures import classify, disk_full_as_one_error
from disbench.benchmarks.runtime.locks import try_lock
from disbench.benchmarks.runtime.machine import determinism
from disbench.benchmarks.studies.engines.job import Engine, Job, failed_meanwhile, opened, run_job
from disbench.benchmarks.training.checkpoint import RESUME, delete_resume_files, resumable
from disbench.benchmarks.training.experimental.seed_ensemble import train_stacked, write_finished
from disbench.benchmarks.training.loop import finished
from disbench.benchmarks.trials.existing import CHECKPOINT, existing_record
from disbench.reports.records import Record

log = logging.getLogger(__name__)


def stacked_engine(at_once: int) -> Engine:
    """An engine that trains up to `at_once` trials that differ in their seeds alone as one model."""
    if at_once < 2:
        raise ValueError(f"Stacked training needs 2 seeds or more at once, got {at_once}.")

    def run(jobs: Sequence[Job]) -> Iterator[tuple[Job, Record | None]]:
        if several := next((job.machine.devices for job in jobs if job.machine.devices > 1), None):
            raise ValueError(f"Stacked training has one device for all its seeds, got devices={several}.")
        if compiler := next((job.machine.compiler for job in jobs if job.machine.compiler), None):
            raise ValueError(f"Stacked training compiles no network, got compiler={compiler!r}.")
        for row in rows(jobs):
            for first in range(0, len(row), at_once):
                stack = row[first : first + at_once]
                train_together(stack)
                for job in stack:
                    yield job, run_job(job)

    return run


def rows(jobs: Sequence[Job]) -> list[list[Job]]:
    """The jobs whose trials differ in their seeds alone, in the order in which they came."""
    found: dict[str, list[Job]] = {}
    for job in jobs:
        found.setdefault(job.trial.model_copy(update={"seed": 0}).id, []).append(job)
    return list(found.values())


def from_the_beginning(job: Job) -> bool:
    """Whether all of the trial's training is still to do: whatever one was begun with goes on apart."""
    checkpoint = job.folder / CHECKPOINT
    record = existing_record(job.trial, job.folder)
    return (
        job.trial.steps > 0
        and (record is None or record.status == "failed")
        and failed_meanwhile(job) is None
        and finished(checkpoint, job.trial) is None
        and resumable(job.folder / RESUME, job.trial) is None
    )


def train_together(jobs: Sequence[Job]) -> None:
    """Train the trials that have not started as one model and write their checkpoints, or log why this is not possible."""
    with ExitStack() as claims:
        ours = [job for job in jobs if claims.enter_context(try_lock(job.folder)) and from_the_beginning(job)]
        if len(ours) < 2:
            return
        keep_memory()
        first = ours[0]
        seeds = ", ".join(str(job.trial.seed) for job in ours)
        told = f"Seeds {seeds} of {first.trial.method} on {first.trial.dataset}"
        log.info("%s are trained as one model.", told)
        try:
            dataset = opened(first.trial, first.root).training
            device = torch.device("cpu") if first.machine.accelerator == "cpu" else None
            with determinism(first.machine):
                trained = train_stacked([job.trial for job in ours], dataset, device, first.schedule)
        except Exception as error:  # noqa: BLE001 -- whatever it was, training each apart says whose it is
            log.warning("%s are trained apart. %s: %s", told, classify(error), error)
            return
        except KeyboardInterrupt:
            log.warning("%s: their training was stopped and begins anew. It has no checkpoint before its end.", told)
            raise
        for job, result in zip(ours, trained, strict=True):
            with disk_full_as_one_error(job.folder):
                write_finished(result, dataset, job.folder / CHECKPOINT)
            delete_resume_files(job.folder)
