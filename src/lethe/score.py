"""From a model to arrays per example: the only inference that metrics need."""

from __future__ import annotations

import json
import logging
import zlib
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch.nn.utils.rnn import pad_sequence

from lethe import losses, models
from lethe.data.encoding import Encoded, classes, encoder, examples_by_set
from lethe.data.rows import NO_TAG
from lethe.decoding.continuations import greedy_continuations
from lethe.decoding.decoding import teacher_forced
from lethe.decoding.extraction import extraction
from lethe.decoding.recall import prompt_lengths
from lethe.decoding.sampling import sampled_continuations
from lethe.evaluation.answers import Reader, answer_arrays, has_prompts
from lethe.evaluation.downstream import downstream
from lethe.evaluation.texts_read import checksums, texts_read
from lethe.evaluation.variants import Encoding, perturbed
from lethe.params.model import Model
from lethe.params.score import Score
from lethe.system import plugins
from lethe.system.arrays import FILL, NONE
from lethe.system.files import replacing
from lethe.system.streams import stream

log = logging.getLogger("lethe.score")
SCORED = ("forget", "forgotten", "retain", "holdout", "test", "general_test")
TEXTS = ("suffix", "completion", "tries")  # arrays that hold text
COMPARED = (
    "most",
    "test",
)  # settings without which two models are not compared, where their task says no others


def score(cfg: dict, prepared: Path, forget: Path, model_folder: Path, out: Path) -> None:
    """Score every set that is reported; `cfg` holds task, model and score.

    Writes one npz file of the arrays of `scored`.
    """
    settings, model_cfg = Score.model_validate(cfg["score"]), Model.model_validate(cfg["model"])
    model, tokenizer = models.load(model_folder, cfg["task"])
    frames, labels = examples_by_set(prepared, forget), classes(prepared)
    encoding: Encoding = encoder(prepared, tokenizer, model_cfg.max_length)
    if "perturbation" in cfg:
        frames, encoding = perturbed(cfg, model, tokenizer, frames, encoding, settings.prefix)
    if settings.test == "validation":  # what is reported stays unread
        frames["test"] = frames.pop("validation")
        frames.pop("general_test", None)
    arrays = scored(cfg["task"], model, tokenizer, frames, labels, encoding, settings)
    if settings.test == "test":
        arrays |= downstream(model, tokenizer, settings.tasks, settings.batch_size)
    write(out, arrays)


def scored(
    task: str,
    model,
    tokenizer,
    frames: dict[str, pd.DataFrame],
    labels: list[str],
    encoding: Encoding,
    settings: Score,
) -> dict[str, np.ndarray]:
    """Arrays of every set of SCORED: not of what is chosen by, the validation set, nor of general training text.

    Args:
        frames: set -> examples with columns id, text, split and, for a classifier, label, for a tagger, tags.
        labels: names of the classes in the order of their indices; empty for a generator.
        encoding: examples -> their rows of tokens.
    Returns:
        task, ids, sets, checksum, characters (of what the model read of a text), settings, what `facts_of` says, and of
        a classifier labels, classes, logits, embeddings; of a tagger tags, classes, logits; of a generator logprob,
        mask, correct, mu, sigma, zlib_bytes, n, what `read` says, and of prompts what `answer_arrays` says.
    Raises:
        InputError: a text holds a token that the model does not know; its record is named.
    """
    model.to(precision(settings, models.device()))
    parts = []
    prompted = any(map(has_prompts, frames.values()))
    for name in [name for name in SCORED if name in frames]:
        frame = sampled(frames[name], settings.most)
        encoded = encoding(frame)
        models.check_tokens(model, encoded)
        texts = texts_read(encoded, tokenizer)
        if labels:
            part = (tagged if encoded.rows.tagged else classified)(model, encoded, settings)
        else:
            part = read(model, encoded, settings, name in settings.extract)
            scored_texts = texts_read(encoded, tokenizer, scored=True)
            part["zlib_bytes"] = np.array([len(zlib.compress(text.encode())) for text in scored_texts])
        part |= facts_of(frame, name)
        if prompted and not labels:
            part |= answer_arrays(Reader(model, tokenizer, encoding, settings), name, frame, encoded)
        part["characters"] = np.array([max(1, len(text)) for text in texts])
        part |= {"ids": encoded.ids, "sets": np.full(len(encoded), name), "checksum": checksums(encoded)}
        parts.append(part)
        log.info("scored %d examples of %s", len(encoded), name)
    arrays = {key: stacked([part[key] for part in parts], FILL.get(key, 0)) for key in parts[0]}
    arrays |= {"classes": np.array(labels)} if labels else {"n": np.array(settings.n)}
    if not labels and settings.keep_text:
        log.warning("the scores hold text: %s (score.keep_text)", ", ".join(TEXTS))
        arrays["holds_text"] = np.array(TEXTS)
    return arrays | {"task": np.array(task), "settings": np.array(compared_settings(task, settings))}


