"""LSBD distance: Tonnaer, Pérez Rey, Menkovski, Holenderski and Portegies 2022 (ICML), arXiv:2011.06070v4.

How far are the codes from turning by a separate rotation when a cyclic factor takes its next value? For factor k,
whose n values are the angles g = 2 pi i / n in the order of the numbers:

    y_k      = z - mean of z over factor k               what factor k changes, for every cell of the grid
    p_k      = the two principal components of y_k, each divided by its deviation and by sqrt(2)
    D_k(w)   = mean over cells of |R(-w g) p_k - mean|^2     R is a rotation, w a whole number
    D_LSBD   = mean over factors of the smallest D_k(w)

It bounds the paper's distance from above, and is its practical computation for SO(2). 0 is the best; p_k has the mean square 1,
so 1 is the worst. The frequencies of the factors are independent of each other, and each is tried alone, where
the authors' code tries all combinations. The sign of w has no meaning, because principal components have none.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from disbench.metrics.options import check_type, require_whole
from disbench.metrics.table import NotApplicable, as_table

ROUNDING = 16 * np.finfo(np.float64).eps  # of a code: a smaller deviation is the rounding of its offset


def lsbd_distance(
    codes: ArrayLike, factors: ArrayLike, *, cyclic: Sequence[int] | None = None, frequencies: int = 10
) -> float:
    """Measure how far codes are from turning by a separate rotation with each cyclic factor.

    Defined where the rows are a full grid of factors with one row a cell, and some factors are cyclic: their
    values, in the order of the numbers, are equally spaced angles of a full turn (a torus). Every combination of
    the other factors is a separate object, and the distance is the mean over objects (a cylinder).

    Parameters
    ----------
    codes : array-like of shape (N, D)
        The codes, at least two.
    factors : array-like of shape (N, K)
        The factors, in any order of rows.
    cyclic : sequence of int, optional
        The columns of `factors` that are cyclic; all of them by default.
    frequencies : int, default 10
        The rotation may turn up to so many times, in both directions, while the factor turns once; at least 1.

    Returns
    -------
    float
        In [0, 1]; lower is better. Codes of noise score nearly 1.

    Raises
    ------
    ValueError
        If arrays or options are malformed.
    NotApplicable
        If rows are not a full grid with one row a cell, a cyclic factor has fewer than three values, or the codes do
        not vary with it in two dimensions.

    References
    ----------
    Tonnaer et al. 2022, ICML, arXiv:2011.06070v4

    Examples
    --------
    >>> import numpy as np
    >>> from disbench.metrics import lsbd_distance
    >>> factors = [[a, b] for a in range(5) for b in range(7)]
    >>> angles = 2 * np.pi * np.array(factors) / [5, 7]
    >>> torus = np.column_stack([np.cos(angles), np.sin(angles)])
    >>> round(lsbd_distance(torus, factors), 9)
    0.0
    """
    distance: float = lsbd_distance_detail(codes, factors, cyclic=cyclic, frequencies=frequencies)["score"]
    return distance


def lsbd_distance_detail(
    codes: ArrayLike, factors: ArrayLike, *, cyclic: Sequence[int] | None = None, frequencies: int = 10
) -> dict[str, Any]:
    """Compute the distance of `lsbd_distance` and the numbers behind it.

    Parameters
    ----------
    codes, factors, cyclic, frequencies
        As in `lsbd_distance`.

    Returns
    -------
    dict
        "score" as `lsbd_distance` returns it; "factors", for each cyclic factor its column, distance and frequency, how
        often the rotation turns while the factor turns once.

    Examples
    --------
    >>> import numpy as np
    >>> from disbench.metrics import lsbd_distance_detail
    >>> angle = 2 * np.pi * np.arange(9) / 9
    >>> circle = np.column_stack([np.cos(2 * angle), np.sin(2 * angle)])
    >>> lsbd_distance_detail(circle, np.arange(9)[:, None])["factors"][0]["frequency"]
    2
    """
    require_whole("lsbd_distance", 1, frequencies=frequencies)
    table = as_table(codes, factors)
    if cyclic is not None and (isinstance(cyclic, str) or not np.iterable(cyclic)):
        raise ValueError(f"lsbd_distance needs cyclic as a list of columns of factors, such as [0], got {cyclic!r}.")
    columns = list(table.columns if cyclic is None else cyclic)
    for column in columns:
        check_type("lsbd_distance", "each column in cyclic", column, int)
    if not columns or len(set(columns)) < len(columns) or not set(columns) <= {*table.columns, *table.constant_factors}:
        raise ValueError(f"lsbd_distance needs different columns of factors in cyclic, got cyclic={columns}.")
    chosen = [table.columns.index(column) for column in columns if column in table.columns]
    if len(chosen) < len(columns) or min(table.sizes[chosen]) < 3:
        raise NotApplicable("lsbd_distance needs at least three values of each cyclic factor.")
    others = [k for k in range(len(table.columns)) if k not in chosen]
    labels, sizes = table.labels[:, others + chosen], table.sizes[others + chosen]
    count = math.prod(sizes.tolist())
    cells = np.ravel_multi_index(tuple(labels.T), tuple(sizes)) if count == len(labels) else np.zeros(0, np.intp)
    if len(np.unique(cells)) < count:
        raise NotApplicable(
            f"lsbd_distance needs a full grid of {count:,} cells with one row a cell, got {len(labels):,} rows."
        )
    sorted_codes = table.codes[np.argsort(cells)]
    grid = sorted_codes.reshape(-1, *table.sizes[chosen], sorted_codes.shape[1])  # (objects, *angles, D)
    found = []
    for axis, column in enumerate(columns):
        of_objects = np.array([distances(z, axis, frequencies) for z in grid])  # (objects, frequencies + 1)
        if np.isnan(of_objects).any():
            raise NotApplicable(f"the codes vary with factor {column} in fewer than two dimensions.")
        mean = of_objects.mean(axis=0)
        best = int(np.flatnonzero(mean <= mean.min() + 1e-9)[0])  # w and w + n turn n values alike: report the smallest
        found.append({"factor": column, "distance": float(mean[best]), "frequency": best})
    return {"score": float(np.mean([each["distance"] for each in found])), "factors": found}


def distances(codes: NDArray[np.float64], axis: int, frequencies: int) -> NDArray[np.float64]:
    """`codes (*angles, D)` -> D_k of the frequencies 0 .. `frequencies` for one axis; NaN in fewer than two dimensions.

    Which way round the plane is seen is not determined, so the better direction counts.
    """
    changed = (codes - codes.mean(axis=axis, keepdims=True)).reshape(-1, codes.shape[-1])
    left, lengths, _ = np.linalg.svd(changed, full_matrices=False)
    if len(lengths) < 2 or lengths[1] <= ROUNDING * np.abs(codes).max() * np.sqrt(len(changed)):
        return np.full(frequencies + 1, np.nan)
    plane = (left[:, 0] + 1j * left[:, 1]) * np.sqrt((len(left) - 1) / 2)  # a point of the plane as a complex number
    angle = 2 * np.pi * np.indices(codes.shape[:-1])[axis].ravel() / codes.shape[axis]
    turned_back = plane * np.exp(-1j * np.arange(-frequencies, frequencies + 1)[:, None] * angle)
    spread = np.abs(turned_back - turned_back.mean(axis=1, keepdims=True)) ** 2
    both = spread.mean(axis=1)
    return np.asarray(np.minimum(both, both[::-1])[frequencies:])
