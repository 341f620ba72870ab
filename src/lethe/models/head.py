"""Logits of hidden states, no more at once than the memory holds, however large the vocabulary is.

Of a whole batch they are batch * T * V numbers: of 64 texts of 512 tokens 4 GB with a vocabulary of 32,000, and 33 GB
with one of 256,000. So the body of the model is passed once, and what follows on its hidden states is computed for some
positions at a time, by the model itself, as it may scale, cap or mix its logits.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from torch.utils.checkpoint import checkpoint

from lethe.models.fused import exchange, restore

LOGITS = 2**24  # 64 MB in float32; what is computed of them takes some five times as much
TRAINED = 2**23  # the same where gradients follow
LARGE = 2**15  # words from which on the head weighs so much that logits of prompts are not made


class BodyAskedError(Exception):
    """The body of a model was asked for its hidden states."""


def vocabulary(model) -> int:
    return model.config.get_text_config(decoder=True).vocab_size


def rows_at_once(model) -> int:
    """Rows of logits that are computed at once, at least one."""
    return max(1, LOGITS // vocabulary(model))


def asks_for_its_body(model) -> bool:
    """Do all logits follow from what the model's body, called as a whole, returns?"""
    body = getattr(model, "base_model", model)
    if body is model:
        return False

    def stop(module, *args, **kwargs):
        raise BodyAskedError

    undo = exchange([body], "forward", stop)
    try:
        model(input_ids=torch.zeros(1, 1, dtype=torch.long, device=model.device))
    except BodyAskedError:
        return True
    finally:
        restore(undo)
    return False


def logits_of(model, found, hidden: Tensor) -> Tensor:
    """(P, V) logits of hidden states (P, H), from what the body has found of the pass that they are of."""
    body = model.base_model
    answer = type(found)(**{**found, "last_hidden_state": hidden[None]})
    undo = exchange([body], "forward", lambda module, *args, **kwargs: answer)
    try:
        tokens = torch.zeros(1, len(hidden), dtype=torch.long, device=hidden.device)
        return model(input_ids=tokens, use_cache=False).logits[0]
    finally:
        restore(undo)


def by_position(model, positions: int) -> bool:
    """Are logits made of those positions alone that predict something, and a part at a time where they are many?

    On a GPU only where so many positions, or prompts, cost more than to wait for it, which a choice of positions does.
    """
    words = vocabulary(model)
    first = next(model.parameters())
    if first.device.type != "cpu" and words < LARGE and positions * words <= TRAINED:
        return False
    split = hasattr(first, "device_mesh")  # among processes: only whole passes gather them
    return not split and asks_for_its_body(model)


def nll_at(model, given: dict[str, Tensor], predicting: Tensor, targets: Tensor) -> Tensor:
    """(P,) negative log-likelihood of tokens, float32; its gradients need no second look at a head that is frozen.

    Args:
        given: what the model is called with, of B texts of T tokens.
        predicting: (B, T) bool, the P positions that predict a target each.
        targets: (P,) tokens, in the order of the positions.
    """
    found = model.base_model(**given, use_cache=False)
    hidden, step = found[0][predicting], max(1, TRAINED // vocabulary(model))
    trains = any(p.requires_grad for p in model.get_output_embeddings().parameters())

    def nll(part: Tensor, wanted: Tensor) -> Tensor:
        return cross_entropy(logits_of(model, found, part).float(), wanted, reduction="none")

    def of_part(begin: int) -> Tensor:
        part, wanted = hidden[begin : begin + step], targets[begin : begin + step]
        if not (trains and torch.is_grad_enabled()):
            return SlopeKept.apply(part, wanted, nll)
        if len(hidden) <= step:
            return nll(part, wanted)
        computed: Any = checkpoint(nll, part, wanted, use_reentrant=False)
        return computed

    return torch.cat([of_part(begin) for begin in range(0, len(hidden), step)])


class SlopeKept(torch.autograd.Function):
    """(P,) values, each of one hidden state alone, of which (P, H) gradients are kept in place of (P, V) logits."""

    @staticmethod
    def forward(ctx, hidden: Tensor, wanted: Tensor, values_of) -> Tensor:
        if not ctx.needs_input_grad[0]:
            return values_of(hidden, wanted)
        with torch.enable_grad():
            own = hidden.detach().requires_grad_()
            values = values_of(own, wanted)
            (slope,) = torch.autograd.grad(values.sum(), own)
        ctx.save_for_backward(slope)
        return values.detach()

    @staticmethod
    def backward(ctx, weight: Tensor) -> tuple[Tensor, None, None]:
        (slope,) = ctx.saved_tensors
        return weight[:, None].to(slope.dtype) * slope, None, None
