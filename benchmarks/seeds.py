"""Random streams derived from names, so that adding a method, a metric or a data set changes no other trial's result."""

import hashlib

import torch


def seed_for(*names: object) -> int:
    """A seed in [0, 2^31) that depends on the names alone."""
    digest = hashlib.sha256("\x1f".join(map(str, names)).encode()).digest()
    return int.from_bytes(digest[:4], "big") >> 1


def generator_for(*names: object) -> torch.Generator:
    """A CPU generator with that seed."""
    return torch.Generator().manual_seed(seed_for(*names))
