"""The commands about many trials: run a suite, see how far it is, search a method's hyperparameters."""

import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
import yaml
from pydantic import ValidationError
from rich.console import Group, RenderableType
from rich.live import Live
from rich.text import Text

from disbench.benchmarks.cli.report import show_page
from disbench.benchmarks.cli.terminal.options import (
    DataDir,
    DatasetOptions,
    MetricSettings,
    Plugins,
    Select,
    assignments,
    dataset_options,
)
from disbench.benchmarks.cli.terminal.options import metric_settings as settings_of_metrics
from disbench.benchmarks.cli.terminal.printing import console, fail, say
from disbench.benchmarks.cli.terminal.table_style import table as new_table
from disbench.benchmarks.runtime.machine import Machine
from disbench.benchmarks.studies.status import Row, State, TrialState, changed_plugins, plans_of_one_name, rows, states
from disbench.datasets.wording import did_you_mean, listed, shown

if TYPE_CHECKING:
    from disbench.benchmarks.settings.hyperparameters import Range
    from disbench.benchmarks.studies.budget import Estimate
    from disbench.benchmarks.studies.engines import Engine
    from disbench.benchmarks.studies.run import Only
    from disbench.benchmarks.studies.suite import Suite
    from disbench.benchmarks.studies.tracking import Tracker

suite_app = typer.Typer()
FILTERS = ("method", "dataset", "seed")
WATCH_SECONDS = 2.0
SHOWN = 10  # trials that are named one by one, of each state

Out = Annotated[Path, typer.Option(help="Folder of trial folders; finished trials in it are kept.")]
EngineName = Annotated[
    str,
    typer.Option(
        "--engine",
        help="local: in this process. ray: a Ray cluster (RAY_ADDRESS), else this machine's cores and GPUs. slurm: an array job.",
    ),
]
Workers = Annotated[int | None, typer.Option(min=1, help="Trials at once, at most, of --engine ray or slurm.")]
GPUs = Annotated[
    float | None,
    typer.Option("--gpus-per-trial", min=0, help="Of ray or slurm. With ray a share, too: 0.25 puts four on one."),
]
CPUs = Annotated[int | None, typer.Option("--cpus-per-trial", min=1, help="Of ray or slurm. Default: 1.")]
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
        help="Devices of one trial. Several share each minibatch; only methods whose loss is a mean over images allow it.",
    ),
]
Strategy = Annotated[str, typer.Option(help="Lightning's way to use the device.")]
CheckpointSeconds = Annotated[
    float, typer.Option("--checkpoint-seconds", min=1, help="Time between two checkpoints of a running trial.")
]
Deterministic = Annotated[
    bool, typer.Option("--deterministic", help="Deterministic algorithms of torch alone; slower on a GPU.")
]
Compiler = Annotated[
    str,
    typer.Option(
        "--compile",
        help="Train with compiled networks: inductor or another backend of torch.compile's.",
        show_default="none",
    ),
]


def only_of(words: list[str] | None, suite: "Suite") -> "Only":
    """--only's words by field; several values of one field are alternatives."""
    found: dict[str, set[str]] = {}
    for word in ",".join(words or []).split(","):
        if not word.strip():
            continue
        field, equals, value = (part.strip() for part in word.partition("="))
        if not equals or field not in FILTERS:
            needed = ", ".join(f"{name}=..." for name in FILTERS)
            raise ValueError(f"--only needs {needed}, got {shown(word)}.{did_you_mean(field, FILTERS)}")
        known = {
            "method": {entry.name for entry in suite.methods} | ({"vae"} if suite.untrained else set()),
            "dataset": {entry.name for entry in suite.datasets},
            "seed": {str(seed) for seed in suite.seeds},
        }[field]
        if value not in known:
            names = sorted(known)
            raise ValueError(
                f"--only {shown(word.strip())}: the suite has the {field}s {listed(names)}.{did_you_mean(value, names)}"
            )
        found.setdefault(field, set()).add(value)
    return found


def hours(seconds: float | None) -> str:
    if seconds is None:
        return "?"
    return f"{seconds / 3600:.1f} h" if seconds >= 3600 else f"{seconds / 60:.1f} min"


def megabytes(size: float | None) -> str:
    if size is None:
        return "?"
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.0f} MB"


