"""Conversions, rows on any device, and arrays inside an npz."""

import contextlib
import errno
import io
import json
import logging
import os
import pickle
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from accelerator import on_an_accelerator
from filelock import FileLock

from disbench.datasets.storage import npz, store
from disbench.datasets.storage.store import Conversion, Create, ImageStore, cached_conversion

SHA256 = "0123456789abcdef" * 4
PICTURES = np.random.default_rng(0).integers(0, 256, (10, 2, 3), dtype=np.uint8)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DISBENCH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


class Maker:
    """Converts PICTURES and counts how often."""

    def __init__(self) -> None:
        self.made = 0

    def __call__(self, create: Create) -> dict[str, Any]:
        self.made += 1
        create(PICTURES.shape)[:] = PICTURES
        return {"sizes": [2, 5]}


def convert(make: Callable[[Create], dict[str, Any]], sha256: str = SHA256) -> Conversion:
    found = cached_conversion("things", sha256, make)
    assert np.array_equal(found.images, PICTURES)
    assert found.facts == {"sizes": [2, 5]}
    return found


def left_in(cache: Path) -> list[str]:
    """What lies in the cache, but for the lock."""
    return [path.name for path in cache.iterdir() if not path.name.endswith(".lock")]


def test_a_conversion_is_made_once_and_mapped_read_only(cache: Path) -> None:
    make = Maker()
    first, second = convert(make), convert(make)
    assert make.made == 1
    assert first.folder == second.folder == cache / "things-0123456789abcdef"
    assert left_in(cache) == [first.folder.name]
    assert sorted(path.name for path in first.folder.iterdir()) == ["images.npy", "meta.json"]
    assert isinstance(first.images, np.memmap)
    assert not first.images.flags.writeable


def test_another_source_is_another_conversion(cache: Path) -> None:
    make = Maker()
    convert(make)
    convert(make, "f" * 64)
    assert make.made == 2
    assert len(left_in(cache)) == 2


def test_another_source_whose_checksum_begins_alike_is_not_taken_for_it() -> None:
    make = Maker()
    convert(make)
    convert(make, SHA256[:-1] + "0")
    assert make.made == 2


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_conversion_that_fails_leaves_nothing(cache: Path, error: type[BaseException], when: str) -> None:
    def fail(create: Create) -> dict[str, Any]:
        if when == "after":
            create(PICTURES.shape)[:5] = PICTURES[:5]
        raise error("no more")

    with pytest.raises(error, match="no more"):
        cached_conversion("things", SHA256, fail)
    assert left_in(cache) == []
    convert(Maker())


def cut_short(folder: Path) -> None:
    path = folder / "images.npy"
    path.write_bytes(path.read_bytes()[:-1])


def of_another_shape(folder: Path) -> None:
    np.save(folder / "images.npy", PICTURES[:-1])


def of_another_type(folder: Path) -> None:
    np.save(folder / "images.npy", PICTURES.view(np.int8))


def a_pickle(folder: Path) -> None:
    np.save(folder / "images.npy", np.array([{}], dtype=object), allow_pickle=True)


def without_images(folder: Path) -> None:
    (folder / "images.npy").unlink()


def without_meta(folder: Path) -> None:
    (folder / "meta.json").unlink()


def half_a_meta(folder: Path) -> None:
    path = folder / "meta.json"
    path.write_text(path.read_text()[:30])


def no_utf8(folder: Path) -> None:
    (folder / "meta.json").write_bytes(b"\xff\xfe")


def without_a_key(folder: Path) -> None:
    path = folder / "meta.json"
    path.write_text(json.dumps({key: value for key, value in json.loads(path.read_text()).items() if key != "facts"}))


def a_list(folder: Path) -> None:
    (folder / "meta.json").write_text("[]")


def of_an_older_format(folder: Path) -> None:
    path = folder / "meta.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"format": store.FORMAT - 1}))


