import io
import shutil
import zipfile
from pathlib import Path

import layout_celeba
import numpy as np
import pytest
import torch
from layout_celeba import FILES, NAMES, PARTS, attribute_lines, jpg, partition_lines, values
from PIL import Image
from torchvision import datasets, transforms

from disbench.datasets.official.celeba import ATTRIBUTES, FOLDER, PARTITION, CelebA

FREQUENT = [name for name, column in zip(NAMES, values().T, strict=True) if 0.05 <= (column == 1).mean() <= 0.95]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("faces")
    layout_celeba.write(folder)
    return folder


class Reference(datasets.CelebA):
    """torchvision's reader, which would refuse every file but the official ones."""

    def _check_integrity(self) -> bool:
        return True


@pytest.mark.parametrize("split", ["train", "valid", "test", "all"])
def test_pictures_and_attributes_are_those_of_torchvision(root: Path, tmp_path: Path, split: str) -> None:
    shutil.copytree(root, tmp_path, dirs_exist_ok=True)
    lines = partition_lines()
    (tmp_path / "celeba" / "identity_CelebA.txt").write_text("\n".join(lines))
    for name in ("list_bbox_celeba.txt", "list_landmarks_align_celeba.txt"):
        (tmp_path / "celeba" / name).write_text("\n".join(["120", "x", *lines]))
    transform = transforms.Compose([transforms.CenterCrop(148), transforms.Resize(64), transforms.PILToTensor()])
    reference = Reference(str(tmp_path), split=split, transform=transform)
    faces = CelebA(root, split=split, attributes="all")
    assert len(faces) == len(reference)
    assert [
        *faces.factor_names,
        "",
    ] == reference.attr_names  # the blank after the last name, which it takes for one more
    rows = torch.arange(len(faces)).flip(0)
    for image, factors, row in zip(faces.batch(rows), faces.factors(rows), rows.tolist(), strict=True):
        expected, attributes = reference[row]
        assert torch.equal(image, expected)
        assert torch.equal(factors, attributes)


def test_each_split_is_its_rows_of_all(root: Path) -> None:
    everything = CelebA(root, split="all")
    assert len(everything) == 120
    assert not everything.is_grid
    for split, first, last in (("train", 0, 80), ("valid", 80, 100), ("test", 100, 120)):
        part = CelebA(root, split=split)
        rows = torch.arange(last - first)
        assert len(part) == last - first
        assert part.version == everything.version
        assert torch.equal(part.batch(rows), everything.batch(rows + first))
        assert torch.equal(part.factors(rows), everything.factors(rows + first))
        with pytest.raises(IndexError):
            part.batch(torch.tensor([last - first]))
    assert len(CelebA(root)) == 80


def test_splits_that_are_interleaved_in_the_lists_are_told_apart(root: Path, tmp_path: Path) -> None:
    parts = np.roll(PARTS, 50)
    layout_celeba.write(tmp_path, partition=[f"{file} {part}" for file, part in zip(FILES, parts, strict=True)])
    official = CelebA(root, split="all", attributes="all")
    for number, split in enumerate(("train", "valid", "test")):
        faces = CelebA(tmp_path, split=split, attributes="all")
        there = torch.from_numpy(np.flatnonzero(parts == number))
        rows = torch.arange(len(there))
        assert torch.equal(faces.batch(rows), official.batch(there))
        assert torch.equal(faces.factors(rows), official.factors(there))


def test_attributes_are_those_of_medium_prevalence_in_all_splits_together(root: Path, tmp_path: Path) -> None:
    assert 30 < len(FREQUENT) < 40
    for split in ("train", "valid", "test"):
        assert list(CelebA(root, split=split).factor_names) == FREQUENT
    lines = attribute_lines()
    lines[2:] = [
        f"{file} {1 if part == 2 else -1} {1 if row == 0 else -1}"
        for row, (file, part) in enumerate(zip(FILES, PARTS, strict=True))
    ]
    lines[1] = "In_Test_Only Rare "
    layout_celeba.write(tmp_path, attributes=lines)
    train = CelebA(tmp_path)
    assert train.factor_names == ("In_Test_Only",)
    assert train.factor_sizes == (2,)
    assert train.factors(torch.arange(80)).max() == 0


