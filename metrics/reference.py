"""What a score is read against: no metric has a floor of 0 on every table, nor a ceiling of 1.

A metric's floor is its score on `shuffled(codes, seed)`: the same codes, telling nothing about the factors. Its ceiling is
its score on `as_codes(factors, reads)`: a perfect representation under the same protocol and bins. `floor_of` and
`ceiling_of` are the same for a checked `Table`.
"""

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from disbench.metrics.arrays import to_array
from disbench.metrics.columns import deviations
from disbench.metrics.metric import Reads
from disbench.metrics.table import NotApplicable, Table, as_factors, as_table


def shuffled(codes: ArrayLike, seed: int) -> NDArray[Any]:
    """`codes (N, D)` with whole rows in a random order: the codes' joint distribution stays, the factors are lost.

    Arrays of equally many rows are shuffled alike by one seed.
    """
    return np.random.default_rng(seed).permutation(to_array(codes), axis=0)


def as_codes(factors: ArrayLike, reads: Reads = "values") -> NDArray[np.float64]:
    """`factors (N, K)` as codes `(N, K)`: one code a factor, nothing else in it, its deviation near 1 unless it is constant.

    A metric that reads "labels" takes the ranks of a discrete factor's values for perfect codes: where one value lies far
    from the others, equal-width bins or a line would merge the rest. A continuous factor is its own code for every metric.

    Codes of another deviation would not do: a factor of two values beside one of forty would pass for a dead code where
    quiet codes are pruned. They are scaled by powers of two, which rounds nothing, so no value moves to another bin.
    """
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
    """The table with its codes, and their deviations alike, shuffled against the factors. Groups stay: they are of columns."""
    std = None if table.std is None else shuffled(table.std, seed)
    return replace(table, raw_codes=shuffled(table.raw_codes, seed), raw_std=std)


def ceiling_of(table: Table, reads: Reads) -> Table:
    """The factors of the table with a code for each, alone in a group, and without deviations."""
    if table.raw_factors is None:
        raise NotApplicable("the ceiling is the factors as codes, and this table has none.")
    codes = as_codes(table.raw_factors, reads)
    return as_table(codes, table.raw_factors, groups=np.arange(1, codes.shape[1] + 1))
