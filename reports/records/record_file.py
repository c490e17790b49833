"""The files of records: `record.json` in the folder of each trial, written atomically."""

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from disbench.datasets.storage.atomic import set_aside, write_atomic
from disbench.datasets.untrusted import read_regular
from disbench.reports.records.reasons import reason_of
from disbench.reports.records.record import LARGEST, RECORD_FILE, SCHEMA_VERSION, Record, migrated

log = logging.getLogger(__name__)


class NewerRecordError(ValueError):
    """A later version of disbench wrote the record. It cannot be read here and is never replaced."""


def write_record(record: Record, folder: Path) -> Path:
    """Write `folder/record.json` whole or not at all.

    Parameters
    ----------
    record : Record
        A record of this schema.
    folder : Path
        Folder of the trial. A record of the same trial is replaced. Any other file of that name is renamed and kept.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    NewerRecordError
        If a later version of disbench wrote the file that is there. The file stays.

    Examples
    --------
    >>> from pathlib import Path
    >>> from disbench.reports.records import Record, Trial, write_record
    >>> trial = Trial(method="vae", dataset="dsprites_like", dataset_version="1", seed=0, steps=100, batch_size=64)
    >>> record = Record(trial=trial, status="ok", views={"mean": {"mig": 0.25}})
    >>> path = write_record(record, Path("runs") / trial.id)
    >>> path.name
    'record.json'
    """
    path = folder / RECORD_FILE
    content = (record.model_dump_json(indent=1) + "\n").encode()
    try:
        earlier = read_record(path)
    except FileNotFoundError:
        pass
    except NewerRecordError:
        raise
    except ValueError as error:
        log.warning("%s The file is kept as %s.", str(error).splitlines()[0], set_aside(path, "unreadable").name)
    else:
        if earlier.trial.id != record.trial.id:
            log.warning("%s is of %s. It is kept as %s.", path, earlier.trial.id, set_aside(path, "other").name)
        elif earlier.migrated_from is not None:
            set_aside(path, f"schema-{earlier.migrated_from}")
    write_atomic(path, content)
    return path


def read_record(path: Path) -> Record:
    """Read one `record.json`.

    Parameters
    ----------
    path : Path
        The file. It stays as it is.

    Returns
    -------
    Record
        A record of schema 1 is converted to this schema.

    Raises
    ------
    ValueError
        If the file is not a record; the message names the file and the field.
    NewerRecordError
        If a later version of disbench wrote it.

    Examples
    --------
    >>> from disbench.reports.records import read_record
    >>> from pathlib import Path
    >>> from disbench.reports.records import Record, Trial, write_record
    >>> trial = Trial(method="vae", dataset="dsprites_like", dataset_version="1", seed=0, steps=100, batch_size=64)
    >>> record = Record(trial=trial, status="ok", views={"mean": {"mig": 0.25}})
    >>> path = write_record(record, Path("runs") / trial.id)
    >>> read_record(path).scores
    {'mig': 0.25}
    """
    content = read_regular(path, LARGEST)
    try:
        record = Record.model_validate_json(content)
        _refuse_newer(path, record.schema_version)
        return migrated(record)
    except NewerRecordError:
        raise
    except (ValueError, RecursionError) as error:
        _refuse_newer(path, _schema_version(content), error)
        raise ValueError(f"{path} is not a disbench record of schema {SCHEMA_VERSION}: {reason_of(error)}") from error


def _refuse_newer(path: Path, found: Any, error: Exception | None = None) -> None:
    if isinstance(found, int) and found > SCHEMA_VERSION:
        raise NewerRecordError(
            f"{path} has schema_version {found}, this disbench reads up to {SCHEMA_VERSION}. "
            "Read it with the disbench that wrote it, or a later one."
        ) from error


def _schema_version(content: bytes) -> Any:
    try:
        return json.loads(content)["schema_version"]
    except (ValueError, TypeError, LookupError, RecursionError):
        return None


def read_records(folder: Path) -> Iterator[tuple[Path, Record]]:
    """Iterate over every record below a folder, in path order.

    Parameters
    ----------
    folder : Path
        Hidden folders below it are skipped.

    Yields
    ------
    tuple of Path and Record
        The folder of a trial, and its record.

    Raises
    ------
    ValueError
        If a file is not a record, as in `read_record`. `collect` lists such files instead.

    Examples
    --------
    >>> from disbench.reports.records import read_records
    >>> from pathlib import Path
    >>> from disbench.reports.records import Record, Trial, write_record
    >>> trial = Trial(method="vae", dataset="dsprites_like", dataset_version="1", seed=0, steps=100, batch_size=64)
    >>> record = Record(trial=trial, status="ok", views={"mean": {"mig": 0.25}})
    >>> path = write_record(record, Path("runs") / trial.id)
    >>> [record.trial.method for _, record in read_records(Path("runs"))]
    ['vae']
    """
    for path in sorted(folder.rglob(RECORD_FILE)):
        if any(part.startswith(".") for part in path.relative_to(folder).parts):
            continue  # a copy that was cut off
        yield path.parent, read_record(path)