def test_named_attributes_come_in_the_order_in_which_they_are_named(root: Path) -> None:
    rows = torch.arange(80)
    everything = CelebA(root, attributes="all")
    faces = CelebA(root, attributes=["Young", "Bald"])
    assert faces.factor_names == ("Young", "Bald")
    assert faces.factor_sizes == (2, 2)
    assert torch.equal(faces.factors(rows), everything.factors(rows)[:, [NAMES.index("Young"), NAMES.index("Bald")]])


@pytest.mark.parametrize("attributes", [["Smile"], [], ["Young", "Young"], "Young"])
def test_attributes_that_cannot_be_meant_are_refused(root: Path, attributes: list[str] | str) -> None:
    with pytest.raises(ValueError, match=r"distinct names in a list.*Known: 5_o_Clock_Shadow"):
        CelebA(root, attributes=attributes)


def test_an_unknown_split_lists_the_known_ones(root: Path) -> None:
    with pytest.raises(ValueError, match="train, valid, test, all, got 'training'"):
        CelebA(root, split="training")


def test_archive_and_nested_folder_give_the_same_set_as_the_folder(root: Path, tmp_path: Path) -> None:
    faces = CelebA(root, split="all")
    rows = torch.arange(120)
    for number, (zipped, inside) in enumerate(((True, FOLDER), (False, f"{FOLDER}/{FOLDER}"), (True, "a/b"))):
        other_root = tmp_path / str(number)
        layout_celeba.write(other_root, zipped=zipped, inside=inside)
        before = sorted(other_root.rglob("*"))
        other = CelebA(other_root, split="all")
        assert other.version == faces.version
        assert torch.equal(other.batch(rows), faces.batch(rows))
        assert sorted(other_root.rglob("*")) == before


def test_windows_line_ends_are_read_alike(root: Path, tmp_path: Path) -> None:
    layout_celeba.write(tmp_path, newline="\r\n")
    rows = torch.arange(80)
    assert torch.equal(CelebA(tmp_path).factors(rows), CelebA(root).factors(rows))


def test_the_version_follows_pictures_attributes_and_partition(root: Path, tmp_path: Path) -> None:
    attributes, partition = attribute_lines(), partition_lines()
    attributes[2] = attributes[3].replace(FILES[1], FILES[0])
    partition[79] = f"{FILES[79]} 1"
    versions = {CelebA(root).version}
    for number, changes in enumerate(
        ({"pictures": {FILES[119]: jpg(1000)}}, {"attributes": attributes}, {"partition": partition})
    ):
        layout_celeba.write(tmp_path / str(number), **changes)
        versions.add(CelebA(tmp_path / str(number)).version)
    assert len(versions) == 4
    assert all(version.startswith("crop148-bilinear64-sha256-") for version in versions)


def test_hidden_files_that_a_file_manager_left_are_no_pictures(tmp_path: Path) -> None:
    for zipped in (False, True):
        layout_celeba.write(tmp_path / str(zipped), pictures={"._000001.jpg": b"x", ".DS_Store": b"x"}, zipped=zipped)
        assert len(CelebA(tmp_path / str(zipped))) == 80


