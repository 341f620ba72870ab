"""Logits of hidden states, no more at once than the memory holds, however large the vocabulary is.

Of a whole batch they are batch * T * V numbers: of 64 texts of 512 tokens 4 GB with a vocabulary of 32,000, and 33 GB
with one of 256,000. So the body of the model is passed once, and what follows on its hidden states is computed for some
positions at a time, by the model itself, as it may scale, cap or mix its logits.
"""

from __future__ import annotations

from collections.abc import Callable
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
    first = next(model.parameters())
    if first.device.type != "cpu" and not is_large(model) and positions * vocabulary(model) <= TRAINED:
        return False
    split = hasattr(first, "device_mesh")  # among processes: only whole passes gather them
    return not split and asks_for_its_body(model)


def is_large(model) -> bool:
    """Are there so many words that a whole batch's logits are to be avoided on any device?"""
    return vocabulary(model) >= LARGE


def nll_at(model, given: dict[str, Tensor], predicting: Tensor, targets: Tensor) -> Tensor:
    """(P,) negative log-likelihood of tokens, float32; its gradients need no second look at a head that is frozen.

    Args:
        given: what the model is called with, of B texts of T tokens.
        predicting: (B, T) bool, the P positions that predict a target each.
        targets: (P,) tokens, in the order of the positions.
    """
    (values,) = values_at(
        model, given, predicting, lambda logits, wanted: (token_loss(logits, wanted),), targets
    )
    return values


def token_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """(P,) negative log-likelihood of targets (P,) under logits (P, V)."""
    return cross_entropy(logits.float(), targets, reduction="none")


def divergence(before: Tensor, after: Tensor) -> Tensor:
    """(…) KL of softmax(before) to softmax(after), both (…, V) logits."""
    before, after = before.float().log_softmax(-1), after.float().log_softmax(-1)
    return (before.exp() * (before - after)).sum(-1)


def values_at(
    model, given: dict[str, Tensor], predicting: Tensor, values: Callable, *beside: Tensor
) -> tuple[Tensor, ...]:
    """(P,) values each, of the logits at P positions of a pass, some of these at a time; as `nll_at`.

    Args:
        given, predicting: as of `nll_at`.
        values: of logits (p, V) and the same p of all that is `beside`, to one or more values (p,).
        beside: of P rows each, which have no gradient.
    """
    found = model.base_model(**given, use_cache=False)
    hidden, step = found[0][predicting], max(1, TRAINED // vocabulary(model))
    trains = any(p.requires_grad for p in model.get_output_embeddings().parameters())

    def of(part: Tensor, *own: Tensor) -> tuple[Tensor, ...]:
        return values(logits_of(model, found, part), *own)

    def of_part(begin: int) -> tuple[Tensor, ...]:
        part, *own = (whole[begin : begin + step] for whole in (hidden, *beside))
        if not (trains and torch.is_grad_enabled()):
            return SlopesKept.apply(part, of, *own)
        if len(hidden) <= step:
            return of(part, *own)
        computed: Any = checkpoint(of, part, *own, use_reentrant=False)
        return computed

    parts = [of_part(begin) for begin in range(0, len(hidden), step)]
    return tuple(torch.cat(column) for column in zip(*parts, strict=True))


class SlopesKept(torch.autograd.Function):
    """(P,) values, each of one hidden state alone, whose (P, H) gradients are kept in place of (P, V) logits."""

    @staticmethod
    def forward(ctx, hidden: Tensor, values_of: Callable, *beside: Tensor) -> tuple[Tensor, ...]:
        if not ctx.needs_input_grad[0]:
            return values_of(hidden, *beside)
        with torch.enable_grad():
            own = hidden.detach().requires_grad_()
            values = values_of(own, *beside)
            last = len(values) - 1
            slopes = [
                torch.autograd.grad(each.sum(), own, retain_graph=place < last)[0]
                for place, each in enumerate(values)
            ]
        ctx.save_for_backward(*slopes)
        return tuple(each.detach() for each in values)

    @staticmethod
    def backward(ctx, *weights: Tensor) -> tuple[Tensor | None, ...]:
        parts = [
            weight[:, None].to(slope.dtype) * slope
            for weight, slope in zip(weights, ctx.saved_tensors, strict=True)
        ]
        return (sum(parts[1:], parts[0]), *[None] * (len(ctx.needs_input_grad) - 1))
