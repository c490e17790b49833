"""Classify the failure of a trial for its record, and suggest what to do."""

import errno
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from disbench.datasets.storage.atomic import remove_temporary_files
from disbench.reports.records import Failure

DISK_FULL_ERRNOS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
# What a RuntimeError for want of memory says: of torch's CPU allocator, of CUDA and Metal, of cuBLAS and cuDNN.
OUT_OF_MEMORY_SIGNS = ("DefaultCPUAllocator", "out of memory", "STATUS_ALLOC_FAILED")
ADVICE = {
    "diverged": "Diverged: the trial has no result. Try a smaller lr, or a smaller weight of the regulariser.",
    "out of memory": (
        "Out of memory: try a smaller batch_size or hidden_dim, precision bf16-mixed, fewer rows to score, or fewer trials at "
        "once on this device."
    ),
}


def causes(error: BaseException) -> Iterator[BaseException]:
    """The error, then what it was raised from or while handling."""
    found: BaseException | None = error
    while found is not None:
        yield found
        found = found.__cause__ or found.__context__


def classify(error: BaseException) -> Failure:
    """The kind of a failure, by types where there is one and by words where a library has none."""
    for each in causes(error):
        words = str(each)
        # HDF5 writes the number of the system's error into its text.
        if isinstance(each, OSError) and (each.errno in DISK_FULL_ERRNOS or f"errno = {errno.ENOSPC}" in words):
            return "disk full"
        if isinstance(each, MemoryError | torch.OutOfMemoryError) or (
            isinstance(each, OSError) and each.errno == errno.ENOMEM
        ):
            return "out of memory"
        if isinstance(each, RuntimeError) and any(sign in words for sign in OUT_OF_MEMORY_SIGNS):
            return "out of memory"
        if isinstance(each, FloatingPointError):
            return "diverged"
    return "error"


def told(error: BaseException) -> str:
    """Write the traceback of an error, and advice on its kind."""
    return "".join(traceback.format_exception(error)) + ADVICE.get(classify(error), "")


@contextmanager
def disk_full_as_one_error(folder: Path) -> Iterator[None]:
    """Turn a full disk, whoever met it, into one OSError that says what to do; no half-written file stays in `folder`."""
    try:
        yield
    except Exception as error:
        if classify(error) != "disk full":
            raise
        remove_temporary_files(folder)
        raise OSError(
            errno.ENOSPC,
            f"There is no room for the files of {folder.name}. Make room and run the same command again: it goes on from "
            "what is written. The folder is",
            str(folder),
        ) from error
