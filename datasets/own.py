"""The user's own images and factors, imported once into a folder of the data root and opened by name from then on.

`<root>/<name>/` holds `images.npy` u8 (N, C, 64, 64), `factors.npy` i64 (N, K), value indices, and `dataset.json`: the factors'
names and values, and checksums. It is written under another name and renamed when it is whole.
"""

import csv
import errno
import hashlib
import json
import logging
import math
import re
import shutil
import uuid
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path, PureWindowsPath
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from disbench.datasets.factors import FactorDataset, FactorSpace
from disbench.datasets.files import checksum, data_root, explained, sha256_of
from disbench.datasets.npz import byte_shape, keys, rows_in_chunks, small_array
from disbench.datasets.pictures import GREY_MODES, SIDE, SUFFIXES, in_order, opened, small_square
from disbench.datasets.store import ImageStore

_log = logging.getLogger(__name__)

FORMAT = "disbench dataset 1"
DESCRIPTION = "dataset.json"
PROTOCOL = f"square-bilinear{SIDE}"
PATH_COLUMNS = ("file", "filename", "image", "path")
MISSING = ("", "nan", "na")  # in small letters; what pandas and R write where there is no value
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d{1,3})?", re.ASCII | re.IGNORECASE)
CHUNK_BYTES = 2**24  # of an npz's images


T = TypeVar("T")
Indexed = tuple[
    tuple[str, ...], NDArray[np.int64]
]  # the values of a factor in their order, and the index of each row's


@dataclass(frozen=True)
class Table:
    """K factors of N rows: names and sizes, the values of each in the order of their indices, and the indices (N, K)."""

    space: FactorSpace
    values: tuple[tuple[str, ...], ...]
    indices: NDArray[np.int64]


class OwnDataset(FactorDataset):
    """An imported set; images (1, 64, 64) or (3, 64, 64). A grid where its rows were all the combinations, once each."""

    provenance = "own"

    def __init__(self, root: str | Path | None, name: str) -> None:
        """Open `<root>/<name>/`; root is `DISBENCH_DATA`, else `./Data`, by default.

        Raises FileNotFoundError where no set of this name was imported, and ValueError where its files have changed since.
        """
        folder = data_root(root) / name
        if not _is_name(name) or not (folder / DESCRIPTION).is_file():
            there = ", ".join(imported_names(root)) or "none"
            raise FileNotFoundError(
                f"No dataset {name!r} was imported into {data_root(root).absolute()}; there are: {there}."
            )
        with explained(folder, "imported dataset", "Import it again."):
            description = json.loads((folder / DESCRIPTION).read_text(encoding="utf-8"))
            if description["format"] != FORMAT:
                raise ValueError(f"its format is {description['format']!r} where this version reads {FORMAT!r}")
            sha256 = _content_sha256(
                sha256_of(folder / "images.npy"), sha256_of(folder / "factors.npy"), description["factors"]
            )
            if sha256 != description["sha256"]:
                raise ValueError("its files have changed since they were imported")
            images = np.load(folder / "images.npy", mmap_mode="r", allow_pickle=False)
            factors = np.load(folder / "factors.npy", allow_pickle=False)
            self.name = name
            self.version = f"{PROTOCOL}-sha256-{sha256[:12]}"
            self.space = FactorSpace(
                tuple(factor["name"] for factor in description["factors"]),
                tuple(len(factor["values"]) for factor in description["factors"]),
            )
            self.image_shape = (images.shape[1], SIDE, SIDE)
            self.labels = None if description["is_grid"] else torch.from_numpy(factors)
        self._images = ImageStore(images)

    def place(self, device: torch.device) -> torch.device:
        return self._images.place(device)

    def batch(self, indices: torch.Tensor) -> torch.Tensor:
        return self._images.take(indices)


def is_unchanged(root: str | Path | None, name: str) -> bool:
    """Whether the files of an imported set, read anew, are those that the import wrote."""
    folder = data_root(root) / name
    with explained(folder, "imported dataset", "Import it again."):
        description = json.loads((folder / DESCRIPTION).read_text(encoding="utf-8"))
        files = checksum(folder / "images.npy"), checksum(folder / "factors.npy")
        return bool(_content_sha256(*files, description["factors"]) == description["sha256"])


def imported_names(root: str | Path | None = None) -> list[str]:
    """The names of the sets that were imported into the root, sorted."""
    base = data_root(root)
    return sorted(file.parent.name for file in base.glob(f"*/{DESCRIPTION}") if _was_imported(file.parent))


