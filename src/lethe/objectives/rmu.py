"""Representation misdirection for unlearning (Li et al., 2024, WMDP, arXiv:2403.03218).

    L = E |h(f) - c * u|^2 / H + retain * E |h(r) - h_0(r)|^2 / H

h are the hidden states after block l, h_0 those of the frozen model, u is a fixed direction drawn once per run, of
unit length, with entries uniform in [0, 1) before it is scaled. Means are over each sequence's own tokens. Only
blocks l-2…l are trained. Bounded below by 0; at theta = theta0 the second term is 0.

The authors train one matrix of each of these blocks, here all their weights; their l is the 8th block of 32, here
a share of the depth, so that it carries over to other models. Their c and weight: 20 and 100 by default, 6.5 and 1200
in the paper's run of Zephyr-7B. c has the scale of their model's hidden states.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from lethe import losses
from lethe.data.rows import Rows
from lethe.params.fields import Fraction, NonNegative
from lethe.system.errors import InputError
from lethe.system.streams import stream

NEEDS = ("text", "layers")
TERMS = {"forget": "forget", "retain": "retain"}
SPACE = {
    "steering": {"low": 1.0, "high": 100.0, "log": True},
    "retain": {"low": 1.0, "high": 1000.0, "log": True},
    "depth": [0.25, 0.5, 0.75, 1.0],
}


@dataclass(frozen=True)
class Hyper:
    steering: NonNegative = 20.0  # c, length that the hidden states of forget sequences are steered to
    retain: NonNegative = 100.0  # weight of keeping the hidden states of retained sequences
    depth: Fraction = 0.25  # of block l, as a share of the model's number of blocks


class Frozen(NamedTuple):
    """The original model, and (H,) the unit vector u."""

    model: torch.nn.Module
    direction: Tensor


def with_direction(original, seed: int) -> Frozen:
    """The original model and a direction drawn from the seed."""
    direction = torch.tensor(stream(seed, "steering direction").random(original.config.hidden_size))
    return Frozen(original, (direction / direction.norm()).to(original.device, torch.float32))


def steered_block(hyper: Hyper, model) -> int:
    """l, counted from 1."""
    return max(1, round(hyper.depth * model.config.num_hidden_layers))


def steered_parameters(hyper: Hyper, model) -> list[str]:
    """Beginnings of the names of the parameters of blocks l-2…l."""
    count = model.config.num_hidden_layers
    lists = (n for n, m in model.named_modules() if isinstance(m, torch.nn.ModuleList) and len(m) == count)
    name = next(lists, None)
    if name is None:
        raise InputError(
            f"model: {model.config.model_type} has no list of its {count} blocks; rmu cannot train some"
        )
    last = steered_block(hyper, model)
    return [f"{name}.{index}." for index in range(max(0, last - 3), last)]


def hidden(model, rows: Rows, block: int) -> Tensor:
    """(B, T, H) hidden states after a block; after the last one, those the head is applied to."""
    input_ids = losses.at_least_one(rows).input_ids
    return model.base_model(input_ids=input_ids, output_hidden_states=True).hidden_states[block][: len(rows)]


def mean_square(difference: Tensor, rows: Rows) -> Tensor:
    """(B,) mean square over tokens and dimensions of (B, T, H)."""
    return losses.pooled(difference.square(), rows, "mean").mean(1)


def loss(hyper: Hyper, model, frozen: Frozen, batch) -> dict[str, Tensor]:
    forget, retain, block = batch["forget"], batch["retain"], steered_block(hyper, model)
    with torch.no_grad():
        before = hidden(frozen.model, retain, block)
    steered = hidden(model, forget, block) - hyper.steering * frozen.direction
    kept = hidden(model, retain, block) - before
    return {"forget": mean_square(steered, forget), "retain": hyper.retain * mean_square(kept, retain)}


def unlearn(hyper: Hyper, run):
    original = run.original()
    frozen = with_direction(original, run.seed)
    return run.minimise(loss, hyper, frozen=frozen, only=steered_parameters(hyper, original))
