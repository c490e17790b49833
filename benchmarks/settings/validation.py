"""The checks of a trial's settings, the same for suites, training files, flags and `disbench search`.

They run before anything is trained or written. Each raises ValueError that names the setting, what it needs and what it got.
"""

import inspect
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, TypeAdapter, ValidationError

from disbench.benchmarks.plugins.packages import provide, require
from disbench.datasets.untrusted import check_path_name
from disbench.datasets.wording import did_you_mean, listed, shown
from disbench.metrics import METRICS
from disbench.metrics.dci import MODELS
from disbench.metrics.explicitness import PROTOCOLS as EXPLICITNESS_PROTOCOLS
from disbench.metrics.mcc import CORRELATIONS

MISTAKES = 4  # that one message explains
TAKEN = ("all", "trained", "held_out", "correlated")  # the evaluations that a dataset names itself


# Lightning's names. The `-true` modes of other widths are absent: posteriors are float32 at any precision.
PRECISIONS = {"32-true": ("32", "32-true"), "bf16-mixed": ("bf16", "bf16-mixed"), "16-mixed": ("16", "16-mixed")}


def canonical_precision(value: Any) -> str:
    """One spelling of each precision, so that `16` and `16-mixed` are the same trial."""
    if not isinstance(value, bool):
        for name, spellings in PRECISIONS.items():
            if str(value).strip().lower() in spellings:
                return name
    near = {"fp16": "16-mixed", "bf16-true": "bf16-mixed", "16-true": "16-mixed", "float32": "32-true"}
    meant = f" Did you mean {near[value]}?" if isinstance(value, str) and value in near else ""
    raise ValueError(f"precision needs one of {', '.join(map(repr, PRECISIONS))}, got {shown(value)}.{meant}")


