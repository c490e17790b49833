"""The scores of codes among themselves against disentanglement_lib, and by hand."""

import numpy as np
import pytest
from scipy.linalg import sqrtm
from sklearn.metrics import mutual_info_score as pair_information

from disbench.metrics import NotApplicable, as_codes, shuffled
from disbench.metrics.unsupervised import (
    gaussian_total_correlation,
    mutual_info_score,
    wasserstein_correlation,
)

DLIB = {  # total correlation, Wasserstein correlation, that normalised, mutual information
    "perfect": (0.0, 0.0, 0.0, 0.0),
    "noisy_vae": (0.369592611976, 0.184989018202, 0.0512704687403, 0.0631117844992),
    "rotation": (0.0, 0.0, 0.0, 0.149045690018),
    "noise": (0.00851907024715, 0.00840260740304, 0.000847381073095, 0.0510245739639),
    "dsprites10k": (0.0752001000398, 0.0615638952856, 0.0124945934082, 0.024188013438),
    "celeba40": (8.24525957811, 13.7744683686, 0.275311807238, 0.0475491171104),
}
DLIB_DUPLICATED = (16.1801181841, 0.753065955754, 0.137122851445, 0.107295860829)
DLIB_DEAD_DIMS = (None, 5.88260365557e-05, 1.16369944954e-05, 0.0262883447349)  # the first is NaN


@pytest.mark.parametrize("case", DLIB)
def test_the_scores_are_those_of_disentanglement_lib(case, oracle_table):
    codes, factors = oracle_table(case)
    correlation, distance, normalised, information = DLIB[case]
    assert gaussian_total_correlation(codes, factors) == pytest.approx(correlation, abs=1e-9)
    assert wasserstein_correlation(codes, factors, normalised=False) == pytest.approx(distance, abs=1e-9)
    assert wasserstein_correlation(codes, factors) == pytest.approx(normalised, abs=1e-9)
    assert mutual_info_score(codes, factors) == pytest.approx(information, abs=1e-9)


def test_a_copied_code_has_an_infinite_total_correlation_where_the_peer_gives_the_size_of_its_rounding(oracle_table):
    codes, factors = oracle_table("duplicated")
    with pytest.raises(NotApplicable, match="infinite: a code is a linear function of others"):
        gaussian_total_correlation(codes, factors)
    _, distance, normalised, information = DLIB_DUPLICATED
    assert mutual_info_score(codes, factors) == pytest.approx(information, abs=1e-9)
    # The square root of a singular matrix: the peer loses half of its digits.
    assert wasserstein_correlation(codes, factors, normalised=False) == pytest.approx(distance, abs=1e-7)
    assert wasserstein_correlation(codes, factors) == pytest.approx(normalised, abs=1e-7)


def test_dead_codes_are_left_out_where_the_peer_gives_nan_or_counts_their_pairs(oracle_table):
    codes, factors = oracle_table("dead_dims")
    live = np.flatnonzero(np.ptp(codes.astype(float), axis=0) > 0)
    assert gaussian_total_correlation(codes, factors) == gaussian_total_correlation(codes[:, live], factors)
    assert gaussian_total_correlation(codes, factors) < 0.001
    _, distance, normalised, information = DLIB_DEAD_DIMS
    assert wasserstein_correlation(codes, factors, normalised=False) == pytest.approx(distance, abs=1e-9)
    assert wasserstein_correlation(codes, factors) == pytest.approx(normalised, abs=1e-9)
    D, d = codes.shape[1], len(live)
    score = mutual_info_score(codes, factors)
    assert score * d * (d - 1) / (D * (D - 1)) == pytest.approx(information, abs=1e-9)
    assert score == mutual_info_score(codes[:, live], factors)


def two_codes(correlation, first=1.0, second=1.0):
    """Four rows of two codes with just that correlation and those standard deviations (of a sample)."""
    x, y = np.array([1.0, 1.0, -1.0, -1.0]), np.array([1.0, -1.0, 1.0, -1.0])
    other = correlation * x + np.sqrt(1 - correlation**2) * y
    return np.column_stack([first * x, second * other]) * np.sqrt(3) / 2, np.arange(4)[:, None]


@pytest.mark.parametrize("correlation", [0.0, 0.3, -0.8])
def test_two_codes_by_hand(correlation):
    codes, factors = two_codes(correlation)
    detail = gaussian_total_correlation.detail(codes, factors)
    assert detail["score"] == pytest.approx(-0.5 * np.log(1 - correlation**2), abs=1e-12)
    assert detail["codes"][0] == pytest.approx({"code": 0, "other": 1, "correlation": abs(correlation)}, abs=1e-12)
    half_traces = np.sqrt(1 + correlation) + np.sqrt(1 - correlation)
    assert wasserstein_correlation(codes, factors, normalised=False) == pytest.approx(4 - 2 * half_traces, abs=1e-12)
    assert wasserstein_correlation(codes, factors) == pytest.approx(2 - half_traces, abs=1e-12)


