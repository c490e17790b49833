"""Total AUROC Difference for binary attributes: Yeats et al. 2022 (NashAE, ECCV), arXiv:2209.10677.

    A_kj = area under the ROC curve of code j, or of -code j, as a detector of attribute k      in [.5, 1]
    TAD  = sum over captured attributes of (A_k of the best code - A_k of the second-best)

An attribute is captured when its best code detects it with an area of at least .75 and no other attribute says more than
a fifth of its entropy; both thresholds are those of the authors' code. The second condition sets aside attributes
such as lipstick and make-up, of which a code could not know one without the other. The areas are exact, as in Wang et al.
2023, arXiv:2306.08757; the authors add up rectangles over 101 thresholds. **A sum, not a mean**: each attribute adds at most
.5, so a number compares only with numbers of the same attributes, and means little without the count of captured ones.
"""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import xlogy

from disbench.metrics.metric import NotApplicable
from disbench.metrics.table import as_table


def tad(codes: ArrayLike, factors: ArrayLike, *, captured: float = 0.75, shared: float = 0.2, seed: int = 0) -> float:
    """The sum over captured attributes of how much better the best code detects it than the second-best.

    `codes (N, D)`, `factors (N, K)` of two values each -> a number in [0, K / 2], higher is better, 0 for noise: it
    captures nothing. An attribute counts if the best area is at least `captured` and no other attribute tells more than
    the share `shared` of its entropy. Constant attributes are left out. A dead code, and the second-best where there is one
    code, detects as well as a coin: .5. A mirrored code or attribute changes nothing, nor does any increasing function of
    a code. `seed` is there for a uniform call and changes nothing. Raises NotApplicable when no factor varies or one has
    more than two values, and ValueError for a malformed table or a threshold outside its range.
    """
    return float(tad_detail(codes, factors, captured=captured, shared=shared, seed=seed)["score"])


def tad_detail(
    codes: ArrayLike, factors: ArrayLike, *, captured: float = 0.75, shared: float = 0.2, seed: int = 0
) -> dict[str, Any]:
    """`tad` with the number of captured attributes and, for each attribute, its best code, both areas and the shared entropy."""
    if not 0.5 <= captured <= 1.0:
        raise ValueError(f"tad needs .5 <= captured <= 1, got captured={captured}; the authors use .75.")
    if not 0.0 <= shared <= 1.0:
        raise ValueError(f"tad needs 0 <= shared <= 1, got shared={shared}; the authors use .2.")
    table = as_table(codes, factors)
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
        "factors": [
            {
                "factor": column,
                "code": int(areas[:, k].argmax()),
                "captured": bool(counted[k]),
                "gap": float(gaps[k]),
                "area": float(ranked[-1, k]),
                "runner_up_area": float(ranked[-2, k]),
                "shared_entropy": float(redundancy[k]),
            }
            for k, column in enumerate(table.columns)
        ],
        "constant_factors": table.constant_factors,
        "dropped_codes": table.dead_codes,
    }


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
