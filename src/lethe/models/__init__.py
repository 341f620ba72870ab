"""Language models: load and save, the tiny built-in ones, adapters, fused blocks."""

from lethe.models.loading import (
    PACKAGED,
    Ensemble,
    base,
    check_tokens,
    context,
    device,
    encoder,
    freeze,
    load,
    located,
    mixed_with_uniform,
    save,
    tokenizer,
    train_only,
    warn_of_gpus,
)

__all__ = [
    "PACKAGED",
    "Ensemble",
    "base",
    "check_tokens",
    "context",
    "device",
    "encoder",
    "freeze",
    "load",
    "located",
    "mixed_with_uniform",
    "save",
    "tokenizer",
    "train_only",
    "warn_of_gpus",
]
