"""What a dataset is here: images addressed by an index, and the values of the factors that made them.

A full grid of factors is one mixed-radix number: row i holds the i-th combination in C order, the last factor fastest.
dSprites, 3DShapes and MPI3D are all stored this way, so an index is the label.
"""

import functools
import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
import torch

from disbench.datasets.wording import shown

# A tensor, an array, a list, a slice or a single row. `Any`, so that a subclass may declare the tensor that it gets.
Rows: TypeAlias = Any


def check_indices(indices: torch.Tensor, length: int) -> None:
    """Raise unless `indices` is a 1-d int64 tensor (TypeError) of values in 0..length-1 (IndexError).

    Values are only looked at on the CPU: on an accelerator that would wait for everything it has still to do.
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
    """Rows of a dataset of `length` rows as a 1-d int64 tensor: a tensor, an array, a list, a slice or a single row.

    Raises TypeError for anything but whole numbers, and IndexError outside 0..length-1.
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
    """A method of a dataset that takes rows in every form of `as_indices`."""

    @functools.wraps(method)
    def taking(self: Any, indices: Rows) -> torch.Tensor:
        return method(self, as_indices(indices, len(self)))

    return taking


@dataclass(frozen=True)
class FactorSpace:
    """The grid of all combinations of K named factors with the given numbers of values, in C order.

    All arithmetic is int64: floats stop being exact at 2**24 (float32), which is less than some grids have points.
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
        """Rows between two neighbouring values of each factor."""
        return tuple(math.prod(self.sizes[position + 1 :]) for position in range(len(self.sizes)))

    def factors(self, indices: Rows) -> torch.Tensor:
        """Indices (B,) to factor values (B, K), both int64. Raises IndexError outside the grid."""
        indices = as_indices(indices, len(self))
        # Column by column, for a tensor of the sizes would have to be copied to an accelerator, which waits for it.
        columns = [indices // stride % size for stride, size in zip(self.strides, self.sizes, strict=True)]
        return torch.stack(columns, dim=1)

    def indices(self, factors: torch.Tensor) -> torch.Tensor:
        """Factor values (B, K) to indices (B,), both int64. Raises IndexError outside the grid."""
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
    """Images by index with their factors. Held in memory, mapped, packed or rendered: the caller cannot tell.

    `name` is the key in `DATASETS`. `version` changes whenever a picture changes: the renderer's version, or a hash of
    the file. `provenance` says whose pictures they are: the published files', rendered here, or the user's own. `space`
    names the factors and their numbers of values. `image_shape` is (C, H, W).

    A set is a full grid in C order unless it has `labels`, the value indices (N, K) of each of its rows in any integer type.
    """

    name: str
    version: str
    provenance: Literal["official", "procedural", "own"]
    space: FactorSpace
    image_shape: tuple[int, int, int]
    labels: torch.Tensor | None = None
    conversion: Path | None = None  # the folder in the cache that its images were converted into, if they were

    def __init_subclass__(cls, **keywords: Any) -> None:
        """Let every dataset's methods take rows in every form, without a word in the dataset."""
        super().__init_subclass__(**keywords)
        for name in ("batch", "factors"):
            if name in cls.__dict__:
                setattr(cls, name, takes_rows(cls.__dict__[name]))

    @property
    def is_grid(self) -> bool:
        return self.labels is None

    @property
    def factor_names(self) -> tuple[str, ...]:
        return self.space.names

    @property
    def factor_sizes(self) -> tuple[int, ...]:
        return self.space.sizes

    @property
    def training(self) -> "FactorDataset":
        """The part that methods are trained on: all of it, but for a dataset with rows held out."""
        return self

    @property
    def evaluations(self) -> dict[str, torch.Tensor | None]:
        """The rows (M,) that a method is scored on, by a name for them; None for all. The first is the leaderboard's own."""
        return {"all": None}

    def __len__(self) -> int:
        return len(self.space) if self.labels is None else len(self.labels)

    def factors(self, indices: Rows) -> torch.Tensor:
        """Value indices (B, K), int64, of the rows `indices`, in the forms that `batch` takes."""
        indices = as_indices(indices, len(self))
        if self.labels is None:
            return self.space.factors(indices)
        return self.labels[indices.to(self.labels.device)].to(indices.device, torch.int64)

    def preferred_device(self, device: torch.device) -> torch.device:
        """Where `batch` is best given its indices when images are needed on `device`.

        `device` itself for sets that are drawn there or that fit into its memory, which this call moves there; else the CPU.
        """
        return device

    def preload(self) -> None:
        """Draw all images now and keep them for the CPU's batches, if they are drawn and few: for who comes back to each."""
        return

    @abstractmethod
    def batch(self, indices: Rows) -> torch.Tensor:
        """Images (B, C, H, W), uint8, of the rows `indices`: a tensor (B,), an array, a list, a slice or a single row.

        Raises TypeError for anything but whole numbers, and IndexError outside 0..len-1. A subclass always gets a tensor (B,),
        int64.

        Always 0..255: black-and-white sets give {0, 255}, never {0, 1}, so that x / 255 is right for every set.
        The images come on the device of `indices`, and the same row is the same picture in every batch.
        """
