"""Suites: YAML files with trials, validated before training."""

from collections.abc import Mapping
from itertools import product
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError, ValidationInfo, field_validator, model_validator

from disbench.benchmarks import METHODS
from disbench.benchmarks.plugins.files import load_plugin
from disbench.benchmarks.plugins.packages import require
from disbench.benchmarks.settings import validation
from disbench.benchmarks.settings.choices import DEFAULT_METRICS, EVALUATE_METRICS, EVALUATE_ROWS
from disbench.benchmarks.settings.defaults import MetricOptions, resolved_trial
from disbench.benchmarks.settings.hyperparameters import Range, Strict, check_method, combinations
from disbench.benchmarks.settings.score_schedule import Every, SampleRows, ScoreSchedule, score_schedule
from disbench.benchmarks.settings.validation import Options, OptionsOf, explained
from disbench.benchmarks.settings.yaml_file import read_yaml
from disbench.datasets.wording import did_you_mean, listed, shown
from disbench.reports.records import Trial

SUITES = Path(__file__).parent / "suites"
TRIALS = 100_000  # of one suite
PUBLISHED = "published"  # in the place of a grid: the one that a publication searched


def default_metrics() -> MetricOptions:
    """The literature's choice of metrics, each without settings."""
    return {name: {} for name in DEFAULT_METRICS}


def published_grid(method: str, dataset: str) -> dict[str, list[Any]]:
    """The grid of a method's `published` for a dataset, else the one for any. Raises ValueError where there is neither."""
    require("method", method)
    grids = METHODS[method].published
    grid = grids.get(dataset) or grids.get("any")
    if not grid:
        others = f" It has one for {listed(sorted(grids))}." if grids else ""
        raise ValueError(
            f"{method} has no published grid for {dataset}, so grid: {PUBLISHED} gives no values.{others} Leave grid out, or "
            "give the values."
        )
    return {name: list(values) for name, values in grid.items()}


class DatasetEntry(Strict):
    """A dataset and its options, such as `select`, the ranges of factors it is restricted to.

    What holds for this set alone: `metrics` are settings of the suite's metrics, such as larger groups where values are
    rare; `hparams` go to every method, `methods` maps a method to its own; `steps` and `precision` stand in
    for the suite's. `evaluations` names selections of rows that are scored, too, each by ranges of factors.
    """

    name: str
    options: Options = Field(default_factory=dict)
    metrics: OptionsOf = Field(default_factory=dict)
    hparams: Options = Field(default_factory=dict)
    methods: OptionsOf = Field(default_factory=dict)
    steps: validation.Steps | None = None
    precision: validation.Precision | None = None
    evaluations: OptionsOf = Field(default_factory=dict)

    @model_validator(mode="after")
    def known(self, info: ValidationInfo) -> "DatasetEntry":
        self.evaluations = validation.check_evaluations(self.evaluations)
        validation.check_dataset(self.name, self.options, (info.context or {}).get("root"))
        return self


class MethodEntry(Strict):
    """A method and its hyperparameters; one method may stand in several entries, which makes an ablation.

    `grid` maps a hyperparameter to a list of values, `range` to the ends of a range; every combination is a row of the suite.
    `grid: published` is the grid that the method has in `published`, for the dataset or for any.
    """

    name: str
    hparams: Options = Field(default_factory=dict)
    grid: dict[str, list[Any]] | Literal["published"] = Field(default_factory=dict)
    range: dict[str, Range] = Field(default_factory=dict)

    @field_validator("grid", mode="before")
    @classmethod
    def grid_or_its_name(cls, grid: Any) -> Any:
        if grid == PUBLISHED:
            return grid
        if not isinstance(grid, dict):
            raise ValueError(
                f"needs hyperparameters with lists of values, such as {{beta: [1, 4]}}, or the word {PUBLISHED}; got "
                f"{shown(grid)}.{did_you_mean(str(grid), [PUBLISHED])}"
            )
        for name, values in grid.items():
            if not isinstance(values, list):
                raise ValueError(f"{name} needs a list of values, got {shown(values)}.")
        return {str(name): values for name, values in grid.items()}

    @model_validator(mode="after")
    def once(self) -> "MethodEntry":
        if self.grid != "published":
            self.check_once(self.grid)
        return self

    def check_once(self, grid: Mapping[str, Any]) -> None:
        """Raise ValueError where two of hparams, grid and range have one hyperparameter."""
        places = {"hparams": self.hparams, "grid": grid, "range": self.range}
        for name in {**self.hparams, **grid, **self.range}:
            if len(twice := [place for place, names in places.items() if name in names]) > 1:
                raise ValueError(f"{self.name} has {name} in {' and '.join(twice)}; one of them decides.")

    def settings(self, dataset: str) -> list[dict[str, Any]]:
        """The hyperparameters of each of its rows on a dataset."""
        grid = published_grid(self.name, dataset) if self.grid == "published" else self.grid
        self.check_once(grid)
        return [{**self.hparams, **point} for point in combinations(self.name, grid, self.range)]


