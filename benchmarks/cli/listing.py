"""`disbench list`: methods with their hyperparameters, metrics, datasets and suites, each as a table."""

from collections.abc import Iterator
from typing import Annotated

import typer
from rich.table import Column, Table
from rich.text import Text

from disbench.benchmarks.cli.terminal.commands import load
from disbench.benchmarks.cli.terminal.options import Plugins
from disbench.benchmarks.cli.terminal.printing import console, fail, new_table
from disbench.datasets.wording import did_you_mean, shown

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
