"""An accelerator that is not there: tensors on it have place, shape and type, and code that would wait for it is caught."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

ACCELERATOR = torch.device("cuda:0")


class NoWaiting(TorchDispatchMode):
    """Raises AssertionError at a copy to the device or from it, which on an accelerator waits for all that is still to do."""

    def __init__(self, device: torch.device) -> None:
        super().__init__()
        self.device = device

    def __torch_dispatch__(self, function: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = function(*args, **(kwargs or {}))
        devices = [
            {leaf.device.type for leaf in tree_leaves(side) if isinstance(leaf, torch.Tensor) and leaf.ndim}
            for side in ((args, kwargs), result)
        ]
        if "copy" in str(function) and set.union(*devices) == {"cpu", self.device.type}:
            raise AssertionError(f"{function} copies between the CPU and {self.device}.")
        return result


@contextmanager
def on_an_accelerator() -> Iterator[torch.device]:
    """Within, the accelerator has tensors, and whatever needs their values, such as `if`, `float` or `nonzero`, raises.

    Skips the test where torch can only pretend an accelerator that there is.
    """
    if torch.__version__ < (2, 10) and not torch.cuda.is_available():
        pytest.skip(f"torch {torch.__version__} reads no index of a pretended CUDA tensor without a GPU; 2.10 does")
    with FakeTensorMode(allow_non_fake_inputs=True):
        yield ACCELERATOR
