"""What an interval holds: checked against tables that are drawn anew, and by cases that can be worked out."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from disbench.metrics import METRICS, Metric, NotApplicable, as_table
from disbench.metrics.confidence import Confidence, confidence, confidences, moved_interval, resampled_scores

MIG, IRS, CORRELATION = (METRICS[name] for name in ("mig", "irs", "gaussian_total_correlation"))
Z_MIN_VAR = replace(METRICS["z_min_var"], stochastic=True)
FEW = {"train": 300, "test": 300}


def metric_of(compute, **more):
    """A metric of any function of a table, for cases that can be worked out."""
    card = {"label": "x", "higher_is_better": True, "bounds": (-np.inf, np.inf), "definition": "x.", "source": "x"}
    return Metric(compute, **card, **more)


@metric_of
def mean_code(table):
    return float(table.codes.mean())


def fresh_table(rows, rng):
    factors = np.stack([rng.integers(0, size, rows) for size in (3, 6, 10)], axis=1)
    mixing = np.eye(3, 4) + np.array([[0.0, 0.3, 0.0, 0.2], [0.3, 0.0, 0.2, 0.0], [0.0, 0.3, 0.0, 0.3]])
    return (factors / factors.std(axis=0)) @ mixing + 0.5 * rng.normal(size=(rows, 4)), factors


def test_the_mean_of_a_column_has_its_standard_error_and_normal_interval():
    codes = np.random.default_rng(0).normal(3.0, 2.0, (400, 1))
    found = confidence(mean_code, codes, np.arange(400)[:, None] % 3, resamples=4000)
    error = codes.std() / 20
    assert found.kind == "bootstrap"
    assert found.n == 4000
    assert found.sd == pytest.approx(error, rel=0.05)
    assert found.mean == pytest.approx(codes.mean(), abs=4 * error / np.sqrt(4000))
    assert (found.low, found.high) == pytest.approx(codes.mean() + 1.96 * error * np.array([-1, 1]), abs=0.1 * error)


def test_four_times_the_rows_halve_the_interval():
    rng = np.random.default_rng(1)
    few, many = (confidence(MIG, *fresh_table(rows, rng), resamples=150) for rows in (500, 2000))
    assert (few.high - few.low) / (many.high - many.low) == pytest.approx(2.0, rel=0.35)


@pytest.mark.parametrize("name", ["mig", "jemmig", "modularity", "rmig", "gaussian_total_correlation"])
def test_the_interval_holds_what_other_rows_score_on_average(name):
    """19 times in 20. Unmoved percentiles of Modularity never do: resamples of 300 rows score .07 lower than the table."""
    rng, metric = np.random.default_rng(2), METRICS[name]
    average = np.mean([metric(*fresh_table(300, rng)) for _ in range(200)])
    intervals = [confidence(metric, *fresh_table(300, rng), resamples=60, seed=trial) for trial in range(40)]
    assert sum(interval.low <= average <= interval.high for interval in intervals) >= 33
    if name == "modularity":
        unmoved = [(i.low + shift, i.high + shift) for i in intervals for shift in [i.mean - (i.low + i.high) / 2]]
        assert sum(low <= average <= high for low, high in unmoved) <= 10


def test_the_interval_is_the_middle_95_percent_moved_to_the_score():
    replicates = np.arange(101.0)
    assert moved_interval(10.0, replicates, (-np.inf, np.inf)) == Confidence(
        "bootstrap", pytest.approx(-37.5), pytest.approx(57.5), 50.0, pytest.approx(replicates.std(ddof=1)), 101
    )


def test_the_interval_stays_within_the_bounds(grid, noisy_codes):
    noise = np.random.default_rng(0).permutation(noisy_codes)
    assert confidence(MIG, noise, grid, resamples=40).low == 0.0
    assert confidence(MIG, grid.astype(float), grid, resamples=40).high == 1.0
    wide = confidence(METRICS["wasserstein_correlation"], noise, grid, options={"normalised": False}, resamples=40)
    assert wide.low <= METRICS["wasserstein_correlation"](noise, grid, normalised=False) <= wide.high


def test_the_interval_stays_within_the_bounds_that_hold_under_the_options(grid, noisy_codes):
    noise = np.random.default_rng(0).permutation(noisy_codes)
    assert confidence(MIG, noise, grid, options={"bins": 10}, resamples=40).low == 0.0
    wide = METRICS["wasserstein_correlation"]
    copies = np.repeat(noise, 2, axis=1) * 10
    spread = confidence(wide, copies, grid, options={"normalised": False}, resamples=40)
    assert wide.bounds[1] < spread.low < wide(copies, grid, normalised=False) < spread.high


def test_a_seed_decides_the_resamples(grid, noisy_codes):
    one, same, other = (confidence(MIG, noisy_codes, grid, resamples=20, seed=seed) for seed in (1, 1, 2))
    assert one == same != other


def test_several_metrics_at_once_are_each_of_them_alone(grid, noisy_codes):
    asked = {"a": (MIG, {"bins": 10}), "z": (Z_MIN_VAR, FEW), "b": (IRS, {})}
    found, reasons = confidences(asked, as_table(noisy_codes, grid), resamples=20, seed=3)
    assert list(found) == ["a", "z", "b"]
    assert not reasons
    for name, (metric, options) in asked.items():
        assert found[name] == confidence(metric, noisy_codes, grid, options=options, resamples=20, seed=3)


def test_options_reach_the_metric(grid, noisy_codes):
    ten, twenty = (confidence(MIG, noisy_codes, grid, options={"bins": bins}, resamples=20) for bins in (10, 20))
    score = METRICS["mig"](noisy_codes, grid, bins=10)
    assert ten.low < score < ten.high
    assert ten != twenty


def test_deviations_are_resampled_with_the_codes_and_groups_stay():
    def agreement(table):
        assert table.groups.tolist() == [1, 2]
        return float((table.codes == table.std).mean())

    codes, metric = np.random.default_rng(0).random((50, 2)), metric_of(agreement, uses=("codes", "std", "groups"))
    for std in (codes, codes.tolist(), torch.from_numpy(codes)):
        assert confidence(metric, codes, np.arange(50)[:, None], std=std, groups=[1, 2]).mean == 1.0


def test_rows_of_codes_and_factors_are_drawn_together(grid):
    scores = resampled_scores([(IRS, {})], as_table(grid.astype(float), grid), 10, 0)
    assert scores == pytest.approx(1.0)


def test_a_sampled_metric_has_the_spread_of_its_own_seeds(grid, noisy_codes):
    found = confidence(Z_MIN_VAR, noisy_codes, grid, options=FEW, seeds=4, seed=7)
    scores = [Z_MIN_VAR(noisy_codes, grid, **FEW, seed=seed) for seed in (7, 8, 9, 10)]
    assert len(set(scores)) > 1
    assert found == Confidence(
        "seeds", min(scores), max(scores), pytest.approx(np.mean(scores)), pytest.approx(np.std(scores, ddof=1)), 4
    )


def test_a_seed_among_the_options_comes_first(grid, noisy_codes):
    by_option = confidence(Z_MIN_VAR, noisy_codes, grid, options={**FEW, "seed": 7}, seeds=3)
    assert by_option == confidence(Z_MIN_VAR, noisy_codes, grid, options=FEW, seeds=3, seed=7)


def test_a_metric_that_is_not_resampled_is_not_called_and_gives_its_reason(grid, noisy_codes):
    def never(table):
        raise AssertionError

    with pytest.raises(NotApplicable, match=r"rows are not resampled: it takes minutes\."):
        confidence(metric_of(never, no_bootstrap_reason="it takes minutes."), noisy_codes, grid)


def test_what_has_no_score_has_the_same_reason_and_no_confidence(grid, noisy_codes):
    asked = {"sampled": (Z_MIN_VAR, {}), "compares": (METRICS["modularity"], {}), "mig": (MIG, {})}
    found, reasons = confidences(asked, as_table(noisy_codes, grid[:, :1]), resamples=5)
    assert list(found) == ["mig"]
    assert sorted(reasons) == ["compares", "sampled"]
    assert all("needs two that vary" in reason for reason in reasons.values())


def test_resamples_without_a_score_are_left_out_and_few_scores_are_none():
    """One row in 8 has the other value, and a resample misses it in .34 of cases: (7/8)^8. With one row of 2, in half."""
    codes = np.random.default_rng(0).normal(size=(8, 2))
    found = confidence(CORRELATION, codes, np.eye(8)[:, :1], resamples=400)
    assert found.n == pytest.approx(400 * (1 - (7 / 8) ** 8), abs=40)
    sometimes = iter([0.1] + [0.1, None, None] * 10)

    def rarely(table):
        value = next(sometimes)
        if value is None:
            raise NotApplicable("not here.")
        return value

    with pytest.raises(NotApplicable, match="10 of 30 resamples have a score"):
        confidence(metric_of(rarely, uses=("codes",)), codes, resamples=30)


def test_lists_are_tables_too(grid, noisy_codes):
    assert confidence(MIG, noisy_codes.tolist(), grid.tolist(), resamples=5) == confidence(
        MIG, noisy_codes, grid, resamples=5
    )


@pytest.mark.parametrize("few", [{"resamples": 1}, {"seeds": 1}])
def test_one_number_has_no_spread(few, grid, noisy_codes):
    with pytest.raises(ValueError, match=r"a spread needs (resamples|seeds) >= 2, got"):
        confidence(MIG, noisy_codes, grid, **few)


def test_a_malformed_table_is_refused_as_by_the_metric(grid, noisy_codes):
    with pytest.raises(ValueError, match="the same rows"):
        confidence(MIG, noisy_codes, grid[1:])
