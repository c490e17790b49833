"""Statistics against scipy, against published tables, by enumeration, and on planted truths."""

import itertools
import math

import numpy as np
import pandas as pd
import pytest
from scipy.stats import friedmanchisquare, mannwhitneyu, spearmanr, trim_mean, ttest_ind

from disbench.reports.statistics import (
    agreement,
    difference,
    friedman_nemenyi,
    improvement_matrix,
    interquartile_mean,
    over_datasets,
    probability_of_improvement,
    rank_distribution,
    ranking,
    verdict,
)
from disbench.reports.statistics.resampling import counts_of

OURS = np.array([0.31, 0.28, 0.35, 0.30, 0.29])
THEIRS = np.array([0.30, 0.22, 0.27, 0.25])
TIED = {"one": np.array([0.20, 0.30, 0.40]), "two": np.array([0.21, 0.31, 0.395]), "last": np.array([0.01, 0.02, 0.0])}

# Demsar 2006, table 6: the area under the ROC curve of four variants of C4.5 on 14 datasets. In the row before the last the paper
# ranks the third above the fourth, though both are printed as .975; hence the further digit.
DEMSAR = np.array(
    [
        [0.763, 0.768, 0.771, 0.798],
        [0.599, 0.591, 0.590, 0.569],
        [0.954, 0.971, 0.968, 0.967],
        [0.628, 0.661, 0.654, 0.657],
        [0.882, 0.888, 0.886, 0.898],
        [0.936, 0.931, 0.916, 0.931],
        [0.661, 0.668, 0.609, 0.685],
        [0.583, 0.583, 0.563, 0.625],
        [0.775, 0.838, 0.866, 0.875],
        [1.000, 1.000, 1.000, 1.000],
        [0.940, 0.962, 0.965, 0.962],
        [0.619, 0.666, 0.614, 0.669],
        [0.972, 0.981, 0.97501, 0.975],
        [0.957, 0.978, 0.946, 0.970],
    ]
)
BLOCKS = np.array(
    [
        [0.8, 0.7, 0.9, 0.6],
        [0.55, 0.6, 0.7, 0.5],
        [0.9, 0.85, 0.8, 0.7],
        [0.4, 0.45, 0.6, 0.35],
        [0.75, 0.7, 0.72, 0.71],
        [0.3, 0.2, 0.5, 0.25],
    ]
)


def test_the_interquartile_mean_is_that_of_the_middle_half() -> None:
    scores = np.array([9.0, 0.1, 0.2, 0.3, 0.4, 0.6, -5.0, 100.0])
    assert interquartile_mean([scores]).value == pytest.approx((0.2 + 0.3 + 0.4 + 0.6) / 4)
    for count in range(1, 9):
        assert interquartile_mean([scores[:count]]).value == pytest.approx(trim_mean(scores[:count], 0.25))
    assert interquartile_mean([scores[:3], scores[3:]]).value == interquartile_mean([scores]).value


def test_of_five_scores_every_resample_can_be_listed_and_the_interval_is_that_of_the_list() -> None:
    scores = np.array([0.1, 0.2, 0.6, 0.7, 0.9])
    means = [np.mean(sorted(drawn)[1:4]) for drawn in itertools.product(scores, repeat=5)]
    found = interquartile_mean([scores], resamples=20_000)
    wanted = np.quantile(means, [0.025, 0.975], method="inverted_cdf")
    assert (found.low, found.high) == pytest.approx(wanted, abs=0.01)
    assert found.n == 5


def test_a_bootstrap_stays_within_its_stratum() -> None:
    # Pooled, a resample could hold far more of one dataset than of the other, and the mean would move by tenths.
    found = interquartile_mean([np.array([0.10, 0.11, 0.12]), np.array([0.90, 0.91, 0.92])])
    assert found.low is not None and found.high is not None
    assert 0.49 < found.low < found.value < found.high < 0.53