def test_lists_with_an_error_are_refused_with_its_line(tmp_path: Path) -> None:
    layout_celeba.write(tmp_path)
    good = attribute_lines()
    row = good[4].split()

    def changed(number: int, line: str) -> list[str]:
        return [*good[: number - 1], line, *good[number:]]

    for lines, message in (
        (good[:1], "line 1 needs to be the number of files"),
        (good[1:], "line 1 needs to be the number of files"),
        (changed(1, "121"), "line 1 announces 121 files and 120 follow"),
        (good[:-1], "line 1 announces 120 files and 119 follow"),
        (changed(2, good[1] + NAMES[0]), "line 2 needs to hold distinct names"),
        (changed(2, " "), "line 2 needs to hold distinct names"),
        (changed(2, " ".join(NAMES[:-1])), "line 3 needs 39 values after 000001.jpg, got 40"),
        (changed(5, " ".join(row[:-1])), "line 5 needs 40 values after 000003.jpg, got 39"),
        (changed(5, " ".join([*row[:-1], "0"])), "line 5 needs values in -1, 1, got '0'"),
        (changed(5, ""), "line 5 needs to begin with the name of a file, got ''"),
        (changed(5, " ".join(["../000003.jpg", *row[1:]])), "line 5 needs to begin with the name of a file"),
        (changed(5, " ".join(["000002.jpg", *row[1:]])), "line 5 is the second of 000002.jpg"),
        (
            changed(5, " ".join(["000999.jpg", *row[1:]])),
            f"line 5 is of 000999.jpg where line 3 of {PARTITION} is of 000003.jpg",
        ),
        (["119", *good[1:-1]], f"it lists 119 files and {PARTITION} lists 120"),
    ):
        layout_celeba.write(tmp_path, pictures=dict.fromkeys(FILES), attributes=lines)
        with pytest.raises(ValueError, match=message) as caught:
            CelebA(tmp_path)
        assert ATTRIBUTES in str(caught.value)
        assert "fetch it again" in str(caught.value)
    good = partition_lines()
    for lines, message in (
        ([*good[:-1], "000120.jpg"], "line 120 needs 1 values after 000120.jpg, got 0"),
        ([*good[:-1], "000120.jpg 3"], "line 120 needs values in 0, 1, 2, got '3'"),
        ([*good, good[0]], "line 121 is the second of 000001.jpg"),
        (good[:100], "no file of the split test"),
        (["<html>Quota exceeded</html>"], "line 1 needs to begin with the name of a file"),
    ):
        layout_celeba.write(tmp_path, pictures=dict.fromkeys(FILES), partition=lines)
        with pytest.raises(ValueError, match=message) as caught:
            CelebA(tmp_path)
        assert PARTITION in str(caught.value)


@pytest.mark.parametrize("zipped", [False, True])
def test_pictures_that_are_missing_or_unlisted_are_named(tmp_path: Path, zipped: bool) -> None:
    for number, (pictures, message) in enumerate(
        (
            ({FILES[7]: None}, r"1 are missing \['000008.jpg'\], and 0 are here"),
            ({"000121.jpg": jpg(0)}, r"0 are missing \[\], and 1 are here that it does not list \['000121.jpg'\]"),
        )
    ):
        layout_celeba.write(tmp_path / str(number), pictures=pictures, zipped=zipped)
        with pytest.raises(ValueError, match=message) as caught:
            CelebA(tmp_path / str(number))
        assert "fetch it again" not in str(caught.value)


def test_a_part_of_the_pictures_is_told_how_it_can_be_used(tmp_path: Path) -> None:
    layout_celeba.write(tmp_path, pictures=dict.fromkeys(FILES[10:]))
    with pytest.raises(ValueError, match=r"110 are missing .*disbench data import FOLDER --name") as caught:
        CelebA(tmp_path)
    assert "fetch it again" not in str(caught.value)


def test_a_folder_of_png_is_told_that_the_published_pictures_are_jpg(tmp_path: Path) -> None:
    layout_celeba.write(tmp_path / "beside", pictures={"contact_sheet.png": png()})
    assert len(CelebA(tmp_path / "beside")) == 80
    layout_celeba.write(tmp_path, pictures={FILES[0]: None, FILES[0].replace(".jpg", ".png"): png()})
    with pytest.raises(ValueError, match=r"holds png pictures.*disbench data import FOLDER --name") as caught:
        CelebA(tmp_path)
    assert "fetch it again" not in str(caught.value)


