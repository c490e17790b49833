"""Rows of an image that was encoded several times. A probe that is judged on rows that it was not fitted on must not see them.

Equal codes alone do not show this: quantized codes of different images are often equal. Rows that are equal in all codes and
in all factors count as one image in two cases:

    a code is continuous: its values hardly recur among the distinct rows
    the table repeats itself: the number of times that a row occurs has a common divisor above 1, and each row counts
    as often as it occurs, divided by that

Neither holds on a small grid of factors that codes repeat exactly. So a table of few distinct rows counts as it is.
"""

import numpy as np
from numpy.typing import NDArray

from disbench.metrics.memoize import recent
from disbench.metrics.table import Table

FEWEST = 100  # distinct rows, or else equal rows are different images
FOR_EACH_VALUE = 5  # distinct rows for each value of a factor, or else its values cannot be learned from other rows
RECURRING = 0.5  # a code with fewer values, as a share of the distinct rows, is discrete


@recent
def rows_of_images(table: Table) -> NDArray[np.intp]:
    """Choose the rows of a table, ascending, so that no image is in it twice; all of them unless it repeats images.

    Without factors rows that are equal in all codes are one image where a code is continuous.
    """
    codes = table.codes + 0.0  # -0.0 is 0.0
    chosen = np.arange(len(codes))
    if len(table.live_codes) and all(len(np.unique(column)) < len(codes) for column in codes.T):
        whole = np.concatenate([codes, table.labels], axis=1)
        rows = np.ascontiguousarray(whole).view(np.dtype((np.void, whole.itemsize * whole.shape[1])))[:, 0]
        _, first, row, counts = np.unique(rows, return_index=True, return_inverse=True, return_counts=True)
        values = max((size for size, many in zip(table.sizes, table.continuous, strict=True) if not many), default=0)
        if len(first) >= max(FEWEST, FOR_EACH_VALUE * values):
            values_of = [len(np.unique(column)) for column in codes[first][:, table.live_codes].T]
            continuous = not table.quantized and max(values_of) > RECURRING * len(first)
            once = np.flatnonzero(_times_before(row, counts) % np.gcd.reduce(counts) == 0)
            chosen = np.sort(first) if continuous else once
    chosen.flags.writeable = False
    return chosen


def _times_before(row: NDArray[np.intp], counts: NDArray[np.intp]) -> NDArray[np.intp]:
    """How often the same row occurs before each row; `row (N,)` in 0 .. U - 1 has `counts (U,)`."""
    times = np.empty(len(row), dtype=np.intp)
    times[np.argsort(row, kind="stable")] = np.arange(len(row)) - np.repeat(np.cumsum(counts) - counts, counts)
    return times
