"""Gradient difference: ascent on what is to be forgotten, descent on what is kept.

    L = -E ell(f) + retain * E ell(r)

Liu et al., 2022, arXiv:2203.12817 for generators; NegGrad+ of Kurmanji et al., 2023, arXiv:2302.09880 for
classifiers. Unbounded below in the first term.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from lethe import losses
from lethe.params.fields import NonNegative

NEEDS = ()
TERMS = {"forget": "forget", "retain": "retain"}
SPACE = {"retain": {"low": 0.1, "high": 10.0, "log": True}}


@dataclass(frozen=True)
class Hyper:
    retain: NonNegative = 1.0  # weight of the retain term


def loss(hyper: Hyper, model, frozen, batch) -> dict[str, Tensor]:
    return {
        "forget": -losses.example_loss(model, batch["forget"]),
        "retain": hyper.retain * losses.example_loss(model, batch["retain"]),
    }
