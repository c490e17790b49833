"""Make or replace a folder completely or not at all, and clean up after killed processes.

A new folder `<root>/<name>` is filled as `<root>/.<name>.<8 hex digits>`, which a lock file inside marks as in use. An old
folder makes way as `.<name>.<8 hex digits>.old` just before the new one is renamed. A process that is killed leaves either
behind; `clean_up` removes the unfinished folder, and renames the old one back where the new one did not arrive.
"""

import re
import shutil
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

LOCK = ".lock"
STAGED = re.compile(r"\.(?P<name>[a-z0-9_]+)\.(?P<number>[0-9a-f]{8})(?P<old>\.old)?", re.ASCII)


@contextmanager
def new_folder(target: Path, check_free: Callable[[], None]) -> Iterator[Path]:
    """Yield an empty folder that takes the place of `target` when the block ends without an error.

    `check_free` raises where `target` may not be replaced. After an error nothing has changed.
    """
    base = target.parent
    base.mkdir(parents=True, exist_ok=True)
    staged = base / f".{target.name}.{uuid.uuid4().hex[:8]}"
    old = staged.with_name(f"{staged.name}.old")
    unlocked = base / f".{uuid.uuid4().hex}.new"  # renamed once it is locked, or a clean-up might take it for abandoned
    unlocked.mkdir()
    lock = FileLock(unlocked / LOCK)
    try:
        with lock:
            unlocked.rename(staged)
            yield staged
            check_free()  # another process may have made one meanwhile
            if target.exists():
                target.rename(old)
            staged.rename(target)
            (target / LOCK).unlink(missing_ok=True)
    except BaseException:
        for left in (unlocked, staged):
            shutil.rmtree(left, ignore_errors=True)
        if old.exists() and not target.exists():
            old.rename(target)
        raise
    shutil.rmtree(old, ignore_errors=True)


def clean_up(root: Path) -> None:
    """Bring folders back that a killed process had renamed, and remove the unfinished ones. What is in use is left alone."""
    with suppress(OSError):  # a root that is not there, or that may only be read
        entries = sorted(root.iterdir())  # an unfinished folder comes before the old one that made way for it
        staged = [(entry, match) for entry in entries if (match := STAGED.fullmatch(entry.name)) and entry.is_dir()]
        for entry, match in staged:
            new = entry.with_name(entry.name.removesuffix(".old"))
            if _in_use(new):
                continue
            target = root / match["name"]
            if match["old"] and not target.exists():
                entry.rename(target)
            else:
                shutil.rmtree(entry, ignore_errors=True)


def _in_use(folder: Path) -> bool:
    if not (folder / LOCK).exists():
        return False
    try:
        with FileLock(folder / LOCK, timeout=0):
            return False
    except (Timeout, OSError, NotImplementedError):
        return True
