"""GPT-Neo's attention without what transformers' own costs; other architectures have such paths in transformers.

In training its own keeps the weights of every layer for the backward pass, B * heads * T * T numbers in float32: half a
GB a layer for 8 texts of 1024 tokens at 16 heads. A fused kernel keeps none of them. In decoding its own reads all keys
and values in layers that attend to a window, too, and masks what lies before it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from functools import partial

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention


def fuse_attention(model) -> None:
    """Let every GPT-Neo layer of a model attend by fused kernels where a gradient is asked for.

    Other architectures find theirs by themselves. Rows must be padded on the right, as those of training are: no token
    of such a row sees a pad, so that a mask of pads need not be read.
    """
    for layer in layers(model):
        layer._attn = partial(attend, layer, layer._attn)


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
    weights = (query.float() @ key.float().transpose(-1, -2)).softmax(dim=-1)
    return weights.to(value.dtype) @ value, None
