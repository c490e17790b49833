"""Further metrics for records that exist: scored from the codes of each trial, or from its checkpoint, without training."""

import logging
from collections.abc import Iterator
from pathlib import Path

from disbench.benchmarks.plugins.registries import rescored
from disbench.benchmarks.settings.command import reproducing_command
from disbench.benchmarks.settings.defaults import MetricOptions, metric_versions
from disbench.benchmarks.trials import encode as encoding
from disbench.benchmarks.trials.encode import NamedTable
from disbench.benchmarks.trials.existing import CHECKPOINT, CODES, FURTHER_CODES
from disbench.benchmarks.trials.trial import score_table
from disbench.datasets import load
from disbench.reports.records import RECORD_FILE, Evaluation, Record, read_record, write_record

log = logging.getLogger(__name__)
MERGED = ("floor", "ceiling", "skipped", "detail")  # of a record or an evaluation, by metric


def folders(runs: Path) -> list[Path]:
    """Folders of trials in a folder of runs, or the folder of one trial."""
    if (runs / RECORD_FILE).is_file():
        return [runs]
    return sorted(path.parent for path in runs.glob(f"[!.]*/{RECORD_FILE}"))


def add_scores(folder: Path, metrics: MetricOptions, root: str | None = None, name: str = "") -> Record:
    """Score the trial in a folder by further metrics, and put them into its record beside the others.

    Codes that are missing are made again from the checkpoint. Raises ValueError for a trial that failed, or that has
    neither codes nor a checkpoint.
    """
    record = read_record(folder / RECORD_FILE)
    if record.status != "ok":
        raise ValueError(f"the trial failed: {record.error_line}")
    options = {**record.metric_options, **metrics}
    versions = metric_versions(metrics)
    if all(
        record.metric_options.get(metric) == metrics[metric] and record.metric_versions.get(metric) == versions[metric]
        for metric in metrics
    ):
        return record
    for (evaluation, table), scores in zip(tables(folder, record, root), scored_parts(record), strict=True):
        added = Evaluation(rows=len(table.codes))
        what = f"{name or record.trial.id}: scoring {evaluation}"
        score_table(added, table, metrics, what)
        merge(scores, added, metrics)
    record.metric_options, record.metric_versions = options, {**record.metric_versions, **versions}
    record.command = reproducing_command(record.trial, options, root, record.evaluation_options)
    record.plugins = rescored(record.plugins, options)
    write_record(record, folder)
    return record


def scored_parts(record: Record) -> list[Record | Evaluation]:
    """List the parts of a record that have scores, the first evaluation first."""
    return [record, *record.evaluations.values()]


def tables(folder: Path, record: Record, root: str | None) -> Iterator[tuple[str, NamedTable]]:
    """Read the codes of each evaluation, or make all of them again where a file is missing or damaged."""
    files = {record.evaluation: CODES, **{name: FURTHER_CODES.format(name) for name in record.evaluations}}
    try:
        found = {name: encoding.read_codes(folder / file, record.trial) for name, file in files.items()}
    except (OSError, ValueError) as error:
        encode_again(folder, record, root, files, error)
        found = {name: encoding.read_codes(folder / file, record.trial) for name, file in files.items()}
    yield from found.items()


def encode_again(folder: Path, record: Record, root: str | None, files: dict[str, str], error: Exception) -> None:
    """Write the codes of a trial from its checkpoint."""
    if not (folder / CHECKPOINT).is_file():
        raise ValueError(
            f"it has neither codes nor a checkpoint ({error}). Run the trial again: {record.command}"
        ) from error
    log.info("%s: encoding again, because %s", record.trial.id, error)
    made = encoding.encode_checkpoint(folder / CHECKPOINT, root, record.evaluation_options)[2]
    if set(made) != set(files):
        load(record.trial.dataset, root, **record.trial.dataset_options)
        raise ValueError(
            f"its dataset names the evaluations {', '.join(made)} now, and the record has {', '.join(files)}."
        )
    for name, file in files.items():
        encoding.write_codes(made[name], folder / file, record.trial)


def merge(scores: Record | Evaluation, added: Evaluation, metrics: MetricOptions) -> None:
    """Put added scores beside those that are there. Earlier ones of the same metric go."""
    for part in (scores, *scores.further_views.values()):
        for field in MERGED:
            for metric in metrics:
                getattr(part, field, {}).pop(metric, None)
    for field in MERGED:
        getattr(scores, field).update(getattr(added, field))
    for found in scores.views.values():
        for metric in metrics:
            found.pop(metric, None)
    for view, found in added.views.items():
        scores.views.setdefault(view, {}).update(found)
    for view, further in added.further_views.items():
        if view not in scores.further_views:
            scores.further_views[view] = further
            continue
        for field in ("floor", "skipped", "detail"):
            getattr(scores.further_views[view], field).update(getattr(further, field))
