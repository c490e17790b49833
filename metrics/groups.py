"""Rows that share a factor value, which replace rendering new images with a fixed factor.

On a full grid of factors the two have the same distribution. Rows are sorted by factor value once, and every draw is
a whole array of row indices. **Rows are drawn with replacement**, so a group may be smaller than what is drawn from
it; the other protocol in use, shuffled cycles through the group, differs from this where groups are small. A value is
drawn uniformly among the values that at least two rows share, however frequent they are.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from disbench.metrics.table import NotApplicable, Table

DRAWS_AT_ONCE = (
    1 << 14
)  # a function of neither N nor D: memory stays bounded, and a code more leaves the draws as they were


class Groups(NamedTuple):
    """One factor's rows: value v has the rows `order[start[v] : start[v] + size[v]]`."""

    order: NDArray[np.intp]  # (N,)
    start: NDArray[np.intp]  # (V,)
    size: NDArray[np.intp]  # (V,)

    def rows(self, value: int) -> NDArray[np.intp]:
        """All rows of one value."""
        return self.order[self.start[value] : self.start[value] + self.size[value]]

    def draw_values(self, shape: tuple[int, ...], rng: np.random.Generator) -> NDArray[np.intp]:
        """Values uniform among those of at least two rows."""
        shared = np.flatnonzero(self.size > 1)
        values: NDArray[np.intp] = shared[rng.integers(len(shared), size=shape)]
        return values

    def draw_rows(self, values: NDArray[np.intp], rng: np.random.Generator) -> NDArray[np.intp]:
        """Draw a row for each entry of `values`, uniform among the value's rows."""
        rows: NDArray[np.intp] = self.order[self.start[values] + _below(self.size[values], rng)]
        return rows

    def draw_pairs(
        self, values: NDArray[np.intp], rng: np.random.Generator
    ) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Two different rows for each entry of `values`, uniform among the value's pairs of rows."""
        size = self.size[values]
        first = _below(size, rng)
        second = _below(size - 1, rng)
        second += second >= first
        return self.order[self.start[values] + first], self.order[self.start[values] + second]


def _below(sizes: NDArray[np.intp], rng: np.random.Generator) -> NDArray[np.intp]:
    """Draw a whole number in 0 .. size - 1 for each size; numpy's own draw is five times slower where the sizes differ.

    A draw below 1 times a size below 2**52 rounds to less than the size, and no value is favored by more than one in 2**53.
    """
    return (rng.random(sizes.shape) * sizes).astype(np.intp)


def group_rows(values: NDArray[np.intp], size: int) -> Groups:
    """Sort rows by `values (N,)` in 0 .. size - 1, each of which occurs."""
    counts = np.bincount(values, minlength=size)
    return Groups(np.argsort(values, kind="stable"), np.cumsum(counts) - counts, counts)


def all_groups(table: Table) -> list[Groups]:
    """Group the rows of every varying factor. Raises NotApplicable for a factor that no two rows agree on."""
    groups = [group_rows(table.labels[:, k], int(size)) for k, size in enumerate(table.sizes)]
    for column, group in zip(table.columns, groups, strict=True):
        if group.size.max() < 2:
            raise NotApplicable(
                f"factor {column} cannot be fixed: no two rows share a value of it. Set factor_bins to bin a continuous one."
            )
    return groups


def points_by_factor(targets: NDArray[np.intp], draws: int) -> Iterator[tuple[int, NDArray[np.intp]]]:
    """Iterate over the points that fix each factor, about DRAWS_AT_ONCE draws at a time: (factor, indices into `targets`)."""
    step = max(1, DRAWS_AT_ONCE // draws)
    for k in range(int(targets.max()) + 1):
        points = np.flatnonzero(targets == k)
        for start in range(0, len(points), step):
            yield k, points[start : start + step]


def require_counts(**counts: int) -> None:
    """Raise ValueError unless every named count of draws is positive."""
    for name, count in counts.items():
        if count < 1:
            raise ValueError(f"sampling needs {name} >= 1, got {name}={count}.")


def require_two_factors(columns: Sequence[int], metric: str) -> None:
    """Raise NotApplicable unless two factors vary, since guessing which one is fixed could not fail."""
    if len(columns) < 2:
        raise NotApplicable(
            f"{metric} guesses which factor is fixed and needs two that vary, got one (column {columns[0]})."
        )
