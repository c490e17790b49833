"""The interface of a dataset: images by index, and the values of the factors that generated them.

A full grid of factors is one mixed-radix number: row i holds the i-th combination in C order, the last factor fastest.
dSprites, 3DShapes and MPI3D are all stored this way, so an index is the label.
"""

import functools
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
import torch

from disbench.datasets.wording import listed, shown

# A tensor, an array, a list, a slice or a single row. `Any`, so that a subclass may declare the tensor that it gets.
Rows: TypeAlias = Any


def check_indices(indices: torch.Tensor, length: int) -> None:
    """Raise unless `indices` is a 1-d int64 tensor (TypeError) of values in 0..length-1 (IndexError).

    Values are checked on the CPU only. On an accelerator the check would wait for all queued work.
    """
    if indices.dtype != torch.int64 or indices.ndim != 1:
        raise TypeError(
            f"Indices need to be a 1-d int64 tensor, got {indices.dtype} of shape {tuple(indices.shape)}. "
            "Use torch.tensor([...], dtype=torch.int64)."
        )
    if indices.numel() == 0 or indices.device.type != "cpu":
        return
    low, high = int(indices.min()), int(indices.max())
    if low < 0 or high >= length:
        raise IndexError(f"Indices need to lie in 0..{length - 1}, got {low}..{high}.")


def as_indices(rows: Rows, length: int) -> torch.Tensor:
    """Convert rows of a dataset to a tensor of indices.

    Parameters
    ----------
    rows : Tensor, array-like, slice or int
        Whole numbers.
    length : int
        Number of rows of the dataset.

    Returns
    -------
    Tensor of shape (B,), int64

    Raises
    ------
    TypeError
        If rows are not whole numbers.
    IndexError
        If a row is outside 0..length-1.

    Examples
    --------
    >>> from disbench.datasets.factors import as_indices
    >>> as_indices(slice(1, None), 4), as_indices(2, 4)
    (tensor([1, 2, 3]), tensor([2]))
    """
    if isinstance(rows, slice):
        return torch.tensor(range(length)[rows], dtype=torch.int64)
    if isinstance(rows, torch.Tensor):
        whole = not (rows.is_floating_point() or rows.is_complex() or rows.dtype == torch.bool)
        indices = rows.reshape(1) if rows.ndim == 0 else rows
        indices = indices.to(torch.int64) if whole else indices
    else:
        try:
            array = np.atleast_1d(np.asarray(rows))
        except ValueError:  # lists of several lengths
            array = np.array([None])
        if array.dtype.kind not in "iu" and array.shape != (0,):
            raise TypeError(
                f"Rows need to be whole numbers: a tensor, an array, a list, a slice or a single row, got {shown(rows)}."
            )
        indices = torch.from_numpy(array.astype(np.int64))
    check_indices(indices, length)
    return indices


def takes_rows(method: Callable[[Any, torch.Tensor], torch.Tensor]) -> Callable[[Any, Rows], torch.Tensor]:
    """Let a method of a dataset take rows in every form of `as_indices`."""

    @functools.wraps(method)
    def taking(self: Any, indices: Rows) -> torch.Tensor:
        return method(self, as_indices(indices, len(self)))

    return taking


def chosen_attributes(wanted: Any, known: Sequence[str]) -> tuple[str, ...]:
    """Return the attributes that are kept: all of the known ones for 'all', else those of a list, in its order."""
    if wanted == "all":
        return tuple(known)
    is_list = isinstance(wanted, Sequence) and not isinstance(wanted, str)
    if not is_list or not wanted or any(name not in known for name in wanted) or len(set(wanted)) != len(wanted):
        raise ValueError(
            f"attributes needs to be 'all' or distinct names in a list, got {shown(wanted)}. Known: {listed(known)}."
        )
    return tuple(wanted)


