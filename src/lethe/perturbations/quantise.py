"""Quantisation: fewer bits may bring back what small changes of the weights had hidden (arXiv:2410.16454).

Every linear layer but a language model's head. The arithmetic is that of the integers, in the precision of scoring:
products of rounded numbers with their scales, on any device.

    8 bits: weights by output channel, inputs by token while the model runs (dynamic, symmetric)
    4 bits: weights in bitsandbytes' NF4 (Dettmers et al., 2023, arXiv:2305.14314)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from transformers.pytorch_utils import Conv1D

from lethe.models import composed
from lethe.system.errors import InputError

NEEDS = ()


@dataclass(frozen=True)
class Options:
    level: Literal[8, 4]  # bits


@torch.no_grad()
def perturb_model(options: Options, model, sets, encoding):
    """Round the weights of the model and, with 8 bits, what its linear layers are given."""
    heads = {id(head) for head in composed.heads(model)}
    layers = [m for m in model.modules() if isinstance(m, torch.nn.Linear | Conv1D) and id(m) not in heads]
    if not layers:
        raise InputError("robustness: quantise: the model has no linear layer")
    for layer in layers:
        if options.level == 4:
            layer.weight.copy_(nf4(layer.weight))
        else:
            layer.weight.copy_(rounded(layer.weight, dim=0 if isinstance(layer, Conv1D) else 1))
            layer.register_forward_pre_hook(lambda _, inputs: (rounded(inputs[0], dim=-1), *inputs[1:]))
    return sets


def rounded(values: Tensor, dim: int) -> Tensor:
    """Each value as the nearest of 255 evenly spaced ones between ± the largest along `dim`."""
    scale = values.abs().amax(dim, keepdim=True).clamp(min=torch.finfo(values.dtype).tiny) / 127
    return (values / scale).round().clamp(-127, 127) * scale


def nf4(weight: Tensor) -> Tensor:
    """The weight as NF4 stores it.

    Raises:
        InputError: bitsandbytes is not installed.
    """
    try:
        from bitsandbytes import functional
    except ImportError:
        raise InputError("robustness: quantise: 4 bits need bitsandbytes: pip install 'lethe[gpu]'") from None
    return functional.dequantize_4bit(*functional.quantize_4bit(weight.contiguous(), quant_type="nf4"))
