"""Existing results in a folder of trials: which are finished, and which results of earlier versions can be reused.

A folder of version 0.1 has another name than the same trial's folder today. Its record and its checkpoint are read where they
are, and nothing in it is changed.
"""

import functools
import logging
import shutil
import stat
from pathlib import Path

from disbench.benchmarks.plugins.registries import changes_since
from disbench.benchmarks.runtime.locks import LOCK
from disbench.benchmarks.settings.defaults import Evaluations, MetricOptions, scored_by
from disbench.benchmarks.settings.score_schedule import ScoreSchedule
from disbench.benchmarks.training.position import STARTED
from disbench.datasets.storage.atomic import replacing, set_aside, write_atomic
from disbench.reports.records import RECORD_FILE, NewerRecordError, Record, Trial, read_record

log = logging.getLogger(__name__)
CODES, CHECKPOINT = "codes.h5", "model.ckpt"
FURTHER_CODES = "codes-{}.h5"  # of an evaluation after the first, by its name
NOT_OPENED = "not opened"  # the version of a dataset whose own is unknown


def note_started(trial: Trial, folder: Path) -> None:
    """Leave in a trial's folder which trial it is, so that `disbench status` can name it before it has a record."""
    write_atomic(folder / STARTED, trial.model_dump_json().encode())


def note_ended(folder: Path) -> None:
    (folder / STARTED).unlink(missing_ok=True)


def existing_record(trial: Trial, folder: Path) -> Record | None:
    """The record of this trial in a folder; None where there is none, an unreadable one or another trial's.

    Raises NewerRecordError for a record of a later disbench, which must stay.
    """
    try:
        record = read_record(folder / RECORD_FILE)
    except NewerRecordError:
        raise
    except (FileNotFoundError, ValueError):
        return None
    return record if record.trial.id == trial.id else None


class Earlier:
    """The finished trials of version 0.1 in a folder of trials, by the ids that they have today; read when first needed."""

    def __init__(self, out: Path) -> None:
        self.out = out
        self._folders: dict[str, Path] | None = None

    def record(self, trial: Trial) -> tuple[Path, Record] | None:
        if self._folders is None:
            self._folders = {}
            for path in sorted(self.out.glob(f"[!.]*/{RECORD_FILE}")):
                try:
                    record = read_record(path)
                except (OSError, ValueError):
                    continue
                if record.migrated_from is not None and record.status == "ok":
                    self._folders.setdefault(record.trial.id, path.parent)
        if (folder := self._folders.get(trial.id)) is None:
            return None
        try:
            return folder, read_record(folder / RECORD_FILE)
        except (OSError, ValueError):  # it went away meanwhile
            return None

    def reuse(self, trial: Trial) -> None:
        """Copy the checkpoint of a trial that version 0.1 finished to today's folder, where there is none."""
        found = self.record(trial)
        target = self.out / trial.id / CHECKPOINT
        if found is None or target.exists():
            return
        source = found[0] / CHECKPOINT
        if source.is_file():
            log.info("%s was trained by an earlier disbench: the checkpoint in %s is scored.", trial.id, found[0])
            with replacing(target) as partial:
                shutil.copyfile(source, partial)
        else:
            log.warning(
                "%s has scores of other settings or versions of its metrics, and neither codes nor a checkpoint to score. "
                "The trial is trained again; that folder stays as it is.",
                found[0],
            )


def finished(
    trial: Trial,
    out: Path,
    metrics: MetricOptions,
    evaluations: Evaluations | None = None,
    *,
    keep_failed: bool = False,
    earlier: Earlier | None = None,
    schedule: ScoreSchedule | None = None,
) -> Record | None:
    """The record of a trial of which nothing is left to do. Raises NewerRecordError as `existing_record` does."""
    record = existing_record(trial, out / trial.id)
    if record is None or (record.status == "failed" and not keep_failed):
        found = (earlier or Earlier(out)).record(trial)
        record = None if found is None else found[1]
    if record is None or record.status == "failed":
        return record
    if not scored_by(record, metrics, evaluations):
        return None
    for line in changes_since(record):
        _warn_once(line)
    if schedule is not None and trial.steps and not record.score_curves:
        _warn_once(
            f"Trials in {out} were trained without evaluate_every and have no curves of scores. They are kept; remove their "
            "folders to train them again."
        )
    return record


@functools.cache
def _warn_once(line: str) -> None:
    """A suite has many trials of one plugin."""
    log.warning("%s", line)


def clear_the_way(folder: Path) -> None:
    """Rename what stands in a trial's folder where the trial writes a file, and is no file of this folder's.

    A link would redirect writing into another file, such as another trial's codes, a pipe would wait for a reader,
    and a folder cannot be replaced. The next set of files is then the trial's own.
    """
    for path in sorted(folder.iterdir()):
        written = path.name in (RECORD_FILE, CHECKPOINT) or path.suffix in (".png", ".json", ".h5")
        if written and not stat.S_ISREG(path.lstat().st_mode):
            log.warning("%s is not a file of this folder. It is kept as %s.", path, set_aside(path, "not-a-file").name)


def clear_unopened(trial: Trial, out: Path) -> None:
    """Remove the failure of this trial from when its dataset could not be opened, and its version was unknown."""
    folder = out / trial.model_copy(update={"dataset_version": NOT_OPENED}).id
    if not (folder / RECORD_FILE).is_file() or folder == out / trial.id:
        return
    try:
        record = read_record(folder / RECORD_FILE)
    except (OSError, ValueError):
        return
    if record.failure == "dataset missing":
        (folder / RECORD_FILE).unlink(missing_ok=True)
        if {path.name for path in folder.iterdir()} <= {LOCK}:
            shutil.rmtree(folder, ignore_errors=True)