def test_the_distance_is_that_between_two_normals():
    """Against the general formula for two covariances, not the one that is used."""
    codes = np.random.default_rng(0).normal(size=(50, 4)) @ np.random.default_rng(1).normal(size=(4, 4))
    covariance = np.cov(codes.T)
    root = sqrtm(covariance)
    marginals = np.diag(np.diag(covariance))
    expected = np.trace(covariance + marginals - 2 * sqrtm(root @ marginals @ root)).real
    detail = wasserstein_correlation.detail(codes, np.arange(50)[:, None] % 2)
    assert detail["squared_distance"] == pytest.approx(expected, rel=1e-9)
    assert detail["score"] == detail["normalised"] == pytest.approx(expected / np.trace(covariance), rel=1e-9)


def test_a_scale_of_single_codes_is_nothing_to_the_total_correlation_and_a_weight_to_the_distance():
    codes, factors = two_codes(0.6)
    small, _ = two_codes(0.6, second=1e-6)
    assert gaussian_total_correlation(small, factors) == pytest.approx(gaussian_total_correlation(codes, factors))
    assert wasserstein_correlation(small, factors) < 1e-5 < wasserstein_correlation(codes, factors)


@pytest.mark.parametrize("scale", [1e-200, 1e-3, 1e29])
def test_a_common_scale_is_a_matter_of_units(scale):
    codes, factors = two_codes(0.6)
    assert wasserstein_correlation(scale * codes, factors) == pytest.approx(wasserstein_correlation(codes, factors))
    raw = wasserstein_correlation(codes, factors, normalised=False)
    assert wasserstein_correlation(scale * codes, factors, normalised=False) == pytest.approx(scale**2 * raw)
    assert gaussian_total_correlation(scale * codes, factors) == pytest.approx(-0.5 * np.log(0.64))


def test_the_normalised_distance_stays_below_two():
    """Its largest value for D codes is that of copies: 2 - 2 / sqrt(D)."""
    copies = np.repeat(np.random.default_rng(0).normal(size=(30, 1)), 25, axis=1)
    assert wasserstein_correlation(copies, np.arange(30)[:, None] % 2) == pytest.approx(2 - 2 / 5, abs=1e-6)


def test_mutual_information_is_the_mean_over_pairs(noisy_codes, grid):
    bins = [np.digitize(code, np.histogram_bin_edges(code, 20)[:-1]) for code in noisy_codes.T]
    pairs = [pair_information(bins[i], bins[j]) for i in range(4) for j in range(i)]
    detail = mutual_info_score.detail(noisy_codes, grid)
    assert detail["score"] == pytest.approx(np.mean(pairs), abs=1e-12)
    strongest = max(pair_information(bins[2], bins[j]) for j in (0, 1, 3))
    assert detail["codes"][2]["information"] == pytest.approx(strongest, abs=1e-12)


def test_mutual_information_sees_what_correlation_cannot(grid):
    x = np.arange(len(grid)) % 9 - 4.0
    codes = np.column_stack([x, x**2])
    assert gaussian_total_correlation(codes, grid) == pytest.approx(0.0, abs=1e-3)
    assert mutual_info_score(codes, grid) > 1.0
    copies = np.column_stack([x, -x])
    assert mutual_info_score(copies, grid) == pytest.approx(np.log(9), abs=1e-12)


@pytest.mark.parametrize("metric", [gaussian_total_correlation, wasserstein_correlation, mutual_info_score])
def test_factors_are_checked_and_not_used(metric, grid, noisy_codes):
    score = metric(noisy_codes, grid)
    assert score > 0
    assert metric(shuffled(noisy_codes, seed=0), grid) == pytest.approx(score, abs=1e-12)
    assert metric(noisy_codes, grid[:, :1]) == score
    with pytest.raises(NotApplicable, match="no factor varies"):
        metric(noisy_codes, np.zeros_like(grid))


@pytest.mark.parametrize("metric", [gaussian_total_correlation, wasserstein_correlation, mutual_info_score])
def test_one_code_and_none_depend_on_nothing(metric, grid):
    assert metric(as_codes(grid[:, :1]), grid) == 0.0
    assert metric(np.full((len(grid), 2), 0.1), grid) == 0.0
    assert metric(np.insert(as_codes(grid[:, :1]), 0, 0.1, axis=1), grid) == 0.0


def test_fewer_rows_than_codes_are_a_reason():
    with pytest.raises(NotApplicable, match="infinite"):
        gaussian_total_correlation(np.random.default_rng(0).normal(size=(4, 6)), np.arange(4)[:, None])
