"""What to run: a suite is a YAML file, validated before anything is trained."""

import inspect
from itertools import product
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator

from disbench.baselines.vae import VAE
from disbench.benchmarks import METHODS
from disbench.datasets import check_name
from disbench.metrics import METRICS
from disbench.reports.records import Trial

SUITES = Path(__file__).parent / "suites"
# The literature's choice of metrics, in a table's order; any other metric is asked for by name.
DEFAULT_METRICS = ("z_diff", "z_min_var", "factor_vae_score", "irs", "mig", "jemmig")


def hyperparameters(method: str) -> dict[str, inspect.Parameter]:
    """The keywords that a method's constructor takes, its own first, then the shell's."""
    found: dict[str, inspect.Parameter] = {}
    for owner in METHODS[method].__mro__:
        if not issubclass(owner, VAE) or "__init__" not in vars(owner):
            continue
        for name, parameter in inspect.signature(owner.__init__).parameters.items():
            if parameter.kind is inspect.Parameter.KEYWORD_ONLY:
                found.setdefault(name, parameter)
        if owner is VAE:
            break
    return found


def check_method(method: str, hparams: dict[str, Any]) -> None:
    """Raise ValueError where the method or one of its hyperparameters does not exist."""
    if method not in METHODS:
        raise ValueError(f"Unknown method {method!r}. Known: {', '.join(METHODS)}.")
    unknown = set(hparams) - set(known := hyperparameters(method))
    if unknown:
        raise ValueError(f"{method} has no hyperparameter {', '.join(sorted(unknown))}. It takes: {', '.join(known)}.")


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


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
    precision: str | None = None

    @field_validator("name")
    @classmethod
    def known(cls, name: str, info: ValidationInfo) -> str:
        check_name(name, (info.context or {}).get("root"))
        return name


class MethodEntry(Strict):
    """A method and its hyperparameters; one method may stand in several entries, which makes an ablation."""

    name: str
    hparams: dict[str, Any] = Field(default_factory=dict)


class Suite(Strict):
    """Every method on every data set with every seed.

    A hyperparameter is looked for in the method's entry, the data set's entry for the method, the data set's `hparams`, then
    the suite's `hparams`.
    """

    name: str
    description: str = ""
    datasets: list[DatasetEntry] = Field(min_length=1)
    methods: list[MethodEntry] = Field(min_length=1)
    seeds: list[int] = Field(min_length=1)
    steps: int = Field(ge=1)
    batch_size: int = Field(default=64, ge=2)
    precision: str = "32-true"
    rows: int = Field(default=100_000, ge=2)
    hparams: dict[str, Any] = Field(default_factory=dict)
    metrics: dict[str, dict[str, Any]] = Field(default_factory=lambda: {name: {} for name in DEFAULT_METRICS})
    untrained: bool = True

    @model_validator(mode="after")
    def check(self) -> "Suite":
        for dataset in self.datasets:
            if unknown := set(dataset.methods) - {entry.name for entry in self.methods}:
                raise ValueError(f"{dataset.name} has hyperparameters of {', '.join(unknown)}, no method of the suite.")
            for method, _, hparams in self.plan(dataset):
                check_method(method, hparams)
        for name in self.metrics:
            if name not in METRICS:
                raise ValueError(f"Unknown metric {name!r}. Known: {', '.join(METRICS)}.")
        for dataset in self.datasets:
            if unknown := set(dataset.metrics) - set(self.metrics):
                raise ValueError(
                    f"{dataset.name} has settings of {', '.join(sorted(unknown))}, no metric of the suite."
                )
        return self

    def metrics_of(self, entry: DatasetEntry) -> dict[str, dict[str, Any]]:
        """Every metric with the settings it has on one data set."""
        return {name: {**options, **entry.metrics.get(name, {})} for name, options in self.metrics.items()}

    def plan(self, entry: DatasetEntry) -> list[tuple[str, int, dict[str, Any]]]:
        """Method, steps and hyperparameters of each row on one data set; the untrained VAE first, where it is asked for."""
        shared = {**self.hparams, **entry.hparams}
        rows = [
            (method.name, entry.steps or self.steps, {**shared, **entry.methods.get(method.name, {}), **method.hparams})
            for method in self.methods
        ]
        return [("vae", 0, shared), *rows] if self.untrained else rows

    def trials(self, entry: DatasetEntry, version: str) -> list[Trial]:
        """The trials on one data set, seeds outermost, so that an interrupted suite has whole rows."""
        return [
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
    return Suite.model_validate(content, context={"root": root})


def suite_names() -> list[str]:
    return sorted(path.stem for path in SUITES.glob("*.yaml"))
