"""What autocast rounds, and how to compute without it."""

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn

# Asked once, because torch.compile cannot trace the question in every release that is supported.
AUTOCAST = frozenset(
    kind for kind in ("cpu", "cuda", "hpu", "mps", "mtia", "xla", "xpu") if torch.amp.is_autocast_available(kind)
)


def autocast_dtype(x: Tensor) -> torch.dtype:
    """Return the type in which autocast runs a convolution of `x` now, which is its own where there is no autocast."""
    kind = x.device.type
    return torch.get_autocast_dtype(kind) if kind in AUTOCAST and torch.is_autocast_enabled(kind) else x.dtype


def float32(device: torch.device) -> AbstractContextManager[None]:
    """Compute without autocast within, whatever the precision of the training."""
    return torch.autocast(device.type, enabled=False) if device.type in AUTOCAST else nullcontext()


class Float32Linear(nn.Linear):
    """`Linear` that no autocast rounds: means and log-variances make densities, and those are steps if rounded to bf16."""

    def forward(self, x: Tensor) -> Tensor:
        """Apply the layer to x (..., n_in) without autocast: (..., n_out)."""
        with float32(x.device):
            return super().forward(x.to(self.weight.dtype))
