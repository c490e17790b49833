"""What the commands share: options that mean the same everywhere, how they are read, and how an error is told.

Modules of commands import what a command works with inside it: help, completion and `disbench status` then take a part of a
second, where torch, Lightning and scikit-learn take several.
"""

import inspect
from typing import Annotated, Any

import typer
import yaml
from pydantic import TypeAdapter, ValidationError

from disbench.benchmarks.terminal import console as console
from disbench.benchmarks.terminal import fail as fail

DataDir = Annotated[
    str | None, typer.Option("--data-dir", help="Folder of official files. Default: $DISBENCH_DATA, else ./Data.")
]
Select = Annotated[
    list[str] | None, typer.Option("--select", help="Restrict a factor: scale=2 or position_x=6-25. Repeatable.")
]

DatasetOptions = Annotated[
    list[str] | None,
    typer.Option("--option", help="An option of the data set itself: tier=reduced, split=test. Repeatable."),
]

MetricSettings = Annotated[
    list[str] | None,
    typer.Option("--metric-option", help="A keyword of a metric: mig.bins=10 or irs.quantile=0.99. Repeatable."),
]


def assignments(words: list[str] | None) -> dict[str, Any]:
    """key=value words as a dict, values read as YAML reads them."""
    found = {}
    for word in words or []:
        key, equals, value = word.partition("=")
        if not equals:
            raise fail(f"expected key=value, got {word!r}.")
        try:
            found[key.strip()] = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise fail(f"{word!r} cannot be read: its value is no YAML ({error}).") from error
    return found


def metric_keywords(metric: str) -> dict[str, inspect.Parameter]:
    """The keywords of a metric that a word can set: all but its seed and, where there are any, arrays."""
    from disbench.metrics import METRICS

    parameters = inspect.signature(METRICS[metric].fn).parameters.values()
    return {p.name: p for p in parameters if p.name != "seed" and isinstance(p.default, bool | int | float | str)}


def metric_settings(words: list[str] | None) -> dict[str, dict[str, Any]]:
    """metric.keyword=value words by metric, each value of its keyword's type."""
    from disbench.metrics import METRICS

    found: dict[str, dict[str, Any]] = {}
    for word in words or []:
        name, equals, text = word.partition("=")
        metric, dot, keyword = name.strip().partition(".")
        if not (equals and dot):
            raise fail(f"--metric-option needs metric.keyword=value, such as mig.bins=10, got {word!r}.")
        if metric not in METRICS:
            raise fail(f"Unknown metric {metric!r} in {word!r}. Known: {', '.join(METRICS)}.")
        known = metric_keywords(metric)
        if keyword not in known:
            takes = ", ".join(f"{key}={parameter.default}" for key, parameter in known.items()) or "no options"
            raise fail(f"{metric} has no option {keyword!r}. It takes: {takes}.")
        kind = known[keyword].annotation
        try:
            value = TypeAdapter(kind).validate_python(text.strip())
        except ValidationError as error:
            needed = inspect.formatannotation(kind).replace("Literal", "one of ")
            raise fail(
                f"{metric}.{keyword} needs {needed}, got {text!r}; its default is {known[keyword].default}."
            ) from error
        found.setdefault(metric, {})[keyword] = value
    return found
