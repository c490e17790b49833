import gzip
from pathlib import Path

import layout_smallnorb
import numpy as np
import pytest
import torch
from layout_smallnorb import INSTANCE_OF, SIZES, content, matrix
from PIL import Image

from disbench.datasets.official.smallnorb import BYTES, FILES, INTEGERS, SOURCE, TESTING, TRAINING, SmallNORB


@pytest.fixture(scope="module")
def toys(tmp_path_factory: pytest.TempPathFactory) -> SmallNORB:
    root = tmp_path_factory.mktemp("toys")
    layout_smallnorb.write(root)
    return SmallNORB(root)


def test_both_parts_are_joined_in_grid_order_and_show_the_left_camera(toys: SmallNORB) -> None:
    """Each published row is looked up where its category, instance, elevation, azimuth and lighting put it."""
    assert len(toys) == 144
    seen = set()
    for part in INSTANCE_OF:
        published = content(part)
        columns = np.column_stack([published["cat"], published["info"]]).tolist()
        for pair, (category, instance, elevation, azimuth, lighting) in zip(published["dat"], columns, strict=True):
            row = (((category * 2 + instance) * 3 + elevation) * 4 + azimuth // 2) * 3 + lighting
            seen.add(row)
            shrunk = np.array(Image.fromarray(pair[0]).resize((64, 64), Image.Resampling.LANCZOS))
            assert torch.equal(toys.batch(torch.tensor([row]))[0, 0], torch.from_numpy(shrunk))
            assert toys.factors(torch.tensor([row]))[0].tolist() == [category, elevation, azimuth // 2, lighting]
    assert seen == set(range(144))


def test_the_instance_is_no_factor_and_so_the_set_is_no_grid(toys: SmallNORB) -> None:
    assert toys.factor_names == ("category", "elevation", "azimuth", "lighting")
    assert toys.factor_sizes == (2, 3, 4, 3)
    assert not toys.is_grid
    assert toys.labels is not None
    combinations, counts = toys.labels.unique(dim=0, return_counts=True)
    assert len(combinations) == 2 * 3 * 4 * 3
    assert (counts == SIZES[1]).all()


def test_a_factor_of_one_value_is_dropped(tmp_path: Path) -> None:
    changes = {}
    for part in INSTANCE_OF:
        published = content(part)
        rows = np.flatnonzero(published["info"][:, 3] == 0)
        changes |= {f"{part}_{kind}": array[rows] for kind, array in published.items()}
    layout_smallnorb.write(tmp_path, **changes)
    toys = SmallNORB(tmp_path)
    assert toys.factor_names == ("category", "elevation", "azimuth")
    assert toys.factors(torch.arange(len(toys))).max(dim=0).values.tolist() == [1, 2, 3]


def test_pairs_are_read_when_there_are_more_than_a_chunk(
    tmp_path: Path, toys: SmallNORB, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("disbench.datasets.official.smallnorb.ROWS_A_CHUNK", 7)
    monkeypatch.setenv("DISBENCH_CACHE", str(tmp_path / "cache"))
    layout_smallnorb.write(tmp_path)
    rows = torch.arange(len(toys))
    assert torch.equal(SmallNORB(tmp_path).batch(rows), toys.batch(rows))


def test_unpacked_files_give_the_same_pictures(tmp_path: Path, toys: SmallNORB) -> None:
    layout_smallnorb.write(tmp_path, packed=False).rename(tmp_path / "small_norb")
    rows = torch.arange(len(toys))
    assert torch.equal(SmallNORB(tmp_path).batch(rows), toys.batch(rows))


def test_the_version_follows_every_file(tmp_path: Path, toys: SmallNORB) -> None:
    dark = content("training")["dat"] // 2
    layout_smallnorb.write(tmp_path, training_dat=dark)
    assert SmallNORB(tmp_path).version != toys.version


def test_a_missing_file_is_named_with_the_command_that_fetches_it(tmp_path: Path) -> None:
    layout_smallnorb.write(tmp_path, training_info=None)
    with pytest.raises(FileNotFoundError) as caught:
        SmallNORB(tmp_path)
    message = str(caught.value)
    assert str(tmp_path / "smallnorb" / f"{TRAINING}-info.mat.gz") in message
    assert f"disbench data download smallnorb --data-dir {tmp_path}" in message


def test_a_file_of_another_layout_is_refused_and_named(tmp_path: Path) -> None:
    published = content("testing")
    dat, cat, info = published["dat"], published["cat"], published["info"]
    odd = info.copy()
    odd[5, 2] = 3
    high, low = info.copy(), info.copy()
    high[5, 3] = 6
    low[5, 1] = -1
    for changes, kind, message in (
        ({"testing_dat": dat.astype(np.int32)}, "dat", "needs to begin with 0x1e3d4c55, got 0x1e3d4c54"),
        ({"testing_cat": cat.astype(np.uint8)}, "cat", "needs to begin with 0x1e3d4c54, got 0x1e3d4c55"),
        ({"testing_info": b"<html>"}, "info", "ends 2 bytes too early"),
        ({"testing_info": b"<html>404</html>"}, "info", "needs to begin"),
        ({"testing_dat": dat[:, 0]}, "dat", "needs 4 dimensions, got 3"),
        ({"testing_dat": dat[:, :, :90]}, "dat", r"got \(72, 2, 90, 96\)"),
        ({"testing_info": info[:, :3]}, "info", r"got \(72, 3\)"),
        ({"testing_cat": cat[:-1]}, "info", "has 72 rows, and .*-cat.* has 71"),
        ({"testing_dat": dat[:-1]}, "dat", "has 71 pairs of pictures, and .*-cat has 72"),
        ({"testing_dat": matrix(dat)[:-1]}, "dat", "ends 1 bytes too early"),
        ({"testing_dat": matrix(dat) + b"\0"}, "dat", "more than the 72 rows"),
        ({"testing_cat": matrix(cat)[:9]}, "cat", "too early"),
        ({"testing_info": odd}, "info", "azimuths need to be even"),
        ({"testing_info": high}, "info", r"lighting needs values in 0..5, got 0..6"),
        ({"testing_info": low}, "info", r"elevation needs values in 0..8, got -1..2"),
    ):
        layout_smallnorb.write(tmp_path, **changes)
        with pytest.raises(ValueError, match=message) as caught:
            SmallNORB(tmp_path)
        assert f"{TESTING}-{kind}.mat.gz is not a readable SmallNORB file" in str(caught.value)


@pytest.mark.parametrize("rows", [0, -1, 24301, 2**31 - 1])
def test_a_header_with_an_absurd_number_of_rows_is_not_believed(tmp_path: Path, rows: int) -> None:
    for kind, magic, lengths in (
        ("dat", BYTES, (rows, 2, 96, 96)),
        ("cat", INTEGERS, (rows, 1, 1)),
        ("info", INTEGERS, (rows, 4, 1)),
    ):
        dimensions = {"dat": 4, "cat": 1, "info": 2}[kind]
        header = np.array([magic, dimensions, *lengths], dtype="<i4").tobytes()
        layout_smallnorb.write(tmp_path, **{f"testing_{kind}": header + bytes(1000)})
        with pytest.raises(ValueError, match=rf"needs to be .*1\.\.24300.*got \({rows}"):
            SmallNORB(tmp_path)


@pytest.mark.parametrize("dimensions", [0, 2**31, 2**32 - 1])
def test_a_header_with_an_absurd_number_of_dimensions_is_not_believed(tmp_path: Path, dimensions: int) -> None:
    header = np.array([INTEGERS, dimensions, 72, 4, 1], dtype="<u4").tobytes()
    layout_smallnorb.write(tmp_path, testing_info=header)
    with pytest.raises(ValueError, match=f"needs 2 dimensions, got {dimensions}"):
        SmallNORB(tmp_path)


def test_rows_that_are_not_each_combination_once_are_refused(tmp_path: Path) -> None:
    twice = content("testing")["info"]
    twice[0] = twice[1]
    twice_category = content("testing")["cat"]
    twice_category[0] = twice_category[1]
    fewer = {f"testing_{kind}": array[:-1] for kind, array in content("testing").items()}
    same_instances = {f"training_{kind}": array for kind, array in content("testing").items()}
    for changes, rows in (
        ({"testing_info": twice, "testing_cat": twice_category}, 144),
        (fewer, 143),
        (same_instances, 144),
    ):
        layout_smallnorb.write(tmp_path, **changes)
        with pytest.raises(ValueError, match=f"its {rows} rows are not each combination of 2 category"):
            SmallNORB(tmp_path)


def test_files_that_were_cut_short_or_changed_are_refused(tmp_path: Path) -> None:
    folder = layout_smallnorb.write(tmp_path)
    for name in FILES:
        path = folder / name
        whole = path.read_bytes()
        changed = bytearray(whole)
        changed[-8] ^= 1  # of the checksum that gzip keeps
        for damaged in (b"", whole[:20], whole[: len(whole) // 2], whole[:-4], bytes(changed)):
            path.write_bytes(damaged)
            with pytest.raises(ValueError, match=f"{name} is not a readable SmallNORB file.*fetch it again"):
                SmallNORB(tmp_path)
        path.write_bytes(whole)
    assert len(SmallNORB(tmp_path)) == 144


def test_the_writer_stores_three_lengths_at_least(tmp_path: Path) -> None:
    folder = layout_smallnorb.write(tmp_path)
    stored = gzip.decompress((folder / f"{TESTING}-cat.mat.gz").read_bytes())
    assert np.frombuffer(stored[:20], "<i4").tolist() == [0x1E3D4C54, 1, 72, 1, 1]
    assert len(stored) == 20 + 72 * 4


def test_the_terms_have_to_be_agreed_to() -> None:
    assert SOURCE.restricted
    assert len(SOURCE.files) == 6
