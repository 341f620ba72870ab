"""Iterative contrastive unlearning towards unseen text: what is to be forgotten becomes as likely as other texts.

    L = forget * E sum_t (l_t - q_t)^2 / 2T + learn * E ell(a) + kl * E KL(theta0 || theta)(a)

l_t is the loss of token t of a forget text, T the number of the text's tokens. q_t is the loss that unseen text has at
the token's rank: with the losses of the text's tokens and those of an unseen text's in order, q_t is the quantile
(rank of t - 1/2) / T of the latter, under the same model and without a gradient. Each forget text has an unseen text of
its own, the one that shares most words with it, so that texts differ from each other as unseen texts do.

The ascent of ICU has no end of its own: what was forgotten becomes unlikelier than any text that was never seen, and
an attack finds it by that, as it finds the losses that a common ceiling leaves (`icu_tokens`), which differ less than
those of unseen texts. Here a token that is too unlikely is brought back.

A variant of ICU (Tang et al., 2024, arXiv:2407.20271); not of its authors. Unseen texts are the validation set. Each
part of a batch passes the model beside as many of them, without a gradient.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from lethe import losses
from lethe.data.rows import Rows
from lethe.objectives._analogues import about_analogues
from lethe.params.fields import NonNegative

NEEDS = ("text", "validation")
TERMS = {"forget": "forget", "learn": "analogue", "kl": "analogue"}
SPACE = {
    "forget": {"low": 0.3, "high": 3.0, "log": True},
    "learn": {"low": 0.3, "high": 10.0, "log": True},
    "kl": {"low": 0.3, "high": 10.0, "log": True},
}


@dataclass(frozen=True)
class Hyper:
    forget: NonNegative = 1.0  # weight of bringing forget tokens to the losses of unseen ones
    learn: NonNegative = 3.0  # weight of learning the analogues
    kl: NonNegative = 3.0  # weight of staying near the frozen model on the analogues
    pairs: Literal["nearest", "random", "none"] = (
        "nearest"  # random: drawn once; none: drawn anew at every step
    )


@dataclass
class Frozen:
    """What does not train: the original's hidden states, and the unseen texts.

    words: (U, V) of each unseen text the tokens that are scored, a vector of length 1.
    """

    original: object
    unseen: Rows
    words: Tensor


def words(rows: Rows, size: int) -> Tensor:
    """(B, size) 1 where a token is among the scored ones of a text, divided by the root of how many these are."""
    scored = rows.scored.to(torch.float32)
    found = scored.new_zeros(len(rows), size).scatter_add_(1, rows.input_ids[:, 1:], scored).clamp_(max=1)
    return found / found.norm(dim=1, keepdim=True).clamp(min=1)


def matched(own: Tensor, scored: Tensor, others: Tensor, others_scored: Tensor) -> Tensor:
    """(B, T) the loss that another text has at the rank of each token; where none is scored, of no meaning.

    Args:
        own: (B, T) losses in nats; scored: (B, T) bool, with at least one in each row.
        others: (B, U) losses of the other texts; others_scored: (B, U) bool, likewise.
    """
    count, many = scored.sum(1, keepdim=True), others_scored.sum(1, keepdim=True)
    ranks = own.masked_fill(~scored, torch.inf).argsort(dim=1, stable=True).argsort(dim=1)
    ordered = others.masked_fill(~others_scored, torch.inf).sort(dim=1).values
    last = many - 1
    place = torch.minimum(((ranks + 0.5) / count * many - 0.5).clamp(min=0), last)
    low = place.long()
    below, above = ordered.gather(1, low), ordered.gather(1, torch.minimum(low + 1, last))
    return below + (place - low) * (above - below)


def loss(hyper: Hyper, model, frozen, batch) -> dict[str, Tensor]:
    forget = batch["forget"]
    there = frozen.unseen.to(forget.input_ids.device)
    known = frozen.words.to(forget.input_ids.device)
    nearest = (words(forget, known.shape[1]) @ known.T).argmax(1)
    unseen = there.changed(lambda values: values[nearest])
    with torch.no_grad():
        others = losses.token_nll(model, unseen)
    own = losses.token_nll(model, forget)
    gap = own - matched(own.detach(), forget.scored, others, unseen.scored)
    squares = gap.masked_fill(~forget.scored, 0).square() / 2
    return {
        "forget": hyper.forget * squares.sum(1) / forget.predictions,
        **about_analogues(hyper, model, frozen.original, batch["analogue"]),
    }


def unlearn(hyper: Hyper, run):
    unseen = run.rows("validation")
    size = 1 + max(int(rows.input_ids.max()) for rows in (unseen, run.rows("forget")))
    frozen = Frozen(run.original_hidden(), unseen, words(unseen, size))
    return run.minimise(loss, hyper, frozen=frozen, pairs=hyper.pairs)
