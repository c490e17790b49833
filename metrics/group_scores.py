"""Scores of groups of latents, from the information of each group about each factor (`group_information`).

A factor of several dimensions, such as an angle, needs several latents. Metrics of single latents then score each of them by
itself. These score groups: those that a method learned, the vectors of vector-valued codes, or groups that `find_groups` found.
The definitions are those of MIG (Chen et al. 2018, arXiv:1802.04942v5) and DCI (Eastwood and Williams 2018, ICLR), with groups in
place of codes and information, as a share of each factor's entropy, in place of importance.
"""

from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import entr

from disbench.metrics.group_information import (
    Probing,
    best_groups,
    group_information,
    information_of_all,
    information_outside,
    probing,
    rows_read,
)
from disbench.metrics.information import left_out_and_binned, require_factors_to_compare
from disbench.metrics.metric import Metric, entries
from disbench.metrics.repeated_rows import rows_of_images
from disbench.metrics.table import NotApplicable, Table

SOURCE = "This package; after {}"
CHEN, EASTWOOD = "Chen et al. 2018, arXiv:1802.04942v5, section 4", "Eastwood and Williams 2018, ICLR, section 2"
FACTOR_BINS, ROWS = 20, 10_000


@partial(
    Metric,
    label="Group MIG",
    higher_is_better=True,
    bounds=(0.0, 1.0),
    definition="Mean over factors of the gap in information between the best group of latents and the next one, divided by the"
    " factor's entropy; by a held-out probe.",
    insensitive_to="A group that tells about two factors, and how the latents within a group share a factor.",
    source=SOURCE.format(CHEN),
    uses=("codes", "labels", "groups"),
    stochastic=True,
    version=2,
)
def group_mig(table: Table, *, factor_bins: int = FACTOR_BINS, rows: int = ROWS, seed: int = 0) -> dict[str, Any]:
    """Average over factors how much more the best group tells than the next one.

    The best group is not nuisance; the next one may be. The score is 0 for a factor about which nuisance tells
    more. The detail holds the best group of each factor, its information, that of the next group and that of nuisance, in
    nats.

    Parameters
    ----------
    factor_bins
        Number of equal-width bins of each continuous factor, at least 2. With 0 continuous factors are not applicable.
    rows
        Number of rows that are read, at least 3. They are drawn without replacement from a table that has more.

    Examples
    --------
    >>> import numpy as np
    >>> from disbench.metrics import group_mig
    >>> factors = np.random.default_rng(0).integers(0, 6, (1000, 2))
    >>> angles = factors * np.pi / 3
    >>> circles = np.column_stack([np.cos(angles), np.sin(angles)])  # latents 0 and 2 are factor 0
    >>> group_mig(circles, factors, groups=[1, 2, 1, 2]) > 0.99
    True
    >>> group_mig(circles, factors, groups=[1, 1, 2, 2]) < 0.5
    True
    """
    how = probing(table, "group_mig", factor_bins, rows, seed)
    found, best = group_information(table, how), best_groups(group_information(table, how))
    known = _with_none(found.information)  # (K, G + 1)
    each = np.arange(len(best))
    most = known[each, best]
    others = known.copy()
    others[each, best] = 0.0
    runner_up = others.max(axis=1)
    gaps = np.clip(_shares(most - runner_up, found.entropy), 0.0, 1.0)
    nuisance = known[:, found.numbers.index(0)] if 0 in found.numbers else np.zeros(len(best))
    return {
        "score": float(gaps.mean()),
        "factors": entries(
            factor=table.columns,
            group=_numbers(found.numbers, best),
            gap=gaps,
            information=most,
            runner_up_information=runner_up,
            nuisance_information=nuisance,
            entropy=found.entropy,
        ),
    } | _left_out(table, how)


