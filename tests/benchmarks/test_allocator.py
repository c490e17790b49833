"""With the allocator's settings a process gets its arrays from memory that it has, and takes no page faults for them."""

import os
import platform
import subprocess
import sys

import pytest

from disbench.benchmarks.runtime import allocator
from disbench.benchmarks.runtime.allocator import VARIABLES, keep_memory

CHURN = """
import resource, runpy, sys
import numpy as np
keep_memory = runpy.run_path(sys.argv[2])["keep_memory"]  # the module alone, not all of disbench
print(keep_memory() if sys.argv[1] == "keep" else False)
arrays = lambda: [np.ones(1_250_000) for _ in range(40)]
arrays()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(4):
    arrays()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""

pytestmark = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="mallopt is glibc's")


def churn(word: str, **variables: str) -> tuple[str, int]:
    """What `keep_memory` said in a process of its own, and page faults of arrays made four times over, 400 MB each time."""
    clean = {key: value for key, value in os.environ.items() if key not in VARIABLES}
    command = [sys.executable, "-c", CHURN, word, allocator.__file__]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env={**clean, **variables})
    said, faults = done.stdout.split()
    return said, int(faults)


def test_arrays_that_are_made_again_take_no_page_faults() -> None:
    _, by_default = churn("leave")
    said, kept = churn("keep")
    assert said == "True"
    assert by_default > 10_000
    assert kept < by_default / 20


@pytest.mark.parametrize("name", VARIABLES)
def test_settings_of_the_user_stay(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in VARIABLES:
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv(name, "1000")
    assert keep_memory() is False
