"""Complete a trial with defaults, and normalize the spelling of each value.

Every path that makes a trial passes it through `resolved_trial`. A default that changes in a later version therefore makes
another trial, and a default that was typed makes the same trial as one that was not.
"""

from typing import Any

from disbench.benchmarks import METHODS
from disbench.benchmarks.plugins.packages import provide
from disbench.benchmarks.settings.hyperparameters import changed, resolved
from disbench.benchmarks.settings.validation import PRECISIONS
from disbench.datasets.registry import default_options, normal_options
from disbench.metrics import METRICS
from disbench.reports.records import Record, Trial

SPELLINGS = {spelling: name for name, spellings in PRECISIONS.items() for spelling in spellings}

MetricOptions = dict[str, dict[str, Any]]
Evaluations = dict[str, dict[str, Any]]  # by name, the ranges of factors of the rows that are scored


def resolved_trial(trial: Trial) -> Trial:
    """The trial with the method's version, all hyperparameters, all dataset options and the precision's full name.

    Raises ValueError where a hyperparameter has a value that the method does not take.
    """
    fields: dict[str, Any] = {
        "precision": SPELLINGS.get(trial.precision, trial.precision),
        "dataset_options": {**default_options(trial.dataset), **normal_options(trial.dataset_options)},
    }
    if provide("method", trial.method):
        fields["method_version"] = METHODS[trial.method].version
        fields["hparams"] = resolved(trial.method, trial.hparams)
    return trial.model_copy(update=fields)


def changed_hparams(trial: Trial) -> list[str]:
    """The hyperparameters of a trial whose values are not the method's defaults."""
    return changed(trial.method, trial.hparams) if trial.method in METHODS else list(trial.hparams)


def changed_options(trial: Trial) -> dict[str, Any]:
    """The dataset options of a trial that are not the dataset's defaults."""
    defaults = default_options(trial.dataset)
    return {
        name: value for name, value in trial.dataset_options.items() if name not in defaults or value != defaults[name]
    }


def metric_versions(metrics: MetricOptions) -> dict[str, int]:
    """The version of each metric: it changes when the same table and settings give another score."""
    return {name: METRICS[name].version for name in metrics}


def scored_by(record: Record, metrics: MetricOptions, evaluations: Evaluations | None = None) -> bool:
    """Whether a record has the scores of these metrics and evaluations, with these settings and of today's versions."""
    if record.metric_options != metrics or record.evaluation_options != (evaluations or {}):
        return False
    return all(record.metric_versions.get(name) == version for name, version in metric_versions(metrics).items())
