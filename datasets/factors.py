"""What a dataset is here: images addressed by an index, and the values of the factors that made them.

A full grid of factors is one mixed-radix number: row i holds the i-th combination in C order, the last factor fastest.
dSprites, 3DShapes and MPI3D are all stored this way, so an index is the label.
"""

import functools
import math
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
import torch

from disbench.datasets.wording import did_you_mean, listed, shown

# A tensor, an array, a list, a slice or a single row. `Any`, so that a subclass may declare the tensor that it gets.
Rows: TypeAlias = Any

KEPT_BYTES = 2**26  # of drawn images, at most
DRAWN_AT_ONCE = 256  # of them, so that what drawing needs stays small


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


class RestrictedDataset(FactorDataset):
    """A box of a grid dataset: its indices are mapped to the parent's. Made by `restrict`."""

    def __init__(self, parent: FactorDataset, first: tuple[int, ...], sizes: tuple[int, ...]) -> None:
        """`first` and `sizes`: the lowest value and the number of values of each of the parent's factors."""
        self.name = parent.name
        self.version = parent.version
        self.provenance = parent.provenance
        self.image_shape = parent.image_shape
        self._parent = parent
        self._first = first
        self._varying = [position for position, size in enumerate(sizes) if size > 1]
        self.space = FactorSpace(
            tuple(parent.factor_names[position] for position in self._varying),
            tuple(sizes[position] for position in self._varying),
        )
        self._images: torch.Tensor | None = None

    def __getstate__(self) -> dict[str, object]:
        return self.__dict__ | {"_images": None}  # another process draws its own

    def parent_indices(self, indices: torch.Tensor) -> torch.Tensor:
        """The parent's rows (B,) behind the rows `indices` (B,) of this dataset."""
        strides = self._parent.space.strides
        corner = sum(value * stride for value, stride in zip(self._first, strides, strict=True))
        # Not `space.indices`, which looks at the values: on an accelerator that waits for all it has still to do.
        values = self.space.factors(indices).unbind(dim=1)
        steps = (value * strides[position] for value, position in zip(values, self._varying, strict=True))
        return sum(steps, start=torch.full_like(indices, corner))

    def preferred_device(self, device: torch.device) -> torch.device:
        return self._parent.preferred_device(device)

    def preload(self) -> None:
        small = len(self) * math.prod(self.image_shape) <= KEPT_BYTES
        if self._images is None and small and self.provenance == "procedural":
            images = torch.empty((len(self), *self.image_shape), dtype=torch.uint8)
            for rows in torch.split(torch.arange(len(self)), DRAWN_AT_ONCE):
                images[rows] = self._parent.batch(self.parent_indices(rows))
            self._images = images

    def batch(self, indices: torch.Tensor) -> torch.Tensor:
        if self._images is None or indices.device.type != "cpu":
            return self._parent.batch(self.parent_indices(indices))
        check_indices(indices, len(self))
        return self._images.index_select(0, indices)


def restrict(dataset: FactorDataset, select: Mapping[str, str | int]) -> FactorDataset:
    """The part of a grid whose factors lie in inclusive ranges of value indices.

    `{"shape": 1, "scale": "0-5", "position_x": "6-25"}` keeps one shape, six scales and twenty columns. A factor with
    one value left is no factor of variation and is dropped; the others start at 0 again. Factors that are not named
    keep all their values.

    Raises ValueError for a dataset that is no full grid, an unknown factor, a malformed or reversed range, one that
    leaves the grid, or a selection that leaves no factor with two values.
    """
    if not isinstance(select, Mapping):
        raise ValueError(f"select needs factors with their ranges, like {{'scale': '0-5'}}, got {shown(select)}.")
    if not dataset.is_grid:
        raise ValueError(f"select needs a full grid of factors, and {dataset.name} is not one.")
    unknown = sorted(str(name) for name in select if name not in dataset.factor_names)
    if unknown:
        raise ValueError(
            f"{dataset.name} has no factor {listed(unknown)}; it has {listed(dataset.factor_names)}."
            f"{did_you_mean(unknown[0], dataset.factor_names)}"
        )
    first, sizes = [], []
    for name, size in zip(dataset.factor_names, dataset.factor_sizes, strict=True):
        low, high = _parse_range(name, select[name]) if name in select else (0, size - 1)
        if high >= size:
            raise ValueError(
                f"{name} of {dataset.name} needs value indices in 0..{size - 1}, got {shown(select[name])}."
            )
        first.append(low)
        sizes.append(high - low + 1)
    if max(sizes) == 1:
        raise ValueError(f"select leaves one image of {dataset.name}: at least one factor needs two values or more.")
    return RestrictedDataset(dataset, tuple(first), tuple(sizes))


def normal_select(select: Mapping[str, str | int]) -> dict[str, str | int]:
    """Each range in one spelling: 3 for 3, "3" and "3-3", and "3-7" for " 3 - 7"; a malformed one as it is."""
    found: dict[str, str | int] = {}
    for name, text in select.items():
        try:
            low, high = _parse_range(name, text)
        except ValueError:  # `restrict` refuses it
            found[name] = text
        else:
            found[name] = low if low == high else f"{low}-{high}"
    return found


def _parse_range(name: str, text: str | int) -> tuple[int, int]:
    """3, "3" or "3-7" to its inclusive ends."""
    parsed = None
    if isinstance(text, str | int) and not isinstance(text, bool):
        parsed = re.fullmatch(r"\s*(\d{1,9})\s*(?:-\s*(\d{1,9})\s*)?", shown(text) if isinstance(text, int) else text)
    if parsed is None:
        raise ValueError(f"{name} needs a value index like 3 or an inclusive range like '0-5', got {shown(text)}.")
    low = int(parsed[1])
    high = low if parsed[2] is None else int(parsed[2])
    if low > high:
        raise ValueError(f"{name} needs a range with its lower end first, got {shown(text)}.")
    return low, high
