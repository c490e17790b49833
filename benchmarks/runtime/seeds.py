"""Random streams derived from names, so that adding a method, a metric or a data set changes no other trial's result."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

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
