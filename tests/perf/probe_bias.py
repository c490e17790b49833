"""Bias of probes of information on groups of latents whose information about a factor is known.

    python tests/perf/probe_bias.py --seeds 3

The tables are those of `tests/metrics/test_group_scores.py`, 10,000 rows each. A cell is the relative bias in percent (in nats
where the truth is 0), the mean over seeds. The last row is the CPU seconds on one thread for a table, the mean over tables.
"""

# ruff: noqa: T201 -- a script for the terminal

import argparse
import os
import runpy
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression

from disbench.metrics import probe

Array = NDArray[Any]
TESTS = Path(__file__).parents[1] / "metrics" / "test_group_scores.py"
FOLDS = 5
FEATURES, WIDTH = 200, 1.0  # random Fourier features of standardized latents


def frequencies(label: Array) -> Array:
    return np.asarray(np.bincount(label)[label] / len(label))


def stack(latents: Array, label: Array) -> Array:
    sizes = np.array([label.max() + 1])
    return probe.likelihoods(latents - latents.mean(axis=0), label[:, None], sizes)[:, 0]


def neighbors(latents: Array, label: Array) -> Array:
    shares = probe.shares_of_label(probe.nearest_rows(latents), label)
    return probe.stacked(np.column_stack([frequencies(label), shares]))


def normal_densities(latents: Array, label: Array) -> Array:
    points = (latents - latents.mean(axis=0)) / latents.std(axis=0)
    posterior = probe.normal_posterior(points, label, int(label.max()) + 1)
    return probe.stacked(np.column_stack([frequencies(label), posterior]))


def cross_fitted(fit: Callable[[Array, Array], Any], inputs: Array, label: Array) -> Array:
    fold, found = np.arange(len(label)) % FOLDS, np.empty(len(label))
    for held_out in (fold == f for f in range(FOLDS)):
        chances = fit(inputs[~held_out], label[~held_out]).predict_proba(inputs[held_out])
        found[held_out] = chances[np.arange(held_out.sum()), label[held_out]]
    return np.maximum(found, 1e-9)


def boosted_trees(latents: Array, label: Array) -> Array:
    return cross_fitted(HistGradientBoostingClassifier(early_stopping=True, random_state=0).fit, latents, label)


def random_features(latents: Array, label: Array) -> Array:
    rng, points = np.random.default_rng(0), (latents - latents.mean(axis=0)) / latents.std(axis=0)
    angles = points @ rng.normal(scale=WIDTH, size=(points.shape[1], FEATURES)) + rng.uniform(0, 2 * np.pi, FEATURES)
    features = np.column_stack([points, np.cos(angles)])
    return cross_fitted(LogisticRegression(max_iter=300).fit, features, label)


PROBES = (stack, neighbors, normal_densities, boosted_trees, random_features)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    seeds = range(parser.parse_args().seeds)
    seconds: dict[str, list[float]] = {each.__name__: [] for each in PROBES}
    print("| table | truth, nats |", " | ".join(each.__name__.replace("_", " ") for each in PROBES), "|")
    print("|---" * (2 + len(PROBES)) + "|")
    for known in runpy.run_path(str(TESTS))["KNOWN"]:
        cells = []
        for each in PROBES:
            biases = []
            for seed in seeds:
                latents, label, truth = known(np.random.default_rng(seed))
                start = time.process_time()
                found = np.log(each(latents, label) / frequencies(label)).mean()
                seconds[each.__name__].append(time.process_time() - start)
                biases.append(100 * (found / truth - 1) if truth else found)
            cells.append(f"{np.mean(biases):+.1f} %" if truth else f"{np.mean(biases):+.3f}")
        print(f"| {known.__name__.replace('_', ' ')} | {truth:.3f} | {' | '.join(cells)} |", flush=True)
    print("| CPU seconds | |", " | ".join(f"{np.mean(seconds[each.__name__]):.1f}" for each in PROBES), "|")


if __name__ == "__main__":
    main()
