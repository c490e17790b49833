"""Datasets: images by index, with the values of the factors that made them.

`DATASETS[name](root, **options)` gives a `FactorDataset`; `load` also restricts it and knows the user's own imported sets.
A new dataset is a module, a line in `DATASETS` (for an official one a line in `SOURCES`, too) and a line in the contract test.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from disbench.datasets import cars3d, dsprites, smallnorb
from disbench.datasets.cars3d import Cars3D
from disbench.datasets.dsprites import DSprites
from disbench.datasets.dsprites_like import DSpritesLike
from disbench.datasets.factors import FactorDataset, FactorSpace, restrict
from disbench.datasets.files import Source
from disbench.datasets.shapes3d_like import Shapes3DLike
from disbench.datasets.smallnorb import SmallNORB

__all__ = ["DATASETS", "SOURCES", "FactorDataset", "FactorSpace", "load", "restrict"]

DATASETS: dict[str, Callable[..., FactorDataset]] = {
    "dsprites_like": DSpritesLike,
    "shapes3d_like": Shapes3DLike,
    "dsprites": DSprites,
    "cars3d": Cars3D,
    "smallnorb": SmallNORB,
}

# Where the files of the official ones come from.
SOURCES: dict[str, Source] = {
    "dsprites": dsprites.SOURCE,
    "cars3d": cars3d.SOURCE,
    "smallnorb": smallnorb.SOURCE,
}


def load(
    name: str,
    root: str | Path | None = None,
    *,
    select: Mapping[str, str | int] | None = None,
    **options: Any,
) -> FactorDataset:
    """The dataset `name`, from files under `root` where it needs any, restricted to `select` (see `restrict`).

    `options` go to the dataset's constructor. Raises ValueError for an unknown name.
    """
    if name not in DATASETS:
        raise ValueError(f"There is no dataset {name!r}; there are {', '.join(DATASETS)}.")
    dataset = DATASETS[name](root, **options)
    return restrict(dataset, select) if select else dataset
