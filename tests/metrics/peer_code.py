"""Import other people's files by their paths, with stand-ins for the modules that they import and that are not installed."""

import importlib.util
import inspect
import sys
import types
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TypeVar
from unittest.mock import MagicMock

import numpy as np
from peer_tables import CASES, CONTINUOUS, DRAWN, Array
from sklearn.linear_model import Lasso

DLIB, MED_LIB, UBISOFT = "disentanglement_lib", "disentanglement_lib_med", "ubisoft-laforge-disentanglement-metrics"
OMES_LIB, RMIG_LIB, TAD_LIB = "transfer_disentanglement", "DisentanglementMetrics", "nashae-beamsynthesis"
REPOSITORIES = {  # folder: address, commit
    DLIB: ("google-research/disentanglement_lib", "86a644d"),
    UBISOFT: ("ubisoft/ubisoft-laforge-disentanglement-metrics", "05d5667"),
    "latent_quantization": ("kylehkhsu/latent_quantization", "9a420a3"),
    "icebeem": ("ilkhem/icebeem", "0077f01"),
    MED_LIB: ("noahcao/disentanglement_lib_med", "e8db5c7"),
    "InnVariant": ("julka01/InnVariant", "147c3ce"),
    OMES_LIB: ("JacopoDapueto/transfer_disentanglement", "75e1a8b"),
    RMIG_LIB: ("clarken92/DisentanglementMetrics", "ada6b5e"),
    TAD_LIB: ("ericyeats/nashae-beamsynthesis", "6a307cf"),
    "DCI-ES": ("andreinicolicioiu/DCI-ES", "9329dae"),
    "CITRIS": ("phlippe/CITRIS", "95f6c90"),
    "lsbd-vae": ("luis-armando-perez-rey/lsbd-vae", "bc725a4"),
}


Scores = TypeVar("Scores")


class Adapter(NamedTuple):
    """How to call one implementation, and our options that make its protocol.

    `score` gets the authors' module, codes (N, D), factors (N, K) and a seed, and returns their number.
    """

    repository: str
    file: str
    score: Callable[[types.ModuleType, Array, Array, int], float]
    options: dict[str, Any] = {}  # noqa: RUF012 - never changed
    tables: str = "discrete"  # or "continuous", "all"
    seeds: int = 1  # more than one for a metric that draws: means are compared
    view: str = ""  # of each table, from peer_tables.VIEWS
    rows: int = 0  # of each table, drawn at random, where the other code is slow; 0 for all
    too_slow: tuple[str, ...] = ()  # tables that are left out, where the other code is slow
    tolerance: float = 1e-9
    differs_on: tuple[str, ...] = ()  # tables on which the two differ, and why
    note: str = ""
    slow: bool = False  # whether the tests compute ours again on one small table only


def table_names(adapter: Adapter) -> list[str]:
    """The tables that an implementation can score."""
    discrete = [*CASES, *(name for name in DRAWN if name not in CONTINUOUS)]
    names = {"discrete": discrete, "continuous": [*CONTINUOUS], "all": [*discrete, *CONTINUOUS]}[adapter.tables]
    return [name for name in names if name not in adapter.too_slow]


def remembered(function: Callable[..., Scores]) -> Callable[..., Scores]:
    """Compute once what several scores of one table share."""
    known: dict[tuple[bytes, int], Scores] = {}

    def wrapped(m: types.ModuleType, codes: Array, factors: Array, seed: int) -> Scores:
        key = (codes.tobytes() + factors.tobytes(), seed)
        if key not in known:
            known[key] = function(m, codes, factors, seed)
        return known[key]

    return wrapped


def quiet_seed(seed: int) -> None:
    """Seed the generator of older code, which is the global one."""
    np.random.seed(seed)  # noqa: NPY002


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
    if adapter.repository in PREPARE:
        modules |= PREPARE[adapter.repository](root)
    with replaced_modules(modules):
        loaded = _load(root / adapter.file)
    if adapter.repository in (OMES_LIB, RMIG_LIB):
        loaded.np = _numpy_of_then()  # type: ignore[attr-defined]
    for name in {"LogisticRegression", "linear_model", "feature_selection"} & set(vars(loaded)):
        setattr(loaded, name, OF_TODAY[name])
    if adapter.repository == "DCI-ES":
        loaded.explicitness = _load(root / "metrics/explitcitness.py")  # type: ignore[attr-defined]
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
    "linear_model": types.SimpleNamespace(LogisticRegression=_logistic_regression, Lasso=Lasso),
    "feature_selection": types.SimpleNamespace(mutual_info_classif=_mutual_info_classif),
}


