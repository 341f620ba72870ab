"""Greedy decoding against true texts: one pass says what the model predicts at every position.

Greedy means arg max, the lowest index on a tie; settings of generation (penalties, sampling) are not used. The
smallest gap between the two largest logits says whether a token could differ on another machine.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import linear
from torch.nn.utils.rnn import pad_sequence

from lethe.decoding.head import passes, predictions
from lethe.decoding.key_values import KeyValues
from lethe.models.composed import heads
from lethe.models.fused import exchange, fused, restore


@dataclass(frozen=True)
class TeacherForced:
    """What one pass over true texts says; (N, T-1) arrays whose column j is about token j + 1, 0 at pads.

    predicted: int64, the greedy token. correct: bool, it is the token. mask: bool, there is a token. gap: float32,
    between the two largest logits. logprob, mu, sigma: float32, if asked for, log-probability of the token in nats, and
    mean and standard deviation of it over the vocabulary.
    """

    predicted: np.ndarray
    correct: np.ndarray
    mask: np.ndarray
    gap: np.ndarray
    logprob: np.ndarray | None = None
    mu: np.ndarray | None = None
    sigma: np.ndarray | None = None


def teacher_forced(
    model, input_ids, lengths=None, *, batch_size: int = 32, logprob: bool = False, float32_head: bool = True
) -> TeacherForced:
    """One pass over each text, in batches of similar length.

    Args:
        model: causal language model of transformers; its state is left as it is.
        input_ids: (N, T) int, padded on the right with anything.
        lengths: (N,) int in [2, T]; None: all T.
        batch_size: texts in one pass; many logits are computed in parts, see `lethe.models.head`.
        logprob: compute logprob, mu and sigma, too.
        float32_head: logits in float32 also where weights have less precision, and rounding would tie them.
    Raises:
        ValueError: shapes do not fit, or a text has fewer than two tokens; the first such row is named.
    """
    ids, lengths = checked(input_ids, lengths)
    order = np.argsort(-lengths, kind="stable")
    with evaluating(model, float32_head):
        parts = forced(model, ids[order], lengths[order], batch_size, logprob)
    back = np.argsort(order)
    return TeacherForced(**{name: value[back] for name, value in vars(parts).items() if value is not None})


def checked(input_ids, lengths) -> tuple[np.ndarray, np.ndarray]:
    """(N, T) int64 tokens, 0 at pads, and (N,) int64 lengths, on the host."""
    ids = np.asarray(torch.as_tensor(input_ids).cpu(), dtype=np.int64)
    if ids.ndim != 2 or not len(ids):
        raise ValueError(f"input_ids have shape {ids.shape}; (N, T) with at least one text is needed")
    full = np.full(len(ids), ids.shape[1])
    lengths = full if lengths is None else np.asarray(torch.as_tensor(lengths).cpu(), dtype=np.int64)
    if lengths.shape != full.shape or (lengths > full).any():
        raise ValueError(f"lengths must be {len(ids)} numbers of at most {ids.shape[1]} tokens")
    if (lengths < 2).any():
        raise ValueError(
            f"row {int(np.argmin(lengths))} has fewer than two tokens: nothing is predicted in it"
        )
    return np.where(np.arange(ids.shape[1]) < lengths[:, None], ids, 0), lengths


@contextlib.contextmanager
def evaluating(model, float32_head: bool = True) -> Iterator[None]:
    """Without dropout and gradients, by fused kernels, logits in float32; every module gets its mode and methods back.

    As `fused` says, no row may hold pads but on the right.
    """
    modes = [(module, module.training) for module in model.modules()]
    undo = []
    for head in heads(model):
        if float32_head and head.weight.dtype != torch.float32:
            bias = None if head.bias is None else head.bias.float()
            given = {"weight": head.weight.float(), "bias": bias}
            undo += exchange([head], "forward", partial(in_float32, **given))
    model.eval()
    try:
        with torch.no_grad(), fused(model):
            yield
    finally:
        for module, mode in modes:
            module.training = mode
        restore(undo)


def in_float32(module, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """The logits of a head, by its weights in float32."""
    return linear(x.float(), weight, bias)


def forced(
    model, ids: np.ndarray, lengths: np.ndarray, batch_size: int, logprob: bool = False, cache: KeyValues | None = None
) -> TeacherForced:  # fmt: skip
    """`teacher_forced` of texts in the order given, which should be by length; `cache` keeps keys and values."""
    shape = (len(ids), ids.shape[1] - 1)
    names = ("gap", "logprob", "mu", "sigma") if logprob else ("gap",)
    found = {"predicted": np.zeros(shape, np.int64), **{name: np.zeros(shape, np.float32) for name in names}}
    size, in_parts = passes(model, batch_size, ids.shape[1])
    for begin in range(0, len(ids), size):
        rows = slice(begin, begin + size)
        width = int(lengths[rows].max())
        tokens = torch.from_numpy(ids[rows, :width]).to(model.device)
        if cache is not None:
            cache.stand(0, first=begin)
        each: list[list[dict[str, Tensor]]] = [[] for _ in tokens]
        for row, first, logits in predictions(model, tokens, lengths[rows].tolist(), cache, in_parts):
            next_ones = tokens[row, first + 1 : first + 1 + len(logits)]
            each[row].append(statistics(logits.float(), next_ones, logprob))
        for name, whole in found.items():
            of_rows = [torch.cat([values[name] for values in parts]) for parts in each]
            whole[rows, : width - 1] = pad_sequence(of_rows, batch_first=True).cpu().numpy()
    mask = np.arange(1, ids.shape[1]) < lengths[:, None]
    found = {name: np.where(mask, value, value.dtype.type(0)) for name, value in found.items()}
    return TeacherForced(**found, mask=mask, correct=mask & (found["predicted"] == ids[:, 1:]))


def statistics(logits: Tensor, tokens: Tensor, logprob: bool) -> dict[str, Tensor]:
    """Greedy token and gap at the positions of one text, and what `logprob` asks for; `logits` (T, V) are used up."""
    if not logprob:
        predicted, _, gap = ranked(logits)
        return {"predicted": predicted, "gap": gap}
    log_p = logits.log_softmax(1)
    p = log_p.exp()
    log_p = log_p.where(p > 0, 0.0)  # a logit of -inf takes no part
    mu = (p * log_p).sum(1)
    sigma = (p * (log_p - mu[:, None]).square()).sum(1).sqrt()
    logit = logits.gather(1, tokens[:, None])
    predicted, best, gap = ranked(logits)
    others = logits.sub_(best).exp_().sum(1)  # all but the largest, whose term is 1
    true = (logit - best).squeeze(1) - others.log1p()
    return {"predicted": predicted, "gap": gap, "logprob": true, "mu": mu, "sigma": sigma}


def greedy(logits: Tensor) -> tuple[Tensor, Tensor]:
    """Arg max, the lowest index on a tie, and the gap to the second largest of float32 `logits` (B, V), used up."""
    token, _, gap = ranked(logits)
    return token, gap


def ranked(logits: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """(B,) arg max, (B, 1) the largest, which becomes -inf in `logits`, and (B,) the gap to the second largest."""
    if logits.device.type == "cpu":  # NumPy compares many numbers at once
        token = torch.from_numpy(logits.numpy().argmax(axis=1))[:, None]
    else:
        token = logits.argmax(dim=1, keepdim=True)
    best = logits.gather(1, token)
    second = logits.scatter_(1, token, float("-inf")).amax(dim=1, keepdim=True)
    return token.squeeze(1), best, (best - second).squeeze(1)
