"""An operating-system lock on the folder of a trial, so that only one process runs it. The lock ends with its process."""

import errno
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

log = logging.getLogger(__name__)
LOCK = ".lock"
NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)


@contextmanager
def try_lock(folder: Path) -> Iterator[bool]:
    """Whether this process has the trial's folder to itself within the block; False where another process has it.

    A file system without locks is used without them, with a warning.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / LOCK)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        yield False
        return
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise
        log.warning("%s is on a file system without locks. Start one disbench at a time in it.", folder.parent)
        yield True
        return
    try:
        yield True
    finally:
        lock.release()
