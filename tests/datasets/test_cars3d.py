import contextlib
import io
import zlib
from pathlib import Path

import layout_cars3d
import numpy as np
import pytest
import torch
from layout_cars3d import NAMES, mat, mesh, tar_gz
from PIL import Image
from scipy.io import loadmat, savemat

from disbench.datasets.official.cars3d import FILE_NAME, Cars3D, matlab_bytes

FIRST = f"data/cars/{NAMES[0]}.mat"


@pytest.fixture(scope="module")
def cars(tmp_path_factory: pytest.TempPathFactory) -> Cars3D:
    root = tmp_path_factory.mktemp("cars")
    layout_cars3d.write(root)
    return Cars3D(root)


def test_every_row_is_the_view_that_its_factors_name(cars: Cars3D) -> None:
    """Against Pillow's thumbnail of the single view, which is what disentanglement_lib takes."""
    rows = torch.arange(len(cars)).flip(0)
    meshes = [mesh(car) for car in range(len(NAMES))]
    assert cars.factor_names == ("elevation", "azimuth", "object_type")
    assert cars.factor_sizes == (4, 24, 2)
    assert cars.is_grid
    for picture, (elevation, azimuth, car) in zip(cars.batch(rows), cars.factors(rows).tolist(), strict=True):
        view = Image.fromarray(meshes[car][:, :, :, azimuth, elevation])
        view.thumbnail((64, 64), Image.Resampling.LANCZOS)
        assert torch.equal(picture, torch.from_numpy(np.array(view)).permute(2, 0, 1))


def test_the_extracted_folder_gives_the_same_pictures_as_the_archive(tmp_path: Path, cars: Cars3D) -> None:
    rows = torch.arange(len(cars))
    for number, extracted in enumerate(("", "cars3d", "cars")):
        root = tmp_path / str(number)
        layout_cars3d.write(root, extracted=extracted)
        assert torch.equal(Cars3D(root).batch(rows), cars.batch(rows))


def test_a_folder_that_was_moved_out_of_data_is_found(tmp_path: Path) -> None:
    folder = layout_cars3d.write(tmp_path, extracted="")
    folder.rename(tmp_path / "cars")
    assert len(Cars3D(tmp_path)) == 192
    (tmp_path / "cars3d").mkdir()
    (tmp_path / "cars").rename(tmp_path / "cars3d" / "cars")
    assert len(Cars3D(tmp_path)) == 192


def test_cars_are_numbered_by_their_lines_wherever_the_list_lies(tmp_path: Path, cars: Cars3D) -> None:
    swapped = {"data/cars/list.txt": "\r\n".join(reversed(NAMES)).encode()}
    path = tmp_path / "cars3d" / FILE_NAME
    path.parent.mkdir()
    path.write_bytes(
        tar_gz({**swapped, **{name: file for name, file in layout_cars3d.members().items() if name not in swapped}})
    )
    other = Cars3D(tmp_path)
    rows = torch.arange(len(cars))
    assert other.version != cars.version
    assert torch.equal(other.batch(rows), cars.batch(rows ^ 1))


def test_reading_the_archive_writes_nothing_beside_it(tmp_path: Path) -> None:
    files = {"../escaped.mat": b"x", "/data/cars/absolute.mat": b"x", "data/cars/../../escaped.mat": b"x"}
    (tmp_path / "root").mkdir()
    layout_cars3d.write(tmp_path / "root", files=files)
    before = sorted(tmp_path.rglob("*"))
    assert len(Cars3D(tmp_path / "root")) == 192
    assert sorted(tmp_path.rglob("*")) == before
    assert not Path("/data/cars/absolute.mat").exists()


def test_hidden_files_that_a_file_manager_left_are_no_cars(tmp_path: Path) -> None:
    layout_cars3d.write(tmp_path, files={"data/cars/._car_020_mesh.mat": b"x", "data/cars/.DS_Store": b"x"})
    assert len(Cars3D(tmp_path)) == 192
    layout_cars3d.write(tmp_path / "folder", files={"data/cars/._car_020_mesh.mat": b"x"}, extracted="")
    assert len(Cars3D(tmp_path / "folder")) == 192


def test_a_list_that_does_not_fit_the_files_is_refused(tmp_path: Path) -> None:
    for files, message in (
        ({"data/cars/list.txt": None}, "0 names for 2 files"),
        ({"data/cars/list.txt": NAMES[0].encode()}, rf"without a name: \['{NAMES[1]}'\]"),
        ({"data/cars/list.txt": "\n".join([*NAMES, "car_9"]).encode()}, r"without a file: \['car_9'\]"),
        ({"data/cars/list.txt": "\n".join([*NAMES, NAMES[0]]).encode()}, "3 names for 2 files"),
        (
            {"data/cars/list.txt": b"../cars/" + "\n".join(NAMES).encode()},
            r"without a file: \['../cars/car_020_mesh'\]",
        ),
        ({FIRST: None}, rf"without a file: \['{NAMES[0]}'\]"),
        ({FIRST: None, "data/cars/list.txt": NAMES[1].encode()}, "two or more"),
    ):
        layout_cars3d.write(tmp_path, files=files)
        with pytest.raises(ValueError, match=message) as caught:
            Cars3D(tmp_path)
        assert FILE_NAME in str(caught.value)


