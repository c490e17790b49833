"""One trial in one folder: train, encode, score, draw, record. A finished trial is not run again."""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch

from disbench.baselines.method import Method
from disbench.baselines.networks import count_parameters
from disbench.benchmarks import METHODS
from disbench.benchmarks.plugins.packages import provide_for
from disbench.benchmarks.plugins.registries import entries_of, rescored, used
from disbench.benchmarks.runtime.environment import environment, forget_peaks, peaks
from disbench.benchmarks.runtime.failures import classify, disk_full_as_one_error, told
from disbench.benchmarks.runtime.machine import Machine, determinism
from disbench.benchmarks.settings import defaults
from disbench.benchmarks.settings.command import reproducing_command
from disbench.benchmarks.settings.defaults import Evaluations, MetricOptions
from disbench.benchmarks.settings.score_schedule import ScoreSchedule
from disbench.benchmarks.training.checkpoint import delete_resume_files
from disbench.benchmarks.training.contracts import no_pictures
from disbench.benchmarks.training.loop import ON_THIS_MACHINE, build, train
from disbench.benchmarks.training.progress import title
from disbench.benchmarks.trials import encode as encoding, existing, reconstruction
from disbench.benchmarks.trials.encode import Codes, NamedTable
from disbench.benchmarks.trials.existing import CHECKPOINT, CODES, FURTHER_CODES
from disbench.benchmarks.trials.reconstruction import IMAGES, RECONSTRUCTION
from disbench.benchmarks.trials.score import score_shown
from disbench.benchmarks.trials.tables.shift import measure_shifts
from disbench.benchmarks.trials.traversals import draw, limit_remark, optional
from disbench.datasets import FactorDataset
from disbench.datasets.storage.atomic import remove_temporary_files
from disbench.metrics.views import MEAN, views
from disbench.reports.records import Evaluation, FurtherView, Record, Trial, write_record

log = logging.getLogger(__name__)


@contextmanager
def timed(record: Record, stage: str) -> Iterator[None]:
    """Note in the record how long a stage takes."""
    wall, cpu = time.perf_counter(), time.process_time()
    yield
    record.seconds[stage], record.cpu_seconds[stage] = time.perf_counter() - wall, time.process_time() - cpu


def score_into(record: Record, folder: Path, metrics: MetricOptions, name: str = "") -> None:
    """Score the trial's tables and put the scores into its record. Raises ValueError for a table that is not its own."""
    what = f"{name or title(record.trial)}: scoring"
    with timed(record, "score"):
        table = encoding.read_codes(folder / CODES, record.trial)
        record.view_contents = score_table(record, table, metrics, what)
        for evaluation, own in record.evaluations.items():
            table = encoding.read_codes(folder / FURTHER_CODES.format(evaluation), record.trial)
            score_table(own, table, metrics, f"{what} {evaluation}")
    record.metric_options, record.metric_versions = metrics, defaults.metric_versions(metrics)


def score_table(scores: Record | Evaluation, table: NamedTable, metrics: MetricOptions, what: str) -> dict[str, str]:
    """Score every view of one table, and describe what each holds. `what` is shown as what is being done."""
    found, scores.missing_views = views(table.codes, table.group, table.codes_std)
    scores.views, scores.further_views = {}, {}
    for view_name, view in found.items():
        shown = what + f" {view_name} view" * (view_name != MEAN)
        groups = table.group if view_name == MEAN else None  # a column of the other view is a group
        quantized = table.quantized and view_name == MEAN  # a component of several codes takes many values
        columns = {"codes_std": view.codes_std, "groups": groups, "quantized": quantized}
        scored = score_shown(shown, view.codes, table.factors, metrics, **columns)
        scores.views[view_name] = scored.scores
        if view_name == MEAN:
            scores.floor, scores.ceiling = scored.floor, scored.ceiling
            scores.skipped, scores.detail = scored.skipped, scored.detail
        else:
            scores.further_views[view_name] = FurtherView(
                codes=list(view.names), floor=scored.floor, skipped=scored.skipped, detail=scored.detail
            )
    return {view_name: view.content(view_name, table.shape, table.quantized) for view_name, view in found.items()}


