"""Run the trials of a suite. A failing trial does not stop the rest."""

import logging
import time
from collections.abc import Iterable
from pathlib import Path

from disbench.benchmarks.suite import Suite
from disbench.benchmarks.trial import MetricOptions, existing_record, run_trial
from disbench.datasets import FactorDataset, load
from disbench.reports.records import Record, Trial, write_record

log = logging.getLogger(__name__)


def run_suite(suite: Suite, out: Path, root: str | None = None) -> Iterable[Record]:
    """Run every trial of a suite in turn, yielding each record as it is there. Progress goes to the log."""
    plan: list[tuple[Trial, FactorDataset | Exception, MetricOptions]] = []
    for entry in suite.datasets:
        try:
            dataset = load(entry.name, root, **entry.options)
            plan += [(trial, dataset, suite.metrics_of(entry)) for trial in suite.trials(entry, dataset.version)]
        except (OSError, ValueError, TypeError) as error:
            log.error("%s cannot be opened: %s", entry.name, error)
            plan += [(trial, error, {}) for trial in suite.trials(entry, "not opened")]
    finished = {trial.id for trial, *_ in plan if existing_record(out / trial.id) is not None}
    steps_left = sum(trial.steps for trial, *_ in plan if trial.id not in finished)
    steps_run, seconds_run = 0, 0.0
    for number, (trial, opened, metrics) in enumerate(plan, 1):
        log.info("[%d/%d] %s", number, len(plan), trial.id)
        started = time.monotonic()
        if isinstance(opened, Exception):
            record = Record(trial=trial, status="failed", error=str(opened))
            write_record(record, out / trial.id)
        else:
            record = run_trial(trial, opened, out, metrics)
        seconds = time.monotonic() - started
        if trial.id in finished:
            log.info("      was there already")
        else:
            steps_left -= trial.steps
            steps_run += trial.steps
            seconds_run += seconds
            minutes = seconds_run / max(1, steps_run) * steps_left / 60
            left = f", about {minutes:.0f} min left" if steps_run and steps_left else ""
            log.info("      %s in %.0f s%s", record.status, seconds, left)
        yield record