def whole_number(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError(f"a whole number is needed, got {value}")
    return value


def _printable(value: str) -> str:
    if not value.isprintable():
        raise ValueError("characters that cannot be printed are not allowed")
    return value


def _as_text(value: Any) -> Any:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _mapping(value: Any) -> Any:
    """An empty block of a YAML file is an empty mapping."""
    return {} if value is None else value


Steps = Annotated[int, BeforeValidator(whole_number), Field(ge=1, le=10**9)]
Seed = Annotated[int, BeforeValidator(whole_number), Field(ge=0, lt=2**63)]
BatchSize = Annotated[int, BeforeValidator(whole_number), Field(ge=2, le=10**6)]
Rows = Annotated[int, BeforeValidator(whole_number), Field(ge=2, le=10**9)]
Precision = Annotated[Literal["32-true", "bf16-mixed", "16-mixed"], BeforeValidator(canonical_precision)]
Name = Annotated[str, BeforeValidator(_as_text), Field(min_length=1, max_length=100), AfterValidator(_printable)]
Options = Annotated[dict[str, Any], BeforeValidator(_mapping)]
OptionsOf = Annotated[dict[str, Options], BeforeValidator(_mapping)]

# The values that a keyword of a metric takes, where its annotation has no limits; any other number follows `_limits`.
LIMITS: dict[str, Any] = {
    "alpha": Annotated[float, Field(ge=0, le=1)],
    "bins": Annotated[int, Field(ge=2, le=10_000)],
    "train": Annotated[int, Field(ge=1, le=1_000_000)],
    "test": Annotated[int, Field(ge=1, le=1_000_000)],
    "pairs": Annotated[int, Field(ge=1, le=100_000)],
    "group": Annotated[int, Field(ge=2, le=100_000)],
    "neighbors": Annotated[int, Field(ge=1, le=1_000)],
    "max_iter": Annotated[int, Field(ge=1, le=1_000_000)],
    "quantile": Annotated[float, Field(gt=0, le=1)],
    "limit": Annotated[float, Field(gt=0, le=1_000)],
    "captured": Annotated[float, Field(ge=0.5, le=1)],
    "shared": Annotated[float, Field(ge=0, le=1)],
    "threshold": Annotated[float, Field(ge=0, le=1_000)],
    "model": Literal[tuple(MODELS)],
    "protocol": Literal[tuple(EXPLICITNESS_PROTOCOLS)],
    "correlation": Literal[tuple(CORRELATIONS)],
}


def _limits(name: str, parameter: inspect.Parameter) -> Any:
    """The type that a metric's keyword is validated against."""
    kind = parameter.annotation
    if kind not in (int, float, str, "int", "float", "str"):
        return kind
    if name in LIMITS:
        return LIMITS[name]
    if kind in (int, "int"):
        return Annotated[int, Field(ge=min(1, parameter.default), le=1_000_000)]
    return Annotated[float, Field(ge=0, allow_inf_nan=False)] if kind in (float, "float") else kind


def metric_keywords(metric: str) -> dict[str, inspect.Parameter]:
    """The keywords of a metric that a user can set: all but its seed and, where there are any, arrays."""
    return {name: p for name, p in METRICS[metric].options.items() if isinstance(p.default, bool | int | float | str)}


def check_metric(metric: str, options: Mapping[str, Any], where: str = "") -> dict[str, Any]:
    """The options as the metric takes them. Raises ValueError where it, an option or a value does not exist."""
    require("metric", metric, where)
    if not isinstance(options, Mapping):
        raise ValueError(f"{metric} needs a mapping of its options, such as {{bins: 20}}, got {shown(options)}.")
    known, found = metric_keywords(metric), {}
    for name, value in options.items():
        if name not in known:
            takes = [f"{key}={parameter.default}" for key, parameter in known.items()] or ["no options"]
            raise ValueError(no_such(f"{metric} has no option", repr(name), known, takes))
        parameter = known[name]
        try:
            if isinstance(value, bool) and not isinstance(parameter.default, bool):
                raise ValueError("true and false are not among its values")
            found[name] = TypeAdapter(_limits(name, parameter)).validate_python(value)
        except ValueError as error:
            needed = inspect.formatannotation(parameter.annotation).replace("Literal", "one of ")
            raise ValueError(
                f"{metric}.{name} needs {needed}, got {shown(value)}; its default is {parameter.default}. "
                f"{reason(error)[:1].upper()}{reason(error)[1:]}."
            ) from error
    return found


def check_metrics(metrics: Mapping[str, Any], where: str = "") -> dict[str, dict[str, Any]]:
    """Every metric with its checked options."""
    if not metrics:
        raise ValueError(f"metrics needs at least one of {listed(METRICS)}.")
    return {name: check_metric(name, {} if options is None else options, where) for name, options in metrics.items()}


def check_evaluations(evaluations: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Named selections of rows, their ranges in one spelling. Raises ValueError for a name or a range that is none.

    Whether a dataset has the factors and values is seen when it is opened.
    """
    from disbench.datasets.factors.selection import normal_select, parse_range

    found = {}
    for name, select in evaluations.items():
        if check_path_name(name, "an evaluation's name") in TAKEN:
            raise ValueError(
                f"an evaluation cannot be named {name}: {', '.join(TAKEN)} are evaluations of every trial."
            )
        if not isinstance(select, Mapping) or not select:
            raise ValueError(
                f"the evaluation {name} needs ranges of factors, such as {{scale: 4-5}}, got {shown(select)}."
            )
        for factor, text in select.items():
            parse_range(str(factor), text)
        found[name] = normal_select(select)
    return found


def check_dataset(name: Any, options: Mapping[str, Any], root: str | None = None) -> None:
    """Raise ValueError where there is no such dataset, it has no such option, or an option has no such value.

    A dataset whose images are drawn here is opened, so that `select` is checked too; files are not read.
    """
    from disbench.datasets.registry import DATASETS, SOURCES, check_name, check_options, load, names

    if not isinstance(name, str):
        raise ValueError(f"a dataset's name is text, got {shown(name)}. Known: {listed(names(root))}.")
    provide("dataset", name)
    check_name(name, root)
    check_options(name, options)
    if name in DATASETS and name not in SOURCES:
        try:
            load(name, root, **options)
        except TypeError as error:
            raise ValueError(f"{name}: {error}") from error


def no_such(what: str, names: Any, known: Mapping[str, Any], takes: Iterable[str] | None = None) -> str:
    """The message for names that something does not have, what it takes, and the nearest of that."""
    words = [names] if isinstance(names, str) else [str(name) for name in names]
    listing = listed(known if takes is None else takes)
    return f"{what} {listed(words)}. It takes: {listing}.{did_you_mean(words[0].strip(chr(39)), known)}"


def reason(error: ValueError) -> str:
    """What was wrong, without pydantic's frame; it starts with a small letter."""
    said = error.errors()[0]["msg"] if isinstance(error, ValidationError) else str(error)
    said = said.removeprefix("Value error, ")
    return f"{said[:1].lower()}{said[1:]}"


def explained(error: ValidationError) -> str:
    """Each mistake in a line: the field's path, what it needs, what it got."""
    lines = []
    mistakes = error.errors(include_url=False)
    for mistake in mistakes[:MISTAKES]:
        place = ".".join(str(part)[:60] for part in mistake["loc"] if part != "[key]")
        said = mistake["msg"].removeprefix("Value error, ")
        got = "" if mistake["type"] in ("value_error", "missing") else f", got {shown(mistake['input'])}"
        lines.append(f"{place}: {said}{got}" if place else f"{said}{got}")
    if len(mistakes) > MISTAKES:
        lines.append(f"... and {len(mistakes) - MISTAKES} more mistakes")
    return "\n".join(lines)
