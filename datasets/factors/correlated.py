"""Correlated training sets: rows are drawn by weight, so that chosen factors take similar values.

Roth et al. 2023, ICLR, arXiv:2210.07347v2, section 5, after Traeuble et al. 2021, ICML, arXiv:2006.07886v3, section 4:

    p(c) proportional to the product over pairs (a, b) of exp(-(c_a - c_b)^2 / (2 width^2)),  each factor scaled to [0, 1]
"""

import hashlib
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import torch

from disbench.datasets.factors.dataset import FactorDataset
from disbench.datasets.factors.held_out import ROWS_AT_ONCE
from disbench.datasets.factors.selection import DerivedDataset
from disbench.datasets.factors.weighted_rows import AliasTable
from disbench.datasets.wording import did_you_mean, listed, shown

SAMPLE = 100_000  # rows of the correlated evaluation, at most
ALL = "all"  # in a pair: every other factor
KEYS = ("pairs", "published", "width")

Pair = tuple[str, str]

# The sets of Roth et al. (constraints/avail_correlations.yaml of their repository), in the names of factors here.
SHAPES3D: dict[str, tuple[tuple[Pair, ...], float]] = {
    "single_1": ((("floor_hue", "wall_hue"),), 0.1),
    "single_2": ((("shape", "scale"),), 0.1),
    "single_3": ((("shape", "wall_hue"),), 0.1),
    "single_4": ((("shape", "object_hue"),), 0.1),
    "double_1": ((("scale", "floor_hue"), ("shape", "wall_hue")), 0.1),
    "double_2": ((("scale", "shape"), ("floor_hue", "wall_hue")), 0.1),
    "double_3": ((("shape", "object_hue"), ("shape", "scale")), 0.1),
    "triple_1": ((("scale", "orientation"), ("shape", "wall_hue"), ("object_hue", "floor_hue")), 0.1),
    "triple_2": ((("object_hue", "orientation"), ("shape", "scale"), ("floor_hue", "wall_hue")), 0.1),
    "one_against_all_1": ((("shape", ALL),), 0.2),
    "one_against_all_2": ((("wall_hue", ALL),), 0.2),
}
MPI3D: dict[str, tuple[tuple[Pair, ...], float]] = {
    "single_1": ((("camera_height", "background_color"),), 0.1),
    "single_2": ((("object_color", "object_size"),), 0.1),
    "single_3": ((("horizontal_axis", "vertical_axis"),), 0.1),
    "double_1": ((("object_color", "object_shape"), ("horizontal_axis", "vertical_axis")), 0.1),
    "double_2": ((("object_color", "horizontal_axis"), ("object_shape", "vertical_axis")), 0.1),
    "triple_1": (
        (("object_color", "background_color"), ("camera_height", "horizontal_axis"), ("object_shape", "vertical_axis")),
        0.1,
    ),
    "triple_2": (
        (("object_color", "object_shape"), ("horizontal_axis", "vertical_axis"), ("background_color", "camera_height")),
        0.1,
    ),
    "one_against_all_1": ((("object_shape", ALL),), 0.2),
    "one_against_all_2": ((("horizontal_axis", ALL),), 0.2),
}
DSPRITES: dict[str, tuple[tuple[Pair, ...], float]] = {
    "single_1": ((("shape", "scale"),), 0.1),
    "single_2": ((("position_x", "position_y"),), 0.1),
    "single_3": ((("shape", "position_y"),), 0.1),
    "double_1": ((("shape", "position_x"), ("scale", "position_y")), 0.1),
    "double_2": ((("shape", "scale"), ("position_x", "position_y")), 0.1),
    "one_against_all_1": ((("shape", ALL),), 0.2),
    "one_against_all_2": ((("position_x", ALL),), 0.2),
}
CARS3D: dict[str, tuple[tuple[Pair, ...], float]] = {
    "single_1": ((("elevation", "azimuth"),), 0.1),
    "single_2": ((("elevation", "object_type"),), 0.1),
    "single_3": ((("azimuth", "object_type"),), 0.1),
    "one_against_all_1": ((("elevation", ALL),), 0.2),
    "one_against_all_2": ((("azimuth", ALL),), 0.2),
    "one_against_all_3": ((("object_type", ALL),), 0.2),
}
FAMILIES = {"shapes3d": SHAPES3D, "mpi3d": MPI3D, "dsprites": DSPRITES, "cars3d": CARS3D}


