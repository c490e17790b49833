"""What to run: a suite is a YAML file, validated before anything is trained."""

import inspect
from itertools import product
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import Field, TypeAdapter, ValidationError, ValidationInfo, field_validator, model_validator

from disbench.benchmarks.choices import DEFAULT_METRICS
from disbench.benchmarks.defaults import resolved_trial
from disbench.benchmarks.hyperparameters import Range, Strict, check_method, combinations
from disbench.benchmarks.options import metric_keywords
from disbench.datasets import check_name
from disbench.metrics import METRICS
from disbench.reports.records import Trial

SUITES = Path(__file__).parent / "suites"
# Lightning's names, without the 'true' ones of other widths: posteriors are float32 at any precision.
Precision = Literal["32-true", "bf16-mixed", "16-mixed"]


class DatasetEntry(Strict):
    """A data set and its options, such as `select`, the ranges of factors it is restricted to.

    What holds for this set alone: `metrics` are settings of the suite's metrics, such as larger groups where values are
    rare; `hparams` go to every method, `methods` maps a method to its own; `steps` and `precision` stand in
    for the suite's.
    """

    name: str
    options: dict[str, Any] = Field(default_factory=dict)
    metrics: dict[str, dict[str, Any]] = Field(default_factory=dict)
    hparams: dict[str, Any] = Field(default_factory=dict)
    methods: dict[str, dict[str, Any]] = Field(default_factory=dict)
    steps: int | None = Field(default=None, ge=1)
    precision: Precision | None = None

    @field_validator("name")
    @classmethod
    def known(cls, name: str, info: ValidationInfo) -> str:
        check_name(name, (info.context or {}).get("root"))
        return name


class MethodEntry(Strict):
    """A method and its hyperparameters; one method may stand in several entries, which makes an ablation.

    `grid` maps a hyperparameter to a list of values, `range` to the ends of a range; every combination is a row of the suite.
    """

    name: str
    hparams: dict[str, Any] = Field(default_factory=dict)
    grid: dict[str, list[Any]] = Field(default_factory=dict)
    range: dict[str, Range] = Field(default_factory=dict)

    @model_validator(mode="after")
    def once(self) -> "MethodEntry":
        places = {"hparams": self.hparams, "grid": self.grid, "range": self.range}
        for name in {**self.hparams, **self.grid, **self.range}:
            if len(twice := [place for place, names in places.items() if name in names]) > 1:
                raise ValueError(f"{self.name} has {name} in {' and '.join(twice)}; one of them decides.")
        return self

    def settings(self) -> list[dict[str, Any]]:
        """The hyperparameters of each of its rows."""
        return [{**self.hparams, **point} for point in combinations(self.name, self.grid, self.range)]


def check_metric(metric: str, options: dict[str, Any]) -> None:
    """Raise ValueError where the metric or one of its settings does not exist, or has a value of another type."""
    if metric not in METRICS:
        raise ValueError(f"Unknown metric {metric!r}. Known: {', '.join(METRICS)}.")
    known = metric_keywords(metric)
    for name, value in options.items():
        if name not in known:
            raise ValueError(f"{metric} has no setting {name!r}. It takes: {', '.join(known) or 'none'}.")
        try:
            TypeAdapter(known[name].annotation).validate_python(value)
        except ValidationError as error:
            needed = inspect.formatannotation(known[name].annotation).replace("Literal", "one of ")
            raise ValueError(
                f"{metric}: {name} needs {needed}, such as its default {known[name].default!r}; got {value!r}."
            ) from error


