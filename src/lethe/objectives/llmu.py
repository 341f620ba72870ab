"""Ascent, a mismatched answer, and nearness to the frozen model (Yao et al., 2023, LLMU, arXiv:2310.10683).

    L = -forget * E ell(f) + mismatch * E ell(m) + kl * E KL(theta0 || theta)(r)

m is the beginning of f continued with the end of another, retained text; ell(m) is over that continuation only.
At theta = theta0 the KL is 0. Unbounded below in the first term.

The paper's prompts are questions and its random answers are drawn from normal data; here the prompt is the first
share `prefix` of f and the answers are the ends of its analogues, one per step and another one every epoch. The
ascent is on all of f, prompt included.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from lethe import losses
from lethe.params.fields import Fraction, NonNegative

NEEDS = ("text",)
TERMS = {"forget": "forget", "mismatch": "alternative", "kl": "retain"}
SPACE = {"mismatch": {"low": 0.1, "high": 10.0, "log": True}, "kl": {"low": 0.1, "high": 10.0, "log": True}}


@dataclass(frozen=True)
class Hyper:
    forget: NonNegative = 1.0  # weight of the ascent
    mismatch: NonNegative = 1.0  # weight of learning the mismatched continuation
    kl: NonNegative = 1.0  # weight of staying near the frozen model
    prefix: Fraction = 0.5  # share of a sequence that is its prompt


def loss(hyper: Hyper, model, frozen, batch) -> dict[str, Tensor]:
    return {
        "forget": -hyper.forget * losses.example_loss(model, batch["forget"]),
        "mismatch": hyper.mismatch * losses.example_loss(model, batch["alternative"]),
        "kl": hyper.kl * losses.kl_of(frozen, model, batch["retain"]),
    }


def unlearn(hyper: Hyper, run):
    return run.minimise(loss, hyper, frozen=run.original(), prefix=hyper.prefix)