def import_dataset(
    source: Path,
    name: str,
    root: str | Path | None = None,
    *,
    table: Path | None = None,
    replace: bool = False,
    reserved: Collection[str] = (),
) -> Path:
    """Make the dataset `name` of a folder of images and a table, or of an npz; returns the new folder `<root>/<name>`.

    A folder is described by a CSV file with a header, `table` or else the only one in it. A row is an image: its path in the
    folder, in the column file, filename, image or path, else in the first one, and the value of each factor in the other
    columns. An npz has `images` u8 (N, H, W), (N, H, W, 1) or (N, H, W, 3), integers `factors` (N, K) and, if you like,
    `factor_names` (K), text. Pickles in it are never opened.

    Images of any size become 64x64: the central square, shrunk or enlarged bilinearly (antialiased). Files have one channel if
    all are black-and-white or grey, else three; what is transparent lies on black; a camera's note of how it was held is not
    followed, and of an animation the first picture is taken.

    A factor's distinct values, sorted, become 0, 1, ...: as numbers if all are numbers (then 1 and 1.0 are one value), else as
    text. A factor of one value is dropped. Rows that are all combinations of the values once each are put into C order, the last
    factor fastest, and make a grid; any others stay in their order.

    `replace` lets go of a set that was imported under this name before, and of nothing else. Where this raises, nothing has
    changed. Raises ValueError for a name that is not [a-z0-9_]+ or is in `reserved` and for a source that is not as above,
    FileNotFoundError where it is not there, and FileExistsError where the name is taken.
    """
    if not _is_name(name) or name in reserved:
        raise ValueError(
            f"A dataset's name needs to be small letters, digits and _ and no built-in one's, got {name!r}."
        )
    if not source.exists():
        raise FileNotFoundError(f"There is no {source.absolute()} to import.")
    target = data_root(root) / name
    _check_free(target, replace)
    if target.resolve() in (source.resolve(), *source.resolve().parents):
        raise ValueError(f"{source} is or lies in {target}, which the import would replace; move it elsewhere.")
    if source.is_dir():
        with _new_folder(target, replace) as folder:
            _from_folder(source, table or _only_table(source), folder, name)
        return target
    if table is not None:
        raise ValueError(f"A table goes with a folder of images, and {source} is none; an npz holds its own factors.")
    advice = "It needs `images` and `factors`: numpy.savez(path, images=..., factors=...)."
    with _new_folder(target, replace) as folder, explained(source, "npz", advice):
        _from_npz(source, folder, name)
    return target


def _is_name(name: str) -> bool:
    return re.fullmatch(r"[a-z0-9_]+", name, re.ASCII) is not None