class Suite(Strict):
    """Every method on every data set with every seed.

    A hyperparameter is looked for in the method's entry, the data set's entry for the method, the data set's `hparams`, then
    the suite's `hparams`.
    """

    name: str
    description: str = ""
    datasets: list[DatasetEntry] = Field(min_length=1)
    methods: list[MethodEntry] = Field(min_length=1)
    seeds: list[Annotated[int, Field(ge=0)]] = Field(min_length=1)
    steps: int = Field(ge=1)
    batch_size: int = Field(default=64, ge=2)
    precision: Precision = "32-true"
    rows: int = Field(default=100_000, ge=2)
    hparams: dict[str, Any] = Field(default_factory=dict)
    metrics: dict[str, dict[str, Any]] = Field(default_factory=lambda: {name: {} for name in DEFAULT_METRICS})
    untrained: bool = True

    @model_validator(mode="after")
    def check(self) -> "Suite":
        for dataset in self.datasets:
            if unknown := set(dataset.methods) - {entry.name for entry in self.methods}:
                raise ValueError(f"{dataset.name} has hyperparameters of {', '.join(unknown)}, no method of the suite.")
            self.plan(dataset)
            if strange := set(dataset.metrics) - set(self.metrics):
                raise ValueError(
                    f"{dataset.name} has settings of {', '.join(sorted(strange))}, no metric of the suite."
                )
        for metrics in (self.metrics, *(dataset.metrics for dataset in self.datasets)):
            for name, options in metrics.items():
                check_metric(name, options)
        return self

    def metrics_of(self, entry: DatasetEntry) -> dict[str, dict[str, Any]]:
        """Every metric with the settings it has on one data set."""
        return {name: {**options, **entry.metrics.get(name, {})} for name, options in self.metrics.items()}

    def plan(self, entry: DatasetEntry) -> list[tuple[str, int, dict[str, Any]]]:
        """Method, steps and hyperparameters of each row on one data set; the untrained VAE first, where it is asked for.

        Raises ValueError where a method or a hyperparameter is none that there is.
        """
        shared = {**self.hparams, **entry.hparams}
        rows = [("vae", 0, shared)] if self.untrained else []
        for method in self.methods:
            for own in method.settings():
                nearer = {**shared, **entry.methods.get(method.name, {}), **own}
                rows.append((method.name, entry.steps or self.steps, nearer))
        return [(method, steps, check_method(method, hparams)) for method, steps, hparams in rows]

    def trials(self, entry: DatasetEntry, version: str) -> list[Trial]:
        """The trials on one data set, seeds outermost, so that an interrupted suite has whole rows."""
        return [
            resolved_trial(
                Trial(
                    method=method,
                    dataset=entry.name,
                    dataset_options=entry.options,
                    dataset_version=version,
                    seed=seed,
                    steps=steps,
                    batch_size=self.batch_size,
                    precision=entry.precision or self.precision,
                    rows=self.rows,
                    hparams=hparams,
                )
            )
            for seed, (method, steps, hparams) in product(self.seeds, self.plan(entry))
        ]


def load_suite(name_or_path: str, root: str | None = None) -> Suite:
    """A suite that comes with disbench, by name, or a YAML file of yours, by path; `root` holds imported data sets."""
    path = SUITES / f"{name_or_path}.yaml"
    if not path.exists():
        path = Path(name_or_path)
    if not path.is_file():
        raise ValueError(f"No suite or file {name_or_path!r}. Suites: {', '.join(suite_names())}; or give a YAML file.")
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise ValueError(f"{path} is no YAML: {error}") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path} must hold a mapping with name, datasets, methods, seeds and steps.")
    try:
        return Suite.model_validate(content, context={"root": root})
    except ValidationError as error:
        raise ValueError(f"{path}: {explained(error)}") from error


def explained(error: ValidationError) -> str:
    """Each mistake in a line: the field's path, what it needs, what it got."""
    lines = []
    for mistake in error.errors():
        place = ".".join(map(str, mistake["loc"]))
        told = mistake["msg"].removeprefix("Value error, ")
        got = "" if mistake["type"] in ("value_error", "missing") else f", got {mistake['input']!r}"
        lines.append(f"{place}: {told}{got}" if place else told)
    return "\n".join(lines)


def suite_names() -> list[str]:
    return sorted(path.stem for path in SUITES.glob("*.yaml"))
