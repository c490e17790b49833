"""A small file in the official dSprites layout, and one cache for all tests."""

import functools
from collections.abc import Callable
from pathlib import Path

import layout_dsprites
import pytest

from disbench.datasets import FactorDataset, load


@pytest.fixture(scope="session")
def sprites() -> FactorDataset:
    """360 drawn sprites, the content of the small official file."""
    return load("dsprites_like", select=layout_dsprites.SELECT)


@pytest.fixture
def write_official(tmp_path: Path) -> Callable[..., Path]:
    """Writes the small dSprites file under tmp_path."""
    return functools.partial(layout_dsprites.write, tmp_path)


@pytest.fixture(scope="session")
def rooms() -> FactorDataset:
    return load("shapes3d_like")
