"""Refusals preferred to what was learnt (TOFU, Maini et al., 2024, arXiv:2401.06121; DPO, arXiv:2305.18290).

    L = 2/beta * E softplus(-beta * ((S(i) - S_0(i)) - (S(f) - S_0(f)))) + retain * E ell(r)

i is the prompt of f answered by a refusal, another one every epoch; S is the summed log-probability of an answer, S_0
that of the frozen model. At theta = theta0 the first term is 2 log(2) / beta.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from lethe import losses
from lethe.objectives._refusals import refusals
from lethe.objectives.dpo import preference
from lethe.params.fields import Fraction, NonNegative, Positive

NEEDS = ("text",)
TERMS = {"preference": "forget", "refuse": "alternative", "retain": "retain"}
SPACE = {"beta": {"low": 0.01, "high": 1.0, "log": True}, "retain": {"low": 0.1, "high": 10.0, "log": True}}


@dataclass(frozen=True)
class Hyper:
    beta: Positive = 0.1  # inverse temperature, 1/nat
    retain: NonNegative = 1.0  # weight of the retain term
    file: str | None = None  # refusals, one a line; null: a dozen of lethe's own
    prefix: Fraction = 0.5  # share of a text without a prompt that is its prompt


def loss(hyper: Hyper, model, frozen, batch) -> dict[str, Tensor]:
    return {
        "preference": 2 / hyper.beta * preference(hyper.beta, model, frozen, batch)[0],
        "retain": hyper.retain * losses.example_loss(model, batch["retain"]),
    }


def unlearn(hyper: Hyper, run):
    endings = run.endings(refusals(hyper.file))
    return run.minimise(loss, hyper, frozen=run.original(), prefix=hyper.prefix, endings=endings)
