"""Keep freed memory in the process instead of returning it to the kernel each time.

By default glibc maps every large array anew and unmaps it when it is freed, and a training step on a CPU takes the same ones
again: thousands of page faults a step, a fifth of its time. glibc's mallopt(3) changes that for the process that calls it;
environment variables (MALLOC_TRIM_THRESHOLD_ and its like) would do the same but are read only when a process starts.

The price is memory that is not given back: the process's size stays at its peak and up to 256 MiB more.
"""

import ctypes
import os
import platform

# Names and numbers of mallopt(3), from malloc.h.
M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX = -1, -2, -4
SETTINGS = {
    M_MMAP_MAX: 0,  # large arrays come from the heap like small ones, where freed memory is used again
    M_TRIM_THRESHOLD: 2**31 - 1,  # free memory at the heap's end that goes back to the kernel
    M_TOP_PAD: 2**28,  # the heap grows by so much at once
}
VARIABLES = (
    "MALLOC_MMAP_MAX_",
    "MALLOC_MMAP_THRESHOLD_",
    "MALLOC_TRIM_THRESHOLD_",
    "MALLOC_TOP_PAD_",
    "GLIBC_TUNABLES",
)


def keep_memory() -> bool:
    """Set it for this process, and say whether it is set now: not without glibc, nor over settings that the user made."""
    if platform.libc_ver()[0] != "glibc" or any(name in os.environ for name in VARIABLES):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    return mallopt is not None and all(mallopt(setting, value) == 1 for setting, value in SETTINGS.items())
