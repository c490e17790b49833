"""RMIG against the authors' computation on stochastic codes, and by hand."""

from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

from disbench.metrics import as_codes
from disbench.metrics.information import standardised
from disbench.metrics.mig import mig
from disbench.metrics.rmig import quantised_posteriors, rmig

# 100 bins over [-4, 4]: RMIG of each factor, J in nats of each factor, their JEMMIG. The peer adds in single precision.
DO_AND_TRAN = {
    "noisy_vae": (
        [0.397374808788, 0.366306573153, 0.146479338408, 0.279978871346, 0.340628117323],
        [3.8623855114, 4.09836864471, 4.68135929108, 4.33315563202, 4.57196521759],
        0.695162803135,
    ),
    "dsprites10k": (
        [0.197808593512, 0.674636423588, 0.159455940127, 0.46997231245, 0.455658167601],
        [4.36934375763, 3.37595129013, 5.77723169327, 3.81969690323, 3.86505508423],
        0.588598744323,
    ),
}
SAMPLED = (0.306913107634, 0.0036798119545)  # mean and deviation of two runs of their sampling estimate on noisy_vae


def posteriors(case):
    with np.load(Path(__file__).parent / "oracle" / f"{case}.npz") as table:
        return table["codes"], table["factors"], table["codes_std"]


@pytest.mark.parametrize("case", DO_AND_TRAN)
def test_rmig_of_stochastic_codes_is_that_of_its_authors(case):
    codes, factors, stds = posteriors(case)
    gaps, j_nats, jemmig = DO_AND_TRAN[case]
    detail = rmig.detail(codes, factors, std=stds, standardise=False)
    entries = detail["factors"]
    assert [entry["gap"] for entry in entries] == pytest.approx(gaps, abs=2e-6)
    assert [entry["j_nats"] for entry in entries] == pytest.approx(j_nats, abs=2e-6)
    assert np.mean([entry["jemmig_lower_is_better"] for entry in entries]) == pytest.approx(jemmig, abs=2e-6)
    assert detail["score"] == pytest.approx(np.mean(gaps), abs=1e-6)


def test_quantising_agrees_with_the_authors_sampling():
    codes, factors, stds = posteriors("noisy_vae")
    mean, deviation = SAMPLED
    assert abs(rmig(codes, factors, std=stds, standardise=False) - mean) < 4 * deviation / np.sqrt(2) + 0.005


def test_the_unit_of_the_limits_is_a_codes_deviation_over_rows_and_posteriors():
    """These codes are nearly standard normal, so both readings of the limits are nearly one; and scale is no matter."""
    codes, factors, stds = posteriors("noisy_vae")
    score = rmig(codes, factors, std=stds)
    assert score == pytest.approx(rmig(codes, factors, std=stds, standardise=False), abs=0.005)
    scale, shift = np.linspace(1e-3, 1e3, codes.shape[1]), np.arange(codes.shape[1])
    assert rmig(codes * scale + shift, factors, std=stds * scale) == pytest.approx(score, abs=1e-6)


def test_a_unit_is_the_deviation_of_the_mixture_of_all_posteriors():
    rng = np.random.default_rng(0)
    means, stds = standardised(rng.normal(3.0, 5.0, (100, 2)) * [1.0, 1e-200], rng.random((100, 2)) * [7.0, 1e-200])
    assert (means**2 + stds**2).mean(axis=0) == pytest.approx([1.0, 1.0], abs=1e-12)
    assert means.mean(axis=0) == pytest.approx([0.0, 0.0], abs=1e-12)


def test_a_posterior_is_the_density_at_the_centres_made_to_sum_to_one():
    weights = quantised_posteriors(np.array([0.5]), np.array([1.0]), np.linspace(-2, 2, 5))
    expected = np.exp(-0.5 * np.array([2.0, 1.0, 0.0, 1.0]) ** 2)
    assert weights[0] == pytest.approx(expected / expected.sum(), abs=1e-12)


