"""Unlearning from logit difference (Ji et al., NeurIPS 2024, arXiv:2406.08607).

    z = z_0 - alpha * z_a,    L(a) = E ell(f) + uniform * E CE(1/V, a)(r)

z_0 are the logits of the original, which stays as it is, z_a those of an assistant that is trained by L: it knows
what is to be forgotten, and says of what is kept that all V tokens are as likely, which takes nothing away. The
paper's assistant has the first layers of the original; here it begins as all of it. At alpha 0 it is the original.

The run's model is composed of both (`lethe.models.composed`), so that weights are unchanged: whoever has the files
has the original, and a second place where the forgotten texts are.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from lethe import losses
from lethe.models.composed import Composed, Difference
from lethe.params.fields import NonNegative

NEEDS = ("text",)
TERMS = {"learn": "forget", "uniform": "retain"}
RESULT = "composed"  # of the original and what is trained: no epoch's model is it
SPACE = {"alpha": {"low": 0.1, "high": 2.0}, "uniform": {"low": 0.1, "high": 10.0, "log": True}}


@dataclass(frozen=True)
class Hyper:
    alpha: NonNegative = 1.0  # weight of the assistant's logits
    uniform: NonNegative = 1.0  # weight of knowing nothing of what is kept


def loss(hyper: Hyper, model, frozen, batch) -> dict[str, Tensor]:
    retain = batch["retain"]
    log_p = losses.forward(model, retain).float().log_softmax(-1)
    return {
        "learn": losses.example_loss(model, batch["forget"]),
        "uniform": hyper.uniform * retain.mean(-log_p.mean(-1)),
    }


def unlearn(hyper: Hyper, run):
    assistant = run.minimise(loss, hyper)
    return Composed({"original": run.original(), "assistant": assistant}, Difference(hyper.alpha))
