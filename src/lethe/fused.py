"""Fused kernels in place of what costs most in transformers' GPT-Neo and GPT-2.

GPT-Neo's attention keeps in training the weights of every layer for the backward pass, B * heads * T * T numbers in
float32: half a GB a layer for 8 texts of 1024 tokens at 16 heads. A fused kernel keeps none of them. In decoding it
reads all keys and values in layers that attend to a window, too, and masks what lies before it. The approximation of
GELU by a tanh is computed in eight steps, each over all of its input. Other architectures have such paths in
transformers.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from functools import partial

import torch
from torch import Tensor
from torch.nn.functional import embedding_bag, gelu, scaled_dot_product_attention


def fuse(model) -> None:
    """Let a model train by fused kernels: GELU, and every GPT-Neo layer's attention where a gradient is asked for.

    Rows must be padded on the right, as those of training are: no token of such a row sees a pad, so that a mask of
    pads need not be read.
    """
    fuse_gelu(model)
    for layer in layers(model):
        layer._attn = partial(attend, layer, layer._attn)


def fuse_gelu(model) -> list:
    """Compute the approximation of GELU in one step, in float32 also where numbers have less; returns what changed."""
    from transformers.activations import NewGELUActivation

    plain = [m for m in model.modules() if isinstance(m, NewGELUActivation) and "forward" not in vars(m)]
    for module in plain:
        vars(module)["forward"] = partial(gelu, approximate="tanh")
    return plain


@contextlib.contextmanager
def fused_gelu(model) -> Iterator[None]:
    """`fuse_gelu` for a while, if weights are float32; with less, roundings after every step stay as they are."""
    changed = fuse_gelu(model) if model.dtype == torch.float32 else []
    try:
        yield
    finally:
        for module in changed:
            del module.forward


@contextlib.contextmanager
def one_token_at_a_time(model) -> Iterator[None]:
    """Let a single token attend to no more than it may see; no row of the cache may hold pads.

    Other architectures, and passes over more tokens than one, stay as they are.
    """
    changed = [(layer, layer.__dict__.get("_attn")) for layer in layers(model)]
    for layer, _ in changed:
        layer._attn = partial(attend_last, layer, layer._attn)
    try:
        yield
    finally:
        for layer, before in changed:
            if before is None:
                del layer._attn
            else:
                layer._attn = before


def layers(model) -> list:
    """Attention of every layer of a GPT-Neo; none of other models."""
    from transformers.models.gpt_neo.modeling_gpt_neo import GPTNeoSelfAttention

    return [layer for layer in model.modules() if isinstance(layer, GPTNeoSelfAttention)]


def attend(layer, plain, query: Tensor, key: Tensor, value: Tensor, attention_mask=None) -> tuple:
    """(B, heads, T, size) what each token attends to, itself and those before it, or of a window; unscaled."""
    length = query.shape[-2]
    if not torch.is_grad_enabled() or key.shape[-2] != length:
        return plain(query, key, value, attention_mask)
    local = layer.attention_type == "local" and length > layer.config.window_size
    mask = layer.bias[:, :, :length, :length] if local else None
    dropout = layer.attn_dropout.p if layer.training else 0.0
    output = scaled_dot_product_attention(
        query, key, value.to(query.dtype), mask, dropout, is_causal=not local, scale=1.0
    )
    return output, None


def attend_last(layer, plain, query: Tensor, key: Tensor, value: Tensor, attention_mask=None) -> tuple:
    """(B, heads, 1, size) what the last token attends to: everything before it, or as much as its window holds."""
    if query.shape[-2] != 1:
        return plain(query, key, value, attention_mask)
    first = -layer.config.window_size if layer.attention_type == "local" else None
    key, value = key[..., first:, :], value[..., first:, :]
    weights = (key.float() @ query.float().mT).squeeze(-1).softmax(dim=-1).to(value.dtype)
    return weighted_sum(weights, value)[..., None, :], None


def weighted_sum(weights: Tensor, value: Tensor) -> Tensor:
    """(B, heads, size) sum over T of `value` (B, heads, T, size) by `weights` (B, heads, T).

    On a CPU as a bag of embeddings, whose rows are fetched ahead: twice as fast as a product with a single row.
    """
    rows, heads, length, size = value.shape
    if value.device.type != "cpu" or value.dtype != torch.float32 or value.stride()[2:] != (size, 1):
        return (weights[..., None, :] @ value).squeeze(-2)
    row, head = (step // size for step in value.stride()[:2])  # in positions
    begins = torch.arange(rows)[:, None] * row + torch.arange(heads) * head
    table = value.as_strided((int(begins[-1, -1]) + length, size), (size, 1))
    bags = begins.view(-1, 1) + torch.arange(length)
    return embedding_bag(bags, table, per_sample_weights=weights.reshape(bags.shape), mode="sum").view(
        rows, heads, size
    )
