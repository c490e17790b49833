"""Where a record was made: code version, packages, device. Part of the record, not of what decides the result."""

import platform
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

PACKAGES = ("disbench", "torch", "pytorch-lightning", "numpy", "scipy", "scikit-learn")


def code_version() -> str:
    """The checkout's commit, with '+changes' where files differ from it; 'installed' outside a checkout."""
    here = Path(__file__).resolve().parent
    described = subprocess.run(
        ["git", "describe", "--always", "--dirty=+changes", "--abbrev=12"],
        cwd=here,
        capture_output=True,
        text=True,
        check=False,
    )
    return described.stdout.strip() or "installed"


def environment(device: torch.device) -> dict[str, Any]:
    """Versions, device and threads."""
    return {
        "code": code_version(),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        "threads": torch.get_num_threads(),
        **{name: version(name) for name in PACKAGES},
    }
