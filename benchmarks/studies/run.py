"""Run each trial of a suite once with an engine, also beside other processes in the folder. A failure stops no other trial."""

import logging
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from disbench.benchmarks.plugins.files import loaded
from disbench.benchmarks.plugins.registries import entries_of, used
from disbench.benchmarks.runtime.locks import try_lock
from disbench.benchmarks.runtime.machine import Machine
from disbench.benchmarks.settings.defaults import Evaluations, MetricOptions
from disbench.benchmarks.settings.score_schedule import ScoreSchedule
from disbench.benchmarks.settings.trial_settings import check_fits, check_precision_here
from disbench.benchmarks.studies.engines import Engine, Job, opened, run_here, unopened
from disbench.benchmarks.studies.engines.job import refused, written_at
from disbench.benchmarks.studies.status import begun_with_others, labelled, write_plan
from disbench.benchmarks.studies.suite import Suite
from disbench.benchmarks.training.experimental.data_parallel import check_shares
from disbench.benchmarks.training.loop import ON_THIS_MACHINE
from disbench.benchmarks.training.progress import duration
from disbench.benchmarks.trials.encode import evaluation_rows
from disbench.benchmarks.trials.existing import NOT_OPENED, Earlier, clear_unopened, finished
from disbench.reports.records import NewerRecordError, Record, Trial

log = logging.getLogger(__name__)
LOOK_AGAIN = 2.0  # seconds between two looks at a trial that another driver is running

Only = Mapping[str, Collection[str]]  # of 'method', 'dataset' and 'seed' the values that are wanted


class Planned(NamedTuple):
    """A trial to run, what it is scored by, and why its dataset cannot be opened, where it cannot."""

    trial: Trial
    metrics: MetricOptions
    error: Exception | None = None
    evaluations: Evaluations | None = None
    schedule: ScoreSchedule | None = None


def wanted(trial: Trial, only: Only) -> bool:
    return all(str(getattr(trial, field)) in values for field, values in only.items())


def planned(suite: Suite, root: str | None = None, only: Only | None = None) -> list[Planned]:
    """Every trial of a suite, each once, datasets outermost. It opens each dataset, for its version is part of a trial."""
    found: dict[str, Planned] = {}
    for entry in suite.datasets:
        trials = [trial for trial in suite.trials(entry, NOT_OPENED) if wanted(trial, only or {})]
        if not trials:
            continue
        error = None
        try:
            version = opened(trials[0], root).version
        except (OSError, ValueError, TypeError) as reason:
            refuse_options(trials[0], reason, root)
            log.error("%s cannot be opened: %s", entry.name, reason)
            version, error = NOT_OPENED, reason
        if error is None:
            evaluation_rows(trials[0], opened(trials[0], root), entry.evaluations)  # raises for rows that are not there
        for trial in trials:
            if error is None:
                check_fits(trial, opened(trial, root))
            trial = trial.model_copy(update={"dataset_version": version})
            plan = Planned(trial, suite.metrics_of(entry), error, entry.evaluations, suite.schedule_of(entry))
            found.setdefault(trial.id, plan)
    return list(found.values())


def refuse_options(trial: Trial, error: Exception, root: str | None) -> None:
    """Raise ValueError where a dataset opens without the options that a suite gives it, so that the options are wrong.

    They would fail every trial. A dataset that does not open at all is the fault of its files: its trials are recorded as failed.
    """
    try:
        opened(trial.model_copy(update={"dataset_options": {}}), root)
    except (OSError, ValueError, TypeError):
        return
    raise ValueError(f"{trial.dataset}: {error}") from error


def free(jobs: Sequence[Job]) -> list[Job]:
    """Wait until at least one of these trials is no longer run by another driver; return those."""
    log.info("%d trials are being run by another driver, such as %s: waiting.", len(jobs), jobs[0].trial.id)
    while True:
        found = []
        for job in jobs:
            with try_lock(job.folder) as ours:
                if ours:
                    found.append(job)
        if found:
            return found
        time.sleep(LOOK_AGAIN)


