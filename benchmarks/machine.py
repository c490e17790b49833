"""What a trial runs on and how; none of it is part of what decides the result."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch

SPAWNING = "ddp_spawn"  # Lightning's name for a fresh process a device; the names of its variants begin so too
CUBLAS = "CUBLAS_WORKSPACE_CONFIG"  # cuBLAS repeats its sums only with a workspace of fixed size


@dataclass(frozen=True)
class Machine:
    """devices, strategy, accelerator: Lightning's. checkpoint_seconds: wall time between two checkpoints of a running trial.

    deterministic: an operation that torch cannot repeat bit for bit is an error, so that a GPU gives the same result twice.
    Several devices share out each minibatch (see `devices`, which says for which methods). Raises ValueError for a strategy
    that they cannot be trained with.
    """

    devices: int = 1
    strategy: str = "auto"
    accelerator: str = "auto"
    deterministic: bool = False
    checkpoint_seconds: float = 120.0

    def __post_init__(self) -> None:
        if not isinstance(self.devices, int) or self.devices < 1:
            raise ValueError(f"devices needs a number of devices, 1 or more, got {self.devices!r}.")
        if self.devices > 1 and self.strategy != "auto" and not self.strategy.startswith(SPAWNING):
            raise ValueError(
                f"Several devices need strategy 'auto' or '{SPAWNING}', got {self.strategy!r}. 'ddp' runs the whole command "
                "again for each device, with its locks and records; after a fork, threads and CUDA do not work any more; and with "
                "shares of the weights no process could write the checkpoint."
            )
        if not self.checkpoint_seconds > 0:
            raise ValueError(f"checkpoint_seconds must be above 0, got {self.checkpoint_seconds}.")


@contextmanager
def determinism(machine: Machine) -> Iterator[None]:
    """Hold torch to repeatable algorithms within, where the machine says so, and put its switches back."""
    if not machine.deterministic:
        yield
        return
    before = torch.are_deterministic_algorithms_enabled(), torch.backends.cudnn.benchmark, os.environ.get(CUBLAS)
    os.environ.setdefault(CUBLAS, ":4096:8")
    torch.use_deterministic_algorithms(True)
    torch.backends.cudnn.benchmark = False
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before[0])
        torch.backends.cudnn.benchmark = before[1]
        if before[2] is None:
            os.environ.pop(CUBLAS, None)
