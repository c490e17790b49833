"""Properties of every metric, by lists that cover the registry."""

import ast
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from hypothesis.extra.numpy import arrays

import disbench.metrics
from disbench.metrics import METRICS, NotApplicable, as_codes, shuffled

INFORMATION = ["modularity", "dcimig", "mig_sup", "rmig", "med", "topk_med", "edi"]
INFOMEC = ["infom", "infoe", "infoc"]  # nearest neighbours and a regression: no perfect score, and high floors
UNSUPERVISED = ["gaussian_total_correlation", "wasserstein_correlation", "mutual_info_score"]
DCI = ["dci_disentanglement", "dci_completeness", "dci_informativeness"]
GROUP = [
    "group_mig",
    "group_modularity",
    "group_compactness",
    "group_explicitness",
    "group_leak",
]  # one code a group here
BINARY = ["tad"]  # scored on a grid of bits; the others on one of three, four and five values

DETERMINISTIC = [
    "irs",
    "mig",
    "jemmig",
    "sap",
    "mcc",
    "tad",
    "omes",
    *INFORMATION,
    *INFOMEC,
    *UNSUPERVISED,
    "dci_es_size",
]
DRAWS_POINTS = ["z_diff", "z_min_var", "factor_vae_score", "z_max_var"]
DOWNSTREAM = ["sample_efficiency", "fairness"]
R2 = ["r2_diagonal", "r2_separation"]
DCI_ES = ["dci_es_explicitness", "dci_es_size"]
SAMPLED = [*DRAWS_POINTS, "sap_svc", "sap_tree", "explicitness", *DCI, *DOWNSTREAM, *R2, *GROUP, "dci_es_explicitness"]
GUESSES_A_FACTOR = ["z_diff", "z_min_var", "factor_vae_score"]
COMPARES_FACTORS = [
    "omes",
    "modularity",
    "dcimig",
    "mig_sup",
    "edi",
    "med",
    "topk_med",
    "infom",
    "infoc",
    "dci_disentanglement",
    "z_max_var",
    "r2_separation",
    "group_modularity",
    "fairness",
]
NEEDS_TWO_FACTORS = GUESSES_A_FACTOR + COMPARES_FACTORS
ONE_FACTOR_IS_ENOUGH = ["irs", "mig", "jemmig", "rmig", "infoe", "tad", *UNSUPERVISED]
ONE_FACTOR_IS_ENOUGH += ["sap", "sap_svc", "sap_tree", "mcc", "explicitness", "dci_completeness", "dci_informativeness"]
ONE_FACTOR_IS_ENOUGH += ["r2_diagonal", "sample_efficiency", *DCI_ES]
ONE_FACTOR_IS_ENOUGH += ["group_mig", "group_compactness", "group_explicitness", "group_leak"]
PENALISES_SMALL_CODES = ["z_diff", "sap_svc"]
IGNORES_A_COMMON_SCALE = [name for name in DETERMINISTIC + SAMPLED if name not in PENALISES_SMALL_CODES]
SCORE_WITHOUT_A_LIVE_CODE = {
    "z_diff": 1 / 3,
    "z_min_var": 2 / 3,
    "factor_vae_score": 1 / 3,
    "z_max_var": 1 / 3,
    "explicitness": 0.5,
    "sample_efficiency": 1.0,
    "fairness": 0.0,
    **dict.fromkeys(
        [
            "irs",
            "mig",
            "sap",
            "sap_svc",
            "sap_tree",
            "mcc",
            "tad",
            "omes",
            *DCI,
            *GROUP,
            *INFORMATION,
            *INFOMEC,
            *UNSUPERVISED,
        ],
        0.0,
    ),
    **dict.fromkeys(R2, 0.0),
}
# How far from the better bound a perfect code may score.
PERFECT_WITHIN = {**dict.fromkeys(INFOMEC, 0.02), "sap_svc": 0.7, "sap_tree": 0.34, "dci_informativeness": 1e-5}
PERFECT_WITHIN |= {"r2_diagonal": 1e-3, "dci_es_explicitness": 0.03}  # a forest of depth 1 cannot tell 5 values apart
PERFECT_WITHIN |= {"omes": 0.76}  # a factor of few values cannot reach 1: three values, 1/4
PERFECT_WITHIN |= dict.fromkeys(GROUP, 0.01)  # a probe on rows that it was not fitted on
# A sum that grows with the attributes, half a point for each; and ratios of which 1 is the best.
BETTER_BOUND = {"tad": 1.5, "sample_efficiency": 1.0, "dci_es_size": 1.0}
# Noise scores as high on 360 rows as a noisy code does, or both score 0, or factors are not looked at.
HIGH_FLOORS = ["infom", "infoc", "sap_tree", "dci_disentanglement", "dci_informativeness", *UNSUPERVISED]
HIGH_FLOORS += ["r2_separation", *DOWNSTREAM, *DCI_ES]
HIGH_FLOORS += ["group_leak", "group_modularity", "group_compactness"]  # the leakage is below its standard error
READS_FROM_LEFT_TO_RIGHT = [
    "sap_tree",
    *R2,
    *DOWNSTREAM,
    "dci_es_explicitness",
]  # the first of equally good thresholds, and few rows have many
FLATTERED_BY_DEAD_CODES = ["jemmig"]
UNDEFINED_WITHOUT_A_LIVE_CODE = DCI_ES
DRAWS_CODES = ["dci_es_explicitness"]  # candidates of a split by their position
FEW = {"train": 600, "test": 600}
# Boosted trees, the default, take seconds a table; test_dci.py holds them to this.
LASSO = {"model": "lasso"}


