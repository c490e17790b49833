"""Use one thread for sums whose last digits decide a score, without searching for thread pools at every call."""

import sys
from contextlib import AbstractContextManager
from functools import cache
from typing import Any

from threadpoolctl import ThreadpoolController  # type: ignore[import-untyped]


def one_thread() -> AbstractContextManager[Any]:
    """Make BLAS and OpenMP use one thread in a context: threaded sums round differently from run to run.

    Finding the libraries of a process takes milliseconds and setting their threads microseconds, so they are found once,
    and once more when scikit-learn has been imported: NumPy and SciPy load theirs when `disbench.metrics` is imported, and
    scikit-learn brings its own on first use.
    """
    context: AbstractContextManager[Any] = _controller("sklearn.utils" in sys.modules).limit(limits=1)
    return context


@cache
def _controller(with_scikit_learn: bool) -> ThreadpoolController:
    return ThreadpoolController()
