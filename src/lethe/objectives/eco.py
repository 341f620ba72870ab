"""Embedding-corrupted prompts (Liu et al., NeurIPS 2024, arXiv:2406.07933): nothing of the model is trained.

    z = z_0(e'),    e'_t = e_t + strength * s * n    from the first token t on at which d_t > h
    d_t = w' mean_{u <= t} e_u + b

z_0 are the logits of the original, e the embeddings of tokens, s their root mean square, n a direction drawn once. The
detector d is a logistic regression that tells prompts to forget from retained ones by the mean of their embeddings; its
threshold h is such that of retained texts that it was not fitted on a share of `flagged` at most is expected to be
corrupted anywhere (split conformal). At strength 0 it is the original, to the bit.

The paper's detector is a language model that reads the whole prompt, whose tokens are then all corrupted, and its
strength is searched by a surrogate of the retrained model's score. Here a token's fate follows from the tokens up to
it, so that a text, its continuation and every prefix of it agree: tokens that come before the detector is sure stay
clean, and those of the answer are corrupted, too. The strength is given, or searched by `lethe tune`.

Weights are unchanged: whoever has the files has the original. The detector knows wordings: what is asked otherwise may
pass, and it says itself who was forgotten (`gate_weight_auc`, `gate_nearest_auc`).
"""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from lethe.data.rows import Rows
from lethe.models.composed import Composed
from lethe.models.corrupted import Corrupted, Detector
from lethe.params.fields import Count, NonNegative, Probability
from lethe.system.errors import InputError
from lethe.system.streams import stream

log = logging.getLogger("lethe.eco")
NEEDS = ("text",)
SPACE = {"strength": {"low": 0.3, "high": 100.0, "log": True}}


@dataclass(frozen=True)
class Hyper:
    strength: NonNegative = 10.0  # of the corruption, in root mean squares of the embeddings
    flagged: Probability = 0.05  # share of retained texts that may be corrupted
    held: Probability = 0.2  # share of the retained texts that is held back for the threshold
    least: Count = 4  # tokens of the shortest beginning that the detector judges


def unlearn(hyper: Hyper, run):
    """The original behind a detector of prompts to forget.

    Raises:
        InputError: the original is composed of several models, or there are fewer than 2 retained texts.
    """
    model = run.original()
    if isinstance(model, Composed):
        raise InputError("eco: the original is composed of several models; needed is a single one")
    forget, retain = run.rows("forget"), run.rows("retain")
    if len(retain) < 2:
        raise InputError(f"eco: {len(retain)} retained texts; the detector needs 2 or more")
    order = stream(run.seed, "detector", "held").permutation(len(retain))
    held = min(max(1, round(hyper.held * len(retain))), len(retain) - 1)
    vectors = model.get_input_embeddings().weight.detach()
    fitted = prompt_means(model, forget), prompt_means(model, retain[order[held:]])
    detector = fit(*fitted, hyper.least, direction(vectors, run.seed))
    silent = Corrupted(model, detector, 0.0)
    threshold = conformal(largest(silent, retain[order[:held]]), hyper.flagged)
    found = Corrupted(model, replace(detector, threshold=threshold), hyper.strength)
    known = int((largest(found, forget) > threshold).sum())
    log.info("the detector knows %d of %d texts to forget", known, len(forget))
    return found


def direction(vectors: Tensor, seed: int) -> Tensor:
    """(H,) s * n in float64: standard normal numbers at the scale of the embeddings (V, H)."""
    drawn = torch.from_numpy(stream(seed, "detector", "direction").standard_normal(vectors.shape[1]))
    return (drawn * vectors.double().square().mean().sqrt().item()).to(vectors.device)


def fit(forget: Tensor, retain: Tensor, least: int, shift: Tensor) -> Detector:
    """The detector of features (N, H), each side of which weighs the same; its threshold is still 0.

    Args:
        least, shift: of the detector, `least` and `direction`.
    """
    from sklearn.linear_model import LogisticRegression

    both = torch.cat([forget, retain])
    mean, deviation = both.mean(0), both.std(0, correction=0).clamp(min=torch.finfo(torch.float64).tiny)
    truth = torch.cat([torch.ones(len(forget)), torch.zeros(len(retain))]).numpy()
    model = LogisticRegression(class_weight="balanced", max_iter=1000)
    model.fit(((both - mean) / deviation).numpy(), truth)
    weights = torch.from_numpy(model.coef_[0].copy()) / deviation
    bias = torch.tensor(float(model.intercept_[0]), dtype=torch.float64) - mean @ weights
    return Detector(weights, bias, torch.zeros((), dtype=torch.float64), shift, least)


def conformal(values: Tensor, share: float) -> Tensor:
    """The value that a new one, drawn as these (N,), exceeds with a probability of `share` at most; () in float64.

    That is the ⌈(N + 1)(1 - share)⌉-th smallest. Where N is smaller than 1 / share - 1 it is the largest, which is
    exceeded with a probability of 1 / (N + 1).
    """
    place = math.ceil((len(values) + 1) * (1 - share))
    if place > len(values):
        log.warning("%d retained texts are held back: too few for hyper.flagged %g", len(values), share)
    return values.double().sort().values[min(place, len(values)) - 1].clone()


def parts(rows: Rows):
    for begin in range(0, len(rows), 64):
        yield rows[slice(begin, begin + 64)]


@torch.no_grad()
def prompt_means(model, rows: Rows) -> Tensor:
    """(N, H) mean embeddings of prompts, of whole texts where there are none; float64, on the host."""
    embed, found = model.get_input_embeddings(), []
    for part in parts(rows):
        ends = part.lengths if part.starts is None else part.starts
        kept = (torch.arange(part.input_ids.shape[1]) < ends[:, None]).double()
        vectors = embed(part.input_ids.to(embed.weight.device)).double().cpu()
        found.append((vectors * kept[..., None]).sum(1) / ends[:, None])
    return torch.cat(found)


@torch.no_grad()
def largest(model: Corrupted, rows: Rows) -> Tensor:
    """(N,) largest d of the tokens of each text, on the host."""
    embed, found = model.base.get_input_embeddings(), []
    for part in parts(rows):
        each = model.largest(embed(part.input_ids.to(embed.weight.device))).cpu()
        found.append(each.gather(1, part.lengths[:, None] - 1)[:, 0])
    return torch.cat(found)
