"""Contrastive unlearning (Lee et al., 2024, arXiv:2401.10458).

    L = retain * E CE(r) + forget * L_f
    L_f = mean_i mean_{a in N(i)} -log( e^{z_i.z_a/tau} / sum_{p in P(i)} e^{z_i.z_p/tau} )

i runs over the forget samples of the batch; P(i) are its retain samples with the label of i, N(i) those with
another; z are unit vectors pooled from the encoder before the classification head. It is supervised contrastive
learning with the parts exchanged: an anchor leaves its own class for the others. An anchor's value lies within
2/tau of log |P(i)|. DeepCUT's term adds the pull to the denominator, so that it lets go of an anchor that has left.
The samples of tagged text are its tagged tokens.

Weights and temperature are those of the authors' code. The paper contrasts every forget batch with several retain
batches in turn (4 in the code); here with the one of its step, as large as `batch.retain`. An anchor whose batch holds
no sample of its own class, or of no other, is skipped, and counted in the column `skipped` of trace.csv; so the
paper's variant for a class that is forgotten whole, which has no P(i), is not covered.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import normalize

from lethe import losses
from lethe.params.fields import NonNegative, Positive

NEEDS = ("classes",)
TERMS = {"forget": "forget", "retain": "retain"}
SPACE = {
    "forget": {"low": 0.1, "high": 10.0, "log": True},
    "temperature": {"low": 0.05, "high": 1.0, "log": True},
}


@dataclass(frozen=True)
class Hyper:
    forget: NonNegative = 3.0  # weight of the contrastive term
    retain: NonNegative = 1.0  # weight of the retain term
    temperature: Positive = 0.7  # tau
    pooling: Literal["cls", "mean"] = "cls"


def contrast(z: Tensor, y: Tensor, z_retain: Tensor, y_retain: Tensor, tau: float) -> tuple[Tensor, int]:
    """Contrastive term and the number of anchors it is a mean over.

    Args:
        z: (A, H) unit vectors of anchors, y: (A,) their labels.
        z_retain: (R, H) unit vectors of the contrast, y_retain: (R,) their labels.
        tau: temperature > 0.
    Returns:
        scalar tensor, 0 without an anchor; and the number of anchors with a contrast of both kinds.
    """
    similarity = losses.products(z, z_retain) / tau  # (A, R)
    same, usable = losses.contrasts(y, y_retain)
    if not usable.any():
        return similarity.sum() * 0.0, 0
    similarity, same = similarity[usable], same[usable]
    repulsion = similarity.masked_fill(~same, -torch.inf).logsumexp(1)
    attraction = similarity.masked_fill(same, 0.0).sum(1) / (~same).sum(1)
    return (repulsion - attraction).mean(), int(usable.sum())


def loss(hyper: Hyper, model, frozen, batch) -> dict[str, Tensor]:
    forget, retain = batch["forget"], batch["retain"]
    logits, embedding = losses.logits_and_embedding(model, retain, hyper.pooling)
    _, anchors = losses.logits_and_embedding(model, forget, hyper.pooling)
    z, z_retain = normalize(anchors, dim=1), normalize(embedding, dim=1)
    value, _ = contrast(z, forget.classes, z_retain, retain.classes, hyper.temperature)
    return {"forget": hyper.forget * value, "retain": hyper.retain * losses.nll(logits, retain)}


def unlearn(hyper: Hyper, run):
    """The contrast is within the batch, which cannot be cut into micro-batches."""
    return run.minimise(loss, hyper, whole_batch=True, batch_counts=losses.skipped_anchors)