@pytest.fixture
def grid(name, grid):
    """The factors (360, 3) that a metric is held to its properties on."""
    bits = (np.arange(8)[:, None] >> np.arange(3)) & 1
    return np.repeat(bits, 45, axis=0) if name in BINARY else grid


@pytest.fixture
def noisy_codes(name, grid, noisy_codes):
    """Codes (360, 4) of those factors, with noise and leakage; the fourth is of no factor."""
    if name not in BINARY:
        return noisy_codes
    mixing = np.array([[3.0, 0.6, 0.0, 0.0], [0.0, 1.8, 0.9, 0.0], [0.3, 0.0, 1.5, 0.0]])
    return grid @ mixing + np.random.default_rng(7).normal(size=(len(grid), 4))


def options(name):
    if name in DCI:
        return LASSO
    if name == "sap_tree":
        return {"train": 600}
    if name == "dci_es_explicitness":
        return FEW | {"trees": 20}
    return FEW if name in SAMPLED and name not in GROUP else {}


def groups_of(name, codes):
    return {"groups": np.arange(1, len(codes[0]) + 1)} if name in GROUP else {}


def tolerance(name, sampled=0.08):
    return 1e-12 if name in DETERMINISTIC else sampled


def score(name, codes, factors, **more):
    return METRICS[name](codes, factors, **options(name), **groups_of(name, codes), **more)


@pytest.mark.parametrize(
    "halves",
    [
        (DETERMINISTIC, SAMPLED),
        (NEEDS_TWO_FACTORS, ONE_FACTOR_IS_ENOUGH),
        (IGNORES_A_COMMON_SCALE, PENALISES_SMALL_CODES),
        (list(SCORE_WITHOUT_A_LIVE_CODE), FLATTERED_BY_DEAD_CODES + UNDEFINED_WITHOUT_A_LIVE_CODE),
    ],
)
def test_each_property_is_claimed_or_denied_for_every_metric(halves):
    claimed, denied = halves
    assert sorted(claimed + denied) == sorted(METRICS)


def test_the_registry_begins_in_the_order_of_the_page():
    assert list(METRICS)[:6] == ["z_diff", "z_min_var", "factor_vae_score", "irs", "mig", "jemmig"]


def test_only_an_error_rate_a_leak_unfairness_and_dependence_between_codes_count_down():
    down = [name for name, metric in METRICS.items() if not metric.higher_is_better]
    assert sorted(down) == sorted(["z_min_var", "r2_separation", "group_leak", "fairness", *UNSUPERVISED])


def test_what_draws_by_seed_is_known_to_the_confidence_of_scores():
    assert {name for name, metric in METRICS.items() if metric.stochastic} == set(SAMPLED)


def test_every_metric_says_what_it_reads_of_the_factors():
    reads = {name: metric.reads for name, metric in METRICS.items()}
    assert {name for name in reads if reads[name] == "values"} == {"sap", "mcc", *R2}
    assert {name for name in reads if reads[name] == "codes"} == set(UNSUPERVISED)
    assert {METRICS[name].reads_with({"model": model}) for name in DCI for model in ("lasso", "random_forest")} == {
        "values"
    }
    assert {METRICS[name].reads_with({}) for name in DCI} == {"labels"}
    assert [name for name, metric in METRICS.items() if "std" in metric.optional] == ["rmig"]
    assert min(metric.version for metric in METRICS.values()) >= 1


@pytest.mark.parametrize("name", METRICS)
def test_a_definition_is_one_sentence_and_a_source_is_named(name):
    metric = METRICS[name]
    assert metric.definition.endswith(".")
    assert metric.definition.count(". ") == 0
    assert metric.source
    assert metric.label


