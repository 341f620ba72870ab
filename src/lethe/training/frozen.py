"""The model before unlearning, as a loss reads it: whole, or its last hidden states, kept, under its head.

The full distributions of N texts are N*T*V numbers (5.1 GB for 128 x 200 x 50257 in float32), the hidden states N*T*H
(79 MB for H = 768), and the frozen model runs once per text instead of once per step.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable

import torch
from torch import Tensor
from torch.nn import Module, Parameter
from torch.nn.functional import pad

from lethe.data.rows import Rows
from lethe.losses import forward, kl, mean_of, nll
from lethe.models.four_bits import is_packed
from lethe.models.fused import fuse
from lethe.models.head import by_position, divergence, is_large, token_loss, values_at
from lethe.system.errors import InputError

CHUNK = 1024  # positions whose distributions are held at once


def as_frozen(model):
    """The model, in evaluation mode and never trained; of weights equal to those of one that trains come its logits."""
    fuse(model)
    return model.eval().requires_grad_(False)


def sharing_copy(model, shared: Iterable[Tensor]):
    """A frozen copy that has these of the model's own weights: those that never train."""
    same = {id(p): p if is_packed(p) else Parameter(p.detach(), requires_grad=False) for p in shared}
    return as_frozen(copy.deepcopy(model, same))


def own_weights(model) -> None:
    """Let the model share its weights with no other."""
    for parameter in model.parameters():
        parameter.data = parameter.data.clone()


class FrozenLogits:
    """A model as `FrozenHidden`, for one without a single head: it is passed at every step."""

    def __init__(self, model):
        self.model = model

    def kl(self, logits: Tensor, rows: Rows) -> Tensor:
        """(B,) as `FrozenHidden.kl`."""
        with torch.no_grad():
            before = forward(self.model, rows)
        return kl(before, logits, rows)

    def nll_and_kl(self, model, rows: Rows) -> tuple[Tensor, Tensor]:
        """(B,) each: `nll` of a model on the rows, and `kl` to it, of one pass."""
        logits = forward(model, rows)
        return nll(logits, rows), self.kl(logits, rows)


class FrozenHidden(FrozenLogits):
    """Hidden states (T, H) of every text that was ever asked for, in the memory of the host.

    In a loss whose method says `frozen=run.original_hidden()`,

        learn, kl = frozen.nll_and_kl(model, rows)

    are `losses.example_loss(model, rows)` and `losses.kl_of(model_before, model, rows)` with their gradients. Texts are
    known by their tokens, so neither padding nor the order of batches matters.
    """

    def __init__(self, model):
        """Args: model: causal language model, in eval mode; it must not change from here on."""
        self.model = model
        self.head: Module = model.get_output_embeddings()
        self.states: dict[bytes, Tensor] = {}

    def kl(self, logits: Tensor, rows: Rows) -> Tensor:
        """(B,) KL(frozen || model) >= 0 in nats, the mean over the scored tokens of each text.

        Args:
            logits: (B, T, V) of the model that trains; gradients flow into it.
            rows: B texts, at least two tokens each.
        """
        positions = rows.scored.to(logits.device)  # a position counts if the token it predicts does
        hidden = self.hidden(rows).to(logits.device)[:, :-1][positions]
        divergence = logits.new_zeros(positions.shape, dtype=torch.float32)
        divergence[positions] = chunked_kl(hidden, self.head, logits[:, :-1][positions])
        return divergence.sum(1) / rows.predictions.to(logits.device)

    def nll_and_kl(self, model, rows: Rows) -> tuple[Tensor, Tensor]:
        """As of `FrozenLogits`; of a large vocabulary logits are made as `by_position` says."""
        parts = is_large(model) and by_position(model, rows.input_ids.numel())
        if not (parts and rows.scored.any()):
            return super().nll_and_kl(model, rows)
        targets, hidden = (found[rows.scored] for found in (rows.input_ids[:, 1:], self.hidden(rows)[:, :-1]))

        def values(logits: Tensor, targets: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
            with torch.no_grad():
                before = self.head(hidden)
            return token_loss(logits, targets), divergence(before, logits)

        predicting = pad(rows.scored, (0, 1))
        losses, apart = values_at(model, rows.inputs(model), predicting, values, targets, hidden)
        return mean_of(losses, rows), mean_of(apart, rows)

    def hidden(self, rows: Rows) -> Tensor:
        """(B, T, H) last hidden states, 0 at pads; the model runs on texts that it has not seen yet."""
        lengths = rows.lengths.tolist()
        tokens = rows.input_ids.cpu().numpy()
        keys = [text[:length].tobytes() for text, length in zip(tokens, lengths, strict=True)]
        for i, key in enumerate(keys):
            if (
                key not in self.states
            ):  # alone, so that its last bits do not depend on the batch it first came in
                state = self.last_hidden(rows.input_ids[i : i + 1, : lengths[i]])[0]
                self.states[key] = state.cpu().pin_memory() if state.is_cuda else state
        if not keys:  # a part of a batch may hold no row of a role
            return torch.zeros(0, rows.input_ids.shape[1], self.model.config.hidden_size)
        first = self.states[keys[0]]
        padded = first.new_zeros(*rows.input_ids.shape, first.shape[1], device=rows.input_ids.device)
        for row, key, length in zip(padded, keys, lengths, strict=True):
            row[:length].copy_(self.states[key], non_blocking=True)
        return padded

    @torch.no_grad()
    def last_hidden(self, input_ids: Tensor) -> Tensor:
        """(B, T, H) what the head is applied to; checked once against the model's own logits."""
        hidden = self.model.base_model(input_ids=input_ids).last_hidden_state
        if not self.states:
            direct = self.model(input_ids=input_ids[:1]).logits
            if not torch.allclose(self.head(hidden[:1]), direct, rtol=1e-3, atol=1e-3):
                raise InputError(
                    f"model: {self.model.config.model_type} changes what its head returns; its frozen distributions"
                    " cannot be had from hidden states"
                )
        return hidden


def chunked_kl(hidden: Tensor, head: Module, logits: Tensor, chunk: int = CHUNK) -> Tensor:
    """(P,) KL of softmax(head(hidden)) to softmax(logits) at P positions, `chunk` at a time.

    Beside `logits` (P, V) only their gradient is kept, which is the difference of the two distributions.
    """
    return ChunkedKL.apply(logits, hidden, head, chunk)


class ChunkedKL(torch.autograd.Function):
    """KL whose gradient in the logits, softmax(logits) - frozen, is computed along the way."""

    @staticmethod
    def forward(ctx, logits: Tensor, hidden: Tensor, head: Module, chunk: int) -> Tensor:
        divergence = logits.new_empty(len(logits), dtype=torch.float32)
        gradient = torch.empty_like(logits) if ctx.needs_input_grad[0] else None
        for begin in range(0, len(logits), chunk):
            part = slice(begin, begin + chunk)
            before = head(hidden[part]).float().log_softmax(-1)
            after = logits[part].float().log_softmax(-1)
            likely = before.exp()
            divergence[part] = (likely * (before - after)).sum(-1)
            if gradient is not None:
                gradient[part] = after.exp() - likely
        ctx.save_for_backward(gradient)
        return divergence

    @staticmethod
    def backward(ctx, weight: Tensor) -> tuple[Tensor | None, None, None, None]:
        (gradient,) = ctx.saved_tensors
        return weight[:, None].to(gradient.dtype) * gradient, None, None, None
