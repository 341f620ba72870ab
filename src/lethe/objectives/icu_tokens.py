"""Iterative contrastive unlearning in which single tokens rest, in place of whole texts.

    L = -forget * E sum_t [l_t < q_t] l_t / T + learn * E ell(a) + kl * E KL(theta0 || theta)(a)

l_t is the loss of token t of a forget text under the model as it is, T the number of the text's tokens. A token rests
once it is as unlikely as unseen text makes a token of its rank: with the text's tokens ordered by their losses, q_t is
the quantile (rank of t - 1/2) / T of the losses of all tokens of unseen texts under the same model. No token is raised
beyond: unseen text has easy tokens and hard ones, and so has a forget text afterwards. The quantiles follow the model,
so that a token that becomes likely again is raised again.

A variant of ICU (Tang et al., 2024, arXiv:2407.20271), whose refinement lets whole texts rest; not of its authors.
Unseen texts are the first of the validation set; each part of a batch passes the model beside them, once more and
without a gradient.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor

from lethe import losses
from lethe.data.rows import Rows
from lethe.objectives._analogues import about_analogues
from lethe.params.fields import Count, NonNegative

NEEDS = ("text", "validation")
TERMS = {"forget": "forget", "learn": "analogue", "kl": "analogue"}
SPACE = {"learn": {"low": 0.1, "high": 10.0, "log": True}, "kl": {"low": 0.1, "high": 10.0, "log": True}}


@dataclass(frozen=True)
class Hyper:
    forget: NonNegative = 1.0  # weight of the ascent on forget tokens
    learn: NonNegative = 0.5  # weight of learning the analogues
    kl: NonNegative = 1.0  # weight of staying near the frozen model on the analogues
    unseen: Count = 32  # unseen texts whose losses are the quantiles, at most
    pairs: Literal["nearest", "random", "none"] = (
        "nearest"  # random: drawn once; none: drawn anew at every step
    )


@dataclass
class Frozen:
    """What does not train: the original's hidden states, and the unseen texts."""

    original: object
    unseen: Rows
    places: Tensor = field(
        init=False
    )  # (U,) of the unseen tokens that are predicted, in the texts one after another

    def __post_init__(self) -> None:
        # Found once, where the rows are read: on a GPU, to look for them is to wait.
        self.places = self.unseen.scored.flatten().nonzero().squeeze(1)


def awake(token_losses: Tensor, scored: Tensor, unseen: Tensor) -> Tensor:
    """(B, T) bool, the tokens that are likelier than unseen text has them at their rank.

    Args:
        token_losses: (B, T) in nats; scored: (B, T) bool, with at least one in each row.
        unseen: (U,) losses of the tokens of unseen texts, sorted.
    """
    ranked = token_losses.masked_fill(~scored, torch.inf).argsort(dim=1, stable=True).argsort(dim=1)
    share = (ranked + 0.5) / scored.sum(1, keepdim=True)
    place = (share * len(unseen)).long().clamp(max=len(unseen) - 1)
    return (token_losses < unseen[place]) & scored


def loss(hyper: Hyper, model, frozen, batch) -> dict[str, Tensor]:
    forget = batch["forget"]
    with torch.no_grad():
        there = frozen.unseen.to(forget.input_ids.device)
        token_losses = losses.token_nll(model, there)
        unseen = token_losses.flatten()[frozen.places.to(token_losses.device)].sort().values
    each = losses.token_nll(model, forget)
    raised = each * awake(each.detach(), forget.scored, unseen)
    return {
        "forget": -hyper.forget * raised.sum(1) / forget.predictions,
        **about_analogues(hyper, model, frozen.original, batch["analogue"]),
    }


def unlearn(hyper: Hyper, run):
    frozen = Frozen(run.original_hidden(), run.rows("validation")[: hyper.unseen])
    return run.minimise(loss, hyper, frozen=frozen, pairs=hyper.pairs)
