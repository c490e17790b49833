"""Rows that a method is not trained on, and named selections of rows that it is scored on."""

import hashlib
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import torch

from disbench.datasets.factors.dataset import FactorDataset
from disbench.datasets.factors.named_splits import named_split
from disbench.datasets.factors.selection import DerivedDataset, normal_select, parse_range
from disbench.datasets.wording import did_you_mean, listed, shown

ROWS_AT_ONCE = 2**18  # whose factors are computed together


class Subset(DerivedDataset):
    """Hold some rows of a dataset, in their order, each with its labels. `hold_out` makes it."""

    def __init__(self, parent: FactorDataset, rows: torch.Tensor) -> None:
        super().__init__(parent)
        self.labels = parent.factors(rows)
        self.rows = rows

    def batch(self, indices: torch.Tensor) -> torch.Tensor:
        """Get the images of rows of this part."""
        self.rows = self.rows.to(indices.device)  # once: it stays there
        return self._parent.batch(self.rows[indices])


class SplitDataset(DerivedDataset):
    """Hold a whole dataset of which some rows are not trained on. `hold_out` makes it."""

    def __init__(self, parent: FactorDataset, held_out: torch.Tensor) -> None:
        """Split a dataset; held_out (N,) is True for each row that is not trained on."""
        super().__init__(parent)
        self.labels = parent.labels
        self._rows = {"trained": (~held_out).nonzero().flatten(), "held_out": held_out.nonzero().flatten()}

    @cached_property
    def training(self) -> FactorDataset:  # made once: its labels take a pass over all rows
        """Rows that methods are trained on."""
        return Subset(self._parent, self._rows["trained"])

    @property
    def evaluations(self) -> dict[str, torch.Tensor | None]:
        """Rows to score: "trained" and "held_out"."""
        return dict(self._rows)

    def batch(self, indices: torch.Tensor) -> torch.Tensor:
        """Get the images of rows of the whole dataset."""
        return self._parent.batch(indices)


def in_ranges(dataset: FactorDataset, select: Mapping[str, str | int]) -> torch.Tensor:
    """Find the rows of a dataset whose factors are all in given ranges of value indices.

    Parameters
    ----------
    dataset : FactorDataset
        Any dataset, of N rows.
    select : mapping of str to str or int
        Inclusive ranges by factor, such as `{"scale": "4-5", "shape": 1}`. Other factors have any value.

    Returns
    -------
    Tensor of shape (N,), bool

    Raises
    ------
    ValueError
        If there is no range, a factor is unknown, or a range is malformed or exceeds the values of its factor.

    Examples
    --------
    >>> from disbench.datasets import load
    >>> from disbench.datasets.factors import in_ranges
    >>> dataset = load("dsprites_like", select={"orientation": 0, "position_x": 0, "position_y": 0})
    >>> dataset.factor_sizes, int(in_ranges(dataset, {"shape": 1, "scale": "4-5"}).sum())
    ((3, 6), 2)
    """
    if not isinstance(select, Mapping) or not select:
        raise ValueError(f"rows are selected by ranges of factors, such as {{scale: 4-5}}, got {shown(select)}.")
    ranges = {}
    for name, text in select.items():
        if name not in dataset.factor_names:
            raise ValueError(
                f"{dataset.name} has no factor {shown(name)}; it has {listed(dataset.factor_names)}."
                f"{did_you_mean(str(name), dataset.factor_names)}"
            )
        column = dataset.factor_names.index(name)
        low, high = parse_range(name, text)
        if high >= dataset.factor_sizes[column]:
            raise ValueError(f"{name} needs value indices in 0..{dataset.factor_sizes[column] - 1}, got {shown(text)}.")
        ranges[column] = low, high
    found = []
    for rows in torch.split(torch.arange(len(dataset)), ROWS_AT_ONCE):
        values = dataset.factors(rows)
        inside = [(values[:, column] >= low) & (values[:, column] <= high) for column, (low, high) in ranges.items()]
        found.append(torch.stack(inside).all(dim=0))
    return torch.cat(found)


def hold_out(
    dataset: FactorDataset, what: float | str | Mapping[str, str | int] | Sequence[Mapping[str, str | int]]
) -> FactorDataset:
    """Hold rows of a dataset out of training. They are scored separately from the others.

    Parameters
    ----------
    dataset : FactorDataset
        Any dataset, of N rows.
    what : float, str, mapping of str to str or int, or list of such mappings
        A share of the rows, between 0 and 1, drawn once for the dataset and its version, independent of a trial's seed. Or
        ranges of factors as in `in_ranges`: rows inside all of them, such as combinations that are never trained on. Of a list
        of mappings, the rows inside any of them. Or the name of published combinations, such as "recombination_element".

    Returns
    -------
    FactorDataset
        It has the rows of `dataset`. Its `training` part lacks the held-out rows; its `evaluations` are "trained" and
        "held_out".

    Raises
    ------
    ValueError
        If `what` is none of these, or leaves fewer than two rows to train on or to hold out.

    Examples
    --------
    >>> from disbench.datasets import load
    >>> from disbench.datasets.factors import hold_out
    >>> dataset = load("dsprites_like", select={"orientation": 0, "position_x": 0, "position_y": 0})
    >>> split = hold_out(dataset, {"shape": 1, "scale": "4-5"})
    >>> len(split), len(split.training), {name: len(rows) for name, rows in split.evaluations.items()}
    (18, 16, {'trained': 16, 'held_out': 2})
    """
    named = isinstance(what, str) and bool(what)
    if isinstance(what, Mapping):
        mask = in_ranges(dataset, what)
    elif named or (isinstance(what, list | tuple) and len(what) > 0):
        boxes: Any = named_split(dataset, str(what)) if named else what
        mask = torch.stack([in_ranges(dataset, box) for box in boxes]).any(dim=0)
    elif isinstance(what, int | float) and not isinstance(what, bool) and 0 < what < 1:
        seed = hashlib.sha256(f"{dataset.name} {dataset.version} held out".encode()).digest()
        generator = torch.Generator().manual_seed(int.from_bytes(seed[:7]))
        mask = torch.zeros(len(dataset), dtype=torch.bool)
        mask[torch.randperm(len(dataset), generator=generator)[: round(what * len(dataset))]] = True
    else:
        raise ValueError(
            "held_out needs a share between 0 and 1, ranges of factors such as {scale: 4-5}, a list of such ranges, or the name "
            f"of published combinations, got {shown(what)}."
        )
    count = int(mask.sum())
    if min(count, len(dataset) - count) < 2:
        raise ValueError(
            f"held_out leaves {len(dataset) - count} rows of {dataset.name} to train on and {count} to hold out; both need 2."
        )
    return SplitDataset(dataset, mask)


def normal_held_out(what: Any) -> Any:
    """Write each `held_out` in one spelling, so that `4` and `"4-4"` are the same trial."""
    if isinstance(what, list | tuple) and all(isinstance(box, Mapping) for box in what):
        return [normal_select(box) for box in what]
    return normal_select(what) if isinstance(what, Mapping) else what