class WeightedDataset(DerivedDataset):
    """Hold the rows of a dataset with the weights by which training draws them."""

    def __init__(self, parent: FactorDataset, weights: torch.Tensor) -> None:
        super().__init__(parent)
        self.labels, self.weights = parent.labels, weights

    def batch(self, indices: torch.Tensor) -> torch.Tensor:
        """Get the images of rows, which are those of the parent."""
        return self._parent.batch(indices)


class CorrelatedDataset(DerivedDataset):
    """Hold a whole dataset whose training rows are drawn by weight. `correlate` makes it."""

    def __init__(self, parent: FactorDataset, weights: torch.Tensor, law: str) -> None:
        """Take weights of the rows of `parent.training`; `law` names what drew the rows that are scored."""
        super().__init__(parent)
        self.labels = parent.labels
        self._weights, self._law = weights, law

    @cached_property
    def training(self) -> FactorDataset:
        """Rows that methods are trained on, with their weights."""
        return WeightedDataset(self._parent.training, self._weights)

    @cached_property
    def _drawn(self) -> torch.Tensor:
        seed = hashlib.sha256(f"{self.name} {self.version} {self._law}".encode()).digest()
        generator = torch.Generator().manual_seed(int.from_bytes(seed[:7]))
        table = AliasTable(self._weights)
        rows = table.rows(table.random(min(SAMPLE, len(table)), generator))
        trained = self._parent.evaluations.get("trained")
        return rows if trained is None else trained[rows]

    @property
    def evaluations(self) -> dict[str, torch.Tensor | None]:
        """Rows to score: those of the parent, all alike, and "correlated", a sample of what training draws."""
        return {**self._parent.evaluations, "correlated": self._drawn}

    def batch(self, indices: torch.Tensor) -> torch.Tensor:
        """Get the images of rows of the whole dataset."""
        return self._parent.batch(indices)


def correlate(dataset: FactorDataset, what: str | Mapping[str, Any]) -> FactorDataset:
    """Draw the training rows of a dataset such that factors are correlated.

    Parameters
    ----------
    dataset : FactorDataset
        Any dataset, of N rows. Held-out rows stay out.
    what : str or mapping
        The name of a published set, such as "single_1", or a mapping with `pairs`, a list of two factors or of such lists, or
        `published`, such a name; and `width`, the standard deviation of the difference of two factors that are scaled to
        [0, 1]. Without `width` a published set has that of its paper. "all" in a pair stands for every other factor.

    Returns
    -------
    FactorDataset
        It has the rows of `dataset`. Its `training` part has `weights`; its `evaluations` have also "correlated", a sample of
        min(N, 100,000) rows that training draws. It has repeated rows. It depends on the dataset and `what` alone.

    Raises
    ------
    ValueError
        If `what` is neither, or the dataset has no such factor or no such published set.

    Examples
    --------
    >>> from disbench.datasets import load
    >>> from disbench.datasets.factors import correlate
    >>> dataset = load("shapes3d_like", select={"scale": 0, "shape": 0, "orientation": 0})
    >>> correlated = correlate(dataset, {"pairs": ["floor_hue", "wall_hue"], "width": 0.1})
    >>> list(correlated.evaluations), correlated.training.weights.shape
    (['all', 'correlated'], torch.Size([1000]))
    >>> bool(correlated.training.weights[0] > correlated.training.weights[90])
    True
    """
    pairs, width = law_of(dataset, what)
    weights = weights_of(dataset.training, pairs, width)
    if int((weights > 0).sum()) < 2:
        raise ValueError(
            f"correlated draws fewer than 2 rows of {dataset.name} with width {width:g}; use a larger one."
        )
    return CorrelatedDataset(dataset, weights, f"correlated {pairs} {width!r}")


