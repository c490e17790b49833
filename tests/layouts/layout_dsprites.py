"""A small file in the official dSprites layout."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from disbench.datasets import load
from disbench.datasets.official.dsprites import FILE_NAME

SELECT = {"scale": "0-1", "orientation": "0-3", "position_x": "0-2", "position_y": "0-4"}


def write(root: Path, *, save: Callable[..., None] = np.savez_compressed, **changes: Any) -> Path:
    """Write 360 drawn sprites to root/dsprites/<official name>, with keys replaced, or left out where they are None."""
    sprites = load("dsprites_like", select=SELECT)
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
    path = root / "dsprites" / FILE_NAME
    path.parent.mkdir(parents=True, exist_ok=True)
    save(path, **{key: value for key, value in content.items() if value is not None})
    return path
