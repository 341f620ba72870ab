"""What a run minimises: the loss of a method, with all that it needs beside the model and a batch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from lethe.data.rows import Rows
from lethe.training.numerics import uncached

Batch = dict[str, Rows]  # role -> its rows


@dataclass(frozen=True)
class Objective:
    """A loss and how its batches are treated.

    Args:
        loss: (hyper, model, frozen, batch) -> weighted terms by name, each (B,) or a scalar; their sum is minimised.
        hyper: hyperparameters, handed to the loss.
        terms: term -> the role that it is a mean over; an epoch is a pass over the first.
        frozen: whatever else the loss reads at every step, such as the model before the run.
        whole_batch: the loss compares examples within a batch, which is then never cut.
        batch_counts: numbers of a batch, such as of what the loss leaves out, as columns of the trace.
        hyper_at: (hyper, trace so far) -> those of the next step; None: they stay.
    """

    loss: Callable[[Any, Any, Any, Batch], dict[str, Tensor]]
    hyper: Any
    terms: dict[str, str]
    frozen: Any = None
    whole_batch: bool = False
    batch_counts: Callable[[Batch], dict[str, int]] | None = None
    hyper_at: Callable[[Any, list[dict]], Any] | None = None

    def hyper_after(self, trace: list[dict]) -> Any:
        """Hyperparameters of the step after those of a trace: a function of it, so that a resumed run has the same."""
        return self.hyper if self.hyper_at is None else self.hyper_at(self.hyper, trace)

    def means(self, values: dict[str, Tensor], batch: Batch) -> dict[str, Tensor]:
        """Terms of shape (B,) as means over all rows of their role in the batch; scalars as they are."""
        return {name: mean_over(value, len(batch[self.terms[name]])) for name, value in values.items()}


def mean_over(values: Tensor, rows: int) -> Tensor:
    return values if values.dim() == 0 else values.sum() / rows


class LossOfModel(torch.nn.Module):
    """The objective of a model: one forward call per part, so that DDP synchronises once however often it is passed."""

    def __init__(self, model, objective: Objective):
        super().__init__()
        self.model = model
        self.hidden = (objective,)  # a tuple, so that a frozen model is no part of this module

    def forward(self, part: Batch, hyper: Any) -> dict[str, Tensor]:
        (objective,) = self.hidden
        with uncached(self.model.config):
            return objective.loss(hyper, self.model, objective.frozen, part)
