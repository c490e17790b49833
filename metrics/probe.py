"""How well latents predict the labels of factors on rows that were not fitted: a stack of nearest neighbors and Gaussians.

The probability of a row's own label is a convex combination of

    the share of the label among the k nearest other rows, k = 2, 4, ..., 128
    Bayes' rule with a normal density for each label, fitted on the other four fifths of the rows
    the frequency of the label
    where points recur, as those of discrete codes do, the share of the label among all other equal rows

Latents of uneven deviations have neighbors in their own units and in units of their deviations. The weights of the
combination maximize the likelihood of half of the rows and are used on the other half. So no row is predicted with its own label,
and the mean logarithm is at most that of the true posterior, up to chance. Frequencies among neighbors alone lose information
where groups are wide, and normal densities alone where the latents of a label lie on a curve; `tests/perf/probe_bias.py`
prints both beside boosted trees and a logistic regression of random features, on tables whose information is known.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

Likelihood = NDArray[np.float64]

NEIGHBORS = 2 ** np.arange(1, 8)
UNEVEN = 2.0  # times another deviation: from there on the unit of the latents decides which rows are near
FOLDS, HALVES = 5, 2
STEPS = 60  # of the weights
SHRINKAGE = 2  # rows with the covariance within all labels, for each latent, that each label's covariance gets
RIDGE = 1e-6
RECURRING = 0.5  # distinct points, as a share of the rows: with more of them equal rows are not counted
TREE_COLUMNS = 6  # with more of them, comparing all pairs is faster than a search tree


def likelihoods(
    latents: NDArray[np.float64],
    labels: NDArray[np.intp],
    sizes: NDArray[np.intp],
    parts: Sequence[Likelihood] = (),
) -> Likelihood:
    """Predict the label of each row for each factor from latents.

    Parameters
    ----------
    latents : ndarray of shape (N, M)
        Columns with mean 0 and with a deviation, in a common unit. Rows are in random order, in which
        equal rows are neighbors. N > 2.
    labels : ndarray of shape (N, K)
        In 0 .. sizes[k] - 1.
    sizes : ndarray of shape (K,)
        Number of labels of each factor.
    parts : sequence of ndarray of shape (N, K)
        Likelihoods from some of the latents, for the stack.

    Returns
    -------
    ndarray of shape (N, K)
        Probability of each row's label, greater than 0.
    """
    found = np.empty(labels.shape)
    deviations = latents.std(axis=0)
    even = latents / deviations
    scales = [even]
    if latents.shape[1] > 1 and deviations.max() > UNEVEN * deviations.min():
        scales.append(even * (deviations / deviations.max()))
    near = [nearest_rows(scaled) for scaled in scales]
    cells = equal_rows(latents)
    for k, size in enumerate(sizes):
        label = labels[:, k]
        counts = np.bincount(label, minlength=size)
        columns = [
            ((counts / (len(label) - 1 + size))[label])[:, None],
            normal_posterior(even, label, int(size))[:, None],
        ]
        columns += [shares_of_label(rows, label) for rows in near] + [part[:, [k]] for part in parts]
        if cells is not None:
            columns.append(share_among_equal(cells, label, int(size))[:, None])
        found[:, k] = stacked(np.concatenate(columns, axis=1))
    return found


def nearest_rows(points: NDArray[np.float64]) -> NDArray[np.intp]:
    """`(N, M)` -> `(N, at most 128)`: the nearest other rows of each row, the nearest first."""
    most = int(min(NEIGHBORS[-1], len(points) - 1))
    if points.shape[1] > TREE_COLUMNS:
        from sklearn.neighbors import NearestNeighbors  # takes a second to import

        search = NearestNeighbors(n_neighbors=most, algorithm="brute").fit(points)
        return np.asarray(search.kneighbors(return_distance=False))
    rows = np.asarray(cKDTree(points).query(points, most + 1)[1])
    other = rows != np.arange(len(points))[:, None]
    other[other.all(axis=1), -1] = False  # of more equal rows than neighbors a row may not find itself
    return np.asarray(rows[other].reshape(len(points), most))


def equal_rows(points: NDArray[np.float64]) -> NDArray[np.intp] | None:
    """`(N, M)` -> `(N,)`: the number of each row's point among the distinct points; None unless points mostly recur."""
    if any(len(np.unique(column)) > RECURRING * len(points) for column in points.T):
        return None
    rows = np.ascontiguousarray(points + 0.0).view(np.dtype((np.void, points.itemsize * points.shape[1])))[:, 0]
    distinct, cells = np.unique(rows, return_inverse=True)
    return cells if len(distinct) <= RECURRING * len(points) else None


