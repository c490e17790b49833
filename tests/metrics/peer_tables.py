"""Tables on which agreement.py compares implementations: drawn from a seed, and the cases of the oracle."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

Array = NDArray[Any]
ORACLE = Path(__file__).parent / "oracle"


def _continuous(rng: np.random.Generator, rows: int) -> tuple[Array, Array]:
    factors = rng.uniform(size=(rows, 4))
    codes = np.column_stack([np.exp(2 * factors[:, 0]), factors[:, 1] ** 3, factors[:, 2] + factors[:, 3]])
    return np.column_stack([codes, rng.normal(size=rows)]) + 0.1 * rng.normal(size=(rows, 4)), factors


def _imbalanced(rng: np.random.Generator, rows: int) -> tuple[Array, Array]:
    factors = np.column_stack([rng.random(rows) < 0.05, rng.geometric(0.4, rows).clip(max=6), rng.integers(0, 4, rows)])
    mixing = np.array([[2.0, 0.3, 0.0], [0.0, 1.0, 0.2], [0.1, 0.0, 1.0]])
    return factors @ mixing + 0.4 * rng.normal(size=(rows, 3)), factors.astype(np.int64)


def _duplicated_code(rng: np.random.Generator, rows: int) -> tuple[Array, Array]:
    factors = rng.integers(0, [3, 4, 5], (rows, 3))
    codes = factors + 0.3 * rng.normal(size=(rows, 3))
    return np.column_stack([codes, -2 * codes[:, 0]]), factors


def _rotated(rng: np.random.Generator, rows: int) -> tuple[Array, Array]:
    factors = rng.integers(0, [3, 4, 5], (rows, 3))
    rotation = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    return (factors - factors.mean(0)) / factors.std(0) @ rotation, factors


def _lognormal(rng: np.random.Generator, rows: int) -> tuple[Array, Array]:
    factors = np.exp(rng.normal(size=(rows, 3)))
    return np.log(factors) @ (np.eye(3) + 0.2) + 0.3 * rng.normal(size=(rows, 3)), factors


def _many_latents(rng: np.random.Generator, rows: int) -> tuple[Array, Array]:
    factors = rng.integers(0, 6, (rows, 5))
    return factors @ rng.normal(size=(5, 40)) * (rng.random(40) < 0.7) + rng.normal(size=(rows, 40)), factors


def _few_rows(rng: np.random.Generator, rows: int) -> tuple[Array, Array]:
    factors = rng.integers(0, [2, 3], (rows // 10, 2))
    return factors + 0.5 * rng.normal(size=(rows // 10, 2)), factors


def _many_values(rng: np.random.Generator, rows: int) -> tuple[Array, Array]:
    factors = rng.integers(0, [32, 32, 3], (rows, 3))
    return np.column_stack([factors, np.sin(factors[:, 0])]) + 0.2 * rng.normal(size=(rows, 4)), factors


DRAWN = {
    "imbalanced": _imbalanced,
    "duplicated_code": _duplicated_code,
    "rotated": _rotated,
    "many_latents": _many_latents,
    "few_rows": _few_rows,
    "many_values": _many_values,
    "continuous": _continuous,
    "lognormal": _lognormal,
}
CONTINUOUS = ("continuous", "lognormal")
CASES = ("perfect", "noisy_vae", "rotation", "duplicated", "dead_dims", "noise", "dsprites10k", "celeba40")


def table(name: str, view: str = "", rows: int = 0) -> tuple[Array, Array]:
    """Codes, float64, and factors (N, K): drawn from a seed of their own, or a case of the oracle.

    At most `rows` of their rows, drawn at random, unless it is 0. Codes are (N, D), and what a view says otherwise.
    """
    if name in DRAWN:
        codes, factors = DRAWN[name](np.random.default_rng([2023, *name.encode()]), 2000)
    else:
        with np.load(ORACLE / f"{name}.npz") as case:
            codes, factors = case["codes"].astype(np.float64), case["factors"]
    if rows and rows < len(codes):
        kept = np.random.default_rng([2023, rows]).permutation(len(codes))[:rows]
        codes, factors = codes[kept], factors[kept]
    return VIEWS[view](codes, factors, np.random.default_rng([2023, *view.encode(), *name.encode()]))


# Views


def merged(factors: Array, values: int) -> Array:
    """Factors of at most so many values, of about equal frequency: neighboring values are merged."""
    columns = []
    for factor in factors.T:
        ranks = rankdata(factor, method="min") - 1
        label = factor if len(np.unique(factor)) <= values else ranks * values // len(ranks)
        columns.append(np.unique(label, return_inverse=True)[1])
    return np.stack(columns, axis=1)


def _cells(codes: Array, factors: Array) -> tuple[Array, Array]:
    """The mean codes of each cell of the first two factors of three values or more, which are merged to eight at most."""
    labels = merged(factors, 8)
    chosen = [k for k in range(labels.shape[1]) if labels[:, k].max() >= 2][:2]
    if not chosen:
        raise ValueError("no factor has three values")
    sizes = tuple(labels[:, chosen].max(axis=0) + 1)
    cell = np.ravel_multi_index(tuple(labels[:, chosen].T), sizes)
    counts = np.bincount(cell, minlength=int(np.prod(sizes)))
    if not counts.all():
        raise ValueError("a cell has no row")
    means = np.stack([np.bincount(cell, weights=code) / counts for code in codes.T], axis=1)
    return means, np.stack(np.unravel_index(np.arange(len(counts)), sizes), axis=1)


def _posteriors(codes: Array, factors: Array, rng: np.random.Generator) -> tuple[Array, Array]:
    spread = codes.std(axis=0)
    means = 0.9 * (codes - codes.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
    return np.stack([means, rng.uniform(0.05, 0.5, codes.shape)]), factors


def _models(codes: Array, factors: Array, rng: np.random.Generator) -> tuple[Array, Array]:
    """The codes, and those of two other seeds: in another order, mixed, and with noise."""
    models, width = [codes], codes.shape[1]
    for _ in range(2):
        mixing = np.eye(width)[rng.permutation(width)] + 0.3 * rng.normal(size=(width, width)) / np.sqrt(width)
        models.append(codes @ mixing + 0.3 * codes.std() * rng.normal(size=codes.shape))
    return np.stack(models), factors


VIEWS: dict[str, Callable[[Array, Array, np.random.Generator], tuple[Array, Array]]] = {
    "": lambda codes, factors, _: (codes, factors),
    "factors of two values": lambda codes, factors, _: (codes, merged(factors, 2)),
    "factors of three values at most": lambda codes, factors, _: (codes, merged(factors, 3)),
    "mean codes of cells of two factors": lambda codes, factors, _: _cells(codes, factors),
    "means and deviations": _posteriors,  # (2, N, D)
    "three models": _models,  # (3, N, D)
}
