"""How peers.py calls code that fits a predictor, on the rows that ours fits on and judges by, or draws pairs of rows."""

import types
from typing import Any

import numpy as np
from peer_tables import Array

from disbench.metrics.split import split_rows

TRAIN, TEST = 10_000, 5_000  # our defaults, of which a smaller table takes the same proportion
PAIRS = 5000  # of each factor, for OMES


def sap_svc(m: types.ModuleType, codes: Array, factors: Array, seed: int) -> float:
    np.random.seed(seed)  # noqa: NPY002 - their generator is the global one
    fitted, judged = split_rows(len(codes), TRAIN, TEST, seed)
    sides = (codes[fitted].T, factors[fitted].T, codes[judged].T, factors[judged].T)
    return float(m._compute_sap(*sides, False)["SAP_score"])


class Pairs(dict[str, Array]):
    """What `numpy.load` gives the authors of OMES: one array for each factor."""

    @property
    def files(self) -> list[str]:
        return list(self)


def omes(pooling: str, m: types.ModuleType, codes: Array, factors: Array, seed: int) -> float:
    """The authors' score of pairs that their function draws, again and again from rows in another order.

    They take the first row of each combination of factors. Ours is the limit of many draws.
    """
    m.random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002 - so is theirs
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


def numpy_of_then() -> types.SimpleNamespace:
    """A numpy whose `corrcoef` has the argument `bias`, which did nothing and was dropped."""
    return types.SimpleNamespace(**vars(np) | {"corrcoef": _corrcoef})


def _corrcoef(*args: Any, bias: object = None, **options: Any) -> Array:
    del bias
    found: Array = np.corrcoef(*args, **options)
    return found