@partial(
    Metric,
    label="Group modularity",
    higher_is_better=True,
    bounds=(0.0, 1.0),
    definition="How far each group of latents is about a single factor: one minus the entropy of its shares of information"
    " over factors, weighted by the information in the group; by a held-out probe.",
    insensitive_to="A missing factor, a factor in several groups, and what nuisance tells.",
    source=SOURCE.format(EASTWOOD),
    uses=("codes", "labels", "groups"),
    stochastic=True,
    version=2,
)
def group_modularity(
    table: Table, *, factor_bins: int = FACTOR_BINS, rows: int = ROWS, seed: int = 0
) -> dict[str, Any]:
    """Average over groups, by their information, how far each is about a single factor.

    Information counts as a share of the factor's entropy. Nuisance is left out. The score is 0 if no group tells
    anything. Two factors must vary. The detail holds the factor, the weight and the modularity of each group.

    Parameters
    ----------
    factor_bins, rows
        As for `group_mig`.

    Examples
    --------
    >>> import numpy as np
    >>> from disbench.metrics import group_modularity
    >>> factors = np.random.default_rng(0).integers(0, 6, (1000, 2))
    >>> group_modularity(factors, factors, groups=[1, 2]) > 0.99
    True
    >>> round(group_modularity(factors, factors, groups=[1, 1]), 2)
    0.0
    """
    how = probing(table, "group_modularity", factor_bins, rows, seed)
    require_factors_to_compare(table.columns, "group_modularity")
    found = group_information(table, how)
    shares = found.relative[:, found.wanted]  # (K, groups)
    modularity, told = _concentration(shares), shares.sum(axis=0)
    weights = _shares(told, told.sum())
    return {
        "score": float(np.clip(weights @ modularity, 0.0, 1.0)),
        "groups": entries(
            group=_numbers(found.numbers, np.array(found.wanted, dtype=np.intp)),
            factor=table.columns_at(shares.argmax(axis=0)),
            modularity=modularity,
            weight=weights,
        ),
    } | _left_out(table, how)


@partial(
    Metric,
    label="Group compactness",
    higher_is_better=True,
    bounds=(0.0, 1.0),
    definition="How far each factor is in a single group of latents: one minus the entropy of the groups' shares of information"
    " about it; by a held-out probe.",
    insensitive_to="A group that tells about two factors, and how much is told about a factor.",
    source=SOURCE.format(EASTWOOD),
    uses=("codes", "labels", "groups"),
    stochastic=True,
    version=2,
)
def group_compactness(
    table: Table, *, factor_bins: int = FACTOR_BINS, rows: int = ROWS, seed: int = 0
) -> dict[str, Any]:
    """Average over factors how far each is in a single group, nuisance included.

    A factor about which no group tells anything counts 0, and one that only nuisance tells about counts 0. Two groups must have
    latents that vary. The detail holds the best group and the compactness of each factor.

    Parameters
    ----------
    factor_bins, rows
        As for `group_mig`.

    Examples
    --------
    >>> import numpy as np
    >>> from disbench.metrics import group_compactness
    >>> factors = np.random.default_rng(0).integers(0, 6, (1000, 2))
    >>> group_compactness(factors, factors, groups=[1, 2]) > 0.99
    True
    >>> round(group_compactness(factors[:, [0, 0]], factors[:, :1], groups=[1, 2]), 2)
    0.0
    """
    how = probing(table, "group_compactness", factor_bins, rows, seed)
    found = group_information(table, how)
    if len(found.numbers) == 1:
        raise NotApplicable(
            f"group_compactness compares groups and needs two with a latent that varies, got one (group {found.numbers[0]})."
        )
    best, shares = best_groups(found), found.relative
    told = _with_none(shares)[np.arange(len(best)), best] > 0
    compactness = np.where(told, _concentration(shares.T), 0.0)
    return {
        "score": float(np.clip(compactness.mean(), 0.0, 1.0)),
        "factors": entries(factor=table.columns, group=_numbers(found.numbers, best), compactness=compactness),
    } | _left_out(table, how)


