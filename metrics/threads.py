"""One thread for sums whose last digits decide a score, without the price of looking for thread pools at every call."""

from contextlib import AbstractContextManager
from functools import cache
from typing import Any

from threadpoolctl import ThreadpoolController  # type: ignore[import-untyped]


def one_thread() -> AbstractContextManager[Any]:
    """A context in which BLAS and OpenMP use one thread: threaded sums round differently from run to run.

    Finding the libraries of a process takes milliseconds and setting their threads microseconds, so they are found once.
    That is enough, because NumPy, SciPy and scikit-learn load theirs when `disbench.metrics` is imported.
    """
    context: AbstractContextManager[Any] = _controller().limit(limits=1)
    return context


@cache
def _controller() -> ThreadpoolController:
    return ThreadpoolController()
