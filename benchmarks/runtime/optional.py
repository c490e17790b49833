"""Optional programs and packages, with replacements if they are missing. No other module may call system programs.

    git                      the version of the code in records; without it 'installed', or 'unknown' in a checkout
    /proc/self, resource     the peak of memory in records; without both it is left out
    /proc/cpuinfo            the processor's name in studies; without it Python's word for it
    mallopt of glibc         fewer page faults in training (see `allocator`)
    SIGUSR1, SIGUSR2         signals of schedulers that wait for a step's end
    metadata of packages     their versions in records; without it 'unknown'
    sbatch                   only for --engine slurm, which is refused without it
    torch and what trains    only for methods, training and datasets: `disbench.datasets.wording` says what to install

Linux and macOS are supported; the command refuses Windows in one line.
"""

import importlib
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import ModuleType

PATIENCE = 10.0  # seconds that a program may take


def output_of(words: Sequence[str], folder: Path, *, patience: float = PATIENCE) -> str | None:
    """What a program prints, run in `folder`; None where there is no such program, it fails, or it takes too long.

    Variables that git reads to find another repository than the folder's are left out.
    """
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    try:
        process = subprocess.Popen(
            words,
            cwd=folder,
            env={**environment, "LC_ALL": "C", "GIT_OPTIONAL_LOCKS": "0"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    except (OSError, ValueError):
        return None
    with process:
        try:
            output, _ = process.communicate(timeout=patience)
        except subprocess.TimeoutExpired:
            with suppress(OSError):  # with whatever it started, which would hold the pipe open
                os.killpg(process.pid, signal.SIGKILL)
            return None
    return output.decode(errors="replace").strip() if process.returncode == 0 else None


def module(name: str) -> ModuleType | None:
    """A module of the standard library that not every system has."""
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


def signals(*names: str) -> tuple[signal.Signals, ...]:
    """Those of the named signals that this system has."""
    return tuple(signal.Signals[name] for name in names if name in signal.Signals.__members__)


def system_lines(path: str) -> list[str]:
    """The lines of a file of the system's, such as /proc/cpuinfo; none where it cannot be read."""
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []


def package_version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "unknown"


def unsupported_system() -> str | None:
    """Why the command does not start here; None where it does."""
    if sys.platform == "win32":
        return "disbench runs on Linux and macOS. On Windows, use it in the Windows Subsystem for Linux (WSL)."
    return None
