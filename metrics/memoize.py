"""The last results of a computation that several metrics share, found again by the content of their table.

Six metrics read one array of counts and two read one matrix of nearest-neighbour estimates, but each is called by itself
with plain arrays. Arrays can change in place between two calls, so a result is kept under a digest of their bytes and
never under their identity. Errors are not kept.
"""

import functools
import hashlib
from collections.abc import Callable
from threading import Lock
from typing import Any, Concatenate, ParamSpec, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from disbench.metrics.arrays import to_array

ROWS_AT_ONCE = 1 << 14  # of an array that is not contiguous and must be copied
KEPT = 8  # a table, its floor and its ceiling, with other bins; a result is small
Options = ParamSpec("Options")
Result = TypeVar("Result")


def recent(
    compute: Callable[Concatenate[ArrayLike, ArrayLike, Options], Result],
) -> Callable[Concatenate[ArrayLike, ArrayLike, Options], Result]:
    """`compute(codes, factors, ...)` that remembers its last KEPT results, from any thread.

    Several callers get one result: it must be immutable, and the options hashable.
    """
    results: dict[Any, Result] = {}
    lock = Lock()

    def recalled(codes: ArrayLike, factors: ArrayLike, /, *args: Options.args, **options: Options.kwargs) -> Result:
        codes, factors = to_array(codes), to_array(factors)
        if any(array.ndim == 0 or array.dtype.kind not in "biuf" for array in (codes, factors)):
            return compute(codes, factors, *args, **options)  # which refuses what has no digest, such as dates
        key = (_digest(codes), _digest(factors), args, tuple(sorted(options.items())))
        with lock:
            if key in results:
                results[key] = results.pop(key)
                return results[key]
        result = compute(codes, factors, *args, **options)
        with lock:
            results[key] = result
            while len(results) > KEPT:
                del results[next(iter(results))]
        return result

    functools.update_wrapper(recalled, compute)
    return recalled


def _digest(array: NDArray[Any]) -> tuple[str, tuple[int, ...], bytes]:
    """What identifies an array. SHA-1 is the fastest digest of the standard library that no two tables share by chance."""
    digest = hashlib.sha1(usedforsecurity=False)
    step = len(array) if array.flags.c_contiguous else ROWS_AT_ONCE
    for start in range(0, len(array), max(1, step)):
        digest.update(np.ascontiguousarray(array[start : start + step]).data)
    return array.dtype.str, array.shape, digest.digest()
