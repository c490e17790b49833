"""Decision trees on one code: equal to scikit-learn's classifier, but faster, because each code is sorted once.

The rows of a node are consecutive in the order of the code. The squared counts of the labels on either side of every
possible split are then sums along that order, for all nodes of a depth at once.
"""

import numpy as np
from numpy.typing import NDArray

DEEPEST = 9
# scikit-learn's: values no farther apart are not split, and a node of no more Gini impurity is a leaf.
NEAR = np.float32(1e-7)
PURE = np.finfo(np.float64).eps


def right_by_depth(
    code: NDArray[np.float32], target: NDArray[np.intp], fresh_code: NDArray[np.float32], fresh_target: NDArray[np.intp]
) -> list[float]:
    """Compute the accuracy on fresh rows of trees of depth 1 to DEEPEST that are fitted to `code (N,)` and `target (N,)`.

    The trees are those of `DecisionTreeClassifier(max_depth=depth)`: of equally good splits the first, and of equally
    common labels the smallest. Rows that come in the order of their code take less time.
    """
    labels = int(max(target.max(), fresh_target.max())) + 1
    order = np.argsort(code, kind="stable")
    values, label = code[order], target[order]
    may_split = np.append(values[1:] > values[:-1] + NEAR, False)  # after a row
    rank = _rank_within_label(label, labels)
    start, splittable, thresholds = np.zeros(1, dtype=np.intp), np.ones(1, dtype=bool), np.empty(0)
    counts = _counts(label, start, labels)
    accuracies = [_accuracy(counts, thresholds, fresh_code, fresh_target)]
    for _ in range(DEEPEST):
        after = _best_splits(label, rank, may_split, start, splittable, counts)
        if not len(after):
            break
        below, above = values[after].astype(np.float64), values[after + 1].astype(np.float64)
        thresholds = np.sort(np.append(thresholds, below / 2.0 + above / 2.0))
        bounds = np.sort(np.append(start, after + 1))
        halves = np.append(after + 1, start[np.searchsorted(start, after, side="right") - 1])
        start, splittable = bounds, np.isin(bounds, halves)
        counts = _counts(label, start, labels)
        accuracies.append(_accuracy(counts, thresholds, fresh_code, fresh_target))
    grown = accuracies[1:] or accuracies
    return grown + grown[-1:] * (DEEPEST - len(grown))


def _best_splits(
    label: NDArray[np.intp],
    rank: NDArray[np.intp],
    may_split: NDArray[np.bool_],
    start: NDArray[np.intp],
    splittable: NDArray[np.bool_],
    counts: NDArray[np.intp],
) -> NDArray[np.intp]:
    """Find the rows after which the nodes that begin at `start` are split, of each the first with the least impurity.

    `counts (nodes, labels)` are the rows of each label in each node.
    """
    size, squares = counts.sum(axis=1), (counts.astype(np.float64) ** 2).sum(axis=1)
    splittable = splittable & (1.0 - squares / size.astype(np.float64) ** 2 > PURE)
    cell = np.repeat(np.arange(len(start)) * counts.shape[1], size) + label
    left = (
        rank - (np.cumsum(counts, axis=0) - counts).ravel()[cell]
    )  # rows of the same label in the node before the row
    all_of_label = counts.ravel()[cell]
    left_squares = _sums_within_nodes(2 * left + 1, start, size)
    right_squares = np.repeat(squares, size) - _sums_within_nodes(2 * (all_of_label - left) - 1, start, size)
    left_size = (np.arange(1, len(label) + 1) - np.repeat(start, size)).astype(np.float64)
    right_size = np.maximum(np.repeat(size, size) - left_size, 1.0)  # the last row of a node is no split
    left_impurity = 1.0 - left_squares / (left_size * left_size)
    right_impurity = 1.0 - right_squares / (right_size * right_size)
    gain = -right_size * right_impurity - left_size * left_impurity  # in scikit-learn's order, rounding included
    possible = may_split & np.repeat(splittable, size)
    possible[start + size - 1] = False
    gain[~possible] = -np.inf
    best = np.maximum.reduceat(gain, start)
    rows = np.flatnonzero(possible & (gain == np.repeat(best, size)))
    node = np.searchsorted(start, rows, side="right")
    first: NDArray[np.intp] = rows[np.append(True, node[1:] != node[:-1])[: len(rows)]]
    return first


def _sums_within_nodes(numbers: NDArray[np.intp], start: NDArray[np.intp], size: NDArray[np.intp]) -> NDArray[np.intp]:
    """Compute running sums of `numbers (N,)` that begin anew in each node."""
    total = np.cumsum(numbers)
    return np.asarray(total - np.repeat(total[start] - numbers[start], size))


def _counts(label: NDArray[np.intp], start: NDArray[np.intp], labels: int) -> NDArray[np.intp]:
    """`(nodes, labels)`: the rows of each label in each node."""
    size = np.diff(np.append(start, len(label)))
    cells = np.repeat(np.arange(len(start)) * labels, size) + label
    return np.bincount(cells, minlength=len(start) * labels).reshape(len(start), labels)


def _rank_within_label(label: NDArray[np.intp], labels: int) -> NDArray[np.intp]:
    """`(N,)`: how many earlier rows have the row's label."""
    by_label = np.argsort(label.astype(np.uint16) if labels <= 1 << 16 else label, kind="stable")
    counts = np.bincount(label, minlength=labels)
    rank = np.empty(len(label), dtype=np.intp)
    rank[by_label] = np.arange(len(label)) - np.repeat(np.cumsum(counts) - counts, counts)
    return rank


def _accuracy(
    counts: NDArray[np.intp],
    thresholds: NDArray[np.float64],
    fresh_code: NDArray[np.float32],
    fresh_target: NDArray[np.intp],
) -> float:
    node = np.searchsorted(thresholds, fresh_code.astype(np.float64), side="left")
    return float((counts.argmax(axis=1)[node] == fresh_target).mean())
