"""One trial for a worker: small, picklable, and runnable wherever the folder of trials is accessible."""

import functools
import json
import logging
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from disbench.benchmarks.plugins.files import load_sources
from disbench.benchmarks.plugins.packages import provide
from disbench.benchmarks.plugins.registries import Source
from disbench.benchmarks.runtime.allocator import keep_memory
from disbench.benchmarks.runtime.failures import classify, disk_full_as_one_error
from disbench.benchmarks.runtime.locks import try_lock
from disbench.benchmarks.runtime.machine import Machine
from disbench.benchmarks.settings.defaults import Evaluations, MetricOptions, changed_hparams
from disbench.benchmarks.settings.score_schedule import ScoreSchedule
from disbench.benchmarks.trials.trial import run_trial
from disbench.datasets import FactorDataset, load
from disbench.reports.records import RECORD_FILE, Failure, Record, Trial, read_record, write_record

log = logging.getLogger(__name__)


class Job(NamedTuple):
    """One trial of a driver's.

    `failed_at`: when, in ns since 1970, the failed record that is to be replaced was written; None where there was none.
    `name`: of the trial in the log, such as "[3/20] vae on dsprites, seed 0". `plugins`: those that the driver has loaded.
    """

    trial: Trial
    out: Path
    root: str | None
    metrics: MetricOptions
    machine: Machine
    failed_at: int | None = None
    name: str = ""
    evaluations: Evaluations | None = None
    plugins: tuple[Source, ...] = ()
    schedule: ScoreSchedule | None = None

    @property
    def folder(self) -> Path:
        return self.out / self.trial.id


# Each job with its record as it is there; with None where another driver was just running it.
Engine = Callable[[Sequence[Job]], Iterator[tuple[Job, Record | None]]]


@functools.lru_cache(maxsize=4)
def _opened(name: str, root: str | None, options: str) -> FactorDataset:
    return load(name, root, **json.loads(options))


def opened(trial: Trial, root: str | None) -> FactorDataset:
    """The trial's dataset, opened once a process. Raises OSError, ValueError or TypeError where it cannot be."""
    provide("dataset", trial.dataset)
    return _opened(trial.dataset, root, json.dumps(trial.dataset_options, sort_keys=True))


def written_at(folder: Path) -> int | None:
    """When the record in a folder was written, in ns since 1970; None where there is none."""
    try:
        return (folder / RECORD_FILE).stat().st_mtime_ns
    except FileNotFoundError:
        return None


def failed_meanwhile(job: Job) -> Record | None:
    """The failed record that another driver wrote since this job was made; running it again would be running it twice."""
    if written_at(job.folder) in (None, job.failed_at):
        return None
    try:
        record = read_record(job.folder / RECORD_FILE)
    except ValueError:
        return None
    return record if record.status == "failed" else None


def failed(trial: Trial, failure: Failure, error: str) -> Record:
    return Record(trial=trial, status="failed", failure=failure, error=error, changed_hparams=changed_hparams(trial))


def unopened(trial: Trial, out: Path, error: Exception) -> Record:
    """The record of a trial whose dataset cannot be opened."""
    record = failed(trial, "dataset missing", str(error))
    write_record(record, out / trial.id)
    return record


def refused(trial: Trial, error: Exception) -> Record:
    """The record, in no file, of a trial that could not even be begun, such as where a later disbench's record is."""
    log.error("%s is left out: %s", trial.id, error)
    return failed(trial, classify(error), str(error))


def lost(job: Job, why: str) -> Record:
    """The record of a trial whose worker went away without a word, such as one that the system killed for its memory."""
    log.error("%s: %s", job.trial.id, why)
    record = failed(job.trial, "error", f"Lost: {why} The trial's last checkpoint is kept.")
    write_record(record, job.folder)
    return record


def run_job(job: Job) -> Record | None:
    """Run one trial, or resume it from its checkpoint; None where another process is running it.

    Whatever is wrong with one trial's files is that trial's failure, and the others are run.
    """
    keep_memory()  # a worker's process may be another than the command's
    try:
        load_sources(job.plugins)
        return _run_job(job)
    except Exception as error:
        if classify(error) == "disk full" or not os.access(job.out, os.W_OK):
            raise  # no trial could be written
        return refused(job.trial, error)


def _run_job(job: Job) -> Record | None:
    with disk_full_as_one_error(job.folder), try_lock(job.folder) as ours:
        if not ours:
            return None
        if (record := failed_meanwhile(job)) is not None:
            return record
        try:
            dataset = opened(job.trial, job.root)
        except (OSError, ValueError, TypeError) as error:
            log.error("%s cannot be opened: %s", job.trial.dataset, error)
            return unopened(job.trial, job.out, error)
        return run_trial(
            job.trial,
            dataset,
            job.out,
            job.metrics,
            job.evaluations,
            machine=job.machine,
            root=job.root,
            name=job.name,
            schedule=job.schedule,
        )
