"""The FactorVAE score and its error rate Z-min Var: Kim and Mnih 2018, arXiv:1802.05983v3, section 4.

Draw a factor k and one of its values; take L rows of that value; vote for the code with the smallest Var(z_j in the
group) / Var(z_j). Each code then stands for the factor that voted for it most often, and the score is how often that
is right on fresh votes. Two names because two directions are in print: `factor_vae_score` is the accuracy, higher is
better; `z_min_var` is 1 - accuracy, lower is better.

Near-dead codes are dropped first, or 0/0 wins every vote. The literature drops codes with a standard deviation below
.05, which is a statement about codes with a unit prior; the default here is .05 of the *largest* standard deviation,
so that rescaling all codes changes nothing. `relative=False` is the literature's threshold.
"""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from disbench.metrics.groups import Groups, all_groups, points_by_factor, require_counts
from disbench.metrics.table import as_table, require_two_factors
from disbench.metrics.z_diff import recalls


def factor_vae_score(
    codes: ArrayLike,
    factors: ArrayLike,
    *,
    group: int = 64,
    train: int = 10_000,
    test: int = 5_000,
    scaled: bool = False,
    threshold: float = 0.05,
    relative: bool = True,
    seed: int = 0,
) -> float:
    """The accuracy, on fresh groups, of naming the factor that a group of rows has in common.

    `codes (N, D)`, `factors (N, K)` -> a number in [0, 1], higher is better, about 1/K at chance; with `scaled`,
    (accuracy - 1/K) / (1 - 1/K), which is 0 at chance and can fall below it. Rows of a group are drawn with
    replacement. Codes with a standard deviation below `threshold` (times the largest one if `relative`) are dropped
    and named in the detail; if none is left, every vote is the same and the score is chance. Constant factors are
    left out and not counted in K. Equal seeds give equal scores. Raises NotApplicable when fewer than two factors
    vary or one has no value that two rows share, and ValueError for a malformed table, a count below 1 (a group below
    2) or a negative threshold.
    """
    options: dict[str, Any] = {"group": group, "train": train, "test": test, "scaled": scaled, "seed": seed}
    return float(factor_vae_detail(codes, factors, **options, threshold=threshold, relative=relative)["score"])


def z_min_var(
    codes: ArrayLike,
    factors: ArrayLike,
    *,
    group: int = 64,
    train: int = 10_000,
    test: int = 5_000,
    scaled: bool = False,
    threshold: float = 0.05,
    relative: bool = True,
    seed: int = 0,
) -> float:
    """1 - `factor_vae_score` under the same options (`scaled` acts on the accuracy): an error rate, lower is better."""
    options: dict[str, Any] = {"group": group, "train": train, "test": test, "scaled": scaled, "seed": seed}
    return float(z_min_var_detail(codes, factors, **options, threshold=threshold, relative=relative)["score"])


def z_min_var_detail(
    codes: ArrayLike,
    factors: ArrayLike,
    *,
    group: int = 64,
    train: int = 10_000,
    test: int = 5_000,
    scaled: bool = False,
    threshold: float = 0.05,
    relative: bool = True,
    seed: int = 0,
) -> dict[str, Any]:
    """`factor_vae_detail` with the error rate as its score."""
    options: dict[str, Any] = {"group": group, "train": train, "test": test, "scaled": scaled, "seed": seed}
    detail = factor_vae_detail(codes, factors, **options, threshold=threshold, relative=relative)
    return detail | {"score": 1.0 - detail["score"]}


def factor_vae_detail(
    codes: ArrayLike,
    factors: ArrayLike,
    *,
    group: int = 64,
    train: int = 10_000,
    test: int = 5_000,
    scaled: bool = False,
    threshold: float = 0.05,
    relative: bool = True,
    seed: int = 0,
) -> dict[str, Any]:
    """`factor_vae_score` with both accuracies, chance, each factor's recall and what each surviving code stands for."""
    require_counts(group=group, train=train, test=test)
    if group < 2:
        raise ValueError(f"a variance needs group >= 2 rows, got group={group}; the papers use 64 and 200.")
    if not threshold >= 0:
        raise ValueError(f"z_min_var needs threshold >= 0, got threshold={threshold}; the papers use .05.")
    table = as_table(codes, factors)
    require_two_factors(table, "z_min_var")
    spread = table.codes.std(axis=0)  # (D,)
    spread[table.dead_codes] = 0.0  # a mean's rounding would leave a dead code a spread
    kept = np.flatnonzero((spread > 0) & (spread >= threshold * (spread.max() if relative else 1.0)))

    K = len(table.columns)
    rng = np.random.default_rng(seed)
    targets = rng.integers(K, size=train + test)
    standardised = table.codes[:, kept] / spread[kept]
    winners = least_varying_codes(standardised, all_groups(table), targets, group, rng)
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


def least_varying_codes(
    codes: NDArray[np.float64],
    groups: list[Groups],
    targets: NDArray[np.intp],
    group: int,
    rng: np.random.Generator,
) -> NDArray[np.intp]:
    """`(points,)`: the column of `codes` that varies least over `group` rows of one value of factor `targets[point]`.

    All 0 where there are no codes: a vote that says nothing.
    """
    winners = np.zeros(len(targets), dtype=np.intp)
    if codes.shape[1] == 0:
        return winners
    for k, points in points_by_factor(targets, group):
        values = np.repeat(groups[k].draw_values((len(points), 1), rng), group, axis=1)  # one value a group
        rows = codes[groups[k].draw_rows(values, rng)]  # (points, group, D)
        # Relative to one of its members a group that does not vary has a variance of exactly 0, and nothing cancels.
        rows -= rows[:, :1].copy()
        variances = np.einsum("pgd,pgd->pd", rows, rows) / group - rows.mean(axis=1) ** 2
        winners[points] = variances.argmin(axis=1)
    return winners
