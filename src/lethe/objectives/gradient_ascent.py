"""Gradient ascent on what is to be forgotten.

    L = -E ell(f)

For generators the KUMPR baseline (Jang et al., ACL 2023, arXiv:2210.01504), which stops when memorisation is
at the level of unseen text. Unbounded below: run long enough it destroys any model.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from lethe import losses

NEEDS = ()
TERMS = {"forget": "forget"}


@dataclass(frozen=True)
class Hyper:
    pass


def loss(hyper: Hyper, model, frozen, batch) -> dict[str, Tensor]:
    return {"forget": -losses.example_loss(model, batch["forget"])}
