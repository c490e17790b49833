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
from numpy.typing import ArrayLike

from disbench.metrics.groups import all_groups
from disbench.metrics.majority_vote import majority_vote


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
    factor_bins: int = 0,
    seed: int = 0,
) -> float:
    """The accuracy, on fresh groups, of naming the factor that a group of rows has in common.

    `codes (N, D)`, `factors (N, K)` -> a number in [0, 1], higher is better, about 1/K at chance; with `scaled`,
    (accuracy - 1/K) / (1 - 1/K), which is 0 at chance, and 0 where luck takes the accuracy below chance. Rows of a
    group are drawn with replacement. Codes with a standard deviation below `threshold` (times the largest one if
    `relative`) are dropped and named in the detail; if none is left, every vote is the same and the score is chance. A
    continuous factor is held within a bin of `factor_bins` equal widths, or not at all for 0. Constant factors are
    left out and not counted in K. Equal seeds give equal scores. Raises NotApplicable when fewer than two factors vary
    or one has no value that two rows share, and ValueError for a malformed table, a count below 1 (a group below 2) or
    a negative threshold.
    """
    options: dict[str, Any] = {"group": group, "train": train, "test": test, "scaled": scaled, "seed": seed}
    options |= {"threshold": threshold, "relative": relative, "factor_bins": factor_bins}
    return float(factor_vae_detail(codes, factors, **options)["score"])


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
    factor_bins: int = 0,
    seed: int = 0,
) -> float:
    """1 - `factor_vae_score` under the same options (`scaled` acts on the accuracy): an error rate, lower is better."""
    options: dict[str, Any] = {"group": group, "train": train, "test": test, "scaled": scaled, "seed": seed}
    options |= {"threshold": threshold, "relative": relative, "factor_bins": factor_bins}
    return float(z_min_var_detail(codes, factors, **options)["score"])


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
    factor_bins: int = 0,
    seed: int = 0,
) -> dict[str, Any]:
    """`factor_vae_detail` with the error rate as its score."""
    detail = majority_vote(
        "z_min_var",
        codes,
        factors,
        all_groups,
        np.argmin,
        group=group,
        train=train,
        test=test,
        scaled=scaled,
        threshold=threshold,
        relative=relative,
        factor_bins=factor_bins,
        seed=seed,
    )
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
    factor_bins: int = 0,
    seed: int = 0,
) -> dict[str, Any]:
    """`factor_vae_score` with both accuracies, chance, each factor's recall and what each surviving code stands for."""
    return majority_vote(
        "factor_vae_score",
        codes,
        factors,
        all_groups,
        np.argmin,
        group=group,
        train=train,
        test=test,
        scaled=scaled,
        threshold=threshold,
        relative=relative,
        factor_bins=factor_bins,
        seed=seed,
    )
