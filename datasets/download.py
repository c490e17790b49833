"""Official files fetched: each compared with its published checksum before it is seen in the data folder.

pooch (https://www.fatiando.org/pooch, BSD-3-Clause) compares the checksums. The bytes are brought by a downloader of our own,
because these files have up to 12.7 GB and their servers are slow or cut long connections: what has come stays in the cache
folder, and the next attempt, the next mirror or the next process goes on from there.
"""

import errno
import itertools
import logging
import os
import re
import shutil
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import pooch
import requests
import urllib3
from filelock import FileLock, Timeout
from tqdm import tqdm

from disbench.datasets.atomic import write_atomic
from disbench.datasets.cache import cache_folder
from disbench.datasets.files import OfficialFile, Source, candidates, checksum, data_root, sha256_of

_log = logging.getLogger(__name__)

# Seconds before each further attempt at a mirror; after one that brought something they begin again.
WAITS = (1.0, 2.0, 5.0, 10.0)
TIMEOUT = (10.0, 60.0)  # seconds to connect, and to wait for the next bytes
LOG_EVERY = 15.0  # seconds, where there is no terminal for a bar
CHUNK = 2**16
DIGITS = {"md5": 32, "sha256": 64}
WEB_PAGE = "a web page came instead of the file (often a quota or login page)"
TEMPORARY = (408, 425, 429)  # and all from 500 on


class _CutError(Exception):
    """This attempt ended early; another one may go on from where it ended."""


class _UnusableError(Exception):
    """This mirror does not give the file; another one may."""


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
    # Named after what is fetched, not from where: every mirror goes on with the same bytes.
    store = cache_folder() / "downloads" / sha256(f"{expected}\n{file.name}".encode()).hexdigest()[:32]
    store.parent.mkdir(parents=True, exist_ok=True)
    with _locked(store.with_suffix(".lock"), file.name):
        if path.exists():  # another process has brought it while this one waited
            _check_in_place(path, expected)
            return path
        # A replaced checksum means another edition, of which the size is not known.
        size = file.size if expected == file.checksum.lower() else None
        transfer = _Transfer(file.name, expected, size, store, path.parent, waits, timeout)
        failures = []
        for url in file.urls:
            try:
                whole = transfer.from_mirror(url)
            except _UnusableError as error:
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


@contextmanager
def _locked(path: Path, name: str) -> Iterator[None]:
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        _log.info("Another process is fetching %s; waiting for it.", name)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


