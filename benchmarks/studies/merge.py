"""Copy trials from several folders into one. Copies are complete or absent, and nothing is overwritten."""

import os
import secrets
import shutil
import stat
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from disbench.benchmarks.runtime.locks import LOCK, try_lock
from disbench.datasets.storage.atomic import TEMPORARY, write_atomic
from disbench.datasets.untrusted import printable, read_regular
from disbench.reports.records import LARGEST, RECORD_FILE, Record
from disbench.reports.records.collect import Found, collect
from disbench.reports.records.reasons import reason_of

HIDDEN = (".disbench-merge-*", ".merge-*")  # version 0.1 made the second
COMPARED = (
    "floor",
    "ceiling",
    "skipped",
    "metric_options",
    "provenance",
    "evaluations",
)  # of a record, beside the scores of its views


class Merged(NamedTuple):
    """How many trials were `copied` and how many were not because they are there or come twice (`kept`).

    `remade` names trials among the kept whose records agree on every score and differ in something else, such as the machine.
    `left_out` (path, reason) could not be read or copied.
    """

    copied: int
    kept: int
    remade: tuple[str, ...]
    left_out: tuple[tuple[str, str], ...]


def merge_folders(out: Path, folders: Sequence[Path]) -> Merged:
    """Copy every trial below `folders` to `out`, each once.

    Raises ValueError before anything is copied where two records of a trial disagree, and FileNotFoundError for a folder
    without records. Raises OSError where `out` cannot be written to; complete copies stay, and the next call goes on.
    """
    for folder in folders:
        real_out, real_folder = Path(os.path.realpath(out)), Path(os.path.realpath(folder))
        if real_out.is_relative_to(real_folder) or real_folder.is_relative_to(real_out):
            raise ValueError(f"merge needs a folder apart from those it reads, got {out} for {folder}.")
    known = {record.trial.id: (path, record) for path, record in _found(out)}
    wanted: dict[str, Found] = {}
    left_out: list[tuple[str, str]] = []
    remade: list[str] = []
    kept = 0
    for folder in folders:
        collection = collect(folder)
        left_out += [(printable(folder / path), reason) for path, reason in collection.unreadable]
        for path, record in collection.found:
            trial = record.trial.id
            earlier = known.get(trial) or wanted.get(trial)
            if earlier is None or (trial in wanted and finished_at_last(earlier[1], record)):
                kept += earlier is not None
                wanted[trial] = (path, record)
                continue
            agree(earlier, (path, record))
            kept += 1
            if _record_of(earlier[0]) != _record_of(path):
                remade.append(trial)
    for trial in wanted:
        if (out / trial).exists():
            raise ValueError(f"{out / trial} is there but holds no readable record. Move it away, then merge again.")
    out.mkdir(parents=True, exist_ok=True)
    remove_cut_off_copies(out)
    copied = 0
    for trial, (path, _) in wanted.items():
        try:
            copy_trial(path, out / trial)
            copied += 1
        except UnreadableError as error:
            left_out.append((printable(path), reason_of(error)))
    return Merged(copied, kept, tuple(dict.fromkeys(remade)), tuple(left_out))


class UnreadableError(ValueError):
    """A trial's own files cannot be copied, and others can."""


def copy_trial(source: Path, target: Path) -> None:
    """Copy a trial's regular files under a hidden name, its record last, and rename the copy to `target`.

    Links, which may lead anywhere, pipes and devices are left behind, and so are other trials inside the folder. While the
    copy is made its lock is held, so that another merge does not take it for one that was cut off.
    """
    record = _record_of(source)
    hidden = target.with_name(f".disbench-merge-{secrets.token_hex(8)}")
    try:
        with try_lock(hidden):
            room = shutil.disk_usage(hidden).free
            for path in _files(source):
                room -= _allocated(path)
                if room < 0:
                    raise UnreadableError(f"the disk of {target.parent} has no room for {path.name}.")
                _copy_file(path, hidden / path.relative_to(source))
            write_atomic(hidden / RECORD_FILE, record)
            hidden.rename(target)
        (target / LOCK).unlink(missing_ok=True)
    finally:
        shutil.rmtree(hidden, ignore_errors=True)


