"""Simple negative preference optimisation (Fan et al., 2024, arXiv:2410.07163).

    L = forget * 2/beta * E softplus(-beta * (ell(f) - delta)) + retain * E ell(r)

NPO without a frozen model, on the mean instead of the summed log-probability, so that long sequences weigh as much
as short ones. Bounded below. A sequence whose ell is far above delta has no gradient left; where ell = delta the
first term is forget * 2 log(2) / beta. The paper's reward margin is gamma = beta * delta.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor
from torch.nn.functional import softplus

from lethe import losses
from lethe.params.fields import NonNegative, Positive

NEEDS = ("text",)
TERMS = {"forget": "forget", "retain": "retain"}
SPACE = {
    "beta": {"low": 0.5, "high": 10.0, "log": True},
    "delta": [0.0, 1.0, 2.0],
    "forget": {"low": 0.03, "high": 3.0, "log": True},
}


@dataclass(frozen=True)
class Hyper:
    beta: Positive = 4.5  # inverse temperature, 1/nat
    delta: NonNegative = 0.0  # ell, in nats per token, from which on a sequence is let go
    forget: NonNegative = 0.125  # weight of the forget term
    retain: NonNegative = 1.0  # weight of the retain term


def loss(hyper: Hyper, model, frozen, batch) -> dict[str, Tensor]:
    above = losses.example_loss(model, batch["forget"]) - hyper.delta
    return {
        "forget": hyper.forget * 2 / hyper.beta * softplus(-hyper.beta * above),
        "retain": hyper.retain * losses.example_loss(model, batch["retain"]),
    }