def _numpy_of_then() -> types.SimpleNamespace:
    """A numpy with what it has dropped: the argument `bias` of `corrcoef`, which did nothing, and a threshold of NaN in print."""
    dropped = {"corrcoef": _corrcoef, "nan": np.nan, "set_printoptions": lambda **_: None}
    return types.SimpleNamespace(**vars(np) | dropped)


def _corrcoef(*args: Any, bias: object = None, **options: Any) -> Array:
    del bias
    found: Array = np.corrcoef(*args, **options)
    return found


def _empty(*names: str) -> dict[str, types.ModuleType]:
    """Modules of which any name can be imported, and does nothing."""
    return {name: MagicMock() for name in names}


def _for_omes(root: Path) -> dict[str, types.ModuleType]:
    modules = _empty("matplotlib", "matplotlib.pyplot", "seaborn", "pandas", "src", "src.evaluation", "src.utils")
    modules["src.evaluation.metrics"] = module("src.evaluation.metrics")
    modules["src.evaluation.metrics.metric"] = module("src.evaluation.metrics.metric", Metric=object)
    with replaced_modules(modules):
        modules["src.utils.postprocess_utils"] = _load(root / "src/utils/postprocess_utils.py")
    return modules


def _for_rmig(root: Path) -> dict[str, types.ModuleType]:
    """Without TensorFlow and the models, whose posteriors are read from a file."""
    models = (
        "models",
        "models.enc_dec",
        "models.enc_dec.dSprites",
        "models.generative",
        "models.generative.factor_vae",
    )
    ours = ("my_utils", "my_utils.python_utils", "my_utils.python_utils.training", "my_utils.tensorflow_utils")
    training = ("my_utils.tensorflow_utils.training", "my_utils.tensorflow_utils.training.helper")
    modules = _empty("tensorflow", "utils", *models, *ours, *training)
    modules["global_settings"] = module("global_settings", RAW_DATA_DIR="")
    six = module("six", moves=types.SimpleNamespace(xrange=range), iteritems=lambda pairs: pairs.items())
    for name in ("utils.general", "my_utils.python_utils.general", "my_utils.python_utils.training"):
        with replaced_modules({"six": six}):
            modules[name] = _load(root / f"{name.replace('.', '/')}.py")
    return modules


def _for_tad(root: Path) -> dict[str, types.ModuleType]:
    del root
    return _empty("architectures")


def _for_dci_es(root: Path) -> dict[str, types.ModuleType]:
    modules = _empty("sage", "xgboost", "loss_capacity", "loss_capacity.utils", "metrics")
    modules["metrics.dci"] = _load(root / "metrics/dci.py")
    return modules


def _for_citris(root: Path) -> dict[str, types.ModuleType]:
    """Without Lightning, plots and datasets."""
    from torch import nn

    class LightningModule(nn.Module):
        def save_hyperparameters(self) -> None:
            frame = inspect.currentframe()
            assert frame is not None
            assert frame.f_back is not None
            self.hparams = types.SimpleNamespace(**frame.f_back.f_locals)

    shared = "models.shared"
    modules = _empty("seaborn", "matplotlib", "matplotlib.pyplot", "pytorch_lightning.callbacks", "models")
    modules |= _empty(f"{shared}.visualization", f"{shared}.utils", f"{shared}.enco", f"{shared}.encoder_decoder")
    modules["pytorch_lightning"] = module("pytorch_lightning", LightningModule=LightningModule, Callback=object)
    datasets = {name: type(name, (), {}) for name in ("Causal3DDataset", "PinballDataset")}
    modules |= {
        "experiments": module("experiments"),
        "experiments.datasets": module("experiments.datasets", **datasets),
    }
    for name in ("modules", "causal_encoder", "callbacks"):
        with replaced_modules(modules | _empty(shared)):
            modules[f"{shared}.{name}"] = _load(root / "models" / "shared" / f"{name}.py")
    callbacks = modules[f"{shared}.callbacks"]
    modules |= _empty(shared)
    modules[shared].CorrelationMetricsLogCallback = callbacks.CorrelationMetricsLogCallback  # type: ignore[attr-defined]
    return modules


PREPARE = {
    OMES_LIB: _for_omes,
    RMIG_LIB: _for_rmig,
    TAD_LIB: _for_tad,
    "DCI-ES": _for_dci_es,
    "CITRIS": _for_citris,
}
