import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from disbench.datasets import DATASETS, FactorDataset, load
from disbench.datasets.official.dsprites import FILE_NAME, DSprites
from disbench.datasets.storage.files import data_root

Writer = Callable[..., Path]


class Trap:
    """A pickle that leaves a folder behind when it is loaded."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.mark),)


def test_the_file_is_read_back_as_black_and_white(
    tmp_path: Path, write_official: Writer, sprites: FactorDataset
) -> None:
    write_official()
    dataset = DSprites(tmp_path)
    rows = torch.arange(len(sprites)).flip(0)
    assert dataset.factor_names == ("shape", "scale", "orientation", "position_x", "position_y")
    assert dataset.factor_sizes == (3, 2, 4, 3, 5)
    assert torch.equal(dataset.batch(rows), sprites.batch(rows))
    assert torch.equal(dataset.factors(rows), sprites.factors(rows))


def test_images_are_packed_when_there_are_more_than_a_chunk(
    tmp_path: Path, write_official: Writer, sprites: FactorDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("disbench.datasets.official.dsprites.ROWS_A_CHUNK", 7)
    write_official()
    rows = torch.arange(len(sprites))
    assert torch.equal(DSprites(tmp_path).batch(rows), sprites.batch(rows))


def test_the_pickled_metadata_is_never_loaded(tmp_path: Path, write_official: Writer) -> None:
    path = write_official(metadata=np.array(Trap(tmp_path / "unpickled"), dtype=object))
    DSprites(tmp_path)
    assert not (tmp_path / "unpickled").exists()
    with np.load(path, allow_pickle=True) as archive:
        archive["metadata"]
    assert (tmp_path / "unpickled").exists(), "the trap itself does not work"


def test_a_pickle_in_the_place_of_the_labels_is_refused_unopened(tmp_path: Path, write_official: Writer) -> None:
    write_official(latents_classes=np.array(Trap(tmp_path / "unpickled"), dtype=object))
    with pytest.raises(ValueError, match="allow_pickle=False"):
        DSprites(tmp_path)
    assert not (tmp_path / "unpickled").exists()


def test_the_file_is_found_directly_under_the_root_and_by_the_environment(
    tmp_path: Path, write_official: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_official()
    assert len(DSprites(path.parent)) == 360
    monkeypatch.setenv("DISBENCH_DATA", str(tmp_path))
    assert len(DATASETS["dsprites"]()) == 360


def test_the_default_root_is_data_in_the_working_directory(
    tmp_path: Path, write_official: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DISBENCH_DATA", raising=False)
    path = write_official()
    path.parent.rename(tmp_path / "moved")
    (tmp_path / "Data").mkdir()
    (tmp_path / "moved").rename(tmp_path / "Data" / "dsprites")
    monkeypatch.chdir(tmp_path)
    assert len(load("dsprites")) == 360


def test_a_missing_file_says_where_it_was_sought_how_to_get_it_and_what_needs_none(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as caught:
        DSprites(tmp_path)
    message = str(caught.value)
    assert str(tmp_path / "dsprites" / FILE_NAME) in message
    assert str(tmp_path / FILE_NAME) in message
    assert f"disbench data download dsprites --data-dir {tmp_path}" in message
    assert "dsprites_like" in message


def test_the_version_follows_the_file(tmp_path: Path, write_official: Writer) -> None:
    write_official()
    before = DSprites(tmp_path).version
    write_official(latents_values=None)
    assert DSprites(tmp_path).version != before


def order_of(sprites: FactorDataset) -> np.ndarray:
    factors = sprites.factors(torch.arange(len(sprites))).numpy()
    return np.concatenate([np.zeros_like(factors[:, :1]), factors], axis=1)


def test_rows_in_another_order_are_refused(tmp_path: Path, write_official: Writer, sprites: FactorDataset) -> None:
    classes = order_of(sprites)
    classes[[10, 11]] = classes[[11, 10]]
    write_official(latents_classes=classes)
    with pytest.raises(ValueError, match="360 rows are not the grid 1x3x2x4x3x5 in C order"):
        DSprites(tmp_path)


def test_an_incomplete_grid_is_refused(tmp_path: Path, write_official: Writer, sprites: FactorDataset) -> None:
    write_official(latents_classes=order_of(sprites)[:-1])
    with pytest.raises(ValueError, match="359 rows are not the grid"):
        DSprites(tmp_path)


def test_a_file_of_another_layout_is_refused(tmp_path: Path, write_official: Writer, sprites: FactorDataset) -> None:
    images = (sprites.batch(torch.arange(len(sprites)))[:, 0] // 255).numpy()
    for changes, message in (
        ({"imgs": None}, "lacks imgs and has"),
        ({"latents_classes": None}, "lacks latents_classes"),
        ({"imgs": images * 255}, r"values in \{0, 1\}, got 255"),
        ({"imgs": images.astype(np.float32)}, "needs to be uint8"),
        ({"imgs": images[:-1]}, r"needs to be \(360, 64, 64\)"),
        ({"imgs": np.asfortranarray(images)}, "C order"),
        ({"latents_classes": order_of(sprites).astype(float)}, "needs to be integers"),
        ({"latents_classes": order_of(sprites)[:, 1:]}, "needs to be integers"),
        ({"latents_classes": order_of(sprites) + 1}, "needs one colour, got 2"),
    ):
        write_official(**changes)
        with pytest.raises(ValueError, match=message) as caught:
            DSprites(tmp_path)
        assert FILE_NAME in str(caught.value)


def test_a_file_that_was_cut_short_is_refused(tmp_path: Path, write_official: Writer) -> None:
    path = write_official()
    whole = path.read_bytes()
    for length in (0, 100, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(ValueError, match="fetch it again"):
            DSprites(tmp_path)


def test_a_web_page_in_the_files_place_is_refused(tmp_path: Path, write_official: Writer) -> None:
    write_official().write_text("<html>Quota exceeded</html>")
    with pytest.raises(ValueError, match="web page"):
        DSprites(tmp_path)


def test_a_single_changed_pixel_is_noticed(tmp_path: Path, write_official: Writer) -> None:
    path = write_official(save=np.savez, imgs=np.zeros((360, 64, 64), np.uint8))
    content = bytearray(path.read_bytes())
    position = content.find(b"imgs.npy") + 300_000
    assert content[position] == 0
    content[position] = 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match="CRC"):
        DSprites(tmp_path)


def test_a_home_folder_that_does_not_exist_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"~nobody-of-this-name/sets: there is no such home folder"):
        data_root("~nobody-of-this-name/sets")
