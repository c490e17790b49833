"""Interventional robustness score: Suter et al. 2019, arXiv:1811.00007.

    S_jk = 1 - (mean over values of v_k of the q-quantile of abs(z_j - its mean at that value)) / m_j
    m_j  = max abs(z_j - mean z_j)
    IRS  = sum_j m_j max_k S_jk / sum_j m_j

The mean over values is unweighted. q = 1 is the paper's maximum; q = 0.99 is what most published tables used and is
never smaller, so print q. A code is robust when, with its factor held, nothing else moves it. A value that one row has
shows no deviation at all: a factor with fewer than two rows per value on average is a reason in place of a number.
"""

from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from disbench.metrics.columns import column_extremes
from disbench.metrics.groups import group_rows
from disbench.metrics.information import binned_factors, left_out_and_binned
from disbench.metrics.metric import Metric, entries
from disbench.metrics.table import NotApplicable, Table

NUMBERS_AT_ONCE = 1 << 24  # numbers of the table that are copied at once


@partial(
    Metric,
    label="IRS",
    higher_is_better=True,
    bounds=(0.0, 1.0),
    definition="How little each code moves, relative to its largest deviation, while the factor it follows best is"
    " held.",
    insensitive_to="A missing and a copied factor; unused codes that vary cost much, and one far outlier can hide noise.",
    source="Suter et al. 2019, arXiv:1811.00007",
    version=2,
)
def irs(table: Table, *, quantile: float = 1.0, factor_bins: int = 0) -> dict[str, Any]:
    """Measure how little each code moves while its best factor is held, weighted by how far it can move.

    Noise scores well above 0, and near 1 where few rows share a value. A skewed code can deviate more within
    groups than overall; a negative mean is reported as 0, and the detail holds the value of each code. Dead
    codes have weight 0, and the score is 0 if all are dead. Constant factors are left out. Not applicable to
    a factor with fewer than two rows per value. The detail holds, for each live code, the factor that it is
    robust to, its score and its weight m_j.

    Parameters
    ----------
    quantile
        Quantile of the distances within a group, in (0, 1]. 1 is the paper's maximum.
    factor_bins
        Number of equal-width bins for a continuous factor, at least 2; 0 bins none.

    Examples
    --------
    >>> from disbench.metrics import irs
    >>> factors = [[0, 0], [0, 1], [1, 0], [1, 1]]
    >>> rotated = [[0, 0], [1, -1], [1, 1], [2, 0]]
    >>> irs(factors, factors), irs(rotated, factors)
    (1.0, 0.5)
    """
    if not 0.0 < quantile <= 1.0:
        raise ValueError(f"irs needs 0 < quantile <= 1, got quantile={quantile}; the paper's maximum is 1.")
    binned, codes = binned_factors(table, factor_bins), table.codes
    for column, size, continuous in zip(table.columns, binned.sizes, table.continuous, strict=True):
        if 2 * size > len(codes):
            raise NotApplicable(
                f"irs holds a factor at a value that several rows share, and factor {column} has {size} values in"
                f" {len(codes)} rows." + " Set factor_bins to bin it." * continuous
            )
    mean, (lowest, highest) = codes.mean(axis=0), column_extremes(codes)
    weights = np.maximum(mean - lowest, highest - mean)  # (D,): max abs(z_j - mean z_j)
    weights[table.dead_codes] = 0.0  # a mean's rounding would leave a dead code a weight
    live = np.flatnonzero(weights > 0)
    robustness = 1.0 - deviations_with_factor_held(binned, quantile)[live] / weights[live, None]  # (live, K)
    score = float(np.average(robustness.max(axis=1), weights=weights[live])) if len(live) else 0.0
    return {
        "score": min(max(score, 0.0), 1.0),
        "quantile": quantile,
        "codes": entries(
            code=live,
            factor=table.columns_at(robustness.argmax(axis=1)),
            score=robustness.max(axis=1),
            weight=weights[live],
        ),
    } | left_out_and_binned(table, [each and factor_bins > 0 for each in table.continuous])


def deviations_with_factor_held(table: Table, quantile: float) -> NDArray[np.float64]:
    """`(D, K)`: the mean over factor k's values of the quantile of code j's distance to its mean at that value."""
    codes = table.codes
    deviations = np.zeros((codes.shape[1], len(table.columns)))
    for k, size in enumerate(table.sizes):
        groups = group_rows(table.labels[:, k], int(size))
        for value in range(int(size)):
            rows = groups.rows(value)
            step = max(1, NUMBERS_AT_ONCE // len(rows))
            for first in range(0, len(deviations), step):
                held = codes[:, first : first + step][rows]
                mean = held.mean(axis=0)
                if quantile == 1.0:
                    furthest = np.maximum(held.max(axis=0) - mean, mean - held.min(axis=0))
                else:
                    furthest = np.quantile(np.abs(held - mean), quantile, axis=0)
                deviations[first : first + step, k] += furthest
        deviations[:, k] /= size
    return deviations
