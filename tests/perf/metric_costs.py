"""What metrics cost: beside public implementations, as tables grow, and in memory.

    git -C /tmp/peers clone https://github.com/google-research/disentanglement_lib
    git -C /tmp/peers clone https://github.com/ubisoft/ubisoft-laforge-disentanglement-metrics
    git -C /tmp/peers clone https://github.com/kylehkhsu/latent_quantization
    python tests/perf/metric_costs.py --peers /tmp/peers

Times are CPU seconds of the process on one thread, the least of a few runs; ours and the peer's take turns. Each run has another
table, so that no result of an earlier run is found again. Without --peers the comparison is left out.
"""

import argparse
import importlib.util
import os
import sys
import time
import tracemalloc
import types
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
from numpy.typing import NDArray

from disbench.metrics import METRICS, NotApplicable

Array = NDArray[Any]
SIZES = (3, 6, 40, 32, 32)  # dSprites
SLOW = (
    "dci_disentanglement",
    "dci_completeness",
    "dci_informativeness",
    "sap_svc",
    "sap_tree",
    "infoe",
    "explicitness",
)
UBISOFT = "ubisoft-laforge-disentanglement-metrics/src/metrics"


def show(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def make_table(rows: int, codes: int, sizes: tuple[int, ...] = SIZES) -> tuple[Array, Array]:
    """Noisy mixtures of uniform factors."""
    rng = np.random.default_rng(0)
    factors = np.stack([rng.integers(0, size, rows) for size in sizes], axis=1)
    mixing = np.eye(len(sizes), codes) + 0.2 * rng.normal(size=(len(sizes), codes))
    return (factors / np.array(sizes) - 0.5) @ mixing + 0.2 * rng.normal(size=(rows, codes)), factors


def cpu_seconds(function: Callable[[Array, Array], object], codes: Array, factors: Array) -> float:
    started = time.process_time()
    function(codes, factors)
    return time.process_time() - started


def by_turns(forms: list[Callable[[Array, Array], object]], table: tuple[Array, Array], runs: int) -> list[float]:
    """The least seconds of each form."""
    least = [float("inf")] * len(forms)
    for run in range(runs):
        codes, factors = table[0] + 1e-9 * (run + 1), table[1]
        for i, form in enumerate(forms):
            least[i] = min(least[i], cpu_seconds(form, codes, factors))
    return least


def load(path: Path) -> types.ModuleType:
    """A peer's module by its file, with empty modules in place of what its metric does not need."""
    gin = types.ModuleType("gin.tf")
    gin.configurable, gin.REQUIRED = (lambda *_, **__: lambda function: function), None  # type: ignore[attr-defined]
    absl = types.ModuleType("absl")
    absl.logging = types.SimpleNamespace(info=lambda *_: None)  # type: ignore[attr-defined]
    utils = types.ModuleType("utils")
    parents = ("gin", "disentanglement_lib", "disentanglement_lib.evaluation", "disentanglement_lib.evaluation.metrics")
    for name in parents:
        sys.modules.setdefault(name, types.ModuleType(name))
    for name, module in (
        ("gin.tf", gin),
        ("absl", absl),
        ("tensorflow", types.ModuleType("tensorflow")),
        ("utils", utils),
    ):
        sys.modules.setdefault(name, module)
    sys.modules["gin"].tf, sys.modules["gin"].configurable = gin, gin.configurable  # type: ignore[attr-defined]
    sys.modules["gin"].REQUIRED = None  # type: ignore[attr-defined]
    sys.modules["disentanglement_lib.evaluation.metrics"].utils = utils  # type: ignore[attr-defined]
    sys.modules["utils"].get_bin_index = lambda values, bins: np.digitize(values, np.linspace(0, 1, bins + 1)[:-1])  # type: ignore[attr-defined]
    moves = types.ModuleType("six.moves")
    moves.range, moves.zip = range, zip  # type: ignore[attr-defined]
    sys.modules.setdefault("six", types.ModuleType("six"))
    sys.modules.setdefault("six.moves", moves)
    sys.modules.setdefault("ipdb", types.ModuleType("ipdb"))
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def peer_forms(folder: Path) -> dict[str, tuple[list[str], Callable[[Array, Array], object]]]:
    """By name: our metrics and the peer's function of codes and factors."""
    dlib = folder / "disentanglement_lib/disentanglement_lib/evaluation/metrics"
    unsupervised, sap = load(dlib / "unsupervised_metrics.py"), load(dlib / "sap_score.py")
    dci, tree_sap = load(folder / UBISOFT / "dci.py"), load(folder / UBISOFT / "sap.py")
    latent = folder / "latent_quantization/disentangle/metrics"
    infomec = load(
        next(path for path in latent.glob("*.py") if "def compute_infomec" in path.read_text(encoding="utf-8"))
    )
    sklearn_logistic = infomec.linear_model.LogisticRegression

    def logistic(**options: Any) -> Any:  # scikit-learn dropped an argument that their code passes
        options.pop("multi_class", None)
        return sklearn_logistic(**options | {"n_jobs": None})

    classif = infomec.feature_selection.mutual_info_classif
    infomec.feature_selection = types.SimpleNamespace(  # NumPy no longer takes an array of one number for a number
        mutual_info_classif=lambda *args, **options: classif(*args, **options)[0]
    )
    infomec.linear_model = types.SimpleNamespace(LogisticRegression=logistic)

    def infom(codes: Array, factors: Array) -> Array:
        shares: Array = infomec.compute_nmi(factors, codes, False)
        return shares

    def wasserstein(codes: Array, factors: Array) -> float:
        covariance = np.cov(codes.T)
        return float(np.real(unsupervised.gaussian_wasserstein_correlation(covariance)) / np.trace(covariance))

    return {
        "total correlation, disentanglement_lib": (
            ["gaussian_total_correlation"],
            lambda codes, factors: unsupervised.gaussian_total_correlation(np.cov(codes.T)),
        ),
        "Wasserstein correlation, disentanglement_lib": (["wasserstein_correlation"], wasserstein),
        "SAP by lines, disentanglement_lib": (
            ["sap"],
            lambda codes, factors: sap.compute_score_matrix(codes.T, factors.T, codes.T, factors.T, True),
        ),
        "SAP by lines, Zaidi et al.": (["sap"], lambda codes, factors: tree_sap.sap(factors, codes)),
        "DCI by lasso, Zaidi et al.": (
            ["dci_disentanglement:lasso", "dci_completeness:lasso", "dci_informativeness:lasso"],
            lambda codes, factors: dci.dci(factors, codes),
        ),
        "InfoM and InfoC, Hsu et al.": (["infom", "infoc"], infom),
        "InfoM, InfoE and InfoC, Hsu et al.": (
            ["infom", "infoe", "infoc"],
            lambda codes, factors: infomec.compute_infomec(factors, codes, False),
        ),
    }


def ours(names: list[str]) -> Callable[[Array, Array], object]:
    def scores(codes: Array, factors: Array) -> list[float]:
        found = []
        for name in names:
            metric, _, model = name.partition(":")
            found.append(METRICS[metric](codes, factors, **({"model": model} if model else {})))
        return found

    return scores


def compare(folder: Path, runs: int) -> None:
    show("| metric and peer | rows x codes | ours, ms | peer, ms | peer / ours |\n|---|---|---|---|---|")
    for name, (metrics, peer) in peer_forms(folder).items():
        few = min(runs, 3) if len(metrics) > 1 or "Zaidi" in name else 10 * runs
        mine, theirs = by_turns([ours(metrics), peer], make_table(10_000, 10), few)
        show(f"| {name} | 10,000 x 10 | {mine * 1e3:.2f} | {theirs * 1e3:.2f} | {theirs / mine:.2f} |")


def grow(names: list[str]) -> None:
    show("\n| metric | 10,000 x 10, s | 40,000 x 10, s | 10,000 x 40, s | exponent of N | exponent of D |")
    show("|---|---|---|---|---|---|")
    for name in names:
        sizes = (2,) * 5 if name == "tad" else SIZES
        try:
            tables = [make_table(n, d, sizes) for n, d in ((10_000, 10), (40_000, 10), (10_000, 40))]
            seconds = [by_turns([ours([name])], table, 3)[0] for table in tables]
        except NotApplicable as reason:
            show(f"| {name} | {reason} |")
            continue
        powers = [np.log(after / seconds[0]) / np.log(4) for after in seconds[1:]]
        numbers = " | ".join(f"{each:.4f}" for each in seconds)
        show(f"| {name} | {numbers} | {powers[0]:.2f} | {powers[1]:.2f} |")


def memory(names: list[str], rows: int, codes: int) -> None:
    table = np.random.default_rng(0).normal(size=(rows, codes))
    factors = np.random.default_rng(1).integers(0, 5, (rows, 5))
    show(f"\n| metric | peak above a table of {rows:,} x {codes} | seconds |\n|---|---|---|")
    for name in names:
        tracemalloc.start()
        seconds = cpu_seconds(METRICS[name], table, factors)
        peak = tracemalloc.get_traced_memory()[1] / table.nbytes
        tracemalloc.stop()
        show(f"| {name} | {peak:.2f} of its own memory | {seconds:.1f} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", type=Path, help="folder that holds the three repositories")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--growth", nargs="*", help="metrics whose growth is measured; default: all but the slow ones")
    parser.add_argument("--memory", nargs="*", default=["mig", "sap", "gaussian_total_correlation", "irs", "z_min_var"])
    parser.add_argument("--rows", type=int, default=1_000_000)
    chosen = parser.parse_args()
    warnings.simplefilter("ignore")
    if chosen.peers:
        compare(chosen.peers, chosen.runs)
    grow([name for name in METRICS if name not in SLOW] if chosen.growth is None else chosen.growth)
    memory(chosen.memory, chosen.rows, 128)


if __name__ == "__main__":
    main()
