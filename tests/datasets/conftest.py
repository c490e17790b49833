"""A small file in the official dSprites layout, and one cache for all tests."""

import functools
from collections.abc import Callable, Iterator
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


@pytest.fixture(scope="session", autouse=True)
def geometry_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A cache of the tests' own, so that they trace the geometries themselves, once."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DISBENCH_CACHE", str(folder))
        yield folder


@pytest.fixture(scope="session")
def rooms() -> FactorDataset:
    return load("shapes3d_like")
