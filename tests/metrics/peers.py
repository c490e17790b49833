"""Other people's implementations of our metrics, which agreement.py compares with ours on the tables of peer_tables.py.

To compare another metric, add its repository to REPOSITORIES and an `Adapter` under the metric's key in ADAPTERS, then run
agreement.py. An adapter calls the authors' code unchanged: `score` gets the authors' module, codes (N, D), factors (N, K) and a
seed, and returns their number.
"""

import importlib.util
import sys
import types
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import peers_that_fit as fits
from peer_tables import CASES, CONTINUOUS, DRAWN, Array

DLIB, MED_LIB, UBISOFT = "disentanglement_lib", "disentanglement_lib_med", "ubisoft-laforge-disentanglement-metrics"
OMES_LIB = "transfer_disentanglement"
REPOSITORIES = {  # folder: address, commit
    DLIB: ("google-research/disentanglement_lib", "86a644d"),
    UBISOFT: ("ubisoft/ubisoft-laforge-disentanglement-metrics", "05d5667"),
    "latent_quantization": ("kylehkhsu/latent_quantization", "9a420a3"),
    "icebeem": ("ilkhem/icebeem", "0077f01"),
    MED_LIB: ("noahcao/disentanglement_lib_med", "e8db5c7"),
    "InnVariant": ("julka01/InnVariant", "147c3ce"),
    OMES_LIB: ("JacopoDapueto/transfer_disentanglement", "75e1a8b"),
}


class Adapter(NamedTuple):
    """How to call one implementation, and our options that make its protocol."""

    repository: str
    file: str
    score: Callable[[types.ModuleType, Array, Array, int], float]
    options: dict[str, Any] = {}  # noqa: RUF012 - never changed
    tables: str = "discrete"  # or "continuous", "all"
    seeds: int = 1  # more than one for a metric that draws: means are compared
    rows: int = 0  # of each table, drawn at random, where the other code is slow; 0 for all
    tolerance: float = 1e-9
    differs_on: tuple[str, ...] = ()  # tables on which the two differ, and why
    note: str = ""


def table_names(adapter: Adapter) -> list[str]:
    """The tables that an implementation can score."""
    discrete = [*CASES, *(name for name in DRAWN if name not in CONTINUOUS)]
    return {"discrete": discrete, "continuous": [*CONTINUOUS], "all": [*discrete, *CONTINUOUS]}[adapter.tables]


# Loading


def module(name: str, **content: Any) -> types.ModuleType:
    made = types.ModuleType(name)
    vars(made).update(content)
    return made


def _bits(*columns: Array) -> float:
    counts = np.unique(np.stack(columns, axis=1), axis=0, return_counts=True)[1] / len(columns[0])
    return float(-(counts * np.log2(counts)).sum())


def _information(x: Array, y: Array, **_: Any) -> float:
    return _bits(x) + _bits(y) - _bits(x, y)


def _binned_nats(code: Array, factor: Array) -> float:
    edges = np.linspace(code.min(), code.max(), 21)[:-1]
    return _information(np.digitize(code, edges), factor) * float(np.log(2))


def stand_ins() -> dict[str, types.ModuleType]:
    """Small modules in place of what the authors' files import and their metric does not need, or needs for one function.

    pyitlib, which no longer runs, is replaced by plug-in entropies in bits. EDI's estimators of information, two of which
    return wrong numbers (docs/metrics/edi.md), are replaced by plug-in information of 20 bins.
    """
    gin = module("gin.tf", configurable=lambda *_, **__: lambda function: function, REQUIRED=None)
    drv = module(
        "discrete_random_variable",
        entropy=lambda x: _bits(np.asarray(x)),
        entropy_joint=lambda x: _bits(*np.atleast_2d(x)),
        information_mutual=_information,
    )
    utils = module(
        "utils",
        get_bin_index=lambda values, bins: np.digitize(values, np.linspace(0, 1, bins + 1)[:-1]),
        get_mutual_information=lambda x, y, normalize=True: _information(x, y) / (_bits(y) if normalize else 1.0),
    )
    mi = module(
        "disentangling.utils.mi",
        get_mutual_info=lambda code, factor, **_: _binned_nats(code, factor),
        get_mutual_infos=lambda codes, factors, **_: np.array(
            [[_binned_nats(z, v) for v in factors.T] for z in codes.T]
        ),
        get_entropies=lambda factors, **_: np.array([_bits(v) * np.log(2) for v in factors.T]),
    )
    return {
        "disentangling": module("disentangling"),
        "disentangling.utils": module("disentangling.utils"),
        "disentangling.utils.mi": mi,
        "gin": module("gin", tf=gin, configurable=gin.configurable, REQUIRED=None),
        "gin.tf": gin,
        "absl": module("absl", logging=types.SimpleNamespace(info=lambda *_: None)),
        "six": module("six"),
        "six.moves": module("six.moves", range=range, zip=zip),
        "ipdb": module("ipdb"),
        "tensorflow": module("tensorflow"),
        "pyitlib": module("pyitlib", discrete_random_variable=drv),
        "numpy.core.numeric": module("numpy.core.numeric", NaN=np.nan),
        "utils": utils,
    }


