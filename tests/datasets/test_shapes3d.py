from collections.abc import Callable
from pathlib import Path

import h5py
import layout_shapes3d
import numpy as np
import pytest
import torch

from disbench.datasets.official.shapes3d import FILE_NAME, SOURCE, Shapes3D
from disbench.datasets.procedural import shapes3d_like

ROWS = layout_shapes3d.ROWS


def test_the_images_and_their_factors_are_read_back(tmp_path: Path) -> None:
    layout_shapes3d.write(tmp_path)
    dataset = Shapes3D(tmp_path)
    rows = torch.arange(ROWS).flip(0)
    images = torch.from_numpy(layout_shapes3d.images()).permute(0, 3, 1, 2)
    assert dataset.factor_sizes == (3, 2, 2, 2, 4, 3)
    assert len(dataset) == ROWS
    assert torch.equal(dataset.batch(rows), images[rows])
    factors = dataset.factors(rows)
    for column, (values, written) in enumerate(zip(layout_shapes3d.VALUES, layout_shapes3d.labels().T, strict=True)):
        assert np.array_equal(values[factors[:, column].numpy()], written[rows.numpy()])


def test_the_drawn_set_has_the_same_factors_in_the_same_order(tmp_path: Path) -> None:
    layout_shapes3d.write(tmp_path)
    assert Shapes3D(tmp_path).factor_names == shapes3d_like.SPACE.names
    assert SOURCE.stand_in == "shapes3d_like"


@pytest.mark.parametrize("rows", [1, 7, 50, 120, ROWS])
def test_slabs_of_any_size_give_the_same_images(tmp_path: Path, rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("disbench.datasets.official.shapes3d.ROWS_A_SLAB", rows)
    images = layout_shapes3d.images()[:48, :, :, :]
    layout_shapes3d.write(tmp_path, images=images, labels=layout_shapes3d.labels()[:48])
    batch = Shapes3D(tmp_path).batch(torch.arange(48))
    assert torch.equal(batch.permute(0, 2, 3, 1), torch.from_numpy(images))


def test_a_factor_of_one_value_is_dropped(tmp_path: Path) -> None:
    layout_shapes3d.write(tmp_path, images=layout_shapes3d.images()[:96], labels=layout_shapes3d.labels()[:96])
    dataset = Shapes3D(tmp_path)
    assert dataset.factor_names == ("wall_hue", "object_hue", "scale", "shape", "orientation")
    assert dataset.factor_sizes == (2, 2, 2, 4, 3)


def test_the_file_is_found_in_each_of_its_folders(tmp_path: Path) -> None:
    path = layout_shapes3d.write(tmp_path)
    for folder in (tmp_path / "shapes3d", tmp_path):
        folder.mkdir(exist_ok=True)
        path = path.rename(folder / FILE_NAME)
        assert len(Shapes3D(tmp_path)) == ROWS


def test_it_is_converted_once_and_the_version_follows_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISBENCH_CACHE", str(tmp_path / "cache"))
    layout_shapes3d.write(tmp_path)
    first = Shapes3D(tmp_path)
    (folder,) = (tmp_path / "cache").glob("shapes3d-*/")
    made = (folder / "images.npy").stat().st_mtime_ns
    assert Shapes3D(tmp_path).version == first.version
    assert (folder / "images.npy").stat().st_mtime_ns == made
    layout_shapes3d.write(tmp_path, images=255 - layout_shapes3d.images())
    second = Shapes3D(tmp_path)
    assert second.version != first.version
    assert torch.equal(second.batch(torch.tensor([5])), 255 - first.batch(torch.tensor([5])))


def test_a_missing_file_says_where_it_was_sought_how_to_get_it_and_what_needs_none(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as caught:
        Shapes3D(tmp_path)
    message = str(caught.value)
    for place in ("3dshapes", "shapes3d", "."):
        assert str(tmp_path / place / FILE_NAME) in message
    assert "disbench data download shapes3d" in message
    assert "shapes3d_like" in message


def swapped() -> np.ndarray:
    labels = layout_shapes3d.labels()
    labels[[10, 11]] = labels[[11, 10]]
    return labels


def descending() -> np.ndarray:
    labels = layout_shapes3d.labels()
    labels[:, 0] *= -1
    return labels


def with_value(value: float) -> np.ndarray:
    """All numbers of a value replaced: still a grid to anyone who only looks at which values are equal."""
    labels = layout_shapes3d.labels()
    labels[labels[:, 5] == 30, 5] = value
    labels[labels[:, 5] == labels[:, 5].max(), 5] = value
    return labels


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (swapped, "288 labels are not the grid 3x2x2x2x4x3 in C order"),
        (descending, "288 labels are not the grid 3x2x2x2x4x3 in C order"),
        (lambda: np.roll(layout_shapes3d.labels(), 1, axis=1), "are not the grid"),
        (lambda: layout_shapes3d.labels()[::-1], "are not the grid"),
        (lambda: np.random.default_rng(0).random((ROWS, 6)), "are not the grid 288x288x288x288x288x288"),
        (lambda: with_value(np.nan), "are not the grid"),
        (lambda: with_value(np.inf), "are not the grid"),
        (lambda: layout_shapes3d.labels()[:, :5], r"needs to be float64 \(N, 6\), got float64 \(288, 5\)"),
        (lambda: layout_shapes3d.labels()[:, 0], "needs to be float64"),
        (lambda: layout_shapes3d.labels()[:0], "needs to be float64"),
        (lambda: layout_shapes3d.labels().astype(np.float32), "needs to be float64"),
        (lambda: layout_shapes3d.labels().astype("S5"), "needs to be float64"),
        (lambda: None, "lacks labels and has images"),
    ],
)
def test_labels_that_are_not_a_grid_in_c_order_are_refused(
    tmp_path: Path, make: Callable[[], np.ndarray | None], message: str
) -> None:
    path = layout_shapes3d.write(tmp_path, labels=make())
    with pytest.raises(ValueError, match=message) as caught:
        Shapes3D(tmp_path)
    assert str(path) in str(caught.value)