def facts_of(frame: pd.DataFrame, name: str) -> dict[str, np.ndarray]:
    """fact (N, 3) str, what each example of a set says, "" where that is no fact, and target (N,) bool; or nothing.

    A target is a fact that is to be forgotten, and not only because another would follow from it.
    """
    if "fact" not in frame:
        return {}
    facts = np.array([["", "", ""] if fact is None else [*fact] for fact in frame["fact"]], dtype=str)
    wanted = frame["target"].to_numpy(bool) if "target" in frame else np.full(len(frame), name == "forget")
    return {"fact": facts.reshape(len(frame), 3), "target": wanted & (facts[:, 0] != "")}


def compared_settings(task: str, settings: Score) -> str:
    """JSON of the settings that decide what the arrays of a model mean."""
    names = plugins.part("tasks", task, "SETTINGS") or COMPARED
    given = settings.model_dump()
    return json.dumps({name: given[name] for name in names})


def write(out: Path, arrays: dict[str, np.ndarray]) -> None:
    """Write scores.npz."""
    with replacing(out) as temporary, open(temporary, "wb") as file:
        np.savez(file, allow_pickle=False, **arrays)


def precision(settings: Score, device: torch.device) -> torch.dtype:
    """Of weights and activations; logits are in float32 in any case."""
    on_gpu = settings.precision == "auto" and device.type == "cuda"
    return torch.bfloat16 if on_gpu or settings.precision == "bf16" else torch.float32


def sampled(frame, most: int | None):
    """At most `most` examples: those with the smallest draws of a stream of their own, in the order they had."""
    return frame if most is None else frame.iloc[first_of_stream(len(frame), most)]


def first_of_stream(count: int, most: int) -> np.ndarray:
    """At most `most` of the indices 0…count-1, sorted."""
    if count <= most:
        return np.arange(count)
    return np.sort(stream(0, "score", count).permutation(count)[:most])


def stacked(arrays: list[np.ndarray], fill: float = 0) -> np.ndarray:
    """Rows of all parts, padded at the end of every other dimension to the widest."""
    if arrays[0].ndim == 1:
        return np.concatenate(arrays)
    widest = np.max([a.shape[1:] for a in arrays], axis=0)
    missing = [[(0, 0), *((0, n) for n in widest - a.shape[1:])] for a in arrays]
    return np.concatenate([np.pad(a, m, constant_values=fill) for a, m in zip(arrays, missing, strict=True)])


@torch.no_grad()
def classified(model, encoded: Encoded, settings: Score) -> dict[str, np.ndarray]:
    """labels (N,), logits (N, C) and first-token embeddings (N, H); one pass in batches of similar length."""
    rows = encoded.rows
    assert rows.labels is not None, "a classifier is scored on labelled rows"
    order = torch.argsort(rows.lengths, stable=True)
    logits, embeddings = [], []
    for chunk in order.split(settings.batch_size):
        part = losses.logits_and_embedding(model, rows[chunk].to(models.device()))
        logits.append(part[0].float().cpu())
        embeddings.append(part[1].float().cpu())
    back = torch.argsort(order)
    return {
        "labels": rows.labels.numpy(),
        "logits": torch.cat(logits)[back].numpy(),
        "embeddings": torch.cat(embeddings)[back].numpy(),
    }


@torch.no_grad()
def tagged(model, encoded: Encoded, settings: Score) -> dict[str, np.ndarray]:
    """tags (N, W) and logits (N, W, C) of the tagged tokens of each text in order, NO_TAG and 0 beyond the last."""
    rows = encoded.rows
    assert rows.labels is not None, "a tagger is scored on tagged rows"
    order = torch.argsort(rows.lengths, stable=True)
    found = []
    for chunk in order.split(settings.batch_size):
        part = rows[chunk]
        logits = losses.forward(model, part.to(models.device())).float().cpu()
        found += [of_row[tags] for of_row, tags in zip(logits, part.scored, strict=True)]
    logits = pad_sequence(found, batch_first=True)[torch.argsort(order)]
    tags = [of_row[tags] for of_row, tags in zip(rows.labels, rows.scored, strict=True)]
    return {
        "tags": pad_sequence(tags, batch_first=True, padding_value=NO_TAG).numpy(),
        "logits": logits.numpy(),
    }


