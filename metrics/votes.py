"""The vote that Z-min Var and Z-max Var share: in a group of rows, which code varies least or most, and for which factor.

Each code stands for the factor that voted for it most often, and the score is how often that is right on fresh votes. Codes
whose standard deviation is nearly 0 are dropped first, since their ratio of variances is 0/0.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from disbench.metrics.groups import Groups, points_by_factor, require_counts
from disbench.metrics.table import Table, as_table, require_two_factors
from disbench.metrics.z_diff import recalls

Extreme = Callable[..., Any]  # numpy.argmin or numpy.argmax


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
    seed: int,
) -> dict[str, Any]:
    """The detail of `metric`: its score, both accuracies, chance, each factor's recall and what each code stands for.

    `groups_of` makes each factor's groups of rows, `extreme` picks a code by its variance in a group.
    """
    require_counts(group=group, train=train, test=test)
    if group < 2:
        raise ValueError(f"a variance needs group >= 2 rows, got group={group}; the papers use 64 and 200.")
    if not threshold >= 0:
        raise ValueError(f"{metric} needs threshold >= 0, got threshold={threshold}; the papers use .05.")
    table = as_table(codes, factors)
    require_two_factors(table, metric)
    spread = table.codes.std(axis=0)  # (D,)
    spread[table.dead_codes] = 0.0  # a mean's rounding would leave a dead code a spread
    kept = np.flatnonzero((spread > 0) & (spread >= threshold * (spread.max() if relative else 1.0)))

    K = len(table.columns)
    rng = np.random.default_rng(seed)
    targets = rng.integers(K, size=train + test)
    standardised = table.codes[:, kept] / spread[kept]
    winners = extreme_codes(standardised, groups_of(table), targets, group, rng, extreme)
    votes = np.bincount(winners[:train] * K + targets[:train], minlength=max(1, len(kept)) * K).reshape(-1, K)
    correct = votes.argmax(axis=1)[winners] == targets
    accuracy, chance = float(correct[train:].mean()), 1.0 / K
    return {
        "score": (accuracy - chance) / (1.0 - chance) if scaled else accuracy,
        "accuracy": accuracy,
        "train_accuracy": float(correct[:train].mean()),
        "chance": chance,
        "factors": recalls(correct[train:], targets[train:], table.columns),
        "codes": [
            {"code": int(j), "factor": table.columns[int(row.argmax())], "votes": int(row.sum())}
            for j, row in zip(kept, votes, strict=False)
        ],
        "constant_factors": table.constant_factors,
        "dropped_codes": [j for j in range(len(spread)) if j not in kept],
    }


def extreme_codes(
    codes: NDArray[np.float64],
    groups: list[Groups],
    targets: NDArray[np.intp],
    group: int,
    rng: np.random.Generator,
    extreme: Extreme,
) -> NDArray[np.intp]:
    """`(points,)`: the column of `codes` that `extreme` picks by its variance over `group` rows of one group of
    `targets[point]`.

    All 0 where there are no codes: a vote that says nothing.
    """
    winners = np.zeros(len(targets), dtype=np.intp)
    if codes.shape[1] == 0:
        return winners
    for k, points in points_by_factor(targets, group):
        values = np.repeat(groups[k].draw_values((len(points), 1), rng), group, axis=1)  # one group a point
        rows = codes[groups[k].draw_rows(values, rng)]  # (points, group, D)
        # Relative to one of its members a group that does not vary has a variance of exactly 0, and nothing cancels.
        rows -= rows[:, :1].copy()
        variances = np.einsum("pgd,pgd->pd", rows, rows) / group - rows.mean(axis=1) ** 2
        winners[points] = extreme(variances, axis=1)
    return winners
