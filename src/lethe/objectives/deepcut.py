"""DeepCUT: deep contrastive unlearning for fine-tuning (He et al., 2025, arXiv:2503.14900).

    L = E CE(r) + gamma * L_f
    L_f = mean_i mean_{p in P(i)} -log( e^{z_i.z_p/tau} / ( e^{z_i.z_p/tau} + sum_{n in N(i)} e^{z_i.z_n/tau} ) )

i runs over the forget samples of the batch; P(i) are its retain samples with another label, N(i) those with the
label of i; z are unit vectors pooled from the encoder before the classification head. An anchor leaves its own
class and approaches the others. Every sample is seen through `views` dropout masks. The samples of tagged text are its
tagged tokens.

The paper's public text fixes the sum with weight gamma, the contrastive term after FoCL, repulsion from the own
class, attraction to the others, and dropout views. Temperature, pooling and the composition of batches are
our reading; each is a hyperparameter or a parameter of training. An anchor whose batch holds no positive or no
negative is skipped, and counted in the column `skipped` of trace.csv; a batch without any anchor left contributes 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import normalize

from lethe import losses
from lethe.params.fields import Count, NonNegative, Positive

NEEDS = ("classes",)
TERMS = {"forget": "forget", "retain": "retain"}
SPACE = {
    "gamma": {"low": 0.1, "high": 10.0, "log": True},
    "temperature": {"low": 0.05, "high": 1.0, "log": True},
    "views": [1, 2],
}


@dataclass(frozen=True)
class Hyper:
    gamma: NonNegative = 1.0  # weight of the contrastive term
    temperature: Positive = 0.1  # tau
    pooling: Literal["cls", "mean"] = "cls"
    views: Count = 2  # dropout masks per sample
    attraction: bool = True  # False: repulsion from the own class only


def contrast(z: Tensor, y: Tensor, z_retain: Tensor, y_retain: Tensor, tau: float, attraction: bool = True):
    """Contrastive term and the number of anchors it is a mean over.

    Args:
        z: (A, H) unit vectors of anchors, y: (A,) their labels.
        z_retain: (R, H) unit vectors of the contrast, y_retain: (R,) their labels.
        tau: temperature > 0.
        attraction: False puts every positive at similarity 0, so that only repulsion remains.
    Returns:
        scalar tensor >= 0, and the number of anchors with at least one positive and one negative.
    """
    similarity = losses.products(z, z_retain) / tau  # (A, R)
    same, usable = losses.contrasts(y, y_retain)
    if not usable.any():
        return similarity.sum() * 0.0, 0
    similarity, same = similarity[usable], same[usable]
    repulsion = similarity.masked_fill(~same, -torch.inf).logsumexp(1, keepdim=True)
    attracted = similarity if attraction else torch.zeros_like(similarity)
    pairs = torch.logaddexp(attracted, repulsion) - attracted  # (A, R), valid where a positive stands
    per_anchor = pairs.masked_fill(same, 0.0).sum(1) / (~same).sum(1)
    return per_anchor.mean(), int(usable.sum())


def loss(hyper: Hyper, model, frozen, batch) -> dict[str, Tensor]:
    forget, retain = batch["forget"], batch["retain"]
    views = [losses.logits_and_embedding(model, retain, hyper.pooling) for _ in range(hyper.views)]
    terms = {"retain": torch.stack([losses.nll(logits, retain) for logits, _ in views]).mean(0)}
    if hyper.gamma:
        anchors = [losses.logits_and_embedding(model, forget, hyper.pooling)[1] for _ in range(hyper.views)]
        z, z_retain = (normalize(torch.cat(x), dim=1) for x in (anchors, [e for _, e in views]))
        y, y_retain = (labels.repeat(hyper.views) for labels in (forget.classes, retain.classes))
        value, _ = contrast(z, y, z_retain, y_retain, hyper.temperature, hyper.attraction)
        terms["forget"] = hyper.gamma * value
    return terms


def unlearn(hyper: Hyper, run):
    """The contrast is within the batch, which cannot be cut into micro-batches."""
    return run.minimise(loss, hyper, whole_batch=True, batch_counts=losses.skipped_anchors)
