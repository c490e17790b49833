"""Images and factors of the user, imported once into a folder of the data root and then opened by name.

`<root>/<name>/` holds `images.npy` u8 (N, C, 64, 64), `factors.npy` i64 (N, K), value indices, and `dataset.json`: the factors'
names and values, and checksums. It is written under another name and renamed when it is whole.
"""

import hashlib
import io
import json
import logging
import math
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from disbench.datasets.factors import FactorSpace
from disbench.datasets.imported import picture_folder
from disbench.datasets.imported.factor_columns import FactorColumn, read_column, warn_of_identifiers
from disbench.datasets.imported.staging import clean_up, new_folder
from disbench.datasets.storage.atomic import write_atomic
from disbench.datasets.storage.files import checksum, data_root, explained, sha256_of
from disbench.datasets.storage.hdf5 import check_regular_file
from disbench.datasets.storage.npz import byte_shape, keys, rows_in_chunks, small_array
from disbench.datasets.storage.pictures import GREY_MODES, SIDE, in_order, opened, small_square, turned_upright
from disbench.datasets.storage.store import ImageStore, StoredDataset, allocated_array

_log = logging.getLogger(__name__)

FORMAT = "disbench dataset 1"
DESCRIPTION = "dataset.json"
DESCRIPTION_BYTES = 2**28  # at most
PROTOCOL = f"square-bilinear{SIDE}"
MANY_VALUES = 100
CHUNK_BYTES = 2**24  # of an npz's images


@dataclass(frozen=True)
class Table:
    """K factors of N rows: names and sizes, the values of each in the order of their indices, and the indices (N, K)."""

    space: FactorSpace
    values: tuple[tuple[str, ...], ...]
    indices: NDArray[np.int64]


class OwnDataset(StoredDataset):
    """An imported set; images (1, 64, 64) or (3, 64, 64). A grid where its rows were all the combinations, once each.

    `factor_values` holds the values of each factor as text, in the order of their indices.
    """

    provenance = "own"

    def __init__(self, root: str | Path | None, name: str) -> None:
        """Open `<root>/<name>/`; root is `DISBENCH_DATA`, else `./Data`, by default.

        Raises FileNotFoundError where no set of this name was imported, and ValueError where its files have changed since.
        """
        folder = data_root(root) / name
        if _is_name(name) and not folder.exists():
            clean_up(data_root(root))  # brings a set back whose replacement was killed
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
            self.factor_values = tuple(tuple(factor["values"]) for factor in description["factors"])
            self.image_shape = (images.shape[1], SIDE, SIDE)
            self.labels = None if description["is_grid"] else torch.from_numpy(factors)
        self._images = ImageStore(images)


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
    clean_up(base)
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
    folder, in a column such as file, filename or image, else in the first one, and the value of each factor in the other
    columns. Links out of the folder are refused. An npz has `images` u8 (N, H, W), (N, H, W, 1) or (N, H, W, 3), `factors`
    (N, K) and, if you like, `factor_names` (K), text. Pickles in it are never opened.

    Images of any size become 64x64: the central square, shrunk or enlarged bilinearly (antialiased). Files have one channel if
    all are black-and-white or gray, else three; what is transparent lies on black; pictures are turned upright as their EXIF
    orientation says, and of an animation the first picture is taken.

    A factor's distinct values become 0, 1, ... (see `factor_columns`): numbers in increasing order (1 and 1.0 are one value),
    words alphabetically. A missing value, or a mix of numbers and words, is an error. A factor of one value is dropped. Rows
    that are all combinations of the values once each are put into C order, the last factor fastest, and make a grid; any
    others stay in their order.

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
    clean_up(data_root(root))
    _check_free(target, replace)
    if target.resolve() in (source.resolve(), *source.resolve().parents):
        raise ValueError(f"{source} is or lies in {target}, which the import would replace; move it elsewhere.")
    if source.is_dir():
        with new_folder(target, lambda: _check_free(target, replace)) as folder:
            _from_folder(source, table or picture_folder.only_table(source), folder, name)
        return target
    if table is not None:
        raise ValueError(f"A table goes with a folder of images, and {source} is none; an npz holds its own factors.")
    advice = "It needs `images` and `factors`: numpy.savez(path, images=..., factors=...)."
    check_regular_file(source)
    with new_folder(target, lambda: _check_free(target, replace)) as folder, explained(source, "npz", advice):
        _from_npz(source, folder, name)
    return target


def _is_name(name: str) -> bool:
    return re.fullmatch(r"[a-z0-9_]+", name, re.ASCII) is not None


def _was_imported(folder: Path) -> bool:
    file = folder / DESCRIPTION
    try:
        if not file.is_file() or file.stat().st_size > DESCRIPTION_BYTES:
            return False
        description = json.loads(file.read_text(encoding="utf-8"))
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


