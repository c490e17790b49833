"""Transfer one file from a mirror, even from a slow, broken or hostile server.

pooch (https://www.fatiando.org/pooch, BSD-3-Clause) compares the checksums. Our own downloader transfers the bytes,
because these files have up to 12.7 GB and their servers are slow or cut long connections. A server is left where it sends
fewer than `SLOWEST` bytes a second over `PATIENCE` seconds, and never read beyond the size of the file.
"""

import errno
import logging
import queue
import re
import shutil
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pooch
import requests
import urllib3
from tqdm import tqdm

from disbench.datasets.storage.files import checksum
from disbench.datasets.wording import amount

_log = logging.getLogger(__name__)

# Seconds before each further attempt at a mirror; after one that brought something they begin again.
WAITS = (1.0, 2.0, 5.0, 10.0)
TIMEOUT = (10.0, 60.0)  # seconds to connect, and to wait for the next bytes
SLOWEST = 1000.0  # bytes a second, averaged over PATIENCE
PATIENCE = 120.0  # seconds, also for the head of an answer
UNKNOWN_SIZE = 2**30  # bytes at most of a file whose size is not known
LOG_EVERY = 15.0  # seconds, where there is no terminal for a bar
CHUNK = 2**16
WEB_PAGE = "a web page came instead of the file (often a quota or login page)"
TEMPORARY = (408, 425, 429)  # and all from 500 on
FULL = (errno.ENOSPC, errno.EDQUOT)


class CutError(Exception):
    """This attempt ended early; another one may go on from where it ended."""


class UnusableError(Exception):
    """This mirror does not give the file; another one may."""