@pytest.mark.parametrize("sizes", [(3,), (7,), (5, 9), (200, 210)])
def test_a_bootstrap_is_that_of_resamples_written_out_and_sorted(sizes: tuple[int, ...]) -> None:
    strata = [np.random.default_rng(size).normal(size=size).round(1) for size in sizes]  # with ties
    generator = np.random.default_rng(3)
    drawn = np.sort(np.hstack([own[generator.integers(0, len(own), (500, len(own)))] for own in strata]), axis=1)
    cut = drawn.shape[1] // 4
    wanted = np.quantile(drawn[:, cut : drawn.shape[1] - cut].mean(axis=1), [0.025, 0.975])
    found = interquartile_mean(strata, seed=3, resamples=500)
    assert (found.low, found.high) == pytest.approx(tuple(wanted), abs=1e-12)


def test_ranks_are_those_of_resamples_drawn_for_each_method_in_turn() -> None:
    scores = [np.random.default_rng(size).normal(size=size) for size in (4, 300, 6)]
    generator = np.random.default_rng(1)
    means = np.array([own[generator.integers(0, len(own), (400, len(own)))].mean(axis=1) for own in scores])
    ahead = (means[:, None] < means[None]).sum(axis=1)  # (M, R)
    wanted = [[(own == rank).mean() for rank in range(3)] for own in ahead]
    assert rank_distribution(scores, True, seed=1, resamples=400) == pytest.approx(np.array(wanted))


def test_draws_that_several_cells_share_cannot_be_changed() -> None:
    (counts,) = counts_of((4,), 10, 0)
    assert (counts.sum(axis=0) == 4).all() and counts_of((4,), 10, 0)[0] is counts
    with pytest.raises(ValueError, match="read-only"):
        counts[0, 0] = 9


def test_an_interval_holds_the_truth_about_as_often_as_the_module_says() -> None:
    generator = np.random.default_rng(0)
    held = 0
    for _ in range(300):
        found = interquartile_mean([generator.normal(size=10)], resamples=300)
        assert found.low is not None and found.high is not None
        held += found.low <= 0 <= found.high
    assert 0.88 < held / 300 < 0.97


def test_the_probability_of_improvement_is_mann_whitneys_u_over_the_number_of_pairs() -> None:
    found = probability_of_improvement([OURS], [THEIRS], higher_is_better=True)
    assert found.value == pytest.approx(mannwhitneyu(OURS, THEIRS).statistic / 20)
    assert found.value == pytest.approx(17.5 / 20)  # of 20 pairs two are lost and one is equal
    assert found.low is not None and found.high is not None
    assert found.low < found.value <= found.high == 1
    turned = probability_of_improvement([OURS], [THEIRS], higher_is_better=False)
    assert turned.value == pytest.approx(1 - found.value)


def test_the_probability_of_improvement_is_a_mean_over_strata_whatever_their_scale() -> None:
    found = probability_of_improvement([OURS, 100 * THEIRS], [THEIRS, 100 * OURS], higher_is_better=True)
    assert found.value == pytest.approx(0.5)


@pytest.mark.parametrize("higher_is_better", [True, False])
def test_the_matrix_of_improvements_holds_the_value_of_every_pair(higher_is_better: bool) -> None:
    methods = [[OURS, 100 * THEIRS], [THEIRS, 100 * OURS], [np.array([0.3]), np.array([29.5, 31.0])]]
    found = improvement_matrix(methods, higher_is_better)
    for i, ours in enumerate(methods):
        for j, theirs in enumerate(methods):
            wanted = probability_of_improvement(ours, theirs, higher_is_better, resamples=1).value
            assert found[i, j] == pytest.approx(wanted)
    # By hand: 0.30 beats two of OURS, ties with one and loses to two; of 29.5 and 31.0 against 100 THEIRS (30, 22, 27, 25) one
    # wins three of four, the other all.
    assert found[2, 0] == pytest.approx((0.5 + 7 / 8) / 2 if higher_is_better else (0.5 + 1 / 8) / 2)
    assert np.allclose(found + found.T, 1)
    assert improvement_matrix([], higher_is_better).shape == (0, 0)


