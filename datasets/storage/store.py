"""Images as one array of bytes: converted once, then read in batches on any device.

A conversion is a folder in the cache, `<name>-<first digits of the source's sha256>`, that holds `images.npy`,
uncompressed, and `meta.json`. It is made under another name and renamed when it is whole, by one process at a time.
"""

import errno
import json
import logging
import math
import os
import re
import secrets
import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from filelock import FileLock, Timeout
from numpy.typing import NDArray

from disbench.datasets.factors import FactorDataset, check_indices
from disbench.datasets.storage.atomic import write_atomic
from disbench.datasets.storage.cache import cache_folder
from disbench.datasets.storage.files import checksum

_log = logging.getLogger(__name__)

FORMAT = 1  # of a conversion's folder; another number makes all of them anew
HELD_BYTES = 2**30  # arrays up to this size are read into memory, larger ones stay mapped
ACCELERATOR_SHARE = 0.5  # of an accelerator's free memory that images may take

RESERVED_AT_ONCE = 2**24
UNFINISHED = re.compile(r"\.(?P<name>.+-[0-9a-f]{16})\.[a-z0-9_]{8}", re.ASCII)  # also of version 0.1, by mkdtemp

Create = Callable[[tuple[int, ...]], NDArray[np.uint8]]


@dataclass(frozen=True)
class Conversion:
    """A finished conversion: its bytes, mapped read-only, and the facts that its maker noted."""

    folder: Path
    images: NDArray[np.uint8]
    facts: dict[str, Any]


def cached_conversion(name: str, source_sha256: str, make: Callable[[Create], dict[str, Any]]) -> Conversion:
    """The conversion of a source, made by `make` where there is none yet.

    `name` names the set and every choice that decides the bytes, such as a crop. `make(create)` calls `create(shape)` once
    for the array (mapped, writable) that it fills, and returns facts that JSON can hold. Where it raises, nothing is left.

    Raises OSError where the cache folder cannot be written or the disk is full.
    """
    cache = cache_folder()
    folder = cache / f"{name}-{source_sha256[:16]}"
    found = _open(folder, source_sha256)
    if found is not None:
        return found
    try:
        cache.mkdir(parents=True, exist_ok=True)
        lock = FileLock(cache / f".{folder.name}.lock").acquire()
    except OSError as error:
        raise OSError(
            error.errno,
            f"{name} has to be converted once, and the cache cannot be written ({error.strerror}). Set "
            "DISBENCH_CACHE to a writable folder",
            str(cache),
        ) from error
    with lock:
        found = _open(folder, source_sha256)  # another process may have made it while this one waited
        if found is not None:
            return found
        _log.info("Converting %s once, into %s", name, folder)
        for stale in cache.glob(f".{folder.name}.*/"):  # of a killed process, because this one holds the lock
            shutil.rmtree(stale, ignore_errors=True)
        remove_unfinished_conversions()
        partial = cache / f".{folder.name}.{secrets.token_hex(4)}"
        partial.mkdir()  # with the user's umask, unlike mkdtemp: caches are shared
        try:
            _make(partial, source_sha256, make)
            shutil.rmtree(folder, ignore_errors=True)  # of another format, or damaged
            partial.rename(folder)
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise
    found = _open(folder, source_sha256)
    if found is None:
        raise OSError(f"{folder} was written and cannot be read back.")
    return found


def remove_unfinished_conversions() -> None:
    """Remove what killed processes left of conversions of other files or versions. What is in use is left alone."""
    with suppress(OSError):  # no cache folder, or one that may only be read
        for path in cache_folder().glob(".*/"):
            match = UNFINISHED.fullmatch(path.name)
            if match is None:
                continue
            with suppress(Timeout), FileLock(cache_folder() / f".{match['name']}.lock", timeout=0):
                shutil.rmtree(path, ignore_errors=True)


def _make(folder: Path, source_sha256: str, make: Callable[[Create], dict[str, Any]]) -> None:
    path = folder / "images.npy"
    created: list[NDArray[np.uint8]] = []

    def create(shape: tuple[int, ...]) -> NDArray[np.uint8]:
        created.append(allocated_array(path, shape, "The conversion", "DISBENCH_CACHE"))
        return created[-1]

    facts = make(create)
    (array,) = created
    shape = list(array.shape)
    array.flush()  # type: ignore[attr-defined]
    meta = {"format": FORMAT, "source_sha256": source_sha256, "images_sha256": checksum(path), "shape": shape}
    write_atomic(folder / "meta.json", (json.dumps({**meta, "facts": facts}, indent=1) + "\n").encode())


def allocated_array(path: Path, shape: tuple[int, ...], what: str, variable: str) -> NDArray[np.uint8]:
    """A mapped, writable npy file whose bytes are all reserved on the disk.

    Raises OSError that names `what` and the environment variable `variable` where the disk is too full. A mapped file that
    outgrows a disk or a quota later would end the process instead, for a page of memory cannot report an error.
    """
    needed, free = math.prod(shape), shutil.disk_usage(path.parent).free
    room = f"{what} needs {needed / 1e9:,.3f} GB in {path.parent.parent}"
    advice = f"Make room, or set {variable} to a folder with more."
    if needed > free:
        raise OSError(errno.ENOSPC, f"{room} and {free / 1e9:,.3f} GB are free. {advice}")
    array = np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=shape)
    try:
        _reserve(path)
    except OSError as error:
        raise OSError(error.errno, f"{room}, which cannot be reserved ({error.strerror}). {advice}") from error
    return array


