"""Cross-entropy unlearning (Yang, 2025, arXiv:2503.01224): the model's own distribution without the true token.

    L = E CE(softmax(z without the true token's logit), theta)(f)

z are the model's logits, through which no gradient goes in the target. The target renormalises what the model says of
all other tokens, so that the loss is bounded below; the gradient on the true token's logit is its probability. The
first scored token is left out, as nothing of the answer comes before it; a text of which no other is scored keeps it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from lethe import losses
from lethe.data.rows import Rows

NEEDS = ("text",)
TERMS = {"forget": "forget"}


@dataclass(frozen=True)
class Hyper:
    pass


def without_first(rows: Rows) -> Rows:
    """The rows, their first scored token taken for a part of the prompt."""
    starts = torch.ones_like(rows.lengths) if rows.starts is None else rows.starts
    return replace(rows, starts=torch.minimum(starts + 1, rows.lengths - 1))


def loss(hyper: Hyper, model, frozen, batch) -> dict[str, Tensor]:
    forget = without_first(batch["forget"])
    logits = losses.forward(model, forget)
    target = losses.lowered(logits.detach(), forget, float("inf"))
    return {"forget": losses.soft_nll(target, logits, forget)}
