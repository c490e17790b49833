"""The environment of a record: code version, packages, device, settings. None of it changes the result."""

import functools
import platform
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch

from disbench.benchmarks.runtime.optional import module, output_of, package_version, system_lines

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
    """The commit of this code, with '+changes' where files differ from it; asked once a process.

    'installed' for an installed package, also inside another repository, and 'unknown' for a checkout of
    which git is absent or says nothing.
    """
    return version_in(Path(__file__).resolve().parents[1] / "__init__.py")  # of benchmarks/


def version_in(file: Path) -> str:
    """`code_version` of the disbench that `file`, two folders below its root, is a part of."""
    root = file.parents[1]
    if not (root / ".git").exists():  # of a worktree it is a file
        return "installed"
    if output_of(["git", "ls-files", "--error-unmatch", "--", str(file)], root) is None:
        return "unknown"
    return output_of(["git", "describe", "--always", "--dirty=+changes", "--abbrev=12"], root) or "unknown"


@functools.cache
def packages() -> dict[str, str]:
    return {name: package_version(name) for name in PACKAGES}


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

    Since `forget_peaks` on Linux, elsewhere since the process began. A system that does not tell has no 'resident'.
    """
    resident = _resident()
    found = {} if resident is None else {"resident": resident}
    if device.type == "cuda":
        found["cuda"] = torch.cuda.max_memory_allocated(device)
    return found


def _resident() -> int | None:
    for line in system_lines("/proc/self/status"):
        if line.startswith("VmHWM"):
            return int(line.split()[1]) * KIBIBYTE
    if (resource := module("resource")) is None:
        return None
    unit = 1 if sys.platform == "darwin" else KIBIBYTE
    return int(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss) * unit
