"""Tiny models, built with random weights, and the tokenizers trained for them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import transformers
from huggingface_hub.errors import StrictDataclassError
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from lethe.datasets.tokens import read_tokenizer
from lethe.params.model import Model
from lethe.system import plugins
from lethe.system.errors import InputError

TINY: dict[str, dict[str, Any]] = {
    "tiny-gpt-neo": {
        "hidden_size": 128, "num_layers": 2, "num_heads": 2, "vocab_size": 2048, "window_size": 48,
        "resid_dropout": 0.0, "embed_dropout": 0.0, "attention_dropout": 0.0,
    },
    "tiny-bert": {
        "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 256,
        "vocab_size": 2048,
    },
}  # fmt: skip
END = "<|endoftext|>"


def tiny(cfg: Model, task: str, head: dict[str, Any], texts: list[str]):
    """A small model with random weights and a tokenizer trained on `texts`.

    Args:
        head: settings of the configuration that follow from the task and its labels.
    """
    able = plugins.part("tasks", task, "TINY") or ()
    if cfg.source not in able:
        allowed = ", ".join(able) or "none"
        raise InputError(
            f"model.source: {cfg.source}: is not for {task}; allowed of the tiny models: {allowed}"
        )
    options: dict[str, Any] = {**TINY[cfg.source], **cfg.options}
    tokenizer = tiny_tokenizer(cfg, texts)
    options["vocab_size"] = len(tokenizer)
    end = tokenizer.pad_token_id
    try:
        config = CONFIGURATIONS[cfg.source](options | head, cfg.max_length, end)
        model = plugins.part("tasks", task, "MODEL").from_config(config)
    except (ValueError, TypeError, ArithmeticError, RuntimeError, StrictDataclassError) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"model.options: {cfg.options}: do not fit together ({reason})") from None
    if isinstance(config, transformers.GPTNeoConfig):
        torch.nn.init.normal_(model.transformer.wte.weight, std=0.05)  # small models learn faster from there
    return model, tokenizer


def bert(options: dict[str, Any], longest: int, pad: int) -> transformers.BertConfig:
    return transformers.BertConfig(**options, max_position_embeddings=longest, pad_token_id=pad)


def tiny_tokenizer(cfg: Model, texts: list[str]) -> PreTrainedTokenizerFast:
    """The tokenizer that is given, or one trained on `texts`."""
    if cfg.tokenizer:
        return given_tokenizer(Path(cfg.tokenizer))
    size = {**TINY[cfg.source], **cfg.options}["vocab_size"]
    if not isinstance(size, int):
        raise InputError(f"model.options.vocab_size: {size!r}: a number of tokens is needed")
    return byte_pairs(texts, size, bert=cfg.source == "tiny-bert")


def gpt_neo(options: dict[str, Any], longest: int, end: int) -> transformers.GPTNeoConfig:
    """Global and local attention in turns; the number of layers is even."""
    return transformers.GPTNeoConfig(
        **options, attention_types=[[["global", "local"], options["num_layers"] // 2]],
        intermediate_size=4 * options["hidden_size"], max_position_embeddings=longest,
        bos_token_id=end, eos_token_id=end, pad_token_id=end,
    )  # fmt: skip


CONFIGURATIONS: dict[str, Callable[..., transformers.PretrainedConfig]] = {
    "tiny-bert": bert,
    "tiny-gpt-neo": gpt_neo,
}


def byte_pairs(texts: list[str], size: int, bert: bool) -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer of `size` tokens; digits stand alone, so that numbers share no token."""
    special = ["[PAD]", "[CLS]", "[SEP]"] if bert else [END]
    tokenizer = Tokenizer(models.BPE())
    digits, letters = (
        pre_tokenizers.Digits(individual_digits=True),
        pre_tokenizers.ByteLevel(add_prefix_space=False),
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([digits, letters])
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=size, special_tokens=special, initial_alphabet=sorted(alphabet), show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    if bert:
        frame = [(name, tokenizer.token_to_id(name)) for name in ("[CLS]", "[SEP]")]
        tokenizer.post_processor = processors.TemplateProcessing(
            single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=frame
        )
        return PreTrainedTokenizerFast(
            tokenizer_object=tokenizer, pad_token="[PAD]", cls_token="[CLS]", sep_token="[SEP]",
            model_input_names=["input_ids", "token_type_ids", "attention_mask"],
        )  # fmt: skip
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token=END, eos_token=END, pad_token=END)


def given_tokenizer(folder: Path) -> PreTrainedTokenizerFast:
    """The tokenizer of a folder, as GPT-2's: its end of text also begins and pads."""
    found = read_tokenizer(folder, "model")
    found = getattr(found, "_tokenizer", found)
    if found.token_to_id(END) is None:
        raise InputError(f"model.tokenizer: {folder} knows no {END}; a tokenizer that has it is needed")
    return PreTrainedTokenizerFast(tokenizer_object=found, bos_token=END, eos_token=END, pad_token=END)
