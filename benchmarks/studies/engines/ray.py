"""Run trials on a Ray cluster, or on the cores and GPUs of this machine through Ray. Needs the extra [ray].

The cluster is that of RAY_ADDRESS, else one on this machine. A trial is a Ray task: Ray places it, several on one GPU where
each asks for a fraction, and starts it again on another node when its own is lost. There it goes on from its checkpoint, so the
folder of trials has to be on storage that every node reaches under the same path.
"""

import logging
import os
from collections.abc import Iterator, Sequence
from typing import Any

from disbench.benchmarks.studies.engines.job import Engine, Job, lost, run_job
from disbench.reports.records import Record

AT_ONCE = 1000  # tasks that Ray is given at once, at most, so that a long study stays cheap to watch


def ray_engine(
    *, workers: int | None = None, gpus_per_trial: float = 0.0, cpus_per_trial: int = 1, retries: int = 3
) -> Engine:
    """workers: trials at once, at most; None leaves it to the cluster. retries: of a trial whose worker or node is lost."""
    try:
        import ray
        from ray.exceptions import RayError, RayTaskError
    except ImportError as error:
        raise ValueError("--engine ray needs Ray: pip install 'disbench[ray]'") from error

    def run(jobs: Sequence[Job]) -> Iterator[tuple[Job, Record | None]]:
        if not ray.is_initialized():
            ray.init(address=os.environ.get("RAY_ADDRESS"), log_to_driver=False, logging_level=logging.WARNING)
        # What goes wrong in a trial is its record. Ray starts a task again where its worker or node is lost.
        task = ray.remote(run_job).options(num_gpus=gpus_per_trial, num_cpus=cpus_per_trial, max_retries=retries)
        waiting = iter(jobs)
        running: dict[Any, Job] = {}
        at_once = min(workers or AT_ONCE, AT_ONCE)
        while True:
            for job in waiting:
                running[task.remote(job)] = job
                if len(running) >= at_once:
                    break
            if not running:
                return
            (done,), _ = ray.wait(list(running), num_returns=1)
            job = running.pop(done)
            try:
                yield job, ray.get(done)
            except RayTaskError:
                raise  # it is of the raised error's type, too: a full disk stops the run, as it does in process
            except RayError as error:
                yield job, lost(job, f"its worker died, {retries + 1} times in all. Ray says: {error}")

    return run
