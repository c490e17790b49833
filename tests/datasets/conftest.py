"""A small file in the official dSprites layout, and one geometry cache for all tests."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from disbench.datasets import FactorDataset, load
from disbench.datasets.dsprites import FILE_NAME

SMALL = {"scale": "0-1", "orientation": "0-3", "position_x": "0-2", "position_y": "0-4"}


@pytest.fixture(scope="session")
def sprites() -> FactorDataset:
    """360 drawn sprites, the content of the small official file."""
    return load("dsprites_like", select=SMALL)


@pytest.fixture
def write_official(tmp_path: Path, sprites: FactorDataset) -> Callable[..., Path]:
    """Writes the small file under tmp_path/dsprites, with keys replaced, or left out where they are None."""

    def write(*, save: Callable[..., None] = np.savez_compressed, **changes: Any) -> Path:
        rows = torch.arange(len(sprites))
        factors = sprites.factors(rows).numpy()
        classes = np.concatenate([np.zeros_like(factors[:, :1]), factors], axis=1)
        content: dict[str, Any] = {
            "metadata": np.array({"title": "a pickle, as in the official file"}, dtype=object),
            "imgs": (sprites.batch(rows)[:, 0] // 255).numpy(),
            "latents_classes": classes,
            "latents_values": classes.astype(np.float64),
        }
        content.update(changes)
        path = tmp_path / "dsprites" / FILE_NAME
        path.parent.mkdir(exist_ok=True)
        save(path, **{key: value for key, value in content.items() if value is not None})
        return path

    return write


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
