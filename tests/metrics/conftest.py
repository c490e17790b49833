"""Tables that several modules score."""

from pathlib import Path

import numpy as np
import pytest

ORACLE = Path(__file__).parent / "oracle"


@pytest.fixture(scope="session")
def oracle_table():
    """`oracle_table(case) -> (codes, factors)`."""

    def load(case):
        with np.load(ORACLE / f"{case}.npz") as table:
            return table["codes"], table["factors"]

    return load


def full_grid():
    cells = np.stack(np.meshgrid(np.arange(3), np.arange(4), np.arange(5), indexing="ij"), axis=-1).reshape(-1, 3)
    return np.repeat(cells, 6, axis=0)


@pytest.fixture(scope="session")
def grid():
    """A full grid of factors of sizes 3, 4, 5 with six rows a cell: (360, 3)."""
    return full_grid()


@pytest.fixture(scope="session")
def noisy_codes():
    """Continuous codes (360, 4) that follow the grid's factors with noise and leakage, and a fourth that follows none."""
    rng = np.random.default_rng(7)
    mixing = np.array([[1.0, 0.2, 0.0, 0.0], [0.0, 0.6, 0.3, 0.0], [0.1, 0.0, 0.5, 0.0]])
    return full_grid() @ mixing + 1.2 * rng.normal(size=(360, 4))
