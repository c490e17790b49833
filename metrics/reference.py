"""What a score is read against: no metric has a floor of 0 on every table, nor a ceiling of 1.

A metric's floor is its score on `shuffled(codes, seed)`: the same codes, telling nothing about the factors. Its ceiling is
its score on `as_codes(factors, reads)`: a perfect representation under the same protocol and bins.
"""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from disbench.metrics.arrays import to_array
from disbench.metrics.metric import Reads
from disbench.metrics.table import as_factors, deviations


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