def print_estimates(found: "list[Estimate]") -> None:
    for dataset in dict.fromkeys(row.dataset for row in found):
        table = new_table("method", "steps", "trials", "finished", "time left", "disk", "from", title=dataset)
        for row in (row for row in found if row.dataset == dataset):
            method = row.method if row.steps else f"untrained {row.method}"
            numbers = [f"{number:,}" for number in (row.steps, row.trials, row.trials - row.left)]
            table.add_row(method, *numbers, hours(row.seconds), megabytes(row.size), Text(row.source or "–"))
        console.print(table)
    seconds, size = sum(row.seconds or 0.0 for row in found), sum(row.size or 0.0 for row in found)
    trials, left = sum(row.trials for row in found), sum(row.left for row in found)
    say(
        f"{trials} trials, {trials - left} finished. The other {left} take {hours(seconds)} one at a time on a machine such as "
        f"the one measured, and {megabytes(size)}. Nothing was run."
    )
    if unknown := [row for row in found if row.seconds is None]:
        names = ", ".join(f"{row.method} on {row.dataset}" for row in unknown)
        say(f"Not counted, because it cannot be measured: {names}.")


@suite_app.command()
def run(
    suite: Annotated[str, typer.Argument(help="A suite's name (see `disbench list suites`) or a YAML file.")],
    out: Out = Path("runs"),
    data_dir: DataDir = None,
    plugin: Plugins = None,
    only: Annotated[
        list[str] | None, typer.Option("--only", help="A part of it: method=vae,dataset=dsprites,seed=0. Repeatable.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print its trials, and the hours and disk that are left; run none.")
    ] = False,
    keep_failed: Annotated[
        bool, typer.Option("--keep-failed/--retry-failed", help="Whether trials that failed before are left so.")
    ] = False,
    engine: EngineName = "local",
    workers: Workers = None,
    gpus_per_trial: GPUs = None,
    cpus_per_trial: CPUs = None,
    slurm: Slurm = None,
    stack: Annotated[
        int | None,
        typer.Option(
            min=2, help="Train up to so many seeds of a row as one model, meant for a GPU. --engine local alone."
        ),
    ] = None,
    devices: Devices = 1,
    strategy: Strategy = "auto",
    deterministic: Deterministic = False,
    compiler: Compiler = "",
    checkpoint_seconds: CheckpointSeconds = Machine.checkpoint_seconds,
    track: Annotated[
        bool, typer.Option("--track", help="Also write finished trials as TensorBoard event files, to OUT/tensorboard.")
    ] = False,
    mlflow: Annotated[
        str | None, typer.Option("--mlflow", help="Also log finished trials to MLflow at this URI.")
    ] = None,
) -> None:
    """Run a suite, then print its table and the path of its page. Run the same command again to go on after a stop.

    Each trial is run once, however many of these commands work in one folder, on one machine or on several that share it.
    """
    from disbench.benchmarks.studies.budget import estimates
    from disbench.benchmarks.studies.engines.stacked import stacked_engine
    from disbench.benchmarks.studies.run import planned, run_suite
    from disbench.benchmarks.studies.suite import load_suite
    from disbench.benchmarks.studies.tracking import mlflow_tracker, tensorboard_tracker

    try:
        loaded = load_suite(suite, data_dir)
        wanted = only_of(only, loaded)
        machine = Machine(
            devices=devices,
            strategy=strategy,
            deterministic=deterministic,
            compiler=compiler,
            checkpoint_seconds=checkpoint_seconds,
        )
        if dry_run:
            print_estimates(estimates(planned(loaded, data_dir, wanted), out, data_dir, machine))
            return
        trackers: list[Tracker] = [tensorboard_tracker()] if track else []
        trackers += [mlflow_tracker(mlflow, loaded.name)] if mlflow else []
        chosen = engine_of(engine, workers, gpus_per_trial, cpus_per_trial, slurm)
        if stack is not None:
            if engine != "local":
                raise ValueError(f"--stack trains in this process alone (--engine local), got --engine {engine}.")
            if devices > 1:
                raise ValueError(f"--stack has one device for all its seeds, got --devices {devices}.")
            if compiler:
                raise ValueError(f"--stack compiles no network, got --compile {compiler}.")
            chosen = stacked_engine(stack)
        outcomes: dict[str, str] = {}
        for record in run_suite(
            loaded, out, data_dir, engine=chosen, machine=machine, only=wanted, keep_failed=keep_failed
        ):
            outcomes[record.trial.id] = record.status
            if record.status == "ok":
                for tracker in trackers:
                    tracker(record, out)
    except (ValueError, OSError) as error:
        raise fail(error) from error
    except (KeyboardInterrupt, SystemExit):
        say(f"\nStopped. What was finished is in {out}; run the same command again to go on.", err=True)
        raise typer.Exit(130) from None
    show_page(out)
    failed = [name for name, status in outcomes.items() if status == "failed"]
    if failed:
        say(f"{len(failed)} of {len(outcomes)} trials failed: {', '.join(failed)}", err=True)
        raise typer.Exit(1)


