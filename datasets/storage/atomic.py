"""Write a file completely or not at all. Standard library only, so that every package can use it.

A new file is written under a hidden, random name in the same folder and then renamed over the old one. A reader therefore
sees the old file or the new one, and a full disk or a killed process leaves the old file as it was.
"""

import io
import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# Version 0.1 wrote ".name.<process number>".
TEMPORARY = re.compile(r"\.disbench-[0-9a-f]{16}\.tmp|\..+\.\d+")


@contextmanager
def replacing(path: Path, *, durable: bool = True) -> Iterator[Path]:
    """Yield a path to write to; when the block ends without an error, that file takes the place of `path`.

    The yielded path does not exist yet; its folder is created. A symbolic link is followed, so the link stays and its
    target is replaced; a link to itself is replaced. A `path` that is not a regular file, such as /dev/stdout or a named
    pipe, cannot be replaced and is yielded itself. With `durable` the file survives a power cut once the block has ended.
    """
    # Up to Python 3.12, Path.resolve raises for a link to itself.
    target = Path(os.path.realpath(path)) if path.is_symlink() else path
    if target.exists() and not target.is_file():
        yield target
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    # The random part keeps apart processes on several machines or in several containers that share a folder.
    temporary = target.with_name(f".disbench-{secrets.token_hex(8)}.tmp")
    try:
        yield temporary
        if durable:
            _flush_to_disk(temporary)
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


def write_atomic(path: Path, content: bytes | io.BytesIO, *, durable: bool = True) -> None:
    """Write `content` to `path` completely or not at all; see `replacing`.

    A BytesIO is written without a copy. Nothing here keeps a view of its buffer: if writing fails, the traceback would keep the
    view, too, and Python 3.12.1 crashes when it collects the two.
    """
    with replacing(path, durable=durable) as temporary, temporary.open("wb") as file:
        file.write(content.getbuffer() if isinstance(content, io.BytesIO) else content)


def set_aside(path: Path, why: str) -> Path:
    """Rename a file that is in the way of a new one to `name.why-1`, or the next number that is free, and return that path."""
    number = 1
    while os.path.lexists(kept := path.with_name(f"{path.name}.{why}-{number}")):
        number += 1
    return path.rename(kept)


def remove_temporary_files(folder: Path) -> None:
    """Remove what killed processes were writing directly in `folder`. Only safe while no other process writes there."""
    for path in folder.glob(".*"):
        if TEMPORARY.fullmatch(path.name) and path.is_file():
            path.unlink(missing_ok=True)


def _flush_to_disk(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
