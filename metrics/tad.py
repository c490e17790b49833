"""Total AUROC Difference for binary attributes: Yeats et al. 2022 (NashAE, ECCV), arXiv:2209.10677.

    A_kj = area under the ROC curve of code j, or of -code j, as a detector of attribute k      in [0.5, 1]
    TAD  = sum over captured attributes of (A_k of the best code - A_k of the second-best)

An attribute is captured when its best code detects it with an area of at least 0.75 and no other attribute says more than
a fifth of its entropy; both thresholds are those of the authors' code. The second condition sets aside attributes
such as lipstick and make-up, of which a code could not know one without the other. The areas are exact, as in Wang et al.
2023, arXiv:2306.08757; the authors add up rectangles over 101 thresholds. **A sum, not a mean**: each attribute adds at most
0.5, so a number compares only with numbers of the same attributes, and means little without the count of captured ones.
"""

from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import xlogy

from disbench.metrics.metric import Metric, entries
from disbench.metrics.table import NotApplicable, Table


@partial(
    Metric,
    label="TAD",
    higher_is_better=True,
    bounds=(0.0, float("inf")),
    definition="Sum over captured binary attributes of the gap in ROC area between the best and the second-best code.",
    insensitive_to="A code that holds two attributes costs no more than half of one; attributes that tell much of each other"
    " are set aside.",
    source="Yeats et al. 2022, arXiv:2209.10677",
)
def tad(table: Table, *, captured: float = 0.75, shared: float = 0.2) -> dict[str, Any]:
    """Sum over captured attributes how much better the best code detects each than the second-best.

    Every factor needs two values. The score is at most K / 2, and 0 for noise. Constant attributes are left
    out. A dead code, and a missing second code, have an area of 0.5. Any increasing function of a code, and
    any mirrored code or attribute, leaves the score unchanged. The detail holds the number of captured
    attributes and, for each attribute, its best code, both areas and the shared entropy.

    Parameters
    ----------
    captured
        Smallest area of the best code for an attribute to count, in [0.5, 1].
    shared
        Largest share of an attribute's entropy that another attribute may tell, in [0, 1].

    Examples
    --------
    >>> from disbench.metrics import tad
    >>> factors = [[0, 0], [0, 1], [1, 0], [1, 1]]
    >>> rotated = [[0, 0], [1, -1], [1, 1], [2, 0]]
    >>> tad(factors, factors), tad(rotated, factors)
    (1.0, 0.0)
    """
    if not 0.5 <= captured <= 1.0:
        raise ValueError(f"tad needs 0.5 <= captured <= 1, got captured={captured}; the authors use 0.75.")
    if not 0.0 <= shared <= 1.0:
        raise ValueError(f"tad needs 0 <= shared <= 1, got shared={shared}; the authors use 0.2.")
    many = [(column, int(size)) for column, size in zip(table.columns, table.sizes, strict=True) if size > 2]
    if many:
        raise NotApplicable(f"tad needs binary attributes, got factor {many[0][0]} with {many[0][1]} values.")
    areas = detection_areas(table.codes, table.labels)  # (D, K)
    areas[table.dead_codes] = 0.5
    ranked = np.sort(np.vstack([areas, np.full(len(table.columns), 0.5)]), axis=0)
    gaps, redundancy = ranked[-1] - ranked[-2], shared_entropy(table.labels)
    counted = (ranked[-1] >= captured) & (redundancy <= shared)
    return {
        "score": float(gaps[counted].sum()),
        "captured": int(counted.sum()),
        "factors": entries(
            factor=table.columns,
            code=areas.argmax(axis=0),
            captured=counted,
            gap=gaps,
            area=ranked[-1],
            runner_up_area=ranked[-2],
            shared_entropy=redundancy,
        ),
    } | table.left_out()


def detection_areas(codes: NDArray[np.float64], attributes: NDArray[np.intp]) -> NDArray[np.float64]:
    """`codes (N, D)`, `attributes (N, K)` in {0, 1} -> `(D, K)`: areas under the ROC curve, of the better sign of the code.

    The area is the chance that a row with the attribute has the larger code, ties counting half: a sum of ranks (Mann and
    Whitney). Ranks are multiples of a half, so that their sums are exact and the order of rows cannot matter.
    """
    from scipy.stats import rankdata

    n, present = len(codes), attributes.sum(axis=0)  # (K,)
    rank_sums = rankdata(codes, axis=0).T @ attributes.astype(np.float64)  # (D, K)
    areas = (rank_sums - present * (present + 1) / 2) / (present * (n - present))
    better: NDArray[np.float64] = np.maximum(areas, 1.0 - areas)
    return better


def shared_entropy(attributes: NDArray[np.intp]) -> NDArray[np.float64]:
    """`attributes (N, K)` in {0, 1} -> `(K,)`: the largest share of an attribute's entropy that another one tells, 0 if alone."""
    n, present = len(attributes), attributes.sum(axis=0)
    if len(present) == 1:
        return np.zeros(1)
    both = attributes.T.astype(np.float64) @ attributes  # (K, K)
    one, other = present[:, None], present[None, :]
    cells = np.stack([both, one - both, other - both, n - one - other + both]) / n  # (4, K, K)
    entropy = -(xlogy(present / n, present / n) + xlogy(1 - present / n, 1 - present / n))
    mutual = np.maximum(entropy[:, None] + entropy + xlogy(cells, cells).sum(axis=0), 0.0)
    np.fill_diagonal(mutual, 0.0)
    shares: NDArray[np.float64] = mutual.max(axis=1) / entropy
    return shares
