from pathlib import Path

import numpy as np
import pytest

from disbench.datasets.storage.cache import cache_folder, cached_array


class Counter:
    def __init__(self) -> None:
        self.built = 0

    def __call__(self) -> np.ndarray:
        self.built += 1
        return np.arange(6, dtype=np.uint8).reshape(2, 3)


def get(count: Counter) -> np.ndarray:
    array = cached_array("thing-1", count, (2, 3), np.uint8)
    assert np.array_equal(array, [[0, 1, 2], [3, 4, 5]])
    return array


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DISBENCH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_an_array_is_built_once_and_then_read(folder: Path) -> None:
    count = Counter()
    get(count)
    get(count)
    assert count.built == 1
    assert [path.name for path in folder.iterdir()] == ["thing-1.npz"]


def test_a_damaged_file_is_built_again_and_repaired(folder: Path) -> None:
    count = Counter()
    get(count)
    path = folder / "thing-1.npz"
    whole = path.read_bytes()
    flipped = bytearray(whole)
    flipped[whole.rfind(b"PK\x01\x02") - 3] ^= 255
    for damaged in (b"", b"nonsense", whole[:-30], bytes(flipped)):
        path.write_bytes(damaged)
        before = count.built
        get(count)
        assert count.built == before + 1
        get(count)
        assert count.built == before + 1


def test_an_array_of_another_shape_or_type_is_not_taken(folder: Path) -> None:
    count = Counter()
    folder.mkdir()
    for wrong in (np.zeros((3, 2), np.uint8), np.zeros((2, 3), np.int64), np.array([{}], dtype=object)):
        np.savez(folder / "thing-1.npz", array=wrong)
        get(count)
    with (folder / "thing-1.npz").open("wb") as file:
        np.save(file, np.zeros(3))
    get(count)
    assert count.built == 4


def test_without_a_writable_folder_the_array_is_still_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("a file, where a folder would be needed")
    monkeypatch.setenv("DISBENCH_CACHE", str(tmp_path / "file" / "cache"))
    count = Counter()
    get(count)
    get(count)
    assert count.built == 2


def test_the_default_folder_is_in_the_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DISBENCH_CACHE", raising=False)
    assert cache_folder() == Path.home() / ".cache" / "disbench"
