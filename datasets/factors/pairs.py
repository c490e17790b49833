"""Pairs of rows of a dataset: for each row a partner that differs from it in some factors.

Two laws of what changes:

    uniform    exactly k factors, k given or uniform from 1 to K-1; which ones, and their new values, are uniform over all that
               the dataset has. This is the sampler that Locatello et al. 2020, arXiv:2002.02886v3, section 5, describe, and UNI
               of Klindt et al. 2021, arXiv:2007.10930v2, section 4.1.
    laplace    each factor moves by a truncated Laplace law, p(v') proportional to exp(-rate |v' - v| / log V) over its V values;
               if none has moved, one of them, chosen uniformly, moves by the same law without its old value. This is LAP of
               Klindt et al. 2021.

A new value is never the old one. The authors' samplers differ, and none of this is imitated: disentanglement_lib's
`simple_dynamics` (commit 86a644d) draws each new value from all values, so that a "changed" factor may keep its value; and with
k = -1 it draws one changed factor in half of all cases. LAP in slow_disentanglement never moves factors that it calls
categorical, such as shape; here every factor moves.
"""

import math

import torch
from torch import Tensor

from disbench.datasets.factors.dataset import FactorDataset

LAWS = ("uniform", "laplace")
PROPOSALS = 100  # of a row, before all of its partners are listed
MOST_COMBINATIONS = 100_000_000  # of factor values, of which a table is made


