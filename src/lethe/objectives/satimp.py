"""Saturation and importance (Yang et al., ICML 2025, arXiv:2505.11953): ascent on tokens that are nearly known.

    L = -forget * E mean_t p_t^beta1 * (1 - p_t)^beta2 * (-log p_t)(f) + retain * E ell(r)

p_t is the probability of the true token, through which no gradient goes in the weight. beta1 spares what is forgotten
already (saturation), beta2 what could not be said otherwise (importance). At beta1 = beta2 = 0 it is gradient ascent.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from lethe import losses
from lethe.params.fields import NonNegative

NEEDS = ("text",)
TERMS = {"forget": "forget", "retain": "retain"}
SPACE = {
    "beta1": {"low": 1.0, "high": 10.0},
    "beta2": {"low": 0.1, "high": 3.0},
    "forget": {"low": 0.03, "high": 3.0, "log": True},
}


@dataclass(frozen=True)
class Hyper:
    beta1: NonNegative = 5.0  # power of the probability of the true token
    beta2: NonNegative = 1.0  # power of that of all others
    forget: NonNegative = 0.1  # weight of the forget term
    retain: NonNegative = 1.0  # weight of the retain term


def loss(hyper: Hyper, model, frozen, batch) -> dict[str, Tensor]:
    forget = batch["forget"]
    each = losses.token_nll(model, forget)
    probability = (-each).exp().detach()
    weight = probability**hyper.beta1 * (1 - probability) ** hyper.beta2
    return {
        "forget": -hyper.forget * (weight * each).sum(1) / forget.predictions,
        "retain": hyper.retain * losses.example_loss(model, batch["retain"]),
    }
