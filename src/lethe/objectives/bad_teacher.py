"""Unlearning by an incompetent teacher (Chundawat et al., AAAI 2023, arXiv:2205.08096).

    L = E KL(bad || theta)(f) + retain * E KL(theta0 || theta)(r)

The student follows a teacher that knows nothing on what is to be forgotten, and the original model on what is
kept. Bounded below by 0. Here the incompetent teacher is the original encoder under a freshly initialised head
(the paper: all weights fresh, which a pretrained encoder would have to be unlearned for), and both terms are means
over their own examples with a weight (the paper: one mean over the mixed batch). Temperature 1, as in its code.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from lethe import losses
from lethe.params.fields import NonNegative
from lethe.system.streams import stream_seed

NEEDS = ("classes",)
TERMS = {"forget": "forget", "retain": "retain"}
SPACE = {"retain": {"low": 0.1, "high": 10.0, "log": True}}


@dataclass(frozen=True)
class Hyper:
    retain: NonNegative = 1.0  # weight of following the original model


class Teachers(NamedTuple):
    """Two classifiers that share the original encoder."""

    competent: torch.nn.Module
    incompetent: torch.nn.Module


def teachers(original, seed: int) -> Teachers:
    """The original model, and the same under a head drawn from the seed."""
    encoder = original.base_model
    fresh = copy.deepcopy(original, {id(encoder): encoder})
    torch.manual_seed(stream_seed(seed, "incompetent teacher"))
    for name, head in fresh.named_children():
        if name != fresh.base_model_prefix:
            head.apply(lambda module: getattr(module, "reset_parameters", lambda: None)())
    return Teachers(original, fresh)


def loss(hyper: Hyper, model, frozen: Teachers, batch) -> dict[str, Tensor]:
    return {
        "forget": losses.kl_of(frozen.incompetent, model, batch["forget"]),
        "retain": hyper.retain * losses.kl_of(frozen.competent, model, batch["retain"]),
    }


def unlearn(hyper: Hyper, run):
    return run.minimise(loss, hyper, frozen=teachers(run.original(), run.seed))
