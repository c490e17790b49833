"""Draw rows with given weights in constant time each: Walker 1977, ACM TOMS 3(3), the alias method.

Each of the N rows has a threshold and an alias. One random integer chooses a row by its remainder and decides by its size
between that row and its alias. All arithmetic is on integers, so every device draws the same rows.
"""

import numpy as np
import torch
from numpy.typing import NDArray

BITS = 62  # of a random integer
DRAWN_AT_ONCE = 2**16  # integers, at most


class AliasTable:
    """Draw rows by weight.

    Parameters
    ----------
    weights : Tensor of shape (N,), float64
        At least 0, with a positive sum.

    Raises
    ------
    ValueError
        If a weight is negative or not finite, or all are 0.

    Examples
    --------
    >>> import torch
    >>> from disbench.datasets.factors.weighted_rows import AliasTable
    >>> table = AliasTable(torch.tensor([1.0, 0.0, 3.0]))
    >>> rows = table.rows(table.random(8000, torch.Generator().manual_seed(0)))
    >>> counts = rows.bincount(minlength=3)
    >>> int(counts[1]), bool((counts / 8000 - table.probabilities()).abs().max() < 0.02)
    (0, True)
    """

    def __init__(self, weights: torch.Tensor) -> None:
        given = weights.detach().cpu().double().numpy()
        if given.ndim != 1 or not np.isfinite(given).all() or given.min(initial=0) < 0 or given.sum() <= 0:
            raise ValueError("weights of rows need to be finite, at least 0 and not all 0.")
        keep, alias = alias_table(given)
        scaled = np.rint(np.ldexp(keep, BITS))
        self.threshold = torch.from_numpy(np.minimum(scaled, 2.0**BITS).astype(np.int64))  # (N,) keep below it
        self.alias = torch.from_numpy(alias)  # (N,)

    def __len__(self) -> int:
        return len(self.alias)

    @staticmethod
    def random(count: int, generator: torch.Generator) -> torch.Tensor:
        """Draw the integers (count,) that `rows` turns into rows."""
        return torch.randint(2**BITS, (count,), generator=generator)

    def rows(self, random: torch.Tensor) -> torch.Tensor:
        """Turn random integers (B,) into rows (B,), on the device of the integers."""
        self.threshold, self.alias = self.threshold.to(random.device), self.alias.to(random.device)  # once
        chosen = random.remainder(len(self.alias))
        return torch.where(random < self.threshold[chosen], chosen, self.alias[chosen])

    def probabilities(self) -> torch.Tensor:
        """Compute the probability (N,) of each row, float64, from thresholds and aliases."""
        keep = torch.ldexp(self.threshold.double().cpu(), torch.tensor(-BITS))
        found = keep.clone()
        return found.index_add_(0, self.alias.cpu(), 1 - keep) / len(keep)


def alias_table(weights: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Compute for each row the share (N,) of its draws that it keeps, and the row (N,) that gets the others.

    Rows below the mean weight are filled up from rows above it, in order. A row above the mean that gives more than it has to
    spare is filled up from the next one. Cumulative sums of what rows lack and have to spare find all of this at once.
    """
    size = len(weights)
    keep = weights * (size / weights.sum())  # mean 1
    alias = np.arange(size)
    below, above = (keep < 1).nonzero()[0], (keep >= 1).nonzero()[0]
    if len(below) == 0:
        return np.ones(size), alias
    lacking, spare = np.cumsum(1 - keep[below]), np.cumsum(keep[above] - 1)
    begins = np.concatenate(([0.0], lacking[:-1]))  # where what a row lacks begins
    giver = np.minimum(np.searchsorted(spare, begins, side="right"), len(above) - 1)
    alias[below] = above[giver]
    served = np.searchsorted(begins, spare, side="left")  # rows below the mean that begin before this one is spent
    overdrawn = lacking[np.maximum(served, 1) - 1] - spare
    keep[above] = 1 - np.clip(np.where(served > 0, overdrawn, 0.0), 0.0, 1.0)
    keep[above[-1]] = 1.0  # the last one has no next, and what is left is rounding
    alias[above[:-1]] = above[1:]
    return np.clip(keep, 0.0, 1.0), alias
