"""Weighted gradient ascent (Wang et al., ICLR 2025, arXiv:2502.19301).

    L = -E mean_t p_t^beta * (-log p_t)(f) + retain * E ell(r)

p_t is the probability of the true token, through which no gradient goes in the weight. Ascent pushes hardest on tokens
that are forgotten already; the weight takes that away. At beta 0 it is gradient ascent.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from lethe import losses
from lethe.params.fields import NonNegative

NEEDS = ("text",)
TERMS = {"forget": "forget", "retain": "retain"}
SPACE = {"beta": {"low": 0.1, "high": 10.0, "log": True}, "retain": {"low": 0.1, "high": 10.0, "log": True}}


@dataclass(frozen=True)
class Hyper:
    beta: NonNegative = 1.0  # the larger, the less is left of tokens that are improbable already
    retain: NonNegative = 1.0  # weight of the retain term


def loss(hyper: Hyper, model, frozen, batch) -> dict[str, Tensor]:
    forget = batch["forget"]
    each = losses.token_nll(model, forget)
    weight = (-hyper.beta * each).exp().detach()
    return {
        "forget": -(weight * each).sum(1) / forget.predictions,
        "retain": hyper.retain * losses.example_loss(model, batch["retain"]),
    }
