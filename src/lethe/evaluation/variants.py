"""Variants of a run: its model changed, or what it is shown worded differently, before it is scored as any other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pandas as pd
import torch

from lethe import models
from lethe.data.encoding import Encoded, padded_rows
from lethe.data.rows import Rows
from lethe.decoding.recall import prompt_lengths
from lethe.params.plug_ins import check_perturbation
from lethe.system import plugins
from lethe.system.errors import InputError
from lethe.system.streams import stream

Encoding = Callable[[pd.DataFrame], Encoded]
Rewrite = Callable[[str, str], str]  # id, text -> text


def perturbed(
    cfg: dict[str, Any],
    model,
    tokenizer,
    sets: dict[str, pd.DataFrame],
    encoding: Encoding,
    prefix: float,
) -> tuple[dict[str, pd.DataFrame], Encoding]:
    """What is scored of a variant, and how its examples become rows; the model may be changed in place.

    Args:
        cfg: holds task and perturbation.
        prefix: share of a text that is its beginning.
    """
    given = cfg["perturbation"]
    module = plugins.imported("perturbations", given["perturbation"])
    options = module.Options(**check_perturbation("robustness", given, cfg["task"]))
    if hasattr(module, "perturb_model"):
        return module.perturb_model(options, model, sets, encoding), encoding
    if hasattr(module, "beginning"):
        ids = tokenizer(module.beginning(options), add_special_tokens=False)["input_ids"]
        most = models.context(model)
        return sets, lambda frame: begun(encoding(frame), ids, most)

    def rewrite(name: str, text: str) -> str:
        return module.rewritten(options, text, stream(0, given["perturbation"], name))

    if not plugins.gives(cfg["task"], "text"):
        return {name: with_texts(frame, rewrite) for name, frame in sets.items()}, encoding
    if any("prompt" in frame for frame in sets.values()):
        return {name: with_prompts(frame, rewrite) for name, frame in sets.items()}, encoding
    return sets, lambda frame: with_prefixes(encoding(frame), tokenizer, rewrite, prefix)


def begun(encoded: Encoded, tokens: list[int], most: int | None) -> Encoded:
    """Rows whose answers begin with tokens that are not scored; too long a prompt loses its beginning.

    Raises:
        InputError: the examples have no prompts, or an answer leaves no room.
    """
    rows = encoded.rows
    if rows.starts is None:
        raise InputError(
            "robustness: prefill: is for prompts and answers; the study has texts without prompts"
        )
    sequences, starts = [], []
    for ids, length, start in zip(
        rows.input_ids.tolist(), rows.lengths.tolist(), rows.starts.tolist(), strict=True
    ):
        over = 0 if most is None else max(0, length + len(tokens) - most)
        if over >= start:
            raise InputError("robustness: prefill: an answer and its beginning are longer than the context")
        sequences.append([*ids[over:start], *tokens, *ids[start:length]])
        starts.append(start - over + len(tokens))
    new = padded_rows(sequences, pad=0)
    return Encoded(encoded.ids, Rows(new.input_ids, new.lengths, starts=torch.tensor(starts)))


def with_texts(frame: pd.DataFrame, rewrite: Rewrite) -> pd.DataFrame:
    """The examples, worded differently."""
    return frame.assign(text=[rewrite(*pair) for pair in zip(frame["id"], frame["text"], strict=True)])


def with_prompts(frame: pd.DataFrame, rewrite: Rewrite) -> pd.DataFrame:
    """The examples, asked differently and answered as before; what is not asked stays as it is."""
    prompts = [
        turns
        if turns is None
        else [dict(turn) | {"content": rewrite(name, turn["content"])} for turn in turns]
        for name, turns in zip(frame["id"], frame["prompt"], strict=True)
    ]
    return frame.assign(prompt=prompts)


def with_prefixes(encoded: Encoded, tokenizer, rewrite: Rewrite, prefix: float) -> Encoded:
    """Rows whose beginning is worded differently and whose end is as it was; only the end is scored.

    A beginning that has become longer loses what the context cannot hold, from its left.
    """
    rows = encoded.rows
    width = rows.input_ids.shape[1]
    cuts = prompt_lengths(rows.lengths.numpy(), prefix)
    sequences, starts = [], []
    for name, ids, length, cut in zip(
        encoded.ids, rows.input_ids.tolist(), rows.lengths.tolist(), cuts, strict=True
    ):
        first = 1 if cut > 1 and ids[0] == tokenizer.bos_token_id else 0
        text = rewrite(name, tokenizer.decode(ids[first:cut]))
        new = tokenizer(text, add_special_tokens=False)["input_ids"]
        end = ids[cut:length]
        beginning = ids[:first] + new[max(0, len(new) + first + len(end) - width) :]
        beginning = beginning or ids[:1]
        sequences.append(beginning + end)
        starts.append(len(beginning))
    new_rows = padded_rows(sequences, pad=0)
    return Encoded(encoded.ids, Rows(new_rows.input_ids, new_rows.lengths, starts=torch.tensor(starts)))
