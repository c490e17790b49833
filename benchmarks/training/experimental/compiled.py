"""Networks compiled while a method is trained, with torch.compile (Ansel et al. 2024, ASPLOS, doi:10.1145/3620665.3640366).

A method names its networks, such as encoder and decoder, and each is one graph without noise in it: a compiled training draws
the numbers that an eager one draws, and differs from it by rounding. Whole steps are not compiled. Those with several
optimizers ask for gradients in their midst, where a graph ends, and a compiled draw takes other random numbers.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch._functorch import config

from disbench.baselines.method import Method

log = logging.getLogger(__name__)


@contextmanager
def compiled(method: Method, backend: str = "inductor") -> Iterator[None]:
    """The method's `networks` run compiled within, and as they were afterwards, so that encoding compiles nothing.

    The first step waits for the compiler. backend: one of torch.compile's; 'inductor' needs a C++ compiler, on a GPU Triton too.
    A network that is not one graph is an error, as is a machine without a compiler. Names in `state_dict` stay.

    No backward pass is under autocast, as in an eager training. Left alone, torch compiles one under its forward pass's, and
    layers that are in float32 on purpose get rounded gradients (pytorch issue 179804); an older torch knows no other way.
    """
    networks = list(method.networks().values())
    if not networks:
        log.warning("%s names no networks, so nothing is compiled.", type(method).__name__)
    for network in networks:
        # Of the instance, and deleted in the end. Minibatches have one size, so no kernel has to take another.
        network.forward = torch.compile(network.forward, backend=backend, fullgraph=True, dynamic=False)
    apart = {"backward_pass_autocast": "off"} if hasattr(config, "backward_pass_autocast") else {}
    try:
        with config.patch(apart):
            yield
    finally:
        for network in networks:
            del network.forward
        # torch counts the graphs of `Sequential.forward` for the whole process, and would refuse those of the fifth trial.
        torch.compiler.reset()
