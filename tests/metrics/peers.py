"""Other people's implementations of our metrics, which agreement.py compares with ours on the tables of peer_tables.py.

To compare another metric, add its repository to REPOSITORIES and an `Adapter` under the metric's key here, in
peers_that_fit.py or in peers_of_views.py, then run agreement.py. An adapter calls the authors' code unchanged. A metric
without public code that can run here gets a line in NO_CODE.
"""

import types
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from peer_code import DLIB, MED_LIB, UBISOFT, Adapter, quiet_seed
from peer_tables import Array
from peers_of_views import OF_VIEWS
from peers_that_fit import FITTED

from disbench.metrics import METRICS, lsbd_distance, seed_consistency, udr


def _dlib(name: str, score: Callable[..., float], **more: Any) -> Adapter:
    return Adapter(
        DLIB, f"disentanglement_lib/evaluation/metrics/{name}.py", lambda m, z, v, _: float(score(m, z, v)), **more
    )


def _ubisoft(
    name: str, part: int | None = None, keywords: dict[str, Any] | None = None, complement: bool = False, **more: Any
) -> Adapter:
    def score(m: types.ModuleType, codes: Array, factors: Array, seed: int) -> float:
        quiet_seed(seed)
        found = getattr(m, name)(factors, codes, **{"continuous_factors": False} | (keywords or {}))
        score = float(found if part is None else found[part])
        return 1.0 - score if complement else score

    return Adapter(UBISOFT, f"src/metrics/{name}.py", score, **more)


def _mutual(m: types.ModuleType, codes: Array, factors: Array) -> Array:
    binned = m.utils._histogram_discretize(codes.T, 20)
    information: Array = m.utils.discrete_mutual_info(binned, factors.T)
    return information


def _dlib_mig(m: types.ModuleType, codes: Array, factors: Array) -> float:
    ordered = np.sort(_mutual(m, codes, factors), axis=0)[::-1]
    return float(np.mean((ordered[0] - ordered[1]) / m.utils.discrete_entropy(factors.T)))


def _dlib_wasserstein(m: types.ModuleType, codes: Array, _: Array) -> float:
    covariance = np.cov(codes.T)
    return float(np.real(m.gaussian_wasserstein_correlation(covariance)) / np.trace(covariance))


def _pairwise_information(m: types.ModuleType, codes: Array, _: Array) -> float:
    binned = m.utils._histogram_discretize(codes.T, 20)
    information = m.utils.discrete_mutual_info(binned, binned)
    np.fill_diagonal(information, 0)
    return float(information.sum() / (len(information) ** 2 - len(information)))


def _dlib_sap(m: types.ModuleType, codes: Array, factors: Array) -> float:
    matrix = m.compute_score_matrix(codes.T, factors.T, codes.T, factors.T, True)
    return float(m.compute_avg_diff_top_two(matrix))


def _icebeem(correlation: str, m: types.ModuleType, codes: Array, factors: Array, _: int) -> float:
    return float(m.mean_corr_coef_np(codes, factors, correlation))


def _infomec(name: str, **more: Any) -> Adapter:
    def score(m: types.ModuleType, codes: Array, factors: Array, seed: int) -> float:
        key = (codes.tobytes(), seed)
        if key not in INFOMEC:  # one computation gives all three, in up to minutes
            quiet_seed(seed)
            INFOMEC[key] = m.compute_infomec(factors, codes, False)
        return float(INFOMEC[key][name])

    return Adapter("latent_quantization", "disentangle/metrics/infomec.py", score, **more)


def _med(k: int, m: types.ModuleType, codes: Array, factors: Array, _: int) -> float:
    importance = m.utils.discrete_mutual_info(m.utils.make_discretizer(codes.T), factors.T)
    importance = importance / importance.sum(axis=0)
    if k:
        importance = importance[m.pick_by_dis_per_factor(importance, k)]
    return float(m.disentanglement(importance))


EDI_PARTS = {"modularity": "d", "compactness": "c", "explicitness": "i"}  # their names


def _edi(part: str, captured: str, **more: Any) -> Adapter:
    def score(m: types.ModuleType, codes: Array, factors: Array, _: int) -> float:
        return float(
            getattr(m, f"dcii_{EDI_PARTS[part]}")(
                factors, codes, discrete_factors=True, estimate_mi_codes_and_factor_by=captured
            )
        )

    return Adapter(
        "InnVariant", "disentangling/metrics/edi.py", score, options={"part": part, "captured": captured}, **more
    )


