"""Bootstrap resampling of scores over seeds."""

from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
RESAMPLES = 2000
LEVEL = 0.95


def checked(scores: Array) -> Array:
    scores = np.asarray(scores, dtype=np.float64)
    if scores.ndim != 1 or not len(scores) or not np.isfinite(scores).all():
        raise ValueError(f"Statistics need one finite score or more in one dimension, got {scores!r}.")
    return scores


def draws_of(sizes: Sequence[int], resamples: int, seed: int) -> Iterator[NDArray[np.int64]]:
    """(R, n) for each size in turn: which of n scores each resample takes, with replacement."""
    generator = np.random.default_rng(seed)
    return (generator.integers(0, size, (resamples, size)) for size in sizes)


@lru_cache(maxsize=8)
def counts_of(sizes: tuple[int, ...], resamples: int, seed: int) -> tuple[NDArray[Any], ...]:
    """(n, R) for each size: how often each resample takes each score. Read-only, because it is cached.

    Cells with the same number of seeds share their draws, and drawing takes longer than everything done with the draws. Counts
    take an eighth of the memory; with them, means of resamples are products and order statistics are running sums.
    """
    found = []
    for size, taken in zip(sizes, draws_of(sizes, resamples, seed), strict=True):
        counts = np.bincount((taken * resamples + np.arange(resamples)[:, None]).ravel(), minlength=size * resamples)
        own = counts.astype(np.min_scalar_type(size)).reshape(size, resamples)
        own.flags.writeable = False
        found.append(own)
    return tuple(found)


def resampled_means(scores: Sequence[Array], resamples: int, seed: int) -> Array:
    """(M, R): for each method's scores (n,) the means of resamples, independent between methods."""
    counts = counts_of(tuple(map(len, scores)), resamples, seed)
    return np.stack([checked(own) @ of / len(own) for own, of in zip(scores, counts, strict=True)])


def middle_means(scores: Array, counts: NDArray[Any]) -> Array:
    """(R,): the interquartile mean of each resample, which takes scores (n,) as often as `counts` (n, R) says.

    The number of scores that a resample takes up to the i-th lowest score, clipped to the middle half, grows by the weight of
    that score, so no resample has to be sorted.
    """
    order = np.argsort(scores, kind="stable")
    size, cut = len(scores), len(scores) // 4
    taken = counts[order].astype(np.min_scalar_type(size))  # (n, R)
    for before, here in pairwise(taken):  # several times as fast as cumsum down the columns
        here += before
    weights = taken.clip(cut, size - cut)
    weights[1:] -= weights[:-1]
    weights[0] -= cut
    # einsum takes the counts as they are; @ would first convert all of them to floats.
    return np.asarray(np.einsum("i,ij->j", scores[order], weights) / (size - 2 * cut))


def percentiles(values: Array) -> tuple[float, float]:
    low, high = np.quantile(values, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)
