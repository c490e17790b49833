"""The device and execution settings of a trial, which do not change its result."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from disbench.datasets.wording import did_you_mean, listed, shown

SHARING = ("auto", "ddp", "ddp_find_unused_parameters_true")  # of Lightning's strategies, for several devices
CUBLAS = "CUBLAS_WORKSPACE_CONFIG"  # cuBLAS repeats its sums only with a workspace of fixed size


@dataclass(frozen=True)
class Machine:
    """devices, strategy, accelerator: Lightning's. checkpoint_seconds: wall time between two checkpoints of a running trial.

    deterministic: an operation that torch cannot repeat bit for bit is an error, so that a GPU gives the same result twice.
    compiler: a backend of torch.compile's that encoder and decoder are trained with (see `compiled`), '' none; as a change of
    device does, it moves the last bits.
    Several devices share out each minibatch (see `devices`, which says for which methods). Raises ValueError for a strategy
    that they cannot be trained with, and for a compiler that torch has not.
    """

    devices: int = 1
    strategy: str = "auto"
    accelerator: str = "auto"
    deterministic: bool = False
    compiler: str = ""
    checkpoint_seconds: float = 120.0

    def __post_init__(self) -> None:
        if not isinstance(self.devices, int) or self.devices < 1:
            raise ValueError(f"devices needs a number of devices, 1 or more, got {self.devices!r}.")
        if self.devices > 1 and self.strategy not in SHARING:
            raise ValueError(
                f"Several devices need one of the strategies {', '.join(SHARING)}, got {self.strategy!r}. Each has a process and "
                "all the weights; the processes are started here, not by Lightning."
            )
        if self.strategy != "auto":
            from pytorch_lightning.strategies import StrategyRegistry  # here: it takes seconds

            if self.strategy not in (strategies := StrategyRegistry.available_strategies()):
                meant = did_you_mean(self.strategy, strategies)
                raise ValueError(
                    f"strategy needs auto or one of Lightning's, {listed(strategies)}; got {shown(self.strategy)}.{meant}"
                )
        if self.compiler:
            import torch  # here: a command's options and defaults are read without

            known = torch.compiler.list_backends(exclude_tags=())
            if self.compiler not in known:
                raise ValueError(
                    f"compiler needs one of torch.compile's backends, {', '.join(known)}; got {self.compiler!r}."
                    f"{did_you_mean(self.compiler, known)}"
                )
        if not self.checkpoint_seconds > 0:
            raise ValueError(f"checkpoint_seconds must be above 0, got {self.checkpoint_seconds}.")


@contextmanager
def determinism(machine: Machine) -> Iterator[None]:
    """Hold torch to repeatable algorithms within, where the machine says so, and put its switches back."""
    if not machine.deterministic:
        yield
        return
    import torch

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