@pytest.mark.parametrize("name", METRICS)
def test_a_perfect_representation_reaches_the_better_bound(name, grid):
    worst, best = METRICS[name].bounds if METRICS[name].higher_is_better else METRICS[name].bounds[::-1]
    best = BETTER_BOUND.get(name, best)
    assert score(name, as_codes(grid), grid) == pytest.approx(best, abs=PERFECT_WITHIN.get(name, 1e-12))
    assert worst != best


@pytest.mark.parametrize("name", [name for name in METRICS if name not in HIGH_FLOORS])
def test_a_perfect_representation_beats_a_noisy_one_and_that_beats_shuffled_rows(name, grid, noisy_codes):
    sign = 1 if METRICS[name].higher_is_better else -1
    perfect, noisy = sign * score(name, as_codes(grid), grid), sign * score(name, noisy_codes, grid)
    noise = sign * score(name, shuffled(noisy_codes, seed=1), grid)
    assert perfect > noisy + 0.03
    assert noisy > noise + 0.03


@pytest.mark.parametrize("name", METRICS)
def test_the_order_of_codes_and_factors_does_not_matter(name, grid, noisy_codes):
    codes, factors = noisy_codes[:, [3, 1, 0, 2]], grid[:, [2, 0, 1]]
    assert score(name, codes, factors) == pytest.approx(score(name, noisy_codes, grid), abs=tolerance(name))


@pytest.mark.parametrize("name", [name for name in SAMPLED if name not in DRAWS_CODES])
def test_the_order_of_codes_alone_does_not_change_a_sampled_score(name, grid, noisy_codes):
    """Up to one test point in 600: the classifier's sums run in another order."""
    assert score(name, noisy_codes[:, [3, 1, 0, 2]], grid) == pytest.approx(score(name, noisy_codes, grid), abs=0.002)


@pytest.mark.parametrize("name", METRICS)
def test_the_order_of_rows_does_not_matter(name, grid, noisy_codes):
    order = np.random.default_rng(3).permutation(len(grid))
    assert score(name, noisy_codes[order], grid[order]) == pytest.approx(
        score(name, noisy_codes, grid), abs=tolerance(name)
    )


@pytest.mark.parametrize("name", METRICS)
def test_the_sign_of_a_code_does_not_matter(name, grid, noisy_codes):
    flipped = noisy_codes * np.array([-1.0, 1.0, -1.0, -1.0])
    within = tolerance(name) if name in READS_FROM_LEFT_TO_RIGHT else 1e-12
    assert score(name, flipped, grid) == pytest.approx(score(name, noisy_codes, grid), abs=within)


@pytest.mark.parametrize("name", METRICS)
def test_the_names_of_factor_values_do_not_matter(name, grid, noisy_codes):
    spread_out = grid * np.array([1000, -7, 1]) + np.array([-5, 2, 2**40])
    assert score(name, noisy_codes, spread_out) == pytest.approx(score(name, noisy_codes, grid), abs=tolerance(name))


@pytest.mark.parametrize("name", METRICS)
@pytest.mark.parametrize("kind", [np.float32, np.uint8, np.int8, np.int16])
def test_the_type_of_factors_does_not_matter(name, kind, grid, noisy_codes):
    assert score(name, noisy_codes, grid.astype(kind)) == score(name, noisy_codes, grid)


@pytest.mark.parametrize("name", METRICS)
@pytest.mark.parametrize("value", [np.nan, np.inf, 1e300])
def test_a_code_that_is_no_number_is_refused(name, value, grid, noisy_codes):
    codes = noisy_codes.copy()
    codes[3, 1] = value
    with pytest.raises(ValueError, match="codes need finite values"):
        score(name, codes, grid)


@pytest.mark.parametrize("name", METRICS)
def test_float32_codes_score_as_the_same_numbers_in_float64(name, grid, noisy_codes):
    single = noisy_codes.astype(np.float32)
    assert score(name, single, grid) == score(name, single.astype(np.float64), grid)


@pytest.mark.parametrize("name", METRICS)
def test_lists_are_tables_too(name, grid, noisy_codes):
    assert score(name, noisy_codes.tolist(), grid.tolist()) == score(name, noisy_codes, grid)


@pytest.mark.parametrize("name", IGNORES_A_COMMON_SCALE)
@pytest.mark.parametrize("scale", [2.0**-40, 2.0**40])
def test_a_common_scale_of_all_codes_does_not_matter(name, scale, grid, noisy_codes):
    assert score(name, scale * noisy_codes, grid) == pytest.approx(score(name, noisy_codes, grid), abs=1e-9)


