"""Download official files, and verify the published checksum before a file appears in the data folder.

The bytes are brought by `transfer`: what has come stays in the cache folder, and the next attempt, the next mirror or the next
process goes on from there.
"""

import errno
import logging
import os
import re
import shutil
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from hashlib import sha256
from pathlib import Path

from filelock import FileLock, Timeout

from disbench.datasets.storage.atomic import write_atomic
from disbench.datasets.storage.cache import cache_folder
from disbench.datasets.storage.files import OfficialFile, Source, candidates, checksum, data_root, sha256_of
from disbench.datasets.storage.transfer import TIMEOUT, WAITS, Transfer, UnusableError
from disbench.datasets.wording import amount

_log = logging.getLogger(__name__)

DIGITS = {"md5": 32, "sha256": 64}


def download(
    source: Source,
    root: str | Path | None = None,
    *,
    accept_license: bool = False,
    checksum: Mapping[str, str] | str | None = None,
    waits: Sequence[float] = WAITS,
    timeout: tuple[float, float] = TIMEOUT,
) -> list[Path]:
    """The files of an official set, in the order of `source.files`; those that are not there yet are put into its first folder.

    A file that is there, in any place where the set's reader looks, is compared and left alone; one of another content is an
    error, never overwritten. `accept_license` is needed for the download of a restricted set. `checksum` replaces the published
    one, as 'sha256:...' or 'md5:...': of the only file, or by file name. `waits`, in seconds, and `timeout`, to connect and to
    read, say how patient to be with a mirror: it is given up when as many further attempts in a row bring nothing new.

    Raises ValueError for terms that were not accepted (before any request is made), for a file that is there and is another one,
    for a file that no mirror gave, with the reason of each, and, once the others are there, for files that only a person can
    fetch or that nothing could be compared with. Raises OSError where a disk is too full or a folder cannot be written.
    """
    expected = expected_checksums(source, checksum)
    found = {file.name: present(root, source, file.name) for file in source.files}
    for name, path in found.items():
        if path is not None:
            _check_in_place(path, expected[name])
    missing = [file for file in source.files if found[file.name] is None]
    if missing and source.restricted and not accept_license:
        raise ValueError(
            f"{source.name} comes on terms that you have to agree to first: {source.licence}. Read them at {source.homepage}.\n"
            f"If you agree: disbench data download {source.name} --accept-license (in Python: accept_license=True)."
        )
    by_hand = [file for file in missing if not (file.urls and expected[file.name])]
    for file in missing:
        if file not in by_hand:
            found[file.name] = _fetch(file, expected[file.name], source, data_root(root), waits, timeout)
    if by_hand:
        folder = (data_root(root) / source.folders[0]).absolute()
        raise ValueError("\n".join([*(_by_hand(file, folder) for file in by_hand), source.manual]).strip())
    return [path for path in found.values() if path is not None]


def expected_checksums(source: Source, replaced: Mapping[str, str] | str | None = None) -> dict[str, str]:
    """The checksum that each file of a set should have, as 'md5:...' or 'sha256:...' in lower case; '' where it is not known.

    `replaced` is one checksum, of a set with one file, or some by file name. Raises ValueError for anything else.
    """
    published = {file.name: file.checksum.lower() for file in source.files}
    if isinstance(replaced, str):
        if len(published) != 1:
            raise ValueError(
                f"{source.name} has {len(published)} files, so name the one: {next(iter(published))}=sha256:..."
            )
        replaced = dict.fromkeys(published, replaced)
    replaced = {name: text.strip().lower() for name, text in (replaced or {}).items()}
    unknown = sorted(set(replaced) - set(published))
    if unknown:
        raise ValueError(f"{source.name} has no file {', '.join(unknown)}; it has {', '.join(published)}.")
    for name, text in replaced.items():
        algorithm, _, digits = text.partition(":")
        if re.fullmatch(r"[0-9a-f]+", digits) is None or len(digits) != DIGITS.get(algorithm):
            raise ValueError(
                f"The checksum of {name} needs to be 'sha256:' and 64 hexadecimal digits, or 'md5:' and 32, got {text!r}."
            )
    return {**published, **replaced}


def present(root: str | Path | None, source: Source, name: str) -> Path | None:
    """The path of a file at the first place that the set's reader would take it from; None where there is none."""
    return next((path for path in candidates(root, source, name) if path.exists()), None)