def remove_cut_off_copies(out: Path) -> None:
    """Remove the hidden copies that killed merges left in `out`; one that a merge is making now is locked and stays."""
    for pattern in HIDDEN:
        for path in out.glob(pattern):
            if path.is_dir() and not path.is_symlink():
                with try_lock(path) as ours:
                    if ours:
                        shutil.rmtree(path, ignore_errors=True)


def _found(folder: Path) -> Sequence[Found]:
    try:
        return collect(folder).found
    except FileNotFoundError:
        return ()


def _record_of(folder: Path) -> bytes:
    """A trial's record as it is in its file."""
    try:
        return read_regular(folder / RECORD_FILE, LARGEST)
    except (OSError, ValueError) as error:
        raise UnreadableError(f"{folder / RECORD_FILE} cannot be read: {reason_of(error)}") from error


def _files(source: Path) -> Iterable[Path]:
    """The regular files of a trial, but for its record and lock."""
    try:
        for where, folders, names in os.walk(source, onerror=_raise):
            place = Path(where)
            folders[:] = [name for name in folders if not (place / name / RECORD_FILE).exists()]
            for path in (place / name for name in names):
                own = path in (source / RECORD_FILE, source / LOCK) or TEMPORARY.fullmatch(path.name)
                if own or not stat.S_ISREG(path.lstat().st_mode):
                    continue
                yield path
    except OSError as error:
        raise UnreadableError(f"{source} cannot be read: {reason_of(error)}") from error


def _raise(error: OSError) -> None:
    raise error


def _allocated(path: Path) -> int:
    """Bytes that a file takes on its disk: a sparse one takes less than its size."""
    found = path.stat()
    return min(found.st_size, found.st_blocks * 512)


def _copy_file(source: Path, target: Path) -> None:
    """Copy a file's content; its holes stay holes where the system says where they are."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        reading = source.open("rb")
    except OSError as error:
        raise UnreadableError(f"{source} cannot be read: {reason_of(error)}") from error
    with reading, target.open("xb") as writing:
        size = os.fstat(reading.fileno()).st_size
        end = 0
        while end < size:
            start, end = _next_data(reading.fileno(), end, size)
            reading.seek(start)
            writing.seek(start)
            shutil.copyfileobj(_Part(reading, end - start), writing)
        writing.truncate(size)
        writing.flush()
        os.fsync(writing.fileno())


def _next_data(descriptor: int, offset: int, size: int) -> tuple[int, int]:
    """Where the next bytes that are not a hole start and end."""
    if not hasattr(os, "SEEK_DATA"):
        return offset, size
    try:
        start = os.lseek(descriptor, offset, os.SEEK_DATA)
        return start, os.lseek(descriptor, start, os.SEEK_HOLE)
    except OSError:  # there is only a hole until the end, or a file system that does not say
        return size, size


class _Part:
    """The next `left` bytes of a file, as a file."""

    def __init__(self, file: Any, left: int) -> None:
        self.file, self.left = file, left

    def read(self, size: int = -1, /) -> bytes:
        content: bytes = self.file.read(self.left if size < 0 else min(size, self.left))
        self.left -= len(content)
        return content


def finished_at_last(earlier: Record, later: Record) -> bool:
    return earlier.status == "failed" and later.status == "ok"


def agree(one: Found, other: Found) -> None:
    """Raise ValueError that names both where two records of a trial cannot stand for each other."""
    (here, first), (there, second) = one, other
    if finished_at_last(first, second):
        raise ValueError(
            f"{here} failed, and the same trial finished in {there}. Move the first away, then merge again."
        )
    if second.status == "failed":  # what is there finished, or failed as well
        return
    ours, theirs = as_compared(first), as_compared(second)
    for key in (*ours, *theirs):
        if ours.get(key) != theirs.get(key):
            raise ValueError(
                f"{here} and {there} are the same trial with different scores ({key}: {ours.get(key, 'none')} and "
                f"{theirs.get(key, 'none')}). Nothing was copied. Find out which is right and leave the other out."
            )


def as_compared(record: Record) -> dict[str, str]:
    """What two records of one trial must agree on, as text, so that a NaN equals a NaN."""
    found = {
        f"{key}, {view} view": str(score) for view, scores in record.views.items() for key, score in scores.items()
    }
    for name in COMPARED:
        value = getattr(record, name)
        found |= (
            {f"{name}.{key}": str(own) for key, own in value.items()} if isinstance(value, dict) else {name: str(value)}
        )
    return found
