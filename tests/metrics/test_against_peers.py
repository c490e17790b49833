"""Our scores beside those of the peers' public code on the same tables (oracle/README.md).

Every entry of expected.json is compared, with our options read from the peer's own parameters.
"""

import json
from pathlib import Path

import numpy as np
import pytest

from disbench.metrics import METRICS

EXPECTED = json.loads((Path(__file__).parent / "oracle" / "expected.json").read_text(encoding="utf-8"))
OURS = {
    "dlib.mig": "mig",
    "ubisoft.jemmig": "jemmig",
    "ubisoft.jemmig_bins20": "jemmig",
    "ubisoft.irs": "irs",
    "ubisoft.irs_q99": "irs",
    "dlib.beta_vae": "z_diff",
    "ubisoft.z_diff": "z_diff",
    "ubisoft.z_diff_unscaled_b64": "z_diff",
    "dlib.factor_vae": "factor_vae_score",
    "ubisoft.z_min_var": "factor_vae_score",
    "ubisoft.z_min_var_unscaled_b64": "factor_vae_score",
    "dapueto.omes": "omes",
    "dapueto.omes_overlap": "omes",
    "dapueto.omes_max": "omes",
}
OPTIONS = {
    "num_bins": "bins",
    "nb_bins": "bins",
    "diff_quantile": "quantile",
    "num_train": "train",
    "nb_training": "train",
    "num_eval": "test",
    "nb_eval": "test",
    "scale": "scaled",
    "threshold": "threshold",
    "std_threshold": "threshold",
    "alpha": "alpha",
    "gamma": "pooling",
}
ABOUT_THE_PEER = {"continuous_factors", "sampling", "num_variance_estimate"}
EXACT = [(case, key) for case, entries in EXPECTED.items() for key, entry in entries.items() if "value" in entry]
SAMPLED = [(case, key) for case, entries in EXPECTED.items() for key, entry in entries.items() if "values" in entry]


def our_options(key):
    """The peer's parameters under our names. Both peers drop codes by the absolute threshold."""
    renamed = OPTIONS | {"batch_size": "pairs" if OURS[key] == "z_diff" else "group"}
    entry = next(entries[key] for entries in EXPECTED.values() if key in entries)
    options = {renamed[name]: value for name, value in entry["params"].items() if name not in ABOUT_THE_PEER}
    return options | ({"relative": False} if "threshold" in options else {})


def test_every_peer_score_is_compared():
    compared = EXACT + SAMPLED
    assert sorted(compared) == sorted((case, key) for case, entries in EXPECTED.items() for key in entries)
    assert {key for _, key in compared} == set(OURS)
    assert len(EXACT) == 39
    assert len(SAMPLED) == 63


@pytest.mark.parametrize(("case", "key"), EXACT)
def test_a_deterministic_metric_equals_the_peers(case, key, oracle_table):
    score = METRICS[OURS[key]](*oracle_table(case), **our_options(key))
    assert score == pytest.approx(EXPECTED[case][key]["value"], abs=1e-9)


@pytest.mark.parametrize(("case", "key"), SAMPLED)
def test_a_sampled_metric_agrees_with_the_peers_within_sampling_error(case, key, oracle_table):
    theirs = np.array(EXPECTED[case][key]["values"])
    seeds = 2 if case == "celeba40" and OURS[key] == "z_diff" else 5  # seconds a seed, on 96 million differences
    ours = np.array([METRICS[OURS[key]](*oracle_table(case), **our_options(key), seed=seed) for seed in range(seeds)])
    ours_variance = ours.var(ddof=1)
    theirs_variance = theirs.var(ddof=1) if len(theirs) > 1 else ours_variance
    standard_error = np.sqrt(ours_variance / len(ours) + theirs_variance / len(theirs))
    assert abs(ours.mean() - theirs.mean()) <= 4 * standard_error + 0.005


@pytest.mark.parametrize("case", sorted(EXPECTED))
def test_the_relative_threshold_drops_the_codes_that_the_absolute_one_drops_on_unit_scale_codes(case, oracle_table):
    few = {"train": 10, "test": 10}
    detail = METRICS["factor_vae_score"].detail
    relative, absolute = detail(*oracle_table(case), **few), detail(*oracle_table(case), **few, relative=False)
    assert relative["dropped_codes"] == absolute["dropped_codes"]


def test_a_dead_code_where_a_peer_gives_nan_leaves_our_scores_as_they_were(oracle_table):
    """One peer's MIG is NaN on this table: it divides by the code's entropy. We drop nothing from a mean over factors."""
    codes, factors = oracle_table("dead_dims")
    live = np.flatnonzero(np.ptp(codes.astype(float), axis=0) > 0)
    assert len(live) < codes.shape[1]
    for name in ("mig", "jemmig", "irs"):
        assert METRICS[name](codes, factors) == pytest.approx(METRICS[name](codes[:, live], factors), abs=1e-12)
