"""Knowledge gap alignment (Wang et al., ACL 2023, arXiv:2305.06535).

    L = | E KL(theta_f || theta)(f) - gap | + retain * E KL(theta0 || theta)(r)
    gap = E KL(theta0 || theta_n)(n)

theta_n was trained on new examples n, which theta0 never saw, theta_f on the forget set alone; both like the original,
from the same base by the same recipe. What theta0 knows less about n than a model that learnt it, theta shall know less
about the forget set: |...| is the difference of these two gaps. Bounded below by 0.

The new examples are those of the validation split; no gradient comes from them. Their gap is computed once over all of
them (in the authors' code: over a batch of each step), and KL sums over the classes (there: the mean). The authors'
code weighs the retain term by 0.9, which its log gives as 0.1, and passes over ten retain batches in a step. What the
training of the two models costs is part of the run's cost.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from lethe import losses
from lethe.data.rows import Rows
from lethe.params.fields import NonNegative

NEEDS = ("classes", "base", "validation")
TERMS = {"align": "forget", "retain": "retain"}
SPACE = {"retain": {"low": 0.1, "high": 10.0, "log": True}}
CHUNK = 64  # new examples in one pass


@dataclass(frozen=True)
class Hyper:
    retain: NonNegative = 1.0  # weight of following the original model on retained examples


class Frozen(NamedTuple):
    """The original model, the one that knows the forget set alone, and the gap in nats."""

    original: torch.nn.Module
    forgotten: torch.nn.Module
    gap: float


@torch.no_grad()
def knowledge_gap(original, new, rows: Rows) -> float:
    """Mean KL(original || new) over the rows."""
    device = next(original.parameters()).device
    parts = [rows[begin : begin + CHUNK].to(device) for begin in range(0, len(rows), CHUNK)]
    values = [losses.kl_of(original, new, part) for part in parts]
    return torch.cat(values).mean().item()


def loss(hyper: Hyper, model, frozen: Frozen, batch) -> dict[str, Tensor]:
    divergence = losses.kl_of(frozen.forgotten, model, batch["forget"]).mean()
    return {
        "align": (divergence - frozen.gap).abs(),
        "retain": hyper.retain * losses.kl_of(frozen.original, model, batch["retain"]),
    }


def unlearn(hyper: Hyper, run):
    """Train both models, take their gap, and align; the difference is of means over a batch, which is not cut."""
    original, unseen = run.original(), run.rows("validation")
    forgotten = run.fit("forgotten", run.base(), run.rows("forget"), run.finetune)
    new = run.fit("new", run.base(), unseen, run.finetune)
    frozen = Frozen(original, forgotten, knowledge_gap(original, new, unseen))
    return run.minimise(loss, hyper, frozen=frozen, whole_batch=True)
