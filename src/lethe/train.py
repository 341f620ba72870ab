"""The references of a study: base, original and retrain."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pandas as pd

from lethe import models
from lethe.data.encoding import classes, encoder, examples_by_set, packed
from lethe.data.windows import tokenizer_texts
from lethe.params.model import Model
from lethe.params.training import References
from lethe.system import workers
from lethe.system.errors import InputError
from lethe.system.stopwatch import Stopwatch
from lethe.system.streams import stream_seed
from lethe.training import run_record
from lethe.training.batches import Batches
from lethe.training.job import Job
from lethe.training.live_plots import live_plots
from lethe.training.outputs import save_run
from lethe.training.rows import general_rows
from lethe.training.training import FINE_TUNING, fine_tuning, train_model

MEMBERS = {  # run -> sets it is trained on
    "original": ("forget", "retain"),
    "retrain": ("retain",),
    "shadow": ("retain",),
}


def train(job: Job, prepared: Path, forget: Path | None = None, base: Path | None = None) -> None:
    """Make the run `job.run`; `cfg` holds task, model and train.

    Args:
        prepared: folder of `lethe prepare`.
        forget: folder of `lethe forget`; not for base.
        base: model folder of the base run; not for base.
    """
    if job.run == "base":
        make_base(job, prepared)
    elif kind(job.run) not in MEMBERS:
        raise InputError(
            f"--run: {job.run} is no reference; allowed are base, {', '.join(MEMBERS)}, retrain-2, …"
        )
    elif forget is None or base is None:
        missing = "--forget" if forget is None else "--base"
        raise InputError(f"{missing}: missing; run {job.run} needs the forget set and the base model")
    else:
        fine_tune(job, prepared, forget, base)
    inputs = {"prepared": prepared, "forget": forget, "base": base}
    run_record.write(job.out, job.cfg, job.run, job.seed, inputs)


def kind(run: str) -> str:
    """The run whose recipe and texts it has: `retrain` for `retrain-2`, else itself."""
    return "retrain" if re.fullmatch(r"retrain-\d+", run) else run


def make_base(job: Job, prepared: Path) -> None:
    """The model fine-tuning starts from: loaded or built, then pretrained on general text where a recipe says so.

    A tiny model's tokenizer is trained on general text, or, where a study has none, on its validation split:
    never on text that may have to be forgotten.
    """
    cfg = Model.model_validate(job.cfg["model"])
    recipe = References.model_validate(job.cfg["train"]).pretrain
    watch = Stopwatch()
    sets = examples_by_set(prepared)
    texts = tokenizer_texts(sets)
    frozen = recipe is None or recipe.lora is not None
    model, tokenizer = models.base(cfg, job.cfg["task"], classes(prepared), texts, job.seed, frozen)
    model.to(models.device())
    if recipe is None:
        save_run(job.out, model.eval(), tokenizer, None, watch.taken())
        return
    if "general" not in sets:
        raise InputError("train.pretrain: needs general text; set dataset.general or leave pretrain out")
    rows = packed(sets["general"], tokenizer, cfg.max_length)
    train_and_save(job, model, tokenizer, fine_tuning(rows, recipe, job.seed), [prepared])


def fine_tune(job: Job, prepared: Path, forget: Path, base: Path) -> None:
    """Train the base model on the sets of the run, with general text mixed in where the batch asks for it."""
    cfg = Model.model_validate(job.cfg["model"])
    references = References.model_validate(job.cfg["train"])
    recipe, matched = references.finetune, kind(job.run) == "retrain" and references.match == "steps"
    model, tokenizer = models.load(base, job.cfg["task"], weights=cfg.weights, frozen=recipe.lora is not None)
    models.freeze(model, cfg.freeze)
    sets = examples_by_set(prepared, forget)
    members = pd.concat([sets[name] for name in MEMBERS[kind(job.run)]]).sort_index()
    encoded = encoder(prepared, tokenizer, cfg.max_length)(members)
    models.check_tokens(model, encoded)
    general = general_rows(sets, tokenizer, cfg.max_length, recipe)
    if kind(job.run) != job.run:  # the same texts in another order, under other dropout
        job = replace(job, seed=stream_seed(job.seed, job.run))
    of_original = [len(sets[name]) for name in ("forgotten", "forget", "retain") if name in sets]
    as_of = sum(of_original) if matched else None
    batches = fine_tuning(encoded.rows, recipe, job.seed, general, as_of)
    beside = base if recipe.lora and not recipe.lora.merge else None
    train_and_save(job, model, tokenizer, batches, [prepared, forget, base], beside)


def train_and_save(
    job: Job, model, tokenizer, batches: Batches, inputs: list[Path], beside: Path | None = None
) -> None:
    """Train a reference from where it was left, and write its outputs; of several processes the first does.

    Adapters are merged, or saved alone, for the model `beside` which they are.
    """
    fingerprint = job.fingerprint(*inputs)
    with live_plots(job.live) as plots:
        progress = train_model(
            model, FINE_TUNING, batches, fingerprint, job.checkpoint, plots=plots, merge=beside is None
        )
    if workers.rank() == 0:
        save_run(job.out, model, tokenizer, progress, beside=beside)
        job.forget_checkpoints()