class PairSampler:
    """Draws a partner for rows of a dataset.

    Parameters
    ----------
    dataset : FactorDataset
        A full grid of factors, or a part of one.
    changed : int, optional
        Number of factors that differ, from 1 to the number K of factors that vary. None draws it for each pair, uniformly from 1
        to K-1. Only for the law "uniform".
    law : {"uniform", "laplace"}, default "uniform"
        What changes; see the module.
    rate : float, default 1.0
        Rate of the Laplace law, above 0: a larger one makes smaller moves.

    Raises
    ------
    ValueError
        If an option is wrong, or too few factors vary.

    Examples
    --------
    >>> import torch
    >>> from disbench.datasets import load
    >>> from disbench.datasets.factors import PairSampler
    >>> dataset = load("shapes3d_like")
    >>> rows = torch.tensor([0, 1000, 250_000])
    >>> partners = PairSampler(dataset, changed=2)(rows, torch.Generator().manual_seed(0))
    >>> (dataset.factors(rows) != dataset.factors(partners)).sum(1).tolist()
    [2, 2, 2]
    """

    def __init__(
        self, dataset: FactorDataset, changed: int | None = 1, law: str = "uniform", rate: float = 1.0
    ) -> None:
        self.dataset, self.changed, self.law, self.rate = dataset, changed, law, rate
        self.sizes = torch.tensor(dataset.factor_sizes)
        self.varying = (self.sizes > 1).nonzero()[:, 0]
        count = len(self.varying)
        if law not in LAWS:
            raise ValueError(f"The law of pairs must be one of {', '.join(LAWS)}, got {law!r}.")
        if not rate > 0:
            raise ValueError(f"The rate of the Laplace law must be above 0, got {rate!r}.")
        least = 2 if law == "uniform" and changed is None else 1
        if count < max(least, (changed or 1) if law == "uniform" else 1):
            asked = "a drawn number of" if changed is None else changed
            raise ValueError(
                f"Pairs that differ in {asked} factors need {max(least, changed or 1)} factors that vary, but {dataset.name} "
                f"with these options has {count}. Use fewer changed factors, or select more values."
            )
        if not dataset.is_grid and math.prod(dataset.factor_sizes) > MOST_COMBINATIONS:
            raise ValueError(
                f"{dataset.name} is neither a full grid of factors nor a part of one with at most {MOST_COMBINATIONS:,} "
                "combinations, so partners cannot be looked up. Use a dataset that is a grid, such as dsprites or shapes3d."
            )
        self._columns = torch.arange(count)
        self._moves = {stay: self._cumulative(stay=stay) for stay in (True, False)} if law == "laplace" else {}
        self._row_of: Tensor | None = None
        if not dataset.is_grid:
            self._row_of = torch.full((math.prod(dataset.factor_sizes),), -1)
            every = torch.arange(len(dataset))
            self._row_of[self._place(dataset.factors(every))] = every

    def __call__(self, rows: Tensor, generator: torch.Generator) -> Tensor:
        """Draw a partner of each row.

        Parameters
        ----------
        rows : Tensor
            (B,) int64, on the CPU.
        generator : torch.Generator
            Of the CPU.

        Returns
        -------
        Tensor
            (B,) int64.

        Raises
        ------
        ValueError
            If the dataset lacks every possible partner of a row.
        """
        factors = self.dataset.factors(rows)
        number = self._number(len(rows), generator)
        moved = self._propose(factors, number, generator)
        if self._row_of is None:
            return self.dataset.space.indices(moved)
        found = self._row_of[self._place(moved)]
        for _ in range(PROPOSALS):
            missing = (found < 0).nonzero()[:, 0]
            if not len(missing):
                return found
            again = self._propose(factors[missing], None if number is None else number[missing], generator)
            found[missing] = self._row_of[self._place(again)]
        for row in (found < 0).nonzero()[:, 0].tolist():
            found[row] = self._among_all(factors[row], None if number is None else number[row], generator)
        return found

    def _number(self, rows: int, generator: torch.Generator) -> Tensor | None:
        """Draw how many factors change (B, 1); None where the law decides it."""
        if self.law == "laplace":
            return None
        if self.changed is None:
            return torch.randint(1, len(self.varying), (rows, 1), generator=generator)
        return torch.full((rows, 1), self.changed)

    def _propose(self, factors: Tensor, number: Tensor | None, generator: torch.Generator) -> Tensor:
        """Draw factor values (B, K) of partners, as if every combination were there."""
        if number is None:
            return self._laplace(factors.clone(), generator)
        shape = len(factors), len(self.varying)
        chosen = torch.rand(shape, generator=generator).argsort(dim=1).argsort(dim=1) < number  # as many of each row
        sizes = self.sizes if (every := len(self.varying) == len(self.sizes)) else self.sizes[self.varying]
        others = sizes - 1
        # Added to a value, modulo the number of values, an offset from 1 to that number less 1 gives every other value once.
        offsets = 1 + (torch.rand(shape, generator=generator, dtype=torch.float64) * others).long().clamp(
            max=others - 1
        )
        if every:
            return (factors + offsets * chosen) % sizes
        moved = factors.clone()
        moved[:, self.varying] = (factors[:, self.varying] + offsets * chosen) % sizes
        return moved

    def _laplace(self, factors: Tensor, generator: torch.Generator) -> Tensor:
        """Move factor values (B, K) in place."""
        start = factors[:, self.varying]
        drawn = torch.rand(start.shape, generator=generator, dtype=torch.float64)
        bounds = self._moves[True][self._columns, start]  # (B, varying, V)
        moved = (drawn[:, :, None] >= bounds).sum(2)
        stuck = (moved == start).all(1).nonzero()[:, 0]
        if len(stuck):
            which = torch.randint(len(self.varying), (len(stuck),), generator=generator)
            drawn = torch.rand(len(stuck), generator=generator, dtype=torch.float64)
            moved[stuck, which] = (drawn[:, None] >= self._moves[False][which, start[stuck, which]]).sum(1)
        if start.shape == factors.shape:
            return moved
        factors[:, self.varying] = moved
        return factors

    def _cumulative(self, *, stay: bool) -> Tensor:
        """Compute the cumulative probabilities (varying, V, V) of new values, for each factor and old value.

        V is the largest number of values. The last value of a factor, and what is after it, has a bound that no draw reaches.
        """
        sizes = self.sizes[self.varying].tolist()
        found = torch.full((len(sizes), max(sizes), max(sizes)), 2.0, dtype=torch.float64)
        for place, size in enumerate(sizes):
            every = torch.arange(size, dtype=torch.float64)
            weights = torch.exp(-self.rate * (every[:, None] - every).abs() / math.log(size))
            if not stay:
                weights.fill_diagonal_(0)
            found[place, :size, : size - 1] = (weights / weights.sum(1, keepdim=True)).cumsum(1)[:, :-1]
            if not stay:  # nothing is left for the last value, if it is the old one
                found[place, size - 1, size - 2] = 2.0
        return found

    def _place(self, factors: Tensor) -> Tensor:
        """Compute a number of each combination (B, K) of values."""
        place = torch.zeros(len(factors), dtype=torch.int64)
        for column, size in enumerate(self.sizes.tolist()):
            place = place * size + factors[:, column]
        return place

    def _among_all(self, factors: Tensor, number: Tensor | None, generator: torch.Generator) -> int:
        """Draw a partner among all rows of a part of a grid, where proposals found none."""
        every = self.dataset.factors(torch.arange(len(self.dataset)))
        differ = every != factors
        if number is None:
            weights = self._laplace_law(factors, every, differ)
        else:  # sets of factors are alike, so a row of a set with more values has a smaller share
            others = torch.where(differ, self.sizes - 1, 1).double().prod(1)
            weights = (differ.sum(1) == number).double() / others
        if not weights.sum() > 0:
            asked = "any factor" if number is None else f"{int(number)} factors"
            raise ValueError(
                f"{self.dataset.name} with these options has no image that differs in {asked} from the one with the values "
                f"{factors.tolist()}. Ask for another number of changed factors, or keep more rows."
            )
        chosen = torch.rand(1, generator=generator, dtype=torch.float64) * weights.sum()
        return int((weights.cumsum(0) <= chosen).sum().clamp(max=len(weights) - 1))

    def _laplace_law(self, factors: Tensor, every: Tensor, differ: Tensor) -> Tensor:
        """Compute the probability of each row (N, K) as a proposal of `_laplace`, 0 for a row without a change."""
        moves, alone = torch.ones(len(every), dtype=torch.float64), torch.zeros(len(every), dtype=torch.float64)
        stuck = torch.ones((), dtype=torch.float64)
        for place, column in enumerate(self.varying.tolist()):
            old, size = factors[column], int(self.sizes[column])
            free, forced = (
                self._moves[stay][place, old, :size].clamp(max=1).diff(prepend=torch.zeros(1, dtype=torch.float64))
                for stay in (True, False)
            )
            moves *= free[every[:, column]]
            stuck *= free[old]
            alone += forced[every[:, column]] / len(self.varying)  # of the one row that differs, where one differs
        changes = differ.sum(1)
        return moves * (changes > 0) + stuck * alone * (changes == 1)
