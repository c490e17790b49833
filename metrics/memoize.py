"""Reuse the last results of a computation that several metrics share, found by the content of their table.

Six metrics read one array of counts and two read one matrix of nearest-neighbor estimates, but each is called by itself.
A result is kept under a digest of the codes and factors, so that equal tables share it, whatever arrays hold them.
Errors are not kept.
"""

import functools
from collections.abc import Callable
from threading import Lock
from typing import Any, Concatenate, ParamSpec, TypeVar

from disbench.metrics.table import Table

KEPT = 8  # a table, its floor and its ceiling, with other bins; a result is small
Options = ParamSpec("Options")
Result = TypeVar("Result")


def recent(compute: Callable[Concatenate[Table, Options], Result]) -> Callable[Concatenate[Table, Options], Result]:
    """`compute(table, ...)` that remembers its last KEPT results, from any thread.

    Several callers get one result: it must be immutable, and the options hashable. It must not depend on deviations or groups.
    """
    results: dict[Any, Result] = {}
    lock = Lock()

    def recalled(table: Table, /, *args: Options.args, **options: Options.kwargs) -> Result:
        key = (table.digest, args, tuple(sorted(options.items())))
        with lock:
            if key in results:
                results[key] = results.pop(key)
                return results[key]
        result = compute(table, *args, **options)
        with lock:
            results[key] = result
            while len(results) > KEPT:
                del results[next(iter(results))]
        return result

    functools.update_wrapper(recalled, compute)
    return recalled
