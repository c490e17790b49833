"""The vote that Z-min Var and Z-max Var share: in a group of rows, which code varies least or most, and for which factor.

Each code stands for the factor that voted for it most often, and the score is how often that is right on fresh votes. Codes
whose standard deviation is nearly 0 are dropped first, since their ratio of variances is 0/0.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from disbench.metrics.columns import deviations
from disbench.metrics.groups import Groups, points_by_factor, require_counts, require_two_factors
from disbench.metrics.information import binned_factors
from disbench.metrics.memoize import recent
from disbench.metrics.metric import entries
from disbench.metrics.table import Table
from disbench.metrics.z_diff import recalls

NUMBERS_AT_ONCE = 1 << 22  # of the table that are copied at once
Extreme = Callable[..., Any]  # numpy.argmin or numpy.argmax


class Vote(NamedTuple):
    """The outcome of one vote: immutable, since Z-min Var and the FactorVAE score get the same one."""

    accuracy: float
    train_accuracy: float
    recalls: tuple[float | None, ...]  # (K,)
    kept_codes: tuple[int, ...]  # (kept,)
    factor_of_code: tuple[int, ...]  # (kept,): a position in the table's `columns`
    votes_of_code: tuple[int, ...]  # (kept,)
    dropped_codes: tuple[int, ...]


def majority_vote(
    metric: str,
    table: Table,
    groups_of: Callable[[Table], list[Groups]],
    extreme: Extreme,
    *,
    group: int = 64,
    train: int = 10_000,
    test: int = 5_000,
    scaled: bool = False,
    threshold: float = 0.05,
    relative: bool = True,
    factor_bins: int = 0,
    seed: int = 0,
) -> dict[str, Any]:
    """Let codes vote for factors, and return the detail of `metric`.

    Parameters
    ----------
    metric, table
        The name of the metric, and its input.
    groups_of, extreme
        Makes the groups of rows of each factor; picks a code by its variance in a group.
    group
        Number of rows in a group, at least 2.
    train, test
        Number of groups that vote, and of fresh groups.
    scaled
        Whether to score (accuracy - 1/K) / (1 - 1/K), at least 0, so that chance is 0.
    threshold, relative
        Codes with a standard deviation below `threshold` are dropped; below `threshold` times the largest one
        if `relative`.
    factor_bins
        Number of equal-width bins for a continuous factor, at least 2; 0 bins none.
    seed
        Seed of the random draws.

    Returns
    -------
    dict
        The score, both accuracies, chance, the recall of each factor, and the factor of each code that was kept.
    """
    require_counts(group=group, train=train, test=test)
    if group < 2:
        raise ValueError(f"a variance needs group >= 2 rows, got group={group}; the papers use 64 and 200.")
    if not threshold >= 0:
        raise ValueError(f"{metric} needs threshold >= 0, got threshold={threshold}; the papers use 0.05.")
    require_two_factors(table.columns, metric)
    vote = _vote(table, groups_of, extreme, group, train, test, threshold, relative, factor_bins, seed)
    chance = 1.0 / len(table.columns)
    return {
        "score": max((vote.accuracy - chance) / (1.0 - chance), 0.0) if scaled else vote.accuracy,
        "accuracy": vote.accuracy,
        "train_accuracy": vote.train_accuracy,
        "chance": chance,
        "factors": entries(factor=table.columns, recall=vote.recalls),
        "codes": entries(
            code=vote.kept_codes,
            factor=[table.columns[k] for k in vote.factor_of_code],
            votes=vote.votes_of_code,
        ),
    } | (table.left_out() | {"dropped_codes": list(vote.dropped_codes)})


@recent
def _vote(
    table: Table,
    groups_of: Callable[[Table], list[Groups]],
    extreme: Extreme,
    group: int,
    train: int,
    test: int,
    threshold: float,
    relative: bool,
    factor_bins: int,
    seed: int,
) -> Vote:
    codes, K = table.codes, len(table.columns)
    spread = deviations(codes)  # (D,)
    spread[table.dead_codes] = 0.0  # a mean's rounding would leave a dead code a spread
    kept = np.flatnonzero((spread > 0) & (spread >= threshold * (spread.max() if relative else 1.0)))

    rng = np.random.default_rng(seed)
    targets, groups = rng.integers(K, size=train + test), groups_of(binned_factors(table, factor_bins))
    winners = extreme_codes(codes, groups, targets, group, rng, extreme, kept, spread[kept])
    votes = np.bincount(winners[:train] * K + targets[:train], minlength=max(1, len(kept)) * K).reshape(-1, K)
    correct = votes.argmax(axis=1)[winners] == targets
    return Vote(
        accuracy=float(correct[train:].mean()),
        train_accuracy=float(correct[:train].mean()),
        recalls=tuple(recalls(correct[train:], targets[train:], K)),
        kept_codes=tuple(kept.tolist()),
        factor_of_code=tuple(votes[: len(kept)].argmax(axis=1).tolist()),
        votes_of_code=tuple(votes[: len(kept)].sum(axis=1).tolist()),
        dropped_codes=tuple(j for j in range(len(spread)) if j not in kept),
    )


def extreme_codes(
    codes: NDArray[np.float64],
    groups: list[Groups],
    targets: NDArray[np.intp],
    group: int,
    rng: np.random.Generator,
    extreme: Extreme,
    kept: NDArray[np.intp] | None = None,
    spread: NDArray[np.float64] | None = None,
) -> NDArray[np.intp]:
    """Pick a code for each of the `targets`, by its variance over `group` rows of a group of that factor.

    Returns positions `(points,)` in `kept`. The variances are in units of `spread (kept,)`. By default all codes are kept, in
    units of 1. All positions are 0 if no code is kept.
    """
    winners = np.zeros(len(targets), dtype=np.intp)
    kept = np.arange(codes.shape[1]) if kept is None else kept
    spread = np.ones(len(kept)) if spread is None else spread
    if len(kept) == 0:
        return winners
    small = codes.size <= NUMBERS_AT_ONCE
    standardised = (
        codes[:, kept] / spread if small else codes
    )  # a large table is not copied, only the rows that are drawn
    for k, points in points_by_factor(targets, group):
        values = np.repeat(groups[k].draw_values((len(points), 1), rng), group, axis=1)  # one group a point
        rows = standardised[groups[k].draw_rows(values, rng)]  # (points, group, D)
        if not small:
            rows = rows[:, :, kept] / spread
        # Relative to one of its members a group that does not vary has a variance of exactly 0, and nothing cancels.
        rows -= rows[:, :1].copy()
        means = np.einsum("pgd->pd", rows) / group
        variances = np.einsum("pgd,pgd->pd", rows, rows) / group - means**2
        winners[points] = extreme(variances, axis=1)
    return winners
