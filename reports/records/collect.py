"""Read a folder of trials, even if some files are damaged.

Curves and details are six bytes of seven and are shown for few trials, so `collect` leaves them unread: they stay in the file,
and `whole` reads them for one trial. Ten thousand records take a tenth of the memory so, and a fifth of the time. A file that is
broken within them alone, which no writer of ours leaves behind, still gives its scores, and its own page says what is wrong.
"""

import gc
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import Field, GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

from disbench.datasets.untrusted import printable, read_regular
from disbench.reports import records
from disbench.reports.records import RECORD_FILE, SCHEMA_VERSION, STUDY_FILE, Record
from disbench.reports.records.left_out import problem
from disbench.reports.records.reasons import FROM_VALUES, reason_of

CULPRITS = 100  # records that are searched for before the search is given up
Found = tuple[Path, Record]
T = TypeVar("T")


class _Unread:
    """Of a field: any value in a file becomes an empty dict, and no Python object is made of it."""

    def __get_pydantic_core_schema__(self, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.with_default_schema(core_schema.none_schema(), default_factory=dict, on_error="default")


class _View(records.FurtherView):
    detail: Annotated[dict[str, Any], _Unread()] = Field(default_factory=dict)


class _Evaluation(records.Evaluation):
    detail: Annotated[dict[str, Any], _Unread()] = Field(default_factory=dict)
    further_views: dict[str, _View] = Field(default_factory=dict)  # type: ignore[assignment]


class Summary(Record):
    """A record whose curves and details were left in its file."""

    curves: Annotated[dict[str, list[tuple[int, float]]], _Unread()] = Field(default_factory=dict)
    detail: Annotated[dict[str, Any], _Unread()] = Field(default_factory=dict)
    further_views: dict[str, _View] = Field(default_factory=dict)  # type: ignore[assignment]
    evaluations: dict[str, _Evaluation] = Field(default_factory=dict)  # type: ignore[assignment]


@dataclass(frozen=True)
class Collection:
    """Hold the records below a folder.

    Parameters
    ----------
    folder : Path
        The folder that was searched.
    found : tuple of (Path, Record)
        Each trial folder, and the summary of its record, in path order.
    unreadable : tuple of (str, str)
        Path and error of each file that could not be read.
    newest : float
        Modification time of the newest record file, in seconds since 1970.
    studies : tuple of Path
        Folders that contain a study of estimators.
    """

    folder: Path
    found: tuple[Found, ...]
    unreadable: tuple[tuple[str, str], ...]
    newest: float  # modification time of the newest record file, in seconds since 1970
    studies: tuple[Path, ...] = ()


@contextmanager
def no_garbage_collection() -> Iterator[None]:
    """Pause the search for cycles where many objects are made and kept: it would take half of the reading time."""
    searching = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if searching:
            gc.enable()


@no_garbage_collection()
def collect(folder: Path) -> Collection:
    """Read the summary of every record below a folder. Curves and details stay in the files.

    Parameters
    ----------
    folder : Path
        Any folder with trial folders below it.

    Returns
    -------
    Collection
        The records in path order. A file that cannot be read is listed with its error.

    Raises
    ------
    FileNotFoundError
        If there is no record file at all, because an empty leaderboard would look like a result.

    Examples
    --------
    >>> from disbench.reports.records.collect import collect
    >>> from pathlib import Path
    >>> from disbench.reports.records import Record, Trial, write_record
    >>> trial = Trial(method="vae", dataset="dsprites_like", dataset_version="1", seed=0, steps=100, batch_size=64)
    >>> record = Record(trial=trial, status="ok", views={"mean": {"mig": 0.25}})
    >>> path = write_record(record, Path("runs") / trial.id)
    >>> collection = collect(Path("runs"))
    >>> len(collection.found), collection.unreadable
    (1, ())
    """
    folder = Path(folder)
    held: dict[str, list[Path]] = {RECORD_FILE: [], STUDY_FILE: []}
    for where, folders, files in os.walk(folder):
        # A hidden folder holds a copy that was cut off. A pipe or a link that is named as a record is among the files.
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in held.keys() & {*files, *folders}:
            held[name].append(Path(where))
    places, studies = (sorted(own, key=lambda place: place.parts) for own in held.values())
    if not places:
        state = "holds none" if folder.is_dir() else "is not a folder"
        raise FileNotFoundError(
            f"A leaderboard needs trial folders with a {RECORD_FILE} each, but {folder} {state}. "
            f"Make some with: disbench run quick --out {folder}"
        )
    found: list[tuple[Path, Record]] = []
    unreadable: list[tuple[str, str]] = []
    newest = 0.0
    for place in places:
        path = place / RECORD_FILE
        name = _name(folder, place)
        try:
            newest = max(newest, path.lstat().st_mtime)
            record = _summary(path)
            reason = problem(record)
            if record.schema_version != SCHEMA_VERSION:
                reason = f"schema version {record.schema_version}; this version of disbench reads {SCHEMA_VERSION}."
        except (OSError, *FROM_VALUES) as error:
            # The message names the absolute path, which differs between machines: the page names the relative one.
            unreadable.append((name, reason_of(error).replace(printable(path), RECORD_FILE)))
            continue
        if reason is not None:
            unreadable.append((name, reason))
            continue
        found.append((place, record))
    return Collection(folder, tuple(found), tuple(unreadable), newest, tuple(studies))


def without_culprits(collection: Collection, work: Callable[[Sequence[Found]], T]) -> tuple[T, Collection]:
    """Apply `work` to all records that it can handle; return its result, and the collection without the others.

    A record is left out where the records before it pass and those up to it do not; halving finds it. Raises the error
    as ValueError where no record passes, or where more than CULPRITS do not.
    """
    left_out: list[tuple[str, str]] = []
    found = list(collection.found)
    while True:
        try:
            done = work(found)
        except FROM_VALUES as error:
            if not found or len(left_out) == CULPRITS:
                raise ValueError(f"The records in {collection.folder} cannot be shown: {reason_of(error)}") from error
            place, reason = _culprit(found, work, error)
            left_out.append((_name(collection.folder, found.pop(place)[0]), reason))
            continue
        unreadable = tuple(sorted((*collection.unreadable, *left_out)))
        return done, replace(collection, found=tuple(found), unreadable=unreadable) if left_out else collection


def _culprit(found: Sequence[Found], work: Callable[[Sequence[Found]], Any], error: Exception) -> tuple[int, str]:
    low, high, reason = 0, len(found), reason_of(error)  # the first `low` pass, or are none; the first `high` do not
    while high - low > 1:
        middle = (low + high) // 2
        try:
            work(found[:middle])
            low = middle
        except FROM_VALUES as nearer:
            high, reason = middle, reason_of(nearer)
    return low, reason


def whole(folder: Path, record: Record) -> Record:
    """Read the curves and details of a summary from the file in its trial's folder; any other record stays as it is.

    Where they cannot be read the record stays without them and has a remark that says so.
    """
    if not isinstance(record, Summary):
        return record
    try:
        found = records.read_record(folder / RECORD_FILE)
        return found.evaluated(record.evaluation) if record.evaluation in found.evaluations else found
    except (OSError, *FROM_VALUES) as error:
        reason = reason_of(error).replace(printable(folder / RECORD_FILE), RECORD_FILE)
        return record.model_copy(
            update={"remarks": [*record.remarks, f"Curves and details could not be read: {reason}"]}
        )


def _name(folder: Path, place: Path) -> str:
    return printable((place / RECORD_FILE).relative_to(folder).as_posix())


def _summary(path: Path) -> Record:
    content = _without(_without(read_regular(path, records.LARGEST), b"detail"), b"curves")
    try:
        return records.migrated(Summary.model_validate_json(content))
    except ValueError:
        return records.read_record(path)  # raises the same error in the words meant for readers


def _without(content: bytes, field: bytes) -> bytes:
    """Cut the lines of one field out of a record as `write_record` lays it out; any other file stays as it is.

    A line break cannot stand inside a JSON string, so a line of one space and a name is a field of the record. The fields left
    out are then not even parsed.
    """
    before, _, rest = content.partition(b'\n "%s": {\n' % field)
    _, _, after = rest.partition(b"\n },")
    return before + after