@pytest.mark.parametrize(
    "damage",
    [
        cut_short,
        of_another_shape,
        of_another_type,
        a_pickle,
        without_images,
        without_meta,
        half_a_meta,
        no_utf8,
        without_a_key,
        a_list,
        of_an_older_format,
    ],
)
def test_a_damaged_or_older_conversion_is_made_anew(cache: Path, damage: Callable[[Path], None]) -> None:
    make = Maker()
    damage(convert(make).folder)
    assert np.array_equal(convert(make).images, PICTURES)
    assert make.made == 2
    assert len(left_in(cache)) == 1
    convert(make)
    assert make.made == 2


def test_what_a_killed_process_left_is_removed_and_others_work_is_not(cache: Path) -> None:
    left = cache / ".things-0123456789abcdef.a1b2c3"
    others = cache / ".others-0123456789abcdef.a1b2c3"
    for folder in (left, others):
        folder.mkdir(parents=True)
        (folder / "images.npy").write_bytes(b"half")
    convert(Maker())
    assert not left.exists()
    assert others.exists()


def test_a_full_disk_is_refused_before_anything_is_written(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Usage(NamedTuple):
        total: int
        used: int
        free: int

    make = Maker()
    monkeypatch.setattr("shutil.disk_usage", lambda path: Usage(10**12, 10**12, PICTURES.nbytes - 1))
    with pytest.raises(OSError, match="set DISBENCH_CACHE to a folder with more") as caught:
        cached_conversion("things", SHA256, make)
    assert caught.value.errno == errno.ENOSPC
    assert str(cache) in str(caught.value)
    assert left_in(cache) == []
    monkeypatch.setattr("shutil.disk_usage", lambda path: Usage(10**12, 10**12, 10**9))
    convert(make)


def test_the_room_that_is_needed_is_known_beyond_32_bits() -> None:
    with pytest.raises(OSError, match=r"needs 9,007,199\.255 GB"):
        cached_conversion("things", SHA256, lambda create: {"made": create((2**20, 2**20, 2**13)).shape})


@pytest.mark.skipif(not hasattr(os, "posix_fallocate"), reason="not on this system")
def test_the_room_is_taken_before_the_first_row_is_written(cache: Path) -> None:
    """Where it is used up by others meanwhile, a write to a mapped hole would end the process."""

    def make(create: Create) -> dict[str, Any]:
        create((2**20,))
        (path,) = cache.glob(".things-*/images.npy")
        assert path.stat().st_blocks * 512 >= 2**20
        return {}

    cached_conversion("things", SHA256, make)


def test_a_cache_that_cannot_be_written_is_an_os_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("DISBENCH_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(OSError, match="file"):
        cached_conversion("things", SHA256, Maker())


# Two of these begin together: each says that it is ready, and waits until both are.
CONVERT = """
import sys, time
from pathlib import Path
import numpy as np
from disbench.datasets.storage.store import cached_conversion

def make(create):
    with (here / "made").open("a") as log:
        log.write("x")
    time.sleep(0.3)  # the other process has long asked for the same
    create((5, 4))[:] = 7
    return {}

here = Path(sys.argv[1])
(here / f"ready-{sys.argv[2]}").touch()
while len(list(here.glob("ready-*"))) < 2:
    time.sleep(0.01)
assert (cached_conversion("things", "0" * 64, make).images == 7).all()
"""


def test_two_processes_at_once_convert_once_and_both_read_it(tmp_path: Path, cache: Path) -> None:
    processes = [
        subprocess.Popen([sys.executable, "-c", CONVERT, str(tmp_path), name], stderr=subprocess.PIPE, text=True)
        for name in "ab"
    ]
    for process in processes:
        _, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors
    assert (tmp_path / "made").read_text() == "x"
    assert left_in(cache) == ["things-" + "0" * 16]


def test_a_conversion_is_announced(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "disbench"):
        convert(Maker())
        convert(Maker())
    assert [record.message.split(",")[0] for record in caplog.records] == ["Converting things once"]


@pytest.fixture(params=["held", "mapped"])
def images(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ImageStore:
    """PICTURES, in memory or in a file."""
    np.save(tmp_path / "images.npy", PICTURES)
    monkeypatch.setattr(store, "HELD_BYTES", PICTURES.nbytes - (request.param == "mapped"))
    return ImageStore(np.load(tmp_path / "images.npy", mmap_mode="r"))


def test_rows_are_those_of_the_array(images: ImageStore) -> None:
    assert len(images) == 10
    for rows in ([3], [9, 0, 4, 4], list(range(10)), []):
        taken = images.take(torch.tensor(rows, dtype=torch.int64))
        assert taken.dtype == torch.uint8
        assert np.array_equal(taken.numpy(), PICTURES[rows])


def test_changing_what_was_taken_changes_nothing_else(images: ImageStore) -> None:
    rows = torch.tensor([1, 2])
    images.take(rows).zero_()
    assert np.array_equal(images.take(rows).numpy(), PICTURES[1:3])


def test_a_small_array_is_held_and_a_large_one_stays_in_its_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "images.npy"
    for held in (True, False):
        np.save(path, PICTURES)
        monkeypatch.setattr(store, "HELD_BYTES", PICTURES.nbytes - (not held))
        images = ImageStore(np.load(path, mmap_mode="r"))
        with path.open("r+b") as file:
            file.seek(-PICTURES.nbytes, os.SEEK_END)
            file.write(bytes(PICTURES.nbytes))
        assert bool(images.take(torch.arange(10)).any()) == held


def npz_member(path: Path) -> np.ndarray:
    np.savez(path, before=PICTURES, images=PICTURES)
    mapped = npz.mapped_bytes(path.with_suffix(".npz"), "images")
    assert mapped is not None
    return mapped


def npy_file(path: Path) -> np.ndarray:
    np.save(path, PICTURES)
    return np.load(path.with_suffix(".npy"), mmap_mode="r")


@pytest.mark.parametrize("held", [True, False], ids=["held", "mapped"])
@pytest.mark.parametrize("part", [slice(None), slice(3, 8)], ids=["whole", "part"])
@pytest.mark.parametrize("mapped", [npy_file, npz_member])
def test_a_pickle_of_images_in_a_file_names_the_file_and_reads_the_same(
    mapped: Callable[[Path], np.ndarray], part: slice, held: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "HELD_BYTES", 2**30 if held else 0)
    images = ImageStore(mapped(tmp_path / "images")[part])
    pickled = pickle.dumps(images)
    assert PICTURES[5].tobytes() not in pickled
    again = pickle.loads(pickled)
    rows = torch.arange(len(PICTURES[part]))
    assert len(again) == len(rows)
    assert np.array_equal(again.take(rows).numpy(), PICTURES[part])
    assert PICTURES[5].tobytes() not in pickle.dumps(again)


def not_in_a_file(path: Path) -> np.ndarray:
    return PICTURES


def every_other_column(path: Path) -> np.ndarray:
    return npy_file(path)[:, :, ::2]


@pytest.mark.parametrize("make", [not_in_a_file, every_other_column])
@pytest.mark.parametrize("held", [2**30, 0])
def test_images_that_are_no_run_of_a_file_are_pickled_themselves(
    make: Callable[[Path], np.ndarray], held: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "HELD_BYTES", held)
    array = make(tmp_path / "images")
    again = pickle.loads(pickle.dumps(ImageStore(array)))
    assert np.array_equal(again.take(torch.arange(10)).numpy(), array)


def test_what_is_on_an_accelerator_stays_out_of_a_pickle(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "free_memory", lambda device: 1e9)
    images = ImageStore(PICTURES)
    assert images.preferred_device(torch.device("meta")) == torch.device("meta")
    pickled = pickle.dumps(images)
    assert len(pickled) < 2 * PICTURES.nbytes + 500
    monkeypatch.setattr(store, "free_memory", lambda device: 0.0)
    assert pickle.loads(pickled).preferred_device(torch.device("meta")) == torch.device("cpu")


@pytest.mark.parametrize("rows", [[-1], [10], [0, 10], [-11], [2**40]])
def test_a_row_outside_is_an_index_error(images: ImageStore, rows: list[int]) -> None:
    with pytest.raises(IndexError, match=r"0\.\.9"):
        images.take(torch.tensor(rows))


@pytest.mark.parametrize("rows", [torch.tensor([1.0]), torch.tensor([[1]]), torch.tensor(1), torch.tensor([True])])
def test_rows_are_a_list_of_int64(images: ImageStore, rows: torch.Tensor) -> None:
    with pytest.raises(TypeError, match="1-d int64"):
        images.take(rows)


@pytest.fixture(params=["meta", "cuda", "cuda:0"])
def accelerator(request: pytest.FixtureRequest) -> Iterator[torch.device]:
    """A device without numbers: tensors there have a place, a shape and a type."""
    with on_an_accelerator() if request.param.startswith("cuda") else contextlib.nullcontext():
        yield torch.device(request.param)


def test_an_array_that_fits_is_placed_and_its_rows_come_from_there(
    accelerator: torch.device, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "free_memory", lambda device: PICTURES.nbytes / store.ACCELERATOR_SHARE)
    images = ImageStore(PICTURES)
    where = images.preferred_device(accelerator)
    taken = images.take(torch.tensor([1, 2, 2], device=where))
    assert taken.device == where == torch.empty(0, device=accelerator).device
    assert taken.shape == (3, 2, 3)
    assert taken.dtype == torch.uint8


def test_an_array_is_placed_once(accelerator: torch.device, monkeypatch: pytest.MonkeyPatch) -> None:
    free = [PICTURES.nbytes / store.ACCELERATOR_SHARE, 0.0]  # the array itself has taken what was free
    monkeypatch.setattr(store, "free_memory", lambda device: free.pop(0))
    images = ImageStore(PICTURES)
    where = images.preferred_device(accelerator)
    assert where.type == accelerator.type
    assert images.preferred_device(accelerator) == images.preferred_device(where) == where
    assert free == [0.0]


def test_an_array_that_does_not_fit_stays_on_the_cpu(
    accelerator: torch.device, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "free_memory", lambda device: PICTURES.nbytes / store.ACCELERATOR_SHARE - 1)
    assert ImageStore(PICTURES).preferred_device(accelerator) == torch.device("cpu")


def test_the_cpu_needs_no_room_and_a_device_of_unknown_memory_gets_nothing() -> None:
    images = ImageStore(PICTURES)
    assert images.preferred_device(torch.device("cpu")) == torch.device("cpu")
    assert images.preferred_device(torch.device("meta")) == torch.device("cpu")
    assert store.free_memory(torch.device("meta")) == 0


def test_a_placed_array_is_still_read_on_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "free_memory", lambda device: 1e9)
    images = ImageStore(PICTURES)
    assert images.preferred_device(torch.device("meta")) == torch.device("meta")
    assert np.array_equal(images.take(torch.arange(10)).numpy(), PICTURES)


def test_what_is_copied_to_a_device_is_the_array() -> None:
    assert np.array_equal(store._to_device(PICTURES, torch.device("cpu")).numpy(), PICTURES)


Save = Callable[[Path, dict[str, np.ndarray]], None]


def npy(array: np.ndarray, version: tuple[int, int] = (1, 0)) -> bytes:
    content = io.BytesIO()
    np.lib.format.write_array(content, array, version=version)
    return content.getvalue()


def by_numpy(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Local headers with 64-bit lengths, which the central directory has no need of: the two differ in length."""
    np.savez(path, **arrays)  # type: ignore[arg-type]


def by_zipfile(path: Path, arrays: dict[str, np.ndarray]) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for name, array in arrays.items():
            archive.writestr(f"{name}.npy", npy(array))


def with_extra_fields(path: Path, arrays: dict[str, np.ndarray]) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for number, (name, array) in enumerate(arrays.items()):
            member = zipfile.ZipInfo(f"{name}.npy")
            member.extra = b"\xfe\xca" + (5 + number).to_bytes(2, "little") + bytes(5 + number)
            archive.writestr(member, npy(array))


def as_a_stream(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Lengths and checksums follow the data instead of preceding it."""

    class Pipe(io.RawIOBase):
        def __init__(self) -> None:
            self.content = b""

        def writable(self) -> bool:
            return True

        def write(self, content: Any) -> int:
            self.content += bytes(content)
            return len(content)

    pipe = Pipe()
    with zipfile.ZipFile(pipe, "w") as archive:
        for name, array in arrays.items():
            archive.writestr(f"{name}.npy", npy(array))
    path.write_bytes(pipe.content)


def with_a_comment(path: Path, arrays: dict[str, np.ndarray]) -> None:
    by_numpy(path, arrays)
    with zipfile.ZipFile(path, "a") as archive:
        archive.comment = b"written by hand " * 99


def with_long_headers(path: Path, arrays: dict[str, np.ndarray]) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for name, array in arrays.items():
            archive.writestr(f"{name}.npy", npy(array, (2, 0)))


STORED = [by_numpy, by_zipfile, with_extra_fields, as_a_stream, with_a_comment, with_long_headers]
ARRAYS = {
    "images": PICTURES,
    "other things/ä": PICTURES[::-1].copy(),
    "flat": PICTURES.reshape(-1),
    "one": np.array([[7]], np.uint8),
}


@pytest.mark.parametrize("save", STORED)
def test_a_stored_array_is_mapped_where_it_lies(tmp_path: Path, save: Save) -> None:
    path = tmp_path / "arrays.npz"
    save(path, ARRAYS)
    assert npz.keys(path) == list(ARRAYS)
    with np.load(path, allow_pickle=False) as archive:
        for key in ARRAYS:
            mapped = npz.mapped_bytes(path, key)
            assert isinstance(mapped, np.memmap)
            assert not mapped.flags.writeable
            assert np.array_equal(mapped, archive[key])
            assert npz.byte_shape(path, key) == archive[key].shape


@pytest.mark.parametrize("save", [*STORED, lambda path, arrays: np.savez_compressed(path, **arrays)])
@pytest.mark.parametrize("rows", [1, 3, 10, 1000])
def test_the_pieces_of_an_array_are_the_array(tmp_path: Path, save: Save, rows: int) -> None:
    path = tmp_path / "arrays.npz"
    save(path, ARRAYS)
    for key, array in ARRAYS.items():
        pieces = list(npz.rows_in_chunks(path, key, rows))
        assert [start for start, _ in pieces] == list(range(0, len(array), rows))
        assert np.array_equal(np.concatenate([piece for _, piece in pieces]), array)


def test_a_compressed_array_is_not_mapped(tmp_path: Path) -> None:
    path = tmp_path / "arrays.npz"
    np.savez_compressed(path, images=PICTURES)
    assert npz.mapped_bytes(path, "images") is None
    assert npz.byte_shape(path, "images") == PICTURES.shape


def read_with_each(path: Path, key: str) -> Iterator[Callable[[], object]]:
    yield lambda: npz.mapped_bytes(path, key)
    yield lambda: npz.byte_shape(path, key)
    yield lambda: list(npz.rows_in_chunks(path, key, 3))
    yield lambda: npz.small_array(path, key)


def test_a_missing_array_is_named_beside_those_that_there_are(tmp_path: Path) -> None:
    path = tmp_path / "arrays.npz"
    np.savez(path, images=PICTURES, labels=PICTURES)
    for read in read_with_each(path, "imgs"):
        with pytest.raises(ValueError, match="lacks imgs and has images, labels"):
            read()


@pytest.mark.parametrize("content", [b"", b"PK", b"<html>Quota exceeded</html>" * 99])
def test_what_is_no_zip_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "arrays.npz"
    path.write_bytes(content)
    for read in [*read_with_each(path, "images"), lambda: npz.keys(path)]:
        with pytest.raises(ValueError, match="not a zip file"):
            read()


@pytest.mark.parametrize(
    "array", [PICTURES.astype(np.int8), PICTURES.astype(">u2"), np.asfortranarray(PICTURES), PICTURES > 9]
)
def test_only_bytes_in_c_order_are_read_as_bytes(tmp_path: Path, array: np.ndarray) -> None:
    path = tmp_path / "arrays.npz"
    np.savez(path, images=array)
    for read in list(read_with_each(path, "images"))[:3]:
        with pytest.raises(ValueError, match="images needs to be uint8 in C order"):
            read()


class Trap:
    """A pickle that makes a folder when it is loaded."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.mark),)


def test_python_objects_are_refused_unopened(tmp_path: Path) -> None:
    path = tmp_path / "arrays.npz"
    np.savez(path, images=np.array([Trap(tmp_path / "unpickled")], dtype=object))  # type: ignore[list-item]
    for read in read_with_each(path, "images"):
        with pytest.raises(ValueError, match=r"uint8 in C order, got object|allow_pickle=False"):
            read()
    assert not (tmp_path / "unpickled").exists()


def rewritten(path: Path, content: bytes) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("images.npy", content)


def test_a_member_shorter_or_longer_than_its_header_says_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "arrays.npz"
    for content, piecewise in (
        (npy(PICTURES)[:-7], "ends within its row 8 of 10"),
        (npy(PICTURES) + b"more", "more than"),
    ):
        rewritten(path, content)
        with pytest.raises(ValueError, match="another number"):
            npz.mapped_bytes(path, "images")
        with pytest.raises(ValueError, match=piecewise):
            list(npz.rows_in_chunks(path, "images", 3))


@pytest.mark.parametrize("length", [0, 5, 20])
def test_a_member_that_ends_within_its_header_is_refused(tmp_path: Path, length: int) -> None:
    path = tmp_path / "arrays.npz"
    rewritten(path, npy(PICTURES)[:length])
    for read in read_with_each(path, "images"):
        with pytest.raises(ValueError, match=r"expected|not an array"):
            read()


def test_a_changed_byte_is_noticed_where_an_array_is_read_through(tmp_path: Path) -> None:
    path = tmp_path / "arrays.npz"
    np.savez(path, images=PICTURES)
    content = bytearray(path.read_bytes())
    content[content.find(PICTURES.tobytes()) + 30] ^= 1
    path.write_bytes(content)
    with pytest.raises(zipfile.BadZipFile, match="CRC"):
        list(npz.rows_in_chunks(path, "images", 3))


def test_names_that_lead_out_of_the_folder_are_only_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    path = Path("arrays.npz")
    by_zipfile(path, {"../outside": PICTURES, "/tmp/../absolute": PICTURES})
    before = sorted(tmp_path.rglob("*"))
    for key in ("../outside", "/tmp/../absolute"):
        for read in read_with_each(path, key):
            read()
        mapped = npz.mapped_bytes(path, key)
        assert mapped is not None
        assert np.array_equal(mapped, PICTURES)
    assert sorted(tmp_path.rglob("*")) == before


def test_what_killed_conversions_left_is_removed_and_what_is_in_use_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DISBENCH_CACHE", str(tmp_path))
    dead, alive, other = (tmp_path / name for name in (f".a-{'0' * 16}.abcd_123", f".b-{'1' * 16}.abcd1234", ".git"))
    for folder in (dead, alive, other):
        folder.mkdir()
        (folder / "images.npy").write_bytes(bytes(100))
    with FileLock(tmp_path / f".b-{'1' * 16}.lock"):
        store.remove_unfinished_conversions()
    assert not dead.exists()
    assert alive.exists()
    assert other.exists()
    store.remove_unfinished_conversions()
    assert not alive.exists()


def test_a_file_system_that_cannot_reserve_is_filled_with_zeros(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> None:
        raise OSError(errno.EOPNOTSUPP, "Operation not supported")

    monkeypatch.setattr(os, "posix_fallocate", refused)
    monkeypatch.setattr(store, "RESERVED_AT_ONCE", 1000)
    (tmp_path / "folder").mkdir()
    path = tmp_path / "folder" / "images.npy"
    array = store.allocated_array(path, (5, 1000), "The test", "DISBENCH_DATA")
    assert path.stat().st_blocks * 512 >= 5000
    array[:] = 7
    assert (np.load(path) == 7).all()