def test_images_of_another_kind_are_refused(tmp_path: Path) -> None:
    images = layout_shapes3d.images()
    for changed, message in (
        (None, "lacks images and has labels"),
        (images[:-1], r"needs to be uint8 \(288, 64, 64, 3\), got uint8 \(287, 64, 64, 3\)"),
        (images[:, :32], "needs to be uint8"),
        (images[..., :1], "needs to be uint8"),
        (images.transpose(0, 3, 1, 2), "needs to be uint8"),
        (images.astype(np.int8), "got int8"),
        (images.astype(np.float32) / 255, "got float32"),
        (np.bytes_("images"), "needs to be uint8"),
    ):
        layout_shapes3d.write(tmp_path, images=changed)
        with pytest.raises(ValueError, match=message):
            Shapes3D(tmp_path)


def test_bytes_that_lie_in_another_file_are_refused(tmp_path: Path) -> None:
    """A file from elsewhere could otherwise show any file of the user as pictures."""
    shape = (ROWS, 64, 64, 3)
    other = tmp_path / "other.h5"
    with h5py.File(other, "w") as file:
        file["images"] = layout_shapes3d.images()
    raw = tmp_path / "raw"
    raw.write_bytes(layout_shapes3d.images().tobytes())

    def external_link(file: h5py.File) -> None:
        file["images"] = h5py.ExternalLink(str(other), "images")

    def link_to_nothing(file: h5py.File) -> None:
        file["images"] = h5py.SoftLink("/elsewhere")

    def external_bytes(file: h5py.File) -> None:
        file.create_dataset("images", shape, np.uint8, external=[(str(raw), 0, h5py.h5f.UNLIMITED)])

    def virtual(file: h5py.File) -> None:
        layout = h5py.VirtualLayout(shape, np.uint8)
        layout[:] = h5py.VirtualSource(str(other), "images", shape)
        file.create_virtual_dataset("images", layout)

    def group(file: h5py.File) -> None:
        file.create_group("images")

    path = layout_shapes3d.write(tmp_path, images=None)
    for make in (external_link, link_to_nothing, external_bytes, virtual, group):
        with h5py.File(path, "r+") as file:
            if "images" in list(file):
                del file["images"]
            make(file)
        with pytest.raises(ValueError, match="images needs to be an array in the file itself"):
            Shapes3D(tmp_path)


def test_a_damaged_file_is_refused_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISBENCH_CACHE", str(tmp_path / "cache"))
    path = layout_shapes3d.write(tmp_path)
    whole = path.read_bytes()
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 1  # in a compressed chunk
    for content in (b"", whole[:100], whole[: len(whole) // 2], whole[:-1], b"<html>Quota exceeded</html>", flipped):
        path.write_bytes(content)
        with pytest.raises(ValueError, match="fetch it again"):
            Shapes3D(tmp_path)
        assert not list((tmp_path / "cache").glob("*shapes3d-*/"))


def test_an_unchunked_uncompressed_copy_is_read_too(tmp_path: Path) -> None:
    path = layout_shapes3d.write(tmp_path, images=None)
    with h5py.File(path, "r+") as file:
        file["images"] = layout_shapes3d.images()
    batch = Shapes3D(tmp_path).batch(torch.arange(ROWS))
    assert torch.equal(batch.permute(0, 2, 3, 1), torch.from_numpy(layout_shapes3d.images()))


def test_a_file_whose_tables_are_damaged_is_refused(tmp_path: Path) -> None:
    path = layout_shapes3d.write(tmp_path)
    whole = path.read_bytes()
    position = whole.find(b"HEAP")  # where HDF5 keeps the names, and fails with another kind of error
    path.write_bytes(whole[:position] + b"PEAH" + whole[position + 4 :])
    with pytest.raises(ValueError, match="fetch it again"):
        Shapes3D(tmp_path)


def test_a_cache_that_cannot_be_written_is_not_blamed_on_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    layout_shapes3d.write(tmp_path)
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("DISBENCH_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(OSError, match="file/cache"):
        Shapes3D(tmp_path)
