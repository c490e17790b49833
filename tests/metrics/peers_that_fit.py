"""Other people's metrics that fit a predictor. They get the rows that ours fits on and judges by.

They also get our random state where their code takes one. Their SAP does not: `LinearSVC` and the trees read the global
generator, which is seeded.
"""

import contextlib
import io
import tempfile
import types
from collections.abc import Callable
from functools import partial
from typing import Any
from unittest.mock import MagicMock

import numpy as np
from peer_code import DLIB, UBISOFT, Adapter, quiet_seed, remembered
from peer_tables import Array
from sklearn.model_selection import PredefinedSplit, cross_val_score

from disbench.metrics.dci_es import DEPTHS
from disbench.metrics.sap import stratified_folds
from disbench.metrics.split import split_rows

TRAIN, TEST = 10_000, 5_000  # our defaults, of which a smaller table takes the same proportion
METRICS_OF_DLIB = "disentanglement_lib/evaluation/metrics"


def _random_state(seed: int) -> int:
    return int(np.random.default_rng(seed).integers(1 << 31))


def _boosted_trees(seed: int) -> Callable[[], Any]:
    from sklearn.ensemble import GradientBoostingClassifier

    return lambda: GradientBoostingClassifier(random_state=_random_state(seed))


def _sides(codes: Array, factors: Array, seed: int) -> tuple[Array, Array, Array, Array]:
    fitted, judged = split_rows(len(codes), TRAIN, TEST, seed)
    return codes[fitted].T, factors[fitted].T, codes[judged].T, factors[judged].T


@remembered
def _dci_scores(m: types.ModuleType, codes: Array, factors: Array, seed: int) -> dict[str, float]:
    m.ensemble = types.SimpleNamespace(GradientBoostingClassifier=_boosted_trees(seed))  # type: ignore[attr-defined]
    found: dict[str, float] = m._compute_dci(*_sides(codes, factors, seed))
    return found


def _dci(part: str, m: types.ModuleType, codes: Array, factors: Array, seed: int) -> float:
    return float(_dci_scores(m, codes, factors, seed)[part])


def _sap_svc(m: types.ModuleType, codes: Array, factors: Array, seed: int) -> float:
    quiet_seed(seed)
    return float(m._compute_sap(*_sides(codes, factors, seed), False)["SAP_score"])


def _sap_tree(m: types.ModuleType, codes: Array, factors: Array, seed: int) -> float:
    """Their gap of each factor, with depths chosen on our folds of the factor."""
    quiet_seed(seed)
    rows = np.random.default_rng(seed).permutation(len(codes))
    codes, factors = codes[rows], factors[rows]
    gaps = []
    for factor, folds in zip(factors.T, stratified_folds(factors).T, strict=True):
        m.cross_val_score = partial(_cross_val_score, PredefinedSplit(folds))  # type: ignore[attr-defined]
        gaps.append(m.sap(factor[:, None], codes, continuous_factors=False, regression=False))
    return float(np.mean(gaps))


def _cross_val_score(folds: PredefinedSplit, model: Any, codes: Array, factor: Array, cv: int) -> Array:
    scores: Array = cross_val_score(model, codes, factor, cv=folds)
    assert len(scores) == cv
    return scores


