import errno
import io
import json
import logging
import os
import zipfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from disbench.datasets import restrict
from disbench.datasets.imported.dataset import OwnDataset, import_dataset, imported_names

COLOURS = {"blue": (0, 0, 255), "green": (0, 255, 0), "red": (255, 0, 0)}
GRID = [(colour, size) for colour in COLOURS for size in ("2", "9", "10")]


class Trap:
    """A pickle that leaves a folder behind when it is loaded."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.mark),)


def save(path: Path, array: NDArray[np.uint8], **options: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path, **options)
    return path


def write_folder(folder: Path, rows: list[tuple[str, ...]], header: str = "image,colour,size") -> Path:
    """A flat picture per row (colour, size, ...): the colour's own, and as bright as the size is large."""
    lines = [header]
    for number, row in enumerate(rows):
        colour = np.array(COLOURS[row[0]]) * int(row[1]) // 10
        save(folder / f"{number}.png", np.broadcast_to(colour.astype(np.uint8), (20, 30, 3)))
        lines.append(",".join((f"{number}.png", *row)))
    return write_table(folder, *lines)


def write_table(folder: Path, *lines: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "factors.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


def imported(source: Path, root: Path, **options: Any) -> OwnDataset:
    assert import_dataset(source, "mine", root, **options) == root / "mine"
    return OwnDataset(root, "mine")


def all_of(dataset: OwnDataset) -> tuple[torch.Tensor, torch.Tensor]:
    rows = torch.arange(len(dataset))
    return dataset.batch(rows), dataset.factors(rows)


def assert_nothing_is_left(root: Path) -> None:
    assert not root.exists() or not list(root.iterdir())


# Folders of images


def test_rows_that_are_all_combinations_become_a_grid_in_c_order(tmp_path: Path) -> None:
    """Whatever their order, row r is the r-th combination, colours as text and sizes as numbers."""
    shuffled = [GRID[row] for row in (5, 0, 7, 2, 8, 1, 3, 6, 4)]
    dataset = imported(write_folder(tmp_path / "source", shuffled), tmp_path / "root")
    images, factors = all_of(dataset)
    assert dataset.is_grid
    assert dataset.factor_names == ("colour", "size")
    assert dataset.factor_sizes == (3, 3)
    for row, (colour, size) in enumerate(GRID):
        assert factors[row].tolist() == [row // 3, row % 3]
        assert images[row, :, 5, 7].tolist() == [value * int(size) // 10 for value in COLOURS[colour]]
    part = restrict(dataset, {"colour": 1})
    assert torch.equal(part.batch(torch.arange(3)), images[3:6])


@pytest.mark.parametrize("rows", [GRID[:-1], [*GRID, ("red", "5")], [*GRID[:-1], GRID[0]], [*GRID, GRID[4]]])
def test_other_rows_stay_in_their_order_and_are_labelled(tmp_path: Path, rows: list[tuple[str, ...]]) -> None:
    dataset = imported(write_folder(tmp_path / "source", rows), tmp_path / "root")
    images, factors = all_of(dataset)
    sizes = sorted({int(size) for _, size in rows})
    assert not dataset.is_grid
    assert dataset.factor_sizes == (3, len(sizes))
    for row, (colour, size) in enumerate(rows):
        assert factors[row].tolist() == [list(COLOURS).index(colour), sizes.index(int(size))]
        assert images[row, :, 0, 0].tolist() == [value * int(size) // 10 for value in COLOURS[colour]]


def values_of(tmp_path: Path, *texts: str) -> tuple[list[str], list[int]]:
    """The values of a factor, and the index of each text's. The last row repeats the first, so that there is no grid."""
    rows = [("red", "10", text) for text in (*texts, texts[0])]
    dataset = imported(write_folder(tmp_path / "source", rows, "image,colour,size,x"), tmp_path / "root", replace=True)
    description = json.loads((tmp_path / "root" / "mine" / "dataset.json").read_text())
    (factor,) = description["factors"]
    return factor["values"], dataset.factors(torch.arange(len(texts)))[:, 0].tolist()


def test_values_are_sorted_as_numbers_where_all_are_numbers_and_else_as_text(tmp_path: Path) -> None:
    assert values_of(tmp_path, "10", "9", "-1.5", "1e1", "09.0") == (["-1.5", "9", "10"], [2, 1, 0, 2, 1])
    assert values_of(tmp_path, "v10", "v9", "-1.5v", "b") == (["-1.5v", "b", "v10", "v9"], [2, 3, 0, 1])
    assert values_of(tmp_path, "9007199254740993", "9007199254740992")[1] == [1, 0]
    assert values_of(tmp_path, "TRUE", "false", "True") == (["false", "true"], [1, 0, 1])
    assert values_of(tmp_path, "2024-01-31", "2023-12-01")[1] == [1, 0]


def test_a_factor_of_one_value_is_dropped_with_a_note(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    source = write_folder(tmp_path / "source", [("red", "2"), ("red", "10")])
    with caplog.at_level(logging.INFO):
        assert imported(source, tmp_path / "root").factor_names == ("size",)
    assert "Dropped, because all rows have the same value: colour" in caplog.text
    write_folder(source, [("red", "2"), ("red", "2")])
    with pytest.raises(ValueError, match="no factor has two values"):
        import_dataset(source, "other", tmp_path / "root")


def test_the_column_of_the_files_is_found_by_its_name_or_is_the_first(tmp_path: Path) -> None:
    for header in ("size,Filename", "size,path", "file,size", "anything,size"):
        source = tmp_path / header
        lines = [header]
        for size in ("2", "10"):
            save(source / "deep" / f"{size}.png", np.full((4, 4), int(size), np.uint8))
            file = f".\\deep\\{size}.png" if size == "2" else f"deep/{size}.png"
            lines.append(f"{size}, {file}" if header.startswith("size") else f"{file} ,{size}")
        dataset = imported(write_table(source, *lines), tmp_path / "root", replace=True)
        assert dataset.factor_names == ("size",)
        assert all_of(dataset)[0][:, 0, 0, 0].tolist() == [2, 10]


def test_a_table_may_lie_elsewhere_have_a_mark_and_quotes_and_blank_lines(tmp_path: Path) -> None:
    source = write_folder(tmp_path / "source", GRID[:2])
    (source / "factors.csv").unlink()
    table = tmp_path / "elsewhere.txt"
    table.write_bytes('\ufeffimage,"a, b"\r\n0.png,"x ""y"""\r\n\r\n1.png,ä\r\n,\r\n'.encode())
    dataset = imported(source, tmp_path / "root", table=table)
    assert dataset.factor_names == ("a, b",)
    description = json.loads((tmp_path / "root" / "mine" / "dataset.json").read_text(encoding="utf-8"))
    assert description["factors"] == [{"name": "a, b", "values": ['x "y"', "ä"]}]


def test_a_table_that_cannot_be_meant_is_refused_with_its_line(tmp_path: Path) -> None:
    source = write_folder(tmp_path / "source", GRID)
    save(tmp_path / "outside.png", np.zeros((4, 4), np.uint8))
    (source / "folder").mkdir()
    for lines, message in (
        ((), "no rows"),
        (("image,size",), "no rows"),
        (("image", "0.png"), "no column beside"),
        (("image,size", "0.png,2", "1.png"), "line 3 has 1 cells where the header has 2"),
        (("image,size", "0.png,2", "1.png,3,4"), "line 3 has 3 cells where the header has 2"),
        (("image,size", "0.png,2", "1.png,"), "factor size has no value in line 3"),
        (("image,size", "0.png,2", "1.png,NaN"), "factor size has no value in line 3"),
        (("image,size", "0.png,2", "1.png,NA"), "factor size has no value in line 3"),
        (("image,size", "0.png,2", ",3"), "line 3 has no value for image"),
        (("image,size", "0.png,2", "0.png,3"), "line 3 is of 0.png, which line 2 is of already"),
        (("image,size", "0.png,2", "./0.png,3"), r"line 3 is of \./0.png, which line 2 is of already"),
        (("image,size", "0.png,2", "99.png,3"), "line 3 is of '99.png', and there is no such file"),
        (("image,size", "0.png,2", "folder,3"), "line 3 is of 'folder', and there is no such file"),
        (("image,size", "0.png,2", ".,3"), "line 3 is of '.', and there is no such file"),
        (("image,size", "0.png,2", "../outside.png,3"), "line 3 needs a path inside"),
        (("image,size", "0.png,2", "folder/../../outside.png,3"), "line 3 needs a path inside"),
        (("image,size", "0.png,2", "..\\outside.png,3"), "line 3 needs a path inside"),
        (("image,size", "0.png,2", f"{tmp_path}/outside.png,3"), "line 3 needs a path inside"),
        (("image,size", "0.png,2", "C:\\outside.png,3"), "line 3 needs a path inside"),
        (("image,size,size", "0.png,2,3", "1.png,3,4"), "not distinct: 'size' is there twice"),
        (("image,size,", "0.png,2,3", "1.png,3,4"), r"printable text, got \[''\]"),
        (("image,size", '0.png,"2', "1.png,3"), "line 3: unexpected end of data"),
        (("image,size", "0.png,2", "1.png,3\udcff"), "codec can't decode"),
    ):
        (source / "factors.csv").write_text("\n".join(lines), encoding="utf-8", errors="surrogateescape")
        with pytest.raises(ValueError, match=message) as caught:
            import_dataset(source, "mine", tmp_path / "root")
        assert "factors.csv" in str(caught.value)
        assert_nothing_is_left(tmp_path / "root")


def test_a_table_of_too_many_combinations_is_refused(tmp_path: Path) -> None:
    header = ",".join(["image", "colour", "size", *(f"x{number}" for number in range(30))])
    rows = [(*row, *[str(number)] * 30) for number, row in enumerate(GRID)]
    with pytest.raises(ValueError, match=r"2\*\*63 combinations.*bins"):
        import_dataset(write_folder(tmp_path / "source", rows, header), "mine", tmp_path / "root")


def table_of(tmp_path: Path, content: str | bytes, **options: Any) -> OwnDataset:
    """The import of two black pictures and one white one under the given table."""
    source = tmp_path / "source"
    for number, value in enumerate((10, 20, 30)):
        save(source / f"{number}.png", np.full((4, 4), value, np.uint8))
    (source / "t.csv").write_bytes(content.encode() if isinstance(content, str) else content)
    return imported(source, tmp_path / "root", **options)


@pytest.mark.parametrize(
    "content",
    [
        ",file,size\n0,0.png,2\n1,1.png,5\n2,2.png,7\n",
        "Unnamed: 0,size,file_name\n0,2,0.png\n1,5,1.png\n2,7,2.png\n",
        "size,File Name\n2,0.png\n5,1.png\n7,2.png\n",
        "size,image_id\n2,0.PNG\n5,1.png\n7,2.Png\n",
        "size;file\r\n2,0;0.png\r\n5,0;1.png\r\n7,0;2.png\r\n",
        "size\tfile\n2\t0.png\n5\t1.png\n7\t2.png\n",
        "\ufefffile,size\r\n0.png,2\r\n1.png,5\r\n2.png,7\r\n",
        '"file","size"\n"0.png","2"\n"1.png","5"\n"2.png","7"\n',
        "size,what\n2,0.png\n5,1.png\n7,2.png\n",
        "file,size\n0.png,2\n1.png,5\n2.png,7\n".encode("utf-16"),
    ],
)
def test_a_table_as_pandas_r_or_a_spreadsheet_writes_it_is_read(tmp_path: Path, content: str | bytes) -> None:
    dataset = table_of(tmp_path, content)
    assert dataset.factor_names == ("size",)
    assert dataset.factor_sizes == (3,)
    assert all_of(dataset)[0][:, 0, 0, 0].tolist() == [10, 20, 30]


def test_a_decimal_comma_is_a_number_where_semicolons_separate(tmp_path: Path) -> None:
    dataset = table_of(tmp_path, "file;size\n0.png;10,5\n1.png;9,5\n2.png;1\n")
    assert dataset.factors(torch.arange(3))[:, 0].tolist() == [0, 1, 2]  # a grid, so in the order of the values
    assert all_of(dataset)[0][:, 0, 0, 0].tolist() == [30, 20, 10]


@pytest.mark.parametrize("cell", ["None", "null", "N/A", "-", "", "nan"])
def test_a_missing_value_never_becomes_a_category(tmp_path: Path, cell: str) -> None:
    with pytest.raises(ValueError, match="factor size has no value in line 3"):
        table_of(tmp_path, f"file,size\n0.png,1\n1.png,{cell}\n2.png,2\n")


def test_a_picture_behind_a_link_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    save(tmp_path / "secret.png", np.full((4, 4), 99, np.uint8))
    (tmp_path / "elsewhere").mkdir()
    save(tmp_path / "elsewhere" / "3.png", np.full((4, 4), 99, np.uint8))
    source = tmp_path / "source"
    source.mkdir()
    (source / "link.png").symlink_to(tmp_path / "secret.png")
    (source / "deep").symlink_to(tmp_path / "elsewhere")
    for name in ("link.png", "deep/3.png"):
        with pytest.raises(ValueError, match=rf"line 2 is of '{name}', a link to .* outside"):
            table_of(tmp_path, f"file,size\n{name},1\n1.png,2\n")
    (source / "inner.png").symlink_to(source / "0.png")
    assert len(table_of(tmp_path, "file,size\ninner.png,1\n1.png,2\n")) == 2


def test_a_table_behind_a_link_out_of_the_folder_has_to_be_named(tmp_path: Path) -> None:
    source = write_folder(tmp_path / "source", GRID)
    (source / "factors.csv").rename(tmp_path / "secret.csv")
    (source / "factors.csv").symlink_to(tmp_path / "secret.csv")
    with pytest.raises(ValueError, match="link out of the folder"):
        import_dataset(source, "mine", tmp_path / "root")
    assert len(imported(source, tmp_path / "root", table=source / "factors.csv")) == 9


def test_a_named_pipe_is_refused_and_never_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.npz")
    with pytest.raises(ValueError, match="not a regular file"):
        import_dataset(tmp_path / "pipe.npz", "mine", tmp_path / "root")
    source = write_folder(tmp_path / "source", GRID)
    (source / "0.png").unlink()
    os.mkfifo(source / "0.png")
    with pytest.raises(ValueError, match=r"line 2 is of '0\.png', and there is no regular file"):
        import_dataset(source, "mine", tmp_path / "root")


def test_a_pipe_in_the_place_of_a_description_or_of_an_array_is_never_waited_for(tmp_path: Path) -> None:
    folder = import_dataset(npz(tmp_path / "a.npz", arrays()), "mine", tmp_path / "root")
    (folder / "images.npy").unlink()
    os.mkfifo(folder / "images.npy")
    with pytest.raises(ValueError, match="not a regular file"):
        OwnDataset(tmp_path / "root", "mine")
    (tmp_path / "root" / "pipe").mkdir()
    os.mkfifo(tmp_path / "root" / "pipe" / "dataset.json")
    assert imported_names(tmp_path / "root") == ["mine"]


def test_a_huge_sparse_picture_is_refused_before_it_is_read(tmp_path: Path) -> None:
    source = write_folder(tmp_path / "source", GRID)
    with (source / "0.png").open("r+b") as file:
        file.truncate(2**34)
    with pytest.raises(ValueError, match=r"0\.png cannot be imported: it has 17,179,869,184 bytes"):
        import_dataset(source, "mine", tmp_path / "root")


def test_a_picture_is_turned_upright_as_its_exif_says(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    source = tmp_path / "source"
    array = np.zeros((64, 64), np.uint8)
    array[:, :32] = 255  # the left half
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise, so that the left half is on top
    save(source / "0.png", array, exif=exif)
    save(source / "1.png", array)
    with caplog.at_level(logging.INFO):
        images, _ = all_of(imported(write_table(source, "file,size", "0.png,1", "1.png,2"), tmp_path / "root"))
    assert (images[0, 0, 8, 8], images[0, 0, 8, 56], images[0, 0, 56, 8]) == (255, 255, 0)
    assert np.array_equal(images[1, 0], array)
    assert "1 pictures were turned upright" in caplog.text


def test_two_tables_or_none_ask_which(tmp_path: Path) -> None:
    source = write_folder(tmp_path / "source", GRID)
    (source / "other.csv").write_text("image,size\n0.png,1\n1.png,2\n")
    with pytest.raises(ValueError, match="2 CSV files"):
        import_dataset(source, "mine", tmp_path / "root")
    assert imported(source, tmp_path / "root", table=source / "other.csv").factor_sizes == (2,)
    for table in source.glob("*.csv"):
        table.unlink()
    with pytest.raises(ValueError, match="0 CSV files"):
        import_dataset(source, "other", tmp_path / "root")
    with pytest.raises(FileNotFoundError, match=r"other\.csv"):
        import_dataset(source, "other", tmp_path / "root", table=source / "other.csv")


def test_pictures_that_no_row_mentions_are_counted_in_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    source = write_folder(tmp_path / "source", GRID)
    imported(source, tmp_path / "root")
    assert not caplog.records
    save(source / "deep" / "one.JPG", np.zeros((4, 4), np.uint8))
    save(source / "two.png", np.zeros((4, 4), np.uint8))
    (source / ".hidden.png").write_bytes(b"")
    imported(source, tmp_path / "root", replace=True)
    assert [record.getMessage() for record in caplog.records] == [
        f"2 pictures in {source} are not in factors.csv and are left out."
    ]


def test_the_central_square_is_resized_with_every_pixel_weighed(tmp_path: Path) -> None:
    """Against Pillow step by step, and against plain means where 4 pixels become 1."""
    rng = np.random.default_rng(0)
    source = tmp_path / "source"
    wide, tall, small = (rng.integers(0, 256, (*shape, 3), dtype=np.uint8) for shape in ((64, 101), (200, 150), (9, 9)))
    for number, array in enumerate((wide, tall, small)):
        save(source / f"{number}.png", array)
    images, _ = all_of(imported(write_table(source, "image,x", "0.png,0", "1.png,1", "2.png,2"), tmp_path / "root"))
    assert np.array_equal(images[0].permute(1, 2, 0), wide[:, 18:82])
    for image, square in ((images[1], tall[25:175]), (images[2], small)):
        resized = Image.fromarray(square).resize((64, 64), Image.Resampling.BILINEAR, reducing_gap=None)
        assert np.array_equal(image.permute(1, 2, 0), np.asarray(resized))
    stripes = np.zeros((512, 512), np.uint8)
    stripes[::4] = 200
    save(tmp_path / "stripes" / "a.png", stripes)
    save(tmp_path / "stripes" / "b.png", stripes.T)
    write_table(tmp_path / "stripes", "image,x", "a.png,0", "b.png,1")
    images, _ = all_of(imported(tmp_path / "stripes", tmp_path / "root", replace=True))
    assert set(images[:, :, 2:-2, 2:-2].unique().tolist()) == {50}  # one line of four, and never 0 or 200


def test_grey_and_black_and_white_files_have_one_channel_and_mixed_ones_three(tmp_path: Path) -> None:
    source = tmp_path / "source"
    grey = save(source / "grey.png", np.full((8, 8), 90, np.uint8))
    Image.fromarray(np.full((8, 8), 255, np.uint8)).convert("1").save(source / "bits.png")
    write_table(source, "image,x", "grey.png,0", "bits.png,1")
    dataset = imported(source, tmp_path / "root")
    assert dataset.image_shape == (1, 64, 64)
    assert [all_of(dataset)[0][row].unique().tolist() for row in range(2)] == [[90], [255]]
    save(source / "bits.png", np.full((8, 8, 3), (1, 2, 3), np.uint8))
    dataset = imported(source, tmp_path / "root", replace=True)
    assert dataset.image_shape == (3, 64, 64)
    assert all_of(dataset)[0][:, :, 0, 0].tolist() == [[90, 90, 90], [1, 2, 3]]
    assert grey.exists()


def test_what_is_transparent_lies_on_black(tmp_path: Path) -> None:
    source = tmp_path / "source"
    save(source / "0.png", np.full((8, 8, 4), (255, 100, 50, 0), np.uint8))
    save(source / "1.png", np.full((8, 8, 4), (200, 100, 50, 128), np.uint8))
    palette = Image.fromarray(np.full((8, 8, 3), (200, 100, 50), np.uint8)).quantize(2)
    palette.save(source / "2.gif", transparency=palette.getpixel((0, 0)))
    palette.save(source / "3.gif")
    write_table(source, "image,x", "0.png,0", "1.png,1", "2.gif,2", "3.gif,3")
    images, _ = all_of(imported(source, tmp_path / "root"))
    assert images[:, :, 3, 3].tolist() == [[0, 0, 0], [100, 50, 25], [0, 0, 0], [200, 100, 50]]
    save(source / "0.png", np.full((8, 8, 2), (200, 128), np.uint8))
    write_table(source, "image,x", "0.png,0", "4.png,1")
    save(source / "4.png", np.full((8, 8), 200, np.uint8))
    images, _ = all_of(imported(source, tmp_path / "root", replace=True))
    assert images[:, :, 3, 3].tolist() == [[100], [200]]


def damaged_files(folder: Path) -> dict[str, tuple[bytes, str]]:
    noise = np.random.default_rng(0).integers(0, 256, (80, 80, 3), dtype=np.uint8)
    jpg, png = (save(folder / f"whole.{suffix}", noise).read_bytes() for suffix in ("jpg", "png"))
    deep = io.BytesIO()
    Image.fromarray(np.full((8, 8), 40_000, np.uint16)).save(deep, "PNG")
    eps = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\nshowpage\n"
    return {
        "cut.jpg": (jpg[: len(jpg) // 2], "damaged or cut short"),
        "cut.png": (png[: len(png) // 2], "damaged or cut short"),
        "changed.png": (png[:60] + bytes(30) + png[90:], "damaged or cut short"),
        "empty.png": (b"", "no picture that can be read"),
        "text.png": (b"<html>404</html>", "no picture that can be read"),
        "program.eps": (eps, "no picture that can be read"),
        "deep.png": (deep.getvalue(), "more than 8 bits"),
    }


@pytest.mark.parametrize(
    "name", ["cut.jpg", "cut.png", "changed.png", "empty.png", "text.png", "program.eps", "deep.png"]
)
def test_a_damaged_picture_is_named_and_nothing_is_left(tmp_path: Path, name: str) -> None:
    content, message = damaged_files(tmp_path)[name]
    source = write_folder(tmp_path / "source", GRID)
    (source / name).write_bytes(content)
    with (source / "factors.csv").open("a") as table:
        table.write(f"{name},red,1\n")
    with pytest.raises(ValueError, match=rf"source/{name} cannot be imported: it .*{message}"):
        import_dataset(source, "mine", tmp_path / "root")
    assert_nothing_is_left(tmp_path / "root")
    with pytest.raises(FileNotFoundError, match="No dataset 'mine'"):
        OwnDataset(tmp_path / "root", "mine")


# npz files


def arrays(channels: int | None = 3, side: int = 64, **changes: Any) -> dict[str, Any]:
    """All 6 combinations of 3 and 2 values, in a random order."""
    rng = np.random.default_rng(0)
    shape = (6, side, side) if channels is None else (6, side, side, channels)
    factors = np.array([[20, -1], [-3, -1], [20, 0], [7, -1], [-3, 0], [7, 0]], dtype=np.int16)
    content = {"images": rng.integers(0, 256, shape, dtype=np.uint8), "factors": factors, **changes}
    return {key: value for key, value in content.items() if value is not None}


def npz(path: Path, content: dict[str, Any]) -> Path:
    np.savez_compressed(path, **content)
    return path


@pytest.mark.parametrize("channels", [None, 1, 3])
def test_an_npz_of_all_combinations_becomes_a_grid_in_c_order(tmp_path: Path, channels: int | None) -> None:
    content = arrays(channels, factor_names=np.array(["angle", "eye"]))
    dataset = imported(npz(tmp_path / "a.npz", content), tmp_path / "root")
    images, factors = all_of(dataset)
    assert dataset.is_grid
    assert dataset.factor_names == ("angle", "eye")
    assert dataset.factor_sizes == (3, 2)
    assert dataset.image_shape == (channels or 1, 64, 64)
    assert factors.tolist() == [[0, 0], [0, 1], [1, 0], [1, 1], [2, 0], [2, 1]]
    expected = content["images"][[1, 4, 3, 5, 0, 2]].reshape(6, 64, 64, -1).transpose(0, 3, 1, 2)
    assert np.array_equal(images, expected)
    description = json.loads((tmp_path / "root" / "mine" / "dataset.json").read_text())
    assert description["factors"][0] == {"name": "angle", "values": ["-3", "7", "20"]}
    assert description["source"] == str(tmp_path / "a.npz")
    assert np.array_equal(np.load(tmp_path / "root" / "mine" / "factors.npy"), factors)
    turned = {**content, "images": content["images"][::-1].copy(), "factors": content["factors"][::-1]}
    assert imported(npz(tmp_path / "b.npz", turned), tmp_path / "root", replace=True).version == dataset.version


def test_an_npz_of_other_rows_keeps_them_in_their_order_piece_by_piece(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("disbench.datasets.imported.dataset.CHUNK_BYTES", 2 * 64 * 64)
    content = arrays(None)
    content = {key: array[:5] for key, array in content.items()}
    dataset = imported(npz(tmp_path / "a.npz", content), tmp_path / "root")
    images, factors = all_of(dataset)
    assert not dataset.is_grid
    assert dataset.factor_names == ("factor_0", "factor_1")
    assert np.array_equal(images[:, 0], content["images"])
    assert factors.tolist() == [[2, 0], [0, 0], [2, 1], [1, 0], [0, 1]]


def test_images_of_another_size_in_an_npz_are_resized_as_files_are(tmp_path: Path) -> None:
    content = arrays(3, side=90)
    content["images"] = content["images"][:, :, :70]
    source = tmp_path / "files"
    for number, image in enumerate(content["images"]):
        save(source / f"{number}.png", image)
    write_table(source, "image,factor_0,factor_1", *(f"{n}.png,{a},{b}" for n, (a, b) in enumerate(content["factors"])))
    from_files = imported(source, tmp_path / "files_root")
    from_npz = imported(npz(tmp_path / "a.npz", content), tmp_path / "npz_root")
    assert torch.equal(all_of(from_files)[0], all_of(from_npz)[0])
    assert from_files.version == from_npz.version


def test_pickles_in_an_npz_are_refused_unopened(tmp_path: Path) -> None:
    trap = Trap(tmp_path / "unpickled")
    for content in (
        arrays(images=np.array([trap] * 6, dtype=object)),
        arrays(factors=np.array([[trap, trap]] * 6, dtype=object)),
        arrays(factor_names=np.array([trap, trap], dtype=object)),
    ):
        with pytest.raises(ValueError, match=r"allow_pickle=False|needs to be uint8"):
            import_dataset(npz(tmp_path / "a.npz", content), "mine", tmp_path / "root")
        assert not (tmp_path / "unpickled").exists()
        assert_nothing_is_left(tmp_path / "root")
    assert len(imported(npz(tmp_path / "a.npz", arrays(other=np.array(trap, dtype=object))), tmp_path / "root")) == 6
    assert not (tmp_path / "unpickled").exists()


def test_an_npz_of_another_layout_is_refused(tmp_path: Path) -> None:
    whole = arrays()
    factors = whole["factors"]
    for content, message in (
        (arrays(images=None), "lacks images and has factors"),
        (arrays(factors=None), "lacks factors and has images"),
        (arrays(images=whole["images"] / 255), "needs to be uint8"),
        (arrays(images=np.asfortranarray(whole["images"])), "C order"),
        (arrays(images=whole["images"][0]), r"got \(64, 64, 3\)|factors needs"),
        (arrays(images=whole["images"][..., :2]), r"images needs to be .*got \(6, 64, 64, 2\)"),
        (arrays(images=whole["images"][:, :0]), r"images needs to be .*got \(6, 0, 64, 3\)"),
        (arrays(images=whole["images"][:0], factors=factors[:0]), r"images needs to be .*got \(0, 64, 64, 3\)"),
        (arrays(images=whole["images"] // 255), r"multiply black-and-white ones in \{0, 1\} by 255"),
        (arrays(factors=factors[:5]), r"factors needs to be \(6, K\), got int16 \(5, 2\)"),
        (arrays(factors=factors[:, 0]), r"factors needs to be \(6, K\).* factors\[:, None\]"),
        (arrays(factors=factors * np.nan), r"factor_0 has a missing value \(NaN\) in row 0"),
        (arrays(factors=np.where(factors < 0, np.inf, factors)), r"factor_0 has an infinite value in row 1"),
        (arrays(factors=factors + 0j), r"factor_0 needs numbers or text, got complex128"),
        (arrays(factors=factors.astype("M8[s]")), r"factor_0 holds dates"),
        (arrays(images=whole["images"].transpose(0, 3, 1, 2).copy()), r"images.transpose\(0, 2, 3, 1\)"),
        (arrays(factors=factors[:, :0]), "no factor has two values"),
        (arrays(factors=factors * 0), "no factor has two values"),
        (arrays(factor_names=np.array(["a"])), r"factor_names needs to be text \(2,\)"),
        (arrays(factor_names=np.array([1, 2])), r"factor_names needs to be text \(2,\)"),
        (arrays(factor_names=np.array(["a", "a"])), "one distinct name a size"),
        (arrays(factor_names=np.array(["a", "\n"])), "printable text"),
    ):
        with pytest.raises(ValueError, match=message) as caught:
            import_dataset(npz(tmp_path / "a.npz", content), "mine", tmp_path / "root")
        assert "a.npz" in str(caught.value)
        assert_nothing_is_left(tmp_path / "root")


def test_an_npz_that_was_cut_short_or_changed_is_refused(tmp_path: Path) -> None:
    path = npz(tmp_path / "a.npz", arrays())
    whole = path.read_bytes()
    middle = len(whole) // 2
    for content in (b"", b"<html>404</html>", whole[:middle], whole[:middle] + b"?" * 9 + whole[middle + 9 :]):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"a\.npz is not a readable npz"):
            import_dataset(path, "mine", tmp_path / "root")
        assert_nothing_is_left(tmp_path / "root")


def test_names_in_an_npz_that_leave_the_folder_write_nothing_there(tmp_path: Path) -> None:
    path = npz(tmp_path / "source.npz", arrays())
    with zipfile.ZipFile(path, "a") as archive:
        for name in ("../escaped.npy", "/tmp/disbench_escaped.npy", "../../escaped.npy"):
            archive.writestr(name, b"x")
    imported(path, tmp_path / "deep" / "root")
    assert sorted(file.name for file in tmp_path.rglob("*")) == sorted(
        ["source.npz", "deep", "root", "mine", "images.npy", "factors.npy", "dataset.json"]
    )
    assert not Path("/tmp/disbench_escaped.npy").exists()


# The folder in the data root


def test_a_set_says_what_it_is_and_its_version_follows_its_content(tmp_path: Path) -> None:
    content = arrays()
    dataset = imported(npz(tmp_path / "a.npz", content), tmp_path / "root")
    assert dataset.name == "mine"
    assert dataset.provenance == "own"
    assert dataset.version.startswith("square-bilinear64-sha256-")
    import_dataset(tmp_path / "a.npz", "again", tmp_path / "root")
    assert OwnDataset(tmp_path / "root", "again").version == dataset.version
    pixel = content["images"].copy()
    pixel[5, 63, 63, 2] ^= 1
    swapped = content["factors"][[1, 0, 2, 3, 4, 5]]
    values = np.where(content["factors"] == 20, 21, content["factors"])
    changes = ({"images": pixel}, {"factors": swapped}, {"factors": values}, {"factor_names": np.array(["a", "b"])})
    versions = {
        imported(npz(tmp_path / "b.npz", {**content, **c}), tmp_path / "root", replace=True).version for c in changes
    }
    assert len(versions | {dataset.version}) == 5


def test_imported_names_are_the_folders_that_an_import_made(tmp_path: Path) -> None:
    assert imported_names(tmp_path / "nowhere") == []
    for name in ("b", "a_1"):
        import_dataset(npz(tmp_path / "a.npz", arrays()), name, tmp_path / "root")
    for name, text in (("foreign", "{}"), ("list", "[]"), ("damaged", "{"), ("bytes", "\udcff")):
        (tmp_path / "root" / name).mkdir()
        (tmp_path / "root" / name / "dataset.json").write_text(text, encoding="utf-8", errors="surrogateescape")
    (tmp_path / "root" / "b").rename(tmp_path / "root" / "B")
    (tmp_path / "root" / "celeba").mkdir()
    assert imported_names(tmp_path / "root") == ["a_1"]
    with pytest.raises(FileNotFoundError, match=r"No dataset 'celeba' was imported into .*; there are: a_1"):
        OwnDataset(tmp_path / "root", "celeba")


def test_the_default_root_is_that_of_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISBENCH_DATA", str(tmp_path / "root"))
    assert import_dataset(npz(tmp_path / "a.npz", arrays()), "mine") == tmp_path / "root" / "mine"
    assert imported_names() == ["mine"]
    assert len(OwnDataset(None, "mine")) == 6


@pytest.mark.parametrize("name", ["", "Mine", "a-b", "a b", "..", "../a", "a/b", ".a", "ä", "a\n", "celeba"])
def test_names_that_are_reserved_or_no_plain_words_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="small letters, digits and _ and no built-in"):
        import_dataset(npz(tmp_path / "a.npz", arrays()), name, tmp_path / "root", reserved={"celeba"})
    with pytest.raises(FileNotFoundError, match="No dataset"):
        OwnDataset(tmp_path / "root", name)
    assert sorted(tmp_path.iterdir()) == [tmp_path / "a.npz"]


def test_a_set_is_only_replaced_on_request_and_then_whole(tmp_path: Path) -> None:
    before = imported(npz(tmp_path / "a.npz", arrays()), tmp_path / "root").version
    other = npz(tmp_path / "b.npz", arrays(None))
    with pytest.raises(FileExistsError, match="mine exists already; let it be replaced"):
        import_dataset(other, "mine", tmp_path / "root")
    with pytest.raises(ValueError, match="lacks images"):
        import_dataset(npz(tmp_path / "c.npz", arrays(images=None)), "mine", tmp_path / "root", replace=True)
    assert OwnDataset(tmp_path / "root", "mine").version == before
    assert imported(other, tmp_path / "root", replace=True).version != before
    assert [path.name for path in (tmp_path / "root").iterdir()] == ["mine"]


def test_a_folder_that_no_import_made_is_never_replaced(tmp_path: Path) -> None:
    official = tmp_path / "root" / "mine" / "official.npz"
    official.parent.mkdir(parents=True)
    official.write_bytes(b"12 GB")
    with pytest.raises(FileExistsError, match="choose another name"):
        import_dataset(npz(tmp_path / "a.npz", arrays()), "mine", tmp_path / "root", replace=True)
    assert official.read_bytes() == b"12 GB"


def test_a_source_inside_the_set_that_it_would_replace_is_refused(tmp_path: Path) -> None:
    imported(npz(tmp_path / "a.npz", arrays()), tmp_path / "root")
    folder = write_folder(tmp_path / "root" / "mine", GRID)
    inside = npz(folder / "b.npz", arrays())
    for source in (inside, folder):
        with pytest.raises(ValueError, match="move it elsewhere"):
            import_dataset(source, "mine", tmp_path / "root", replace=True)
    assert inside.exists()


def test_a_source_that_is_not_there_or_has_a_table_of_its_own_says_so(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"nothing\.npz to import"):
        import_dataset(tmp_path / "nothing.npz", "mine", tmp_path / "root")
    with pytest.raises(ValueError, match="an npz holds its own factors"):
        import_dataset(npz(tmp_path / "a.npz", arrays()), "mine", tmp_path / "root", table=tmp_path / "a.csv")


def test_a_disk_without_room_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = SimpleNamespace(free=6 * 3 * 64 * 64 - 1)
    monkeypatch.setattr("shutil.disk_usage", lambda path: usage)
    with pytest.raises(OSError, match="GB are free") as caught:
        import_dataset(npz(tmp_path / "a.npz", arrays()), "mine", tmp_path / "root")
    assert caught.value.errno == errno.ENOSPC
    assert_nothing_is_left(tmp_path / "root")


def test_a_disk_that_fills_after_the_check_is_an_error_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(OSError, match=r"which cannot be reserved .* DISBENCH_DATA") as caught:
        import_dataset(npz(tmp_path / "a.npz", arrays()), "mine", tmp_path / "root")
    assert caught.value.errno == errno.ENOSPC
    assert_nothing_is_left(tmp_path / "root")


def test_a_set_whose_replacement_was_killed_is_opened_and_unfinished_folders_go(tmp_path: Path) -> None:
    root = tmp_path / "root"
    version = imported(npz(tmp_path / "a.npz", arrays()), root).version
    (root / "mine").rename(root / ".mine.0123abcd.old")
    (root / ".mine.0123abcd").mkdir()
    (root / ".mine.0123abcd" / "images.npy").write_bytes(bytes(1000))
    assert OwnDataset(root, "mine").version == version
    (root / ".other.89abcdef").mkdir()
    assert imported_names(root) == ["mine"]
    assert [path.name for path in root.iterdir()] == ["mine"]


def test_an_npz_takes_whole_floats_fractions_words_and_booleans(tmp_path: Path) -> None:
    values = np.array([0.5, 0.25, 7])
    factors = {
        "float": (arrays()["factors"].astype(float), [[2, 0], [0, 0]]),
        "words": (np.array([["b", "x"], ["a", "x"], ["b", "y"], ["c", "x"], ["a", "y"], ["c", "y"]]), [[0, 0], [0, 1]]),
        "fraction": (np.stack([np.repeat(values, 2), np.tile([1, 0], 3)], axis=1), [[0, 0], [0, 1]]),
    }
    for name, (array, first) in factors.items():
        import_dataset(npz(tmp_path / "a.npz", arrays(factors=array)), f"set_{name}", tmp_path / "root")
        dataset = OwnDataset(tmp_path / "root", f"set_{name}")
        assert dataset.factor_sizes == (3, 2)
        if name != "float":
            assert dataset.factors(torch.arange(2)).tolist() == first


def test_a_continuous_factor_keeps_its_values_and_is_named_in_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    scale = np.random.default_rng(0).normal(size=120)
    images = np.full((120, 4, 4), 9, np.uint8)
    factors = np.stack([scale, np.arange(120) % 2], axis=1)
    dataset = imported(npz(tmp_path / "a.npz", {"images": images, "factors": factors}), tmp_path / "root")
    rows = dataset.factors(slice(None))[:, 0].tolist()
    assert [float(dataset.factor_values[0][row]) for row in rows] == scale.tolist()
    assert "Factor factor_0 has 120 values in 120 rows and looks continuous" in caplog.text
    assert "factor_1" not in caplog.text


def test_files_that_changed_since_the_import_are_noticed(tmp_path: Path) -> None:
    for number, change in enumerate(("images.npy", "factors.npy", "names", "format", "nothing")):
        name = f"set_{number}"
        folder = import_dataset(npz(tmp_path / "a.npz", arrays()), name, tmp_path / "root")
        description = folder / "dataset.json"
        if change.endswith(".npy"):
            content = bytearray((folder / change).read_bytes())
            content[-1] ^= 1
            (folder / change).write_bytes(content)
        elif change == "names":
            description.write_text(description.read_text().replace("factor_1", "factor_2"))
        elif change == "format":
            description.write_text(description.read_text().replace("dataset 1", "dataset 2"))
        else:
            description.write_text("{}")
        with pytest.raises(ValueError, match=rf"{name} is not a readable imported dataset.*Import it again"):
            OwnDataset(tmp_path / "root", name)
