"""The settings of publications, beside the parameters that their code was run with (oracle/README.md)."""

import inspect
import json
from pathlib import Path

import numpy as np
import pytest

from disbench.metrics import METRICS, PROTOCOLS

EXPECTED = json.loads((Path(__file__).parent / "oracle" / "expected.json").read_text(encoding="utf-8"))
NAMES = {"num_bins": "bins", "nb_bins": "bins", "diff_quantile": "quantile", "scale": "scaled"}
NAMES |= {"num_train": "train", "nb_training": "train", "num_eval": "test", "nb_eval": "test"}
RUN = {
    ("higgins2017", "z_diff"): "dlib.beta_vae",
    ("locatello2019", "z_diff"): "dlib.beta_vae",
    ("locatello2019", "factor_vae_score"): "dlib.factor_vae",
    ("locatello2019", "mig"): "dlib.mig",
    ("zaidi2020", "z_diff"): "ubisoft.z_diff",
    ("zaidi2020", "factor_vae_score"): "ubisoft.z_min_var",
    ("zaidi2020", "irs"): "ubisoft.irs",
    ("zaidi2020", "jemmig"): "ubisoft.jemmig",
}


@pytest.mark.parametrize(("protocol", "metric"), RUN)
def test_a_protocol_has_the_parameters_of_the_papers_own_code(protocol: str, metric: str) -> None:
    params = next(case[RUN[protocol, metric]]["params"] for case in EXPECTED.values() if RUN[protocol, metric] in case)
    renamed = NAMES | {"batch_size": "pairs" if metric == "z_diff" else "group"}
    theirs = {renamed[name]: value for name, value in params.items() if name in renamed}
    ours = PROTOCOLS[protocol][metric]
    assert theirs
    assert {name: ours[name] for name in theirs} == theirs


# Every constant, copied from the authors' files that metrics/protocols.py cites (not from our own table).
UBISOFT_CONFIG = {
    "z_diff": {"pairs": 200, "train": 10000, "test": 5000, "scaled": True, "factor_bins": 10},
    "z_min_var": {"group": 200, "train": 800, "test": 800, "threshold": 0.02, "scaled": True, "factor_bins": 10},
    "z_max_var": {"group": 200, "train": 800, "test": 800, "threshold": 0.02, "scaled": True, "factor_bins": 10},
    "irs": {"quantile": 1.0, "factor_bins": 10},
    "mig": {"bins": 10},
    "dcimig": {"bins": 10},
    "jemmig": {"bins": 10},
    "mig_sup": {"bins": 10},
    "modularity": {"bins": 10},
    "explicitness": {"factor_bins": 10},
    "dci_disentanglement": {"model": "lasso"},
    "sap": {},
}
DISENTANGLEMENT_LIB_GIN = {
    "z_diff": {"pairs": 64, "train": 10000, "test": 5000},
    "factor_vae_score": {"group": 64, "train": 10000, "test": 5000, "threshold": 0.05},
    "irs": {"quantile": 0.99},
    "mig": {"bins": 20},
    "modularity": {"bins": 20},
    "explicitness": {"train": 10000, "test": 5000},
    "dci_disentanglement": {"model": "gradient_boosting", "train": 10000, "test": 5000},
    "sap_svc": {"train": 10000, "test": 5000},
    "mutual_info_score": {"bins": 20},
    "gaussian_total_correlation": {},
    "wasserstein_correlation": {},
}
CLARKEN92_SCRIPTS = {"mig": {"bins": 100}, "modularity": {"bins": 100}, "rmig": {"bins": 100, "limit": 4.0}}
PUBLISHED = {"zaidi2020": UBISOFT_CONFIG, "locatello2019": DISENTANGLEMENT_LIB_GIN, "do2020": CLARKEN92_SCRIPTS}


@pytest.mark.parametrize("protocol", PUBLISHED)
def test_a_protocol_has_every_constant_of_the_published_configuration(protocol: str) -> None:
    for metric, published in PUBLISHED[protocol].items():
        ours = PROTOCOLS[protocol][metric]
        assert {name: ours.get(name) for name in published} == published


def test_zaidis_threshold_keeps_codes_of_a_deviation_of_three_hundredths(grid) -> None:
    codes = (grid - grid.mean(axis=0)) / grid.std(axis=0)
    for metric in ("factor_vae_score", "z_max_var"):
        score = METRICS[metric]
        assert score(0.03 * codes, grid, **PROTOCOLS["zaidi2020"][metric]) == 1.0
        assert score(0.01 * codes, grid, **PROTOCOLS["zaidi2020"][metric]) < 0.2


@pytest.mark.parametrize("case", ["dsprites10k", "noise", "rotation", "celeba40", "noisy_vae", "duplicated"])
def test_zaidis_mig_is_divided_by_the_entropy_of_the_code(case: str, oracle_table) -> None:
    theirs = {
        "celeba40": 0.0471618914618,
        "dsprites10k": 0.493194702645,
        "duplicated": 0.8,
        "noise": 0.000681872703156,
        "noisy_vae": 0.256246551788,
        "rotation": 0.0647181931256,
    }  # ubisoft.mig, 10 bins
    codes, factors = oracle_table(case)
    assert METRICS["mig"](codes, factors, **PROTOCOLS["zaidi2020"]["mig"]) == pytest.approx(theirs[case], abs=1e-11)


def test_another_divisor_is_refused(grid, noisy_codes) -> None:
    with pytest.raises(ValueError, match="'codes'"):
        METRICS["mig"](noisy_codes, grid, divide_by="codes")


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_every_setting_is_a_keyword_of_its_metric(protocol: str) -> None:
    for metric, options in PROTOCOLS[protocol].items():
        assert set(options) <= set(inspect.signature(METRICS[metric]).parameters)


def test_the_first_paper_scores_an_accuracy_that_is_not_rescaled(grid, noisy_codes) -> None:
    """Chance is 1/K; its unstated numbers are those that the other unscaled protocol has."""
    noise = np.random.default_rng(0).normal(size=(len(grid), 2))
    options = PROTOCOLS["higgins2017"]["z_diff"]
    assert METRICS["z_diff"](noise, grid, **options) == pytest.approx(1 / 3, abs=0.05)
    assert METRICS["z_diff"](noisy_codes, grid, **options) > 0.6
    assert options == PROTOCOLS["locatello2019"]["z_diff"]


def test_the_protocol_moves_a_score(oracle_table) -> None:
    codes, factors = oracle_table("noisy_vae")
    scores = {name: METRICS["irs"](codes, factors, **PROTOCOLS[name]["irs"]) for name in ("locatello2019", "zaidi2020")}
    assert scores["locatello2019"] > scores["zaidi2020"] + 0.05
