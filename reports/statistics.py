"""How far a leaderboard's differences can be trusted: pure functions of scores over seeds.

- Interquartile mean, stratified bootstrap and probability of improvement: Agarwal et al. 2021, arXiv:2108.13264, section 4.
- Difference of two means: Welch 1947, Biometrika 34. Two methods are *tied* where its 95 % interval holds zero.
- Friedman test, Nemenyi's critical difference and its cliques: Demsar 2006, JMLR 7, section 3.2.

Whether two methods are tied is asked of Welch's interval, not of a bootstrap, because there are few seeds. Of normal scores with
equal means, the 95 % percentile bootstrap of the difference called 19 % different at 3 seeds, 13 % at 5 and 8 % at 10; Welch's
interval 3 to 5 % at each; the exact Mann-Whitney test cannot call any at 3. For the same reason the bootstrap intervals here are
too narrow at few seeds: the interquartile mean's held the truth in 74 % of cases at 3 seeds, 90 % at 5, 93 % at 10.

Below three seeds nothing has an interval, and the note says so. Each interval stands alone: among many comparisons of equal
methods one in twenty is expected to look different.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import stdtrit
from scipy.stats import friedmanchisquare, rankdata, studentized_range

Array = NDArray[np.float64]
Verdict = Literal["better", "worse", "tie", "unknown"]

MIN_SEEDS = 3
MIN_TRIALS = 5  # two orders of n agree or oppose by chance with probability 2/n!, which is below .05 from five on
RESAMPLES = 2000
LEVEL = 0.95
_DECIMALS = 9  # means closer than this are equal: they differ by rounding


@dataclass(frozen=True)
class Estimate:
    """A number with its 95 % interval, from `n` scores; `low` and `high` are None where `note` says why there is none."""

    value: float
    low: float | None
    high: float | None
    n: int
    note: str = ""


@dataclass(frozen=True)
class CriticalDifference:
    """Mean ranks over blocks, and how far two must be apart to differ.

    `mean_ranks` (M,), 1 the best; `blocks` counts the complete ones, `left_out` those in which a method is missing; `statistic`
    and `p_value` are Friedman's; `cliques` holds the largest groups of methods, by position and the best first, of which no two
    differ. Where Friedman's test finds no difference at all, that is every method.
    """

    mean_ranks: Array
    blocks: int
    left_out: int
    statistic: float
    p_value: float
    critical_difference: float
    cliques: tuple[tuple[int, ...], ...]


def interquartile_mean(strata: Sequence[Array], *, seed: int = 0, resamples: int = RESAMPLES) -> Estimate:
    """Mean of the middle half of all scores, with a bootstrap interval that resamples seeds within each stratum.

    A stratum is a dataset's scores (n,); scores in other units must not be pooled. A quarter of the scores, rounded down, is
    cut from either end, so up to three scores it is the mean. Strata weigh by their number of scores. Raises ValueError where
    there is no score.
    """
    pooled = np.concatenate([_checked(stratum) for stratum in strata])
    ordered, cut = np.sort(pooled), len(pooled) // 4
    value = float(ordered[cut : len(pooled) - cut].mean())
    sizes = tuple(map(len, strata))
    note = _too_few(min(sizes))
    if note:
        return Estimate(value, None, None, len(pooled), note)
    low, high = _percentiles(_middle_means(pooled, np.concatenate(_counts(sizes, resamples, seed))))
    return Estimate(value, low, high, len(pooled))


def probability_of_improvement(
    ours: Sequence[Array],
    theirs: Sequence[Array],
    higher_is_better: bool,
    *,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> Estimate:
    """How probably a seed of ours beats a seed of theirs, in [0, 1], equal scores counting half; the mean over strata.

    `ours` and `theirs` hold the same strata in the same order, scores (n,) each. `n` of the result is the smallest number of
    scores in a stratum. Where no score of one side reaches the other's, the interval has no width however few seeds there are,
    so it decides no verdict.
    """
    sign = 1.0 if higher_is_better else -1.0
    pairs = [(sign * _checked(own), sign * _checked(other)) for own, other in zip(ours, theirs, strict=True)]
    value = float(np.mean([_wins(own[None], other[None])[0] for own, other in pairs]))
    smallest = min(len(side) for pair in pairs for side in pair)
    note = _too_few(smallest)
    if note:
        return Estimate(value, None, None, smallest, note)
    sides = [side for pair in pairs for side in pair]
    draws = _draws([len(side) for side in sides], resamples, seed)
    drawn = [side[taken] for side, taken in zip(sides, draws, strict=True)]  # (R, n) each
    low, high = _percentiles(np.mean([_wins(*pair) for pair in zip(drawn[::2], drawn[1::2], strict=True)], axis=0))
    return Estimate(value, low, high, smallest)


def improvement_matrix(methods: Sequence[Sequence[Array]], higher_is_better: bool) -> Array:
    """(M, M): [i, j] is the probability that a seed of method i beats a seed of method j, equal scores counting half.

    `methods` holds the same strata of each in the same order, scores (n,) each; the mean over strata. The value of
    `probability_of_improvement` for every pair, without its interval; [i, j] + [j, i] = 1, a half on the diagonal.
    """
    sign = 1.0 if higher_is_better else -1.0
    signed = [[sign * _checked(stratum) for stratum in strata] for strata in methods]
    found = np.full((len(methods), len(methods)), 0.5)
    for i, ours in enumerate(signed):
        for j, theirs in enumerate(signed[:i]):
            chances = [_wins(own[None], other[None])[0] for own, other in zip(ours, theirs, strict=True)]
            found[i, j] = np.mean(chances)
            found[j, i] = 1 - found[i, j]
    return found


def difference(ours: Array, theirs: Array) -> Estimate:
    """Mean of ours (n,) less mean of theirs (m,), with Welch's interval: unequal spreads, independent seeds.

    `n` is the smaller number of seeds. Where neither side varies, the interval is the difference itself.
    """
    ours, theirs = _checked(ours), _checked(theirs)
    value = float(ours.mean() - theirs.mean())
    smallest = min(len(ours), len(theirs))
    note = _too_few(smallest)
    if note:
        return Estimate(value, None, None, smallest, note)
    shares = np.array([own.var(ddof=1) / len(own) for own in (ours, theirs)])
    margin = float(_margins(shares, np.array([len(ours), len(theirs)]))[0, 1])
    return Estimate(value, value - margin, value + margin, smallest)


def verdict(found: Estimate, higher_is_better: bool | None) -> Verdict:
    """What a difference (ours less theirs) says of ours: a tie where its interval holds zero, unknown where it has none."""
    if found.low is None or found.high is None or higher_is_better is None:
        return "unknown"
    if _holds_zero(np.float64(found.low), np.float64(found.high)):
        return "tie"
    return "better" if (found.value > 0) == higher_is_better else "worse"


def rank_distribution(
    scores: Sequence[Array], higher_is_better: bool, *, seed: int = 0, resamples: int = RESAMPLES
) -> Array:
    """(M, M): [i, r] is the share of bootstraps over seeds in which exactly r methods had a better mean than method i.

    Rows sum to one. Columns need not: methods with equal means share the better rank.
    """
    sign = -1.0 if higher_is_better else 1.0
    means = _resampled_means(scores, resamples, seed)  # (M, R)
    ahead = rankdata(np.round(sign * means, _DECIMALS), method="min", axis=0).astype(np.int64) - 1
    return np.stack([np.bincount(own, minlength=len(scores)) for own in ahead]) / resamples


def ranking(
    scores: Mapping[str, Array], higher_is_better: bool, *, seed: int = 0, resamples: int = RESAMPLES
) -> pd.DataFrame:
    """Where each method stands on one metric of one dataset. `scores` maps a method to its seeds' scores, perhaps none.

    Indexed by method:
    - `rank`: by mean, 1 the best, equal means sharing the average; NaN without a score.
    - `rank_low`, `rank_high`: 95 % of bootstraps over seeds, NaN below three seeds. A rival of one or two seeds cannot be
      resampled and may be on either side: each moves `rank_high` one down.
    - `place`: one more than the number of methods that are better by the rule of `verdict`; tied methods of equal standing
      share it. NaN below three seeds.
    - `tied_with`: the methods that are tied with this one. Being tied is not transitive.
    - `note`: why something is missing.
    """
    scored = [method for method, own in scores.items() if len(own)]
    sure = [method for method in scored if len(scores[method]) >= MIN_SEEDS]
    means = [float(scores[method].mean()) for method in scored]
    rank = dict(zip(scored, ranks(np.array([means]), higher_is_better)[0], strict=True)) if scored else {}
    low: dict[str, float] = {}
    high: dict[str, float] = {}
    if sure:
        distribution = rank_distribution([scores[m] for m in sure], higher_is_better, seed=seed, resamples=resamples)
        cumulative = distribution.cumsum(axis=1).round(_DECIMALS)  # (M, M)
        low = dict(zip(sure, 1.0 + (cumulative >= (1 - LEVEL) / 2).argmax(axis=1), strict=True))
        unplaced = len(scored) - len(sure)
        high = dict(zip(sure, 1.0 + unplaced + (cumulative >= (1 + LEVEL) / 2).argmax(axis=1), strict=True))
    place: dict[str, float] = {}
    tied: dict[str, tuple[str, ...]] = {}
    if sure:
        gaps = np.subtract.outer(*[np.array([scores[method].mean() for method in sure])] * 2)  # (M, M): row less column
        shares = np.array([scores[method].var(ddof=1) / len(scores[method]) for method in sure])
        margins = _margins(shares, np.array([len(scores[method]) for method in sure]))
        ties = _holds_zero(gaps - margins, gaps + margins)
        behind = ~ties & ((gaps < 0) == higher_is_better)
        np.fill_diagonal(ties, False)
        place = dict(zip(sure, 1.0 + behind.sum(axis=1), strict=True))
        tied = {method: tuple(sure[i] for i in np.flatnonzero(own)) for method, own in zip(sure, ties, strict=True)}
    standing = [
        (rank.get(m), low.get(m), high.get(m), place.get(m), tied.get(m, ()), _too_few(len(own)))
        for m, own in scores.items()
    ]
    names = ["rank", "rank_low", "rank_high", "place", "tied_with", "note"]
    found = pd.DataFrame(standing, columns=names, index=pd.Index(list(scores), dtype=object))
    return found.astype(dict.fromkeys(names[:4], "float64"))


def missing_datasets(scores: Mapping[str, Mapping[str, Array]]) -> tuple[list[str], dict[str, tuple[str, ...]]]:
    """The datasets on which any method has a score, and for each method those on which it has none."""
    datasets = list(dict.fromkeys(name for own in scores.values() for name, values in own.items() if len(values)))
    return datasets, {m: tuple(d for d in datasets if not len(own.get(d, ()))) for m, own in scores.items()}


def over_datasets(
    scores: Mapping[str, Mapping[str, Array]],
    higher_is_better: bool,
    *,
    pooled: bool = True,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> pd.DataFrame:
    """One metric over several datasets. `scores` maps a method to {dataset: its seeds' scores}.

    A method without a score on any one of the datasets is flagged and gets no number: a mean over easier data would win.
    `mean_rank` is over datasets, by mean, among the complete methods. `pooled=False` leaves out the interquartile mean, for
    metrics without an upper bound, whose size depends on the dataset.

    Indexed by method: `iqm`, `low`, `high`, `mean_rank`, `rank_low` and `rank_high` (95 % of bootstraps over the seeds of every
    dataset, NaN where a complete method has fewer than three on one), `ranks` (one for each dataset), `datasets` (how many it
    has), `missing` (names), `note`.
    """
    datasets, missing = missing_datasets(scores)
    complete = [method for method, absent in missing.items() if not absent and datasets]
    rows = {}
    ranked: dict[str, tuple[float, ...]] = {}
    spread: dict[str, tuple[float, float]] = {}
    if complete:
        means = np.array([[float(scores[m][d].mean()) for m in complete] for d in datasets])
        ranked = {m: tuple(own) for m, own in zip(complete, ranks(means, higher_is_better).T.tolist(), strict=True)}
        if min(len(scores[m][d]) for m in complete for d in datasets) >= MIN_SEEDS:
            drawn = _resampled_means([scores[m][d] for d in datasets for m in complete], resamples, seed)
            blocks = drawn.reshape(len(datasets), len(complete), resamples).swapaxes(1, 2)  # (N, R, M)
            over = np.mean([ranks(own, higher_is_better) for own in blocks], axis=0)  # (R, M)
            spread = {m: _percentiles(over[:, i]) for i, m in enumerate(complete)}
    for method, absent in missing.items():
        iqm: tuple[float | None, ...] = (None, None, None)
        notes = [f"no score on {', '.join(absent)}: not averaged"] if absent else []
        if pooled and method in ranked:
            strata = [scores[method][name] for name in datasets]
            estimate = interquartile_mean(strata, seed=seed, resamples=resamples)
            iqm = (estimate.value, estimate.low, estimate.high)
            uneven = len(set(map(len, strata))) > 1
            notes = [estimate.note, "datasets weigh by their seeds, which differ in number" if uneven else ""]
        present = len(datasets) - len(absent)
        own = ranked.get(method, ())
        standing = (np.mean(own) if own else None, *spread.get(method, (None, None)), own)
        rows[method] = (*iqm, *standing, present, absent, "; ".join(filter(None, notes)))
    names = ["iqm", "low", "high", "mean_rank", "rank_low", "rank_high", "ranks", "datasets", "missing", "note"]
    found = pd.DataFrame(list(rows.values()), columns=names, index=pd.Index(list(rows), dtype=object))
    return found.astype(dict.fromkeys(names[:6], "float64"))


def friedman_nemenyi(blocks: Array, higher_is_better: bool, *, alpha: float = 0.05) -> CriticalDifference:
    """Whether methods differ over several datasets: Friedman's test, then Nemenyi's for every pair.

    `blocks` (N, M) holds a mean score for each dataset and method; a row with a NaN is left out, because ranks of different
    sets of methods cannot be averaged. Two methods differ where their mean ranks are at least
    CD = q_alpha sqrt(M (M + 1) / 6N) apart, q_alpha being the Studentized range of M groups over sqrt(2). Friedman's p-value is
    from the chi-squared distribution: rough below some ten blocks and five methods. Raises ValueError below three methods or
    two complete blocks.
    """
    blocks = np.asarray(blocks, dtype=np.float64)
    complete = blocks[~np.isnan(blocks).any(axis=1)]
    count, methods = complete.shape
    if methods < 3 or count < 2:
        raise ValueError(
            f"friedman_nemenyi needs 3 methods or more on 2 datasets or more without a gap, got {methods} methods on "
            f"{count}. Run the missing trials."
        )
    ranked = ranks(complete, higher_is_better)
    mean_ranks = ranked.mean(axis=0)
    varies = bool((ranked != ranked[:, :1]).any())  # Friedman's statistic is 0/0 where every block is one tie
    statistic, p_value = friedmanchisquare(*ranked.T) if varies else (0.0, 1.0)
    critical = float(studentized_range.ppf(1 - alpha, methods, np.inf) / np.sqrt(2))
    critical *= np.sqrt(methods * (methods + 1) / (6 * count))
    cliques = _cliques(mean_ranks, critical if p_value < alpha else np.inf)
    return CriticalDifference(
        mean_ranks, count, len(blocks) - count, float(statistic), float(p_value), float(critical), cliques
    )


def agreement(trials: pd.DataFrame, higher_is_better: Mapping[str, bool]) -> pd.DataFrame:
    """How alike metrics order the trials of one dataset: Spearman's rank correlation of each two, metrics by metrics.

    `trials` has a row a trial and a column a metric. Lower-is-better metrics are negated, so that 1 is agreement on what is good
    and -1 opposition. NaN on the diagonal, for a metric that is the same in every trial, and where fewer than MIN_TRIALS have
    both scores. No p-values: trials of one method are not independent.
    """
    sign = [1 if higher_is_better[metric] else -1 for metric in trials.columns]
    found = (trials * sign).corr("spearman", min_periods=MIN_TRIALS)
    return found.mask(np.eye(len(found), dtype=bool))


def _checked(scores: Array) -> Array:
    scores = np.asarray(scores, dtype=np.float64)
    if scores.ndim != 1 or not len(scores) or not np.isfinite(scores).all():
        raise ValueError(f"Statistics need one finite score or more in one dimension, got {scores!r}.")
    return scores


def _too_few(seeds: int) -> str:
    if seeds >= MIN_SEEDS:
        return ""
    return f"n too small: {seeds} seed{'s' * (seeds != 1)}, an interval needs {MIN_SEEDS}" if seeds else "no score"


def _draws(sizes: Sequence[int], resamples: int, seed: int) -> Iterator[NDArray[np.int64]]:
    """(R, n) for each size in turn: which of n scores each resample takes, with replacement."""
    generator = np.random.default_rng(seed)
    return (generator.integers(0, size, (resamples, size)) for size in sizes)


@lru_cache(maxsize=8)
def _counts(sizes: tuple[int, ...], resamples: int, seed: int) -> tuple[NDArray[Any], ...]:
    """(n, R) for each size: how often each resample takes each score, by `_draws`. Read-only, because it is kept.

    Cells of as many seeds have equal draws, and to draw takes longer than all that is done with them. As counts they take an
    eighth of the memory, means of resamples are products and their order statistics running sums.
    """
    found = []
    for size, taken in zip(sizes, _draws(sizes, resamples, seed), strict=True):
        counts = np.bincount((taken * resamples + np.arange(resamples)[:, None]).ravel(), minlength=size * resamples)
        own = counts.astype(np.min_scalar_type(size)).reshape(size, resamples)
        own.flags.writeable = False
        found.append(own)
    return tuple(found)


def _resampled_means(scores: Sequence[Array], resamples: int, seed: int) -> Array:
    """(M, R): for each method's scores (n,) the means of resamples, independent between methods."""
    counts = _counts(tuple(map(len, scores)), resamples, seed)
    return np.stack([_checked(own) @ of / len(own) for own, of in zip(scores, counts, strict=True)])


def _middle_means(scores: Array, counts: NDArray[Any]) -> Array:
    """(R,): the interquartile mean of each resample that takes scores (n,) so often as `counts` (n, R) says.

    How many a resample has taken up to the i-th lowest score, clipped to the middle half, grows by that score's weight there: no
    resample has to be sorted.
    """
    order = np.argsort(scores, kind="stable")
    size, cut = len(scores), len(scores) // 4
    taken = counts[order].astype(np.min_scalar_type(size))  # (n, R)
    for before, here in pairwise(taken):  # several times as fast as cumsum down the columns
        here += before
    weights = taken.clip(cut, size - cut)
    weights[1:] -= weights[:-1]
    weights[0] -= cut
    # einsum takes the counts as they are, where @ would first make floats of them all.
    return np.asarray(np.einsum("i,ij->j", scores[order], weights) / (size - 2 * cut))


def _margins(shares: Array, seeds: NDArray[np.int64]) -> Array:
    """(M, M): half the width of Welch's interval for each pair of methods, whose variance over seeds is in `shares` (M,).

    Zero where neither varies.
    """
    total = np.add.outer(shares, shares)
    own = shares**2 / (seeds - 1)
    with np.errstate(invalid="ignore"):
        freedom = total**2 / np.add.outer(own, own)
        return np.asarray(np.where(total > 0, stdtrit(freedom, (1 + LEVEL) / 2) * np.sqrt(total), 0.0))  # Student's t


def _holds_zero(low: Array | np.float64, high: Array | np.float64) -> NDArray[np.bool_]:
    return np.asarray((np.round(low, _DECIMALS) <= 0) & (np.round(high, _DECIMALS) >= 0))


def _percentiles(values: Array) -> tuple[float, float]:
    low, high = np.quantile(values, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def _wins(ours: Array, theirs: Array) -> Array:
    """(R,): the share of pairs in which ours (R, n) is larger than theirs (R, m), equal ones counting half."""
    gaps = ours[:, :, None] - theirs[:, None, :]  # (R, n, m)
    return np.asarray((gaps > 0).mean(axis=(1, 2)) + 0.5 * (gaps == 0).mean(axis=(1, 2)))


def ranks(blocks: Array, higher_is_better: bool) -> Array:
    """(N, M): ranks within each row, 1 the best, equal scores sharing the average."""
    return np.asarray(rankdata(np.round(-blocks if higher_is_better else blocks, _DECIMALS), axis=1))


def _cliques(mean_ranks: Array, critical: float) -> tuple[tuple[int, ...], ...]:
    """The largest runs of methods, in order of rank, whose ends are less than `critical` apart."""
    order = np.argsort(mean_ranks, kind="stable")
    found: list[tuple[int, ...]] = []
    reached = 0
    for start in range(len(order)):
        end = start
        while end < len(order) and mean_ranks[order[end]] - mean_ranks[order[start]] < critical:
            end += 1
        if end - start > 1 and end > reached:
            found.append(tuple(int(method) for method in order[start:end]))
            reached = end
    return tuple(found)
