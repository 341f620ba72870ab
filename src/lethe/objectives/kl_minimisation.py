"""Gradient ascent that stays near the frozen model on what is kept (Maini et al., 2024, TOFU, arXiv:2401.06121).

    L = -E ell(f) + kl * E KL(theta0 || theta)(r)

At theta = theta0 the second term and its gradient are 0. Unbounded below in the first term. The frozen model runs
on every retain batch: its distributions are not kept, as a retained text is rarely seen twice.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from lethe import losses
from lethe.params.fields import NonNegative

NEEDS = ("text",)
TERMS = {"forget": "forget", "kl": "retain"}
SPACE = {"kl": {"low": 0.1, "high": 10.0, "log": True}}


@dataclass(frozen=True)
class Hyper:
    kl: NonNegative = 1.0  # weight of staying near the frozen model


def loss(hyper: Hyper, model, frozen, batch) -> dict[str, Tensor]:
    return {
        "forget": -losses.example_loss(model, batch["forget"]),
        "kl": hyper.kl * losses.kl_of(frozen, model, batch["retain"]),
    }


def unlearn(hyper: Hyper, run):
    return run.minimise(loss, hyper, frozen=run.original())
