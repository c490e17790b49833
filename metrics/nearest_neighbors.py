"""Mutual information of continuous codes with discrete factors by nearest neighbors: Ross 2014, PLoS ONE 9(2), e87357.

    I(z; v) = psi(N) + <psi(k)> - <psi(N_v)> - <psi(m)>                                        nats

k is the number of neighbors, N_v the number of rows with the row's own value, and m the number of rows closer than the
row's k-th neighbor among those. This is the estimate of scikit-learn's `mutual_info_classif`, with the same noise
against ties. A code has one dimension, so one sort for all factors replaces a search tree for each value of each factor.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy.special import digamma

from disbench.metrics.information import standardised

NOISE = 1e-10  # in units of a code's mean absolute value, or of its deviation if that is larger
DRAWS_AT_ONCE = 1 << 24  # numbers of noise in memory


def information_about_labels(
    codes: NDArray[np.float64], labels: NDArray[np.intp], neighbors: int, seed: int
) -> NDArray[np.float64]:
    """`codes (N, D)`, `labels (N, K)` -> `(K, D)`: the estimates in nats, 0 where an estimate is negative.

    Every code needs two values. Each column of labels holds whole numbers from 0 and needs one that occurs twice; rows
    whose label occurs once do not count.
    """
    factors = [_Factor(column, neighbors) for column in labels.T]
    psi = digamma(np.arange(len(codes) + 1.0))
    information = np.empty((labels.shape[1], codes.shape[1]))
    for j, noise in enumerate(_noise(codes.shape, seed)):
        code = standardised(codes[:, [j]])[0][:, 0]
        code += NOISE * max(1.0, float(np.abs(code).mean())) * noise
        order = np.argsort(code)
        for k, factor in enumerate(factors):
            information[k, j] = factor.information(code, order, psi)
    return information


def _noise(shape: tuple[int, int], seed: int) -> Iterator[NDArray[np.float64]]:
    """Iterate over the columns of one draw of standard normal numbers; a large draw is repeated for every few columns."""
    rows, columns = shape
    step = max(1, DRAWS_AT_ONCE // rows)
    rows_at_once = max(1, DRAWS_AT_ONCE // columns)
    for first in range(0, columns, step):
        generator = np.random.RandomState(seed)
        kept = np.empty((min(step, columns - first), rows))
        for row in range(0, rows, rows_at_once):
            draw = generator.standard_normal((min(rows_at_once, rows - row), columns))
            kept[:, row : row + len(draw)] = draw[:, first : first + step].T
        yield from kept


class _Factor:
    """What the estimates of one factor with all codes share. Rows are in the order of their labels."""

    def __init__(self, labels: NDArray[np.intp], neighbors: int) -> None:
        counts = np.bincount(labels)
        self.labels = labels.astype(np.uint16 if len(counts) <= 1 << 16 else np.intp)  # 16 bits sort in linear time
        self.alone = (counts == 1)[labels] if (counts == 1).any() else None  # (N,)
        counts = counts[counts > 1]  # (V,)
        self.rows, self.neighbors = int(counts.sum()), neighbors
        self.first = np.repeat(np.cumsum(counts) - counts, counts)  # (rows,): of the rows with the same label
        self.last = np.repeat(np.cumsum(counts) - 1, counts)
        self.few = np.flatnonzero(self.last - self.first < neighbors)
        share = counts / self.rows
        self.constant = digamma(self.rows) + share @ (digamma(np.minimum(neighbors, counts - 1)) - digamma(counts))

    def information(self, code: NDArray[np.float64], order: NDArray[np.intp], psi: NDArray[np.float64]) -> float:
        """Estimate the information in `code (N,)`, which `order` sorts; `psi[i]` is the digamma function of i."""
        if self.alone is not None:
            order = order[~self.alone[order]]
        by_label = order[np.argsort(self.labels[order], kind="stable")]
        closer = rows_within(code[order], code[by_label], np.nextafter(self.distances(code[by_label]), 0.0))
        return max(0.0, float(self.constant - psi[closer].mean()))

    def distances(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """`values (rows,)`, ascending for each label -> the distance to the k-th neighbor of the same label.

        A row's k nearest neighbors and the row itself are k + 1 consecutive values. Where a label has fewer rows, all of
        them are neighbors.
        """
        k, distance = self.neighbors, np.full(len(values), np.inf)
        windows = len(values) - k
        if windows > 0:
            inside = self.first[:windows] == self.first[k:]  # both ends of a window have the same label
            low, high = np.where(inside, values[:windows], -np.inf), np.where(inside, values[k:], np.inf)
            for place in range(k + 1):
                value, nearest = values[place : place + windows], distance[place : place + windows]
                np.minimum(nearest, np.maximum(value - low, high - value), out=nearest)
        few = self.few
        distance[few] = np.maximum(values[few] - values[self.first[few]], values[self.last[few]] - values[few])
        return distance


def rows_within(
    ascending: NDArray[np.float64], values: NDArray[np.float64], radius: NDArray[np.float64]
) -> NDArray[np.intp]:
    """How many of `ascending (N,)` are at most `radius (M,)` away from each of `values (M,)`.

    A search for value + radius finds the border up to the rounding of that sum; the differences themselves decide.
    """
    fenced = np.concatenate([[-np.inf], ascending, [np.inf]])
    first = np.searchsorted(fenced, values - radius, side="left")
    last = np.searchsorted(fenced, values + radius, side="right") - 1
    while True:
        outside = (values - fenced[first] > radius).astype(np.intp)
        move = outside - (values - fenced[first - 1] <= radius)
        if not move.any():
            break
        first += move
    while True:
        outside = (fenced[last] - values > radius).astype(np.intp)
        move = (fenced[last + 1] - values <= radius) - outside
        if not move.any():
            break
        last += move
    return np.asarray(last - first + 1)
