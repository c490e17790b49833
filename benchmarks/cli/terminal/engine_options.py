"""Options of commands that run many trials: where trials run, and on which devices."""

from typing import TYPE_CHECKING, Annotated

import typer

from disbench.benchmarks.cli.terminal.options import assignments

if TYPE_CHECKING:
    from disbench.benchmarks.studies.engines import Engine

EngineName = Annotated[
    str,
    typer.Option(
        "--engine",
        help="local: in this process. ray: a Ray cluster (RAY_ADDRESS), else this machine's cores and GPUs. slurm: an array job.",
    ),
]
Workers = Annotated[int | None, typer.Option(min=1, help="Most trials at the same time, with --engine ray or slurm.")]
GPUs = Annotated[
    float | None,
    typer.Option(
        "--gpus-per-trial", min=0, help="With ray or slurm. Ray also takes a share: 0.25 puts four trials on a GPU."
    ),
]
CPUs = Annotated[int | None, typer.Option("--cpus-per-trial", min=1, help="With ray or slurm. Default: 1.")]
Slurm = Annotated[
    list[str] | None,
    typer.Option(
        "--slurm", help="An option of sbatch: partition=gpu, time=600 (minutes), gres=gpu:a100:1. Repeatable."
    ),
]
Devices = Annotated[
    int,
    typer.Option(
        min=1,
        help="Devices per trial. Several share each minibatch; this needs a method whose loss is a mean over images.",
    ),
]
Strategy = Annotated[str, typer.Option(help="Lightning's strategy for the device.")]
CheckpointSeconds = Annotated[
    float, typer.Option("--checkpoint-seconds", min=1, help="Time between two checkpoints of a running trial.")
]
Deterministic = Annotated[
    bool, typer.Option("--deterministic", help="Use only deterministic algorithms of torch; slower on a GPU.")
]
Compiler = Annotated[
    str,
    typer.Option(
        "--compile",
        help="Train with compiled networks: inductor or another backend of torch.compile.",
        show_default="none",
    ),
]


def engine_of(
    name: str, workers: int | None, gpus: float | None, cpus: int | None, slurm: list[str] | None
) -> "Engine":
    from disbench.benchmarks.studies.engines import make_engine

    if any(word.startswith("time=") and ":" in word for word in slurm or []):
        raise ValueError("--slurm time=... is in minutes, such as time=600.")
    return make_engine(
        name, workers=workers, gpus_per_trial=gpus, cpus_per_trial=cpus, slurm=assignments(slurm, "--slurm")
    )