@dataclass(frozen=True)
class FactorSpace:
    """Map between indices and factor values of a full grid, whose last factor varies fastest.

    All arithmetic is int64. Floats are exact only up to 2**24 (float32), which is less than some grids have points.

    Parameters
    ----------
    names : tuple of str
        Distinct names of the K factors.
    sizes : tuple of int
        Number of values of each factor, at least 1.

    Raises
    ------
    ValueError
        If names and sizes do not fit, or the number of rows does not fit in int64.

    Examples
    --------
    >>> from disbench.datasets import FactorSpace
    >>> space = FactorSpace(("shape", "scale"), (2, 3))
    >>> len(space), space.factors([0, 4]).tolist(), space.indices(space.factors(4)).tolist()
    (6, [[0, 0], [1, 1]], [4])
    """

    names: tuple[str, ...]
    sizes: tuple[int, ...]

    def __post_init__(self) -> None:
        if len(self.names) != len(self.sizes) or len(set(self.names)) != len(self.names):
            raise ValueError(f"A factor space needs one distinct name a size, got {self.names} and {self.sizes}.")
        if not self.sizes or min(self.sizes) < 1 or math.prod(self.sizes) >= 2**63:
            raise ValueError(f"A factor space needs sizes >= 1 whose product fits in int64, got {self.sizes}.")

    def __len__(self) -> int:
        return math.prod(self.sizes)

    @property
    def strides(self) -> tuple[int, ...]:
        """Number of rows between two neighboring values of each factor."""
        return tuple(math.prod(self.sizes[position + 1 :]) for position in range(len(self.sizes)))

    def factors(self, indices: Rows) -> torch.Tensor:
        """Compute the factor values of rows.

        Parameters
        ----------
        indices : Tensor, array-like, slice or int
            B rows, as `as_indices` takes them.

        Returns
        -------
        Tensor of shape (B, K), int64

        Raises
        ------
        IndexError
            If a row is outside the grid.
        """
        indices = as_indices(indices, len(self))
        # Column by column, for a tensor of the sizes would have to be copied to an accelerator, which waits for it.
        columns = [indices // stride % size for stride, size in zip(self.strides, self.sizes, strict=True)]
        return torch.stack(columns, dim=1)

    def indices(self, factors: torch.Tensor) -> torch.Tensor:
        """Compute the rows of factor values.

        Parameters
        ----------
        factors : Tensor of shape (B, K), int64
            Value indices.

        Returns
        -------
        Tensor of shape (B,), int64

        Raises
        ------
        TypeError
            If the type or the shape is another one.
        IndexError
            If a value is outside the grid.
        """
        if factors.dtype != torch.int64 or factors.ndim != 2 or factors.shape[1] != len(self.sizes):
            raise TypeError(
                f"Factors need to be an int64 tensor of shape (B, {len(self.sizes)}), "
                f"got {factors.dtype} of shape {tuple(factors.shape)}."
            )
        outside = (factors < 0) | (factors >= factors.new_tensor(self.sizes))
        if outside.any():
            row, column = (int(position) for position in outside.nonzero()[0])
            raise IndexError(
                f"{self.names[column]} needs values in 0..{self.sizes[column] - 1}, "
                f"got {int(factors[row, column])} in row {row}."
            )
        return (factors * factors.new_tensor(self.strides)).sum(dim=1)


class FactorDataset(ABC):
    """Give images by index, with the values of the factors that made them.

    The images may be in memory, in a mapped file, packed or rendered. A dataset is a full grid in C order unless it has
    `labels`. A subclass sets the attributes and writes `batch`.

    Attributes
    ----------
    name : str
        Key in `DATASETS`.
    version : str
        Version of the renderer, or a hash of the file. It changes whenever an image changes.
    provenance : {"official", "procedural", "own"}
        Whether the images are published files, are rendered here, or are the user's own.
    space : FactorSpace
        Names of the factors and their numbers of values.
    image_shape : tuple of int
        (C, H, W).
    labels : Tensor of shape (N, K), integer, optional
        Value indices of each row, for a dataset that is not a full grid.
    weights : Tensor of shape (N,), float64, optional
        Probability of each row in training. Without it, training takes all rows in random order.
    conversion : Path, optional
        Folder in the cache with the converted images, if they were converted.
    intrinsic_dimensions : dict of str to int, optional
        Number of real numbers that a continuous one-to-one code of each factor needs, for a dataset that declares it.

    Examples
    --------
    >>> from disbench.datasets import load
    >>> dataset = load("dsprites_like")
    >>> dataset.image_shape, dataset.factor_names[:2]
    ((1, 64, 64), ('shape', 'scale'))
    >>> dataset.batch([0, 1]).shape, dataset.factors(-1 + len(dataset)).tolist()
    (torch.Size([2, 1, 64, 64]), [[2, 5, 39, 31, 31]])
    """

    name: str
    version: str
    provenance: Literal["official", "procedural", "own"]
    space: FactorSpace
    image_shape: tuple[int, int, int]
    labels: torch.Tensor | None = None
    weights: torch.Tensor | None = None
    conversion: Path | None = None  # the folder in the cache that its images were converted into, if they were
    intrinsic_dimensions: dict[str, int] | None = None

    def __init_subclass__(cls, **keywords: Any) -> None:
        """Let every dataset's methods take rows in every form, without a word in the dataset."""
        super().__init_subclass__(**keywords)
        for name in ("batch", "factors"):
            if name in cls.__dict__:
                setattr(cls, name, takes_rows(cls.__dict__[name]))

    @property
    def is_grid(self) -> bool:
        """Whether the rows are a full grid of factors in C order."""
        return self.labels is None

    @property
    def factor_names(self) -> tuple[str, ...]:
        """Names of the K factors."""
        return self.space.names

    @property
    def factor_sizes(self) -> tuple[int, ...]:
        """Number of values of each factor."""
        return self.space.sizes

    @property
    def training(self) -> "FactorDataset":
        """Part that methods are trained on: all of it, unless rows are held out."""
        return self

    @property
    def evaluations(self) -> dict[str, torch.Tensor | None]:
        """Rows (M,) that a method is scored on, by name; None means all rows. The first is on the leaderboard."""
        return {"all": None}

    def __len__(self) -> int:
        return len(self.space) if self.labels is None else len(self.labels)

    def factors(self, indices: Rows) -> torch.Tensor:
        """Get the factor values of rows.

        Parameters
        ----------
        indices : Tensor, array-like, slice or int
            B rows, as `as_indices` takes them.

        Returns
        -------
        Tensor of shape (B, K), int64
            Value indices, on the device of `indices`.
        """
        indices = as_indices(indices, len(self))
        if self.labels is None:
            return self.space.factors(indices)
        return self.labels[indices.to(self.labels.device)].to(indices.device, torch.int64)

    def preferred_device(self, device: torch.device) -> torch.device:
        """Choose the device of the indices that `batch` gets, if images are needed on `device`.

        The result is `device` for datasets that are drawn there or that fit into its memory; this call moves those there.
        Otherwise, it is the CPU.
        """
        return device

    def preload(self) -> None:
        """Draw all images now and keep them for batches on the CPU, if they are drawn and few."""
        return

    @abstractmethod
    def batch(self, indices: Rows) -> torch.Tensor:
        """Get the images of rows. A subclass writes this, and always gets a tensor (B,), int64.

        Parameters
        ----------
        indices : Tensor, array-like, slice or int
            B rows, as `as_indices` takes them.

        Returns
        -------
        Tensor of shape (B, C, H, W), uint8
            Values in 0..255, on the device of `indices`. Black-and-white datasets give 0 and 255, so that x / 255 is right for
            every dataset. A row is the same image in every batch.

        Raises
        ------
        TypeError
            If rows are not whole numbers.
        IndexError
            If a row is outside 0..len-1.
        """
