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


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_every_setting_is_a_keyword_of_its_metric(protocol: str) -> None:
    for metric, options in PROTOCOLS[protocol].items():
        assert set(options) <= set(inspect.signature(METRICS[metric].fn).parameters)


def test_the_first_paper_scores_an_accuracy_that_is_not_rescaled(grid, noisy_codes) -> None:
    """Chance is 1/K; its unstated numbers are those that the other unscaled protocol has."""
    noise = np.random.default_rng(0).normal(size=(len(grid), 2))
    options = PROTOCOLS["higgins2017"]["z_diff"]
    assert METRICS["z_diff"].fn(noise, grid, **options) == pytest.approx(1 / 3, abs=0.05)
    assert METRICS["z_diff"].fn(noisy_codes, grid, **options) > 0.6
    assert options == PROTOCOLS["locatello2019"]["z_diff"]


def test_the_protocol_moves_a_score(oracle_table) -> None:
    codes, factors = oracle_table("noisy_vae")
    scores = {
        name: METRICS["irs"].fn(codes, factors, **PROTOCOLS[name]["irs"]) for name in ("locatello2019", "zaidi2020")
    }
    assert scores["locatello2019"] > scores["zaidi2020"] + 0.05