def test_a_difference_has_the_interval_of_welchs_test() -> None:
    found = difference(OURS, THEIRS)
    wanted = ttest_ind(OURS, THEIRS, equal_var=False).confidence_interval()
    assert (found.low, found.high) == pytest.approx((wanted.low, wanted.high))
    assert found.value == pytest.approx(OURS.mean() - THEIRS.mean())


def test_equal_methods_are_called_different_in_no_more_than_one_case_in_twenty() -> None:
    generator = np.random.default_rng(0)
    for seeds in (3, 5):
        wrong = [
            verdict(difference(*generator.normal(size=(2, seeds))), higher_is_better=True) != "tie" for _ in range(1000)
        ]
        assert 0.01 < np.mean(wrong) < 0.065


def test_a_verdict_turns_with_the_direction_of_the_metric() -> None:
    gap = difference(TIED["one"], TIED["last"])
    assert verdict(gap, higher_is_better=True) == "better"
    assert verdict(gap, higher_is_better=False) == "worse"
    assert verdict(difference(TIED["last"], TIED["one"]), higher_is_better=True) == "worse"
    assert verdict(gap, higher_is_better=None) == "unknown"


def test_scores_that_never_vary_are_told_apart_exactly() -> None:
    # The mean of four times .9 is not the mean of three times .9 in floating point.
    assert verdict(difference(np.full(3, 0.9), np.full(7, 0.9)), higher_is_better=True) == "tie"
    assert verdict(difference(np.full(3, 1.0), np.full(3, 0.9)), higher_is_better=True) == "better"


@pytest.mark.parametrize("seeds", [1, 2])
def test_one_or_two_seeds_give_numbers_without_interval_and_no_verdict(seeds: int) -> None:
    few, many = np.array([0.9, 0.8])[:seeds], np.array([0.1, 0.11, 0.12])
    for found in (
        interquartile_mean([few, many]),
        difference(few, many),
        probability_of_improvement([few], [many], higher_is_better=True),
    ):
        assert found.low is None and found.high is None
        assert found.note.startswith(f"n too small: {seeds} seed")
    assert verdict(difference(few, many), higher_is_better=True) == "unknown"
    standing = ranking({"few": few, "many": many}, higher_is_better=True).loc["few"]
    assert standing["rank"] == 1
    assert standing[["rank_low", "rank_high", "place"]].isna().all()
    assert "n too small" in standing["note"]


def test_no_score_or_a_nan_is_refused() -> None:
    for scores in (np.array([]), np.array([0.1, math.nan])):
        with pytest.raises(ValueError, match="one finite score or more"):
            difference(scores, OURS)


def test_a_planted_tie_is_a_tie_and_shares_its_place() -> None:
    found = ranking(TIED, higher_is_better=True)
    assert found["place"].to_list() == [1, 1, 3]
    assert found["tied_with"].to_list() == [("two",), ("one",), ()]
    assert found.loc[["one", "two"], "rank_low"].to_list() == [1, 1]
    assert found.loc[["one", "two"], "rank_high"].to_list() == [2, 2]
    assert found.loc["last", ["rank", "rank_low", "rank_high"]].to_list() == [3, 3, 3]


def test_where_lower_is_better_the_order_turns() -> None:
    found = ranking(TIED, higher_is_better=False)
    assert found["place"].to_list() == [2, 2, 1]
    assert found["rank"].to_list() == [2, 3, 1]
    assert found.loc["last", "rank_high"] == 1


def test_a_tie_need_not_be_transitive() -> None:
    chain = {name: level + np.array([-0.04, 0.0, 0.04]) for name, level in (("a", 0.9), ("b", 0.83), ("c", 0.76))}
    found = ranking(chain, higher_is_better=True)
    assert found["tied_with"].to_list() == [("b",), ("a", "c"), ("b",)]
    assert found["place"].to_list() == [1, 1, 2]


