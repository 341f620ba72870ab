"""Language models: load and save, the tiny built-in ones, those composed of several, adapters, fused blocks."""

from lethe.models.composed import Composed
from lethe.models.existing import folder_of, identity, known
from lethe.models.loading import (
    base,
    base_tokenizer,
    check_tokens,
    device,
    encoder,
    freeze,
    let_train,
    load,
    save,
    tokenizer,
    train_only,
    warn_of_gpus,
)
from lethe.models.packaged import PACKAGED, located
from lethe.models.pretrained import context

__all__ = [
    "PACKAGED",
    "Composed",
    "base",
    "base_tokenizer",
    "check_tokens",
    "context",
    "device",
    "encoder",
    "folder_of",
    "freeze",
    "identity",
    "known",
    "let_train",
    "load",
    "located",
    "save",
    "tokenizer",
    "train_only",
    "warn_of_gpus",
]
