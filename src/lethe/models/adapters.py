"""Low-rank adapters (LoRA; Hu et al., ICLR 2022, arXiv:2106.09685): W x + alpha / rank * B A x with W frozen.

Optimiser states and gradients are those of A and B alone, and the frozen model of an objective shares W. At the end
they are merged, so that what is saved is a model like any other, or they are saved alone, as PEFT does.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from transformers.pytorch_utils import Conv1D

from lethe.models.four_bits import is_packed
from lethe.params.training import Lora
from lethe.system.errors import InputError
from lethe.system.files import write_json
from lethe.system.streams import stream_seed

WEIGHTS, PREFIX = (
    "adapter_model.safetensors",
    "base_model.model.",
)  # PEFT's file, and what its names begin with


def add(model, lora: Lora, seed: int) -> None:
    """Put adapters beside the linear layers of the body that train; beside them only a classifier's head still trains.

    Raises:
        InputError: none of the layers that train has one of the names.
    """
    from peft import LoraConfig, inject_adapter_in_model

    body = f"{model.base_model_prefix}."
    linear = [name for name in linear_layers(model) if can_adapt(model.get_submodule(name).weight)]
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
    try:
        inject_adapter_in_model(config, model)
    except ValueError as error:  # PEFT knows layers that read their weights in other ways
        raise InputError(f"training.lora.targets: {lora.targets}: {' '.join(str(error).split())}") from None
    for parameter in head:
        parameter.requires_grad_(True)
    for parameter in model.parameters():
        if parameter.requires_grad:  # small steps would be lost in 16 bits
            parameter.data = parameter.data.float()


def can_adapt(weight: torch.Tensor) -> bool:
    """Does the weight train, or is it packed, so that an adapter alone can change its layer?"""
    return weight.requires_grad or is_packed(weight)


def linear_layers(model) -> list[str]:
    """Names of all linear layers of the body."""
    body = f"{model.base_model_prefix}."
    named = model.named_modules()
    return [n for n, layer in named if n.startswith(body) and isinstance(layer, torch.nn.Linear | Conv1D)]


def merge(model) -> None:
    """Add what the adapters learnt to the weights beside them, which another model may share, and take them away."""
    from peft.tuners.lora import LoraLayer

    for name, layer in list(model.named_modules()):
        if isinstance(layer, LoraLayer):
            plain: Any = layer.get_base_layer()  # type: ignore[attr-defined]
            if is_packed(plain.weight):
                raise InputError(
                    "model.weights: nf4; the method merges what it learnt; allowed: auto, fp32, bf16"
                )
            plain.weight = torch.nn.Parameter(plain.weight.detach().clone(), plain.weight.requires_grad)
            layer.merge()  # type: ignore[attr-defined]
            parent, _, child = name.rpartition(".")
            setattr(model.get_submodule(parent), child, plain)
    del model.peft_config  # others may follow
    model._hf_peft_config_loaded = False  # or transformers would save adapters
    model.requires_grad_(True)


def merged(model, source: str, where: dict[str, Any]):
    """The model with an adapter of PEFT's, of whatever kind, merged into its weights.

    Raises:
        ValueError: the adapter is none that weights can hold, such as a prompt.
    """
    from peft import PeftModel

    adapted = PeftModel.from_pretrained(model, source, **where)
    if adapted.peft_config["default"].is_prompt_learning:
        raise ValueError("a learnt prompt cannot be merged into weights; allowed are adapters of layers")
    return adapted.merge_and_unload()


def save(model, folder: Path, base: str | Path) -> None:
    """Write what trained of a model with adapters, as PEFT's folder of an adapter for `base`."""
    trained = {name: p.detach().cpu().contiguous() for name, p in model.named_parameters() if p.requires_grad}
    heads = sorted({name.rpartition(".")[0] for name in trained if ".lora_" not in name}) or None
    config = model.peft_config["default"]
    said = {
        "peft_type": "LORA", "base_model_name_or_path": str(base), "r": config.r, "lora_alpha": config.lora_alpha,
        "target_modules": sorted(config.target_modules), "fan_in_fan_out": config.fan_in_fan_out,
        "modules_to_save": heads, "inference_mode": True,
    }  # fmt: skip
    write_json(folder / "adapter_config.json", said)
    tensors = {PREFIX + name.replace(".default.", "."): tensor for name, tensor in trained.items()}
    save_file(tensors, folder / WEIGHTS, metadata={"format": "pt"})