def scored_again(
    done: Record,
    folder: Path,
    metrics: MetricOptions,
    evaluations: Evaluations,
    root: str | None,
    name: str = "",
) -> Record | None:
    """Score a finished record by other metrics, settings or versions; None if its codes need to be made again.

    Where a metric raises an error the record in the folder stays, and a failed one is returned.
    """
    if done.evaluation_options != evaluations:
        return None
    try:
        for file in (CODES, *(FURTHER_CODES.format(evaluation) for evaluation in done.evaluations)):
            encoding.read_codes(folder / file, done.trial)
    except (ValueError, OSError) as error:
        log.warning("%s cannot be scored again, its codes are made anew: %s", done.trial.id, error)
        return None
    record = done.model_copy(deep=True)
    try:
        log.info("%s: scoring again", name or title(done.trial))
        score_into(record, folder, metrics, name)
    except Exception as error:
        log.exception("%s cannot be scored; its earlier record is kept", done.trial.id)
        return done.model_copy(update={"status": "failed", "failure": classify(error), "error": told(error)})
    record.command = reproducing_command(record.trial, metrics, root, evaluations)
    record.plugins = rescored(done.plugins, metrics)
    write_record(record, folder)
    return record


def measure_reconstruction(
    record: Record, method: Method, dataset: FactorDataset, codes: Codes, device: torch.device
) -> None:
    """Put the quality of reconstructions into the record, or the reason why there is none."""
    if (reason := no_pictures(method)) is not None:
        record.reconstruction_skipped = dict.fromkeys(RECONSTRUCTION, reason)
        record.remarks.append(f"{reason} So no picture of it is drawn and no reconstruction is measured.")
        return
    failed = "The quality of reconstructions"
    record.reconstruction_skipped = dict.fromkeys(RECONSTRUCTION, f"{failed} could not be measured; see the remarks.")
    with optional(record, failed):
        rows = reconstruction.fixed_rows(torch.from_numpy(codes.rows), reconstruction.decoded(method, IMAGES))
        if method.decode_limit is not None:
            record.remarks.append(limit_remark(method, len(codes.code_names), len(rows)))
        found, missing = reconstruction.reconstruction_quality(method, dataset, rows, device)
        record.reconstruction, record.reconstruction_skipped = found, missing


def run_trial(
    trial: Trial,
    dataset: FactorDataset,
    out: Path,
    metrics: MetricOptions,
    evaluations: Evaluations | None = None,
    *,
    machine: Machine = ON_THIS_MACHINE,
    root: str | None = None,
    name: str = "",
    schedule: ScoreSchedule | None = None,
) -> Record:
    """Train, encode, score, draw and record one trial in `out/trial.id`. A finished trial is not run again.

    A trial that was stopped or killed resumes from its last checkpoint; on a CPU the result is bit-exact. An error becomes a
    failed record, and the next call runs the trial again; a failure never replaces a finished record. Ctrl-C and a full disk
    leave no record. Hold `locks.try_lock` on the folder if another process may run the trial at the same time.

    Parameters
    ----------
    trial : Trial
        What to run. Missing hyperparameters get their defaults, so the trial in the record may have another `id`.
    dataset : FactorDataset
        The opened dataset of the trial.
    out : Path
        Folder of trial folders.
    metrics : dict of dict
        Keywords of each metric, by its name in `METRICS`.
    evaluations : dict of dict, optional
        Ranges of factors by name. These rows are scored, too, beside the dataset's own `evaluations`.
    root : str, optional
        Folder that the dataset was opened in, for the record's command.
    machine : Machine
        Device, threads and other settings that do not decide the result.
    name : str, optional
        Name of the trial in the log; by default its title.
    schedule : ScoreSchedule, optional
        When the trial is scored during training, for its learning curves. It changes no other result.

    Returns
    -------
    Record
        It is also in `record.json`.

    Raises
    ------
    ValueError
        If the method does not take a value.
    OSError
        If the disk is full.
    NewerRecordError
        If the folder has the record of a later version of disbench.

    Examples
    --------
    >>> from pathlib import Path
    >>> from disbench.benchmarks.trials.trial import run_trial
    >>> from disbench.datasets import load
    >>> from disbench.reports.records import Trial
    >>> select = {"shape": 0, "scale": 0, "orientation": "0-1", "position_x": "0-1", "position_y": "0-1"}
    >>> dataset = load("dsprites_like", select=select)
    >>> trial = Trial(
    ...     method="vae", dataset="dsprites_like", dataset_options={"select": select}, dataset_version=dataset.version, seed=0,
    ...     steps=1, batch_size=4, hparams={"network": "mlp", "hidden_dim": 8},
    ... )
    >>> record = run_trial(trial, dataset, Path("runs"), {"sap": {}})
    >>> record.status, list(record.scores)
    ('ok', ['sap'])
    """
    provide_for(trial, metrics)
    trial = defaults.resolved_trial(trial)
    folder = out / trial.id
    with disk_full_as_one_error(folder):
        done = existing.existing_record(trial, folder)
        finished = done is not None and done.status == "ok"
        if done is not None and finished:
            if defaults.scored_by(done, metrics, evaluations):
                return done
            if (again := scored_again(done, folder, metrics, evaluations or {}, root, name)) is not None:
                return again
        folder.mkdir(parents=True, exist_ok=True)
        remove_temporary_files(folder)
        existing.clear_the_way(folder)
        existing.note_started(trial, folder)
        record = Record(
            trial=trial,
            status="failed",
            provenance=dataset.provenance,
            supervision=METHODS[trial.method].supervision,
            factor_names=list(dataset.factor_names),
            factor_sizes=list(dataset.factor_sizes),
            command=reproducing_command(trial, metrics, root, evaluations, schedule),
            changed_hparams=defaults.changed_hparams(trial),
            evaluation=next(iter(dataset.evaluations)),
            evaluation_options=evaluations or {},
            plugins=used(entries_of(trial, metrics)),
        )
        try:
            with determinism(machine):
                record.environment = environment(torch.device("cpu"))
                _run(record, dataset, folder, metrics, machine, name or title(trial), schedule)
            record.status = "ok"
        except Exception as error:  # whatever went wrong is this trial's result
            record.failure = classify(error)
            if record.failure == "disk full":
                raise
            log.exception("%s failed", trial.id)
            record.error = told(error)
            if record.failure != "out of memory":
                # It would go on to the same end, or from what a method with an error had made.
                delete_resume_files(folder)
        if finished and record.status == "failed":
            log.warning("%s: the earlier record, of other metrics or versions, is kept.", trial.id)
        else:
            write_record(record, folder)
            existing.clear_unopened(trial, out)
        existing.note_ended(folder)
    return record


