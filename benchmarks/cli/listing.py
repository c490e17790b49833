"""`disbench list`: methods, metrics, datasets and suites. `disbench metrics stress`: what each metric sees."""

import json
import shlex
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Column, Table
from rich.text import Text

from disbench.benchmarks.cli.terminal.commands import load
from disbench.benchmarks.cli.terminal.options import Plugins
from disbench.benchmarks.cli.terminal.printing import console, fail, new_table, say, write_file
from disbench.datasets.wording import did_you_mean, shown

metrics_app = typer.Typer(help="What each metric sees, on synthetic encoders.", no_args_is_help=True)
KINDS = ("methods", "metrics", "datasets", "suites")


def list_(
    what: Annotated[str, typer.Argument(help=f"{', '.join(KINDS)}, or all.")] = "all", plugin: Plugins = None
) -> None:
    """List methods with their hyperparameters and defaults, metrics, datasets and suites."""
    if what != "all" and what not in KINDS:
        raise fail(f"{shown(what)} is not one of {', '.join(KINDS)}.{did_you_mean(what, KINDS)}")
    makers = {"methods": methods, "metrics": metrics, "datasets": datasets, "suites": suites}
    for kind in KINDS if what == "all" else (what,):
        console.print(makers[kind]())


def filled(kind: str, heads: tuple[str, ...], lines: Iterator[tuple[str, ...]]) -> Table:
    found = new_table(Column(heads[0], no_wrap=True), *heads[1:], title=kind)
    for line in lines:
        found.add_row(*(Text(word) for word in line))
    return found


def methods() -> Table:
    load(("disbench.benchmarks.settings.hyperparameters",))
    from disbench.benchmarks import METHODS
    from disbench.benchmarks.plugins.packages import provide_all
    from disbench.benchmarks.settings.hyperparameters import hyperparameters

    provide_all("method")

    def settings(name: str) -> str:
        return ", ".join(f"{key}={parameter.default}" for key, parameter in hyperparameters(name).items())

    return filled(
        "methods", ("method", "hyperparameters with their defaults"), ((name, settings(name)) for name in METHODS)
    )


def metrics() -> Table:
    load(("disbench.metrics",))
    from disbench.benchmarks.plugins.packages import provide_all
    from disbench.benchmarks.settings.choices import DEFAULT_METRICS
    from disbench.metrics import METRICS

    provide_all("metric")
    lines = (
        (name, "higher" if metric.higher_is_better else "lower", "yes" * (name in DEFAULT_METRICS), metric.definition)
        for name, metric in METRICS.items()
    )
    return filled("metrics", ("metric", "better", "default", "definition"), lines)


def datasets() -> Table:
    from disbench.benchmarks.plugins.packages import provide_all
    from disbench.benchmarks.plugins.registries import source_of
    from disbench.datasets import SOURCES, names
    from disbench.datasets.registry import BUILT_IN

    provide_all("dataset")

    def origin(name: str) -> str:
        if name in SOURCES:
            return "official files: disbench data info " + name
        if (plugin := source_of("dataset", name)) is not None:
            return f"plugin {plugin.name} {plugin.version}".rstrip()
        return "drawn here, no download" if name in BUILT_IN else "imported"

    return filled("datasets", ("dataset", "where it comes from"), ((name, origin(name)) for name in names()))


def suites() -> Table:
    from disbench.benchmarks.studies.suite import load_suite, suite_names

    # The first sentence of what the suite says about itself.
    lines = ((name, load_suite(name, None).description.partition(". ")[0].rstrip(".")) for name in suite_names())
    return filled("suites", ("suite", "what it compares"), lines)


@metrics_app.callback()
def of_metrics() -> None:
    """Keep `stress` a word of the command line; a single command would take the place of its group."""


@metrics_app.command()
def stress(
    out: Annotated[
        Path | None,
        typer.Option("-o", "--out", help="The page. Default: runs/stress.html; none with --json or --csv."),
    ] = None,
    metrics: Annotated[
        str | None, typer.Option("--metrics", help="Comma-separated names; see `disbench list metrics`. Default: all.")
    ] = None,
    rows: Annotated[int, typer.Option(min=120, help="Rows of each table.")] = 480,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the encoders and of the metrics' random draws.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="JSON on standard output.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="CSV on standard output, a line for each score.")] = False,
    plugin: Plugins = None,
) -> None:
    """Score synthetic encoders with every metric: a page of what each metric sees and is blind to."""
    from disbench.benchmarks.cli.scores import metric_options
    from disbench.metrics import METRICS
    from disbench.metrics.stress import stress as run_stress
    from disbench.reports.stress import stress_csv, stress_page

    if as_json and as_csv:
        raise fail("--json and --csv exclude each other; both go to standard output.")
    wanted = metric_options(",".join(METRICS) if metrics is None else metrics, None)
    started = time.monotonic()

    def tell(name: str, index: int, total: int) -> None:
        say(f"{index + 1}/{total} {METRICS[name].label}, {time.monotonic() - started:.0f} s", err=True)

    run = run_stress(wanted, rows=rows, seed=seed, on_metric=tell)
    if as_json:
        print(json.dumps(run.as_json(), indent=1))
    if as_csv:
        print(stress_csv(run), end="")
    if out is not None or not (as_json or as_csv):
        path = out or Path("runs/stress.html")
        words = ["disbench", "metrics", "stress", "--rows", str(rows), "--seed", str(seed)]
        words += ["--metrics", metrics] if metrics else []
        path.parent.mkdir(parents=True, exist_ok=True)
        write_file(path, stress_page(run, shlex.join(words)).encode())
        say(path, err=as_json or as_csv)
