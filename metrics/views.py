"""Views of a representation: its means, and one number for each group if its latents are partitioned.

A group's number is its first principal component. Vector-wise methods are scored so, because a metric reads one scalar a
factor: VCT (Yang et al. 2022, arXiv:2205.10093) and DisDiff (Yang et al. 2023, arXiv:2301.13721). Ours takes the raw
means, not standardized ones: in those a latent that carries nothing would weigh as much as one that carries everything.
"""

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from disbench.metrics.arrays import check_shape, to_array

MEAN, GROUP = "mean", "group"
VIEWS = (MEAN, GROUP)
NUISANCE = 0


class View(NamedTuple):
    """What is scored, codes (N, D'), the names of its D' columns, and the deviations of their posteriors or None."""

    codes: NDArray[Any]
    names: tuple[str, ...]
    codes_std: NDArray[Any] | None = None

    def content(self, name: str, shape: tuple[int, ...] = (), quantized: bool = False) -> str:
        """Describe what the view of this name scores; `shape` is that of a row's codes, (D,) or (G, F)."""
        columns = self.codes.shape[1]
        if name == GROUP:
            return f"the first principal component of each of {columns} groups of latents"
        if len(shape) == 2:
            return f"{columns} numbers, those of {shape[0]} vectors one after the other"
        kind = "codes, which have no deviations" if self.codes_std is None else "codes, which have deviations"
        return f"{columns} {'quantized ' * quantized}{kind}"


class Component(NamedTuple):
    """The first principal component of one group: its latents (M,), the unit vector (M,) and the deviation along it."""

    latents: NDArray[np.int64]
    direction: NDArray[np.float64]
    deviation: float


def column_names(shape: tuple[int, ...]) -> tuple[str, ...]:
    """Names of the codes of one row.

    Parameters
    ----------
    shape : tuple of int
        (D,), or (G, F) for G vectors of F numbers.

    Returns
    -------
    tuple of str
        z0, z1, ... for (D,); z0.0, z0.1, ... for (G, F), in the order of the flattened vectors.
    """
    return tuple("z" + ".".join(map(str, place)) for place in np.ndindex(*shape))


def column_groups(shape: tuple[int, ...], group: NDArray[Any] | None = None) -> NDArray[np.int64] | None:
    """Find the group of each column of flattened codes.

    Parameters
    ----------
    shape : tuple of int
        (D,), or (G, F) for G vectors of F numbers.
    group : ndarray, optional
        (D,) integers. Of vectors (G,), the group of each vector, or (G F,), that of each column. By default each vector is a
        separate group, 1 to G.

    Returns
    -------
    ndarray or None
        (D,) or (G F,) integers; None for single numbers without groups.

    Raises
    ------
    ValueError
        For a group of another shape or type.
    """
    columns = math.prod(shape)
    if group is None:
        return None if len(shape) == 1 else np.repeat(np.arange(1, shape[0] + 1), shape[1])
    if group.shape not in ((shape[0],), (columns,)) or group.dtype.kind not in "iu":
        raise ValueError(
            f"the groups of {shape[0]} latents need to be as many integers, got {group.dtype} {group.shape}."
        )
    return group if len(group) == columns else np.repeat(group, shape[1])


def first_components(codes: NDArray[Any], group: NDArray[np.int64]) -> dict[int, Component]:
    """Compute the component of each group of codes (N, D), without groups that lack latents or spread.

    The sign is that which makes the largest loading positive (the first of equal ones), so it is the same each time.
    """
    found = {}
    for number in np.unique(group).tolist():
        latents = np.flatnonzero(group == number)
        own = codes[:, latents].astype(np.float64)
        # The right singular vectors of (N, M) centered codes are the eigenvectors of their (M, M) covariance.
        variances, axes = np.linalg.eigh(np.atleast_2d(np.cov(own, rowvar=False, bias=True)))
        if variances[-1] <= 0 or not np.ptp(own, axis=0).any():
            continue
        direction = axes[:, -1]
        direction = direction * np.sign(direction[np.abs(direction).round(9).argmax()])
        found[number] = Component(latents, direction, float(np.sqrt(variances[-1])))
    return found


