"""Metrics that are defined on values, against peers written here on values; continuous factors."""

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment
from scipy.stats import entropy
from sklearn.linear_model import Lasso, LinearRegression
from sklearn.metrics import mutual_info_score
from sklearn.model_selection import cross_val_score
from sklearn.preprocessing import minmax_scale

from disbench.metrics import METRICS, NotApplicable, as_codes, shuffled
from disbench.metrics.infomec import infoc, infoe, infom, relative_information
from disbench.metrics.table import as_table

N = 2000
LASSO = ("dci_disentanglement", "dci_completeness", "dci_informativeness")
BINNED = ("mig", "jemmig", "dcimig", "mig_sup", "modularity")


def factors_of(kind):
    rng = np.random.default_rng(1)
    if kind == "lognormal":
        return np.exp(rng.normal(size=(N, 3)))
    if kind == "uniform":
        return rng.uniform(-2.0, 5.0, size=(N, 3))
    if kind == "normal, float32":
        return rng.normal(size=(N, 3)).astype(np.float32)
    if kind == "0, 1, 2, 100":
        return rng.choice([0, 1, 2, 100], size=(N, 3))
    if kind == "negative, with one huge value":
        return rng.choice([-7, -1, 0, 10**9], size=(N, 3), p=[0.3, 0.3, 0.3, 0.1])
    if kind == "fractions of few levels":
        return rng.choice([0.5, 0.6, 0.8, 1.7], size=(N, 3))
    return rng.choice([False, True], size=(N, 3))


KINDS = ["lognormal", "uniform", "normal, float32", "0, 1, 2, 100", "negative, with one huge value"]
KINDS += ["fractions of few levels", "booleans"]
CONTINUOUS = KINDS[:3]


def noisy_copy(factors, noise=0.05):
    """Each factor with noise of a share of its deviation, mixed a little with the next one, and a code of noise."""
    rng = np.random.default_rng(2)
    values = factors.astype(np.float64)
    units = values / values.std(axis=0)
    mixed = units + 0.2 * np.roll(units, 1, axis=1) + noise * rng.normal(size=units.shape)
    return np.column_stack([mixed[:, ::-1], rng.normal(size=N)])


def correlation_matrix(codes, factors):
    return np.abs(np.corrcoef(codes.T, factors.T.astype(np.float64))[: codes.shape[1], codes.shape[1] :])


@pytest.mark.parametrize("kind", KINDS)
def test_mcc_is_the_best_assignment_of_correlations_with_values(kind):
    factors = factors_of(kind)
    codes = noisy_copy(factors)
    size = correlation_matrix(codes, factors)
    assert METRICS["mcc"](codes, factors) == pytest.approx(
        size[linear_sum_assignment(size, maximize=True)].mean(), abs=1e-6
    )


@pytest.mark.parametrize("kind", KINDS)
def test_sap_is_the_gap_between_squared_correlations_with_values(kind):
    factors = factors_of(kind)
    codes = noisy_copy(factors)
    ranked = np.sort(correlation_matrix(codes, factors) ** 2, axis=0)
    assert METRICS["sap"](codes, factors) == pytest.approx((ranked[-1] - ranked[-2]).mean(), abs=1e-6)


def lasso_by_zaidi(codes, factors):
    """As in src/metrics/dci.py of the authors' code: (D, K) coefficients, and 1 - 12 MSE of each factor."""
    codes, factors = minmax_scale(codes), minmax_scale(factors.astype(np.float64))
    weights, scores = [], []
    for factor in factors.T:
        errors = [
            -cross_val_score(
                Lasso(alpha=a, max_iter=5000), codes, factor, cv=10, scoring="neg_mean_squared_error"
            ).mean()
            for a in (0.0001, 0.001, 0.01, 0.1, 0.2, 0.4, 0.8, 1)
        ]
        fit = Lasso(alpha=(0.0001, 0.001, 0.01, 0.1, 0.2, 0.4, 0.8, 1)[int(np.argmin(errors))]).fit(codes, factor)
        weights.append(np.abs(fit.coef_))
        scores.append(max(1 - 12 * ((fit.predict(codes) - factor) ** 2).mean(), 0))
    return np.transpose(weights), np.array(scores)


