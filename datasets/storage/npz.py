"""Read arrays of an npz file in parts and without pickle.

An npz is a zip of npy files. A member that was stored uncompressed lies in the file as it would in memory, and can be
mapped where it is; a compressed one can only be read from its beginning.
"""

import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

LOCAL_HEADER = 30  # bytes of a zip member's local header before its two fields of variable length


def check_zip(path: Path) -> None:
    """Raise ValueError where the file is no zip at all, which is what a saved web page or a cut-off download is."""
    if not zipfile.is_zipfile(path):
        raise ValueError("it is not a zip file, cut short or perhaps a web page saved in its place")


def keys(path: Path) -> list[str]:
    """The names of the arrays in an npz."""
    check_zip(path)
    with zipfile.ZipFile(path) as archive:
        return [name.removesuffix(".npy") for name in archive.namelist()]


SMALL_BYTES = 2**31  # far more than any table of labels takes


def small_array(path: Path, key: str, most: int = SMALL_BYTES) -> NDArray[Any]:
    """An array of up to `most` bytes and a header, read whole.

    Raises ValueError for one of Python objects, a pickle is never opened, and for any other member.
    """
    check_zip(path)
    with zipfile.ZipFile(path) as archive:
        if f"{key}.npy" in archive.namelist() and (size := archive.getinfo(f"{key}.npy").file_size) > most + 2**16:
            raise ValueError(f"{key} has {size} bytes where {most} are the most")
    with np.load(path, allow_pickle=False) as archive:
        if key not in archive.files:
            raise ValueError(f"it lacks {key} and has {', '.join(archive.files)}")
        array: NDArray[Any] = archive[key]
        if not isinstance(array, np.ndarray):
            raise ValueError(f"{key} is not an array")  # numpy gives the bytes of a member that it does not know
        return array


def mapped_bytes(path: Path, key: str) -> NDArray[np.uint8] | None:
    """A uint8 array mapped where it lies in the npz, read-only; None where it is compressed."""
    check_zip(path)
    with zipfile.ZipFile(path) as archive:
        member = _member(archive, key)
        if member.compress_type != zipfile.ZIP_STORED:
            return None
        with archive.open(member) as file:
            shape = _byte_shape(file, key)
            header = file.tell()
    with path.open("rb") as file:
        file.seek(member.header_offset)
        local = file.read(LOCAL_HEADER)
    # The local copy of the name and extra field may differ in length from the central one.
    name_length, extra_length = np.frombuffer(local, dtype="<u2", count=2, offset=26).tolist()
    start = member.header_offset + LOCAL_HEADER + name_length + extra_length + header
    if member.file_size != header + int(np.prod(shape, dtype=np.int64)):
        raise ValueError(f"{key} has {member.file_size - header} bytes where its shape {shape} needs another number")
    return np.memmap(path, dtype=np.uint8, mode="r", offset=start, shape=shape)


def byte_shape(path: Path, key: str) -> tuple[int, ...]:
    """The shape of a uint8 array in C order, from its header. Raises ValueError for any other array."""
    check_zip(path)
    with zipfile.ZipFile(path) as archive, archive.open(_member(archive, key)) as file:
        return _byte_shape(file, key)


def rows_in_chunks(path: Path, key: str, rows: int) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    """A uint8 array piece by piece: (first row, up to `rows` rows). Its checksum was compared once the last is out."""
    check_zip(path)
    with zipfile.ZipFile(path) as archive, archive.open(_member(archive, key)) as file:
        shape = _byte_shape(file, key)
        width = int(np.prod(shape[1:], dtype=np.int64))
        for start in range(0, shape[0], rows):
            count = min(rows, shape[0] - start)
            content = file.read(count * width)
            if len(content) != count * width:
                raise ValueError(f"{key} ends within its row {start + len(content) // max(1, width)} of {shape[0]}")
            yield start, np.frombuffer(content, dtype=np.uint8).reshape(count, *shape[1:])
        # zipfile is only sure to have compared the checksum once it was asked to read beyond the last byte.
        if file.read(1):
            raise ValueError(f"{key} holds more than its {shape[0]} rows")


def _member(archive: zipfile.ZipFile, key: str) -> zipfile.ZipInfo:
    if f"{key}.npy" not in archive.namelist():
        raise ValueError(
            f"it lacks {key} and has {', '.join(name.removesuffix('.npy') for name in archive.namelist())}"
        )
    return archive.getinfo(f"{key}.npy")


def _byte_shape(member: IO[bytes], key: str) -> tuple[int, ...]:
    """The shape in an npy header; leaves `member` at the first element."""
    version = np.lib.format.read_magic(member)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, fortran_order, dtype = read(member)
    if dtype != np.uint8 or fortran_order:
        raise ValueError(
            f"{key} needs to be uint8 in C order, got {dtype} in {'Fortran' if fortran_order else 'C'} order"
        )
    return tuple(int(length) for length in shape)
