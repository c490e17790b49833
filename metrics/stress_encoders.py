"""Synthetic encoders with one known property each, on a small grid of factors. Their scores show what a metric measures."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from disbench.metrics.options import require_whole

Kind: TypeAlias = Literal["reference", "harmless", "defect", "condition"]
SIZES = (3, 4, 5)
BINARY = (2, 2, 2)
ANGLES = (10.0, 22.5, 45.0)
LITTLE_NOISE, NOISE = 0.1, 0.3  # in standard deviations of a code
FEW_ROWS = 100
OTHER_ORDER = {2: (1, 0), 3: (1, 2, 0), 4: (1, 3, 0, 2), 5: (0, 2, 4, 1, 3)}


@dataclass(frozen=True, eq=False)
class Encoder:
    """Hold a table that an encoder of one known property would give.

    Attributes
    ----------
    name, label, what : str
        Key, heading of its column, and a sentence that describes it.
    kind : {"reference", "harmless", "defect", "condition"}
        The perfect code; a change that loses nothing; a defect; or a perfect code of difficult factors or few rows.
    codes : ndarray of shape (N, D)
        Codes, most with standard deviation 1.
    factors : ndarray of shape (N, 3)
        Whole numbers from 0.
    std : ndarray of shape (N, D)
        Standard deviation of the noise in each code, at least 0.1.
    groups : ndarray of shape (D,)
        The number, from 1, of the factor that a code is about; copies and codes of noise are separate groups.
    """

    name: str
    label: str
    kind: Kind
    what: str
    codes: NDArray[np.float64]
    factors: NDArray[np.intp]
    std: NDArray[np.float64]
    groups: NDArray[np.intp]


def stress_encoders(rows: int = 480, seed: int = 0, sizes: tuple[int, int, int] = SIZES) -> dict[str, Encoder]:
    """Make the tables of all synthetic encoders.

    Parameters
    ----------
    rows : int, default 480
        Rows of a table, rounded down to full grids of the factors; the table of few rows has 100 or less.
    seed : int, default 0
        Seed of noise and of factors that are drawn.
    sizes : tuple of int, default (3, 4, 5)
        Number of values, from 2 to 5, of the three factors.

    Returns
    -------
    dict of Encoder
        By name.

    Raises
    ------
    ValueError
        If there are fewer rows than two grids.

    Examples
    --------
    >>> from disbench.metrics import mig
    >>> from disbench.metrics.stress_encoders import stress_encoders
    >>> encoder = stress_encoders()["dropped"]
    >>> round(mig(encoder.codes, encoder.factors), 2)
    0.67
    """
    require_whole("stress_encoders", 0, rows=rows, seed=seed)
    cells = np.stack(np.meshgrid(*map(np.arange, sizes), indexing="ij"), axis=-1).reshape(-1, 3)
    if rows < 2 * len(cells):
        raise ValueError(
            f"the synthetic encoders need rows >= {2 * len(cells)}, two full grids of factors, got {rows}."
        )
    grid = np.repeat(cells, rows // len(cells), axis=0)
    found: dict[str, Encoder] = {}

    def add(
        name: str,
        label: str,
        kind: Kind,
        what: str,
        codes: NDArray[np.float64],
        factors: NDArray[np.intp] = grid,
        groups: Sequence[int] = (1, 2, 3),
        noise: float = 0.0,
    ) -> None:
        blurred = codes + noise * _draws(seed, name).normal(size=codes.shape)
        std = np.full(codes.shape, max(noise, LITTLE_NOISE))
        found[name] = Encoder(name, label, kind, what, blurred, factors, std, np.array(groups, dtype=np.intp))

    z = standard(grid)
    spare = _draws(seed, "spare codes").normal(size=z.shape)
    add("perfect", "perfect", "reference", "One code for each factor, linear in its value.", z)
    add("permuted", "permuted, flipped", "harmless", "The codes in another order, one with its sign flipped.",
        z[:, [2, 0, 1]] * np.array([1.0, -1.0, 1.0]), groups=(3, 1, 2))  # fmt: skip
    add("nonlinear", "nonlinear", "harmless", "Each code is a steep monotone function of its factor, exp(1.5 z).",
        standard(np.exp(1.5 * z)))  # fmt: skip
    reordered = np.stack([np.array(OTHER_ORDER[size])[grid[:, k]] for k, size in enumerate(sizes)], axis=1)
    add("reordered", "values reordered", "harmless", "One code for each factor, with its values in another order.",
        standard(reordered))  # fmt: skip
    turn = 2 * np.pi * (grid[:, 2] + 0.3) / sizes[2]
    add("circle", "circle", "harmless", "The last factor is an angle in two codes, its cosine and its sine, in one group.",
        np.column_stack([z[:, :2], standard(np.stack([np.cos(turn), np.sin(turn)], axis=1))]), groups=(1, 2, 3, 3))  # fmt: skip
    add("spare", "spare codes", "harmless", "Perfect, and three codes of noise.", np.hstack([z, spare]),
        groups=(1, 2, 3, 4, 5, 6))  # fmt: skip
    for angle in ANGLES:
        add(f"rotated_{angle:.0f}", f"rotated {angle:g}°", "defect",
            f"The codes of the first two factors, with a little noise, are rotated by {angle:g}° in their plane.",
            _rotated(z, angle), noise=LITTLE_NOISE)  # fmt: skip
    add("duplicated", "duplicated", "defect", "Each code twice, in different groups.", np.hstack([z, z]),
        groups=(1, 2, 3, 4, 5, 6))  # fmt: skip
    both = standard(np.stack([sizes[1] * grid[:, 0] + grid[:, 1], grid[:, 2]], axis=1))
    add("merged", "merged", "defect", "The first two factors share one code, which tells both.", both, groups=(1, 3))
    add("dropped", "dropped", "defect", "No code is about the first factor.", z[:, 1:], groups=(2, 3))
    add(
        "noisy",
        "noisy",
        "defect",
        f"Perfect, with noise of {NOISE:g} standard deviations on each code.",
        z,
        noise=NOISE,
    )
    add("noise", "noise only", "defect", "Three codes of noise, which tell nothing.", spare)
    for name, label, what, draw in CONDITIONS:
        drawn = draw(_draws(seed, name), sizes, rows)
        add(name, label, "condition", what, standard(drawn), drawn)
    few = _draws(seed, "small_n").permutation(grid)[:FEW_ROWS]
    add("small_n", "few rows", "condition", f"Perfect, with a little noise, in {len(few)} rows.", standard(few), few,
        noise=LITTLE_NOISE)  # fmt: skip
    return found


def standard(codes: NDArray[np.intp] | NDArray[np.float64]) -> NDArray[np.float64]:
    """`(N, D)` -> `(N, D)`: each column with mean 0 and standard deviation 1."""
    return np.asarray((codes - codes.mean(axis=0)) / codes.std(axis=0))


def _draws(seed: int, name: str) -> np.random.Generator:
    """Make a generator for each encoder, so that one more encoder changes no other."""
    return np.random.default_rng([seed, *name.encode()])


def _rotated(z: NDArray[np.float64], angle: float) -> NDArray[np.float64]:
    cos, sin = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    return np.asarray(z @ np.array([[cos, sin, 0.0], [-sin, cos, 0.0], [0.0, 0.0, 1.0]]))


def _correlated(rng: np.random.Generator, sizes: tuple[int, ...], rows: int) -> NDArray[np.intp]:
    """Draw factors of which the second follows the first in 70 % of the rows."""
    free = rng.integers(0, sizes, size=(rows, len(sizes)))
    follows = rng.random(rows) < 0.7
    free[follows, 1] = free[follows, 0] * (sizes[1] - 1) // (sizes[0] - 1)
    return free


def _imbalanced(rng: np.random.Generator, sizes: tuple[int, ...], rows: int) -> NDArray[np.intp]:
    """Draw factors of which each value is half as frequent as the one before."""
    return np.stack(
        [rng.choice(size, rows, p=0.5 ** np.arange(size) / (2 - 0.5 ** (size - 1))) for size in sizes], axis=1
    )


CONDITIONS: tuple[tuple[str, str, str, Callable[..., NDArray[np.intp]]], ...] = (
    ("correlated", "correlated factors", "Perfect, where the second factor follows the first in 70 % of the rows.", _correlated),
    ("imbalanced", "imbalanced factors", "Perfect, where each value is half as frequent as the one before.", _imbalanced),
)  # fmt: skip
