"""A box of a grid dataset: the part whose factors lie in inclusive ranges."""

import math
import re
from collections.abc import Mapping

import torch

from disbench.datasets.factors.dataset import FactorDataset, FactorSpace, check_indices
from disbench.datasets.wording import did_you_mean, listed, shown

KEPT_BYTES = 2**26  # of drawn images, at most
DRAWN_AT_ONCE = 256  # of them, so that what drawing needs stays small


class DerivedDataset(FactorDataset):
    """Show another dataset, or a part of it, under the name and version of that one."""

    def __init__(self, parent: FactorDataset) -> None:
        self.name, self.version, self.provenance = parent.name, parent.version, parent.provenance
        self.image_shape, self.space, self.conversion = parent.image_shape, parent.space, parent.conversion
        self.intrinsic_dimensions = parent.intrinsic_dimensions
        self._parent = parent

    def preferred_device(self, device: torch.device) -> torch.device:
        """Choose the device as the parent does."""
        return self._parent.preferred_device(device)

    def preload(self) -> None:
        """Let the parent keep its images."""
        self._parent.preload()


class RestrictedDataset(DerivedDataset):
    """Hold a box of a grid dataset, whose indices are mapped to those of the parent. `restrict` makes it."""

    def __init__(self, parent: FactorDataset, first: tuple[int, ...], sizes: tuple[int, ...]) -> None:
        """Take the lowest value, `first`, and the number of values, `sizes`, of each factor of the parent."""
        super().__init__(parent)
        self._first = first
        self._varying = [position for position, size in enumerate(sizes) if size > 1]
        self.space = FactorSpace(
            tuple(parent.factor_names[position] for position in self._varying),
            tuple(sizes[position] for position in self._varying),
        )
        if parent.intrinsic_dimensions is not None:  # a part of a circle is no circle
            before = dict(zip(parent.factor_names, parent.factor_sizes, strict=True))
            after = dict(zip(self.factor_names, self.factor_sizes, strict=True))
            known = parent.intrinsic_dimensions
            self.intrinsic_dimensions = {name: known[name] for name in known if after.get(name) == before[name]}
        self._images: torch.Tensor | None = None

    def __getstate__(self) -> dict[str, object]:
        return self.__dict__ | {"_images": None}  # another process draws its own

    def parent_indices(self, indices: torch.Tensor) -> torch.Tensor:
        """Map rows (B,) of this dataset to rows (B,) of the parent."""
        strides = self._parent.space.strides
        corner = sum(value * stride for value, stride in zip(self._first, strides, strict=True))
        # Not `space.indices`, which looks at the values: on an accelerator that waits for all it has still to do.
        values = self.space.factors(indices).unbind(dim=1)
        steps = (value * strides[position] for value, position in zip(values, self._varying, strict=True))
        return sum(steps, start=torch.full_like(indices, corner))

    def preload(self) -> None:
        """Draw the images of a small box now and keep them for the CPU."""
        small = len(self) * math.prod(self.image_shape) <= KEPT_BYTES
        if self._images is None and small and self.provenance == "procedural":
            images = torch.empty((len(self), *self.image_shape), dtype=torch.uint8)
            for rows in torch.split(torch.arange(len(self)), DRAWN_AT_ONCE):
                images[rows] = self._parent.batch(self.parent_indices(rows))
            self._images = images

    def batch(self, indices: torch.Tensor) -> torch.Tensor:
        """Get the images of rows of the box."""
        if self._images is None or indices.device.type != "cpu":
            return self._parent.batch(self.parent_indices(indices))
        check_indices(indices, len(self))
        return self._images.index_select(0, indices)


def restrict(dataset: FactorDataset, select: Mapping[str, str | int]) -> FactorDataset:
    """Restrict a grid dataset to ranges of factor values.

    Parameters
    ----------
    dataset : FactorDataset
        A full grid.
    select : mapping of str to str or int
        Inclusive ranges of value indices by factor, such as `{"shape": 1, "scale": "0-5"}`. Other factors keep all values.

    Returns
    -------
    FactorDataset
        The part inside the ranges. A factor with a single value is dropped; the values of the others start at 0.

    Raises
    ------
    ValueError
        If the dataset is not a full grid, a factor is unknown, a range is malformed, reversed or exceeds the grid, or no
        factor keeps two values.

    Examples
    --------
    >>> from disbench.datasets import load, restrict
    >>> part = restrict(load("dsprites_like"), {"shape": 1, "scale": "0-3", "orientation": 0})
    >>> part.factor_names, part.factor_sizes
    (('scale', 'position_x', 'position_y'), (4, 32, 32))
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
        low, high = parse_range(name, select[name]) if name in select else (0, size - 1)
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
    """Write each range in one spelling: 3 for 3, "3" and "3-3", and "3-7" for " 3 - 7"; a malformed one as it is."""
    found: dict[str, str | int] = {}
    for name, text in select.items():
        try:
            low, high = parse_range(name, text)
        except ValueError:  # `restrict` refuses it
            found[name] = text
        else:
            found[name] = low if low == high else f"{low}-{high}"
    return found


def parse_range(name: str, text: str | int) -> tuple[int, int]:
    """Convert 3, "3" or "3-7" to its inclusive ends."""
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