def _check_in_place(path: Path, expected: str) -> None:
    if not expected:
        _log.info("%s is there. Its checksum is not known, so it was not compared with anything.", path)
        return
    algorithm, _, digits = expected.partition(":")
    if not _matches(path, algorithm, digits):
        raise ValueError(
            f"{path.absolute()} is not the file that was published: expected {expected}, "
            f"got {algorithm}:{checksum(path, algorithm)}. It was left as it is. Delete it, or move it elsewhere, and run the "
            "command again; or, for an edition that you have accepted before, give its checksum again."
        )
    _log.info("%s is there, and its checksum is right.", path)


def _matches(path: Path, algorithm: str, digits: str) -> bool:
    """Whether a file has a checksum. Remembered, as `sha256_of` is, so that a set of 12 GB is not read for every question."""
    content = sha256_of(path)
    if algorithm == "sha256":
        return content == digits
    note = cache_folder() / algorithm / f"{content[:32]}-{digits}"  # the content's name: it cannot become outdated
    if note.exists():
        return True
    right = checksum(path, algorithm) == digits
    if right:
        try:
            write_atomic(note, b"")
        except OSError as error:
            _log.info("That %s was compared is not kept for the next process: %s.", path, error)
    return right


def _by_hand(file: OfficialFile, folder: Path) -> str:
    path = folder / file.name
    if not file.urls:
        return f"{file.name} cannot be fetched by a program. Put it at {path}."
    return (
        f"The checksum of {file.name} is not known, so a download could not be compared with anything. Fetch it yourself from "
        f"{' or '.join(file.urls)} and put it at {path}. Or, if you have its checksum from somebody who has opened the file, "
        "give it: --checksum sha256:... (in Python: checksum='sha256:...')."
    )


def _fetch(
    file: OfficialFile,
    expected: str,
    source: Source,
    root: Path,
    waits: Sequence[float],
    timeout: tuple[float, float],
) -> Path:
    """Bring a file from the first mirror that gives the right one, by one process at a time."""
    path = root / source.folders[0] / file.name
    path.parent.mkdir(parents=True, exist_ok=True)
    if not os.access(path.parent, os.W_OK):
        raise PermissionError(errno.EACCES, "The data folder cannot be written", str(path.parent))
    # Named after what is fetched, not from where: every mirror continues with the same bytes.
    store = cache_folder() / "downloads" / sha256(f"{expected}\n{file.name}".encode()).hexdigest()[:32]
    store.parent.mkdir(parents=True, exist_ok=True)
    with _locked(store.with_suffix(".lock"), file.name):
        if path.exists():  # another process has brought it while this one waited
            _check_in_place(path, expected)
            return path
        # A replaced checksum means another edition, of which the size is not known.
        size = file.size if expected == file.checksum.lower() else None
        transfer = Transfer(file.name, expected, size, store, path.parent, waits, timeout, file.size)
        failures = []
        for url in file.urls:
            try:
                whole = transfer.from_mirror(url)
            except UnusableError as error:
                _log.warning("%s did not give the file: %s", url, error)
                failures.append(f"  {url}\n    {error}")
                continue
            _place(whole, path)
            shutil.rmtree(store, ignore_errors=True)
            return path
        kept = transfer.have()
        if not kept:
            shutil.rmtree(store, ignore_errors=True)
    message = [f"{file.name} could not be fetched:", *failures]
    if kept:
        message.append(f"{amount(kept)} of it are kept in {store}; the same command goes on from there.")
    if transfer.other_edition:
        name = "" if len(source.files) == 1 else f"{file.name}="
        message.append(
            f"If you have made sure, at {source.homepage}, that a new edition was published and that this is its sha256, "
            "accept it:\n"
            f"  disbench data download {source.name} --checksum {name}{transfer.other_edition}"
        )
    raise ValueError("\n".join([*message, source.manual]).strip())


def _locked(path: Path, name: str) -> AbstractContextManager[object]:
    lock = FileLock(path)
    try:
        return lock.acquire(timeout=0)
    except Timeout:
        _log.info("Another process is fetching %s; waiting for it.", name)
        return lock.acquire()


def _place(whole: Path, path: Path) -> None:
    """Give the right file its name in the data folder. Between two disks it is copied under a hidden name first."""
    if path.exists():
        raise FileExistsError(
            errno.EEXIST, "Something was put here during the download, and is left as it is", str(path)
        )
    try:
        whole.replace(path)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        near = path.with_name(f".{path.name}.part")
        try:
            shutil.copyfile(whole, near)
            near.replace(path)
        finally:
            near.unlink(missing_ok=True)