class Suite(Strict):
    """Every method on every dataset with every seed.

    A hyperparameter is looked for in the method's entry, the dataset's entry for the method, the dataset's `hparams`, then
    the suite's `hparams`. `plugins` are files, relative to the suite's, or modules, whose methods, metrics and datasets it names.
    Every `evaluate_every` steps, `evaluate_metrics` score `evaluate_rows` rows, which makes the learning curves of scores.
    """

    name: validation.Name
    description: str = ""
    plugins: list[str] = Field(default_factory=list)  # before the fields whose names they give
    datasets: list[DatasetEntry] = Field(min_length=1)
    methods: list[MethodEntry] = Field(min_length=1)
    seeds: list[validation.Seed] = Field(min_length=1)
    steps: validation.Steps
    batch_size: validation.BatchSize = 64
    precision: validation.Precision = "32-true"
    rows: validation.Rows = 100_000
    hparams: Options = Field(default_factory=dict)
    metrics: OptionsOf = Field(default_factory=default_metrics)
    untrained: bool = True
    evaluate_every: Every | None = None
    evaluate_rows: SampleRows = EVALUATE_ROWS
    evaluate_metrics: list[str] = Field(default_factory=lambda: list(EVALUATE_METRICS))

    @field_validator("plugins")
    @classmethod
    def loaded(cls, words: list[str], info: ValidationInfo) -> list[str]:
        for word in words:
            load_plugin(word, (info.context or {}).get("folder"))
        return words

    @model_validator(mode="after")
    def check(self) -> "Suite":
        self.metrics = validation.check_metrics(self.metrics)
        for dataset in self.datasets:
            methods = dict.fromkeys(entry.name for entry in self.methods)
            for kind, given, known in (("method", dataset.methods, methods), ("metric", dataset.metrics, self.metrics)):
                if strange := [name for name in given if name not in known]:
                    raise ValueError(
                        f"{dataset.name} has settings of {listed(strange)}, no {kind} of the suite."
                        f"{did_you_mean(strange[0], known)}"
                    )
            dataset.metrics = {
                name: validation.check_metric(name, options) for name, options in dataset.metrics.items()
            }
        rows = [len(entry.settings(dataset.name)) for dataset in self.datasets for entry in self.methods]
        if (count := (self.untrained * len(self.datasets) + sum(rows)) * len(self.seeds)) > TRIALS:
            raise ValueError(f"the suite has {count:,} trials (datasets x methods x seeds); {TRIALS:,} are allowed.")
        usual = {"evaluate_rows": EVALUATE_ROWS, "evaluate_metrics": list(EVALUATE_METRICS)}
        idle = [name for name, value in usual.items() if getattr(self, name) != value]
        if self.evaluate_every is None and idle:
            raise ValueError(f"{listed(sorted(idle))} needs evaluate_every, the number of steps between two scores.")
        for dataset in self.datasets:
            self.plan(dataset)
            self.schedule_of(dataset)
        return self

    def metrics_of(self, entry: DatasetEntry) -> MetricOptions:
        """Every metric with the settings it has on one dataset."""
        return {name: {**options, **entry.metrics.get(name, {})} for name, options in self.metrics.items()}

    def schedule_of(self, entry: DatasetEntry) -> ScoreSchedule | None:
        """When trials on one dataset are scored during training. A metric has the options that the suite gives it."""
        given = self.evaluate_every, self.evaluate_rows, self.evaluate_metrics
        return score_schedule(*given, self.metrics_of(entry), entry.steps or self.steps)

    def scored_every(self, steps: int | None) -> "Suite":
        """This suite with another `evaluate_every`, unless that is None."""
        if steps is None:
            return self
        changed = self.model_copy(update={"evaluate_every": steps})
        for entry in changed.datasets:
            changed.schedule_of(entry)
        return changed

    def plan(self, entry: DatasetEntry) -> list[tuple[str, int, dict[str, Any]]]:
        """Method, steps and hyperparameters of each row on one dataset; the untrained VAE first, where it is asked for.

        Raises ValueError where a method or a hyperparameter is none that there is.
        """
        shared = {**self.hparams, **entry.hparams}
        rows = [("vae", 0, shared)] if self.untrained else []
        for method in self.methods:
            for own in method.settings(entry.name):
                nearer = {**shared, **entry.methods.get(method.name, {}), **own}
                rows.append((method.name, entry.steps or self.steps, nearer))
        return [(method, steps, check_method(method, hparams)) for method, steps, hparams in rows]

    def trials(self, entry: DatasetEntry, version: str) -> list[Trial]:
        """The trials on one dataset, seeds outermost, so that an interrupted suite has whole rows."""
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
    """A suite that comes with disbench, by name, or a YAML file of yours, by path; `root` holds imported datasets."""
    path = SUITES / f"{name_or_path}.yaml" if name_or_path in suite_names() else Path(name_or_path)
    if not path.exists():
        raise ValueError(
            f"No suite or file {shown(name_or_path)}. Suites: {listed(suite_names())}; or give a YAML file."
            f"{did_you_mean(name_or_path, suite_names())}"
        )
    content = read_yaml(path)
    try:
        return Suite.model_validate(content, context={"root": root, "folder": path.parent})
    except ValidationError as error:
        raise ValueError(f"{path}: {explained(error)}") from error


def suite_names() -> list[str]:
    return sorted(path.stem for path in SUITES.glob("*.yaml"))
