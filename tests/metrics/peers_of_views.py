"""Other people's metrics of more than codes and factors: posteriors, several models, tori, pairs of rows, binary attributes."""

import contextlib
import io
import itertools
import json
import tempfile
import types
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import numpy as np
from peer_code import DLIB, OMES_LIB, RMIG_LIB, TAD_LIB, Adapter, quiet_seed
from peer_tables import Array

PAIRS = 5000  # of each factor, for OMES


class Pairs(dict[str, Array]):
    """What `numpy.load` gives the authors of OMES: one array for each factor."""

    @property
    def files(self) -> list[str]:
        return list(self)


def _omes(pooling: str, m: types.ModuleType, codes: Array, factors: Array, seed: int) -> float:
    """The authors' score of pairs that their function draws, again and again from rows in another order.

    They take the first row of each combination of factors. Ours is the limit of many draws.
    """
    m.random.seed(seed)
    quiet_seed(seed)
    rng = np.random.default_rng(seed)
    columns, combinations = range(factors.shape[1]), np.unique(factors, axis=0)
    drawn: dict[int, list[tuple[Array, Array]]] = {k: [] for k in columns}
    for _ in range(max(1, PAIRS // len(combinations))):
        order = rng.permutation(len(codes))
        for i in range(len(combinations)):
            found = m.one_diff_couple(codes[order], combinations, factors[order], list(columns), i)
            for k, pair in found.items():
                drawn[k].append(pair)
        if not all(any(len(side) for side, _ in drawn[k]) for k in columns):
            raise ValueError("a factor never varies alone")
    first, second = (Pairs({str(k): np.vstack([pair[side] for pair in drawn[k]]) for k in columns}) for side in (0, 1))
    return float(m.get_score(first, second, codes, gamma=pooling)[0])


DSPRITES = "dsprites_ndarray_co1sh3sc6or40x32y32_64x64.npz"
SLOTS = (3, 4, 5)  # columns of dSprites with 40, 32 and 32 values, in which any factor fits
UNUSED = ("rec_x_mode", "gp0_z_tc_mode", "rec_x_coeff", "kld_loss_coeff", "tc_loss_coeff", "gp0_z_tc_coeff")


def _rmig(m: types.ModuleType, codes: Array, factors: Array, _: int) -> float:
    """Run the authors' script on a folder that has the posteriors, with three of the factors at a time in place of dSprites's."""
    labels = np.stack([np.unique(column, return_inverse=True)[1] for column in factors.T], axis=1)
    labels = labels[:, np.argsort(-labels.max(axis=0), kind="stable")]
    gaps: list[float] = []
    for start in range(0, labels.shape[1], len(SLOTS)):
        chosen = labels[:, start : start + len(SLOTS)]
        with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
            m.RAW_DATA_DIR = folder  # type: ignore[attr-defined]
            classes = np.zeros((len(labels), 6), dtype=np.int64)
            classes[:, SLOTS[: chosen.shape[1]]] = chosen
            data = Path(folder, "ComputerVision", "dSprites")
            results = Path(folder, "1Konny_0")
            data.mkdir(parents=True)
            results.mkdir()
            np.savez(data / DSPRITES, imgs=np.zeros((len(labels), 1, 1)), latents_classes=classes)
            np.savez(results / "z_data[data=1.0].npz", all_z_mean=codes[0], all_z_stddev=codes[1])
            config = {"z_dim": codes.shape[2], "enc_dec_model": "1Konny", "run": 0, "batch_size": 64}
            config |= dict.fromkeys((*UNUSED, "Dz_tc_loss_coeff"), 0)
            Path(folder, "config.json").write_text(json.dumps(config), encoding="utf-8")
            m.main(m.parser.parse_args(["--output_dir", folder, "--save_dir", folder]))
            (file,) = results.glob("results*.npz")
            with np.load(file) as found:
                gaps += found["RMIG"][2 : 2 + chosen.shape[1]].tolist()
    return float(np.mean(gaps))


def _tad(m: types.ModuleType, codes: Array, factors: Array, _: int) -> float:
    """The authors' areas, and then their notebook, which is of 40 attributes: others are constant and do not count."""
    import torch

    z, attributes = torch.tensor(codes), torch.zeros((len(codes), 40), dtype=torch.int64)
    attributes[:, : factors.shape[1]] = torch.tensor(factors)
    areas = torch.full((40, codes.shape[1]), 0.5)
    for k in range(factors.shape[1]):
        areas[k] = m.aurocs(z, attributes, k, z.max(dim=0)[0], z.min(dim=0)[0])
    plot = MagicMock()
    plot.subplots.side_effect = lambda *_, **__: (MagicMock(), MagicMock())
    names: dict[str, Any] = {"torch": torch, "plt": plot, "tags": m.tags, "au_result": areas, "targ": attributes}
    notebook = json.loads((Path(str(m.__file__)).parent / "celeba_eval.ipynb").read_text(encoding="utf-8"))
    cells = ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]
    needed = [cell for cell in cells if any(f"{name} = " in cell for name in ("mi_mat", "max_aur, argmax_aur", "filt"))]
    with contextlib.redirect_stdout(io.StringIO()):
        for cell in needed:
            exec(cell, names)
    return float(names["aurs_diffs"][names["filt"]].sum())


def _udr(correlation: str, m: types.ModuleType, codes: Array, _: Array, seed: int) -> float:
    """Codes that vary are informative."""
    del seed

    def model(number: int) -> Any:
        return lambda rows: (codes[number][rows], (codes[number].std(axis=0) > 0).astype(float))

    data = types.SimpleNamespace(sample_observations=lambda count, _: np.arange(count))
    found = m.compute_udr_sklearn(
        data,
        [model(number) for number in range(len(codes))],
        None,
        batch_size=codes.shape[1],
        num_data_points=codes.shape[1],
        correlation_matrix=correlation,
    )
    return float(np.mean(found["model_scores"]))


def _seed_consistency(up_to: str, m: types.ModuleType, codes: Array, _: Array, seed: int) -> float:
    """What their `compute_mcc` (runners/real_data_runner.py) makes of two models, on our halves, by Pearson's correlation."""
    from sklearn.cross_decomposition import CCA

    order = np.random.default_rng(seed).permutation(codes.shape[1])
    fitted, judged = order[: len(order) // 2], order[len(order) // 2 :]
    scores = []
    for first, second in itertools.combinations(codes, 2):
        if up_to == "permutation":
            sides = (first[fitted], second[fitted], first[judged], second[judged])
            scores.append(m.mean_corr_coef_out_of_sample(*sides))
        else:
            analysis = CCA(n_components=codes.shape[2]).fit(first[fitted], second[fitted])
            scores.append(m.mean_corr_coef(*analysis.transform(first[judged], second[judged]), method="pearson"))
    return float(np.mean(scores))


def _lsbd(m: types.ModuleType, codes: Array, factors: Array, _: int) -> float:
    sizes = tuple(factors.max(axis=0) + 1)
    if not (np.linalg.matrix_rank(codes - codes.mean(axis=0)) > 1):
        raise ValueError("codes vary in one direction")
    frequencies = m.create_combinations_omega_values_range(n_transforms=len(sizes))
    return float(m.dlsbd(codes.reshape(*sizes, -1), frequencies)[0])


ICEBEEM = "metrics/mcc.py"
LINEAR: dict[str, Any] = {
    "tolerance": 0.005,
    "differs_on": ("dead_dims", "duplicated_code"),
    "note": "scikit-learn's CCA does not find all directions of codes that depend on each other linearly,"
    " and they pair directions by the judged rows",
}
OF_VIEWS: dict[str, list[Adapter]] = {
    "tad": [
        Adapter(
            TAD_LIB,
            "ae_utils_exp.py",
            _tad,
            view="factors of two values",
            tables="all",
            rows=300,
            too_slow=("celeba40",),
            tolerance=0.05,
            differs_on=("perfect", "duplicated"),
            note="they add up rectangles over 101 thresholds, which misjudge pairs of rows with equal codes",
        )
    ],
    "rmig": [
        Adapter(
            RMIG_LIB,
            "working/disentanglement/dSprites/FactorVAE/exp_4_paper/7a_interpretability_metrics_v2.py",
            _rmig,
            view="means and deviations",
            rows=1000,
            options={"standardise": False},
            tolerance=1e-5,
        )
    ],
    "omes": [
        Adapter(
            OMES_LIB,
            "src/evaluation/metrics/omes.py",
            partial(_omes, "avg"),
            options={"relative": False},
            rows=400,
            tolerance=0.02,
        )
    ],
    "udr": [
        Adapter(
            DLIB,
            "disentanglement_lib/evaluation/udr/metrics/udr.py",
            partial(_udr, correlation),
            view="three models",
            options={"correlation": correlation, "threshold": 0.0},
            tables="all",
        )
        for correlation in ("lasso", "spearman")
    ],
    "seed_consistency": [
        Adapter(
            "icebeem",
            ICEBEEM,
            partial(_seed_consistency, up_to),
            view="three models",
            options={"up_to": up_to, "threshold": 0.0},
            tables="all",
            **more,
        )
        for up_to, more in (("permutation", {}), ("linear", LINEAR))
    ],
    "lsbd_distance": [
        Adapter(
            "lsbd-vae",
            "lsbd_vae/metrics/dlsbd_metric.py",
            _lsbd,
            view="mean codes of cells of two factors",
            tables="all",
            tolerance=1e-8,
        )
    ],
}
