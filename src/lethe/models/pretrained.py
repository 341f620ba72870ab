"""What others made, loaded: its own Python never runs, nothing is asked on a terminal, nothing is unpickled."""

from __future__ import annotations

import json
from typing import Any

from transformers import AutoConfig, AutoTokenizer
from transformers.utils import cached_file, find_adapter_config_file

Where = dict[str, Any]  # revision, or local_files_only
WEIGHTS = "adapter_model.safetensors"


def load_config(source: str, where: Where, **options: Any):
    """The configuration of a model. How attention is computed is asked for here: a file may name code of the Hub."""
    config = AutoConfig.from_pretrained(source, trust_remote_code=False, **where, **options)
    config._attn_implementation = options.get("attn_implementation")
    config._experts_implementation = options.get("experts_implementation")
    return config


def load_tokenizer(source: str, where: Where):
    return AutoTokenizer.from_pretrained(source, trust_remote_code=False, **where)


def load_model(kind, source: str, where: Where, config=None, **options: Any) -> tuple[Any, dict[str, list]]:
    """A model of one of transformers' Auto classes, and which of its weights were missing or of another size.

    A folder of an adapter is that of its base model, with the adapter beside its layers.

    Raises:
        OSError, ValueError: there are no weights as safetensors, or only code of its own could read the model.
    """
    if config is None:
        config = load_config(base_of_adapter(source, where) or source, where)
    return kind.from_pretrained(
        source, config=config, trust_remote_code=False, use_safetensors=True, output_loading_info=True,
        **where, **options,
    )  # fmt: skip


def is_adapter(source: str, where: Where) -> bool:
    return find_adapter_config_file(source, **where) is not None


def base_of_adapter(source: str, where: Where) -> str | None:
    """The model that an adapter is for, None where the source is no adapter or holds a whole model, too.

    Raises:
        OSError: the adapter has no weights as safetensors.
    """
    found = find_adapter_config_file(source, **where)
    if found is None:
        return None
    if cached_file(source, WEIGHTS, _raise_exceptions_for_missing_entries=False, **where) is None:
        raise OSError(f"the adapter has no {WEIGHTS}; pickled weights are not read")
    if cached_file(source, "config.json", _raise_exceptions_for_missing_entries=False, **where) is not None:
        return None
    with open(found, encoding="utf-8") as file:
        return json.load(file)["base_model_name_or_path"]
