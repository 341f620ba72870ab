"""How far one step on a text would move a model, text by text."""

from __future__ import annotations

import numpy as np
import torch

from lethe import losses, models
from lethe.data.encoding import Encoded


def gradient_norms(model, encoded: Encoded) -> np.ndarray:
    """(N,) float64, length of the gradient of each text's loss in all weights; one text at a time."""
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    found = []
    for row in range(len(encoded)):
        loss = losses.example_loss(model, encoded.rows[row : row + 1].to(models.device()))
        gradients = torch.autograd.grad(loss.sum(), weights, allow_unused=True)
        lengths = [torch.linalg.vector_norm(g.double()) for g in gradients if g is not None]
        found.append(float(torch.linalg.vector_norm(torch.stack(lengths))))
    return np.array(found)
