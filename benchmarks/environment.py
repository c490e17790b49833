"""Where a record was made: code version, packages, device, what was asked of it. None of it decides the result."""

import functools
import platform
import resource
import subprocess
import sys
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

PACKAGES = (
    "disbench",
    "torch",
    "torchvision",
    "torchmetrics",
    "pytorch-lightning",
    "numpy",
    "scipy",
    "scikit-learn",
)
KIBIBYTE = 1024


@functools.cache
def code_version() -> str:
    """The checkout's commit, with '+changes' where files differ from it; 'installed' outside a checkout. Asked once a process."""
    here = Path(__file__).resolve().parent
    described = subprocess.run(
        ["git", "describe", "--always", "--dirty=+changes", "--abbrev=12"],
        cwd=here,
        capture_output=True,
        text=True,
        check=False,
    )
    return described.stdout.strip() or "installed"


@functools.cache
def packages() -> dict[str, str]:
    return {name: version(name) for name in PACKAGES}


def environment(device: torch.device) -> dict[str, Any]:
    """Versions, device, threads, and the switches that make torch's sums repeatable or fast."""
    return {
        "code": code_version(),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        "threads": torch.get_num_threads(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "cudnn_benchmark": torch.backends.cudnn.benchmark,
        "float32_matmul_precision": torch.get_float32_matmul_precision(),
        "cudnn_tf32": torch.backends.cudnn.allow_tf32,
        **packages(),
    }


def forget_peaks() -> None:
    """Count peaks of memory from here on, so that one trial's is not another's of the same process."""
    with suppress(OSError):  # Linux alone has it
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    if torch.cuda.is_initialized():
        torch.cuda.reset_peak_memory_stats()


def peaks(device: torch.device) -> dict[str, int]:
    """Bytes: 'resident', the largest resident set of this process, and 'cuda', the most that tensors took of `device`.

    Since `forget_peaks` on Linux, elsewhere since the process began.
    """
    found = {"resident": _resident()}
    if device.type == "cuda":
        found["cuda"] = torch.cuda.max_memory_allocated(device)
    return found


def _resident() -> int:
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines()
        return next(int(line.split()[1]) * KIBIBYTE for line in lines if line.startswith("VmHWM"))
    except (OSError, StopIteration):
        unit = 1 if sys.platform == "darwin" else KIBIBYTE
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
