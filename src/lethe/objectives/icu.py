"""Iterative contrastive unlearning (Tang et al., 2024, arXiv:2407.20271).

    L = -forget * E ell(f) + learn * E ell(a) + kl * E KL(theta0 || theta)(a)

Each forget sequence f is paired with its nearest analogue a among what is kept, found once before training.
Iterative refinement: before the first and after every epoch each forget sequence is continued from its prefix
and compared with its true suffix; a pair that no longer reproduces it leaves the active set, and comes back if
it reappears. No pair active ends the run. At theta = theta0 the KL term is 0.

Differs from the authors' code, on purpose: a KL in place of the cross-entropy to theta0, means over each sequence's
own tokens (there over padding too), batches are made of active pairs alone, so that there is no step without one
(there Adam's momentum moves every weight), epochs are bounded. A sequence counts as forgotten when the similarity is
at most that of unseen text (`forgotten: unseen`) or a given number. `icu_faithful` has the authors' choices.

Ablations are runs: `refine: false`; `kl: 0`; `pairs: random`; without pairing `pairs: none`, or `learn: 0` and `kl: 0`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from lethe import losses
from lethe.objectives._analogues import about_analogues
from lethe.params.fields import Count, Fraction, NonNegative, Probability

NEEDS = ("text", "validation")
TERMS = {"forget": "forget", "learn": "analogue", "kl": "analogue"}
SPACE = {"learn": {"low": 0.1, "high": 10.0, "log": True}, "kl": {"low": 0.1, "high": 10.0, "log": True}}


@dataclass(frozen=True)
class Hyper:
    forget: NonNegative = 1.0  # weight of the ascent on forget sequences
    learn: NonNegative = 0.5  # weight of learning the analogues
    kl: NonNegative = 1.0  # weight of staying near the frozen model on the analogues
    refine: bool = True  # drop forgotten pairs after every epoch
    forgotten: Fraction | Literal["unseen"] = (
        "unseen"  # similarity to the true suffix below which a pair rests
    )
    prefix: Probability = 0.5  # share of a sequence given as the prompt of the check
    window: Count | None = None  # the check reads only so many tokens at the end of a sequence; null: all
    beams: Count = 1  # beam width of the continuation, 2 in the paper
    similarity: Literal["tokens", "words"] = "tokens"  # BLEU of tokens, smoothed; of words, not smoothed
    encoder: str | None = None  # of BERTScore, a second similarity: minilm, a folder or a Hub id; null: none
    f1: Fraction = 0.3  # BERTScore at or below which a pair rests, too
    pairs: Literal["nearest", "random", "none"] = (
        "nearest"  # random: drawn once; none: drawn anew at every step
    )


def loss(hyper: Hyper, model, frozen, batch) -> dict[str, Tensor]:
    about = about_analogues(hyper, model, frozen, batch["analogue"])
    return {"forget": -hyper.forget * losses.example_loss(model, batch["forget"]), **about}


def unlearn(hyper: Hyper, run):
    frozen = run.original_hidden()
    return run.minimise(loss, hyper, frozen=frozen, pairs=hyper.pairs, check=epoch_check(hyper, run))


def epoch_check(hyper, run):
    """What is found out between epochs: memorisation, and, with refinement, which pairs are forgotten."""
    if not hyper.refine:
        return run.epoch_check()
    return run.refinement(
        prefix=hyper.prefix, window=hyper.window, beams=hyper.beams, similarity=hyper.similarity,
        forgotten=hyper.forgotten, encoder=hyper.encoder, f1=hyper.f1,
    )  # fmt: skip