@pytest.mark.parametrize("kind", ["lognormal", "uniform", "0, 1, 2, 100", "fractions of few levels"])
def test_lasso_dci_is_that_of_the_authors_code_on_values(kind):
    factors = factors_of(kind)
    codes = noisy_copy(factors)
    weights, informativeness = lasso_by_zaidi(codes, factors)
    D, K = weights.shape
    used = weights.sum(axis=1) > 0
    by_code = np.where(used, 1 - entropy(np.where(used[:, None], weights, 1.0), axis=1) / np.log(K), 0.0)
    expected = {
        "dci_disentanglement": by_code @ weights.sum(axis=1) / weights.sum(),
        "dci_completeness": (1 - entropy(weights, axis=0) / np.log(D)).mean(),
        "dci_informativeness": informativeness.mean(),
    }
    for name in LASSO:
        assert METRICS[name](codes, factors, model="lasso") == pytest.approx(expected[name], abs=1e-6)


@pytest.mark.parametrize(("kind", "mcc", "sap"), [("lognormal", 0.999, 0.996), ("0, 1, 2, 100", 0.999, 0.997)])
def test_a_code_with_a_twentieth_of_noise_is_nearly_perfect_on_values(kind, mcc, sap):
    """By ranks the same codes would score an MCC of 0.73 and 0.79."""
    factors = factors_of(kind)
    codes = factors + 0.05 * factors.std(axis=0) * np.random.default_rng(3).normal(size=factors.shape)
    assert METRICS["mcc"](codes, factors) == pytest.approx(mcc, abs=6e-4)
    assert METRICS["sap"](codes, factors) == pytest.approx(sap, abs=1.5e-3)


def test_spearmans_correlation_reads_the_order_alone():
    factors = factors_of("lognormal")
    codes = noisy_copy(factors)
    of_logarithms = METRICS["mcc"](codes, np.log(factors), correlation="spearman")
    assert METRICS["mcc"](codes, factors, correlation="spearman") == pytest.approx(of_logarithms, abs=1e-12)
    assert METRICS["mcc"](codes, factors) > METRICS["mcc"](codes, np.log(factors)) + 0.05


@pytest.mark.parametrize(
    "kind", ["0, 1, 2, 100", "negative, with one huge value", "fractions of few levels", "booleans"]
)
@pytest.mark.parametrize("name", [name for name, metric in METRICS.items() if metric.reads != "values"])
def test_labels_are_read_as_ranks_by_every_metric_that_reads_no_values(name, kind):
    factors = factors_of(kind)[:300]
    if name == "tad":
        factors = factors_of("booleans")[:300] * 7.5 - 2**20
    few = {"train": 200, "test": 100} if name.startswith(("z_", "factor", "explicit", "sap_svc")) else {}
    few = {"train": 60, "test": 60} if name.startswith("dci_") and name != "dci_es_size" else few
    if name in ("z_min_var", "factor_vae_score", "z_max_var"):
        few["group"] = 5
    few |= {"groups": [1, 2, 3, 4]} if name.startswith("group_") else {}
    codes = noisy_copy(factors_of(kind), noise=0.5)[:300]
    ranks = np.stack([np.unique(column, return_inverse=True)[1] for column in factors.T], axis=1)
    assert METRICS[name](codes, factors, **few) == METRICS[name](codes, ranks, **few)


def equal_width(column, bins):
    edges = np.linspace(column.min(), column.max(), bins + 1)
    return np.clip(np.searchsorted(edges, column, side="right") - 1, 0, bins - 1)


@pytest.mark.parametrize("kind", CONTINUOUS)
@pytest.mark.parametrize("bins", [10, 20])
def test_mig_bins_a_continuous_factor_as_it_bins_a_code(kind, bins):
    factors = factors_of(kind).astype(np.float64)
    codes = noisy_copy(factors, noise=0.3)
    gaps = []
    for factor in factors.T:
        label = equal_width(factor, bins)
        known = sorted(mutual_info_score(label, equal_width(code, bins)) for code in codes.T)
        gaps.append((known[-1] - known[-2]) / mutual_info_score(label, label))
    assert METRICS["mig"](codes, factors, bins=bins) == pytest.approx(np.mean(gaps), abs=1e-9)
    assert METRICS["mig"].detail(codes, factors, bins=bins)["binned_factors"] == [0, 1, 2]