def test_equal_means_share_a_rank_and_a_method_without_scores_has_none() -> None:
    same = np.array([0.1, 0.2, 0.3])
    found = ranking({"a": same, "b": same[::-1], "none": np.array([])}, higher_is_better=True)
    assert found["rank"].to_list()[:2] == [1.5, 1.5]
    assert found.loc["none", ["rank", "rank_low", "place"]].isna().all()
    assert found.loc["none", "note"] == "no score"


def test_a_rival_that_cannot_be_resampled_may_stand_on_either_side() -> None:
    alone = ranking({"a": TIED["one"], "b": TIED["last"]}, higher_is_better=True)
    beside = ranking({"a": TIED["one"], "b": TIED["last"], "new": np.array([0.2])}, higher_is_better=True)
    assert alone["rank_high"].to_list() == [1, 2]
    assert beside["rank_low"].to_list()[:2] == [1, 2]
    assert beside["rank_high"].to_list()[:2] == [2, 3]


def test_a_rank_distribution_counts_resamples() -> None:
    found = rank_distribution(list(TIED.values()), higher_is_better=True)
    assert found.sum(axis=1) == pytest.approx(1)
    assert found[2] == pytest.approx([0, 0, 1])
    # Of 27 x 27 pairs of resamples, those in which the mean of `two` is the larger, counted one by one.
    means = [[np.mean(d) for d in itertools.product(TIED[name], repeat=3)] for name in ("one", "two")]
    behind = np.mean([b > a + 1e-9 for a in means[0] for b in means[1]])
    assert found[0] == pytest.approx([1 - behind, behind, 0], abs=0.03)


def test_the_same_seed_gives_the_same_numbers_and_another_seed_others() -> None:
    assert interquartile_mean([OURS], seed=3) == interquartile_mean([OURS], seed=3)
    assert interquartile_mean([OURS], seed=3) != interquartile_mean([OURS], seed=4)
    pd.testing.assert_frame_equal(ranking(TIED, True, seed=1), ranking(TIED, True, seed=1))


def test_a_method_that_skipped_the_hard_dataset_does_not_win_the_mean() -> None:
    easy, hard = np.array([0.9, 0.91, 0.92]), np.array([0.1, 0.11, 0.12])
    found = over_datasets(
        {"whole": {"easy": easy, "hard": hard}, "weak": {"easy": hard, "hard": hard}, "part": {"easy": easy + 0.05}},
        higher_is_better=True,
    )
    assert found.loc["part", ["iqm", "low", "high", "mean_rank"]].isna().all()
    assert found.loc["part", "missing"] == ("hard",)
    assert "no score on hard" in found.loc["part", "note"]
    # Six scores pooled, one cut at either end.
    assert found.loc["whole", "iqm"] == pytest.approx((0.91 + 0.90 + 0.12 + 0.11) / 4)
    assert found["iqm"].idxmax() == "whole"
    assert found["mean_rank"].to_list()[:2] == [1.25, 1.75]  # a tie on the hard one


def test_a_metric_without_bounds_has_ranks_over_datasets_but_no_mean() -> None:
    found = over_datasets({"a": {"x": OURS}, "b": {"x": THEIRS}}, higher_is_better=False, pooled=False)
    assert found["iqm"].isna().all()
    assert found["mean_rank"].to_list() == [2, 1]


def test_uneven_seeds_over_datasets_are_mentioned() -> None:
    found = over_datasets({"a": {"x": OURS, "y": THEIRS}}, higher_is_better=True)
    assert "differ in number" in found.loc["a", "note"]


def test_the_example_of_demsar_is_met() -> None:
    found = friedman_nemenyi(DEMSAR, higher_is_better=True)
    assert found.mean_ranks == pytest.approx([3.143, 2.000, 2.893, 1.964], abs=5e-4)
    assert found.critical_difference == pytest.approx(1.25, abs=5e-3)
    assert found.statistic == pytest.approx(friedmanchisquare(*DEMSAR.T).statistic)
    assert found.p_value == pytest.approx(friedmanchisquare(*DEMSAR.T).pvalue)
    # 3.143 - 1.964 = 1.179 is below 1.25: no pair differs, though Friedman's test says that some do.
    assert found.cliques == ((3, 1, 2, 0),)
    assert found.p_value < 0.05


