"""Freed memory is kept for what comes next, not given back to the system at once.

glibc returns large arrays to the system when they are freed, which clears their pages before it lends them again: at
every step of a small model on a CPU, for 5 % to three quarters of its time, as machines go.
"""

from __future__ import annotations

import ctypes
import sys

MIB = 1 << 20
THRESHOLDS = {
    -3: 32 * MIB,
    -1: 256 * MIB,
    -2: 64 * MIB,
}  # M_MMAP_THRESHOLD, M_TRIM_THRESHOLD, M_TOP_PAD of malloc.h


def keep_freed_memory() -> None:
    """Raise glibc's thresholds for this process and its forks; nothing where the C library is another."""
    if not sys.platform.startswith("linux"):
        return
    change = getattr(ctypes.CDLL(None), "mallopt", None)
    if change:
        for parameter, size in THRESHOLDS.items():
            change(parameter, size)
