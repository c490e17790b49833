"""The command line that repeats a trial."""

import json
import shlex

from disbench.benchmarks.plugins.registries import entries_of, source_of
from disbench.benchmarks.settings.defaults import Evaluations, MetricOptions, changed_hparams, changed_options
from disbench.benchmarks.settings.score_schedule import ScoreSchedule
from disbench.reports.records import Trial


def reproducing_command(
    trial: Trial,
    metrics: MetricOptions,
    root: str | None = None,
    evaluations: Evaluations | None = None,
    schedule: ScoreSchedule | None = None,
) -> str:
    """Write the command that runs this trial again; root: the datasets' folder, if one was given."""
    words = ["disbench", "train", "--method", trial.method, "--dataset", trial.dataset, "--steps", str(trial.steps)]
    words += ["--seed", str(trial.seed), "--batch-size", str(trial.batch_size), "--precision", trial.precision]
    words += ["--rows", str(trial.rows), "--metrics", ",".join(metrics)]
    for name, options in metrics.items():
        for key, value in options.items():
            words += ["--metric-option", f"{name}.{key}={value if isinstance(value, str) else json.dumps(value)}"]
    for name in changed_hparams(trial):
        words += ["--set", f"{name}={trial.hparams[name]}"]
    for name, value in changed_options(trial).items():
        if name == "select":
            words += [word for factor, values in value.items() for word in ("--select", f"{factor}={values}")]
        else:
            words += ["--option", f"{name}={value if isinstance(value, str) else json.dumps(value)}"]
    for evaluation, select in (evaluations or {}).items():
        for factor, values in select.items():
            words += ["--evaluation", f"{evaluation}.{factor}={values}"]
    if schedule is not None and trial.steps:
        words += ["--evaluate-every", str(schedule.every), "--evaluate-rows", str(schedule.rows)]
        words += ["--evaluate-metrics", ",".join(schedule.metrics)]
    sources = [source_of(*entry) for entry in entries_of(trial, metrics)]
    for word in dict.fromkeys(source.word for source in sources if source is not None and source.word):
        words += ["--plugin", word]
    if root is not None:
        words += ["--data-dir", root]
    return shlex.join([*words, "--out", "runs"])
