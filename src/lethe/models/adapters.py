"""Low-rank adapters (LoRA; Hu et al., ICLR 2022, arXiv:2106.09685): W x + alpha / rank * B A x with W frozen.

Optimiser states and gradients are those of A and B alone, and the frozen model of an objective shares W. At the end
they are merged, so that what is saved is a model like any other.
"""

from __future__ import annotations

from typing import Any

import torch
from transformers.pytorch_utils import Conv1D

from lethe.params.training import Lora
from lethe.system.errors import InputError
from lethe.system.streams import stream_seed


def add(model, lora: Lora, seed: int) -> None:
    """Put adapters beside the linear layers of the body that train; beside them only a classifier's head still trains.

    Raises:
        InputError: none of the layers that train has one of the names.
    """
    from peft import LoraConfig, inject_adapter_in_model

    body = f"{model.base_model_prefix}."
    linear = [
        name
        for name, layer in model.named_modules()
        if name.startswith(body)
        and isinstance(layer, torch.nn.Linear | Conv1D)
        and layer.weight.requires_grad
    ]
    wanted = [n for n in linear if lora.targets is None or n.split(".")[-1] in lora.targets]
    if not wanted:
        names = ", ".join(sorted({name.split(".")[-1] for name in linear})) or "none"
        raise InputError(f"training.lora.targets: {lora.targets}: no layer that trains; allowed are {names}")
    classifies = model.get_output_embeddings() is None
    head = [
        p for n, p in model.named_parameters() if classifies and not n.startswith(body) and p.requires_grad
    ]
    torch.manual_seed(stream_seed(seed, "adapters"))
    transposed = isinstance(model.get_submodule(wanted[0]), Conv1D)
    config = LoraConfig(r=lora.rank, lora_alpha=lora.alpha, target_modules=wanted, fan_in_fan_out=transposed)
    inject_adapter_in_model(config, model)
    for parameter in head:
        parameter.requires_grad_(True)


def merge(model) -> None:
    """Add what the adapters learnt to the weights beside them, which another model may share, and take them away."""
    from peft.tuners.lora import LoraLayer

    for name, layer in list(model.named_modules()):
        if isinstance(layer, LoraLayer):
            plain: Any = layer.get_base_layer()  # type: ignore[attr-defined]
            plain.weight.data = plain.weight.data.clone()
            layer.merge()  # type: ignore[attr-defined]
            parent, _, child = name.rpartition(".")
            setattr(model.get_submodule(parent), child, plain)
    del model.peft_config  # others may follow
    model.requires_grad_(True)
