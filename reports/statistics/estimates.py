"""Estimates of one method or a pair, each with a 95 % interval: interquartile mean, improvement, difference of means."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from disbench.reports.statistics import resampling
from disbench.reports.statistics.resampling import RESAMPLES, Array, checked

Verdict = Literal["better", "worse", "tie", "unknown"]
MIN_SEEDS = 3
DECIMALS = 9  # means closer than this are equal: they differ by rounding


@dataclass(frozen=True)
class Estimate:
    """A number with its 95 % interval, from `n` scores; `low` and `high` are None where `note` says why there is none."""

    value: float
    low: float | None
    high: float | None
    n: int
    note: str = ""


def interquartile_mean(strata: Sequence[Array], *, seed: int = 0, resamples: int = RESAMPLES) -> Estimate:
    """Mean of the middle half of all scores, with a bootstrap interval that resamples seeds within each stratum.

    A stratum holds a dataset's scores (n,); scores in different units must not be pooled. A quarter of the scores, rounded down,
    is cut from both ends, so for up to three scores it is the mean. Strata weigh by their number of scores. Raises ValueError
    without scores.
    """
    pooled = np.concatenate([checked(stratum) for stratum in strata])
    ordered, cut = np.sort(pooled), len(pooled) // 4
    value = float(ordered[cut : len(pooled) - cut].mean())
    sizes = tuple(map(len, strata))
    note = too_few(min(sizes))
    if note:
        return Estimate(value, None, None, len(pooled), note)
    low, high = resampling.percentiles(
        resampling.middle_means(pooled, np.concatenate(resampling.counts_of(sizes, resamples, seed)))
    )
    return Estimate(value, low, high, len(pooled))


def probability_of_improvement(
    ours: Sequence[Array],
    theirs: Sequence[Array],
    higher_is_better: bool,
    *,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> Estimate:
    """The probability that a seed of ours beats a seed of theirs, in [0, 1], equal scores counting half; the mean over strata.

    `ours` and `theirs` hold the same strata in the same order, scores (n,) each. `n` of the result is the smallest number of
    scores in a stratum. If all scores of one side are above all of the other, the interval has width zero however few seeds
    there are, so no verdict is based on it.
    """
    sign = 1.0 if higher_is_better else -1.0
    pairs = [(sign * checked(own), sign * checked(other)) for own, other in zip(ours, theirs, strict=True)]
    value = float(np.mean([_wins(own[None], other[None])[0] for own, other in pairs]))
    smallest = min(len(side) for pair in pairs for side in pair)
    note = too_few(smallest)
    if note:
        return Estimate(value, None, None, smallest, note)
    sides = [side for pair in pairs for side in pair]
    draws = resampling.draws_of([len(side) for side in sides], resamples, seed)
    drawn = [side[taken] for side, taken in zip(sides, draws, strict=True)]  # (R, n) each
    low, high = resampling.percentiles(
        np.mean([_wins(*pair) for pair in zip(drawn[::2], drawn[1::2], strict=True)], axis=0)
    )
    return Estimate(value, low, high, smallest)


def improvement_matrix(methods: Sequence[Sequence[Array]], higher_is_better: bool) -> Array:
    """(M, M): [i, j] is the probability that a seed of method i beats a seed of method j, equal scores counting half.

    `methods` holds the same strata of each in the same order, scores (n,) each; the mean over strata. The value of
    `probability_of_improvement` for every pair, without its interval; [i, j] + [j, i] = 1, a half on the diagonal.
    """
    sign = 1.0 if higher_is_better else -1.0
    signed = [[sign * checked(stratum) for stratum in strata] for strata in methods]
    found = np.full((len(methods), len(methods)), 0.5)
    for i, ours in enumerate(signed):
        for j, theirs in enumerate(signed[:i]):
            chances = [_wins(own[None], other[None])[0] for own, other in zip(ours, theirs, strict=True)]
            found[i, j] = np.mean(chances)
            found[j, i] = 1 - found[i, j]
    return found


def difference(ours: Array, theirs: Array) -> Estimate:
    """Mean of ours (n,) minus mean of theirs (m,), with Welch's interval for unequal spreads and independent seeds.

    `n` is the smaller number of seeds. Where neither side varies, the interval is the difference itself.
    """
    ours, theirs = checked(ours), checked(theirs)
    value = float(ours.mean() - theirs.mean())
    smallest = min(len(ours), len(theirs))
    note = too_few(smallest)
    if note:
        return Estimate(value, None, None, smallest, note)
    shares = np.array([own.var(ddof=1) / len(own) for own in (ours, theirs)])
    margin = float(margins_of(shares, np.array([len(ours), len(theirs)]))[0, 1])
    return Estimate(value, value - margin, value + margin, smallest)


def verdict(found: Estimate, higher_is_better: bool | None) -> Verdict:
    """Whether ours is better by a difference (ours minus theirs): a tie if the interval holds zero, unknown without one."""
    if found.low is None or found.high is None or higher_is_better is None:
        return "unknown"
    if holds_zero(np.float64(found.low), np.float64(found.high)):
        return "tie"
    return "better" if (found.value > 0) == higher_is_better else "worse"


def too_few(seeds: int) -> str:
    if seeds >= MIN_SEEDS:
        return ""
    return f"n too small: {seeds} seed{'s' * (seeds != 1)}, an interval needs {MIN_SEEDS}" if seeds else "no score"


def margins_of(shares: Array, seeds: NDArray[np.int64]) -> Array:
    """(M, M): half the width of Welch's interval for each pair of methods, whose variance over seeds is in `shares` (M,).

    Zero where neither varies.
    """
    total = np.add.outer(shares, shares)
    own = shares**2 / (seeds - 1)
    with np.errstate(invalid="ignore"):
        freedom = total**2 / np.add.outer(own, own)
        quantiles = stdtrit(freedom, (1 + resampling.LEVEL) / 2)  # of Student's t
        return np.asarray(np.where(total > 0, quantiles * np.sqrt(total), 0.0))


def holds_zero(low: Array | np.float64, high: Array | np.float64) -> NDArray[np.bool_]:
    return np.asarray((np.round(low, DECIMALS) <= 0) & (np.round(high, DECIMALS) >= 0))


def _wins(ours: Array, theirs: Array) -> Array:
    """(R,): the share of pairs in which ours (R, n) is larger than theirs (R, m), equal ones counting half."""
    gaps = ours[:, :, None] - theirs[:, None, :]  # (R, n, m)
    return np.asarray((gaps > 0).mean(axis=(1, 2)) + 0.5 * (gaps == 0).mean(axis=(1, 2)))
