"""Complete the docstring of a metric's function from its signature and its card."""

from __future__ import annotations

import inspect
import re
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin

if TYPE_CHECKING:
    from disbench.metrics.metric import Metric

SECTION = re.compile(r"^([A-Z]\w+)\n-+\n", re.MULTILINE)
ENTRY = re.compile(r"^(\w[^\n]*)\n((?:[ \t]+[^\n]*\n?|\n)*)", re.MULTILINE)  # a name, and the indented lines below it
IGNORED = "Not used by this metric."


def metric_docstring(metric: Metric) -> str:
    """Write the numpydoc docstring of a metric.

    The summary, the options and the examples are those of `metric.compute`, or of the function that it wraps. The
    other parameters, Returns, Raises, Notes and References come from the signature and the card.
    """
    summary, sections = _sections(metric.compute.__doc__ or metric.definition)
    _, wrapped = _sections(inspect.unwrap(metric.compute).__doc__ or "")
    options = _options(metric, wrapped.get("Parameters", "") + "\n" + sections.get("Parameters", ""))
    notes = [sections.get("Notes", ""), metric.insensitive_to and f"Blind spots: {metric.insensitive_to}"]
    sections |= {
        "Parameters": "\n".join([*_of_table(metric), *options]),
        "Returns": f"float\n    {_range(metric)} `{metric.name}.detail` returns the numbers behind it.",
        "Raises": sections.get("Raises", "")
        or "ValueError\n    If the table is malformed or an option is out of range.\n"
        "NotApplicable\n    If the metric is undefined on the table.",
        "Notes": "\n\n".join(filter(None, notes)),
        "References": sections.get("References", metric.source),
    }
    order = ("Parameters", "Returns", "Raises", "Notes", "References", "Examples")
    written = [f"{name}\n{'-' * len(name)}\n{sections[name]}" for name in order if sections.get(name)]
    return "\n\n".join([summary, *written])


def _sections(text: str) -> tuple[str, dict[str, str]]:
    """Split a docstring into what precedes its sections, and the body of each section."""
    summary, *found = SECTION.split(inspect.cleandoc(text))
    return summary.strip(), {name: body.strip() for name, body in zip(found[::2], found[1::2], strict=True)}


def _of_table(metric: Metric) -> list[str]:
    uses = {*metric.uses, *metric.optional}
    entries = {
        "codes : array-like of shape (N, D) or (N, G, F), or Table": (
            "One row per image, one column per code. Vectors (N, G, F) count as G * F codes."
        ),
        "factors : array-like of shape (N, K)": "The factor values." if {"values", "labels"} & uses else IGNORED,
        "std : array-like, optional": "Posterior deviations, shaped as `codes`." if "std" in uses else IGNORED,
        "groups : array-like of shape (D,) or (G,), optional": "The group of each code."
        if "groups" in uses
        else IGNORED,
        "seed : int, default 0": "Seed of the random draws." if metric.takes_seed else IGNORED,
    }
    return [f"{name}\n    {text}" for name, text in entries.items()]


def _options(metric: Metric, text: str) -> list[str]:
    """Write an entry for each option: its name, type and default from the signature, its description from `text`."""
    written: dict[tuple[str, ...], str] = {}
    for header, body in ENTRY.findall(text):
        names = tuple(name.strip() for name in header.partition(" : ")[0].split(","))
        if metric.options.keys() >= {*names}:
            written[names] = body.rstrip()
    described = {name for names in written for name in names}
    written |= {(name,): "" for name in metric.options if name not in described}
    entries = {names: [metric.options[name] for name in names] for names in written}
    return [
        f"{', '.join(names)} : {' and '.join(dict.fromkeys(_type(option) for option in options))}, default "
        f"{' and '.join(repr(option.default) for option in options)}\n{written[names]}".rstrip()
        for names, options in entries.items()
    ]


def _type(option: inspect.Parameter) -> str:
    annotation: Any = option.annotation
    if annotation is option.empty:
        return type(option.default).__name__
    if get_origin(annotation) is Literal:
        return f"{{{', '.join(map(repr, get_args(annotation)))}}}"
    return annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)


def _range(metric: Metric) -> str:
    low, high = metric.bounds
    limits = f"The score, at least {low:g}" if high == float("inf") else f"The score, in [{low:g}, {high:g}]"
    without = " and ".join(f"{name}={value!r}" for name, value in metric.unbounded_with)
    unbounded = f", without an upper bound under {without}" if without else ""
    return f"{limits}{unbounded}. {'Higher' if metric.higher_is_better else 'Lower'} is better."