@pytest.mark.parametrize("kind", CONTINUOUS)
@pytest.mark.parametrize("name", BINNED)
def test_a_continuous_factor_is_its_own_perfect_code(name, kind):
    factors = factors_of(kind)
    assert METRICS[name](as_codes(factors, "labels"), factors) > 0.93
    assert METRICS[name](shuffled(as_codes(factors), 0), factors) < METRICS[name](as_codes(factors), factors) - 0.2


def test_only_the_continuous_ones_of_several_factors_are_binned():
    whole, continuous = factors_of("0, 1, 2, 100"), factors_of("uniform")
    factors = np.column_stack([whole[:, 0], continuous[:, 0]])
    detail = METRICS["mig"].detail(noisy_copy(factors_of("uniform")), factors)
    assert detail["binned_factors"] == [1]
    assert METRICS["rmig"].detail(noisy_copy(continuous), factors)["binned_factors"] == [1]
    assert detail["factors"][0]["entropy"] == pytest.approx(np.log(4), abs=0.01)
    assert np.log(17) < detail["factors"][1]["entropy"] < np.log(20)


@pytest.mark.parametrize("kind", CONTINUOUS)
def test_infoe_of_a_continuous_factor_is_the_r2_of_a_linear_regression(kind):
    factors = factors_of(kind).astype(np.float64)
    codes = noisy_copy(factors, noise=0.5)
    expected = [LinearRegression().fit(codes, factor).score(codes, factor) for factor in factors.T]
    assert infoe(codes, factors) == pytest.approx(np.mean(expected), abs=1e-9)
    assert [entry["loss"] for entry in infoe.detail(codes, factors)["factors"]] == [None] * 3
    assert infoe(np.full((N, 2), 0.1), factors) == 0.0


@pytest.mark.parametrize("discrete", [False, True])
def test_infom_and_infoc_tell_a_perfect_code_from_a_rotation_of_continuous_factors(discrete):
    factors = factors_of("uniform")
    rotation = np.array([[2, -1, 2], [2, 2, -1], [-1, 2, 2]]) / 3
    codes, mixed = factors, (factors - factors.mean(axis=0)) @ rotation
    if discrete:
        codes, mixed = ((codes * 3).round(), (mixed * 3).round())
    for metric in (infom, infoc):
        assert metric(codes, factors, discrete=discrete) > 0.95
        assert metric(mixed, factors, discrete=discrete) < 0.7


def test_information_about_a_continuous_factor_is_in_units_of_what_the_factor_knows_of_itself():
    """So a continuous factor and a discrete one of the same code weigh alike, whatever the unit of the values."""
    rng = np.random.default_rng(0)
    discrete, continuous = rng.integers(0, 4, N), rng.uniform(size=N)
    codes = np.column_stack([discrete + 0.01 * rng.normal(size=N), continuous])
    factors = np.column_stack([discrete, continuous])
    for scaled in (factors, factors * [1.0, 1e-6], factors * [1.0, 1e6]):
        assert infom(codes, scaled) > 0.97
    found = relative_information(as_table(codes, factors), neighbors=10, discrete=False, seed=0).information
    assert np.diag(found) == pytest.approx([1.0, 1.0], abs=0.03)
    summed = codes[:, [0]] / 3 + codes[:, [1]]
    assert infom(summed, factors) < 0.8


@pytest.mark.parametrize("name", ["sap_svc", "sap_tree", "explicitness", *LASSO])
def test_a_classifier_is_no_reader_of_continuous_factors_and_says_which_metric_is(name):
    factors = factors_of("uniform")[:200]
    with pytest.raises(NotApplicable, match=r"factor 0 is continuous: 200 values in 200 rows.*(infoe|sap, |lasso)"):
        METRICS[name](noisy_copy(factors_of("uniform"))[:200], factors)


@pytest.mark.parametrize("name", ["z_diff", "z_min_var", "factor_vae_score"])
def test_a_continuous_factor_is_held_within_a_bin_if_bins_are_asked_for(name):
    factors = factors_of("uniform")
    few = {"train": 400, "test": 200}
    with pytest.raises(NotApplicable, match=r"factor 0 cannot be fixed: .* Set factor_bins"):
        METRICS[name](as_codes(factors), factors, **few)
    score = METRICS[name](as_codes(factors), factors, factor_bins=10, **few)
    assert score < 0.02 if name == "z_min_var" else score > 0.98
    assert METRICS["explicitness"](as_codes(factors), factors, factor_bins=10) > 0.75
