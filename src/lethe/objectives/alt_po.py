"""Alternative answers preferred to what was learnt (Mekala et al., COLING 2025, AltPO, arXiv:2409.13474).

    L = 2/beta * E softplus(-beta * ((S(a) - S_0(a)) - (S(f) - S_0(f)))) + retain * E ell(r)

a is the prompt of f with another plausible answer, from the column `dataset.alternatives`, another one every epoch; S
is the summed log-probability of an answer, S_0 that of the frozen model. At theta = theta0 the first term is
2 log(2) / beta. A study without the column is refused.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from lethe import losses
from lethe.objectives.dpo import preference
from lethe.params.fields import NonNegative, Positive

NEEDS = ("text", "alternatives")
TERMS = {"preference": "forget", "learn": "alternative", "retain": "retain"}
SPACE = {"beta": {"low": 0.01, "high": 1.0, "log": True}, "retain": {"low": 0.1, "high": 10.0, "log": True}}


@dataclass(frozen=True)
class Hyper:
    beta: Positive = 0.1  # inverse temperature, 1/nat
    retain: NonNegative = 1.0  # weight of the retain term


def loss(hyper: Hyper, model, frozen, batch) -> dict[str, Tensor]:
    return {
        "preference": 2 / hyper.beta * preference(hyper.beta, model, frozen, batch)[0],
        "retain": hyper.retain * losses.example_loss(model, batch["retain"]),
    }


def unlearn(hyper: Hyper, run):
    endings = run.endings()
    return run.minimise(loss, hyper, frozen=run.original(), prefix=0.5, endings=endings)