def test_a_car_of_another_layout_is_refused(tmp_path: Path) -> None:
    pictures = mesh(0)
    for content, message in (
        (mat(mask=pictures), "lacks `im`"),
        (mat(im=pictures[..., :3]), r"got \(128, 128, 3, 24, 3\)"),
        (mat(im=pictures.astype(np.int16)), "needs to be bytes, got 9437184 of MATLAB's type 3"),
        (mat(im={"cell": 1}), "needs to be bytes"),
        (mat(im=np.array([pictures[:2], "text"], dtype=object)), "needs to be bytes"),
        (b"", "not a little-endian MATLAB 5 file"),
        (b"no MATLAB file" * 100, "not a little-endian MATLAB 5 file"),
        (mat(im=pictures)[:5_000], "bytes too early"),
        (mat(im=np.zeros(2**26, np.uint8)), "too large"),
        (
            b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM" + b"\x89HDF\r\n\x1a\n" * 100,
            "not a little-endian MATLAB 5",
        ),
        (b"\0" * (2**26 + 1), "67108865 bytes"),
    ):
        layout_cars3d.write(tmp_path, files={FIRST: content})
        with pytest.raises(ValueError, match=message) as caught:
            Cars3D(tmp_path)
        assert FILE_NAME in str(caught.value)
        assert NAMES[0] in str(caught.value)


@pytest.mark.parametrize("compressed", [False, True])
def test_arrays_of_bytes_are_read_as_scipy_reads_them(compressed: bool) -> None:
    for shape in ((1, 1), (3, 5), (2, 3, 4), (7, 1, 2, 3, 2)):
        arrays = {
            "text": "before",
            "i": np.arange(np.prod(shape), dtype=np.uint8).reshape(shape),
            "a_name_of_many_letters": np.full(shape, 9, np.uint8),
        }
        file = io.BytesIO()
        savemat(file, arrays, do_compression=compressed)
        for name in ("i", "a_name_of_many_letters"):
            assert np.array_equal(matlab_bytes(file.getvalue(), name), loadmat(file)[name])


def test_no_damage_to_a_car_does_more_than_raise() -> None:
    """scipy's reader crashes on a type of element that does not exist, or overflows the stack on nested cells."""
    rng = np.random.default_rng(0)
    file = io.BytesIO()
    savemat(file, {"im": np.arange(120, dtype=np.uint8).reshape(2, 3, 4, 5)})
    for whole in (file.getvalue(), mat(im=np.arange(120, dtype=np.uint8))):
        for _ in range(2000):
            damaged = bytearray(whole[: rng.integers(len(whole) + 1)] if rng.integers(2) else whole)
            for position in rng.integers(120, len(whole), size=3):
                damaged[position : position + 1] = rng.bytes(1)
            with contextlib.suppress(ValueError, zlib.error):
                assert matlab_bytes(bytes(damaged), "im").size <= len(whole)


def test_an_archive_that_was_cut_short_is_refused(tmp_path: Path) -> None:
    path = layout_cars3d.write(tmp_path)
    whole = path.read_bytes()
    for length in (0, 5, len(whole) // 2, len(whole) - 4):
        path.write_bytes(whole[:length])
        with pytest.raises(ValueError, match="fetch it again"):
            Cars3D(tmp_path)


def test_a_web_page_in_the_archives_place_is_refused(tmp_path: Path) -> None:
    layout_cars3d.write(tmp_path).write_text("<html>404</html>")
    with pytest.raises(ValueError, match="Not a gzipped file"):
        Cars3D(tmp_path)


def test_a_changed_byte_after_the_last_car_is_noticed(tmp_path: Path) -> None:
    path = layout_cars3d.write(tmp_path)
    content = bytearray(path.read_bytes())
    content[-8] ^= 1  # of the checksum that gzip keeps
    path.write_bytes(content)
    with pytest.raises(ValueError, match="CRC"):
        Cars3D(tmp_path)


def test_a_missing_archive_says_where_it_was_sought_and_how_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as caught:
        Cars3D(tmp_path)
    message = str(caught.value)
    assert str(tmp_path / "cars3d" / FILE_NAME) in message
    assert str(tmp_path / "cars" / "list.txt") in message
    assert f"disbench data download cars3d --data-dir {tmp_path}" in message