def engine_of(
    name: str, workers: int | None, gpus: float | None, cpus: int | None, slurm: list[str] | None
) -> "Engine":
    from disbench.benchmarks.studies.engines import ENGINES, make_engine

    if name not in ENGINES:
        raise ValueError(f"--engine takes {', '.join(ENGINES)}, got {shown(name)}.{did_you_mean(name, ENGINES)}")
    if any(word.startswith("time=") and ":" in word for word in slurm or []):
        raise ValueError("--slurm time=... is in minutes, such as time=600.")
    return make_engine(
        name, workers=workers, gpus_per_trial=gpus, cpus_per_trial=cpus, slurm=assignments(slurm, "--slurm")
    )


def status_lines(found: list[TrialState]) -> RenderableType:
    """A table of rows a data set, then each running trial and each that failed."""
    grouped = rows(found)
    parts: list[RenderableType] = []
    for dataset in dict.fromkeys(row.dataset for row in grouped):
        table = new_table("row", "finished", "running", "failed", "waiting", title=dataset)
        for row in (row for row in grouped if row.dataset == dataset):
            kinds: list[tuple[State, ...]] = [("finished",), ("running",), ("failed",), ("waiting", "stopped")]
            table.add_row(Text(row.label), *(str(row.count(*kind) or "–") for kind in kinds))
        parts.append(table)
    labels = {state.folder: row for row in grouped for state in row.trials}
    for kind in ("running", "stopped", "failed", "unreadable"):
        told = [state for state in found if state.state == kind]
        parts += [Text(state_line(state, labels.get(state.folder))) for state in told[:SHOWN]]
        if len(told) > SHOWN:
            parts.append(Text(f"{kind}: {len(told) - SHOWN} more"))
    totals = Counter(state.state for state in found)
    parts.append(Text(f"{len(found)} trials: " + ", ".join(f"{count} {kind}" for kind, count in totals.items())))
    return Group(*parts)


def state_line(state: TrialState, row: Row | None) -> str:
    if state.trial is None or row is None:
        return f"{state.state}: {state.folder}: {state.reason}"
    words = f"{state.state}: {row.dataset}, {row.label}, seed {state.trial.seed}"
    if state.step is not None and state.state in ("running", "stopped"):
        words += f", step {state.step:,} of {state.trial.steps:,}"
    if state.seconds_left is not None:
        words += f", {hours(state.seconds_left)} left"
    return f"{words}: {state.reason}" if state.reason else words


@suite_app.command()
def status(
    folder: Annotated[Path, typer.Argument(help="The folder that a suite runs in.")] = Path("runs"),
    watch: Annotated[
        bool, typer.Option("--watch", help="Look again every two seconds until nothing is left to do.")
    ] = False,
) -> None:
    """How far the trials in a folder are: finished, running with step and time left, failed and why, waiting."""
    try:
        found = states(folder)
        if not watch:
            console.print(status_lines(found))
            if any(state.state == "waiting" for state in found):
                for line in plans_of_one_name(folder):
                    say(line)
            for line in changed_plugins(folder, found):
                say(line)
            return
        with Live(status_lines(found), console=console, auto_refresh=False) as live:
            while any(state.state in ("running", "stopped", "waiting") for state in found):
                time.sleep(WATCH_SECONDS)
                found = states(folder)
                live.update(status_lines(found), refresh=True)
    except (OSError, ValueError) as error:
        raise fail(error) from error
    except KeyboardInterrupt:
        raise typer.Exit(130) from None


def ranges_of(words: list[str] | None) -> "dict[str, Range]":
    from disbench.benchmarks.settings.hyperparameters import Range
    from disbench.benchmarks.settings.validation import explained

    found = {}
    for name, content in assignments(words, "--range").items():
        try:
            found[name] = Range.model_validate(content)
        except ValidationError as error:
            raise ValueError(
                f"--range {name} needs {{low: ..., high: ..., log: true or false}}. {explained(error)}"
            ) from error
    return found


