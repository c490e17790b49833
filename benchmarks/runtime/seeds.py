"""Random streams derived from names, so that adding a method, a metric or a dataset changes no other trial's result."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch


def seed_for(*names: object) -> int:
    """A seed in [0, 2^31) that depends on the names alone."""
    digest = hashlib.sha256("\x1f".join(map(str, names)).encode()).digest()
    return int.from_bytes(digest[:4], "big") >> 1


def generator_for(*names: object) -> torch.Generator:
    """A CPU generator with that seed."""
    import torch  # a table is scored without it

    return torch.Generator().manual_seed(seed_for(*names))


def random_state(device: torch.device) -> dict[str, Any]:
    """Every global random state: torch's on the CPU and on `device`, numpy's and Python's, in types that are plain data."""
    import numpy as np
    import torch

    kind, keys, *rest = np.random.get_state(legacy=True)  # noqa: NPY002 -- whatever state there is, is saved
    state = {
        "torch": torch.get_rng_state(),
        "numpy": (kind, torch.from_numpy(np.asarray(keys).astype(np.int64)), *rest),
        "python": random.getstate(),
    }
    if device.type != "cpu":
        state["device"] = torch.get_device_module(device).get_rng_state()
    return state


def set_random_state(state: Mapping[str, Any], device: torch.device) -> None:
    """Put `random_state` back; the device's only where it was saved on one of its kind's."""
    import numpy as np
    import torch

    kind, keys, *rest = state["numpy"]
    torch.set_rng_state(state["torch"])
    np.random.set_state((kind, keys.numpy().astype(np.uint32), *rest))  # noqa: NPY002
    random.setstate(state["python"])
    if device.type != "cpu" and "device" in state:
        torch.get_device_module(device).set_rng_state(state["device"])
