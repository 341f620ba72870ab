"""Seals: what made each output, in results/provenance/STAGE.json, in git beside the digests of what was made."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import TypeAdapter
from pydantic.dataclasses import dataclass

SEALS = Path("results/provenance")


@dataclass(frozen=True)
class Seal:
    """How one job made its outputs.

    Attributes:
        rule: name of its rule.
        cfg: its parameters.
        sources: file of code or data, or folder -> the first 16 digits of its digest.
        others: further parameters of its rule as Snakemake records them, which say where files lie.
        inputs: output of another job -> `sha256:…`, or None for a folder, for which another input is the pin.
        outputs: file or folder -> digest.
    """

    rule: str
    cfg: dict[str, Any]
    sources: dict[str, str]
    others: list[str]
    inputs: dict[str, str | None]
    outputs: dict[str, str]


Seals = dict[str, Seal]  # address -> seal
SHAPE = TypeAdapter(Seals)
