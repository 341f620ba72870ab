"""A layer beside an adapter as one step, which keeps for the way back what it read and nothing that was made of it.

Layer by layer, PEFT under autocast keeps what each adapter reads three times, in the precision of the pass before, of
the adapter and of the product, and a copy of the frozen weights in 16 bits. For the step as a whole what it reads is
enough, once for all adapters that read the same, and the few numbers a token that A makes; weights are rounded once
more on the way back.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import Identity, Linear
from torch.nn.functional import linear

from lethe.models.fused import exchange


def fuse_adapters(model) -> None:
    """Let adapters without dropout beside frozen linear layers train by one step each; others stay PEFT's."""
    if not hasattr(model, "peft_config"):
        return
    exchange([layer for layer in model.modules() if is_plain(layer)], "forward", adapted)


def is_plain(layer) -> bool:
    """Is it one adapter of PEFT's, W x + s B A x, of a frozen W in its own precision?"""
    from peft.tuners.lora import Linear as Adapted

    if type(layer) is not Adapted or len(layer.lora_A) != 1:
        return False
    base: Any = layer.get_base_layer()
    (name,) = layer.lora_A
    whole = type(layer.lora_dropout[name]) is Identity and layer.lora_B[name].bias is None
    return whole and not layer.lora_variant and type(base) is Linear and not base.weight.requires_grad


def adapted(layer, x: Tensor, *args, **kwargs) -> Tensor:
    """`LoraLinear` where gradients follow; else PEFT's own."""
    (name,) = layer.lora_A
    base, a, b = layer.get_base_layer(), layer.lora_A[name].weight, layer.lora_B[name].weight
    rounds = torch.is_autocast_enabled(x.device.type)
    one = rounds or x.dtype == base.weight.dtype == a.dtype
    if layer.disable_adapters or layer.merged or args or kwargs or not (one and torch.is_grad_enabled()):
        return type(layer).forward(layer, x, *args, **kwargs)
    dtype = torch.get_autocast_dtype(x.device.type) if rounds else x.dtype
    computed: Any = LoraLinear.apply(x, base.weight, base.bias, a, b, layer.scaling[name], dtype)
    return computed


class LoraLinear(torch.autograd.Function):
    """(…, out) W x + bias + s B A x of (…, in) x, W and bias frozen; products are of the given dtype."""

    @staticmethod
    def forward(
        ctx, x: Tensor, weight: Tensor, bias: Tensor | None, a: Tensor, b: Tensor, scale: float, dtype
    ):
        with torch.autocast(x.device.type, enabled=False):
            read = x.to(dtype).flatten(0, -2)
            inner = linear(read, a.to(dtype))
            found = linear(read, weight.to(dtype), None if bias is None else bias.to(dtype))
            found.addmm_(inner, b.to(dtype).T, alpha=scale)
        ctx.save_for_backward(x, weight, a, b, inner)
        ctx.scale, ctx.dtype = scale, dtype
        return found.unflatten(0, x.shape[:-1])

    @staticmethod
    def backward(ctx, slope: Tensor):
        x, weight, a, b, inner = ctx.saved_tensors
        slope = slope.to(ctx.dtype).flatten(0, -2)
        of_inner = (slope @ b.to(ctx.dtype)).mul_(ctx.scale)
        of_x = of_a = of_b = None
        if ctx.needs_input_grad[0]:
            found = slope @ weight.to(ctx.dtype)
            of_x = found.addmm_(of_inner, a.to(ctx.dtype)).to(x.dtype).unflatten(0, x.shape[:-1])
        if ctx.needs_input_grad[3]:
            of_a = (of_inner.T @ x.to(ctx.dtype).flatten(0, -2)).to(a.dtype)
        if ctx.needs_input_grad[4]:
            of_b = (slope.T @ inner).to(b.dtype) * ctx.scale
        return of_x, None, None, of_a, of_b, None, None
