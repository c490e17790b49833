"""Writers of small files in exactly the official layouts, for every official dataset: `WRITE[name](root)`."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import layout_dsprites

WRITE: dict[str, Callable[..., Any]] = {
    "dsprites": layout_dsprites.write,
}


def write(name: str, root: Path) -> None:
    WRITE[name](root)
