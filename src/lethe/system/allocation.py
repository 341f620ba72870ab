"""Freed memory is kept for what comes next, not given back to the system at once.

glibc returns large arrays to the system when they are freed, which clears their pages before it lends them again: at
every step of a small model on a CPU, for 5 % to three quarters of its time, as machines go.
"""

from __future__ import annotations

import ctypes
import os
import sys

MIB = 1 << 20
# name -> its number in malloc.h, bytes
THRESHOLDS = {"MMAP_THRESHOLD": (-3, 32 * MIB), "TRIM_THRESHOLD": (-1, 256 * MIB), "TOP_PAD": (-2, 64 * MIB)}


def keep_freed_memory() -> None:
    """Raise glibc's thresholds for this process and its forks; nothing where the C library is another.

    What the environment says (MALLOC_TRIM_THRESHOLD_ and so on) stays.
    """
    if not sys.platform.startswith("linux"):
        return
    change = getattr(ctypes.CDLL(None), "mallopt", None)
    if change:
        for name, (number, size) in THRESHOLDS.items():
            if f"MALLOC_{name}_" not in os.environ:
                change(number, size)
