"""A frozen base in 4 bits, beside which adapters learn (QLoRA; Dettmers et al., 2023, arXiv:2305.14314)."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import torch
from transformers import BitsAndBytesConfig

from lethe.system.errors import InputError


def options(device: torch.device) -> dict[str, Any]:
    """What transformers loads a model in NF4 with, whose layers compute in bf16.

    Raises:
        InputError: there is no GPU, or no bitsandbytes.
    """
    if device.type != "cuda":
        raise InputError("model.weights: nf4; there is no GPU; allowed without one: auto, fp32, bf16")
    if find_spec("bitsandbytes") is None:
        raise InputError("model.weights: nf4; it needs bitsandbytes: pip install 'lethe[gpu]'")
    config = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16,
    )
    return {"quantization_config": config, "device_map": {"": device}}


def is_packed(weight: torch.Tensor) -> bool:
    """Does a weight hold packed bits, which have no gradient?"""
    return not weight.is_floating_point()
