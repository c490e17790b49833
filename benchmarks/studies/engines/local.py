"""Run trials in this process, one after the other."""

from collections.abc import Iterator, Sequence

from disbench.benchmarks.studies.engines.job import Job, run_job
from disbench.reports.records import Record


def run_here(jobs: Sequence[Job]) -> Iterator[tuple[Job, Record | None]]:
    for job in jobs:
        yield job, run_job(job)
