"""Sums on a CPU in one order, wherever in memory their arrays lie and whichever processor with AVX2 computes."""

from __future__ import annotations

import os
from pathlib import Path

PROCESSORS = Path("/proc/cpuinfo")


def add_in_one_order() -> None:
    """Let MKL and torch compute by AVX2, unless the environment says otherwise; both read that at their first sum.

    Without it, MKL's last bits depend on addresses, and torch's on whether a processor has AVX-512, whose registers
    hold 16 numbers in place of 8. A model that memorises is trained far from where rounding errors die out: its
    losses then differ in the second digit.
    """
    os.environ.setdefault("MKL_CBWR", "AVX2,STRICT")
    if has_wider_registers():
        os.environ.setdefault("ATEN_CPU_CAPABILITY", "avx2")


def has_wider_registers() -> bool:
    """Has a processor AVX-512, as far as Linux says?"""
    try:
        return "avx512f" in PROCESSORS.read_text()
    except OSError:
        return False