def _was_imported(folder: Path) -> bool:
    try:
        description = json.loads((folder / DESCRIPTION).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return False
    return _is_name(folder.name) and isinstance(description, dict) and description.get("format") == FORMAT


def _check_free(target: Path, replace: bool) -> None:
    if not target.exists() or (replace and _was_imported(target)):
        return
    advice = (
        "let it be replaced (--replace), or choose another name"
        if _was_imported(target)
        else "choose another name: it is no imported set"
    )
    raise FileExistsError(f"{target.absolute()} exists already; {advice}.")


@contextmanager
def _new_folder(target: Path, replace: bool) -> Iterator[Path]:
    """A folder beside `target` that takes its place when the block is through, and is gone where it raises."""
    base = target.parent
    base.mkdir(parents=True, exist_ok=True)
    partial, old = (base / f".{target.name}.{uuid.uuid4().hex[:8]}{what}" for what in ("", ".old"))
    partial.mkdir()
    try:
        yield partial
        _check_free(target, replace)  # it may have come meanwhile
        if target.exists():
            target.rename(old)
        partial.rename(target)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        if old.exists():
            old.rename(target)
        raise
    shutil.rmtree(old, ignore_errors=True)


def _only_table(folder: Path) -> Path:
    tables = sorted(
        file for file in folder.iterdir() if file.suffix.lower() == ".csv" and not file.name.startswith(".")
    )
    if len(tables) != 1:
        raise ValueError(
            f"{folder} has {len(tables)} CSV files; say which one holds the factors (--factors FILE; in Python, table)."
        )
    return tables[0]


def _from_folder(source: Path, table_file: Path, folder: Path, name: str) -> None:
    with explained(
        table_file, "table of factors", "It needs a header, then a file and its values a row (UTF-8, commas)."
    ):
        names, columns, files = _read_csv(table_file, source)
        table = _table(names, [_indexed(column) for column in columns])
    grey = all(_of_file(file, lambda content: opened(content).mode in GREY_MODES) for file in files)
    mentioned = set(files)
    left_out = sum(
        file.suffix.lower() in SUFFIXES and not file.name.startswith(".") and file not in mentioned
        for file in source.rglob("*")
    )
    if left_out:
        _log.warning("%d pictures in %s are not in %s and are left out.", left_out, source, table_file.name)

    def work(row: int) -> NDArray[np.uint8]:
        return _of_file(files[row], lambda content: _square(opened(content), grey))

    _write(folder, name, source, table, 1 if grey else 3, in_order(work, len(files)))


def _read_csv(path: Path, source: Path) -> tuple[list[str], list[list[str]], list[Path]]:
    """The names and texts of the K columns of factors, and the N image files. Raises ValueError that names the line."""
    with path.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.reader(file, strict=True)
        try:
            lines = [(reader.line_num, [cell.strip() for cell in row]) for row in reader if any(map(str.strip, row))]
        except csv.Error as error:
            raise ValueError(f"line {reader.line_num}: {error}") from error
    if len(lines) < 2 or len(lines[0][1]) < 2:
        raise ValueError("it has no rows, or no column beside that of the files")
    header = lines[0][1]
    column_of_files = next((number for number, name in enumerate(header) if name.lower() in PATH_COLUMNS), 0)
    files: dict[Path, int] = {}
    for line, row in lines[1:]:
        if len(row) != len(header):
            raise ValueError(f"line {line} has {len(row)} cells where the header has {len(header)}")
        if missing := [name for name, cell in zip(header, row, strict=True) if cell.lower() in MISSING]:
            raise ValueError(f"line {line} has no value for {', '.join(missing)}")
        image = _inside(source, row[column_of_files], line)
        if image in files:
            raise ValueError(f"line {line} is of {row[column_of_files]}, which line {files[image]} is of already")
        files[image] = line
    columns = [[row[number] for _, row in lines[1:]] for number in range(len(header)) if number != column_of_files]
    return [name for number, name in enumerate(header) if number != column_of_files], columns, list(files)


def _inside(source: Path, text: str, line: int) -> Path:
    """The file at a path relative to the folder `source`, with / or Windows' \\ between its parts."""
    path = PureWindowsPath(text)
    if path.anchor or ".." in path.parts:
        raise ValueError(f"line {line} needs a path inside {source}, got {text!r}")
    file = source.joinpath(*path.parts)
    if not file.is_file():
        raise ValueError(f"line {line} is of {text!r}, and there is no such file in {source}")
    return file


def _of_file(file: Path, work: Callable[[bytes], T]) -> T:
    try:
        return work(file.read_bytes())
    except (OSError, ValueError) as error:
        raise ValueError(f"{file} cannot be imported: {error}. Repair it, or take its row out of the table.") from error


def _square(picture: Image.Image, grey: bool) -> NDArray[np.uint8]:
    return small_square(picture, min(picture.size), grey=grey)


def _from_npz(source: Path, folder: Path, name: str) -> None:
    shape = byte_shape(source, "images")
    if not (len(shape) == 3 or (len(shape) == 4 and shape[3] in (1, 3))) or 0 in shape:
        raise ValueError(f"images needs to be (N, H, W), (N, H, W, 1) or (N, H, W, 3), got {shape}")
    factors = small_array(source, "factors")
    if factors.dtype.kind not in "iu" or factors.ndim != 2 or len(factors) != shape[0]:
        raise ValueError(f"factors needs to be integers ({shape[0]}, K), got {factors.dtype} {factors.shape}")
    names = [f"factor_{number}" for number in range(factors.shape[1])]
    if "factor_names" in keys(source):
        given = small_array(source, "factor_names")
        if given.dtype.kind != "U" or given.shape != (factors.shape[1],):
            raise ValueError(f"factor_names needs to be text ({factors.shape[1]},), got {given.dtype} {given.shape}")
        names = given.tolist()
    indexed = []
    for column in factors.T:
        values, indices = np.unique(column, return_inverse=True)
        indexed.append((tuple(map(str, values.tolist())), indices))
    grey = len(shape) == 3 or shape[3] == 1
    pixels = shape[1:3] if grey else shape[1:]

    def images() -> Iterator[tuple[int, NDArray[np.uint8]]]:
        for start, chunk in rows_in_chunks(source, "images", max(1, CHUNK_BYTES // math.prod(pixels))):
            for row, image in enumerate(chunk, start):
                yield row, _square(Image.fromarray(image.reshape(pixels)), grey)

    _write(folder, name, source, _table(names, indexed), 1 if grey else 3, images())


def _indexed(column: Sequence[str]) -> Indexed:
    """The distinct values of N texts, sorted, and the index of each text's value, (N,)."""
    numbers = all(NUMBER.fullmatch(text) for text in column)
    sortable: list[Any] = [Decimal(text) for text in column] if numbers else list(column)
    shown: dict[Any, str] = {}
    for value, text in zip(sortable, column, strict=True):
        shown.setdefault(value, text)
    index = {value: number for number, value in enumerate(sorted(shown))}
    return tuple(shown[value] for value in index), np.array([index[value] for value in sortable])


def _table(names: Sequence[str], columns: Sequence[Indexed]) -> Table:
    """The factors that vary. Raises ValueError where there is none, or where names or numbers of values cannot be a space."""
    if bad := [name for name in names if not name.strip() or not name.isprintable()]:
        raise ValueError(f"the names of factors need to be printable text, got {bad}")
    constant = [name for name, (values, _) in zip(names, columns, strict=True) if len(values) < 2]
    if constant:
        _log.info("Dropped, because all rows have the same value: %s", ", ".join(constant))
    kept = [number for number, (values, _) in enumerate(columns) if len(values) >= 2]
    if not kept:
        raise ValueError("no factor has two values or more")
    space = FactorSpace(tuple(names[number] for number in kept), tuple(len(columns[number][0]) for number in kept))
    indices = np.stack([columns[number][1] for number in kept], axis=1).astype(np.int64)
    return Table(space, tuple(columns[number][0] for number in kept), indices)


def _grid_points(table: Table) -> NDArray[np.int64] | None:
    """The place in C order of each row (N,) where the rows are all combinations of values once each, else None."""
    if len(table.indices) != len(table.space):
        return None
    points = table.space.indices(torch.from_numpy(table.indices)).numpy()
    return points if len(np.unique(points)) == len(points) else None


def _write(
    folder: Path, name: str, source: Path, table: Table, channels: int, images: Iterable[tuple[int, NDArray[np.uint8]]]
) -> None:
    """Fill the folder with the set whose row r has the r-th indices of the table and the image that comes with r."""
    shape = (len(table.indices), channels, SIDE, SIDE)
    needed, free = math.prod(shape), shutil.disk_usage(folder).free
    if needed > free:  # a mapped file that grows beyond the disk would end the process
        raise OSError(
            errno.ENOSPC, f"{name} needs {needed / 1e9:.1f} GB in {folder.parent}, {free / 1e9:.1f} GB are free"
        )
    points = _grid_points(table)
    factors = table.indices if points is None else table.indices[np.argsort(points)]
    array = np.lib.format.open_memmap(folder / "images.npy", mode="w+", dtype=np.uint8, shape=shape)
    brightest = 0
    for row, image in images:
        array[row if points is None else points[row]] = image
        brightest = max(brightest, int(image.max()))
    if brightest <= 1:
        raise ValueError(
            f"the brightest value of all images is {brightest}: multiply black-and-white ones in {{0, 1}} by 255"
        )
    array.flush()
    np.save(folder / "factors.npy", factors)
    described = [
        {"name": factor, "values": list(values)} for factor, values in zip(table.space.names, table.values, strict=True)
    ]
    description = {
        "format": FORMAT,
        "name": name,
        "source": str(source.absolute()),
        "protocol": PROTOCOL,
        "is_grid": points is not None,
        "sha256": _content_sha256(checksum(folder / "images.npy"), checksum(folder / "factors.npy"), described),
        "factors": described,
    }
    text = json.dumps(description, indent=1, ensure_ascii=False) + "\n"
    (folder / DESCRIPTION).write_text(text, encoding="utf-8")


def _content_sha256(images: str, factors: str, described: list[dict[str, Any]]) -> str:
    return hashlib.sha256(json.dumps([images, factors, described]).encode()).hexdigest()
