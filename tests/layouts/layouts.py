"""Writers of small files in exactly the official layouts, for every official dataset: `WRITE[name](root)`."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import layout_cars3d
import layout_celeba
import layout_dsprites
import layout_mpi3d
import layout_shapes3d
import layout_smallnorb
import pytest

from disbench.datasets.official import mpi3d

WRITE: dict[str, Callable[..., Any]] = {
    "dsprites": layout_dsprites.write,
    "shapes3d": layout_shapes3d.write,
    **{f"mpi3d_{variant}": functools.partial(layout_mpi3d.write, variant=variant) for variant in mpi3d.SOURCES},
    "celeba": layout_celeba.write,
    "cars3d": layout_cars3d.write,
    "smallnorb": layout_smallnorb.write,
}


def write(name: str, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Write the small file of a dataset under `root`; `monkeypatch` is for readers that know whole files by their size."""
    monkeypatch.setitem(mpi3d.GRIDS, layout_mpi3d.ROWS, layout_mpi3d.SIZES)
    WRITE[name](root)