@pytest.mark.parametrize(("higher_is_better", "sign"), [(True, 1), (False, -1)])
def test_nemenyi_agrees_with_scikit_posthocs(higher_is_better: bool, sign: int) -> None:
    # scikit_posthocs 0.17.1: posthoc_nemenyi_friedman(BLOCKS). At the level of its p-value two methods just differ.
    expected = {
        (0, 1): 0.678387686418,
        (0, 2): 0.908131773901,
        (0, 3): 0.113581098855,
        (1, 2): 0.278638875395,
        (2, 3): 0.019129641241,
    }
    for (i, j), p_value in expected.items():
        found = friedman_nemenyi(sign * BLOCKS, higher_is_better, alpha=p_value)
        assert abs(found.mean_ranks[i] - found.mean_ranks[j]) == pytest.approx(found.critical_difference, rel=1e-6)
        assert found.mean_ranks.argmin() == 2


def test_cliques_join_methods_that_do_not_differ() -> None:
    found = friedman_nemenyi(BLOCKS, higher_is_better=True)
    # CD 1.915: only the first and the last of the order 2, 0, 1, 3 are further apart.
    assert found.mean_ranks == pytest.approx([2.0, 17 / 6, 1.5, 22 / 6])
    assert found.critical_difference == pytest.approx(2.569 * math.sqrt(4 * 5 / (6 * 6)), abs=1e-3)
    assert found.cliques == ((2, 0, 1), (0, 1, 3))


def test_without_a_difference_at_all_there_is_one_clique() -> None:
    found = friedman_nemenyi(np.full((4, 3), 0.5), higher_is_better=True)
    assert (found.statistic, found.p_value) == (0.0, 1.0)
    assert found.cliques == ((0, 1, 2),)
    assert found.mean_ranks == pytest.approx([2, 2, 2])


def test_only_complete_blocks_are_ranked() -> None:
    gap = np.array([[0.1, math.nan, 0.9, 0.2]])
    found = friedman_nemenyi(np.concatenate([BLOCKS, gap]), higher_is_better=True)
    assert (found.blocks, found.left_out) == (6, 1)
    assert found.mean_ranks == pytest.approx(friedman_nemenyi(BLOCKS, higher_is_better=True).mean_ranks)
    with pytest.raises(ValueError, match="got 4 methods on 1"):
        friedman_nemenyi(np.concatenate([BLOCKS[:1], gap]), higher_is_better=True)
    with pytest.raises(ValueError, match="got 2 methods on 6"):
        friedman_nemenyi(BLOCKS[:, :2], higher_is_better=True)


def test_metrics_that_agree_on_what_is_good_correlate_whatever_their_direction() -> None:
    generator = np.random.default_rng(0)
    good = generator.normal(size=12)
    noisy = good + generator.normal(size=12)
    trials = pd.DataFrame({"up": good, "down": -good, "noisy": noisy, "flat": 1.0})
    trials.loc[0, "noisy"] = math.nan
    found = agreement(trials, {"up": True, "down": False, "noisy": True, "flat": True})
    assert found.loc["up", "down"] == found.loc["down", "up"] == pytest.approx(1)
    assert found.loc["up", "noisy"] == pytest.approx(spearmanr(good[1:], noisy[1:]).statistic)
    assert found.loc["down", "noisy"] == pytest.approx(found.loc["up", "noisy"])
    assert found["flat"].isna().all() and np.isnan(np.diag(found)).all()
    assert agreement(trials[["up", "noisy"]], {"up": True, "noisy": False}).iloc[0, 1] == -found.loc["up", "noisy"]


def test_four_trials_are_too_few_for_an_agreement() -> None:
    trials = pd.DataFrame({"up": [1.0, 2, 3, 4], "too": [1.0, 2, 3, 4]})
    assert agreement(trials, {"up": True, "too": True}).isna().all(axis=None)
    trials.loc[4] = 5.0
    assert agreement(trials, {"up": True, "too": True}).loc["up", "too"] == pytest.approx(1)