class Images:
    """A dataset of disentanglement_lib whose images are codes (N, D) of factors (N, K), whole numbers from 0.

    It samples the rows `order` one after another, and images of given factors from the rows `judged`.
    """

    def __init__(self, codes: Array, factors: Array, order: Array, judged: Array, seed: int) -> None:
        self.codes, self.factors, self.order, self.judged = codes, factors, order, judged
        self.factors_num_values = [int(column.max()) + 1 for column in factors.T]
        self.rng, self.place = np.random.default_rng(seed), 0

    def sample(self, count: int, _: object) -> tuple[Array, Array]:
        rows = self.order[self.place : self.place + count]
        assert len(rows) == count
        self.place += count
        return self.factors[rows], self.codes[rows]

    def sample_factors(self, count: int, _: object) -> Array:
        """The factors of all judged rows, as often as it takes."""
        assert count % len(self.judged) == 0
        return np.tile(self.factors[self.judged], (count // len(self.judged), 1))

    def sample_observations_from_factors(self, factors: Array, _: object) -> Array:
        """The codes of judged rows that have the factors, drawn at random."""
        cells = self._cell(self.factors[self.judged])
        rows = self.judged[np.argsort(cells, kind="stable")]
        counts = np.bincount(cells, minlength=int(np.prod(self.factors_num_values)))
        wanted = self._cell(factors)
        if not counts[wanted].all():
            raise ValueError("a combination of factors has no judged row")
        first = np.cumsum(counts) - counts
        return self.codes[rows[first[wanted] + self.rng.integers(counts[wanted])]]

    def _cell(self, factors: Array) -> Array:
        return np.ravel_multi_index(tuple(factors.T), tuple(self.factors_num_values))


def _sample_efficiency(m: types.ModuleType, codes: Array, factors: Array, seed: int) -> float:
    fitted, judged = split_rows(len(codes), TRAIN, TEST, seed)
    if len(fitted) <= FEW:
        raise ValueError("too few rows")
    order = np.concatenate([fitted[:FEW], judged, fitted, judged])
    data = Images(codes, factors, order, judged, seed)
    m.utils.make_predictor_fn = lambda: _boosted_trees(seed)  # type: ignore[attr-defined]
    found = m.compute_downstream_task(
        data, lambda z: z, None, num_train=[FEW, len(fitted)], num_test=len(judged), batch_size=1 << 20
    )
    return float(found[f"{FEW}:mean_test_accuracy"] / found[f"{len(fitted)}:mean_test_accuracy"])


def _fairness(m: types.ModuleType, codes: Array, factors: Array, seed: int) -> float:
    """Their unfairness, by many images for each value of the sensitive factor, drawn as the judged rows are distributed."""
    fitted, judged = split_rows(len(codes), MOST_ARE_JUDGED["train"], MOST_ARE_JUDGED["test"], seed)
    m.utils.make_predictor_fn = lambda: _boosted_trees(seed)  # type: ignore[attr-defined]
    found = m.compute_fairness(
        Images(codes, factors, fitted, judged, seed),
        lambda z: z,
        None,
        num_train=len(fitted),
        num_test_points_per_class=-(-IMAGES // len(judged)) * len(judged),
        batch_size=1 << 20,
    )
    return float(found["mean_fairness:mean_pred:mean_sens"])


FEW, TREES = 100, 20
MOST_ARE_JUDGED = {"train": 2_000, "test": 10_000}  # so that every combination of factors has judged rows
IMAGES = 20_000  # at least, for each value of the sensitive factor


def _explicitness(m: types.ModuleType, codes: Array, factors: Array, seed: int) -> float:
    """Their forests of each depth, and their explicitness of the curve of each factor (src/simple_gather.py)."""
    fitted, judged = split_rows(len(codes), TRAIN, TEST, seed)
    discrete = factors.dtype.kind == "i"
    extent = np.ptp(factors, axis=0)
    targets = (factors - factors.min(axis=0)) / extent
    m.get_representations_split = lambda _, rows, *__: (codes[rows.rows], targets[rows.rows])  # type: ignore[attr-defined]
    explicitness, depths = m.explicitness.Explitcitness, list(DEPTHS)
    loaders = [_loader(rows, extent, discrete) for rows in (fitted, judged, judged)]
    losses = []
    for depth in depths:
        silent = contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO())
        with tempfile.TemporaryDirectory() as folder, silent[0], silent[1]:
            found = m.train_test_random_forest(
                None,
                *loaders,
                method="tree_ens_rf",
                max_leaf_nodes=None,
                max_depth=depth,
                num_trees=TREES,
                seed=_random_state(seed),
                savefolder=folder,
                tb_writer=MagicMock(),
            )
        losses.append(1.0 - found[3])
    scores = []
    for k, curve in enumerate(np.array(losses).T):
        most = np.unique(factors[judged, k], return_counts=True)[1].max() / len(judged)
        of_factor = explicitness()
        of_factor.add_curve(depths, curve, 1.0 - most if discrete else 1.0, name="factor")
        scores.append(of_factor.get_explitcitness()["factor"])
    return float(np.mean(scores))


def _loader(rows: Array, extent: Array, discrete: bool) -> types.SimpleNamespace:
    size = len(extent)
    data = MagicMock(rows=rows, _factor_sizes=extent + 1, _factor_discrete=[discrete] * size, _factor_names=[""] * size)
    data.__len__.return_value = len(rows)
    return types.SimpleNamespace(dataset=data)


@remembered
def _r2_matrix(m: types.ModuleType, codes: Array, factors: Array, seed: int) -> dict[str, Array]:
    """R2 (K, K) of their network, which reads the latents that are assigned to each factor."""
    import torch
    from torch.utils.data import TensorDataset

    torch.manual_seed(seed)
    values = 2 * (factors - factors.min(axis=0)) / np.ptp(factors, axis=0) - 1.0
    data = TensorDataset(*(torch.tensor(array, dtype=torch.float32) for array in (codes, values)))
    info = {f"factor{k}": "continuous_2" for k in range(factors.shape[1])}
    model = types.SimpleNamespace(
        training=False,
        device="cpu",
        encode=lambda z: z,
        eval=lambda: model,
        hparams=types.SimpleNamespace(num_latents=codes.shape[1], causal_var_info=info),
        last_target_assignment=types.SimpleNamespace(),
    )
    callback = m.BaselineCorrelationMetricsLogCallback(data, cluster=True)
    callback._log_heatmap = callback.log_Spearman_statistics = lambda *_, **__: None
    callback.on_validation_epoch_start(None, model)
    return {"r2": callback.test_model(None, model)}


def _r2(part: str, m: types.ModuleType, codes: Array, factors: Array, seed: int) -> float:
    values = _r2_matrix(m, codes, factors, seed)["r2"]
    if part == "diagonal":
        return float(np.diag(values).mean())
    return float((values - np.eye(len(values)) * 10).max(axis=-1).mean())


def _of_dlib(name: str, score: Callable[..., float], **more: Any) -> Adapter:
    return Adapter(DLIB, f"{METRICS_OF_DLIB}/{name}.py", score, **more)


BOOSTED: dict[str, Any] = {"model": "gradient_boosting"}
CITRIS = "models/baselines/utils.py"
LARGE = ("dsprites10k", "celeba40")
SLOW: dict[str, Any] = {"rows": 400, "too_slow": ("dead_dims", "noise", *LARGE), "slow": True}
FEW_LATENTS: dict[str, Any] = SLOW | {"tables": "all", "too_slow": (*SLOW["too_slow"], "many_latents")}
MERGED: dict[str, Any] = FEW_LATENTS | {"view": "factors of three values at most"}
NETWORK: dict[str, Any] = FEW_LATENTS | {"rows": 600}
FITTED: dict[str, list[Adapter]] = {
    "sap_svc": [_of_dlib("sap_score", _sap_svc, rows=600, tolerance=0.005)],
    "sap_tree": [Adapter(UBISOFT, "src/metrics/sap.py", _sap_tree, rows=400, too_slow=("celeba40",))],
    "dci_disentanglement": [_of_dlib("dci", partial(_dci, "disentanglement"), options=BOOSTED, **SLOW, tolerance=0.01)],
    "dci_completeness": [_of_dlib("dci", partial(_dci, "completeness"), options=BOOSTED, **SLOW, tolerance=0.01)],
    "dci_informativeness": [
        _of_dlib("dci", partial(_dci, "informativeness_test"), options=BOOSTED, **SLOW, tolerance=0.01)
    ],
    "sample_efficiency": [
        _of_dlib(
            "downstream_task",
            _sample_efficiency,
            options=BOOSTED,
            **MERGED,
            tolerance=0.03,
            note="equally good splits are chosen by the order of columns, which ours sorts",
        )
    ],
    "fairness": [
        _of_dlib(
            "fairness",
            _fairness,
            options=BOOSTED | MOST_ARE_JUDGED,
            tables="all",
            view="factors of three values at most",
            too_slow=("celeba40",),
            tolerance=0.005,
            slow=True,
            note="they draw images of each combination of factors, where ours weighs the judged rows",
        )
    ],
    "r2_diagonal": [
        Adapter(
            "CITRIS",
            CITRIS,
            partial(_r2, "diagonal"),
            **NETWORK,
            tolerance=0.2,
            note="trees with leaves of 20 rows read less than their network from 100 to 300 rows of rare values or curves",
        )
    ],
    "r2_separation": [
        Adapter(
            "CITRIS",
            CITRIS,
            partial(_r2, "separation"),
            **NETWORK,
            tolerance=0.1,
            differs_on=("rotated",),
            note="each code has 60 values without noise, and trees read more about the other factors from them than a"
            " smooth network",
        )
    ],
    "dci_es_explicitness": [
        Adapter(
            "DCI-ES",
            "src/loss_capacity/train_model_random_forest.py",
            _explicitness,
            options={"trees": TREES},
            **FEW_LATENTS,
            tolerance=0.02,
        )
    ],
}
