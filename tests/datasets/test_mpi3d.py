import hashlib
import subprocess
import sys
from pathlib import Path

import layout_mpi3d
import numpy as np
import pytest
import torch

from disbench.datasets.factors import FactorSpace
from disbench.datasets.official.mpi3d import GRIDS, MPI3D, NAMES, SOURCES
from disbench.datasets.procedural import mpi3d_like

ROWS = layout_mpi3d.ROWS


@pytest.fixture(autouse=True)
def small_grid(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(GRIDS, ROWS, layout_mpi3d.SIZES)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DISBENCH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.mark.parametrize("variant", SOURCES)
@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_every_image_has_the_factors_that_it_was_made_with(tmp_path: Path, variant: str, save: object) -> None:
    layout_mpi3d.write(tmp_path, variant=variant, save=save)
    dataset = MPI3D(tmp_path, variant=variant)
    rows = torch.randperm(ROWS, generator=torch.Generator().manual_seed(0))
    images = dataset.batch(rows)
    assert dataset.name == f"mpi3d_{variant}"
    assert torch.equal(images.permute(0, 2, 3, 1), torch.from_numpy(layout_mpi3d.images())[rows])
    assert torch.equal(images[:, 0, 0, :7].long(), dataset.factors(rows))
    assert torch.equal(images[:, 0, 0, 7].long(), rows)


@pytest.mark.parametrize(
    ("rows", "strides"),
    [
        (1_036_800, (172_800, 28_800, 14_400, 4_800, 1_600, 40, 1)),
        # As its authors write: index = object_color * 115200 + object_shape * 28800 + object_size * 14400 + ...
        (460_800, (115_200, 28_800, 14_400, 4_800, 1_600, 40, 1)),
    ],
)
def test_the_order_is_the_documented_one(rows: int, strides: tuple[int, ...]) -> None:
    space = FactorSpace(NAMES, GRIDS[rows])
    assert len(space) == rows
    assert space.names == (
        "object_color",
        "object_shape",
        "object_size",
        "camera_height",
        "background_color",
        "horizontal_axis",
        "vertical_axis",
    )
    assert space.strides == strides


def test_the_drawn_set_has_the_same_factors_in_the_same_order() -> None:
    assert {source.stand_in for source in SOURCES.values()} == {"mpi3d_like"}
    assert FactorSpace(NAMES, GRIDS[1_036_800]) == mpi3d_like.SPACE


def test_a_stored_array_is_mapped_and_a_compressed_one_converted_once(tmp_path: Path, cache: Path) -> None:
    layout_mpi3d.write(tmp_path)
    MPI3D(tmp_path, variant="toy")
    assert not list(cache.glob("mpi3d*"))
    layout_mpi3d.write(tmp_path, save=np.savez_compressed)
    MPI3D(tmp_path, variant="toy")
    (images,) = cache.glob("mpi3d_toy-*/images.npy")
    made = images.stat().st_mtime_ns
    MPI3D(tmp_path, variant="toy")
    assert images.stat().st_mtime_ns == made


def test_images_are_decompressed_when_there_are_more_than_a_chunk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("disbench.datasets.official.mpi3d.ROWS_A_CHUNK", 7)
    layout_mpi3d.write(tmp_path, save=np.savez_compressed)
    images = MPI3D(tmp_path, variant="toy").batch(torch.arange(ROWS))
    assert torch.equal(images.permute(0, 2, 3, 1), torch.from_numpy(layout_mpi3d.images()))


@pytest.mark.parametrize("variant", SOURCES)
def test_the_file_is_found_in_each_of_its_folders(tmp_path: Path, variant: str) -> None:
    path = layout_mpi3d.write(tmp_path, variant=variant)
    for folder in (tmp_path / f"mpi3d_{variant}", tmp_path / "mpi3d", tmp_path):
        folder.mkdir(exist_ok=True)
        path = path.rename(folder / path.name)
        assert len(MPI3D(tmp_path, variant=variant)) == ROWS


@pytest.mark.parametrize("variant", SOURCES)
def test_a_missing_file_says_where_it_was_sought_and_how_to_get_it(tmp_path: Path, variant: str) -> None:
    with pytest.raises(FileNotFoundError) as caught:
        MPI3D(tmp_path, variant=variant)
    message = str(caught.value)
    for place in (f"mpi3d/mpi3d_{variant}", f"mpi3d_{variant}", "mpi3d", "."):
        assert str(tmp_path / place / SOURCES[variant].files[0].name) in message
    assert f"disbench data download mpi3d_{variant}" in message
    assert ("drive.google.com" in message) == (variant == "complex")


def test_a_variant_does_not_read_the_file_of_another(tmp_path: Path) -> None:
    layout_mpi3d.write(tmp_path, variant="toy")
    with pytest.raises(FileNotFoundError):
        MPI3D(tmp_path, variant="realistic")


def test_an_unknown_variant_lists_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="there are toy, realistic, real, complex"):
        MPI3D(tmp_path, variant="simple")


