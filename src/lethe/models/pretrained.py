"""What others made, loaded: its own Python never runs, nothing is asked on a terminal, nothing is unpickled."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import torch
from safetensors import safe_open
from transformers import AutoConfig, AutoTokenizer
from transformers.utils import cached_file, find_adapter_config_file

from lethe.models import adapters

Where = dict[str, Any]  # revision, or local_files_only


def load_config(source: str, where: Where, **options: Any):
    """The configuration of a model. How attention is computed is asked for here: a file may name code of the Hub."""
    config = AutoConfig.from_pretrained(source, trust_remote_code=False, **where, **options)
    config._attn_implementation = options.get("attn_implementation")
    config._experts_implementation = options.get("experts_implementation")
    return config


def before_fork() -> None:
    """Do once for all steps of a run what transformers does at the first model that it loads, a quarter of a second."""
    from transformers.conversion_mapping import get_checkpoint_conversion_mapping

    get_checkpoint_conversion_mapping("bert")


def load_tokenizer(source: str, where: Where):
    """The tokenizer of a model; of an adapter that has none, that of its base."""
    adapter = adapter_of(source, where)
    if adapter is not None and found(source, "tokenizer_config.json", where) is None:
        return load_tokenizer(adapter.base, adapter.where)
    return AutoTokenizer.from_pretrained(source, trust_remote_code=False, **where)


def load_model(
    kind, source: str, where: Where, settings: dict[str, Any] | None = None, **options: Any
) -> tuple[Any, dict[str, list]]:
    """A model of one of transformers' Auto classes, and which of its weights were missing or of another size.

    Of an adapter it is the base with the adapter merged into it.

    Args:
        settings: of the configuration, in place of the source's.
    Raises:
        OSError, ValueError: there are no weights as safetensors, or only code of its own could read the model.
    """
    adapter = adapter_of(source, where)
    if adapter is not None:
        model, loading = load_model(kind, adapter.base, adapter.where, settings, **options)
        model = adapters.merged(model, source, where)
        loading["missing_keys"] = [n for n in loading["missing_keys"] if n not in adapter.tensors]
        return model, loading
    model, loading = kind.from_pretrained(
        source, config=load_config(source, where, **(settings or {})), trust_remote_code=False, use_safetensors=True,
        output_loading_info=True, **where, **options,
    )  # fmt: skip
    if getattr(model, "peft_config", None):  # beside the whole model lies an adapter
        adapters.merge(model)
    return model, loading


def stored_type(source: str, where: Where) -> torch.dtype:
    """The type of a model's weights: the one its configuration names, or that of its first floating tensor."""
    adapter = adapter_of(source, where)
    if adapter is not None:
        return stored_type(adapter.base, adapter.where)
    named = load_config(source, where).dtype
    if named is not None:
        return named
    index = found(source, "model.safetensors.index.json", where)
    name = "model.safetensors"
    if index is not None:
        with open(index, encoding="utf-8") as file:
            name = min(json.load(file)["weight_map"].values())
    with safe_open(cached_file(source, name, **where), framework="pt") as file:
        kinds = (file.get_slice(key).get_dtype() for key in file.keys())  # noqa: SIM118 (not a dict)
        return {"F16": torch.float16, "BF16": torch.bfloat16}.get(next(kinds, "F32"), torch.float32)


@dataclass(frozen=True)
class Adapter:
    """An adapter of PEFT's: the model it is for, where that lies, and the names of whole weights that it has itself."""

    base: str
    where: Where
    tensors: set[str]


def adapter_of(source: str, where: Where) -> Adapter | None:
    """What a source says as an adapter; None where it is none, or holds a whole model, too.

    Raises:
        OSError: the adapter has no weights as safetensors.
    """
    file = find_adapter_config_file(source, **where)
    if file is None:
        return None
    weights = found(source, adapters.WEIGHTS, where)
    if weights is None:
        raise OSError(f"the adapter has no {adapters.WEIGHTS}; pickled weights are not read")
    if found(source, "config.json", where) is not None:
        return None
    with open(file, encoding="utf-8") as content:
        settings = json.load(content)
    with safe_open(weights, framework="pt") as opened:
        names = {name.removeprefix(adapters.PREFIX) for name in opened.keys()}  # noqa: SIM118 (not a dict)
    where = where | {"revision": settings.get("revision") or "main"}
    return Adapter(settings["base_model_name_or_path"], where, names)


def found(source: str, name: str, where: Where) -> str | None:
    """A file of a folder or of the Hub, None where there is none of the name."""
    return cached_file(source, name, _raise_exceptions_for_missing_entries=False, **where)


def context(model) -> int | None:
    """Tokens that the model has positions for; None if it does not say. RoBERTa and its kin begin after their pad."""
    most = getattr(model.config, "max_position_embeddings", None)
    tables = [m for name, m in model.named_modules() if name.endswith("position_embeddings")]
    offset = max(
        (m.padding_idx + 1 for m in tables if getattr(m, "padding_idx", None) is not None), default=0
    )
    return most - offset if most is not None and most > 0 else None  # XLNet says -1


def first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