@dataclass
class _Transfer:
    """The bytes of one file on their way, and what pooch calls to bring them.

    `store` is the folder in the cache for this file alone, `destination` the folder that it goes to in the end. `other_edition`
    becomes the checksum of a file that came whole and is another one.
    """

    name: str
    expected: str
    size: int | None
    store: Path
    destination: Path
    waits: Sequence[float]
    timeout: tuple[float, float]
    other_edition: str = ""
    _mixed: bool = False  # bytes of another mirror or process are among those that came

    @property
    def part(self) -> Path:
        return self.store / f"{self.name}.part"

    def have(self) -> int:
        """The bytes that are here so far."""
        return self.part.stat().st_size if self.part.exists() else 0

    def from_mirror(self, url: str) -> Path:
        """The right file, in the store. Raises _UnusableError where the mirror does not give it."""
        pooch.get_logger().setLevel(logging.WARNING)  # it would tell of its temporary places
        while True:
            self._mixed = self.have() > 0
            try:
                return Path(
                    pooch.retrieve(url, known_hash=self.expected, fname=self.name, path=self.store, downloader=self)
                )
            except ValueError as error:  # what pooch raises for another checksum
                if not self.part.exists():
                    raise
                got, count = f"sha256:{checksum(self.part)}", self.have()
                self.part.unlink()
                if self._mixed:
                    _log.warning(
                        "%s, put together from several attempts, is not right; fetching all of it anew.", self.name
                    )
                    continue
                self.other_edition = got
                raise _UnusableError(f"gave another file: {count} bytes, {got}, not {self.expected}") from error

    def __call__(self, url: str, output_file: str, _pooch: object) -> None:
        """Bring `url` into `output_file`, going on from the bytes that are here."""
        furthest, waits = self.have(), iter(self.waits)
        while self.size is None or self.have() != self.size:
            try:
                self._attempt(url)
                break
            except _CutError as error:
                # A server that always begins anew and never gets further than before makes no progress.
                if self.have() > furthest:
                    furthest, waits = self.have(), iter(self.waits)
                wait = next(waits, None)
                if wait is None:
                    raise _UnusableError(f"{error} ({len(self.waits)} further attempts brought nothing new)") from error
                _log.info("%s: %s. Going on from %s in %g s.", self.name, error, amount(self.have()), wait)
                time.sleep(wait)
        # A second name for the same bytes: whatever happens while pooch reads them, what has come stays.
        output = Path(output_file)
        output.unlink()
        try:
            output.hardlink_to(self.part)
        except OSError:  # a file system without such names
            shutil.copyfile(self.part, output)

    def _attempt(self, url: str) -> None:
        have = self.have()
        headers = {"Accept-Encoding": "identity", **({"Range": f"bytes={have}-"} if have else {})}
        try:
            with requests.get(url, headers=headers, stream=True, timeout=self.timeout) as response:
                self._receive(response, have)
        except (requests.RequestException, urllib3.exceptions.HTTPError, ConnectionError, TimeoutError) as error:
            raise _CutError(str(error)) from error

    def _receive(self, response: requests.Response, have: int) -> None:
        """Append the answer to the bytes that are here, or replace them where the server sends all of the file."""
        status = response.status_code
        if status == 416 and have:
            if response.headers.get("Content-Range") == f"bytes */{have}":
                return  # there is nothing more
            self.part.unlink()
            raise _CutError(f"the server has no byte after the {have} that were here, which were dropped")
        if status in TEMPORARY or status >= 500:
            raise _CutError(f"HTTP status {status} {response.reason}")
        if status not in (200, 206):
            raise _UnusableError(f"HTTP status {status} {response.reason}")
        if response.headers.get("Content-Type", "").lower().startswith("text/html"):
            raise _UnusableError(WEB_PAGE)
        start, total = _extent(response)
        if start not in (0, have):
            raise _UnusableError(f"sent the file from byte {start} on where it was asked for byte {have}")
        if self.size is not None and total not in (None, self.size):
            raise _UnusableError(f"offers another file: {total} bytes, not {self.size}")
        total = self.size if total is None else total
        if total is not None:
            self._check_room(total, have)
        # Not decoded: some servers call a .gz file an encoding of what is packed in it.
        chunks = response.raw.stream(CHUNK, decode_content=False)
        first = next(chunks, b"")
        if start == 0:
            if first.lstrip(b"\xef\xbb\xbf \t\r\n")[:9].lower().startswith((b"<!doctype", b"<html")):
                raise _UnusableError(WEB_PAGE)
            self._mixed = False
        with self.part.open("ab" if start else "wb") as file:
            for chunk in _shown(itertools.chain([first], chunks), self.name, start, total):
                file.write(chunk)
        if total is not None and self.have() < total:
            raise _CutError("the connection ended early")

    def _check_room(self, total: int, have: int) -> None:
        """Raise OSError where the rest does not fit beside what is here, or the whole on the destination's own disk."""
        rooms = [(self.store, total - have, "DISBENCH_CACHE")]
        if self.store.stat().st_dev != self.destination.stat().st_dev:
            rooms.append((self.destination, total, "DISBENCH_DATA"))
        for folder, needed, variable in rooms:
            free = shutil.disk_usage(folder).free
            if needed > free:
                raise OSError(
                    errno.ENOSPC,
                    f"{self.name} needs {amount(needed)} in {folder} and {amount(free)} are free. "
                    f"Make room, or set {variable} to a folder with more.",
                )


def _extent(response: requests.Response) -> tuple[int, int | None]:
    """Where in the file an answer starts, and the bytes of the whole file where the server says so."""
    if response.status_code == 200:
        length = response.headers.get("Content-Length", "")
        return 0, int(length) if length.isdecimal() else None
    match = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", ""))
    if match is None:
        raise _UnusableError("sent a part of the file and did not say which")
    return int(match[1]), None if match[2] == "*" else int(match[2])


def _shown(chunks: Iterable[bytes], name: str, done: int, total: int | None) -> Iterator[bytes]:
    """The chunks as they come, with a bar on a terminal and a line in the log now and then elsewhere."""
    due = time.monotonic() + LOG_EVERY
    silent = not sys.stderr.isatty()
    with tqdm(total=total, initial=done, desc=name, unit="B", unit_scale=True, disable=silent) as bar:
        for chunk in chunks:
            yield chunk
            done += len(chunk)
            bar.update(len(chunk))
            if silent and time.monotonic() >= due:
                _log.info("%s: %s%s", name, amount(done), f" of {amount(total)}" if total else "")
                due = time.monotonic() + LOG_EVERY


def amount(count: int) -> str:
    """A number of bytes for people."""
    for size, unit in ((10**9, "GB"), (10**6, "MB"), (10**3, "kB")):
        if count >= size:
            return f"{count / size:,.1f} {unit}"
    return f"{count} bytes"


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
