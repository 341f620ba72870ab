"""SCRUB: a student that disobeys its teacher on what is to be forgotten (Kurmanji et al., 2023, arXiv:2302.09880).

    L = -E KL_t(theta0 || theta)(f)                                      in epochs 1, 3, … (`ascents` of them)
    L = kl * E KL_t(theta0 || theta)(r) + retain * E ell(r)              in all others

KL_t is the divergence at temperature t, times t^2. The ascents alternate with epochs that repair what they harm;
more of these follow. Unbounded below in the ascents. Weights and temperature are those of the authors' code.

An epoch of either kind has as many steps as a pass over the forget set takes (in the paper those on retained data
are passes over all of it); `batch.retain` says how many retained examples each step sees. Rewinding to an earlier
epoch by the error on unseen data, optional in the paper, is left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from lethe import losses
from lethe.data.rows import Rows
from lethe.params.fields import NonNegative, Positive, Size

NEEDS = ("classes",)
TERMS = {"forget": "forget", "kl": "retain", "retain": "retain"}
SPACE = {"ascents": [1, 2, 3], "kl": {"low": 0.001, "high": 1.0, "log": True}}


@dataclass(frozen=True)
class Hyper:
    ascents: Size = 2  # epochs on forget examples
    kl: NonNegative = 0.001  # weight of the divergence on retained examples
    retain: NonNegative = 0.99  # weight of the cross-entropy on retained examples
    temperature: Positive = 4.0  # of both divergences


def roles_of(hyper: Hyper, epoch: int) -> tuple[str, ...]:
    """What is trained on in an epoch, counted from 0."""
    return ("forget",) if epoch % 2 == 0 and epoch // 2 < hyper.ascents else ("retain",)


def divergence(frozen, logits: Tensor, rows: Rows, temperature: float) -> Tensor:
    """(B,) KL of the frozen model to the logits, both at a temperature, times its square."""
    with torch.no_grad():
        before = losses.forward(frozen, rows)
    return temperature**2 * losses.kl(before / temperature, logits / temperature, rows)


def loss(hyper: Hyper, model, frozen, batch) -> dict[str, Tensor]:
    logits = {role: losses.forward(model, rows) for role, rows in batch.items()}
    terms = {}
    if "forget" in batch:
        terms["forget"] = -divergence(frozen, logits["forget"], batch["forget"], hyper.temperature)
    if "retain" in batch:
        terms["kl"] = hyper.kl * divergence(frozen, logits["retain"], batch["retain"], hyper.temperature)
        terms["retain"] = hyper.retain * losses.nll(logits["retain"], batch["retain"])
    return terms


def unlearn(hyper: Hyper, run):
    return run.minimise(loss, hyper, frozen=run.original(), roles=partial(roles_of, hyper))
