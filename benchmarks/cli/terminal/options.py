"""Options that several commands share, and how their values are read.

Modules of commands import what a command works with inside it: help, completion and `disbench status` then take a part of a
second, where torch, Lightning and scikit-learn take several.
"""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from disbench.benchmarks.settings.choices import EVALUATE_METRICS, EVALUATE_ROWS
from disbench.benchmarks.settings.yaml_file import parse_yaml
from disbench.datasets.wording import shown

if TYPE_CHECKING:
    from disbench.benchmarks.settings.score_schedule import ScoreSchedule

DataDir = Annotated[
    str | None, typer.Option("--data-dir", help="Folder of official files. Default: $DISBENCH_DATA, else ./Data.")
]
CodesColumn = Annotated[
    str | None,
    typer.Option(
        "--codes", "--codes-column", help="The array of the codes in the file, or its columns: 'z*', or z0,z1."
    ),
]
FactorsColumn = Annotated[
    str | None,
    typer.Option(
        "--factors",
        "--factors-column",
        help="The array or columns of the factors; for codes in an .npy, the other .npy file.",
    ),
]
Select = Annotated[
    list[str] | None, typer.Option("--select", help="Restrict a factor: scale=2 or position_x=6-25. Repeatable.")
]

DatasetOptions = Annotated[
    list[str] | None,
    typer.Option("--option", help="An option of the dataset itself: tier=reduced, split=test. Repeatable."),
]

Plugins = Annotated[
    list[str] | None,
    typer.Option(
        "--plugin",
        metavar="FILE|MODULE",
        help="Load your own methods, metrics or datasets from a Python file or a module. Repeatable.",
        show_default="none",
    ),
]

MetricSettings = Annotated[
    list[str] | None,
    typer.Option("--metric-option", help="A keyword of a metric: mig.bins=10 or irs.quantile=0.99. Repeatable."),
]


GroupSource = Annotated[
    str | None,
    typer.Option(
        "--groups",
        help="Groups of the codes: found (without factors), or an .npy, .csv or .json file of D whole numbers.",
    ),
]
EvaluationRanges = Annotated[
    list[str] | None,
    typer.Option(
        "--evaluation",
        help="Score also the rows whose factors lie in ranges, under a name: large.scale=4-5. Repeatable, a range each.",
    ),
]


EvaluateEvery = Annotated[
    int | None,
    typer.Option(help="Score also every so many steps, for the learning curves of scores.", show_default="none"),
]
EvaluateRows = Annotated[
    int | None,
    typer.Option(min=100, max=10_000, help="Rows for --evaluate-every.", show_default=f"{EVALUATE_ROWS}"),
]
EvaluateMetrics = Annotated[
    str | None,
    typer.Option(help="Metrics for --evaluate-every, comma-separated.", show_default=",".join(EVALUATE_METRICS)),
]


def schedule_of(
    every: int | None, rows: int | None, names: str | None, options: dict[str, dict[str, Any]], steps: int
) -> "ScoreSchedule | None":
    """When a trial of so many steps is scored during training; `options` are those of the metrics that score it in the end."""
    from disbench.benchmarks.settings.score_schedule import score_schedule

    if every is None and (rows is not None or names is not None):
        raise ValueError("--evaluate-rows and --evaluate-metrics need --evaluate-every, the steps between two scores.")
    metrics = EVALUATE_METRICS if names is None else [name.strip() for name in names.split(",") if name.strip()]
    return score_schedule(every, rows or EVALUATE_ROWS, metrics, options, steps)


def evaluation_ranges(words: list[str] | None) -> dict[str, dict[str, Any]]:
    """name.factor=range words by name. Raises ValueError."""
    from disbench.benchmarks.settings.validation import check_evaluations

    found: dict[str, dict[str, Any]] = {}
    for key, value in assignments(words, "--evaluation").items():
        name, dot, factor = key.partition(".")
        if not dot:
            raise ValueError(f"--evaluation needs name.factor=range, such as large.scale=4-5, got {shown(key)}.")
        found.setdefault(name, {})[factor] = value
    return check_evaluations(found)


def assignments(words: list[str] | None, option: str = "") -> dict[str, Any]:
    """key=value words as a dict, values read as YAML; `option` is the flag, for messages. Raises ValueError."""
    found: dict[str, Any] = {}
    for word in words or []:
        key, equals, value = word.partition("=")
        key = key.strip()
        if not equals or not key:
            raise ValueError(f"{option} needs key=value, got {shown(word)}.".strip())
        if key in found:
            raise ValueError(f"{option} sets {shown(key)} twice.".strip())
        found[key] = parse_yaml(value, f"{option} {key}".strip())
    return found


def dataset_options(options: list[str] | None, select: list[str] | None) -> dict[str, Any]:
    """A dataset's options from the words of --option and --select."""
    found = assignments(options, "--option")
    if select:
        if "select" in found:
            raise ValueError("--select and --option select=... are both given; use one.")
        found["select"] = assignments(select, "--select")
    return found


def trial_settings(
    sets: list[str] | None, options: list[str] | None, select: list[str] | None, **fields: Any
) -> dict[str, Any]:
    """The settings of a trial from the words of --set, --option and --select, and its other fields."""
    return {**fields, "hparams": assignments(sets, "--set"), "dataset_options": dataset_options(options, select)}


def metric_settings(words: list[str] | None) -> dict[str, dict[str, Any]]:
    """metric.keyword=value words by metric, each value of its keyword's type. Raises ValueError."""
    from disbench.benchmarks.settings.validation import check_metric

    found: dict[str, dict[str, Any]] = {}
    for word in words or []:
        name, equals, text = word.partition("=")
        metric, dot, keyword = name.strip().partition(".")
        if not (equals and dot):
            raise ValueError(f"--metric-option needs metric.keyword=value, such as mig.bins=10, got {shown(word)}.")
        if keyword in found.get(metric, {}):
            raise ValueError(f"--metric-option sets {metric}.{keyword} twice.")
        checked = check_metric(metric, {keyword: text.strip()}, f" in {shown(word)}")
        found.setdefault(metric, {}).update(checked)
    return found