def _reserve(path: Path) -> None:
    """Give every byte of a new file of zeros its place on the disk."""
    with path.open("r+b") as file:
        size = path.stat().st_size
        if hasattr(os, "posix_fallocate"):
            try:
                os.posix_fallocate(file.fileno(), 0, size)
                return
            except OSError as error:
                if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS):
                    raise
        for start in range(0, size, RESERVED_AT_ONCE):  # a file system or a system without such a call
            file.seek(start)
            content = file.read(RESERVED_AT_ONCE)
            file.seek(start)
            file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _open(folder: Path, source_sha256: str) -> Conversion | None:
    """The conversion in `folder`; None where there is none of this source and format, or it is not whole."""
    try:
        meta = json.loads((folder / "meta.json").read_text(encoding="utf-8"))
        images = np.load(folder / "images.npy", mmap_mode="r", allow_pickle=False)
        whole = (
            meta["format"] == FORMAT
            and meta["source_sha256"] == source_sha256
            and images.dtype == np.uint8
            and list(images.shape) == meta["shape"]
        )
        return Conversion(folder, images, meta["facts"]) if whole else None
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        _log.warning("%s is damaged and is made again: %s", folder, error)
        return None


class ImageStore:
    """Bytes (N, ...) by row, on the device of the rows.

    On the CPU, arrays up to 1 GiB are read into memory, and larger ones stay mapped, so that opening them costs nothing and
    the operating system keeps what is used. `place` puts the whole array on an accelerator where it takes no more than
    half of the memory that is free there. A pickle names the file that the array was mapped from, for another process of
    this machine to map; one that was never in a file goes along.
    """

    def __init__(self, array: NDArray[np.uint8]) -> None:
        self._source = _in_file(array)
        array = np.asarray(array)
        self._array = np.array(array) if array.nbytes <= HELD_BYTES else array
        self._resident: torch.Tensor | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        return (ImageStore, (self._array,)) if self._source is None else (_from_file, self._source)

    def __len__(self) -> int:
        return len(self._array)

    def preferred_device(self, device: torch.device) -> torch.device:
        """Where `take` wants its rows when the bytes are needed on `device`: there where the array fits, else the CPU."""
        if device.type == "cpu":
            return device
        device = torch.empty(0, device=device).device  # "cuda" is one of "cuda:0", "cuda:1", ...
        if self._resident is None or self._resident.device != device:
            if self._array.nbytes > ACCELERATOR_SHARE * free_memory(device):
                return torch.device("cpu")
            self._resident = _to_device(self._array, device)
        return device

    def take(self, rows: torch.Tensor) -> torch.Tensor:
        """The rows (B,), int64, as uint8 (B, ...) on their device. Raises IndexError outside 0..N-1."""
        if self._resident is not None and rows.device == self._resident.device:
            check_indices(rows, len(self._array))
            return self._resident[rows]
        here = rows.cpu()
        check_indices(here, len(self._array))  # after the move: the values of rows on an accelerator are not looked at
        return torch.from_numpy(self._array[here.numpy()]).to(rows.device)


class StoredDataset(FactorDataset):
    """A dataset whose images (N, C, H, W) are in an `ImageStore`."""

    _images: ImageStore

    def preferred_device(self, device: torch.device) -> torch.device:
        return self._images.preferred_device(device)

    def batch(self, indices: torch.Tensor) -> torch.Tensor:
        return self._images.take(indices)


def _in_file(array: NDArray[np.uint8]) -> tuple[str, int, tuple[int, ...]] | None:
    """The file of a mapped array, the byte there that it begins at, and its shape; None where it is not one run of a file."""
    whole: Any = array
    while isinstance(whole.base, np.ndarray):
        whole = whole.base
    if not isinstance(whole, np.memmap) or whole.filename is None or not array.flags.c_contiguous:
        return None
    # A part of a mapped array still says the whole one's offset.
    start = whole.offset + array.ctypes.data - whole.ctypes.data
    return str(whole.filename), start, array.shape


def _from_file(path: str, start: int, shape: tuple[int, ...]) -> ImageStore:
    return ImageStore(np.memmap(path, dtype=np.uint8, mode="r", offset=start, shape=shape))


def free_memory(device: torch.device) -> float:
    """Free bytes of an accelerator; 0 where torch cannot tell."""
    return float(torch.cuda.mem_get_info(device)[0]) if device.type == "cuda" else 0.0


def _to_device(array: NDArray[np.uint8], device: torch.device) -> torch.Tensor:
    """Copied in pieces of 256 MB, so that a mapped array is never in memory twice."""
    resident = torch.empty(array.shape, dtype=torch.uint8, device=device)
    rows = max(1, 2**28 // max(1, array[0].nbytes))
    for start in range(0, len(array), rows):
        resident[start : start + rows] = torch.from_numpy(np.array(array[start : start + rows])).to(device)
    return resident
