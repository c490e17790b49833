import contextlib
import errno
import gzip
import hashlib
import itertools
import logging
import os
import re
import shutil
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from disbench.datasets.storage import transfer
from disbench.datasets.storage.download import download
from disbench.datasets.storage.files import OfficialFile, Source

CONTENT = np.random.default_rng(0).bytes(400_000)
OTHER = np.random.default_rng(1).bytes(400_000)
MD5 = f"md5:{hashlib.md5(CONTENT).hexdigest()}"
SHA256 = f"sha256:{hashlib.sha256(CONTENT).hexdigest()}"
PAGE = b"\n<!DOCTYPE html><html>Quota exceeded</html>"
QUICK: dict[str, Any] = {"waits": (0.0, 0.0), "timeout": (5.0, 5.0)}

Answer = Callable[["Request"], None]


class Request(BaseHTTPRequestHandler):
    """ReplayNoise as the server's table says for its path, and notes (path, Range)."""

    def do_GET(self) -> None:
        assert isinstance(self.server, Mirror)
        self.server.seen.append((self.path, self.headers.get("Range")))
        self.server.answers[self.path](self)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing on stderr."""

    def asked_from(self) -> int:
        match = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        return int(match[1]) if match else 0

    def head(self, status: int, **headers: object) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()


class Mirror(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Request)
        self.seen: list[tuple[str, str | None]] = []
        self.answers: dict[str, Answer] = {}

    def url(self, path: str, answer: Answer) -> str:
        self.answers[path] = answer
        return f"http://127.0.0.1:{self.server_port}{path}"


def whole(content: bytes = CONTENT, kind: str = "application/octet-stream", ranges: bool = True) -> Answer:
    """A server in order."""

    def answer(request: Request) -> None:
        start = request.asked_from() if ranges else 0
        if start >= len(content):
            request.head(416, Content_Range=f"bytes */{len(content)}")
            return
        extent = {"Content_Range": f"bytes {start}-{len(content) - 1}/{len(content)}"} if start else {}
        request.head(206 if start else 200, Content_Type=kind, Content_Length=len(content) - start, **extent)
        request.wfile.write(content[start:])

    return answer


def cut(bytes_an_attempt: int, times: float = float("inf"), content: bytes = CONTENT, ranges: bool = True) -> Answer:
    """Closes the connection early, the first `times` times."""
    attempts = itertools.count()

    def answer(request: Request) -> None:
        start = request.asked_from() if ranges else 0
        stop = start + bytes_an_attempt if next(attempts) < times else len(content)
        extent = {"Content_Range": f"bytes {start}-{len(content) - 1}/{len(content)}"} if start else {}
        request.head(206 if start else 200, Content_Length=len(content) - start, **extent)
        request.wfile.write(content[start:stop])

    return answer


def status(code: int) -> Answer:
    return lambda request: request.head(code, Content_Length=0)


@pytest.fixture
def mirror(monkeypatch: pytest.MonkeyPatch) -> Iterator[Mirror]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    server = Mirror()
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DISBENCH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def root(tmp_path: Path, cache: Path) -> Path:
    return tmp_path / "data"


def source(*urls: str, checksum: str = MD5, size: int | None = None, **fields: Any) -> Source:
    file = OfficialFile("pictures.npz", urls, checksum, size)
    return Source(
        **{
            "name": "pictures",
            "homepage": "https://example.org/pictures",
            "licence": "Apache-2.0",
            "folders": ("pictures", "old_name"),
            "files": (file,),
            **fields,
        }
    )


def closed_port() -> str:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}/pictures.npz"


def files_in(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def is_right(root: Path, cache: Path) -> bool:
    """The file is there with nothing beside it, and no partial one is left."""
    kept = [name for name in files_in(cache) if "downloads/" in name and not name.endswith(".lock")]
    return (
        files_in(root) == ["pictures/pictures.npz"] and not kept and (root / files_in(root)[0]).read_bytes() == CONTENT
    )


@pytest.mark.parametrize("checksum", [MD5, SHA256, MD5.upper().replace("MD5", "md5")])
@pytest.mark.parametrize("size", [None, len(CONTENT)])
def test_a_file_comes_into_the_first_folder(mirror: Mirror, root: Path, cache: Path, checksum: str, size: int) -> None:
    paths = download(source(mirror.url("/a", whole()), checksum=checksum, size=size), root, **QUICK)
    assert paths == [root / "pictures" / "pictures.npz"]
    assert is_right(root, cache)
    assert mirror.seen == [("/a", None)]


def test_a_connection_that_is_cut_once_is_taken_up_where_it_ended(mirror: Mirror, root: Path, cache: Path) -> None:
    download(source(mirror.url("/a", cut(300_000, times=1))), root, **QUICK)
    assert is_right(root, cache)
    (_, first), (_, second) = mirror.seen
    assert first is None
    assert second is not None
    assert 200_000 < int(re.sub(r"\D", "", second)) <= 300_000


def test_a_connection_that_is_cut_again_and_again_is_no_reason_to_stop_while_bytes_come(
    mirror: Mirror, root: Path, cache: Path
) -> None:
    download(source(mirror.url("/a", cut(70_000))), root, **QUICK)
    assert is_right(root, cache)
    assert len(mirror.seen) > len(QUICK["waits"]) + 1


def test_a_server_that_ignores_range_sends_all_of_it_again(mirror: Mirror, root: Path, cache: Path) -> None:
    download(source(mirror.url("/a", cut(300_000, times=1, ranges=False))), root, **QUICK)
    assert is_right(root, cache)


def test_a_server_that_never_gets_further_is_given_up_and_what_came_is_kept(
    mirror: Mirror, root: Path, cache: Path
) -> None:
    url = mirror.url("/a", cut(300_000, ranges=False))
    with pytest.raises(ValueError, match="2 further attempts brought nothing new") as caught:
        download(source(url), root, **QUICK)
    assert url in str(caught.value)
    assert "the same command goes on from there" in str(caught.value)
    assert len(mirror.seen) == 3
    assert files_in(root) == []

    mirror.answers["/a"] = whole()
    download(source(url), root, **QUICK)
    assert is_right(root, cache)
    assert mirror.seen[-1][1] is not None


def test_another_mirror_goes_on_with_the_bytes_of_the_first(mirror: Mirror, root: Path, cache: Path) -> None:
    def once(request: Request) -> None:
        mirror.answers["/a"] = status(503)
        cut(200_000)(request)

    download(source(mirror.url("/a", once), mirror.url("/b", whole())), root, **QUICK)
    assert is_right(root, cache)
    path, asked = mirror.seen[-1]
    assert path == "/b"
    assert asked is not None


def test_a_dead_mirror_and_one_without_the_file_are_passed_over(mirror: Mirror, root: Path, cache: Path) -> None:
    download(source(closed_port(), mirror.url("/gone", status(404)), mirror.url("/b", whole())), root, **QUICK)
    assert is_right(root, cache)
    assert [path for path, _ in mirror.seen] == ["/gone", "/b"]  # a 404 is not asked twice


def test_when_no_mirror_gives_the_file_the_error_lists_each_with_its_reason(
    mirror: Mirror, root: Path, cache: Path
) -> None:
    urls = (
        closed_port(),
        mirror.url("/gone", status(404)),
        mirror.url("/busy", status(503)),
        mirror.url("/b", whole(OTHER)),
    )
    with pytest.raises(ValueError, match="could not be fetched") as caught:
        download(source(*urls, manual="Ask the authors."), root, **QUICK)
    lines = str(caught.value).splitlines()
    reasons = {lines[number].strip(): lines[number + 1] for number in range(1, 9, 2)}
    assert set(reasons) == set(urls)
    assert "refused" in reasons[urls[0]]
    assert "404 Not Found" in reasons[urls[1]]
    assert "503" in reasons[urls[2]]
    assert f"sha256:{hashlib.sha256(OTHER).hexdigest()}" in reasons[urls[3]]
    assert lines[-1] == "Ask the authors."
    assert [path for path, _ in mirror.seen].count("/busy") == 3
    assert files_in(root) == []
    assert [name for name in files_in(cache) if not name.endswith(".lock")] == []


@pytest.mark.parametrize(
    "page",
    [
        whole(PAGE),
        whole(PAGE.lower(), "application/zip"),
        whole(b"\xef\xbb\xbf<HTML>", "application/zip"),
        whole(b"no", "text/html"),
    ],
)
def test_a_web_page_is_refused_at_once(mirror: Mirror, root: Path, page: Answer) -> None:
    url = mirror.url("/a", page)
    with pytest.raises(ValueError, match="a web page came instead of the file") as caught:
        download(source(url, manual="Open it in a browser."), root, **QUICK)
    assert "Open it in a browser." in str(caught.value)
    assert len(mirror.seen) == 1
    assert files_in(root) == []


def test_a_web_page_does_not_cost_what_came_before(mirror: Mirror, root: Path, cache: Path) -> None:
    url = mirror.url("/a", cut(300_000, ranges=False))
    with pytest.raises(ValueError, match="nothing new"):
        download(source(url), root, **QUICK)
    for page in (whole(PAGE, ranges=False), whole(PAGE, "text/html", ranges=False)):
        mirror.answers["/a"] = page
        with pytest.raises(ValueError, match=r"\d\.\d kB of it are kept"):
            download(source(url), root, **QUICK)


def test_a_wrong_file_is_dropped_and_the_next_mirror_starts_from_its_first_byte(
    mirror: Mirror, root: Path, cache: Path
) -> None:
    download(source(mirror.url("/a", whole(OTHER)), mirror.url("/b", whole())), root, **QUICK)
    assert is_right(root, cache)
    assert mirror.seen == [("/a", None), ("/b", None)]


def test_a_server_that_declares_a_shortened_file_whole_is_not_believed(mirror: Mirror, root: Path) -> None:
    url = mirror.url("/a", whole(CONTENT[:-1]))
    with pytest.raises(ValueError, match="gave another file: 399999 bytes"):
        download(source(url), root, **QUICK)
    with pytest.raises(ValueError, match="offers another file: 399999 bytes, not 400000"):
        download(source(url, size=len(CONTENT)), root, **QUICK)
    assert files_in(root) == []


def test_a_length_that_is_never_sent_is_a_cut_connection(mirror: Mirror, root: Path) -> None:
    def promise(request: Request) -> None:
        request.head(200, Content_Length=len(CONTENT))
        request.wfile.write(CONTENT[:-100_000])

    with pytest.raises(ValueError, match="could not be fetched") as caught:
        download(source(mirror.url("/a", promise)), root, **QUICK)
    assert "gave another file" not in str(caught.value)
    assert files_in(root) == []


def test_an_answer_without_a_length_is_whole_when_its_checksum_is(mirror: Mirror, root: Path, cache: Path) -> None:
    def unmeasured(request: Request) -> None:
        request.head(200)
        request.wfile.write(CONTENT)

    download(source(mirror.url("/a", unmeasured)), root, **QUICK)
    assert is_right(root, cache)


def test_an_answer_without_a_length_that_is_shorter_than_the_known_size_was_cut(
    mirror: Mirror, root: Path, cache: Path
) -> None:
    def unmeasured(request: Request) -> None:
        mirror.answers["/a"] = whole()
        request.head(200)
        request.wfile.write(CONTENT[:100_000])

    download(source(mirror.url("/a", unmeasured), size=len(CONTENT)), root, **QUICK)
    assert is_right(root, cache)
    assert mirror.seen == [("/a", None), ("/a", "bytes=100000-")]


def test_a_server_is_not_asked_to_pack_what_it_sends(mirror: Mirror, root: Path, cache: Path) -> None:
    def packing(request: Request) -> None:
        content = gzip.compress(CONTENT, 1) if "gzip" in request.headers["Accept-Encoding"] else CONTENT
        request.head(200, Content_Length=len(content))
        request.wfile.write(content)

    download(source(mirror.url("/a", packing)), root, **QUICK)
    assert is_right(root, cache)


def test_a_gz_file_is_not_unpacked_by_a_server_that_calls_it_an_encoding(
    mirror: Mirror, root: Path, cache: Path
) -> None:
    def encoded(request: Request) -> None:
        request.head(200, Content_Length=len(CONTENT), Content_Encoding="gzip")
        request.wfile.write(CONTENT)

    download(source(mirror.url("/a", encoded)), root, **QUICK)
    assert is_right(root, cache)


def leave_partial(mirror: Mirror, root: Path, cache: Path, content: bytes, **fields: Any) -> Source:
    """What a process leaves that was killed after `content` had come."""
    official = source(mirror.url("/a", status(404)), mirror.url("/b", status(404)), **fields)
    mirror.answers["/a"] = cut(300_000, ranges=False)
    with pytest.raises(ValueError, match="are kept"):
        download(official, root, **QUICK)
    (part,) = (cache / "downloads").rglob("*.part")
    part.write_bytes(content)
    mirror.answers["/a"] = whole()
    mirror.seen.clear()
    return official


def test_a_second_call_goes_on_from_the_bytes_of_the_first(mirror: Mirror, root: Path, cache: Path) -> None:
    download(leave_partial(mirror, root, cache, CONTENT[:123_456]), root, **QUICK)
    assert is_right(root, cache)
    assert mirror.seen == [("/a", "bytes=123456-")]


def test_what_had_come_whole_is_only_compared(mirror: Mirror, root: Path, cache: Path) -> None:
    download(leave_partial(mirror, root, cache, CONTENT), root, **QUICK)  # the server says that there is no more: 416
    assert is_right(root, cache)
    assert mirror.seen == [("/a", f"bytes={len(CONTENT)}-")]
    shutil.rmtree(root)
    download(leave_partial(mirror, root, cache, CONTENT, size=len(CONTENT)), root, **QUICK)
    assert is_right(root, cache)
    assert mirror.seen == []


@pytest.mark.parametrize("size", [None, len(CONTENT)])
def test_more_bytes_than_the_file_has_are_dropped(mirror: Mirror, root: Path, cache: Path, size: int | None) -> None:
    download(leave_partial(mirror, root, cache, CONTENT + b"more", size=size), root, **QUICK)
    assert is_right(root, cache)
    assert mirror.seen == [("/a", f"bytes={len(CONTENT) + 4}-"), ("/a", None)]


def test_a_mixture_of_two_files_is_fetched_anew_from_the_same_mirror(mirror: Mirror, root: Path, cache: Path) -> None:
    download(leave_partial(mirror, root, cache, OTHER[:1000]), root, **QUICK)
    assert is_right(root, cache)
    assert mirror.seen == [("/a", "bytes=1000-"), ("/a", None)]


def test_a_wrong_file_that_was_sent_all_anew_is_not_asked_for_again(mirror: Mirror, root: Path, cache: Path) -> None:
    official = leave_partial(mirror, root, cache, CONTENT[:1000])
    mirror.answers["/a"] = whole(OTHER, ranges=False)
    mirror.answers["/b"] = whole()
    download(official, root, **QUICK)
    assert is_right(root, cache)
    assert mirror.seen == [("/a", "bytes=1000-"), ("/b", None)]


def test_a_part_that_was_not_asked_for_is_not_appended(mirror: Mirror, root: Path, cache: Path) -> None:
    def elsewhere(request: Request) -> None:
        request.head(206, Content_Length=10, Content_Range=f"bytes 50-59/{len(CONTENT)}")
        request.wfile.write(CONTENT[50:60])

    official = leave_partial(mirror, root, cache, CONTENT[:1000])
    mirror.answers["/a"] = elsewhere
    mirror.answers["/b"] = whole()
    download(official, root, **QUICK)
    assert is_right(root, cache)
    assert mirror.seen[-1] == ("/b", "bytes=1000-")


def test_ctrl_c_keeps_what_has_come(mirror: Mirror, root: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def pressed(seconds: float) -> None:
        raise KeyboardInterrupt

    official = source(mirror.url("/a", cut(300_000, times=1)))
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(time, "sleep", pressed)
        download(official, root, **QUICK)
    assert files_in(root) == []
    download(official, root, **QUICK)
    assert is_right(root, cache)
    assert mirror.seen[-1][1] is not None


def test_ctrl_c_while_the_checksum_is_compared_keeps_all_that_has_come(
    mirror: Mirror, root: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def pressed(*args: object, **keywords: object) -> None:
        raise KeyboardInterrupt

    official = source(mirror.url("/a", whole()), size=len(CONTENT))
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("pooch.core.hash_matches", pressed)
        download(official, root, **QUICK)
    mirror.seen.clear()
    download(official, root, **QUICK)
    assert is_right(root, cache)
    assert mirror.seen == []


@pytest.mark.parametrize("folder", ["pictures", "old_name", "."])
@pytest.mark.parametrize("checksum", [MD5, SHA256])
def test_a_right_file_that_is_there_is_left_alone_without_a_request(
    mirror: Mirror, root: Path, folder: str, checksum: str
) -> None:
    (root / folder).mkdir(parents=True)
    path = root / folder / "pictures.npz"
    path.write_bytes(CONTENT)
    official = source(mirror.url("/a", whole()), checksum=checksum, restricted=True)
    assert download(official, root) == download(official, root) == [path]
    assert mirror.seen == []
    assert path.read_bytes() == CONTENT


@pytest.mark.parametrize("checksum", [MD5, SHA256])
def test_a_wrong_file_that_is_there_is_an_error_and_is_not_touched(mirror: Mirror, root: Path, checksum: str) -> None:
    path = root / "pictures" / "pictures.npz"
    path.parent.mkdir(parents=True)
    path.write_bytes(OTHER)
    got = hashlib.new(checksum.partition(":")[0], OTHER).hexdigest()
    with pytest.raises(ValueError, match="is not the file that was published") as caught:
        download(source(mirror.url("/a", whole()), checksum=checksum), root)
    for part in (str(path), checksum, got, "Delete it"):
        assert part in str(caught.value)
    assert mirror.seen == []
    assert path.read_bytes() == OTHER


def test_a_file_that_was_right_and_then_changed_is_noticed(mirror: Mirror, root: Path) -> None:
    official = source(mirror.url("/a", whole()))
    (path,) = download(official, root)
    download(official, root)
    path.write_bytes(OTHER + b"!")
    with pytest.raises(ValueError, match="is not the file that was published"):
        download(official, root)


def test_terms_are_accepted_before_any_request_is_made(mirror: Mirror, root: Path, cache: Path) -> None:
    official = source(mirror.url("/a", whole()), restricted=True, licence="for research only")
    with pytest.raises(ValueError, match="for research only") as caught:
        download(official, root)
    assert "--accept-license" in str(caught.value)
    assert "accept_license=True" in str(caught.value)
    assert mirror.seen == []
    download(official, root, accept_license=True)
    assert is_right(root, cache)


def test_a_file_without_an_address_is_left_to_the_user_and_the_others_come(mirror: Mirror, root: Path) -> None:
    files = (OfficialFile("by_hand.zip", (), MD5), OfficialFile("pictures.npz", (mirror.url("/a", whole()),), MD5))
    with pytest.raises(ValueError, match=r"by_hand\.zip cannot be fetched by a program") as caught:
        download(source(files=files, manual="Ask the authors."), root)
    assert str(root / "pictures" / "by_hand.zip") in str(caught.value)
    assert "Ask the authors." in str(caught.value)
    assert files_in(root) == ["pictures/pictures.npz"]
    (root / "pictures" / "by_hand.zip").write_bytes(CONTENT)
    assert [path.name for path in download(source(files=files), root)] == ["by_hand.zip", "pictures.npz"]


def test_a_file_of_no_known_checksum_is_fetched_only_with_one(mirror: Mirror, root: Path, cache: Path) -> None:
    official = source(mirror.url("/a", whole()), checksum="")
    with pytest.raises(ValueError, match=r"The checksum of pictures\.npz is not known") as caught:
        download(official, root)
    assert "--checksum" in str(caught.value)
    assert str(root / "pictures" / "pictures.npz") in str(caught.value)
    assert mirror.seen == []
    download(official, root, checksum=SHA256)
    assert is_right(root, cache)
    assert download(official, root) == [root / "pictures" / "pictures.npz"]  # taken as it is


def test_a_new_edition_is_accepted_by_the_checksum_that_the_refusal_names(
    mirror: Mirror, root: Path, cache: Path
) -> None:
    official = source(mirror.url("/a", whole()), checksum=f"md5:{hashlib.md5(OTHER).hexdigest()}", size=123)
    with pytest.raises(ValueError, match="offers another file: 400000 bytes, not 123"):
        download(official, root, **QUICK)
    official = replace(official, files=(replace(official.files[0], size=None),))
    with pytest.raises(ValueError, match="accept it") as caught:
        download(official, root, **QUICK)
    accepted = re.findall(r"--checksum (\S+)", str(caught.value))
    assert accepted == [SHA256]
    download(official, root, checksum=accepted[0], **QUICK)
    assert is_right(root, cache)


def test_a_replaced_checksum_has_no_known_size(mirror: Mirror, root: Path, cache: Path) -> None:
    official = source(mirror.url("/a", whole()), checksum=f"md5:{hashlib.md5(OTHER).hexdigest()}", size=123)
    download(official, root, checksum={"pictures.npz": SHA256.upper().replace("SHA", "sha")}, **QUICK)
    assert is_right(root, cache)


@pytest.mark.parametrize(
    ("checksum", "message"),
    [
        ("1234", "needs to be 'sha256:' and 64"),
        (SHA256[:-1], "needs to be 'sha256:' and 64"),
        (SHA256.replace("sha256", "md5"), "needs to be 'sha256:' and 64"),
        ({"picture.npz": SHA256}, "has no file picture.npz; it has pictures.npz"),
    ],
)
def test_a_malformed_checksum_is_refused(mirror: Mirror, root: Path, checksum: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        download(source(mirror.url("/a", whole())), root, checksum=checksum)
    assert mirror.seen == []


def test_one_checksum_for_several_files_is_refused(root: Path) -> None:
    files = (OfficialFile("a", (), MD5), OfficialFile("b", (), MD5))
    with pytest.raises(ValueError, match="2 files, so name the one: a=sha256"):
        download(source(files=files), root, checksum=SHA256)


def test_a_disk_without_room_is_noticed_before_a_byte_is_written(
    mirror: Mirror, root: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def huge(request: Request) -> None:
        request.head(200, Content_Length=10**9)
        request.wfile.write(CONTENT)

    monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=10**8))
    with pytest.raises(OSError, match=r"needs 1.0 GB .* are free. Make room, or set DISBENCH_CACHE"):
        download(source(mirror.url("/a", huge), mirror.url("/b", whole())), root, **QUICK)
    assert [path for path, _ in mirror.seen] == ["/a"]
    assert not list(cache.rglob("*.part"))


def test_a_data_folder_on_another_disk_gets_the_whole_file_only(mirror: Mirror, cache: Path) -> None:
    memory = Path("/dev/shm")
    if not memory.is_dir() or memory.stat().st_dev == cache.parent.stat().st_dev:
        pytest.skip("there is no second file system")
    with tempfile.TemporaryDirectory(dir=memory) as other:
        download(source(mirror.url("/a", whole())), other, **QUICK)
        assert is_right(Path(other), cache)


def test_a_file_in_the_place_of_the_folder_is_an_error_before_any_request(mirror: Mirror, root: Path) -> None:
    root.mkdir()
    (root / "pictures").write_text("a note")
    with pytest.raises(OSError, match="pictures"):
        download(source(mirror.url("/a", whole())), root, **QUICK)
    assert mirror.seen == []


def test_a_file_that_appears_meanwhile_is_not_overwritten(mirror: Mirror, root: Path) -> None:
    path = root / "pictures" / "pictures.npz"

    def slow(request: Request) -> None:
        path.write_bytes(OTHER)
        whole()(request)

    with pytest.raises(FileExistsError, match=r"pictures\.npz"):
        download(source(mirror.url("/a", slow)), root, **QUICK)
    assert path.read_bytes() == OTHER


def test_two_at_once_fetch_it_once(mirror: Mirror, root: Path, cache: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    waiting = threading.Event()

    class Waiting(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if "waiting for it" in record.getMessage():
                waiting.set()

    def patient(request: Request) -> None:
        assert waiting.wait(10)
        whole()(request)

    official = source(mirror.url("/a", patient))
    results: list[list[Path]] = []
    handler = Waiting()
    logging.getLogger("disbench.datasets.storage.download").addHandler(handler)
    try:
        threads = [
            threading.Thread(target=lambda: results.append(download(official, root, waits=(), timeout=(20, 20))))
            for _ in range(2)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        logging.getLogger("disbench.datasets.storage.download").removeHandler(handler)
    assert results == [[root / "pictures" / "pictures.npz"]] * 2
    assert len(mirror.seen) == 1
    assert is_right(root, cache)


def test_where_there_is_no_terminal_progress_is_lines_in_the_log(
    mirror: Mirror,
    root: Path,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setattr("disbench.datasets.storage.transfer.LOG_EVERY", 0.0)
    download(source(mirror.url("/a", whole())), root, **QUICK)
    assert "pictures.npz: 400.0 kB of 400.0 kB" in caplog.text
    assert capfd.readouterr() == ("", "")


# Servers that are broken or hostile


def endless(request: Request) -> None:
    """The file, and then zeros for as long as anybody reads them."""
    request.head(200)
    with contextlib.suppress(OSError):
        request.wfile.write(CONTENT)
        for _ in range(10_000):
            request.wfile.write(bytes(2**16))
        request.server.answers["/ended"] = whole()  # type: ignore[attr-defined]


def test_an_endless_body_is_read_up_to_the_known_size(mirror: Mirror, root: Path, cache: Path) -> None:
    (path,) = download(source(mirror.url("/a", endless), size=len(CONTENT)), root, **QUICK)
    assert path.read_bytes() == CONTENT
    assert "/ended" not in mirror.answers


def test_an_endless_body_of_unknown_size_is_given_up_and_the_next_mirror_is_asked(
    mirror: Mirror, root: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("disbench.datasets.storage.transfer.UNKNOWN_SIZE", 10**6)
    (path,) = download(source(mirror.url("/a", endless), mirror.url("/b", whole())), root, **QUICK)
    assert path.read_bytes() == CONTENT
    assert "sent 1.0 MB and did not end" in caplog.text


def test_a_length_beyond_any_file_is_no_reason_to_ask_for_room(mirror: Mirror, root: Path, cache: Path) -> None:
    lengths = {"/a": "9" * 18, "/b": "9" * 5000}
    urls = [
        mirror.url(path, lambda request: request.head(200, Content_Length=lengths[request.path])) for path in lengths
    ]
    (path,) = download(source(*urls, mirror.url("/c", whole())), root, **QUICK)
    assert path.read_bytes() == CONTENT


def trickle(request: Request) -> None:
    """A byte every tenth of a second, as one a minute would be for a patient client."""
    request.head(200, Content_Length=len(CONTENT))
    with contextlib.suppress(OSError):
        for byte in CONTENT[:30]:
            request.wfile.write(bytes([byte]))
            threading.Event().wait(0.1)


def trickled_head(request: Request) -> None:
    with contextlib.suppress(OSError):
        for byte in b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 3:
            request.wfile.write(bytes([byte]))
            threading.Event().wait(0.1)


def one_byte(request: Request) -> None:
    """A byte an attempt, which alone looks like progress."""
    start = request.asked_from()
    extent = {"Content_Range": f"bytes {start}-{len(CONTENT) - 1}/{len(CONTENT)}"} if start else {}
    request.head(206 if start else 200, Content_Length=len(CONTENT) - start, **extent)
    request.wfile.write(CONTENT[start : start + 1])
    threading.Event().wait(0.1)


@pytest.mark.parametrize(
    ("slow", "reason"), [(trickle, "too slow"), (trickled_head, "did not answer in 0.5 s"), (one_byte, "too slow")]
)
def test_a_server_that_hardly_sends_is_left_for_the_next_mirror(
    mirror: Mirror,
    root: Path,
    cache: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    slow: Answer,
    reason: str,
) -> None:
    monkeypatch.setattr("disbench.datasets.storage.transfer.PATIENCE", 0.5)
    begun = time.monotonic()
    (path,) = download(source(mirror.url("/a", slow), mirror.url("/b", whole()), size=len(CONTENT)), root, **QUICK)
    assert path.read_bytes() == CONTENT
    assert time.monotonic() - begun < 2.5  # the trickle itself takes three seconds
    assert reason in caplog.text


@pytest.mark.parametrize("target", ["file:///etc/passwd", "ftp://127.0.0.1/x", "gopher://127.0.0.1/x"])
def test_a_redirect_to_another_scheme_is_not_followed_nor_tried_again(
    mirror: Mirror, root: Path, cache: Path, target: str
) -> None:
    def elsewhere(request: Request) -> None:
        request.head(302, Location=target, Content_Length=0)

    with pytest.raises(ValueError, match="leads to an address that is not fetched"):
        download(source(mirror.url("/a", elsewhere)), root, **QUICK)
    assert len(mirror.seen) == 1


def test_a_redirect_without_end_is_given_up(mirror: Mirror, root: Path, cache: Path) -> None:
    def again(request: Request) -> None:
        request.head(302, Location="/a", Content_Length=0)

    with pytest.raises(ValueError, match=r"leads to an address that is not fetched.*30 redirects"):
        download(source(mirror.url("/a", again)), root, **QUICK)


def test_a_disk_that_fills_meanwhile_keeps_what_has_come(
    mirror: Mirror, root: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = transfer._read
    left = [3]

    def full(response: Any) -> bytes:
        left[0] -= 1
        if left[0] < 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        return read(response)

    monkeypatch.setattr(transfer, "_read", full)
    with pytest.raises(OSError, match=r"The disk became full; .* of pictures\.npz are kept\. Make room") as caught:
        download(source(mirror.url("/a", whole()), size=len(CONTENT)), root, **QUICK)
    assert caught.value.errno == errno.ENOSPC
    (part,) = cache.rglob("*.part")
    assert 0 < part.stat().st_size < len(CONTENT)
    monkeypatch.undo()
    monkeypatch.setenv("DISBENCH_CACHE", str(cache))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    (path,) = download(source(mirror.url("/a", whole()), size=len(CONTENT)), root, **QUICK)
    assert path.read_bytes() == CONTENT
    assert mirror.seen[-1][1] is not None


def test_a_pipe_in_the_place_of_the_file_is_an_error_and_never_waited_for(mirror: Mirror, root: Path) -> None:
    (root / "pictures").mkdir(parents=True)
    os.mkfifo(root / "pictures" / "pictures.npz")
    with pytest.raises(ValueError, match="not a regular file"):
        download(source(mirror.url("/a", whole())), root, **QUICK)