@pytest.mark.parametrize(("mean", "index"), [(-9.0, 0), (-2.0, 0), (0.1, 2), (1.0, 3), (2.0, 3), (9.0, 3)])
@pytest.mark.parametrize("std", [0.0, 1e-3])
def test_a_posterior_that_misses_all_centres_is_in_the_bin_of_its_mean(mean, index, std):
    weights = quantised_posteriors(np.array([mean]), np.array([std]), np.linspace(-2, 2, 5))
    assert weights[0].tolist() == np.eye(4)[index].tolist()


def test_points_are_counted_as_infinitely_narrow_posteriors(oracle_table):
    codes, factors = oracle_table("noisy_vae")
    assert rmig(codes, factors) == pytest.approx(rmig(codes, factors, std=np.zeros(codes.shape)), abs=1e-12)


def test_many_rows_are_spread_as_few_are(monkeypatch):
    codes, factors, stds = posteriors("noisy_vae")
    score = rmig(codes, factors, std=stds)
    monkeypatch.setattr(import_module("disbench.metrics.rmig"), "ROWS_AT_ONCE", 1000)
    assert rmig(codes, factors, std=stds) == pytest.approx(score, abs=1e-12)


def test_points_in_the_same_bins_score_as_mig(grid):
    """Values of the factors fall into bins of their own under both, so all that differs is gone."""
    codes = np.column_stack([grid[:, 0], grid[:, 1] // 2, grid[:, 2], grid[:, 1] * 5 + grid[:, 2]])
    assert rmig(codes, grid) == pytest.approx(mig(codes, grid), abs=1e-12)


def test_the_gap_by_hand():
    """A fair bit and its copy through a posterior that keeps 3/4 of the weight: I = log 2 - H(3/4)."""
    factor = np.array([[0], [0], [1], [1]])
    blur = np.sqrt(1 / (2 * np.log(3)))  # density at the other centre, one away, is a third of that at its own
    codes, stds = np.column_stack([factor - 0.5, factor - 0.5]), np.column_stack([np.zeros(4), np.full(4, blur)])
    detail = rmig.detail(codes, factor, std=stds, bins=2, limit=1.0, standardise=False)
    blurred = np.log(2) + 0.75 * np.log(0.75) + 0.25 * np.log(0.25)
    entry = detail["factors"][0]
    assert entry["information"] == pytest.approx(np.log(2), abs=1e-12)
    assert entry["runner_up_information"] == pytest.approx(blurred, abs=1e-12)
    assert entry["gap_nats"] == pytest.approx(np.log(2) - blurred, abs=1e-12)
    assert detail["score"] == pytest.approx(1 - blurred / np.log(2), abs=1e-12)


def test_a_perfect_code_of_dsprites_fits_its_bins():
    """Where MIG's 20 bins cap it at .90."""
    for size in (3, 6, 40, 32):
        assert rmig(np.arange(size)[:, None], np.arange(size)[:, None]) == pytest.approx(1.0, abs=1e-12)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"bins": 1}, "at least 2 bins, got bins=1"),
        ({"limit": 0.0}, "positive limit, got limit=0.0"),
        ({"limit": float("nan")}, "limit as a finite number"),
        ({"std": np.ones((360, 2))}, r"standard deviation for each code, got float64 \(360, 2\) for \(360, 3\)"),
        ({"std": -np.ones((360, 3))}, "logarithms of variances"),
        ({"std": np.full((360, 3), np.nan)}, "finite numbers >= 0"),
    ],
)
def test_impossible_options_are_refused(options, message, grid):
    with pytest.raises(ValueError, match=message):
        rmig(as_codes(grid), grid, **options)


def test_dead_codes_know_nothing_with_posteriors_or_without(grid):
    codes, stds = np.insert(as_codes(grid), 1, 0.1, axis=1), np.full((len(grid), 4), 0.01)
    for options in ({}, {"std": stds}):
        detail = rmig.detail(codes, grid, **options)
        assert detail["dropped_codes"] == [1]
        assert detail["score"] == pytest.approx(1.0, abs=1e-9)
        assert rmig(codes[:, [1]], grid, **({"std": stds[:, [1]]} if options else {})) == 0.0