def law_of(dataset: FactorDataset, what: str | Mapping[str, Any]) -> tuple[list[Pair], float]:
    """Find the pairs of factors and the width. Raises ValueError where they are none of this dataset."""
    given = {"published": what} if isinstance(what, str) else what
    if not isinstance(given, Mapping) or ("pairs" in given) == ("published" in given) or not set(given) <= set(KEYS):
        raise ValueError(
            "correlated needs the name of a published set, or pairs of factors and a width, such as "
            f"{{pairs: [floor_hue, wall_hue], width: 0.1}}, got {shown(what)}."
        )
    width: Any = given.get("width")
    if "published" in given:
        known = published(dataset)
        name = given["published"]
        if not isinstance(name, str) or name not in known:
            raise ValueError(
                f"{dataset.name} has no published correlation {shown(name)}; it has {listed(known) if known else 'none'}."
                f"{did_you_mean(str(name), known)}"
            )
        pairs, usual = known[name]
        width = usual if width is None else width
    else:
        pairs = pairs_in(given["pairs"])
    if isinstance(width, bool) or not isinstance(width, int | float) or not 0 < width < float("inf"):
        raise ValueError(f"correlated needs a width greater than 0, such as 0.1, got {shown(width)}.")
    varying = [name for name, size in zip(dataset.factor_names, dataset.factor_sizes, strict=True) if size > 1]
    found: list[Pair] = []
    for one, other in pairs:
        for name in (one, other):
            if name not in varying and name != ALL:
                raise ValueError(
                    f"{dataset.name} has no factor {shown(name)} that varies; it has {listed(varying)}."
                    f"{did_you_mean(name, varying)}"
                )
        found += [(one, name) for name in varying if name != one] if other == ALL else [(one, other)]
    if any(one in (other, ALL) for one, other in found) or not found:
        raise ValueError(f"correlated needs two different factors in each pair, got {shown(what)}.")
    return found, float(width)


def pairs_in(given: Any) -> tuple[Pair, ...]:
    """Read one pair of names or a list of pairs."""
    is_pair = (
        isinstance(given, Sequence) and not isinstance(given, str) and all(isinstance(each, str) for each in given)
    )
    listing = [given] if is_pair else given
    if not isinstance(listing, Sequence) or isinstance(listing, str) or not listing:
        raise ValueError(f"pairs needs two factors, or a list of such pairs, got {shown(given)}.")
    for pair in listing:
        if not isinstance(pair, Sequence) or isinstance(pair, str) or [type(name) for name in pair] != [str, str]:
            raise ValueError(f"pairs needs two factors in each pair, got {shown(pair)}.")
    return tuple((pair[0], pair[1]) for pair in listing)


def published(dataset: FactorDataset) -> dict[str, tuple[tuple[Pair, ...], float]]:
    """List the published sets of a dataset or its stand-in by name, each with its pairs and its width."""
    family = next((family for family in FAMILIES if dataset.name.startswith(family)), None)
    return {} if family is None else FAMILIES[family]


def weights_of(dataset: FactorDataset, pairs: Sequence[Pair], width: float) -> torch.Tensor:
    """Compute the probabilities (N,) of the rows of a dataset, float64."""
    columns = [(dataset.factor_names.index(one), dataset.factor_names.index(other)) for one, other in pairs]
    scale = [max(1, size - 1) for size in dataset.factor_sizes]
    found = []
    for rows in torch.split(torch.arange(len(dataset)), ROWS_AT_ONCE):
        values = dataset.factors(rows).double()
        exponent = torch.zeros(len(rows), dtype=torch.float64)
        for one, other in columns:
            exponent -= (values[:, one] / scale[one] - values[:, other] / scale[other]).square() / (2 * width**2)
        found.append(exponent)
    exponents = torch.cat(found)
    weights = (exponents - exponents.max()).exp()
    return weights / weights.sum()


def normal_correlated(what: Any) -> Any:
    """Write each `correlated` in one spelling: pairs as a list of lists, the width as a float, a bare name as text."""
    if not isinstance(what, Mapping):
        return what
    found = {name: value for name, value in what.items() if value is not None}
    width = found.get("width")
    if isinstance(width, int) and not isinstance(width, bool):
        found["width"] = float(width)
    if "pairs" in found:
        try:
            found["pairs"] = [list(pair) for pair in pairs_in(found["pairs"])]
        except ValueError:  # `correlate` refuses it
            return found
    return found["published"] if list(found) == ["published"] else found
