"""Fine-tuning on wrong labels: every forget example is taught another class than its own.

    L = E CE(f, y') + retain * E CE(r)

y' is uniform over the classes but the true one, drawn once per example and kept, as in amnesiac unlearning (Graves
et al., AAAI 2021, arXiv:2010.10981). There the retained data are trained on in the same batches; here they are a
term of their own with a weight. All tags of a tagged text are moved on by its one draw.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from lethe import losses
from lethe.data.rows import Labelled
from lethe.params.fields import NonNegative
from lethe.system.streams import stream_seed

NEEDS = ("classes",)
TERMS = {"forget": "forget", "retain": "retain"}
SPACE = {"retain": {"low": 0.1, "high": 10.0, "log": True}}


@dataclass(frozen=True)
class Hyper:
    retain: NonNegative = 1.0  # weight of the retain term


def other_labels(rows: Labelled, classes: int, seed: int) -> Tensor:
    """Labels of the rows' shape, (B,) or (B, T), each of another class than the true one.

    It depends on seed and tokens alone: an example keeps its wrong label in every batch and epoch.
    """
    texts = [row[:length] for row, length in zip(rows.input_ids.tolist(), rows.lengths.tolist(), strict=True)]
    draws = [stream_seed(seed, "random label", *tokens) % (classes - 1) for tokens in texts]
    drawn = torch.tensor(draws, dtype=torch.long, device=rows.labels.device)
    drawn = drawn.view(-1, *[1] * (rows.labels.dim() - 1))
    return torch.where(rows.labels < 0, rows.labels, (rows.labels + 1 + drawn) % classes)


def loss(hyper: Hyper, model, frozen: int, batch) -> dict[str, Tensor]:
    """The terms; `frozen` is the seed of the wrong labels."""
    logits = losses.forward(model, batch["forget"])
    wrong = replace(batch["forget"], labels=other_labels(batch["forget"], logits.shape[-1], seed=frozen))
    return {
        "forget": losses.nll(logits, wrong),
        "retain": hyper.retain * losses.example_loss(model, batch["retain"]),
    }


def unlearn(hyper: Hyper, run):
    return run.minimise(loss, hyper, frozen=run.seed)
