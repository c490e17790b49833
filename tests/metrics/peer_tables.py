"""Tables on which agreement.py compares implementations: drawn from a seed, and the cases of the oracle."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

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


def table(name: str, rows: int = 0) -> tuple[Array, Array]:
    """Codes (N, D), float64, and factors (N, K): drawn from a seed of their own, or a case of the oracle.

    At most `rows` of their rows, drawn at random, unless it is 0.
    """
    if name in DRAWN:
        codes, factors = DRAWN[name](np.random.default_rng([2023, *name.encode()]), 2000)
    else:
        with np.load(ORACLE / f"{name}.npz") as case:
            codes, factors = case["codes"].astype(np.float64), case["factors"]
    if rows and rows < len(codes):
        kept = np.random.default_rng([2023, rows]).permutation(len(codes))[:rows]
        return codes[kept], factors[kept]
    return codes, factors
