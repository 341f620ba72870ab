"""Negative preference optimisation (Zhang et al., 2024, arXiv:2404.05868).

    L = 2/beta * E softplus(beta * (S(f) - S_0(f))) + retain * E ell(r)

S is the summed token log-probability, S_0 that of the frozen model. Bounded below, unlike gradient ascent,
which it becomes as beta -> 0. At theta = theta0 the first term is 2 log(2) / beta.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import softplus

from lethe import losses
from lethe.params.fields import NonNegative, Positive

NEEDS = ("text",)
TERMS = {"forget": "forget", "retain": "retain"}
SPACE = {"beta": {"low": 0.01, "high": 1.0, "log": True}, "retain": {"low": 0.1, "high": 10.0, "log": True}}


@dataclass(frozen=True)
class Hyper:
    beta: Positive = 0.1  # inverse temperature, 1/nat
    retain: NonNegative = 1.0  # weight of the retain term


def loss(hyper: Hyper, model, frozen, batch) -> dict[str, Tensor]:
    with torch.no_grad():
        before = losses.sequence_log_probability(frozen, batch["forget"])
    change = losses.sequence_log_probability(model, batch["forget"]) - before
    return {
        "forget": 2 / hyper.beta * softplus(hyper.beta * change),
        "retain": hyper.retain * losses.example_loss(model, batch["retain"]),
    }


def unlearn(hyper: Hyper, run):
    return run.minimise(loss, hyper, frozen=run.original())