def named(jobs: Sequence[Job]) -> list[Job]:
    """The jobs with a number and a name for the log: the method with what tells it from others, the dataset and the seed."""
    labels = labelled([job.trial for job in jobs])
    return [
        job._replace(name=f"[{number}/{len(jobs)}] {label} on {job.trial.dataset}, seed {job.trial.seed}")
        for number, (job, label) in enumerate(zip(jobs, labels, strict=True), 1)
    ]


def outcome(record: Record) -> str:
    """How a trial ended, with its first score or the last line of its error."""
    if record.status != "ok":
        return f"failed: {record.error_line}"
    scores = record.scores
    name = "mig" if "mig" in scores else next(iter(scores), None)
    found = "" if name is None else f", {name} {scores[name]:.3f}"
    return f"finished in {duration(sum(record.seconds.values()))}{found}"


def run_trials(
    plan: Sequence[Planned],
    out: Path,
    root: str | None = None,
    *,
    engine: Engine = run_here,
    machine: Machine = ON_THIS_MACHINE,
    keep_failed: bool = False,
) -> Iterator[Record]:
    """Each trial's record: first of those that are finished already, then as they end. Progress goes to the log."""
    jobs: list[Job] = []
    plugins = loaded()
    earlier = Earlier(out)
    for trial, metrics, error, evaluations, schedule in plan:
        try:
            if error is None:
                clear_unopened(trial, out)
            record = finished(
                trial, out, metrics, evaluations, keep_failed=keep_failed, earlier=earlier, schedule=schedule
            )
            if record is None and error is not None:
                record = unopened(trial, out, error)
            if record is None:
                earlier.reuse(trial)
        except NewerRecordError as newer:
            record = refused(trial, newer)
        if record is not None:
            yield record
        else:
            at = written_at(out / trial.id)
            job = Job(trial, out, root, metrics, machine, at, "", evaluations, plugins, schedule)
            jobs.append(job)
    jobs = named(jobs)
    if len(jobs) < len(plan):
        log.info("%d of %d trials need nothing more.", len(plan) - len(jobs), len(plan))
    started, number, total = time.monotonic(), 0, len(jobs)
    steps_run, steps_left = 0, sum(job.trial.steps for job in jobs)
    busy: list[Job] = []
    while jobs or busy:
        if not jobs:
            jobs = free(busy)
            busy = [job for job in busy if job not in jobs]
        for job, record in engine(jobs):
            if record is None:
                busy.append(job)
                continue
            number += 1
            steps_run, steps_left = steps_run + job.trial.steps, steps_left - job.trial.steps
            spent = time.monotonic() - started
            left = f"; about {duration(spent / steps_run * steps_left)} left" if steps_run and steps_left else ""
            name = job.name.partition("] ")[2]
            log.info("[%d/%d] %s: %s%s", number, total, name, outcome(record), left)
            yield record
        jobs = []


def run_suite(
    suite: Suite,
    out: Path,
    root: str | None = None,
    *,
    engine: Engine = run_here,
    machine: Machine = ON_THIS_MACHINE,
    only: Only | None = None,
    keep_failed: bool = False,
) -> Iterable[Record]:
    """Run a suite's trials, or those of them that are wanted, and give each record as it is there."""
    plan = planned(suite, root, only)
    for entry in plan:
        check_shares(entry.trial, machine)
        if engine is run_here:
            check_precision_here(entry.trial.precision)
    plugins = used({part: None for entry in plan for part in entries_of(entry.trial, entry.metrics)})
    for line in begun_with_others(out, plugins):
        log.warning("%s", line)
    decides = suite.model_dump_json(exclude={"plugins", "evaluate_every", "evaluate_rows", "evaluate_metrics"})
    write_plan(suite.name, [entry.trial for entry in plan], out, decides, plugins)
    yield from run_trials(plan, out, root, engine=engine, machine=machine, keep_failed=keep_failed)