@pytest.mark.parametrize("name", PENALISES_SMALL_CODES)
def test_a_penalised_classifier_sees_nothing_in_tiny_codes(name, grid, noisy_codes):
    nothing = {"z_diff": 0.45, "sap_svc": 0.01}[name]
    assert score(name, 1e-9 * noisy_codes, grid) < nothing < score(name, noisy_codes, grid)


@pytest.mark.parametrize("name", METRICS)
def test_a_dead_code_changes_nothing_and_is_named(name, grid, noisy_codes):
    dead = np.insert(noisy_codes, 1, 0.1, axis=1)
    assert score(name, dead, grid) == pytest.approx(score(name, noisy_codes, grid), abs=1e-12)
    assert METRICS[name].detail(dead, grid, **options(name), **groups_of(name, dead))["dropped_codes"] == [1]


@pytest.mark.parametrize("name", METRICS)
def test_a_constant_factor_changes_nothing_and_is_named(name, grid, noisy_codes):
    factors = np.insert(grid, 1, 4, axis=1)
    assert score(name, noisy_codes, factors) == score(name, noisy_codes, grid)
    detail = METRICS[name].detail(noisy_codes, factors, **options(name), **groups_of(name, noisy_codes))
    assert detail["constant_factors"] == [1]
    assert {entry.get("factor") for entry in detail.get("factors", detail.get("codes", detail.get("groups")))} <= {
        0,
        2,
        3,
        None,
    }


@pytest.mark.parametrize("name", METRICS)
def test_constant_factors_alone_are_a_reason_and_not_a_number(name, grid, noisy_codes):
    with pytest.raises(NotApplicable, match="no factor varies"):
        score(name, noisy_codes, np.ones_like(grid))


@pytest.mark.parametrize("name", SCORE_WITHOUT_A_LIVE_CODE)
def test_dead_codes_alone_score_chance_or_nothing(name, grid):
    dead = np.full((len(grid), 3), 0.1)
    assert score(name, dead, grid) == pytest.approx(SCORE_WITHOUT_A_LIVE_CODE[name], abs=0.06)


@pytest.mark.parametrize("name", FLATTERED_BY_DEAD_CODES)
def test_dead_codes_alone_cost_only_the_missing_information(name, grid):
    expected = np.mean([np.log(20) / (np.log(size) + np.log(20)) for size in (3, 4, 5)])
    assert score(name, np.zeros((len(grid), 3)), grid) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("name", UNDEFINED_WITHOUT_A_LIVE_CODE)
def test_dead_codes_alone_are_a_reason_where_the_use_of_codes_is_judged(name, grid):
    with pytest.raises(NotApplicable, match="all 3 codes are dead"):
        score(name, np.full((len(grid), 3), 0.1), grid)


@pytest.mark.parametrize("name", NEEDS_TWO_FACTORS)
def test_one_factor_is_a_reason_where_a_factor_is_guessed(name, grid, noisy_codes):
    with pytest.raises(NotApplicable, match="needs two that vary"):
        score(name, noisy_codes, grid[:, :1])


@pytest.mark.parametrize("name", ["infoc", "dci_completeness", "group_compactness"])
def test_one_code_is_a_reason_where_a_factor_is_sought_in_one_of_several(name, grid):
    with pytest.raises(NotApplicable, match="got one"):
        score(name, as_codes(grid[:, :1]), grid)


@pytest.mark.parametrize(
    "name", [name for name in ONE_FACTOR_IS_ENOUGH if name not in ("dci_completeness", "group_compactness")]
)
def test_one_factor_and_one_code_have_a_score(name, grid):
    best = {**dict.fromkeys([*UNSUPERVISED, "group_leak"], 0.0), **dict.fromkeys(BINARY, 0.5)}.get(name, 1.0)
    assert score(name, as_codes(grid[:, :1]), grid[:, :1]) == pytest.approx(best, abs=PERFECT_WITHIN.get(name, 1e-12))


@pytest.mark.parametrize("name", GUESSES_A_FACTOR)
def test_a_factor_that_no_two_rows_share_is_a_reason(name):
    with pytest.raises(NotApplicable, match="factor 1 cannot be fixed"):
        score(name, np.random.default_rng(0).normal(size=(6, 2)), np.array([[0, 0, 0, 1, 1, 1], range(6)]).T)


@pytest.mark.parametrize("name", METRICS)
def test_a_detail_is_json_and_holds_the_score(name, grid, noisy_codes):
    detail = METRICS[name].detail(noisy_codes, grid, **options(name), **groups_of(name, noisy_codes), seed=2)
    assert json.loads(json.dumps(detail, allow_nan=False)) == detail
    assert detail["score"] == score(name, noisy_codes, grid, seed=2)
    assert isinstance(detail["score"], float)