def share_among_equal(cells: NDArray[np.intp], label: NDArray[np.intp], size: int) -> Likelihood:
    """`(N,)`, `(N,)` -> `(N,)`: the share of each row's label among the other rows of its cell and one of average labels."""
    same = np.bincount(cells * size + label, minlength=(cells.max() + 1) * size)[cells * size + label] - 1
    average = np.bincount(label, minlength=size)[label] / len(label)
    return np.asarray((same + average) / np.bincount(cells)[cells])


def shares_of_label(neighbors: NDArray[np.intp], label: NDArray[np.intp]) -> Likelihood:
    """`(N, most)`, `(N,)` -> `(N, number of k)`: the share of the rows' own label among their k nearest rows."""
    counts = NEIGHBORS[neighbors.shape[1] >= NEIGHBORS]
    same = label[neighbors[:, : counts[-1]]] == label[:, None]
    starts = np.concatenate([[0], counts[:-1]])
    return np.asarray(np.add.reduceat(same, starts, axis=1, dtype=np.intp).cumsum(axis=1) / counts)


def normal_posterior(points: NDArray[np.float64], label: NDArray[np.intp], size: int) -> Likelihood:
    """`points (N, M)` with unit deviations, `label (N,)` -> `(N,)`: the posterior under a normal density for each label."""
    n, m = points.shape
    fold = np.arange(n) % FOLDS
    cells = np.zeros((FOLDS, size)), np.zeros((FOLDS, size, m)), np.zeros((FOLDS, size, m, m))
    rows = {(f, v): np.flatnonzero((fold == f) & (label == v)) for f in range(FOLDS) for v in range(size)}
    for cell, members in rows.items():
        own = points[members]
        for total, part in zip(cells, (len(own), own.sum(axis=0), own.T @ own), strict=True):
            total[cell] = part
    posterior = np.empty(n)
    for f in range(FOLDS):
        held_out = np.flatnonzero(fold == f)
        count, total, square = (part.sum(axis=0) - part[f] for part in cells)
        mean = total / np.maximum(count, 1)[:, None]
        scatter = square - count[:, None, None] * mean[:, :, None] * mean[:, None, :]
        extra = SHRINKAGE * (m + 2)
        covariance = (scatter + extra * scatter.sum(axis=0) / count.sum()) / (count + extra)[:, None, None]
        root = np.linalg.cholesky(covariance + RIDGE * np.eye(m))
        white = np.linalg.inv(root)  # (V, M, M)
        scores = np.full((len(held_out), size), -np.inf)
        for v in np.flatnonzero(count):
            away = (points[held_out] - mean[v]) @ white[v].T
            scores[:, v] = np.log(count[v]) - 0.5 * (away**2).sum(axis=1) - np.log(np.diagonal(root[v])).sum()
        scores -= scores.max(axis=1, keepdims=True)
        chances = np.exp(scores)
        posterior[held_out] = chances[np.arange(len(held_out)), label[held_out]] / chances.sum(axis=1)
    return posterior


def stacked(columns: Likelihood) -> Likelihood:
    """`(N, C)` -> `(N,)`: the convex combination of columns, with the weights that fit the other half of the rows best."""
    half, found = np.arange(len(columns)) // FOLDS % HALVES, np.empty(len(columns))
    for this in range(HALVES):
        fitted = columns[half != this]
        weights = np.full(columns.shape[1], 1 / columns.shape[1])
        for _ in range(STEPS if len(fitted) else 0):  # expectation-maximization
            weights *= (fitted / (fitted @ weights)[:, None]).mean(axis=0)
        found[half == this] = columns[half == this] @ weights
    return found