def principal_components(codes: ArrayLike, groups: ArrayLike | None = None) -> NDArray[np.float64]:
    """Replace each group of latents by its first principal component: VCT's protocol for vector-valued codes.

    Yang et al. 2022 (arXiv:2205.10093) score the first principal component of each token with metrics of single
    codes. `METRICS["mig"](principal_components(codes), factors)` does so. A factor that needs two numbers, such as an angle,
    loses information in one: `group_mig` and its relatives score whole groups.

    Parameters
    ----------
    codes : array-like of shape (N, D) or (N, G, F)
        Finite numbers. The vectors of (N, G, F) are the groups unless `groups` are given.
    groups : array-like of shape (D,) or (G,), optional
        Whole numbers: the group of each code or vector, 0 for nuisance, which is left out.

    Returns
    -------
    ndarray of shape (N, groups), float64
        One column for each group that varies, in the order of their numbers. They are not centered. The largest weight of each
        component is positive.

    Raises
    ------
    ValueError
        If a shape or type is wrong, there are no groups, or no group varies.

    Examples
    --------
    >>> from disbench.metrics import principal_components
    >>> principal_components([[0.0, 3.0, 1.0], [4.0, 0.0, 1.0], [8.0, -3.0, 5.0]], groups=[1, 1, 2]).round(1).tolist()
    [[-1.8, 1.0], [3.2, 1.0], [8.2, 5.0]]
    """
    array = to_array(codes)
    of_column = None if groups is None else to_array(groups)
    if array.ndim == 3:
        of_column = column_groups(array.shape[1:], of_column)
        array = array.reshape(len(array), -1)
    check_shape(array, "codes", "code")
    if of_column is None:
        raise ValueError("principal_components needs groups (D,) or vectors (N, G, F); find_groups finds groups.")
    return np.asarray(view(GROUP, array, of_column).codes)


def view(
    name: str, codes: NDArray[Any], group: NDArray[np.int64] | None, codes_std: NDArray[Any] | None = None
) -> View:
    """One view of codes (N, D), `group` (D,) naming the group of each latent, 0 for nuisance.

    'mean' is the codes themselves; 'group' has a column for each factor's group that has latents which vary, nuisance left
    out: a column of a group without latents could only be constant. `codes_std` (N, D) are the deviations of independent
    normal posteriors, and a component has the deviation of that sum of them. Raises ValueError where there is no such view.
    """
    if name == MEAN:
        return View(codes, tuple(f"z{d}" for d in range(codes.shape[1])), codes_std)
    if name != GROUP:
        raise ValueError(f"There is no view {name!r}; there are {', '.join(VIEWS)}.")
    if group is None:
        raise ValueError(
            "The group view needs 'group' (D,), the group of each latent, which this table lacks: its method has no "
            "partition. Score its means."
        )
    if group.shape != codes.shape[1:] or group.dtype.kind not in "iu":
        raise ValueError(
            f"The group view needs 'group' as {codes.shape[1]} integers, one a latent, got {group.dtype} {group.shape}."
        )
    if not np.isfinite(codes).all():
        raise ValueError("The group view needs finite codes: a principal component of NaN or infinity is undefined.")
    factors = {number: found for number, found in first_components(codes, group).items() if number != NUISANCE}
    if not factors:
        raise ValueError("The group view needs a factor's group with a latent that varies; every latent is nuisance.")
    columns = [codes[:, found.latents].astype(np.float64) @ found.direction for found in factors.values()]
    names = tuple(f"group {number}" for number in factors)
    if codes_std is None:
        return View(np.stack(columns, axis=1), names)
    variances = [codes_std[:, found.latents].astype(np.float64) ** 2 @ found.direction**2 for found in factors.values()]
    return View(np.stack(columns, axis=1), names, np.sqrt(np.stack(variances, axis=1)))


def views(
    codes: NDArray[Any], group: NDArray[np.int64] | None, codes_std: NDArray[Any] | None = None
) -> tuple[dict[str, View], dict[str, str]]:
    """List the views that a table has, the means first; and the reason for a partitioned table's group view that is missing.

    Vector-valued codes (N, G, F) are taken as G F columns, whose vectors are the groups unless `group` says otherwise.
    """
    if codes.ndim == 3:
        group = column_groups(codes.shape[1:], group)
        codes_std = None if codes_std is None else codes_std.reshape(len(codes), -1)
        codes = codes.reshape(len(codes), -1)
    found = {MEAN: view(MEAN, codes, group, codes_std)}
    if group is None:
        return found, {}
    try:
        found[GROUP] = view(GROUP, codes, group, codes_std)
    except ValueError as reason:
        return found, {GROUP: str(reason)}
    return found, {}
