"""Floors and ceilings of scores, because these are not 0 and 1 on every table.

A metric's floor is its score on `shuffled(codes, seed)`: the same codes, telling nothing about the factors. Its ceiling is
its score on `as_codes(factors, reads)`: a perfect representation under the same protocol and bins. `floor_of` and
`ceiling_of` are the same for a checked `Table`.
"""

from dataclasses import replace
from typing import Any, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from disbench.metrics.arrays import to_array
from disbench.metrics.columns import deviations
from disbench.metrics.metric import Reads
from disbench.metrics.options import require_whole
from disbench.metrics.table import NotApplicable, Table, as_factors, as_table


def shuffled(codes: ArrayLike, seed: int) -> NDArray[Any]:
    """Put whole rows in a random order, so that codes lose the factors but keep their joint distribution.

    Parameters
    ----------
    codes : array-like of shape (N, ...)
        Arrays of equal length are shuffled alike by equal seeds.
    seed : int
        Seed of the order.

    Returns
    -------
    ndarray of the shape of `codes`
        A metric's score on it is the floor of that metric.

    Raises
    ------
    ValueError
        If the seed is negative or no whole number.

    Examples
    --------
    >>> from disbench.metrics import shuffled
    >>> shuffled([[0, 0], [1, 1], [2, 2]], seed=0).tolist()
    [[2, 2], [0, 0], [1, 1]]
    """
    require_whole("shuffled", 0, seed=seed)
    return np.random.default_rng(seed).permutation(to_array(codes), axis=0)


def as_codes(factors: ArrayLike, reads: Reads = "values") -> NDArray[np.float64]:
    """Turn factors into perfect codes, one code per factor.

    A metric's score on them is the ceiling of that metric. A metric that reads "labels" gets the ranks of a
    discrete factor's values, because equal-width bins or a line could merge values if one lies far from the
    others. A continuous factor is its own code.

    Parameters
    ----------
    factors : array-like of shape (N, K)
        Finite numbers.
    reads : {"values", "labels", "codes"}, default "values"
        What the metric reads of the factors, as `Metric.reads` has it.

    Returns
    -------
    ndarray of shape (N, K), float64
        Codes with standard deviations near 1, or 0 for a constant factor, so that no code passes for a dead
        one. They are scaled by powers of two, so no value moves to another bin.

    Raises
    ------
    ValueError
        If the array is malformed, or `reads` is another word.

    Examples
    --------
    >>> from disbench.metrics import as_codes
    >>> as_codes([[0, 10], [1, 20], [2, 90]], reads="labels").tolist()
    [[0.0, 0.0], [1.0, 1.0], [2.0, 2.0]]
    """
    if reads not in get_args(Reads):
        raise ValueError(f"as_codes needs reads as one of {', '.join(get_args(Reads))}, got {reads!r}.")
    codes = np.stack(
        [
            factor.labels.astype(np.float64) if reads == "labels" and not factor.continuous else factor.values
            for factor in as_factors(factors)
        ],
        axis=1,
    )
    spread = deviations(codes) if len(codes) else np.ones(codes.shape[1:])
    return codes / np.exp2(np.round(np.log2(np.where(spread > 0, spread, 1.0))))


def floor_of(table: Table, seed: int) -> Table:
    """Shuffle the codes of a table, and their deviations alike, against the factors. Groups stay: they are of columns."""
    std = None if table.std is None else shuffled(table.std, seed)
    return replace(table, raw_codes=shuffled(table.raw_codes, seed), raw_std=std)


def ceiling_of(table: Table, reads: Reads) -> Table:
    """Replace the codes of a table by its factors, each a code alone in a group, and without deviations."""
    if table.raw_factors is None:
        raise NotApplicable("the ceiling is the factors as codes, and this table has none.")
    codes = as_codes(table.raw_factors, reads)
    quantized = table.quantized and not any(table.continuous)  # a continuous factor is no quantized code
    return as_table(codes, table.raw_factors, groups=np.arange(1, codes.shape[1] + 1), quantized=quantized)
