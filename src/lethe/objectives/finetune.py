"""Fine-tuning on what is kept.

    L = E ell(r)

Trains the references `original` and `retrain`; as an unlearning method it continues the original model on the
retained examples alone and hopes that the rest fades (Golatkar et al., 2020, arXiv:1911.04933).
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from lethe import losses

NEEDS = ()
TERMS = {"retain": "retain"}


@dataclass(frozen=True)
class Hyper:
    pass


def loss(hyper: Hyper, model, frozen, batch) -> dict[str, Tensor]:
    return {"retain": losses.example_loss(model, batch["retain"])}
