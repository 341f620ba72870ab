"""From a model to arrays per example: the only inference that metrics need."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from zlib import crc32

import numpy as np
import pandas as pd
import torch

from lethe import models
from lethe.data.encoding import Encoded, classes, encoder, examples_by_set
from lethe.data.prompts import with_beginning
from lethe.data.texts_read import checksums, texts_read
from lethe.evaluation.answers import Reader, answer_arrays, has_prompts
from lethe.evaluation.downstream import downstream
from lethe.evaluation.gradient_norms import gradient_norms
from lethe.evaluation.scores import together
from lethe.evaluation.variants import Encoding, perturbed
from lethe.models.corrupted import Corrupted
from lethe.models.gated import Gated
from lethe.params.model import Model
from lethe.params.score import Score
from lethe.system import plugins
from lethe.system.files import replacing
from lethe.system.streams import first_of_stream

log = logging.getLogger("lethe.score")
SCORED = (
    "forget",
    "forgotten",
    "retain",
    "holdout",
    "test",
    "general_test",
)  # in this order, then the probes
UNSCORED = ("validation", "general")  # what is chosen by, and general training text
COMPARED = (
    "most",
    "test",
)  # settings without which two models are not compared, where their task says no others


def score(cfg: dict, prepared: Path, forget: Path, model_folder: str | Path, out: Path) -> None:
    """Score every set that is reported; `cfg` holds task, model and score.

    Writes one npz file of the arrays of `scored`; and, of a model that was not made here, of `model`, which says which
    it is.

    Args:
        model_folder: of the model, or ID or ID@REVISION on the Hub.
    """
    model_folder = models.folder_of(model_folder)
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
    if known := models.known(cfg, model_folder):
        arrays["model"] = np.array(json.dumps(known))
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
    """Arrays of every set but UNSCORED.

    Args:
        frames: set -> examples with columns id, text, split, and what is true of them.
        labels: names of the classes in the order of their indices; empty where there are none.
        encoding: examples -> their rows of tokens.
    Returns:
        task, ids, sets, checksum and characters (of what the model read of a text, but for an instruction), settings,
        the classes where there are some, what `facts_of` and `gates_of` say, gradient_norm where it is asked for, what
        the task's own `scores` says, and of prompts what `answer_arrays` says.
    Raises:
        InputError: a text holds a token that the model does not know; its record is named.
    """
    model.to(precision(settings, models.device()))
    scores, parts = plugins.part("tasks", task, "scores"), []
    prompted = plugins.gives(task, "text") and any(map(has_prompts, frames.values()))
    for name in [*filter(frames.__contains__, SCORED), *sorted({*frames} - {*SCORED, *UNSCORED})]:
        frame = sampled(frames[name], settings.most)
        asked = told(model, frame)
        encoded = encoding(asked)
        plain = encoded if asked is frame else encoding(frame)
        models.check_tokens(model, encoded)
        part = scores(model, tokenizer, encoded, settings, name in settings.extract) | facts_of(frame, name)
        if isinstance(model, Corrupted) or (isinstance(model, Gated) and model.gates):
            part |= gates_of(model, encoded, settings) | kinds_of(frame)
        if prompted:
            part |= answer_arrays(Reader(model, tokenizer, encoding, settings), name, asked, encoded)
        if settings.gradient_norm:
            part["gradient_norm"] = gradient_norms(model, encoded)
        part["characters"] = np.array([max(1, len(text)) for text in texts_read(plain, tokenizer)])
        part |= {"ids": encoded.ids, "sets": np.full(len(encoded), name), "checksum": checksums(plain)}
        parts.append(part)
        log.info("scored %d examples of %s", len(encoded), name)
    arrays = together(parts)
    if labels:
        arrays["classes"] = np.array(labels)
    if "said" in arrays:
        arrays["holds_text"] = np.array([*arrays["holds_text"], "said"])
    if "holds_text" in arrays:
        log.warning("the scores hold text: %s (score.keep_text)", ", ".join(arrays["holds_text"]))
    return arrays | {"task": np.array(task), "settings": np.array(compared_settings(task, settings))}


def told(model, frame: pd.DataFrame) -> pd.DataFrame:
    """The examples with the instruction of a model that was told what to forget; of any other as they are."""
    instruction = getattr(model.config, "instruction", None)
    return with_beginning(frame, instruction) if instruction else frame


def gates_of(model: Gated | Corrupted, encoded: Encoded, settings: Score) -> dict[str, np.ndarray]:
    """Of whole texts, (N,) each: gate, the largest weight of an adapter; gate_nearest, the largest stored cosine.

    Of a model with a detector: 1 where it corrupts the text, else 0; its largest probability.
    """
    found = []
    for begin in range(0, len(encoded), settings.batch_size):
        part = encoded.rows[slice(begin, begin + settings.batch_size)].to(models.device())
        found.append(torch.stack([of_gates.amax(1).cpu() for of_gates in model.seen(part)]))
    weight, nearest = torch.cat(found, 1).numpy()
    return {"gate": weight, "gate_nearest": nearest}


def kinds_of(frame: pd.DataFrame) -> dict[str, np.ndarray]:
    """gate_kind (N,) a number for each label, the same in all sets, 0 where a text has none."""
    labels = frame["label"] if "label" in frame else [None] * len(frame)
    return {
        "gate_kind": np.array(
            [crc32(one.encode()) if isinstance(one, str) else 0 for one in labels], np.int64
        )
    }


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
