"""Fused kernels in place of what costs most in transformers' GPT-Neo and GPT-2.

GPT-Neo's attention keeps in training the weights of every layer for the backward pass, B * heads * T * T numbers in
float32: half a GB a layer for 8 texts of 1024 tokens at 16 heads. A fused kernel keeps none of them. In decoding it
reads all keys and values in layers that attend to a window, too, and masks what lies before it. The approximation of
GELU by a tanh is computed in eight steps, each over all of its input. Other architectures have such paths in
transformers.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from functools import partial
from types import MethodType

import torch
from torch import Tensor
from torch.nn.functional import embedding_bag, gelu, scaled_dot_product_attention


def fuse(model) -> None:
    """Let a model train, or be a reference of one that does, by fused kernels: GELU, and GPT-Neo's attention.

    Rows must be padded on the right, as those of training are: no token of such a row sees a pad, so that a mask of
    pads need not be read.
    """
    exchange(activations(model), "forward", fused_gelu)
    exchange(layers(model), "_attn", attend_in_training)


@contextlib.contextmanager
def fused(model) -> Iterator[None]:
    """Let a model compute by fused kernels for a while; no row, nor the cache of one, may hold pads but on the right.

    The last bits of what it computes change; with less precision than float32 the attention of passes over more tokens
    than one is that of transformers, since other roundings would show. A single token attends to no more than it may.
    """
    undo = exchange(layers(model), "_attn", attend_in_evaluation)
    undo += exchange(activations(model), "forward", fused_gelu)
    try:
        yield
    finally:
        restore(undo)


def exchange(modules: list, name: str, function: Callable) -> list[tuple[dict, str, dict]]:
    """Give each module a method of its own; returns what each had before: its attributes, the name, and that method.

    All have the same function, so that what is compiled of one block serves the others.
    """
    undo = []
    for module in modules:
        own = vars(module)
        undo.append((own, name, {name: own[name]} if name in own else {}))
        own[name] = MethodType(function, module)
    return undo


def restore(undo: list[tuple[dict, str, dict]]) -> None:
    """Give modules back what `exchange` took."""
    for own, name, before in undo:
        del own[name]
        own.update(before)


def activations(model) -> list:
    """GELU by the formula with a tanh, in steps; GPT-2's and GPT-Neo's."""
    from transformers.activations import NewGELUActivation

    return [module for module in model.modules() if isinstance(module, NewGELUActivation)]


def fused_gelu(module, x: Tensor) -> Tensor:
    return gelu(x, approximate="tanh")


def layers(model) -> list:
    """Attention of every layer of a GPT-Neo; none of other models."""
    from transformers.models.gpt_neo.modeling_gpt_neo import GPTNeoSelfAttention

    return [layer for layer in model.modules() if isinstance(layer, GPTNeoSelfAttention)]


def windows(model) -> list[int | None]:
    """Of every layer of a `fused` GPT-Neo, how many of the last positions a single token attends to, None for all."""
    return [layer.config.window_size if layer.attention_type == "local" else None for layer in layers(model)]


def attend_in_training(layer, query: Tensor, key: Tensor, value: Tensor, attention_mask=None) -> tuple:
    """`attend`, but for tokens that follow on a cache."""
    if key.shape[-2] != query.shape[-2]:
        return type(layer)._attn(layer, query, key, value, attention_mask)
    return attend(layer, query, key, value.to(query.dtype)), None


def attend_in_evaluation(layer, query: Tensor, key: Tensor, value: Tensor, attention_mask=None) -> tuple:
    """`attend` in float32, and `attend_last`."""
    if query.shape[-2] == 1:
        return attend_last(layer, query, key, value), None
    if key.shape[-2] != query.shape[-2] or query.dtype != torch.float32:
        return type(layer)._attn(layer, query, key, value, attention_mask)
    return attend(layer, query, key, value), None


def attend(layer, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """(B, heads, T, size) what each token attends to, itself and those before it, or of a window; unscaled."""
    length = query.shape[-2]
    local = layer.attention_type == "local" and length > layer.config.window_size
    mask = layer.bias[:, :, :length, :length] if local else None
    dropout = layer.attn_dropout.p if layer.training else 0.0
    return scaled_dot_product_attention(query, key, value, mask, dropout, is_causal=not local, scale=1.0)


def attend_last(layer, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """(B, heads, 1, size) what the last token attends to: everything before it, or as much as its window holds."""
    first = -layer.config.window_size if layer.attention_type == "local" else None
    key, value = key[..., first:, :], value[..., first:, :]
    weights = (key.float() @ query.float().mT).squeeze(-1).softmax(dim=-1).to(value.dtype)
    return weighted_sum(weights, value)[..., None, :]


def weighted_sum(weights: Tensor, value: Tensor) -> Tensor:
    """(B, heads, size) sum over T of `value` (B, heads, T, size) by `weights` (B, heads, T).

    On a CPU as a bag of embeddings, whose rows are fetched ahead: twice as fast as a product with a single row.
    """
    rows, heads, length, size = value.shape
    if value.device.type != "cpu" or value.dtype != torch.float32 or value.stride()[2:] != (size, 1):
        return (weights[..., None, :] @ value).squeeze(-2)
    row, head = (step // size for step in value.stride()[:2])  # in positions
    count = partial(torch.arange, dtype=torch.int32)  # half as much to read as int64
    begins = count(rows)[:, None] * row + count(heads) * head
    table = value.as_strided((int(begins[-1, -1]) + length, size), (size, 1))
    bags = begins.view(-1, 1) + count(length)
    return embedding_bag(bags, table, per_sample_weights=weights.reshape(bags.shape), mode="sum").view(
        rows, heads, size
    )