@partial(
    Metric,
    label="Group explicitness",
    higher_is_better=True,
    bounds=(0.0, 1.0),
    definition="Mean over factors of the information of all groups of latents together, divided by the factor's entropy; by a"
    " held-out probe.",
    insensitive_to="Which group holds a factor; all latents may be in one group.",
    source=SOURCE.format(EASTWOOD),
    uses=("codes", "labels", "groups"),
    stochastic=True,
    version=2,
)
def group_explicitness(
    table: Table, *, factor_bins: int = FACTOR_BINS, rows: int = ROWS, seed: int = 0
) -> dict[str, Any]:
    """Average over factors what all latents together tell about each, nuisance included.

    The detail holds the share of each factor's entropy that all latents tell, and the share that its best group tells.

    Parameters
    ----------
    factor_bins, rows
        As for `group_mig`.

    Examples
    --------
    >>> import numpy as np
    >>> from disbench.metrics import group_explicitness
    >>> factors = np.random.default_rng(0).integers(0, 6, (1000, 2))
    >>> group_explicitness(factors, factors, groups=[1, 1]) > 0.98
    True
    """
    how = probing(table, "group_explicitness", factor_bins, rows, seed)
    found, told = group_information(table, how), information_of_all(table, how)
    best = best_groups(found)
    return {
        "score": float(told.mean()),
        "factors": entries(
            factor=table.columns,
            explicitness=told,
            group=_numbers(found.numbers, best),
            in_group=_with_none(found.relative)[np.arange(len(best)), best],
        ),
    } | _left_out(table, how)


@partial(
    Metric,
    label="Group leak",
    higher_is_better=False,
    bounds=(0.0, 1.0),
    definition="Mean over factors of the information in all latents outside the factor's best group together, divided by the"
    " factor's entropy; by a held-out probe.",
    insensitive_to="A factor that no latent tells about, and a group that tells about two factors.",
    source=SOURCE.format("leak of the mine_vae method"),
    uses=("codes", "labels", "groups"),
    stochastic=True,
    version=2,
)
def group_leak(table: Table, *, factor_bins: int = FACTOR_BINS, rows: int = ROWS, seed: int = 0) -> dict[str, Any]:
    """Average over factors what all latents outside the best group tell together: the other groups and nuisance.

    Codes that tell nothing leak nothing, so read it beside `group_explicitness`. The detail holds the leak of each factor, and
    which other group tells most.

    Parameters
    ----------
    factor_bins, rows
        As for `group_mig`.

    Examples
    --------
    >>> import numpy as np
    >>> from disbench.metrics import group_leak
    >>> factors = np.random.default_rng(0).integers(0, 6, (1000, 2))
    >>> round(group_leak(factors, factors, groups=[1, 2]), 2)
    0.0
    >>> group_leak(factors[:, [0, 1, 0, 1]], factors, groups=[1, 2, 0, 0]) > 0.98
    True
    """
    how = probing(table, "group_leak", factor_bins, rows, seed)
    found, leak = group_information(table, how), information_outside(table, how)
    best, others = best_groups(found), _with_none(found.information).copy()
    others[np.arange(len(best)), best] = 0.0
    most = np.where(others.max(axis=1) > 0, others.argmax(axis=1), -1)
    return {
        "score": float(leak.mean()),
        "factors": entries(
            factor=table.columns,
            group=_numbers(found.numbers, best),
            leak=leak,
            leaking_group=_numbers(found.numbers, most),
        ),
    } | _left_out(table, how)


def _concentration(shares: NDArray[np.float64]) -> NDArray[np.float64]:
    """`(M, J)`, M != 1 -> `(J,)`: 1 where a column is in one row, 0 where it is even or zero."""
    total = shares.sum(axis=0)
    parts = _shares(shares, total)
    return np.where(total > 0, 1.0 - entr(parts).sum(axis=0) / np.log(max(len(shares), 2)), 0.0)


def _shares(part: Any, whole: Any) -> NDArray[np.float64]:
    """`part / whole`, 0 where the whole is 0."""
    part, whole = np.broadcast_arrays(part, whole)
    return np.asarray(np.divide(part, whole, out=np.zeros(part.shape), where=whole > 0))


def _with_none(known: NDArray[np.float64]) -> NDArray[np.float64]:
    """`(K, G)` -> `(K, G + 1)`: the last column is of no group, which tells nothing."""
    return np.pad(known, ((0, 0), (0, 1)))


def _numbers(numbers: tuple[int, ...], places: NDArray[np.intp]) -> list[int | None]:
    return [None if place < 0 else numbers[place] for place in places.tolist()]


def _left_out(table: Table, how: Probing) -> dict[str, Any]:
    repeated = len(table.raw_codes) - len(rows_of_images(table))
    binned = [each and how.factor_bins > 0 for each in table.continuous]
    return {"rows": len(rows_read(table, how)), "repeated_rows": repeated} | left_out_and_binned(table, binned)
