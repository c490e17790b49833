"""Split rows into a part for fitting a predictor and a part for testing it."""

import numpy as np
from numpy.typing import NDArray


def split_rows(rows: int, train: int, test: int, seed: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Draw `train` and `test` different rows in a random order, whatever the order of the table.

    A table of fewer than train + test rows is divided in the same proportion, with at least one row on either side, and
    no row is on both. Needs rows >= 2 and positive counts.
    """
    order = np.random.default_rng(seed).permutation(rows)
    if rows < train + test:
        train = min(max(round(rows * train / (train + test)), 1), rows - 1)
        test = rows - train
    return order[:train], order[train : train + test]