@contextmanager
def replaced_modules(modules: dict[str, types.ModuleType]) -> Iterator[None]:
    before = {name: sys.modules.get(name) for name in modules}
    sys.modules.update(modules)
    try:
        yield
    finally:
        for name, earlier in before.items():
            if earlier is None:
                del sys.modules[name]
            else:
                sys.modules[name] = earlier


def load(folder: Path, adapter: Adapter) -> types.ModuleType:
    """Import the authors' file by its path, with stand-ins for modules that are missing or that it does not need."""
    root = folder / adapter.repository
    modules = stand_ins()
    if adapter.repository in (DLIB, MED_LIB):
        package = "disentanglement_lib.evaluation.metrics"
        with replaced_modules(modules):
            utils = _load(root / "disentanglement_lib/evaluation/metrics/utils.py")
        utils.make_discretizer = lambda target: utils._histogram_discretize(target, 20)  # type: ignore[attr-defined]
        modules |= {name: module(name) for name in ("disentanglement_lib", "disentanglement_lib.evaluation", package)}
        modules[package].utils = utils  # type: ignore[attr-defined]
        modules[f"{package}.utils"] = utils
    if adapter.repository == OMES_LIB:
        modules |= {name: module(name) for name in ("matplotlib", "matplotlib.pyplot", "seaborn", "pandas")}
        modules |= {name: module(name) for name in ("src", "src.evaluation", "src.evaluation.metrics", "src.utils")}
        modules["src.evaluation.metrics.metric"] = module("src.evaluation.metrics.metric", Metric=object)
        with replaced_modules(modules):
            modules["src.utils.postprocess_utils"] = _load(root / "src/utils/postprocess_utils.py")
    with replaced_modules(modules):
        loaded = _load(root / adapter.file)
    if adapter.repository == OMES_LIB:
        loaded.np = fits.numpy_of_then()  # type: ignore[attr-defined]
    for name in {"LogisticRegression", "linear_model", "feature_selection"} & set(vars(loaded)):
        setattr(loaded, name, OF_TODAY[name])
    if adapter.repository == "InnVariant":
        loaded.exclusive_rate = partial(_number, loaded.exclusive_rate)  # type: ignore[attr-defined]
    return loaded


def _load(path: Path) -> types.ModuleType:
    spec = importlib.util.spec_from_file_location(f"peer_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    loaded = importlib.util.module_from_spec(spec)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        spec.loader.exec_module(loaded)
    return loaded


def _logistic_regression(**options: Any) -> Any:
    """What scikit-learn did with `multi_class`, an argument that it has dropped."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.multiclass import OneVsRestClassifier

    kind = options.pop("multi_class", "multinomial")
    model = LogisticRegression(**options | {"n_jobs": None})
    return OneVsRestClassifier(model) if kind == "ovr" else model


def _number(function: Callable[..., Array], *args: Any, **options: Any) -> Any:
    """The number in the array of one: numpy no longer takes one for the other."""
    found = function(*args, **options)
    return found[0] if found.shape == (1,) else found


def _mutual_info_classif(*args: Any, **options: Any) -> Any:
    """The number in the array of one: numpy no longer takes one for the other."""
    from sklearn.feature_selection import mutual_info_classif

    found = mutual_info_classif(*args, **options)
    return found[0] if len(found) == 1 else found


OF_TODAY: dict[str, Any] = {
    "LogisticRegression": _logistic_regression,
    "linear_model": types.SimpleNamespace(LogisticRegression=_logistic_regression),
    "feature_selection": types.SimpleNamespace(mutual_info_classif=_mutual_info_classif),
}


# Adapters


def _dlib(name: str, score: Callable[..., float], **more: Any) -> Adapter:
    return Adapter(
        DLIB, f"disentanglement_lib/evaluation/metrics/{name}.py", lambda m, z, v, _: float(score(m, z, v)), **more
    )


def _ubisoft(name: str, part: int | None = None, keywords: dict[str, Any] | None = None, **more: Any) -> Adapter:
    def score(m: types.ModuleType, codes: Array, factors: Array, seed: int) -> float:
        np.random.seed(seed)  # noqa: NPY002 - their generator is the global one
        found = getattr(m, name)(factors, codes, **{"continuous_factors": False} | (keywords or {}))
        return float(found if part is None else found[part])

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
            np.random.seed(seed)  # noqa: NPY002
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
NUMBERS, LASSO = {"continuous_factors": True}, {"model": "lasso"}
ADAPTERS: dict[str, list[Adapter]] = {
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
    "sap_svc": [
        Adapter(DLIB, "disentanglement_lib/evaluation/metrics/sap_score.py", fits.sap_svc, rows=600, tolerance=0.01)
    ],
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
    "factor_vae_score": [
        _ubisoft(
            "z_min_var",
            options={"group": 200, "train": 800, "test": 800, "scaled": True, "threshold": 0.05, "relative": False},
            seeds=5,
            tolerance=0.05,
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
    "omes": [
        Adapter(
            OMES_LIB,
            "src/evaluation/metrics/omes.py",
            partial(fits.omes, "avg"),
            options={"relative": False},
            rows=400,
            tolerance=0.02,
        )
    ],
}