def _from_folder(source: Path, table_file: Path, folder: Path, name: str) -> None:
    with explained(table_file, "table of factors", "It needs a header, then a file and its values a row."):
        columns, files = picture_folder.read_table_of_pictures(table_file, source)
        table = _table(columns)
    grey = all(picture_folder.of_file(file, lambda content: opened(content).mode in GREY_MODES) for file in files)
    picture_folder.warn_of_pictures_left_out(source, files, table_file)
    turned: list[int] = []

    def work(row: int) -> NDArray[np.uint8]:
        def square(content: bytes) -> NDArray[np.uint8]:
            picture = opened(content)
            upright = turned_upright(picture)
            if upright is not picture:
                turned.append(row)
            return _square(upright, grey)

        return picture_folder.of_file(files[row], square)

    _write(folder, name, source, table, 1 if grey else 3, in_order(work, len(files)))
    if turned:
        _log.info("%d pictures were turned upright, as their EXIF orientation says.", len(turned))


def _square(picture: Image.Image, grey: bool) -> NDArray[np.uint8]:
    return small_square(picture, min(picture.size), grey=grey)


def _from_npz(source: Path, folder: Path, name: str) -> None:
    shape = byte_shape(source, "images")
    if not (len(shape) == 3 or (len(shape) == 4 and shape[3] in (1, 3))) or 0 in shape:
        first = len(shape) == 4 and shape[1] in (1, 3)
        advice = "; put the channels last: images.transpose(0, 2, 3, 1).copy()" if first else ""
        raise ValueError(f"images needs to be (N, H, W), (N, H, W, 1) or (N, H, W, 3), got {shape}{advice}")
    factors = small_array(source, "factors")
    if factors.ndim != 2 or len(factors) != shape[0]:
        advice = "; a single factor is a column: factors[:, None]" if factors.shape == shape[:1] else ""
        raise ValueError(f"factors needs to be ({shape[0]}, K), got {factors.dtype} {factors.shape}{advice}")
    names = [f"factor_{number}" for number in range(factors.shape[1])]
    if "factor_names" in keys(source):
        given = small_array(source, "factor_names")
        if given.dtype.kind not in "SU" or given.shape != (factors.shape[1],):
            raise ValueError(f"factor_names needs to be text ({factors.shape[1]},), got {given.dtype} {given.shape}")
        names = [name.decode() if isinstance(name, bytes) else name for name in given.tolist()]
    columns = [read_column(column, name) for column, name in zip(factors.T, names, strict=True)]
    grey = len(shape) == 3 or shape[3] == 1
    pixels = shape[1:3] if grey else shape[1:]

    def images() -> Iterator[tuple[int, NDArray[np.uint8]]]:
        for start, chunk in rows_in_chunks(source, "images", max(1, CHUNK_BYTES // math.prod(pixels))):
            for row, image in enumerate(chunk, start):
                yield row, _square(Image.fromarray(image.reshape(pixels)), grey)

    _write(folder, name, source, _table(columns), 1 if grey else 3, images())


def _table(columns: Sequence[FactorColumn]) -> Table:
    """The factors that vary. Raises ValueError where there is none, or where names or numbers of values cannot be a space."""
    if bad := [column.name for column in columns if not column.name.strip() or not column.name.isprintable()]:
        raise ValueError(f"the names of factors need to be printable text, got {bad}")
    constant = [column.name for column in columns if len(column.labels) < 2]
    if constant:
        _log.info("Dropped, because all rows have the same value: %s", ", ".join(constant))
    kept = [column for column in columns if len(column.labels) >= 2]
    if not kept:
        raise ValueError("no factor has two values or more")
    warn_of_identifiers(kept)
    for column in kept:
        rows, values = len(column.indices), len(column.labels)
        if column.numbers is not None and column.numbers.dtype.kind == "f" and values > max(MANY_VALUES, rows / 2):
            _log.warning(
                "Factor %s has %d values in %d rows and looks continuous. Each value is kept; round it or put it into bins for "
                "metrics that count values, such as MIG.",
                *(column.name, values, rows),
            )
    if math.prod(len(column.labels) for column in kept) >= 2**63:
        most = max(kept, key=lambda column: len(column.labels))
        raise ValueError(
            f"the factors have 2**63 combinations of values or more; {most.name} alone has {len(most.labels)} values. Round "
            "continuous factors or put them into bins, and leave identifiers out"
        )
    space = FactorSpace(tuple(column.name for column in kept), tuple(len(column.labels) for column in kept))
    indices = np.stack([column.indices for column in kept], axis=1)
    return Table(space, tuple(column.labels for column in kept), indices)


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
    points = _grid_points(table)
    factors = table.indices if points is None else table.indices[np.argsort(points)]
    array = allocated_array(folder / "images.npy", shape, f"The import of {name}", "DISBENCH_DATA")
    brightest = 0
    for row, image in images:
        array[row if points is None else points[row]] = image
        brightest = max(brightest, int(image.max()))
    if brightest <= 1:
        raise ValueError(
            f"the brightest value of all images is {brightest}: multiply black-and-white ones in {{0, 1}} by 255"
        )
    array.flush()  # type: ignore[attr-defined]
    content = io.BytesIO()
    np.save(content, factors)
    write_atomic(folder / "factors.npy", content)
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
    write_atomic(folder / DESCRIPTION, text.encode())


def _content_sha256(images: str, factors: str, described: list[dict[str, Any]]) -> str:
    return hashlib.sha256(json.dumps([images, factors, described]).encode()).hexdigest()