def encoded(
    record: Record,
    method: Method,
    dataset: FactorDataset,
    rows: torch.Tensor,
    device: torch.device,
    name: str,
    file: str,
    folder: Path,
) -> Codes:
    """Encode rows (M,) and write the codes to a file that the record names. Raises FloatingPointError for NaN."""
    codes = encoding.encode(method, dataset, rows, device, name=name)
    if not np.isfinite(codes.codes).all():
        raise FloatingPointError("The codes are not finite: the run diverged after its last loss was logged.")
    encoding.write_codes(codes, folder / file, record.trial)
    record.artefacts[Path(file).stem] = file
    return codes


def _run(
    record: Record,
    dataset: FactorDataset,
    folder: Path,
    metrics: MetricOptions,
    machine: Machine,
    name: str,
    schedule: ScoreSchedule | None,
) -> None:
    trial = record.trial
    log.info("%s: %s", name, f"training {trial.steps:,} steps" if trial.steps else "encoding and scoring, no training")
    forget_peaks()
    with timed(record, "train"):
        if trial.steps:
            method, curves, device = train(trial, dataset, str(folder / CHECKPOINT), machine, name, schedule)
        else:
            method, device = build(trial, dataset.image_shape, len(dataset.training)), torch.device("cpu")
    record.images_seen = trial.steps * trial.batch_size * method.sampling.images
    if trial.steps:
        resume = curves.resume
        record.seconds["train"], record.cpu_seconds["train"] = resume.seconds, resume.cpu_seconds
        if (scores := curves.scores) is not None:
            record.score_curves, record.score_curve_settings = scores.points, scores.schedule.settings()
            for spent, seconds in ((record.seconds, scores.seconds), (record.cpu_seconds, scores.cpu_seconds)):
                spent["evaluate"], spent["train"] = seconds, max(0.0, spent["train"] - seconds)
        record.images_per_second = record.images_seen / record.seconds["train"]
        record.resumed_at = resume.resumed_at
        record.curves = curves.points
        record.remarks = list(method.remarks)
        record.artefacts["checkpoint"] = CHECKPOINT
    record.environment = environment(device) | {"compiler": machine.compiler or "none"}
    record.parameters = count_parameters(method)

    with timed(record, "encode"):
        chosen = encoding.evaluation_rows(trial, dataset, record.evaluation_options)
        (record.evaluation, first), *further = chosen.items()
        codes = encoded(record, method, dataset, first, device, name, CODES, folder)
        encodings = {record.evaluation: codes}
        for evaluation, rows in further:
            file = FURTHER_CODES.format(evaluation)
            encodings[evaluation] = encoded(record, method, dataset, rows, device, name, file, folder)
            record.evaluations[evaluation] = Evaluation(rows=len(rows))

    score_into(record, folder, metrics, name)
    with timed(record, "decode"):
        with optional(record, "The partition"):
            record.partition = encoding.partition_of(method, codes)
        measure_reconstruction(record, method, dataset, codes, device)
        with optional(record, "The shift between evaluations"):
            measure_shifts(record, method, dataset, encodings, device)
        with optional(record, "The selection scores"):
            rows = torch.from_numpy(codes.rows)
            record.selection_scores = reconstruction.selection_scores(method, dataset, rows, device)
        draw(record, method, dataset, codes, folder)
    record.peak_memory = peaks(device)
