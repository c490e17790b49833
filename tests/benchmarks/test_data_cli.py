import functools
import hashlib
import os
import re
import shutil
import threading
import time
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import layout_dsprites
import layouts
import numpy as np
import pytest
from typer.testing import CliRunner

from disbench.benchmarks.cli.main import app
from disbench.benchmarks.cli.terminal.printing import console
from disbench.datasets import DATASETS, SOURCES
from disbench.datasets.imported.dataset import import_dataset
from disbench.datasets.official.dsprites import FILE_NAME


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Nothing on stderr."""


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DISBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(console, "width", 200)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    return tmp_path / "cache"


@pytest.fixture
def published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The small dSprites file on a server, with `SOURCES` pointing at it."""
    path = layout_dsprites.write(tmp_path / "published")
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(path.parent)))
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    md5 = hashlib.md5(path.read_bytes()).hexdigest()
    publish(monkeypatch, urls=(f"http://127.0.0.1:{server.server_port}/{path.name}",), checksum=f"md5:{md5}")
    yield path
    server.shutdown()
    server.server_close()


def publish(monkeypatch: pytest.MonkeyPatch, **changes: object) -> None:
    source = SOURCES["dsprites"]
    monkeypatch.setitem(SOURCES, "dsprites", replace(source, files=(replace(source.files[0], **changes),)))


def disbench(*words: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, [str(word) for word in words])
    return result.exit_code, result.output


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_set_is_listed_downloaded_described_and_verified(tmp_path: Path, published: Path) -> None:
    root = tmp_path / "data"
    where = ("--data-dir", root)
    status, output = disbench("data", "list", *where)
    assert status == 0
    assert re.search(r"dsprites +│ official .* no +│", output)
    status, output = disbench("data", "download", "dsprites", *where)
    path = root / "dsprites" / FILE_NAME
    assert (status, output.strip().splitlines()[-1]) == (0, str(path))
    assert path.read_bytes() == published.read_bytes()
    status, output = disbench("data", "list", *where)
    assert re.search(r"dsprites +│ official .* yes +│", output)
    status, output = disbench("data", "info", "dsprites", *where)
    assert status == 0
    for text in (
        "360, in the order of the grid",
        "1 x 64 x 64",
        "shape: 3 values",
        "position_y: 5 values",
        "Apache-2.0",
    ):
        assert text in output
    for text in (f"sha256-{sha256(path)[:12]}", str(path), "https://github.com", "3 shapes (square, ellipse, heart)"):
        assert text in output
    status, output = disbench("data", "verify", "dsprites", *where)
    assert status == 0
    assert [line.partition(":")[0] for line in output.splitlines()] == ["ok", "ok", "ok"]
    assert "is as it was converted" in output


def test_every_set_is_listed_without_any_file(tmp_path: Path) -> None:
    status, output = disbench("data", "list", "--data-dir", tmp_path)
    assert status == 0
    for name in DATASETS:
        assert re.search(rf"│ {name} +│ {'official' if name in SOURCES else 'procedural'} ", output), name
    assert re.search(r"dsprites_like +│ procedural │ 737,280 +│ none ", output)
    assert str(tmp_path) in output


