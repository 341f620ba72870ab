"""One unlearning run: the original model, an objective, and what is read between epochs."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from lethe import models
from lethe.data.encoding import Encoded, classes, encode, examples_by_set, padded_rows
from lethe.data.parquet import read_table
from lethe.losses import Rows
from lethe.params.model import Model
from lethe.params.plug_ins import check_hyper
from lethe.params.training import Method, Training
from lethe.system.errors import InputError
from lethe.system.streams import stream
from lethe.train import general_rows
from lethe.training import run_record
from lethe.training.batches import PAIRED, Material
from lethe.training.engine import Progress
from lethe.training.epoch_check import Reviewer
from lethe.training.run import (
    Job,
    Trained,
    frozen_copy,
    no_review,
    objective_module,
    train_model,
    train_part,
    write,
)
from lethe.training.shards import unlearn_exactly


def unlearn(job: Job, prepared: Path, forget: Path, original: Path, base: Path | None = None) -> None:
    """Make the method's run; `cfg` holds task, model and method, and the recipe `finetune` for one that TRAINS models.

    Args:
        prepared, forget: folders of `lethe prepare` and `lethe forget`.
        original: folder of the model that must forget.
        base: folder of the model it was trained from; for methods that train models of their own.
    """
    unlearn_examples(job, prepared, forget, original, base)
    inputs = {"prepared": prepared, "forget": forget, "base": base, "original": original}
    run_record.write(job.out, job.cfg, job.run, job.seed, inputs)


def unlearn_examples(job: Job, prepared: Path, forget: Path, original: Path, base: Path | None) -> None:
    """The run itself: model, pin, trace, epochs and cost."""
    cfg = Model.model_validate(job.cfg["model"])
    method = Method.model_validate(job.cfg["method"])
    settings = check_hyper(f"methods.{job.run}", method, job.cfg["task"])
    objective = objective_module(method.objective)
    hyper = objective.Hyper(**settings)
    if hasattr(objective, "FROM_BASE"):
        unlearn_exactly(job, objective, hyper, prepared, forget, needed(base, job))
        return
    began = time.monotonic()
    model, tokenizer = models.load(original, job.cfg["task"])
    if hasattr(objective, "changed"):
        write(job.out, objective.changed(hyper, model), tokenizer, None, time.monotonic() - began)
        return
    models.freeze(model, cfg.freeze)
    if hasattr(objective, "trainable"):
        models.train_only(model, objective.trainable(hyper, model))
    sets = examples_by_set(prepared, forget)
    encoded = {
        name: encode(sets[name], tokenizer, cfg.max_length, classes(prepared))
        for name in ("forget", "retain", "validation")
    }
    inputs = [prepared, forget, original]
    trained, parts = helpers(job, getattr(objective, "TRAINS", {}), base, encoded, inputs)
    shared = (
        method.training.lora is not None and not method.training.sharded
    )  # which moves the model's weights
    frozen = frozen_copy(objective, hyper, model, job.seed, trained, shared)
    material = gather(objective.TERMS, encoded, prepared, forget, tokenizer, cfg, sets)
    if getattr(hyper, "pairs", "nearest") != "nearest":
        material = with_other_pairs(material, encoded["retain"].rows, hyper.pairs, job.seed)
    if "alternative" in objective.TERMS.values():
        material = with_alternatives(material, hyper.prefix)
    if material.general is None:
        general = general_rows(sets, tokenizer, cfg, method.training)
        material = Material(material.roles, material.pairs, general)
    review = no_review
    if job.cfg["task"] == "generation" and (method.training.stop or getattr(objective, "REFINES", False)):
        refine = hyper if hasattr(hyper, "refine") else None
        review = Reviewer(method.training.stop, refine, encoded, tokenizer)
    train_model(
        job, model, tokenizer, frozen, objective, hyper, material, method.training, inputs, review, parts
    )


def helpers(
    job: Job, wanted: dict[str, str], base: Path | None, encoded: dict[str, Encoded], inputs: list[Path]
) -> tuple[Trained, list[Progress]]:
    """Models that the objective asks for, each trained like the original but on one set alone, and what that took."""
    found: dict[str, tuple[torch.nn.Module, Rows]] = {}
    parts = []
    for name, members in wanted.items():
        start = needed(base, job)
        recipe = Training.model_validate(job.cfg["finetune"])
        model, _ = models.load(start, job.cfg["task"])
        models.freeze(model, Model.model_validate(job.cfg["model"]).freeze)
        rows = encoded[members].rows
        parts.append(train_part(job, name, model, rows, recipe, [*inputs, start]))
        found[name] = (model.eval().requires_grad_(False), rows)
    return found, parts


def needed(base: Path | None, job: Job) -> Path:
    if base is None:
        raise InputError(f"--base: missing; methods.{job.run} trains models of its own from the base model")
    return base


def gather(
    terms: dict[str, str], encoded: dict[str, Encoded], prepared, forget, tokenizer, cfg, sets
) -> Material:
    """Rows of every role that the objective reads; analogues, also for alternatives, by way of pairs.parquet."""
    needed = set(terms.values())
    roles = {role: encoded[role].rows for role in needed & {"forget", "retain"}}
    if not needed & set(PAIRED):
        return Material(roles)
    pairs = read_table(Path(forget) / "pairs.parquet").sort_values(["id", "rank"])
    if pairs.empty:
        raise InputError(
            f"{forget}/pairs.parquet: holds no pair; the objective needs an analogue of every example"
        )
    everything = pd.concat(sets.values()).set_index("id", drop=False)
    candidates = sorted(set(pairs["analogue"]))
    analogues = encode(everything.loc[candidates], tokenizer, cfg.max_length, classes(prepared))
    position = {name: index for index, name in enumerate(analogues.ids)}
    table = {name: [position[a] for a in group["analogue"]] for name, group in pairs.groupby("id")}
    missing = [i for i in encoded["forget"].ids if i not in table]
    if missing:
        raise InputError(
            f"{forget}/pairs.parquet: {len(missing)} forget examples have no analogue, first {missing[0]}"
        )
    roles["analogue"] = analogues.rows
    return Material(roles, np.array([table[i] for i in encoded["forget"].ids]))


def with_other_pairs(material: Material, retain: Rows, kind: str, seed: int) -> Material:
    """The material with retained texts as analogues: `random`, as many for each forget text; `none`, without pairs."""
    pairs = material.pairs
    assert pairs is not None, "only an objective that reads analogues chooses their pairs"
    if kind == "random":
        draw = stream(seed, "random pairs").random((len(pairs), len(retain)))
        pairs = draw.argsort(1)[:, : pairs.shape[1]]
    roles = material.roles | {"analogue": retain}
    return Material(roles, pairs if kind == "random" else None, material.general)


def with_alternatives(material: Material, prefix: float) -> Material:
    """The material with the role `alternative` in place of `analogue`.

    An alternative is the beginning of a forget text, its prompt, continued with the end of one of its analogues, of
    which only the continuation is scored. Both are cut at the share `prefix` of their tokens.
    """
    forget, analogues, pairs = material.roles["forget"], material.roles["analogue"], material.pairs
    assert pairs is not None, "alternatives are made of pairs"
    beginnings = [text[:cut] for text, cut in texts_and_cuts(forget, prefix)]
    ends = [text[cut:] for text, cut in texts_and_cuts(analogues, prefix)]
    spliced = [beginnings[i] + ends[a] for i, row in enumerate(pairs) for a in row]
    starts = torch.tensor([len(beginnings[i]) for i, row in enumerate(pairs) for _ in row])
    roles = {role: rows for role, rows in material.roles.items() if role != "analogue"}
    roles["alternative"] = replace(padded_rows(spliced, pad=0), starts=starts)
    return Material(roles, np.arange(pairs.size).reshape(pairs.shape), material.general)


def texts_and_cuts(rows: Rows, prefix: float) -> list[tuple[list[int], int]]:
    """Tokens of each row, and where its first `prefix` of them end: there is one at least before and after."""
    texts = [row[:length] for row, length in zip(rows.input_ids.tolist(), rows.lengths.tolist(), strict=True)]
    return [(text, min(max(1, int(prefix * len(text))), len(text) - 1)) for text in texts]