@suite_app.command()
def search(
    method: Annotated[str, typer.Argument(help="See `disbench list methods`.")],
    dataset: Annotated[str, typer.Argument(help="See `disbench list datasets`.")],
    steps: Annotated[int, typer.Option(min=1, help="Calls of training_step, of each trial.")],
    ranges: Annotated[
        list[str] | None,
        typer.Option("--range", help="What is searched: 'lr={low: 1.0e-4, high: 1.0e-2, log: true}'. Repeatable."),
    ] = None,
    grid: Annotated[
        list[str] | None, typer.Option("--grid", help="What is searched, by its values: 'beta=[1, 4, 16]'. Repeatable.")
    ] = None,
    sets: Annotated[
        list[str] | None, typer.Option("--set", help="A hyperparameter that is fixed, key=value. Repeatable.")
    ] = None,
    metric: Annotated[str, typer.Option(help="The metric whose mean over the seeds is to be best.")] = "mig",
    settings: MetricSettings = None,
    seeds: Annotated[
        str, typer.Option(help="Comma-separated; others than those of the results that are to come.")
    ] = "10,11",
    trials: Annotated[int, typer.Option(min=1, help="Settings that are tried in all, earlier calls included.")] = 20,
    batch_size: Annotated[int, typer.Option(min=2, help="Images in a minibatch.")] = 64,
    precision: Annotated[str, typer.Option(help="Lightning's: 32-true, bf16-mixed, ...")] = "32-true",
    rows: Annotated[int, typer.Option(min=2, help="Rows encoded and scored, at most.")] = 100_000,
    select: Select = None,
    options: DatasetOptions = None,
    data_dir: DataDir = None,
    plugin: Plugins = None,
    out: Out = Path("runs/search"),
    at_once: Annotated[
        int, typer.Option(min=1, help="Settings that are proposed together, for --engine ray or slurm.")
    ] = 1,
    engine: EngineName = "local",
    workers: Workers = None,
    gpus_per_trial: GPUs = None,
    cpus_per_trial: CPUs = None,
    slurm: Slurm = None,
    deterministic: Deterministic = False,
    compiler: Compiler = "",
    checkpoint_seconds: CheckpointSeconds = Machine.checkpoint_seconds,
) -> None:
    """Search a method's hyperparameters for the best mean of one metric, with Optuna. The same command again goes on."""
    from disbench.benchmarks.plugins.packages import require
    from disbench.benchmarks.settings.trial_settings import check_precision_here, checked_trial
    from disbench.benchmarks.studies.search import Search, best, run_search, seeds_of

    try:
        require("metric", metric)
        own = settings_of_metrics(settings)
        if strange := set(own) - {metric}:
            raise ValueError(f"--metric-option sets {', '.join(strange)}, the metric is {metric}.")
        base, _ = checked_trial(
            {
                "method": method,
                "dataset": dataset,
                "dataset_options": dataset_options(options, select),
                "steps": steps,
                "batch_size": batch_size,
                "precision": precision,
                "rows": rows,
                "hparams": assignments(sets, "--set"),
            },
            data_dir,
        )
        if engine == "local":
            check_precision_here(base.precision)
        wanted = Search(
            base=base.model_copy(update={"dataset_version": ""}),
            seeds=seeds_of(seeds),
            metrics={metric: own.get(metric, {})},
            grid=assignments(grid, "--grid"),
            ranges=ranges_of(ranges),
        )
        found = []
        for setting in run_search(
            wanted,
            out,
            data_dir,
            settings=trials,
            at_once=at_once,
            engine=engine_of(engine, workers, gpus_per_trial, cpus_per_trial, slurm),
            machine=Machine(deterministic=deterministic, compiler=compiler, checkpoint_seconds=checkpoint_seconds),
        ):
            found.append(setting)
            score = setting.reason if setting.value is None else f"{metric} {setting.value:.4f}"
            say(f"{setting.number + 1:>3}  {inline(setting.hparams)}  {score}")
    except (ValueError, OSError) as error:
        raise fail(error) from error
    except (KeyboardInterrupt, SystemExit):
        say(f"\nStopped. What was tried is in {out}; run the same command again to go on.", err=True)
        raise typer.Exit(130) from None
    winner = best(found, metric)
    if winner is None:
        say(f"None of {len(found)} settings has a score: disbench status {out} says why.", err=True)
        raise typer.Exit(1)
    say(f"Best of {len(found)} settings, mean {metric} {winner.value:.4f} on seeds {seeds}. In a suite's methods:")
    say(f"- {{name: {method}, hparams: {inline({**wanted.base.hparams, **winner.hparams})}}}")


def inline(content: dict[str, Any]) -> str:
    """A mapping as YAML in one line."""
    return yaml.safe_dump(content, default_flow_style=True, width=10**6, sort_keys=False).strip()
