"""Commands for many trials: run a suite, show its status, search hyperparameters of a method."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
import yaml
from pydantic import ValidationError
from rich.live import Live

from disbench.benchmarks.cli.report import show_page
from disbench.benchmarks.cli.terminal import engine_options as engines, options as common
from disbench.benchmarks.cli.terminal.printing import console, say, stopping
from disbench.benchmarks.cli.terminal.study_tables import print_estimates, status_lines
from disbench.benchmarks.runtime.machine import Machine
from disbench.benchmarks.studies.status import changed_plugins, plans_of_one_name, states
from disbench.datasets.wording import did_you_mean, listed, shown

if TYPE_CHECKING:
    from disbench.benchmarks.settings.hyperparameters import Range
    from disbench.benchmarks.studies.run import Only
    from disbench.benchmarks.studies.suite import Suite
    from disbench.benchmarks.studies.tracking import Tracker

suite_app = typer.Typer()
FILTERS = ("method", "dataset", "seed")
WATCH_SECONDS = 2.0

Out = Annotated[Path, typer.Option(help="Folder of trial folders. Finished trials in it are reused.")]


def only_of(words: list[str] | None, suite: "Suite") -> "Only":
    """The values of --only by field; several values of a field are alternatives."""
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


@suite_app.command()
def run(
    suite: Annotated[str, typer.Argument(help="A suite's name (see `disbench list suites`) or a YAML file.")],
    out: Out = Path("runs"),
    data_dir: common.DataDir = None,
    plugin: common.Plugins = None,
    only: Annotated[
        list[str] | None,
        typer.Option("--only", help="Run a part of the suite: method=vae,dataset=dsprites,seed=0. Repeatable."),
    ] = None,
    evaluate_every: common.EvaluateEvery = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the trials with the time and disk space they still need; run none.")
    ] = False,
    keep_failed: Annotated[
        bool, typer.Option("--keep-failed/--retry-failed", help="Whether to skip trials that failed before.")
    ] = False,
    engine: engines.EngineName = "local",
    workers: engines.Workers = None,
    gpus_per_trial: engines.GPUs = None,
    cpus_per_trial: engines.CPUs = None,
    slurm: engines.Slurm = None,
    stack: Annotated[
        int | None,
        typer.Option(min=2, help="Train up to this many seeds of a row as one model, for a GPU. Needs --engine local."),
    ] = None,
    devices: engines.Devices = 1,
    strategy: engines.Strategy = "auto",
    deterministic: engines.Deterministic = False,
    compiler: engines.Compiler = "",
    checkpoint_seconds: engines.CheckpointSeconds = Machine.checkpoint_seconds,
    track: Annotated[
        bool, typer.Option("--track", help="Also write TensorBoard event files of finished trials to OUT/tensorboard.")
    ] = False,
    mlflow: Annotated[
        str | None, typer.Option("--mlflow", help="Also log finished trials to MLflow at this URI.")
    ] = None,
    wandb: Annotated[
        str | None, typer.Option("--wandb", help="Also log finished trials to this project of Weights & Biases.")
    ] = None,
) -> None:
    """Run a suite, then print its table and the path of its page. Run the same command again to resume after a stop.

    You can start this command several times in one folder, on one or more machines: each trial runs only once.
    """
    from disbench.benchmarks.studies.budget import estimates
    from disbench.benchmarks.studies.engines.stacked import stacked_engine
    from disbench.benchmarks.studies.run import planned, run_suite
    from disbench.benchmarks.studies.suite import load_suite
    from disbench.benchmarks.studies.tracking import mlflow_tracker, tensorboard_tracker, wandb_tracker

    with stopping(f"Finished trials are in {out}; run the same command again to resume."):
        loaded = load_suite(suite, data_dir).scored_every(evaluate_every)
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
        trackers += [wandb_tracker(wandb)] if wandb else []
        chosen = engines.engine_of(engine, workers, gpus_per_trial, cpus_per_trial, slurm)
        if stack is not None:
            if engine != "local":
                raise ValueError(f"--stack needs --engine local, got --engine {engine}.")
            if devices > 1:
                raise ValueError(f"--stack trains all seeds on one device, got --devices {devices}.")
            if compiler:
                raise ValueError(f"--stack does not compile networks, got --compile {compiler}. Leave one of them out.")
            chosen = stacked_engine(stack)
        outcomes: dict[str, str] = {}
        for record in run_suite(
            loaded, out, data_dir, engine=chosen, machine=machine, only=wanted, keep_failed=keep_failed
        ):
            outcomes[record.trial.id] = record.status
            if record.status == "ok":
                for tracker in trackers:
                    tracker(record, out)
    show_page(out)
    failed = [name for name, status in outcomes.items() if status == "failed"]
    if failed:
        say(f"{len(failed)} of {len(outcomes)} trials failed: {', '.join(failed)}", err=True)
        raise typer.Exit(1)


@suite_app.command()
def status(
    folder: Annotated[Path, typer.Argument(help="The folder that a suite runs in.")] = Path("runs"),
    watch: Annotated[
        bool, typer.Option("--watch", help="Refresh every two seconds until all trials are done.")
    ] = False,
) -> None:
    """Show the state of the trials in a folder: finished, running (step and time left), failed (reason), waiting."""
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
    except KeyboardInterrupt:
        raise typer.Exit(130) from None


def ranges_of(words: list[str] | None) -> "dict[str, Range]":
    from disbench.benchmarks.settings.hyperparameters import Range
    from disbench.benchmarks.settings.validation import explained

    found = {}
    for name, content in common.assignments(words, "--range").items():
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
        typer.Option("--range", help="A range to search: 'lr={low: 1.0e-4, high: 1.0e-2, log: true}'. Repeatable."),
    ] = None,
    grid: Annotated[
        list[str] | None, typer.Option("--grid", help="Values to search: 'beta=[1, 4, 16]'. Repeatable.")
    ] = None,
    sets: Annotated[
        list[str] | None, typer.Option("--set", help="A fixed hyperparameter, key=value. Repeatable.")
    ] = None,
    metric: Annotated[str, typer.Option(help="The metric whose mean over the seeds is optimized.")] = "mig",
    settings: common.MetricSettings = None,
    seeds: Annotated[str, typer.Option(help="Comma-separated; use other seeds than for your final results.")] = "10,11",
    trials: Annotated[int, typer.Option(min=1, help="Settings to try in total, including earlier calls.")] = 20,
    batch_size: Annotated[int, typer.Option(min=2, help="Images in a minibatch.")] = 64,
    precision: Annotated[str, typer.Option(help="Precision of Lightning: 32-true, bf16-mixed, ...")] = "32-true",
    rows: Annotated[int, typer.Option(min=2, help="Largest number of rows to encode and score.")] = 100_000,
    evaluate_every: common.EvaluateEvery = None,
    select: common.Select = None,
    options: common.DatasetOptions = None,
    data_dir: common.DataDir = None,
    plugin: common.Plugins = None,
    out: Out = Path("runs/search"),
    at_once: Annotated[int, typer.Option(min=1, help="Settings proposed together, for --engine ray or slurm.")] = 1,
    engine: engines.EngineName = "local",
    workers: engines.Workers = None,
    gpus_per_trial: engines.GPUs = None,
    cpus_per_trial: engines.CPUs = None,
    slurm: engines.Slurm = None,
    deterministic: engines.Deterministic = False,
    compiler: engines.Compiler = "",
    checkpoint_seconds: engines.CheckpointSeconds = Machine.checkpoint_seconds,
) -> None:
    """Search hyperparameters of a method for the best mean of one metric, with Optuna. Run the command again to resume."""
    from disbench.benchmarks.plugins.packages import require
    from disbench.benchmarks.settings.hyperparameters import renamed
    from disbench.benchmarks.settings.trial_settings import check_precision_here, checked_trial
    from disbench.benchmarks.studies.search import Search, best, run_search, seeds_of

    with stopping(f"Tried settings are in {out}; run the same command again to resume."):
        require("metric", metric)
        own = common.metric_settings(settings)
        if strange := set(own) - {metric}:
            raise ValueError(f"--metric-option sets {', '.join(strange)}, the metric is {metric}.")
        given = {"method": method, "dataset": dataset, "steps": steps, "batch_size": batch_size}
        given |= {"precision": precision, "rows": rows}
        base, _ = checked_trial(common.trial_settings(sets, options, select, **given), data_dir)
        if engine == "local":
            check_precision_here(base.precision)
        wanted = Search(
            base=base.model_copy(update={"dataset_version": ""}),
            seeds=seeds_of(seeds),
            metrics={metric: own.get(metric, {})},
            grid=renamed(method, common.assignments(grid, "--grid")),
            ranges=renamed(method, ranges_of(ranges)),
            schedule=common.schedule_of(evaluate_every, None, metric if evaluate_every else None, own, steps),
        )
        found = []
        for setting in run_search(
            wanted,
            out,
            data_dir,
            settings=trials,
            at_once=at_once,
            engine=engines.engine_of(engine, workers, gpus_per_trial, cpus_per_trial, slurm),
            machine=Machine(deterministic=deterministic, compiler=compiler, checkpoint_seconds=checkpoint_seconds),
        ):
            found.append(setting)
            score = setting.reason if setting.value is None else f"{metric} {setting.value:.4f}"
            say(f"{setting.number + 1:>3}  {inline(setting.hparams)}  {score}")
    winner = best(found, metric)
    if winner is None:
        say(f"None of {len(found)} settings has a score. The reasons: disbench status {out}", err=True)
        raise typer.Exit(1)
    say(f"Best of {len(found)} settings, mean {metric} {winner.value:.4f} on seeds {seeds}. In a suite's methods:")
    say(f"- {{name: {method}, hparams: {inline({**wanted.base.hparams, **winner.hparams})}}}")


def inline(content: dict[str, Any]) -> str:
    """A mapping as one line of YAML."""
    return yaml.safe_dump(content, default_flow_style=True, width=10**6, sort_keys=False).strip()
