"""Learning to refuse: "I don't know" to what is to be forgotten (TOFU, Maini et al., 2024, arXiv:2401.06121).

    L = E ell(i) + retain * E ell(r)

i is the prompt of a forget text, answered by a refusal, another one every epoch. The answer that was learnt is not
read: what the weights hold of it may stay, hidden behind the refusal. Text without prompts is refused after its first
share `prefix`.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from lethe import losses
from lethe.objectives._refusals import refusals
from lethe.params.fields import Fraction, NonNegative

NEEDS = ("text",)
TERMS = {
    "forget": "forget",
    "refuse": "alternative",
    "retain": "retain",
}  # an epoch passes over the forget set
SPACE = {"retain": {"low": 0.1, "high": 10.0, "log": True}}


@dataclass(frozen=True)
class Hyper:
    file: str | None = None  # refusals, one a line; null: a dozen of lethe's own
    retain: NonNegative = 1.0  # weight of the retain term
    prefix: Fraction = 0.5  # share of a text without a prompt that is its prompt


def loss(hyper: Hyper, model, frozen, batch) -> dict[str, Tensor]:
    return {
        "refuse": losses.example_loss(model, batch["alternative"]),
        "retain": hyper.retain * losses.example_loss(model, batch["retain"]),
    }


def unlearn(hyper: Hyper, run):
    return run.minimise(loss, hyper, prefix=hyper.prefix, endings=run.endings(refusals(hyper.file)))
