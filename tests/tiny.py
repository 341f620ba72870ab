"""Tiny models and rows for tests: random weights, a few tokens, milliseconds."""

from __future__ import annotations

from types import SimpleNamespace

import torch
import transformers

from lethe.data.rows import NO_TAG, Labelled, Rows, Tagged
from lethe.system import plugins

VOCABULARY, HIDDEN, CLASSES = 23, 16, 3


class Bigrams(torch.nn.Module):
    """The logits of the next token are a row of a table."""

    def __init__(self, table):
        super().__init__()
        self.table = torch.nn.Parameter(table)
        self.config = transformers.PretrainedConfig(vocab_size=table.shape[-1])

    def forward(self, input_ids, **others):
        return SimpleNamespace(logits=self.table[input_ids])


def language_model(seed: int = 0):
    """A two-layer GPT-Neo, global and local attention."""
    torch.manual_seed(seed)
    config = transformers.GPTNeoConfig(
        vocab_size=VOCABULARY, hidden_size=HIDDEN, intermediate_size=32, num_layers=2, num_heads=2, window_size=4,
        attention_types=[[["global", "local"], 1]], max_position_embeddings=32, bos_token_id=0, eos_token_id=0,
        pad_token_id=0, resid_dropout=0.1, embed_dropout=0.0, attention_dropout=0.0, initializer_range=0.2,
    )  # fmt: skip
    return transformers.GPTNeoForCausalLM(config).eval()


def classifier(seed: int = 0, build=transformers.BertForSequenceClassification):
    """A two-layer BERT with three classes and dropout."""
    torch.manual_seed(seed)
    config = transformers.BertConfig(
        vocab_size=VOCABULARY, hidden_size=HIDDEN, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2,
        max_position_embeddings=32, num_labels=CLASSES, initializer_range=0.2,
    )  # fmt: skip
    return build(config).eval()


def tagger(seed: int = 0):
    """The same with three classes of tokens."""
    return classifier(seed, transformers.BertForTokenClassification)


def tagged_rows(count: int, seed: int = 0) -> Rows:
    """Rows of ragged random tokens, of which every other one has a tag: the second, fourth, …"""
    plain = rows(count, seed=seed)
    tags = (plain.input_ids + torch.arange(count)[:, None]) % CLASSES
    place = torch.arange(tags.shape[1])
    tags = tags.where(plain.mask & (place % 2 == 1), NO_TAG)
    return Tagged(plain.input_ids, plain.lengths, labels=tags)


def rows(count: int, labelled: bool = False, seed: int = 0, longest: int = 12) -> Rows:
    """Rows of ragged random tokens; labels 0, 1, 2, 0, …"""
    generator = torch.Generator().manual_seed(seed)
    lengths = torch.randint(4, longest + 1, (count,), generator=generator)
    input_ids = torch.randint(1, VOCABULARY, (count, int(lengths.max())), generator=generator)
    for row, length in zip(input_ids, lengths, strict=True):
        row[length:] = 0
    if labelled:
        return Labelled(input_ids, lengths, labels=torch.arange(count) % CLASSES)
    return Rows(input_ids, lengths)


def model_and_rows(task: str, seed: int = 0):
    """Model and a maker of rows for a task."""
    if task == "tagging":
        return tagger(seed), tagged_rows
    labelled = task == "classification"
    model = classifier(seed) if labelled else language_model(seed)
    return model, lambda count, seed=0: rows(count, labelled, seed)


def encode(frame, tokenizer, max_length: int, labels: list[str], prompting=None):
    """Rows of examples by the task that their columns are for."""
    task = "tagging" if "tags" in frame else "classification" if labels else "generation"
    return plugins.part("tasks", task, "rows")(frame, tokenizer, max_length, labels, prompting)
