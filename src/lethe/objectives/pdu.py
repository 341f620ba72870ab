"""Primal-dual unlearning (Entesari et al., 2025, arXiv:2506.05314): forget while what is kept stays.

    L = E mean_t (max z_t - mean z_t)^2(f) + dual * E ell(r),    dual <- max(0, dual + rate * (E ell(r) - epsilon))

z_t are the logits at a position, which the first term makes equal: no token is preferred. `dual` is the multiplier of
the constraint E ell(r) <= epsilon; it is renewed after every step from that step's batch, once the warm-up is over.
`violation`, E ell(r) - epsilon, has no gradient: it says how `dual` moves.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from lethe import losses
from lethe.data.rows import Rows
from lethe.params.fields import NonNegative, Size

NEEDS = ("text",)
TERMS = {"forget": "forget", "retain": "retain", "violation": "retain"}
SPACE = {"dual": [10.0, 50.0, 100.0], "slack": {"low": 0.01, "high": 1.0, "log": True}}
CHUNK = 64  # texts in one pass


@dataclass(frozen=True)
class Hyper:
    dual: NonNegative = 50.0  # the multiplier at the start
    rate: NonNegative = 1.0  # step of the multiplier
    warmup: Size = 5  # epochs in which it stays
    epsilon: NonNegative | None = (
        None  # bound of ell(r), nats per token; null: `slack` above that of the original
    )
    slack: NonNegative = 0.1  # nats per token


def loss(hyper: Hyper, model, frozen, batch) -> dict[str, Tensor]:
    assert hyper.epsilon is not None, "`unlearn` fills it in"
    forget, logits = batch["forget"], losses.forward(model, batch["forget"]).float()
    spread = logits.amax(-1) - logits.mean(-1)
    retain = losses.example_loss(model, batch["retain"])
    return {
        "forget": forget.mean(spread.square()),
        "retain": hyper.dual * retain,
        "violation": retain.detach() - hyper.epsilon,
    }


def dual_after(hyper: Hyper, trace: list[dict]) -> Hyper:
    """The hyperparameters of the next step: the multiplier as the steps so far have left it."""
    dual = hyper.dual
    for row in trace:
        if row["epoch"] >= hyper.warmup:
            dual = max(0.0, dual + hyper.rate * row["violation"])
    return replace(hyper, dual=dual)


@torch.no_grad()
def mean_loss(model, rows: Rows) -> float:
    """Mean ell over the rows, nats per token."""
    device = next(model.parameters()).device
    parts = [rows[begin : begin + CHUNK].to(device) for begin in range(0, len(rows), CHUNK)]
    return torch.cat([losses.example_loss(model, part) for part in parts]).mean().item()


def unlearn(hyper: Hyper, run):
    if hyper.epsilon is None:
        original = mean_loss(run.original(), run.rows("retain"))
        hyper = replace(hyper, epsilon=original + hyper.slack)
    return run.minimise(loss, hyper, hyper_at=dual_after)
