"""Unlearning by self-distillation on adjusted logits (Dong et al., 2024, arXiv:2402.10052).

    L = E CE(softmax(z_0 - beta * onehot(true token)), theta)(f)

z_0 are the frozen model's logits. The target keeps its opinion on every other token and lowers the true one, so
the loss is bounded below, by the entropy of the target, where theta gives just this distribution. No retained
text is read. The mean is over each sequence's own predicted tokens.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from lethe import losses
from lethe.params.fields import NonNegative

NEEDS = ("text",)
TERMS = {"forget": "forget"}
SPACE = {"beta": {"low": 1.0, "high": 30.0, "log": True}}


@dataclass(frozen=True)
class Hyper:
    beta: NonNegative = 10.0  # what is taken off the logit of the true token


def loss(hyper: Hyper, model, frozen, batch) -> dict[str, Tensor]:
    forget = batch["forget"]
    with torch.no_grad():
        target = losses.lowered(losses.forward(frozen, forget), forget, hyper.beta)
    return {"forget": losses.soft_nll(target, losses.forward(model, forget), forget)}


def unlearn(hyper: Hyper, run):
    return run.minimise(loss, hyper, frozen=run.original())