def read(model, encoded: Encoded, settings: Score, extract: bool) -> dict[str, np.ndarray]:
    """Per-token arrays (N, T), column 0 never scored, and, where asked for, what can be extracted.

    extraction_likelihood (N, K), margin, extracted (N,): a text too short for the longest n-gram counts as not
    extracted. prompt (N,), 0 where nothing is completed, and what metrics say of the completions, (N,) each, NaN where
    there is none. With `keep_text` the texts, too: see `completed`.
    """
    rows = encoded.rows
    ids, lengths = rows.input_ids.numpy(), rows.lengths.numpy()
    if extract:
        start = settings.start if rows.starts is None else np.maximum(settings.start, rows.starts.numpy())
        found = extraction(
            model, ids, n=settings.n, start=start, lengths=lengths, batch_size=settings.batch_size,
            decode_batch_tokens=settings.decode_batch_tokens, logprob=True, allow_short=True,
        )  # fmt: skip
        tokens, margin = found.tokens, found.margin
        likelihood = np.stack([found.extraction_likelihood[n] for n in settings.n], 1)
        texts = completed(model, encoded, settings)
    else:
        tokens = teacher_forced(model, ids, lengths, batch_size=settings.batch_size, logprob=True)
        likelihood, margin = np.full((len(ids), len(settings.n)), np.nan), np.zeros(len(ids))
        texts = nothing(len(ids), settings.tries)
    extracted = ~np.isnan(likelihood).any(1)
    if extract and not extracted.all():
        log.info("%d texts are too short for n-grams of %d tokens", (~extracted).sum(), max(settings.n))
    shifted = {
        name: np.pad(getattr(tokens, name), ((0, 0), (1, 0)))
        for name in ("logprob", "correct", "mu", "sigma")
    }
    shifted["mask"] = np.pad(rows.scored.numpy(), ((0, 0), (1, 0)))
    likelihood = np.where(extracted[:, None], likelihood, 0.0)
    found_out = {"extraction_likelihood": likelihood, "margin": margin, "extracted": extracted}
    for name in plugins.names_in("metrics"):
        if "of_texts" in plugins.functions_in("metrics", name):
            found_out |= plugins.imported("metrics", name).of_texts(texts)
    kept = texts if settings.keep_text else {"prompt": texts["prompt"]}
    return shifted | found_out | kept


def nothing(count: int, tries: int) -> dict[str, np.ndarray]:
    """What `completed` says of texts that are not completed."""
    tokens = np.full((count, 1), NONE, np.int32)
    return {
        "prompt": np.zeros(count, np.int64),
        "suffix": tokens,
        "completion": tokens,
        "tries": np.repeat(tokens[:, None], tries, axis=1),
    }


def completed(model, encoded: Encoded, settings: Score) -> dict[str, np.ndarray]:
    """What the model appends to the beginning of each text, and what is there in truth: token ids, -1 where none.

    prompt (N,): tokens of the beginning. suffix (N, W): the true tokens after it. completion (N, W): those of greedy
    decoding. tries (N, K, W): those of K draws; a text beyond `sampled` has none. The draws of a try depend on the id
    of its example alone, so that all runs and seeds share them.
    """
    ids, lengths = encoded.rows.input_ids.numpy(), encoded.rows.lengths.numpy()
    starts = encoded.rows.starts
    prompts = prompt_lengths(lengths, settings.prefix) if starts is None else starts.numpy()
    ours = greedy_continuations(
        model,
        ids,
        prompts,
        lengths,
        batch_size=settings.batch_size,
        decode_batch_tokens=settings.decode_batch_tokens,
    )
    width = int((lengths - prompts).max())
    tries = np.full((len(ids), settings.tries, width), NONE)
    if settings.tries:
        few = first_of_stream(len(ids), settings.sampled)
        draws = np.stack([stream(0, "sampling", encoded.ids[i]).random(tries.shape[1:]) for i in few])
        tries[few] = sampled_continuations(
            model, ids[few], prompts[few], draws, lengths[few], temperature=settings.temperature,
            batch_size=settings.batch_size, decode_batch_tokens=settings.decode_batch_tokens,
        )  # fmt: skip
    true = [row[a:b] for row, a, b in zip(ids, prompts, lengths, strict=True)]
    found = {"suffix": padded(true, width), "completion": padded(ours, width), "tries": tries}
    return {name: value.astype(np.int32) for name, value in found.items()} | {"prompt": prompts}


def padded(sequences: list[np.ndarray], width: int) -> np.ndarray:
    """(N, width) tokens, -1 after the last."""
    return np.stack([np.pad(s, (0, width - len(s)), constant_values=NONE) for s in sequences])