@pytest.mark.parametrize("zipped", [False, True])
def test_an_extension_in_capitals_is_the_same_picture(root: Path, tmp_path: Path, zipped: bool) -> None:
    rows = torch.arange(80)
    capitals = {FILES[3]: None, FILES[3].replace(".jpg", ".JPG"): jpg(3)}
    layout_celeba.write(tmp_path, pictures=capitals, zipped=zipped)
    faces = CelebA(tmp_path)
    assert torch.equal(faces.factors(rows), CelebA(root).factors(rows))
    assert torch.equal(faces.batch(rows), CelebA(root).batch(rows))


def test_a_byte_order_mark_in_the_lists_is_ignored(root: Path, tmp_path: Path) -> None:
    for file in (ATTRIBUTES, PARTITION):
        folder = tmp_path / file
        path = layout_celeba.write(folder).parent / file
        path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
        assert torch.equal(CelebA(folder).factors(torch.arange(80)), CelebA(root).factors(torch.arange(80)))


def png() -> bytes:
    content = io.BytesIO()
    Image.new("RGB", (178, 218)).save(content, "PNG")
    return content.getvalue()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (jpg(5)[:-1000], "damaged or cut short"),
        (jpg(5)[:100], "no picture"),
        (b"", "no picture"),
        (b"<html>Quota exceeded</html>", "no picture"),
        (png(), "no picture that can be read as JPEG"),
        (jpg(5, (218, 178)), "needs 178x218 pixels, got 218x178"),
    ],
)
@pytest.mark.parametrize("zipped", [False, True])
def test_a_damaged_picture_is_named_and_leaves_no_conversion(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes, message: str, zipped: bool
) -> None:
    monkeypatch.setenv("DISBENCH_CACHE", str(tmp_path / "cache"))
    layout_celeba.write(tmp_path, pictures={FILES[5]: content}, zipped=zipped)
    with pytest.raises(ValueError, match=rf"in {FILES[5]}, it .*{message}"):
        CelebA(tmp_path)
    assert not list((tmp_path / "cache").glob("**/images.npy"))


def test_an_archive_that_was_cut_short_or_changed_is_refused(tmp_path: Path) -> None:
    path = layout_celeba.write(tmp_path, zipped=True)
    whole = path.read_bytes()
    for content, message in (
        (whole[: len(whole) // 2], "not a zip file"),
        (b"<html>Quota exceeded</html>", "not a zip file"),
        (whole[:5000] + bytes([whole[5000] ^ 1]) + whole[5001:], "CRC"),
    ):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=message) as caught:
            CelebA(tmp_path)
        assert str(path) in str(caught.value)


def test_a_name_that_an_archive_holds_twice_is_refused(tmp_path: Path) -> None:
    path = layout_celeba.write(tmp_path, zipped=True)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(f"../{FILES[0]}", jpg(0))
    with pytest.raises(ValueError, match=rf"\.\./{FILES[0]} is there twice"):
        CelebA(tmp_path)


def test_missing_files_say_where_they_were_sought_and_how_to_get_them(tmp_path: Path) -> None:
    for missing in (FOLDER, ATTRIBUTES, PARTITION):
        root = tmp_path / missing
        path = layout_celeba.write(root).parent / missing
        shutil.rmtree(path) if path.is_dir() else path.unlink()
        with pytest.raises(FileNotFoundError) as caught:
            CelebA(root)
        message = str(caught.value)
        assert str(path) in message
        assert f"disbench data download celeba --data-dir {root}" in message
        assert "mmlab.ie.cuhk.edu.hk" in message
        assert "faces_like" in message


def test_files_directly_under_the_root_are_found(root: Path) -> None:
    assert len(CelebA(root / "celeba")) == 80
