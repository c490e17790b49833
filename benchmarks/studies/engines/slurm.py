"""Run trials on a SLURM cluster through submitit, one task of an array job for each trial. Needs the extra [slurm].

A job that is preempted or reaches its time limit is put back into the queue and goes on from the trial's checkpoint, so the
folder of trials has to be on storage that the nodes reach under the same path. submitit's scripts and logs go to
`.submitit` in it.
"""

import shutil
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from disbench.benchmarks.studies.engines.job import Engine, Job, lost, run_job
from disbench.reports.records import Record

LONGEST_ARRAY = 1000  # SLURM's default MaxArraySize is 1001
MINUTES = 24 * 60  # a job's time limit where none is given; a longer trial is put back into the queue
TIMEOUTS = 1000  # times that a trial may reach it: each time it goes on, so that none is one too many


class Requeued:
    """`run_job`, and what submitit asks before a job is stopped: the same call again, for the checkpoint is in the folder."""

    def __call__(self, job: Job) -> Record | None:
        return run_job(job)

    def checkpoint(self, job: Job) -> Any:
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self, job)


def slurm_engine(
    *,
    workers: int | None = None,
    gpus_per_trial: float = 0.0,
    cpus_per_trial: int = 1,
    settings: Mapping[str, Any] | None = None,
    cluster: str = "slurm",
) -> Engine:
    """workers: trials at once, at most. settings: submitit's names for sbatch's options, such as partition, time (minutes), gres.

    cluster: 'local' runs the jobs as processes of this machine, to try what a cluster would do.
    """
    try:
        import submitit
        from submitit.core.utils import FailedJobError, UncompletedJobError
    except ImportError as error:
        raise ValueError("--engine slurm needs submitit: pip install 'disbench[slurm]'") from error
    if gpus_per_trial != int(gpus_per_trial):
        raise ValueError(
            f"A SLURM job has whole GPUs, got --gpus-per-trial {gpus_per_trial:g}. Take 0, 1, ..., or --engine ray for a share."
        )
    given = {f"slurm_{name}": value for name, value in {"time": MINUTES, **(settings or {})}.items()}
    given |= {"cpus_per_task": cpus_per_trial, "gpus_per_node": int(gpus_per_trial) or None, "name": "disbench"}
    if workers:
        given["slurm_array_parallelism"] = workers

    if cluster == "slurm" and shutil.which("sbatch") is None:
        raise ValueError("--engine slurm needs sbatch, and this machine has none. Start it where you submit jobs.")
    try:  # refused here, not when the datasets have been opened
        submitit.AutoExecutor(".", cluster="debug").update_parameters(**given)
    except (NameError, AssertionError) as error:
        raise ValueError(f"--slurm takes submitit's names for sbatch's options. {error}") from error

    def run(jobs: Sequence[Job]) -> Iterator[tuple[Job, Record | None]]:
        local = cluster == "local"
        at_once = (workers or 1) if local else LONGEST_ARRAY
        for start in range(0, len(jobs), at_once):
            batch = jobs[start : start + at_once]
            executor = submitit.AutoExecutor(
                batch[0].out / ".submitit", cluster=cluster, slurm_max_num_timeout=TIMEOUTS
            )
            executor.update_parameters(**given)
            submitted = executor.map_array(Requeued(), batch)
            asked = dict(zip(submitted, batch, strict=True))
            for done in submitit.helpers.as_completed(submitted, poll_frequency=0.2 if local else 10):
                job = asked[done]
                try:
                    yield job, done.result()
                except FailedJobError as error:
                    raise OSError(f"{job.trial.id}: {error}") from error
                except UncompletedJobError as error:
                    yield job, lost(job, f"its job ended without a result. submitit says: {error}")

    return run