@pytest.mark.parametrize("name", METRICS)
def test_a_score_does_not_change_its_table(name, grid, noisy_codes):
    codes, factors = noisy_codes.copy(), grid.copy()
    score(name, codes, factors)
    assert np.array_equal(codes, noisy_codes)
    assert np.array_equal(factors, grid)


@pytest.mark.parametrize("name", DETERMINISTIC)
def test_a_deterministic_metric_takes_a_seed_and_ignores_it(name, grid, noisy_codes):
    assert score(name, noisy_codes, grid, seed=1) == score(name, noisy_codes, grid, seed=2)


@pytest.mark.parametrize("name", [name for name in SAMPLED if name not in DCI])
def test_a_seed_decides_a_sampled_score(name, grid, noisy_codes):
    np.random.seed(5)  # noqa: NPY002 - the global generator must not matter
    first = [score(name, noisy_codes, grid, seed=seed) for seed in range(4)]
    np.random.seed(6)  # noqa: NPY002
    assert [score(name, noisy_codes, grid, seed=seed) for seed in range(4)] == first
    assert len(set(first)) > 1


@pytest.mark.parametrize("name", METRICS)
def test_calls_side_by_side_score_as_calls_in_a_row(name, grid, noisy_codes):
    alone = [score(name, noisy_codes, grid, seed=seed) for seed in range(6)]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda seed: score(name, noisy_codes, grid, seed=seed), range(6))) == alone


def test_the_number_of_threads_does_not_matter():
    program = (
        "import numpy as np\nfrom disbench.metrics import METRICS\nrng = np.random.default_rng(0)\n"
        "factors = rng.integers(0, 5, (3000, 8))\n"
        "codes = factors @ rng.normal(size=(8, 12)) + rng.normal(size=(3000, 12))\n"
        f"options = { ({name: options(name) for name in METRICS})!r}\n"
        f"groups = { {name: {'groups': [*range(1, 13)]} if name in GROUP else {} for name in METRICS}!r}\n"
        f"tables = { {name: 2 if name in BINARY else 5 for name in METRICS}!r}\n"
        "print([METRICS[name](codes, factors % tables[name], seed=3, **options[name], **groups[name]) for name in options])"
    )
    outputs = [
        subprocess.run(
            [sys.executable, "-c", program],
            env=os.environ | {"OMP_NUM_THREADS": threads, "OPENBLAS_NUM_THREADS": threads, "PYTHONSAFEPATH": "1"},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for threads in ("1", "4")
    ]
    assert outputs[0] == outputs[1]
    assert len(json.loads(outputs[0])) == len(METRICS)


@st.composite
def tables(draw):
    """Small tables with ties, dead codes, constant factors and values that occur once."""
    rows = draw(st.integers(2, 24))
    values = st.one_of(st.integers(-3, 3).map(float), st.floats(-1e6, 1e6))
    codes = draw(arrays(np.float64, (rows, draw(st.integers(1, 4))), elements=values))
    factors = draw(arrays(np.int64, (rows, draw(st.integers(1, 3))), elements=st.integers(-2, 3)))
    return codes, factors


@pytest.mark.parametrize("name", METRICS)
@settings(max_examples=60, deadline=None, derandomize=True)
@given(table=tables())
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_any_table_scores_within_the_bounds_or_has_a_reason(name, table):
    few = {}
    if name in DCI:
        few = LASSO
    elif name == "dci_es_explicitness":
        few = {"trees": 2}
    elif name in SAMPLED and name not in GROUP:
        few = {"train": 30} if name == "sap_tree" else {"train": 30, "test": 20}
        few |= {"few": 3} if name == "sample_efficiency" else {}
    if name in DRAWS_POINTS:
        few |= {"pairs" if name == "z_diff" else "group": 5}
    try:
        value = METRICS[name](*table, **few, **groups_of(name, table[0]))
    except NotApplicable as reason:
        assert str(reason)
        return
    low, high = METRICS[name].bounds
    assert low <= value <= high


def test_metrics_import_nothing_of_ours_and_no_heavy_library():
    allowed = {"numpy", "scipy", "sklearn", "threadpoolctl", *sys.stdlib_module_names}
    for source in Path(disbench.metrics.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [f"{node.module}"] if isinstance(node, ast.ImportFrom) else []
            assert not [name for name in names if name.split(".")[0] not in allowed and name[:16] != "disbench.metrics"]
