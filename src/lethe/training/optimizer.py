"""The optimiser of a run and its learning rate over time."""

from __future__ import annotations

import math
from typing import Any

import torch

from lethe.params.training import Training
from lethe.system.errors import InputError


def parameter_groups(model, recipe: Training) -> list[dict]:
    """Trainable parameters; embeddings have a learning rate of their own."""
    embeddings = {id(p) for m in model.modules() if isinstance(m, torch.nn.Embedding) for p in m.parameters()}
    trained = [p for p in model.parameters() if p.requires_grad]
    rate = recipe.learning_rate
    groups = [
        {"params": [p for p in trained if id(p) not in embeddings], "lr": rate},
        {"params": [p for p in trained if id(p) in embeddings], "lr": rate * recipe.embedding_rate},
    ]
    return [g | {"rate": g["lr"]} for g in groups if g["params"]]


def build_optimizer(model, recipe: Training) -> torch.optim.Optimizer:
    """The optimiser of the recipe, whose step is one fused kernel where torch has it."""
    groups = parameter_groups(model, recipe)
    if not groups:
        raise InputError("model.freeze: no parameter is left to train; allowed are fewer prefixes")
    able = groups[0]["params"][0].device.type in ("cpu", "cuda")
    split = recipe.sharded and recipe.optimizer == "sgd"  # torch has no fused step for such weights
    fused = True if able and not split else None
    shared: dict[str, Any] = {"lr": recipe.learning_rate, "weight_decay": recipe.weight_decay, "fused": fused}
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(groups, **shared)
    kind = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[recipe.optimizer]
    return kind(groups, betas=(recipe.beta1, recipe.beta2), **shared)


def rate_factor(recipe: Training, step: int, total: int) -> float:
    """Factor in [0, 1] on the learning rate at a step of `total` planned steps."""
    warm = recipe.warmup * total
    rise = min(1.0, (step + 1) / warm) if warm else 1.0
    share = min(1.0, step / total)
    fall = {"constant": 1.0, "linear": 1 - share, "cosine": 0.5 * (1 + math.cos(math.pi * share))}
    return rise * max(recipe.floor, fall[recipe.schedule])
