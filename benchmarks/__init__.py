"""Run trials: train, encode, score, record."""

from typing import TYPE_CHECKING, Any

from disbench.datasets.moved import MovedModules

if TYPE_CHECKING:
    from disbench.benchmarks.methods import METHODS

__all__ = ["METHODS"]


def __getattr__(name: str) -> Any:
    """METHODS once it is asked for: it takes torch, and a command that trains nothing starts without."""
    if name == "METHODS":
        from disbench.benchmarks.methods import METHODS

        return METHODS
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


MovedModules(
    "disbench.benchmarks",
    {
        "cli": "data_facts",
        "cli.terminal": "options",
        "runtime": "allocator environment locks machine seeds",
        "settings": "choices hyperparameters",
        "studies": "engines run search status suite tracking",
        "training": "checkpoint position",
        "trials": "encode profile score trial",
    },
    {
        "compiled": "benchmarks.training.experimental.compiled",
        "data_cli": "benchmarks.cli.data",
        "devices": "benchmarks.training.experimental.data_parallel",
        "engines.job": "benchmarks.studies.engines.job",
        "engines.local": "benchmarks.studies.engines.local",
        "engines.ray": "benchmarks.studies.engines.ray",
        "engines.slurm": "benchmarks.studies.engines.slurm",
        "engines.stacked": "benchmarks.studies.engines.stacked",
        "estimate": "benchmarks.studies.budget",
        "estimators_cli": "benchmarks.cli.timing",
        "faults": "benchmarks.runtime.failures",
        "profile_cli": "benchmarks.cli.timing",
        "quality": "benchmarks.trials.reconstruction",
        "report_cli": "benchmarks.cli.report",
        "scores_cli": "benchmarks.cli.scores",
        "stacked": "benchmarks.training.experimental.seed_ensemble",
        "suite_cli": "benchmarks.cli.suite",
        "train": "benchmarks.training.loop",
        "traverse": "benchmarks.trials.traversals",
        "views": "metrics.views",
    },
).install()
