"""Iterative contrastive unlearning as its authors run it (Tang et al., 2024, arXiv:2407.20271).

    L = -forget * E ell(f) + learn * E ell(a) + kl * E H(theta0, theta)(a)

H is the cross-entropy to the frozen model's distribution, -sum_v p_0(v) log(p(v) + 1e-12), the mean over all positions
of a sequence, the last one included. Its gradient is that of a KL, but for the last position; at theta = theta0 it is
the frozen model's entropy.

Batches are drawn over all pairs, and a pair that rests leaves its batch smaller. A pair rests when its continuation, by
beams of 2 from the first half of the last 100 tokens, has a BLEU of words below 0.01, or a BERTScore below 0.3 where an
`encoder` is given: a BERTScore that is not rescaled hardly falls below that.

To be given beside the method: `training: {learning_rate: 5.0e-6, optimizer: adam, beta2: 0.98, batch: {forget: 8,
analogue: 8}, stop: {memorization_accuracy: 0.5994, extraction_likelihood: 0.0499, n: 10, start: 150}}`, and
`forget.pairing: {embedding: minilm, metric: l2, deduplicate: false}` in the study.

Not copied from the authors' code: padding enters no loss, and a batch without an active pair is left out (there its
loss is NaN and Adam's momentum moves every weight); epochs are bounded. Means are over each sequence first, which is
the same for sequences of one length. "Below" a threshold is at or below it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from lethe import losses
from lethe.data.rows import Rows
from lethe.objectives.icu import epoch_check
from lethe.params.fields import Count, Fraction, NonNegative, Probability

NEEDS = ("text", "validation")
TERMS = {"forget": "forget", "learn": "analogue", "kl": "analogue"}
TINY = 1e-12  # added to probabilities


@dataclass(frozen=True)
class Hyper:
    forget: NonNegative = 1.0  # weight of the ascent on forget sequences
    learn: NonNegative = 0.5  # weight of learning the analogues
    kl: NonNegative = 1.0  # weight of staying near the frozen model on the analogues
    refine: bool = True  # drop forgotten pairs after every epoch
    forgotten: Fraction | Literal["unseen"] = 0.01  # similarity to the true suffix below which a pair rests
    prefix: Probability = 0.5  # share of the window given as the prompt of the check
    window: Count | None = 100  # the check reads only so many tokens at the end of a sequence; null: all
    beams: Count = 2  # beam width of the continuation
    similarity: Literal["tokens", "words"] = "words"  # BLEU of tokens, smoothed; of words, not smoothed
    encoder: str | None = None  # of BERTScore, a second similarity: minilm, a folder or a Hub id; null: none
    f1: Fraction = 0.3  # BERTScore at or below which a pair rests, too


def cross_entropy(frozen_logits: Tensor, logits: Tensor, rows: Rows) -> Tensor:
    """(B,) mean over all positions of each sequence of the cross-entropy of (B, T, V) logits to frozen ones."""
    before, after = frozen_logits.float().softmax(-1), logits.float().softmax(-1)
    values = -(before * (after + TINY).log()).sum(-1, keepdim=True)
    return losses.pooled(values, rows, "mean")[:, 0]


def loss(hyper: Hyper, model, frozen, batch) -> dict[str, Tensor]:
    analogue = batch["analogue"]
    logits = losses.forward(model, analogue)
    terms = {
        "forget": -hyper.forget * losses.example_loss(model, batch["forget"]),
        "learn": hyper.learn * losses.nll(logits, analogue),
    }
    if hyper.kl:
        with torch.no_grad():
            before = losses.forward(frozen, analogue)
        terms["kl"] = hyper.kl * cross_entropy(before, logits, analogue)
    return terms


def unlearn(hyper: Hyper, run):
    check = epoch_check(hyper, run)
    return run.minimise(loss, hyper, frozen=run.original(), check=check, fixed_batches=True)
