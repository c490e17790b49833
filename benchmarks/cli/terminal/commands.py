"""Shared behavior of commands: a first line within a second, a fast start, and examples in the help."""

import atexit
import functools
import gc
import inspect
import logging
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import Any, NamedTuple

import typer
from typer.models import CommandInfo

log = logging.getLogger(__name__)
TRIALS = (
    "disbench.benchmarks.trials.trial",
    "disbench.benchmarks.settings.hyperparameters",
    "disbench.benchmarks.studies.suite",
)
SCORES = ("disbench.benchmarks.trials.score", "disbench.benchmarks.cli.scores")
PAGES = ("disbench.reports.tables.aggregate", "disbench.reports.page.render", "disbench.reports.tables.text")
DATASETS = ("disbench.benchmarks.cli.data_facts",)


class Command(NamedTuple):
    """example: a command line. writes: what the command leaves on the disk. loads: modules that take a second or more."""

    example: str
    writes: str
    loads: Sequence[str] = ()


NOTHING = "Writes nothing."
COMMANDS = {
    "list": Command("disbench list methods", NOTHING),
    "train": Command(
        "disbench train --method beta_vae --dataset dsprites_like --steps 2000 --set beta=4",
        "Writes a folder for the trial in --out: record.json (scores), codes.h5 (codes and factors), model.ckpt "
        "(checkpoint) and pictures.",
        (*TRIALS, *SCORES),
    ),
    "evaluate": Command(
        "disbench evaluate runs/train/TRIAL/model.ckpt --metrics mig,dci_disentanglement",
        "Writes nothing, or with --add the scores into each record.json.",
        (*TRIALS, *SCORES),
    ),
    "traverse": Command(
        "disbench traverse runs/train/TRIAL/model.ckpt -o traversal.png", "Writes one picture.", TRIALS
    ),
    "score": Command(
        "disbench score codes.npz --metrics mig,dci_disentanglement --confidence",
        "Writes nothing, or one picture with --picture.",
        SCORES,
    ),
    "estimators": Command(
        "disbench estimators --profile quick",
        "Writes estimators.json and estimators.html to --out.",
        ("disbench.benchmarks.estimators.study",),
    ),
    "profile": Command(
        "disbench profile --method factor_vae --dataset dsprites_like",
        NOTHING,
        ("disbench.benchmarks.trials.profile",),
    ),
    "run": Command(
        "disbench run quick --out runs",
        "Writes to --out a folder for each trial, the suite's plan in plans/ and the page leaderboard.html.",
        (*TRIALS, "disbench.benchmarks.studies.run", "disbench.benchmarks.studies.budget", *PAGES),
    ),
    "status": Command("disbench status runs --watch", NOTHING),
    "search": Command(
        "disbench search beta_vae dsprites_like --steps 2000 --range 'beta={low: 1, high: 16, log: true}'",
        "Writes to --out a folder for each trial and the search's own state.",
        (*TRIALS, "disbench.benchmarks.studies.search"),
    ),
    "report": Command("disbench report runs", "Writes leaderboard.html to the folder, or to --output.", PAGES),
    "export": Command(
        "disbench export runs --format latex -o table.tex",
        "Writes the table to --output, by default to the terminal.",
        ("disbench.reports.tables.aggregate", "disbench.reports.export"),
    ),
    "compare": Command(
        "disbench compare beta_vae factor_vae runs",
        NOTHING,
        ("disbench.reports.tables.aggregate", "disbench.reports.comparison"),
    ),
    "select": Command(
        "disbench select runs --metrics mig",
        "Writes selection.json to the folder, or to --output.",
        ("disbench.benchmarks.studies.selection", "disbench.reports.tables.aggregate"),
    ),
    "merge": Command("disbench merge all mine/runs yours/runs", "Writes a copy of each trial to the first folder."),
    "metrics stress": Command(
        "disbench metrics stress --metrics mig,dci_disentanglement",
        "Writes one page, by default runs/stress.html; nothing with --json or --csv and without --out.",
        ("disbench.metrics.stress", "disbench.reports.stress", "disbench.benchmarks.cli.scores"),
    ),
    "data list": Command("disbench data list", NOTHING, DATASETS),
    "data info": Command("disbench data info dsprites", NOTHING, DATASETS),
    "data download": Command("disbench data download dsprites", "Writes the dataset's files to --data-dir.", DATASETS),
    "data verify": Command("disbench data verify dsprites", NOTHING, DATASETS),
    "data import": Command(
        "disbench data import pictures/ --name mine --factors factors.csv",
        "Writes the dataset to --data-dir, under imported/.",
    ),
    "data preview": Command("disbench data preview dsprites_like", "Writes two pictures to --out.", DATASETS),
}


def our_version() -> str:
    try:
        return version("disbench")
    except PackageNotFoundError:  # a folder on the path, not installed
        return "unknown"


@contextmanager
def without_garbage_collection() -> Iterator[None]:
    """Import without looking for garbage: of a million new objects none is, and looking takes a fifth of the time."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()  # what was imported stays until the end of the process
        if enabled:
            gc.enable()


def load(modules: Sequence[str]) -> None:
    """Import the modules of a command; the log says so where that takes a while."""
    if all(name in sys.modules for name in modules):
        return
    log.info("disbench %s: loading modules", our_version())
    with without_garbage_collection():
        for name in modules:
            import_module(name)


def quick_exit() -> None:
    """Skip the last search for garbage of the process, which takes as long as a small import."""
    atexit.unregister(gc.freeze)
    atexit.register(gc.freeze)


def complete(app: typer.Typer, prefix: str = "") -> None:
    """Give every command of `app` its example, what it writes, and its modules before it runs."""
    for info in app.registered_commands:
        _complete(info, prefix)
    for group in app.registered_groups:
        if group.typer_instance is not None:
            complete(group.typer_instance, f"{group.name} " if isinstance(group.name, str) else "")


def _complete(info: CommandInfo, prefix: str) -> None:
    function = info.callback
    if function is None:
        return
    name = prefix + (info.name or function.__name__.rstrip("_"))
    command = COMMANDS[name]
    info.epilog = f"{command.writes}\n\nExample: {command.example}"
    if command.loads or "plugin" in inspect.signature(function).parameters:
        info.callback = _loading(function, command.loads)


def _loading(function: Callable[..., Any], modules: Sequence[str]) -> Callable[..., Any]:
    @functools.wraps(function)
    def run(*arguments: Any, **keywords: Any) -> Any:
        load(modules)
        if words := keywords.get("plugin"):
            from disbench.benchmarks.plugins.files import load_plugin

            for word in words:
                load_plugin(word)
        return function(*arguments, **keywords)

    return run
