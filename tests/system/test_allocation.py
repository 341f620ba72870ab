"""Memory that was freed is used again, not cleared by the system each time."""

import os
import subprocess
import sys

import pytest

CHANGES = """
import resource
{first}
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
def use():
    block = bytearray(8 << 20)
    block[::4096] = b"1" * len(block[::4096])
use()
before = faults()
for _ in range(20):
    use()
print(faults() - before)
"""


def pages(first: str, **environment: str) -> int:
    """Pages that the system has lent while 8 MB were used and freed twenty times."""
    done = subprocess.run(
        [sys.executable, "-c", CHANGES.format(first=first)], capture_output=True, text=True, check=True,
        env=os.environ | environment,
    )  # fmt: skip
    return int(done.stdout)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="thresholds are glibc's")
def test_freed_memory_is_not_lent_anew():
    usual, kept = pages(""), pages("import lethe")
    assert kept < 500
    assert usual > 10 * max(kept, 1)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="thresholds are glibc's")
def test_what_the_environment_says_stays():
    assert pages("import lethe", MALLOC_MMAP_THRESHOLD_=str(1 << 20)) > 20 * (8 << 20) // 4096 // 2