def test_the_version_follows_the_file(tmp_path: Path) -> None:
    layout_mpi3d.write(tmp_path)
    before = MPI3D(tmp_path, variant="toy").version
    layout_mpi3d.write(tmp_path, images=255 - layout_mpi3d.images())
    after = MPI3D(tmp_path, variant="toy").version
    assert before != after
    assert after.startswith("sha256-")


@pytest.mark.parametrize(
    ("variant", "rows"), [("toy", 460_800), ("realistic", 460_800), ("real", 460_800), ("complex", 1_036_800)]
)
def test_the_grid_of_another_variant_is_refused_unhashed(tmp_path: Path, cache: Path, variant: str, rows: int) -> None:
    layout_mpi3d.write_sparse(tmp_path, rows, variant=variant)
    with pytest.raises(ValueError, match=f"mpi3d_{variant} has .* rows, got {rows}"):
        MPI3D(tmp_path, variant=variant)
    assert not cache.exists()


def test_an_unknown_number_of_images_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    layout_mpi3d.write(tmp_path, images=layout_mpi3d.images()[:-1])
    with pytest.raises(ValueError, match=r"191 rows.*1036800 \(6x6x2x3x3x40x40\), 460800 \(4x4x2x3x3x40x40\)"):
        MPI3D(tmp_path, variant="toy")


def test_a_file_of_another_layout_is_refused(tmp_path: Path) -> None:
    images = layout_mpi3d.images()
    for changes, message in (
        ({"images": None, "imgs": images}, "lacks images and has imgs"),
        ({"images": np.asfortranarray(images)}, "C order"),
        ({"images": np.ascontiguousarray(images.transpose(0, 3, 1, 2))}, r"needs to be \(N, 64, 64, 3\), got"),
        ({"images": images.reshape(3, 64, 64, 64, 3)}, r"needs to be \(N, 64, 64, 3\), got"),
        ({"images": images[:, :32]}, r"needs to be \(N, 64, 64, 3\), got"),
        ({"images": images.astype(np.float32)}, "needs to be uint8"),
        ({"images": np.array([{}] * ROWS, dtype=object)}, "needs to be uint8"),
    ):
        path = layout_mpi3d.write(tmp_path, **changes)
        with pytest.raises(ValueError, match=message) as caught:
            MPI3D(tmp_path, variant="toy")
        assert str(path) in str(caught.value)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_a_damaged_file_is_refused_and_leaves_nothing(tmp_path: Path, cache: Path, save: object) -> None:
    path = layout_mpi3d.write(tmp_path, save=save)
    whole = path.read_bytes()
    for content in (b"", whole[:100], whole[: len(whole) // 2], whole[:-1], b"<html>Quota exceeded</html>"):
        path.write_bytes(content)
        with pytest.raises(ValueError, match="fetch it again: disbench data download mpi3d_toy"):
            MPI3D(tmp_path, variant="toy")
        assert not list(cache.glob("*mpi3d*/"))


def test_a_single_changed_byte_of_a_compressed_file_is_noticed(tmp_path: Path, cache: Path) -> None:
    path = layout_mpi3d.write(tmp_path, save=np.savez_compressed)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match="fetch it again"):
        MPI3D(tmp_path, variant="toy")
    assert not list(cache.glob("*mpi3d*/"))


# The peak is that of this program alone: ru_maxrss would begin with that of the process that started it.
OPEN_AND_TAKE = """
import sys
import torch
from disbench.datasets.official.mpi3d import MPI3D

def peak():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) // 1024

generator = torch.Generator().manual_seed(0)
rows = torch.randint(1_036_800, (256,), generator=generator)
before = peak()
dataset = MPI3D(sys.argv[1], variant="toy")
opened = peak()
images = dataset.batch(rows)
assert len(dataset) == 1_036_800 and images.shape == (256, 3, 64, 64) and not images.any()
print(before, opened, peak())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak of its memory from /proc")
def test_a_set_of_12_gb_is_opened_and_read_within_300_mb(tmp_path: Path, cache: Path) -> None:
    path = layout_mpi3d.write_sparse(tmp_path, 1_036_800)
    # What sha256_of remembers of a file that it has read once; to read this one would take half a minute.
    stat = path.stat()
    signature = f"{path.absolute()}\n{stat.st_size}\n{stat.st_mtime_ns}"
    memo = cache / "sha256" / hashlib.sha256(signature.encode()).hexdigest()[:32]
    memo.parent.mkdir(parents=True)
    memo.write_text("0" * 64)
    command = [sys.executable, "-c", OPEN_AND_TAKE, str(tmp_path)]
    before, opened, taken = map(int, subprocess.run(command, check=True, capture_output=True, text=True).stdout.split())
    assert taken - before < 300, f"{before} MiB after the imports, {opened} with the set open, {taken} with a batch"
