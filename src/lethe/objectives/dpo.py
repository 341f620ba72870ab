"""Direct preference optimisation (Rafailov et al., NeurIPS 2023, arXiv:2305.18290), used to forget.

    L = E softplus(-beta * ((S(m) - S_0(m)) - (S(f) - S_0(f)))) + learn * E ell(m)

The true continuation of a forget sequence's prompt, f, is dispreferred to another one, m; S is the summed
log-probability of a continuation, S_0 that of the frozen model. Bounded below by 0; at theta = theta0 the first
term is log 2. `learn` is 0 in the source: a preference alone may lower both continuations.

The source's preferred answers come from people, in unlearning (TOFU, arXiv:2401.06121) they are refusals; here the
prompt is the first share `prefix` of f and the preferred continuation the end of one of its analogues, another one
every epoch.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn.functional import softplus

from lethe import losses
from lethe.params.fields import Fraction, NonNegative, Positive

NEEDS = ("text",)
TERMS = {"preference": "forget", "learn": "alternative"}
SPACE = {"beta": {"low": 0.01, "high": 1.0, "log": True}, "learn": [0.0, 0.5, 1.0]}


@dataclass(frozen=True)
class Hyper:
    beta: Positive = 0.1  # inverse temperature, 1/nat
    learn: NonNegative = 0.0  # weight of learning the preferred continuation as well
    prefix: Fraction = 0.5  # share of a sequence that is its prompt


def preference(beta: float, model, frozen, batch) -> tuple[Tensor, Tensor]:
    """(B,) softplus(-beta * (better - worse)) of the alternatives beside the forget rows, and the former's losses."""
    preferred = batch["alternative"]
    dispreferred = replace(batch["forget"], starts=preferred.starts)  # row by row the same prompt
    with torch.no_grad():
        before = [losses.sequence_log_probability(frozen, rows) for rows in (preferred, dispreferred)]
    each = losses.token_nll(model, preferred).sum(1)
    better = -each - before[0]
    worse = losses.sequence_log_probability(model, dispreferred) - before[1]
    return softplus(-beta * (better - worse)), each / preferred.predictions


def loss(hyper: Hyper, model, frozen, batch) -> dict[str, Tensor]:
    value, ell = preference(hyper.beta, model, frozen, batch)
    terms = {"preference": value}
    if hyper.learn:
        terms["learn"] = hyper.learn * ell
    return terms


def unlearn(hyper: Hyper, run):
    return run.minimise(loss, hyper, frozen=run.original(), prefix=hyper.prefix)
