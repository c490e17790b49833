"""Rankings of several methods: on one dataset, over datasets, critical differences, and agreement between metrics."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import friedmanchisquare, rankdata, studentized_range

from disbench.reports.statistics import estimates
from disbench.reports.statistics.estimates import DECIMALS, MIN_SEEDS
from disbench.reports.statistics.resampling import LEVEL, RESAMPLES, Array, percentiles, resampled_means

MIN_TRIALS = 5  # two orders of n agree or oppose by chance with probability 2/n!, which is below 0.05 from five on


@dataclass(frozen=True)
class CriticalDifference:
    """Mean ranks over blocks, and how far two must be apart to differ.

    `mean_ranks` (M,), 1 the best; `blocks` counts the complete ones, `left_out` those without one of the methods; `statistic`
    and `p_value` are Friedman's; `cliques` holds the largest sets of methods, by position and best first, in which no two
    differ. If Friedman's test finds no difference at all, all methods form one clique.
    """

    mean_ranks: Array
    blocks: int
    left_out: int
    statistic: float
    p_value: float
    critical_difference: float
    cliques: tuple[tuple[int, ...], ...]


def ranks(blocks: Array, higher_is_better: bool) -> Array:
    """(N, M): ranks within each row, 1 the best, equal scores sharing the average."""
    return np.asarray(rankdata(np.round(-blocks if higher_is_better else blocks, DECIMALS), axis=1))


def rank_distribution(
    scores: Sequence[Array], higher_is_better: bool, *, seed: int = 0, resamples: int = RESAMPLES
) -> Array:
    """(M, M): [i, r] is the share of bootstraps over seeds in which exactly r methods had a better mean than method i.

    Rows sum to one. Columns need not: methods with equal means share the better rank.
    """
    sign = -1.0 if higher_is_better else 1.0
    means = resampled_means(scores, resamples, seed)  # (M, R)
    ahead = rankdata(np.round(sign * means, DECIMALS), method="min", axis=0).astype(np.int64) - 1
    return np.stack([np.bincount(own, minlength=len(scores)) for own in ahead]) / resamples


def ranking(
    scores: Mapping[str, Array], higher_is_better: bool, *, seed: int = 0, resamples: int = RESAMPLES
) -> pd.DataFrame:
    """The rank of each method on one metric of one dataset. `scores` maps a method to the scores of its seeds, perhaps none.

    Indexed by method:
    - `rank`: by mean, 1 the best, equal means sharing the average; NaN without a score.
    - `rank_low`, `rank_high`: 95 % of bootstraps over seeds, NaN below three seeds. A rival with one or two seeds cannot be
      resampled and may be on either side, so each adds one to `rank_high`.
    - `place`: one more than the number of methods that are better by the rule of `verdict`; tied methods may share it. NaN
      below three seeds.
    - `tied_with`: the methods that are tied with this one. Ties are not transitive.
    - `note`: why a number is missing.
    """
    scored = [method for method, own in scores.items() if len(own)]
    sure = [method for method in scored if len(scores[method]) >= MIN_SEEDS]
    means = np.array([[scores[method].mean() for method in scored]])
    rank = dict(zip(scored, ranks(means, higher_is_better)[0], strict=True)) if scored else {}
    low: dict[str, float] = {}
    high: dict[str, float] = {}
    place: dict[str, float] = {}
    tied: dict[str, tuple[str, ...]] = {}
    if sure:
        distribution = rank_distribution([scores[m] for m in sure], higher_is_better, seed=seed, resamples=resamples)
        cumulative = distribution.cumsum(axis=1).round(DECIMALS)  # (M, M)
        low = dict(zip(sure, 1.0 + (cumulative >= (1 - LEVEL) / 2).argmax(axis=1), strict=True))
        unplaced = len(scored) - len(sure)
        high = dict(zip(sure, 1.0 + unplaced + (cumulative >= (1 + LEVEL) / 2).argmax(axis=1), strict=True))
        own_means = np.array([scores[method].mean() for method in sure])
        gaps = np.subtract.outer(own_means, own_means)  # (M, M): row minus column
        shares = np.array([scores[method].var(ddof=1) / len(scores[method]) for method in sure])
        margins = estimates.margins_of(shares, np.array([len(scores[method]) for method in sure]))
        ties = estimates.holds_zero(gaps - margins, gaps + margins)
        behind = ~ties & ((gaps < 0) == higher_is_better)
        np.fill_diagonal(ties, False)
        place = dict(zip(sure, 1.0 + behind.sum(axis=1), strict=True))
        tied = {method: tuple(sure[i] for i in np.flatnonzero(own)) for method, own in zip(sure, ties, strict=True)}
    standing = [
        (rank.get(m), low.get(m), high.get(m), place.get(m), tied.get(m, ()), estimates.too_few(len(own)))
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
    """One metric over several datasets. `scores` maps a method to {dataset: scores of its seeds}.

    A method that lacks a score on one of the datasets is flagged and gets no number: a mean over easier data would win.
    `mean_rank` is over datasets, by mean, among the complete methods. `pooled=False` leaves out the interquartile mean, for
    metrics without an upper bound, whose size depends on the dataset.

    Indexed by method: `iqm`, `low`, `high`, `mean_rank`, `rank_low` and `rank_high` (95 % of bootstraps over the seeds of every
    dataset, NaN if a complete method has fewer than three on one), `ranks` (one per dataset), `datasets` (their number),
    `missing` (names), `note`.
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
            drawn = resampled_means([scores[m][d] for d in datasets for m in complete], resamples, seed)
            blocks = drawn.reshape(len(datasets), len(complete), resamples).swapaxes(1, 2)  # (N, R, M)
            over = np.mean([ranks(own, higher_is_better) for own in blocks], axis=0)  # (R, M)
            spread = {m: percentiles(over[:, i]) for i, m in enumerate(complete)}
    for method, absent in missing.items():
        iqm: tuple[float | None, ...] = (None, None, None)
        notes = [f"no score on {', '.join(absent)}: not averaged"] if absent else []
        if pooled and method in ranked:
            strata = [scores[method][name] for name in datasets]
            estimate = estimates.interquartile_mean(strata, seed=seed, resamples=resamples)
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
    """How similarly metrics order the trials of one dataset: Spearman's rank correlation of every two metrics.

    `trials` has a row per trial and a column per metric. Lower-is-better metrics are negated, so that 1 is agreement on what is
    good and -1 opposition. NaN on the diagonal, for a metric that is the same in every trial, and where fewer than MIN_TRIALS
    trials have both scores. No p-values: trials of one method are not independent.
    """
    sign = [1 if higher_is_better[metric] else -1 for metric in trials.columns]
    found = (trials * sign).corr("spearman", min_periods=MIN_TRIALS)
    return found.mask(np.eye(len(found), dtype=bool))


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