def test_a_part_of_the_files_and_terms_are_seen_in_the_list(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = SOURCES["dsprites"]
    files = (replace(source.files[0], size=2_500_000_000), replace(source.files[0], name="other", size=10**8))
    monkeypatch.setitem(SOURCES, "dsprites", replace(source, files=files, restricted=True))
    layout_dsprites.write(tmp_path)
    _, output = disbench("data", "list", "--data-dir", tmp_path)
    assert re.search(r"dsprites +│ .* 2.6 GB +│ Apache-2.0 \* +│ 1 of 2 files", output)


@pytest.mark.parametrize("name", DATASETS)
def test_every_set_can_be_described_without_its_files(tmp_path: Path, name: str) -> None:
    status, output = disbench("data", "info", name, "--data-dir", tmp_path)
    assert status == 0
    if name in SOURCES:
        assert SOURCES[name].licence in output
        assert f"disbench data download {name}" in output
    else:
        assert "procedural" in output


@pytest.mark.parametrize("command", ["download", "info", "verify"])
def test_an_unknown_name_lists_the_known_ones(command: str) -> None:
    status, output = disbench("data", command, "dsprite")
    assert status == 2
    assert "dsprites_like" in output


def test_what_is_drawn_here_needs_no_download(tmp_path: Path) -> None:
    status, output = disbench("data", "download", "dsprites_like", "--data-dir", tmp_path)
    assert status == 0
    assert "Nothing needs to be downloaded" in output
    assert not list(tmp_path.glob("data*"))


def test_terms_are_shown_and_need_a_flag(tmp_path: Path, published: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = replace(SOURCES["dsprites"], restricted=True, licence="for research only")
    monkeypatch.setitem(SOURCES, "dsprites", source)
    status, output = disbench("data", "download", "dsprites", "--data-dir", tmp_path)
    assert status == 2
    assert "for research only" in output
    assert "--accept-license" in output
    status, _ = disbench("data", "download", "dsprites", "--data-dir", tmp_path, "--accept-license")
    assert status == 0


def test_a_failed_download_leaves_with_the_reason(
    tmp_path: Path, published: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"{SOURCES['dsprites'].files[0].urls[0]}.moved"
    publish(monkeypatch, urls=(url,))
    status, output = disbench("data", "download", "dsprites", "--data-dir", tmp_path)
    assert status == 2
    assert url in output
    assert "404" in output


@pytest.mark.parametrize("word", ["{}", FILE_NAME + "={}"])
def test_another_edition_is_accepted_by_its_checksum(
    tmp_path: Path, published: Path, monkeypatch: pytest.MonkeyPatch, word: str
) -> None:
    publish(monkeypatch, checksum="sha256:" + 64 * "0")
    given = ("--checksum", word.format(f"sha256:{sha256(published)}"))
    status, output = disbench("data", "download", "dsprites", "--data-dir", tmp_path)
    assert status == 2
    assert given[1].removeprefix(f"{FILE_NAME}=") in output
    assert disbench("data", "download", "dsprites", "--data-dir", tmp_path, *given)[0] == 0
    assert disbench("data", "verify", "dsprites", "--data-dir", tmp_path, *given)[0] == 0
    assert disbench("data", "verify", "dsprites", "--data-dir", tmp_path)[0] == 1


def test_checksums_without_names_are_refused_when_there_are_two() -> None:
    status, output = disbench("data", "download", "dsprites", "--checksum", "sha256:1", "--checksum", "sha256:2")
    assert status == 2
    assert "FILE=sha256:1" in output


def test_ctrl_c_leaves_with_130_and_says_how_to_go_on(
    tmp_path: Path, cache: Path, published: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def pressed(seconds: float) -> None:
        raise KeyboardInterrupt

    publish(monkeypatch, urls=("http://127.0.0.1:1/nobody",))
    monkeypatch.setattr(time, "sleep", pressed)
    status, output = disbench("data", "download", "dsprites", "--data-dir", tmp_path / "data")
    assert status == 130
    assert "run the same command again to go on" in output
    assert str(cache) in output


def test_a_changed_file_is_wrong(tmp_path: Path, published: Path) -> None:
    path = layout_dsprites.write(tmp_path, latents_values=None)
    status, output = disbench("data", "verify", "dsprites", "--data-dir", tmp_path)
    assert status == 1
    md5 = hashlib.md5(path.read_bytes()).hexdigest()
    assert f"WRONG: {path} has md5:{md5}, expected {SOURCES['dsprites'].files[0].checksum}" in output
    assert "ok: dsprites opens: 360 images" in output


def test_a_file_that_was_right_before_is_read_anew(
    tmp_path: Path, published: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(monkeypatch, checksum=f"sha256:{sha256(published)}")
    path = tmp_path / "dsprites" / FILE_NAME
    path.parent.mkdir()
    shutil.copy2(published, path)
    assert disbench("data", "verify", "dsprites", "--data-dir", tmp_path)[0] == 0
    content = bytearray(path.read_bytes())
    content[200] ^= 1
    path.write_bytes(content)
    shutil.copystat(published, path)  # the same size and time, by which a remembered checksum is found
    assert disbench("data", "verify", "dsprites", "--data-dir", tmp_path)[0] == 1


def test_a_file_that_cannot_be_read_is_wrong_whatever_its_checksum(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = layout_dsprites.write(tmp_path, imgs=np.full((360, 64, 64), 2, np.uint8))
    publish(monkeypatch, checksum=f"sha256:{sha256(path)}")
    status, output = disbench("data", "verify", "dsprites", "--data-dir", tmp_path)
    assert status == 1
    assert f"ok: {path}" in output
    assert "WRONG: dsprites does not open" in output


def test_an_unknown_checksum_is_never_called_ok(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = layout_dsprites.write(tmp_path)
    publish(monkeypatch, checksum="")
    status, output = disbench("data", "verify", "dsprites", "--data-dir", tmp_path)
    assert status == 0
    assert f"not known: {path} has sha256:{sha256(path)}" in output
    assert "ok: dsprites opens" in output


def test_a_missing_file_is_wrong_when_the_set_does_not_open(tmp_path: Path) -> None:
    status, output = disbench("data", "verify", "dsprites", "--data-dir", tmp_path)
    assert status == 1
    assert f"not there: {FILE_NAME}" in output
    assert "disbench data download dsprites" in output


def test_a_changed_conversion_is_wrong(tmp_path: Path, cache: Path, published: Path) -> None:
    path = tmp_path / "dsprites" / FILE_NAME
    path.parent.mkdir()
    shutil.copy2(published, path)
    assert disbench("data", "verify", "dsprites", "--data-dir", tmp_path)[0] == 0
    (images,) = cache.glob("dsprites-bits-*/images.npy")
    content = bytearray(images.read_bytes())
    content[-1] ^= 1
    images.write_bytes(content)
    status, output = disbench("data", "verify", "dsprites", "--data-dir", tmp_path)
    assert status == 1
    assert f"WRONG: {images.parent} has changed" in output
    shutil.rmtree(images.parent)
    assert disbench("data", "verify", "dsprites", "--data-dir", tmp_path)[0] == 0


def test_a_set_without_files_opens_and_has_no_checksums(tmp_path: Path) -> None:
    status, output = disbench("data", "verify", "dsprites_like", "--data-dir", tmp_path)
    assert status == 0
    assert output.startswith("ok: dsprites_like opens: 737,280 images")
    status, output = disbench("data", "verify", "dsprites_like", "--checksum", "sha256:1")
    assert status == 2


def test_an_imported_set_is_a_data_set_like_any_other(tmp_path: Path) -> None:
    table = np.indices((2, 3)).reshape(2, -1).T
    pictures = np.random.default_rng(0).integers(0, 256, (6, 64, 64), dtype=np.uint8)
    np.savez(tmp_path / "mine.npz", images=pictures, factors=table, factor_names=np.array(["big", "hue[red]"]))
    folder = import_dataset(tmp_path / "mine.npz", "mine", tmp_path)
    where = ("--data-dir", tmp_path)
    assert re.search(r"│ mine +│ own +│ 6 +│ none +│ +│ yes +│", disbench("data", "list", *where)[1])
    assert "hue[red]: 3 values" in disbench("data", "info", "mine", *where)[1]
    assert "Nothing needs to be downloaded" in disbench("data", "download", "mine", *where)[1]
    assert disbench("data", "verify", "mine", *where)[0] == 0
    np.save(folder / "images.npy", np.zeros((6, 1, 64, 64), np.uint8))
    assert disbench("data", "verify", "mine", *where)[0] == 1
    status, output = disbench("data", "list", *where)
    assert status == 0
    assert "damaged" in output


def test_a_preview_is_two_pictures(tmp_path: Path) -> None:
    status, output = disbench("data", "preview", "dsprites_like", "--out", tmp_path / "out")
    assert status == 0
    pictures = [tmp_path / "out" / f"dsprites_like-{kind}.png" for kind in ("samples", "sweeps")]
    assert output.split() == [str(path) for path in pictures]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in pictures)


def test_help_teaches() -> None:
    for words, texts in (
        (("data",), ("list", "info", "download", "verify", "preview")),
        (("data", "download"), ("--accept-license", "--checksum", "again to go on", "never overwritten")),
        (("data", "verify"), ("Status 1",)),
    ):
        status, output = disbench(*words, "--help")
        assert status == 0
        for text in texts:
            assert text in " ".join(output.replace("│", " ").split())


@pytest.mark.parametrize("name", [name for name in SOURCES if not name.startswith("mpi3d")])
def test_verify_compares_the_conversion_of_every_set(
    name: str, tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    layouts.write(name, tmp_path / "Data", monkeypatch)
    where = ("--data-dir", tmp_path / "Data")
    assert "is as it was converted" in disbench("data", "verify", name, *where)[1]
    (images,) = cache.glob("*/images.npy")
    flip_last_byte(images)
    status, output = disbench("data", "verify", name, *where)
    assert status == 1
    assert "has changed since it was converted" in output


def test_verify_reads_an_imported_set_anew(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    np.savez(
        tmp_path / "own.npz",
        images=generator.integers(0, 256, (12, 64, 64), dtype=np.uint8),
        factors=np.arange(12)[:, None] % 3,
    )
    where = ("--data-dir", tmp_path / "Data")
    assert disbench("data", "import", tmp_path / "own.npz", "--name", "mine", *where)[0] == 0
    assert disbench("data", "verify", "mine", *where)[0] == 0
    images = tmp_path / "Data" / "mine" / "images.npy"
    before = images.stat()
    flip_last_byte(images)
    os.utime(images, ns=(before.st_atime_ns, before.st_mtime_ns))
    status, output = disbench("data", "verify", "mine", *where)
    assert status == 1
    assert "has changed since it was imported" in output
    images.unlink()
    status, output = disbench("data", "info", "mine", *where)
    assert status == 2
    assert "--replace" in output


def flip_last_byte(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 255
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["mpi3d_toy", "--option", "variant=real"], "got variant"),
        (["dsprites_like", "--option", "root=/x"], "got root"),
        (["dsprites_like", "--select", "shape=["], "no YAML"),
        (["dsprites_like", "--option", "select=3"], "select needs factors with their ranges"),
        (["mpi3d_like", "--option", "tier=[1]"], "tier needs to be one of"),
        (["faces_like", "--option", "attributes=5"], "attributes needs to be"),
    ],
)
def test_a_wrong_option_is_an_error_that_says_what_there_is(words: list[str], message: str, tmp_path: Path) -> None:
    status, output = disbench("data", "preview", *words, "--out", tmp_path / "out")
    assert (status, "Traceback" in output) == (2, False)
    assert message in " ".join(output.split())


def test_a_preview_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("a file, where a folder would be needed")
    status, output = disbench("data", "preview", "dsprites_like", "--out", tmp_path / "file")
    assert status == 2
    assert "a folder is needed" in output


@pytest.mark.parametrize(
    "header",
    [
        "{'descr': (",
        "{'descr': '<i8', 'fortran_order': False, 'shape': (100000000000000, 6)}",
        "{'descr': '<i8', 'fortran_order': False, 'shape': (10000000000000000000000, 6)}",
    ],
)
@pytest.mark.parametrize("key", ["latents_classes", "imgs"])
def test_a_header_that_lies_is_an_error_that_names_the_file(header: str, key: str, tmp_path: Path) -> None:
    path = layout_dsprites.write(tmp_path)
    with zipfile.ZipFile(path) as archive:
        members = {member: archive.read(member) for member in archive.namelist()}
    text = header.ljust(117).encode() + b"\n"
    members[f"{key}.npy"] = b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + bytes(64)
    with zipfile.ZipFile(path, "w") as archive:
        for member, content in members.items():
            archive.writestr(member, content)
    status, output = disbench("data", "info", "dsprites", "--data-dir", tmp_path)
    assert (status, "Traceback" in output) == (2, False)
    assert FILE_NAME in output
    assert "disbench data download dsprites" in output


def test_a_cache_is_readable_to_whom_the_umask_lets(tmp_path: Path, cache: Path) -> None:
    layout_dsprites.write(tmp_path)
    mask = os.umask(0o022)
    try:
        assert disbench("data", "info", "dsprites", "--data-dir", tmp_path)[0] == 0
    finally:
        os.umask(mask)
    (folder,) = (meta.parent for meta in cache.glob("*/meta.json"))
    assert folder.stat().st_mode & 0o777 == 0o755
    assert all(memo.stat().st_mode & 0o777 == 0o644 for memo in (cache / "sha256").iterdir())


def test_a_cache_that_cannot_be_written_names_the_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    layout_dsprites.write(tmp_path)
    (tmp_path / "file").write_text("a file, where a folder would be needed")
    monkeypatch.setenv("DISBENCH_CACHE", str(tmp_path / "file" / "cache"))
    status, output = disbench("data", "info", "dsprites", "--data-dir", tmp_path)
    assert status == 2
    assert "DISBENCH_CACHE" in output
