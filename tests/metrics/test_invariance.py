"""What must not matter to a metric, and what cannot fail on noise: by lists that cover the registry."""

import numpy as np
import pytest

from disbench.metrics import METRICS, PROTOCOLS, NotApplicable, shuffled
from disbench.metrics.sap import sap_svc

DCI = ("dci_disentanglement", "dci_completeness", "dci_informativeness")
DRAWS = ("z_diff", "z_min_var", "factor_vae_score", "z_max_var", "sap_svc", "explicitness")
# Metrics that are not invariant by definition, each with its reason.
DEPENDS_ON_SCALE = {
    "z_diff": "its logistic regression has a unit penalty on unscaled differences of codes",
    "sap_svc": "its support vector classifier has a penalty on unscaled codes",
}
DEPENDS_ON_OFFSET = {"sap_svc": "its support vector classifier penalizes the intercept too"}
DEPENDS_WITH_OPTIONS = {
    ("wasserstein_correlation", "normalised", False): "squared units of the codes",
    ("rmig", "standardise", False): "bins of fixed limits, for codes that are standard normal",
}


def few(name, codes=4):
    if name.startswith("group_"):
        return {"groups": np.arange(1, codes + 1)}
    if name in DRAWS:
        return {"train": 400, "test": 300}
    if name in DCI:
        return {"train": 200, "test": 160}
    return {"train": 1200} if name == "sap_tree" else {}


@pytest.fixture
def table(name, grid, noisy_codes):
    if name != "tad":
        return noisy_codes, grid
    bits = (np.arange(8)[:, None] >> np.arange(3)) & 1
    bits = np.repeat(bits, 45, axis=0)
    return bits * 1.5 + np.random.default_rng(0).normal(size=bits.shape), bits


@pytest.mark.parametrize("offset", [0.0, 1e6])
@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
@pytest.mark.parametrize("name", METRICS)
def test_scale_and_offset_of_the_codes_do_not_matter(name, scale, offset, table):
    if (scale != 1 and name in DEPENDS_ON_SCALE) or (offset and name in DEPENDS_ON_OFFSET):
        pytest.skip((DEPENDS_ON_SCALE | DEPENDS_ON_OFFSET)[name])
    codes, factors = table
    rounded = (scale * codes + offset - offset) / scale  # what float64 keeps of the codes beside the offset
    score = METRICS[name](scale * codes + offset, factors, **few(name))
    assert score == pytest.approx(METRICS[name](rounded, factors, **few(name)), abs=0.004 if offset else 1e-9)


def test_each_exception_is_needed(grid, noisy_codes):
    options = few("sap_svc")
    assert sap_svc(noisy_codes + 1e6, grid, **options) < sap_svc(noisy_codes, grid, **options) - 0.03
    for name in DEPENDS_ON_SCALE:
        scaled, plain = (METRICS[name](a * noisy_codes, grid, **few(name)) for a in (1e-3, 1.0))
        assert abs(scaled - plain) > 0.03
    for name, option, value in DEPENDS_WITH_OPTIONS:
        scaled, plain = (METRICS[name](a * noisy_codes, grid, **{option: value}) for a in (1e-3, 1.0))
        assert abs(scaled - plain) > 1e-3


@pytest.mark.parametrize("name", DCI)
def test_boosted_trees_read_codes_far_from_zero(name, grid, noisy_codes):
    near, far = (METRICS[name](codes, grid, **few(name)) for codes in (noisy_codes, 0.01 * noisy_codes + 1e6))
    assert far == pytest.approx(near, abs=0.01)


def noise_table(case, n):
    rng = np.random.default_rng(5)
    codes, factors = rng.normal(size=(n, 4)), rng.integers(0, 4, (n, 3))
    if case == "one factor":
        return codes, factors[:, :1]
    if case == "one code":
        return codes[:, :1], factors
    if case == "one code and one factor":
        return codes[:, :1], factors[:, :1]
    if case == "two rows":
        return codes[:2], np.array([[0, 1, 0], [1, 0, 1]])
    if case == "all values distinct":
        return codes, np.argsort(rng.normal(size=(n, 3)), axis=0)
    if case == "one factor of distinct values":
        return codes, np.column_stack([factors, rng.permutation(n)])
    return codes, rng.normal(size=(n, 3))


CASES = ["one factor", "one code", "one code and one factor", "two rows", "all values distinct"]
CASES += ["one factor of distinct values", "continuous factors"]
# What noise scores by definition on many rows: chance of an accuracy, or a formula whose floor is high.
FLOORS = {
    "dci_es_explicitness": 1.01,  # no capacity is of any use, so none is needed
    "dci_es_size": 4.0,  # counts columns
    "z_diff": 0.45,
    "z_min_var": 0.55,
    "factor_vae_score": 0.45,
    "z_max_var": 0.5,
    "explicitness": 0.6,
    "irs": 0.25,
    "sap_tree": 0.2,  # trees are judged on the rows that they were fitted to
    "jemmig": 0.4,
    "modularity": 0.98,  # noise seems to know most about the factor with most values
    "omes": 0.7,  # noise moves with every factor
    "sample_efficiency": 1.3,  # few labels are as useless as many
    "infom": 0.85,
    "infoc": 0.85,
    "dci_disentanglement": 0.3,
    "dci_completeness": 0.3,
    "dci_informativeness": 0.45,
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("name", METRICS)
def test_noise_in_a_degenerate_table_scores_low_or_is_a_reason(name, case):
    codes, factors = noise_table(case, 1500)
    if name == "tad" and case in ("one factor", "one code"):
        factors = factors % 2
    try:
        score = METRICS[name](codes, factors, **few(name, codes.shape[1]))
    except NotApplicable as reason:
        assert str(reason)
        return
    low, high = METRICS[name].bounds
    assert low <= score <= high
    if name == "z_min_var":
        assert score > FLOORS[name]
    elif METRICS[name].reads != "codes":
        assert score < FLOORS.get(name, 0.1)


def test_errors_name_the_metric_that_was_called(grid, noisy_codes):
    for name in METRICS:
        try:
            METRICS[name](noisy_codes, grid[:, :1], **few(name))
        except NotApplicable as reason:
            assert str(reason).split(" ")[0] in (name, "tad")
    for name in ("factor_vae_score", "z_min_var", "z_max_var"):
        with pytest.raises(ValueError, match=f"^{name} needs threshold >= 0"):
            METRICS[name](noisy_codes, grid, threshold=-1.0)


@pytest.mark.parametrize("protocol", ["locatello2019", "zaidi2020", "do2020"])
def test_noise_scores_within_the_stated_range_under_every_protocol(protocol, grid):
    for name, options in PROTOCOLS[protocol].items():
        low, high = METRICS[name].bounds
        for seed in range(3):
            codes = shuffled(np.random.default_rng(seed).normal(size=(len(grid), 2)), seed)
            quick = options | {key: min(value, 300) for key, value in options.items() if key in ("train", "test")}
            assert low <= METRICS[name](codes, grid, seed=seed, **quick) <= high


SCALE_FREE = ("factor_vae_score", "z_max_var", "explicitness", "wasserstein_correlation", "mcc", "mig", "infoe", "irs")


@pytest.mark.parametrize("exponent", [-1000, -600, -300, 90])
@pytest.mark.parametrize("name", SCALE_FREE)
def test_codes_far_from_one_score_as_others_do(grid, noisy_codes, name, exponent):
    tiny = np.ldexp(noisy_codes, exponent)
    expected = METRICS[name](noisy_codes, grid, **few(name))
    assert METRICS[name](tiny, grid, **few(name)) == pytest.approx(expected, abs=1e-6)