@dataclass
class Transfer:
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
    known: int | None = None  # the published file's size, of which another edition is not many times larger
    other_edition: str = ""
    _mixed: bool = False  # bytes of another mirror or process are among those that came
    _mark: tuple[float, int] = (0.0, 0)  # a time, and the bytes that were here then

    @property
    def most(self) -> int:
        """The bytes that are read at most."""
        return self.size or max(UNKNOWN_SIZE, 4 * (self.known or 0))

    @property
    def part(self) -> Path:
        return self.store / f"{self.name}.part"

    def have(self) -> int:
        """The bytes that are here so far."""
        return self.part.stat().st_size if self.part.exists() else 0

    def from_mirror(self, url: str) -> Path:
        """The right file, in the store. Raises UnusableError where the mirror does not give it."""
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
                raise UnusableError(f"gave another file: {count} bytes, {got}, not {self.expected}") from error

    def __call__(self, url: str, output_file: str, _pooch: object) -> None:
        """Bring `url` into `output_file`, going on from the bytes that are here."""
        furthest, waits = self.have(), iter(self.waits)
        self._mark = time.monotonic(), furthest
        while self.size is None or self.have() != self.size:
            try:
                self._attempt(url)
                break
            except CutError as error:
                self._check_pace(self.have())
                # A server that always begins anew and never gets further than before makes no progress.
                if self.have() > furthest:
                    furthest, waits = self.have(), iter(self.waits)
                wait = next(waits, None)
                if wait is None:
                    raise UnusableError(f"{error} ({len(self.waits)} further attempts brought nothing new)") from error
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
            with self._answer(url, headers) as response:
                self._receive(response, have)
        except (
            requests.exceptions.InvalidSchema,
            requests.exceptions.InvalidURL,
            requests.exceptions.TooManyRedirects,
        ) as error:
            raise UnusableError(f"leads to an address that is not fetched: {error}") from error
        except (requests.RequestException, urllib3.exceptions.HTTPError, ConnectionError, TimeoutError) as error:
            raise CutError(str(error)) from error

    def _answer(self, url: str, headers: dict[str, str]) -> requests.Response:
        """The head of the answer. A thread waits for it, because a server may send it a byte a minute."""
        answers: queue.Queue[requests.Response | Exception] = queue.Queue()
        given_up = threading.Event()

        def ask() -> None:
            try:
                answer: requests.Response | Exception = requests.get(
                    url, headers=headers, stream=True, timeout=self.timeout
                )
            except Exception as error:  # noqa: BLE001 -- raised again by the waiting thread
                answer = error
            answers.put(answer)
            if given_up.is_set() and isinstance(answer, requests.Response):
                answer.close()

        threading.Thread(target=ask, daemon=True).start()
        try:
            answer = answers.get(timeout=PATIENCE)
        except queue.Empty:
            given_up.set()
            raise UnusableError(f"did not answer in {PATIENCE:g} s") from None
        if isinstance(answer, Exception):
            raise answer
        hops = [*answer.history, answer]
        if hops[0].url.startswith("https:") and not all(hop.url.startswith("https:") for hop in hops):
            answer.close()
            raise UnusableError(f"leads from https to {answer.url}, which is not encrypted")
        return answer

    def _check_pace(self, have: int) -> None:
        """Raise UnusableError where too few bytes have come since the last mark."""
        since, before = self._mark
        seconds = time.monotonic() - since
        if seconds < PATIENCE:
            return
        if have - before < SLOWEST * seconds:
            raise UnusableError(f"sent {amount(max(0, have - before))} in {seconds:.0f} s, which is too slow")
        self._mark = time.monotonic(), have

    def _receive(self, response: requests.Response, have: int) -> None:
        """Append the answer to the bytes that are here, or replace them where the server sends all of the file."""
        status = response.status_code
        if status == 416 and have:
            if response.headers.get("Content-Range") == f"bytes */{have}":
                return  # there is nothing more
            self.part.unlink()
            raise CutError(f"the server has no byte after the {have} that were here, which were dropped")
        if status in TEMPORARY or status >= 500:
            raise CutError(f"HTTP status {status} {response.reason}")
        if status not in (200, 206):
            raise UnusableError(f"HTTP status {status} {response.reason}")
        if response.headers.get("Content-Type", "").lower().startswith("text/html"):
            raise UnusableError(WEB_PAGE)
        start, total = _extent(response)
        if start not in (0, have):
            raise UnusableError(f"sent the file from byte {start} on where it was asked for byte {have}")
        if self.size is not None and total not in (None, self.size):
            raise UnusableError(f"offers another file: {total} bytes, not {self.size}")
        total = self.size if total is None else total
        if total is not None and total > self.most:
            raise UnusableError(f"offers {amount(total)}, far more than this file has")
        if total is not None:
            self._check_room(total, have)
        first = _read(response)
        if start == 0:
            if first.lstrip(b"\xef\xbb\xbf \t\r\n")[:9].lower().startswith((b"<!doctype", b"<html")):
                raise UnusableError(WEB_PAGE)
            self._mixed = False
        try:
            self._write(first, response, start, total)
        except OSError as error:
            if error.errno in FULL:
                advice = "Make room, or set DISBENCH_CACHE to a folder with more, and run the same command again"
                message = f"The disk became full; {amount(self.have())} of {self.name} are kept. {advice}"
                raise OSError(error.errno, message, str(self.store)) from error
            raise
        if total is not None and self.have() < total:
            raise CutError("the connection ended early")

    def _write(self, first: bytes, response: requests.Response, start: int, total: int | None) -> None:
        """Append what comes to the file from byte `start` on, and stop at its end, whatever else the server sends."""
        most = self.most if total is None else total
        have = start
        with self.part.open("ab" if start else "wb") as file:
            for chunk in _shown(_chunks(first, response, most - start), self.name, start, total):
                file.write(chunk)
                have += len(chunk)
                self._check_pace(have)
        if total is None and have >= most:
            self.part.unlink()
            raise UnusableError(f"sent {amount(most)} and did not end; the size of the file is not known")

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


def _read(response: requests.Response) -> bytes:
    """The bytes that have come, at least one, or none at the end. They are not decoded: some servers call a .gz file an
    encoding of what is packed in it.
    """
    return bytes(response.raw.read1(CHUNK, decode_content=False))


def _chunks(first: bytes, response: requests.Response, most: int) -> Iterator[bytes]:
    """`first` and what comes after it, up to `most` bytes."""
    chunk = first[:most]
    while chunk:
        yield chunk
        most -= len(chunk)
        chunk = _read(response)[:most] if most else b""


def _extent(response: requests.Response) -> tuple[int, int | None]:
    """Where in the file an answer starts, and the bytes of the whole file where the server says so."""
    if response.status_code == 200:
        length = response.headers.get("Content-Length", "")
        return 0, int(length) if re.fullmatch(r"[0-9]{1,30}", length) else None
    match = re.fullmatch(r"bytes ([0-9]{1,30})-[0-9]{1,30}/([0-9]{1,30}|\*)", response.headers.get("Content-Range", ""))
    if match is None:
        raise UnusableError("sent a part of the file and did not say which")
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
