"""The vote that Z-min Var and Z-max Var share: in a group of rows, which code varies least or most, and for which factor.

Each code stands for the factor that voted for it most often, and the score is how often that is right on fresh votes. Codes
whose standard deviation is nearly 0 are dropped first, since their ratio of variances is 0/0.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from disbench.metrics.groups import Groups, points_by_factor, require_counts
from disbench.metrics.information import binned_factors
from disbench.metrics.memoize import recent
from disbench.metrics.table import Table, as_table, deviations, require_two_factors
from disbench.metrics.z_diff import recalls

NUMBERS_AT_ONCE = 1 << 22  # of the table that are copied at once
Extreme = Callable[..., Any]  # numpy.argmin or numpy.argmax


class Vote(NamedTuple):
    """The outcome of one vote: immutable, since Z-min Var and the FactorVAE score get the same one."""

    columns: tuple[int, ...]  # (K,): the caller's column of each factor
    constant_factors: tuple[int, ...]
    accuracy: float
    train_accuracy: float
    recalls: tuple[float | None, ...]  # (K,)
    kept_codes: tuple[int, ...]  # (kept,)
    factor_of_code: tuple[int, ...]  # (kept,): a position in `columns`
    votes_of_code: tuple[int, ...]  # (kept,)
    dropped_codes: tuple[int, ...]


def majority_vote(
    metric: str,
    codes: ArrayLike,
    factors: ArrayLike,
    groups_of: Callable[[Table], list[Groups]],
    extreme: Extreme,
    *,
    group: int,
    train: int,
    test: int,
    scaled: bool,
    threshold: float,
    relative: bool,
    factor_bins: int,
    seed: int,
) -> dict[str, Any]:
    """The detail of `metric`: its score, both accuracies, chance, each factor's recall and what each code stands for.

    `groups_of` makes each factor's groups of rows, `extreme` picks a code by its variance in a group.
    """
    require_counts(group=group, train=train, test=test)
    if group < 2:
        raise ValueError(f"a variance needs group >= 2 rows, got group={group}; the papers use 64 and 200.")
    if not threshold >= 0:
        raise ValueError(f"{metric} needs threshold >= 0, got threshold={threshold}; the papers use 0.05.")
    vote = _vote(codes, factors, groups_of, extreme, group, train, test, threshold, relative, factor_bins, seed)
    require_two_factors(vote.columns, metric)
    chance = 1.0 / len(vote.columns)
    return {
        "score": max((vote.accuracy - chance) / (1.0 - chance), 0.0) if scaled else vote.accuracy,
        "accuracy": vote.accuracy,
        "train_accuracy": vote.train_accuracy,
        "chance": chance,
        "factors": [
            {"factor": column, "recall": recall} for column, recall in zip(vote.columns, vote.recalls, strict=True)
        ],
        "codes": [
            {"code": j, "factor": vote.columns[k], "votes": count}
            for j, k, count in zip(vote.kept_codes, vote.factor_of_code, vote.votes_of_code, strict=True)
        ],
        "constant_factors": list(vote.constant_factors),
        "dropped_codes": list(vote.dropped_codes),
    }


@recent
def _vote(
    codes: ArrayLike,
    factors: ArrayLike,
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
    table = binned_factors(as_table(codes, factors), factor_bins)
    columns, constant_factors = tuple(table.columns), tuple(table.constant_factors)
    K = len(columns)
    if K < 2:
        return Vote(columns, constant_factors, 1.0, 1.0, (1.0,), (), (), (), ())
    spread = deviations(table.codes)  # (D,)
    spread[table.dead_codes] = 0.0  # a mean's rounding would leave a dead code a spread
    kept = np.flatnonzero((spread > 0) & (spread >= threshold * (spread.max() if relative else 1.0)))

    rng = np.random.default_rng(seed)
    targets = rng.integers(K, size=train + test)
    winners = extreme_codes(table.codes, groups_of(table), targets, group, rng, extreme, kept, spread[kept])
    votes = np.bincount(winners[:train] * K + targets[:train], minlength=max(1, len(kept)) * K).reshape(-1, K)
    correct = votes.argmax(axis=1)[winners] == targets
    return Vote(
        columns,
        constant_factors,
        accuracy=float(correct[train:].mean()),
        train_accuracy=float(correct[:train].mean()),
        recalls=tuple(entry["recall"] for entry in recalls(correct[train:], targets[train:], table.columns)),
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
    """`(points,)`: the position in `kept` that `extreme` picks by its variance over `group` rows of one group of
    `targets[point]`, the codes in units of `spread (kept,)`.
    By default all codes are kept, in units of 1.

    All 0 where no code is kept: a vote that says nothing.
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
