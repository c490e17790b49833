"""Writers of small files in exactly the official layouts, for every official dataset: `WRITE[name](root)`."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import layout_cars3d
import layout_dsprites
import layout_smallnorb
import pytest

WRITE: dict[str, Callable[..., Any]] = {
    "dsprites": layout_dsprites.write,
    "cars3d": layout_cars3d.write,
    "smallnorb": layout_smallnorb.write,
}


def write(name: str, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Write the small file of a dataset under `root`; `monkeypatch` is for readers that know whole files by their size."""
    WRITE[name](root)
