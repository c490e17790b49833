"""Statistics of differences on a leaderboard: pure functions of scores over seeds.

- Interquartile mean, stratified bootstrap and probability of improvement: Agarwal et al. 2021, arXiv:2108.13264, section 4.
- Difference of two means: Welch 1947, Biometrika 34. Two methods are *tied* if the 95 % interval holds zero.
- Friedman test, Nemenyi's critical difference and its cliques: Demsar 2006, JMLR 7, section 3.2.

Ties are decided by Welch's interval, not by a bootstrap, because there are few seeds. For normal scores with equal means, the
95 % percentile bootstrap of the difference finds a difference in 19 % of cases at 3 seeds, 13 % at 5 and 8 % at 10; Welch's
interval in 3 to 5 % at each; the exact Mann-Whitney test can find none at 3. For the same reason the bootstrap intervals here
are too narrow for few seeds: the interval of the interquartile mean covers the truth in 74 % of cases at 3 seeds, 90 % at 5,
93 % at 10.

Below three seeds there is no interval, and the note says so. There is no correction for multiple comparisons: of many
comparisons of equal methods, one in twenty is expected to look different.
"""

from disbench.reports.statistics.estimates import (
    MIN_SEEDS as MIN_SEEDS,
    Estimate as Estimate,
    Verdict as Verdict,
    difference as difference,
    improvement_matrix as improvement_matrix,
    interquartile_mean as interquartile_mean,
    probability_of_improvement as probability_of_improvement,
    verdict as verdict,
)
from disbench.reports.statistics.rankings import (
    CriticalDifference as CriticalDifference,
    agreement as agreement,
    friedman_nemenyi as friedman_nemenyi,
    missing_datasets as missing_datasets,
    over_datasets as over_datasets,
    rank_distribution as rank_distribution,
    ranking as ranking,
    ranks as ranks,
)
from disbench.reports.statistics.resampling import RESAMPLES as RESAMPLES, Array as Array
