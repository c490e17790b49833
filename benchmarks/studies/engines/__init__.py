"""Engines, which run trials. An engine takes jobs and returns each with its record, in order of completion.

    local  in this process, one after the other
    ray    a Ray cluster, or the cores and GPUs of this machine
    slurm  an array job of a SLURM cluster

None of them schedules anything itself, and none keeps state: what was done is in the folder of trials, so any of them, or
several at once, may continue what another began.
"""

from collections.abc import Mapping
from typing import Any

from disbench.benchmarks.studies.engines.job import Engine, Job, opened, run_job, unopened
from disbench.benchmarks.studies.engines.local import run_here
from disbench.benchmarks.studies.engines.ray import ray_engine
from disbench.benchmarks.studies.engines.slurm import slurm_engine
from disbench.datasets.wording import did_you_mean, shown

__all__ = ["ENGINES", "Engine", "Job", "make_engine", "opened", "run_here", "run_job", "unopened"]

ENGINES = ("local", "ray", "slurm")


def make_engine(
    name: str = "local",
    *,
    workers: int | None = None,
    gpus_per_trial: float | None = None,
    cpus_per_trial: int | None = None,
    slurm: Mapping[str, Any] | None = None,
) -> Engine:
    """The engine of that name. Raises ValueError for one that there is not, that is not installed, or that lacks a setting."""
    if name not in ENGINES:
        raise ValueError(f"--engine takes {', '.join(ENGINES)}, got {shown(name)}.{did_you_mean(name, ENGINES)}")
    if slurm and name != "slurm":
        raise ValueError(f"--slurm sets options of --engine slurm, got --engine {name}.")
    if name == "local":
        if (workers or 1) > 1 or gpus_per_trial is not None or cpus_per_trial is not None:
            raise ValueError(
                "--engine local runs one trial at a time in this process and has no --workers, --gpus-per-trial or "
                "--cpus-per-trial. Take --engine ray, or start the same command several times: each trial is run once."
            )
        return run_here
    share: dict[str, Any] = {
        "workers": workers,
        "gpus_per_trial": gpus_per_trial or 0.0,
        "cpus_per_trial": cpus_per_trial or 1,
    }
    if name == "ray":
        return ray_engine(**share)
    return slurm_engine(**share, settings=slurm)