MED = "disentanglement_lib/evaluation/metrics/med.py"
INFOMEC: dict[tuple[bytes, int], dict[str, float]] = {}
FOLDS = "their folds follow the order of rows, which chooses another penalty"
VOTE = {"group": 200, "train": 800, "test": 800, "scaled": True, "threshold": 0.05, "relative": False}
NUMBERS, LASSO = {"continuous_factors": True}, {"model": "lasso"}
AS_THEY_ARE: dict[str, list[Adapter]] = {
    "mig": [
        _dlib("mig", _dlib_mig),
        _ubisoft("mig", options={"bins": 10, "divide_by": "code"}),
    ],
    "jemmig": [_ubisoft("jemmig", options={"bins": 10})],
    "irs": [
        _dlib(
            "irs",
            lambda m, z, v: m.scalable_disentanglement_score(v, m._drop_constant_dims(z.T).T)["avg_score"],
            options={"quantile": 0.99},
        ),
        _ubisoft("irs", options={"quantile": 1.0}),
    ],
    "modularity": [
        _dlib(
            "modularity_explicitness",
            lambda m, z, v: m.modularity(_mutual(m, z, v)),
            options={"bins": 20},
            differs_on=("dead_dims",),
            note="they count a dead code as 0",
        ),
        _ubisoft("modularity", options={"bins": 10}),
    ],
    "dcimig": [_ubisoft("dcimig", options={"bins": 10})],
    "mig_sup": [_ubisoft("mig_sup", options={"bins": 10, "divide_by": "code"})],
    "sap": [_dlib("sap_score", _dlib_sap), _ubisoft("sap", keywords=NUMBERS, tables="all")],
    "dci_disentanglement": [
        _ubisoft(
            "dci",
            0,
            NUMBERS,
            options=LASSO,
            tables="all",
            differs_on=("dead_dims", "many_latents", "continuous"),
            note=f"their loop over codes ends at the first one of no importance, and {FOLDS}",
        )
    ],
    "dci_completeness": [
        _ubisoft(
            "dci",
            1,
            NUMBERS,
            options=LASSO,
            tables="all",
            differs_on=("dead_dims", "continuous"),
            note=f"they count dead codes in log D, and {FOLDS}",
        )
    ],
    "dci_informativeness": [
        _ubisoft("dci", 2, NUMBERS, options=LASSO, tables="all", differs_on=("continuous",), note=FOLDS)
    ],
    "explicitness": [_ubisoft("explicitness", options={"protocol": "zaidi2020"}, tolerance=1e-4)],
    "infom": [_infomec("infom", tolerance=2e-3)],
    "infoc": [_infomec("infoc", tolerance=2e-3)],
    "infoe": [_infomec("infoe", tolerance=1e-4)],
    "gaussian_total_correlation": [
        _dlib("unsupervised_metrics", lambda m, z, _: m.gaussian_total_correlation(np.cov(z.T)), tables="all")
    ],
    "wasserstein_correlation": [_dlib("unsupervised_metrics", _dlib_wasserstein, tables="all")],
    "mutual_info_score": [
        _dlib(
            "unsupervised_metrics",
            _pairwise_information,
            tables="all",
            differs_on=("dead_dims",),
            note="they count pairs with a dead code",
        )
    ],
    "mcc": [
        Adapter(
            "icebeem",
            "metrics/mcc.py",
            partial(_icebeem, correlation),
            options={"correlation": correlation},
            tables="all",
            differs_on=("celeba40", "dead_dims"),
            note="they leave out a factor without a code",
        )
        for correlation in ("pearson", "spearman")
    ],
    "z_diff": [
        _ubisoft(
            "z_diff", options={"pairs": 200, "train": 10_000, "test": 5_000, "scaled": True}, seeds=3, tolerance=0.05
        )
    ],
    "z_min_var": [_ubisoft("z_min_var", options=VOTE, complement=True, seeds=5, tolerance=0.05)],
    "factor_vae_score": [_ubisoft("z_min_var", options=VOTE, seeds=5, tolerance=0.05)],
    "z_max_var": [
        _ubisoft(
            "z_max_var",
            options=VOTE,
            seeds=5,
            tolerance=0.06,
            note="they also draw groups in which the factor that should vary has one value",
        )
    ],
    "edi": [
        _edi("modularity", "sum", tolerance=1e-8),
        _edi("modularity", "max", tolerance=1e-8),
        _edi(
            "compactness",
            "sum",
            tolerance=1e-8,
            differs_on=("dead_dims",),
            note="they count dead codes",
        ),
        _edi("explicitness", "sum", tolerance=1e-8),
    ],
    "med": [Adapter(MED_LIB, MED, partial(_med, 0), tolerance=1e-8)],
    "topk_med": [Adapter(MED_LIB, MED, partial(_med, k), options={"k": k}, tolerance=1e-8) for k in (1, 2)],
}


class NoCode(NamedTuple):
    """Why a metric is not compared here, and the tests that check it by known scores."""

    why: str
    file: str
    tests: tuple[str, ...]


_GROUPS = NoCode(
    "no public code that runs: defined by this package",
    "tests/metrics/test_group_scores.py",
    (
        "test_known_information_is_found_within_5_percent_and_never_exceeded",
        "test_a_group_that_has_a_bit_of_another_factor_scores_as_computed_by_hand",
    ),
)
GROUPED = ("group_mig", "group_modularity", "group_compactness", "group_explicitness", "group_leak")
NO_CODE: dict[str, NoCode] = dict.fromkeys(GROUPED, _GROUPS) | {
    "dci_es_size": NoCode(
        "no public code that runs: the authors' repository does not compute it",
        "tests/metrics/test_dci_es.py",
        ("test_size_counts_what_varies",),
    ),
}


def _merged() -> dict[str, list[Adapter]]:
    """All adapters in the order of METRICS, then of the functions that compare models or need a grid."""
    groups = (AS_THEY_ARE, FITTED, OF_VIEWS)
    names = [*METRICS, *FUNCTIONS]
    found = {name: [each for group in groups for each in group.get(name, [])] for name in names}
    return {name: adapters for name, adapters in found.items() if adapters}


def _models_score(function: Callable[..., list[float]], codes: Array, _: Array, **options: Any) -> float:
    return float(np.mean(function(list(codes), **options)))


def _without_seed(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda *args, seed, **options: function(*args, **options)


FUNCTIONS: dict[str, Callable[..., float]] = {  # that are not in METRICS
    "udr": _without_seed(partial(_models_score, udr)),
    "seed_consistency": partial(_models_score, seed_consistency),
    "lsbd_distance": _without_seed(lsbd_distance),
}
OURS: dict[str, Callable[..., float]] = {
    **METRICS,
    **FUNCTIONS,
    "rmig": lambda codes, factors, **options: METRICS["rmig"](codes[0], factors, std=codes[1], **options),
}
ADAPTERS = _merged()
