"""Exact unlearning: models trained on shards of the data, of which a deletion trains again what it touches.

See `lethe.objectives.sisa`. What each model is after each slice is a part of the run (`runs.train_part`) and kept until
the run is done; so a run that was killed goes on where it was. A later request finds no slices: its run trains the
shards on what was left before it, which gives the same models, and counts that as training beforehand.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from lethe import models
from lethe.data.encoding import classes, encode, examples_by_set
from lethe.losses import Rows
from lethe.params.model import Model
from lethe.params.training import Method, Training
from lethe.system import files
from lethe.training.engine import Progress
from lethe.training.run import Job, parts_folder, train_part, write

log = logging.getLogger("lethe.shards")


@dataclass(frozen=True)
class Shards:
    """N examples: rows, their shard and slice (N,), and whether they are kept (N,) bool; epochs of each slice."""

    rows: Rows
    shard: np.ndarray
    part: np.ndarray
    kept: np.ndarray
    epochs: list[int]

    def first(self, shard: int) -> int:
        """The first slice of a shard that a deletion touches; the number of slices if it touches none."""
        return int(self.part[(self.shard == shard) & ~self.kept].min(initial=len(self.epochs)))

    def until(self, shard: int, part: int, among: np.ndarray) -> Rows:
        """The examples of a shard's slices up to one."""
        return self.rows[np.flatnonzero(among & (self.shard == shard) & (self.part <= part))]


class Trainer:
    """Trains the model of a shard slice by slice, from the base model."""

    def __init__(self, job: Job, shards: Shards, recipe: Training, base: Path, inputs: list[Path]):
        self.job, self.shards, self.recipe, self.base, self.inputs = job, shards, recipe, base, inputs
        self.frozen = Model.model_validate(job.cfg["model"]).freeze

    def untrained(self):
        return models.load(self.base, self.job.cfg["task"])[0]

    def slices(
        self, model, shard: int, parts: Iterable[int], among: np.ndarray, phase: str
    ) -> list[Progress]:
        """Train a model on slices in turn, or give it what it was after them if that is done; and what it took."""
        done = []
        for part in parts:
            rows, epochs = self.shards.until(shard, part, among), self.shards.epochs[part]
            if not len(rows) or not epochs:
                continue
            models.freeze(model, self.frozen)
            recipe = self.recipe.model_copy(update={"epochs": epochs})
            name = f"shard{shard}-slice{part}"
            progress = train_part(self.job, name, model, rows, recipe, self.inputs, f"{phase}-")
            for row in progress.trace:
                row |= {"shard": shard, "slice": part}
            done.append(progress)
        return done

    def shard(self, shard: int) -> tuple[Any, list[Progress], list[Progress]]:
        """The model of a shard after the deletion, and what training it before and again took."""
        shards, first = self.shards, self.shards.first(shard)
        model, everything = self.untrained(), np.ones_like(shards.kept)
        before = self.slices(model, shard, range(len(shards.epochs)), everything, "before")
        if first == len(shards.epochs):
            return model, before, []
        model = self.untrained()
        if trained := [part for part in range(first) if shards.epochs[part]]:
            self.slices(model, shard, trained[-1:], everything, "before")  # its checkpoint is read
        again = self.slices(model, shard, range(first, len(shards.epochs)), shards.kept, "again")
        log.info("shard %d: trained again from slice %d of %d", shard, first, len(shards.epochs))
        return model, before, again


def unlearn_exactly(job: Job, objective, hyper, prepared: Path, forget: Path, base: Path) -> None:
    """Train the shards on all examples, delete those to forget, and write what is left as one model."""
    method, cfg = Method.model_validate(job.cfg["method"]), Model.model_validate(job.cfg["model"])
    sets, tokenizer = examples_by_set(prepared, forget), models.load(base, job.cfg["task"])[1]
    members = pd.concat([sets["forget"], sets["retain"]]).sort_index()
    rows = encode(members, tokenizer, cfg.max_length, classes(prepared)).rows
    kept = ~members["id"].isin(sets["forget"]["id"]).to_numpy()
    shard, part = objective.places(hyper, members["id"], job.seed)
    shards = Shards(rows, shard, part, kept, objective.epochs(hyper, method.training.epochs))
    trainer = Trainer(job, shards, method.training, base, [prepared, forget, base])
    found = [trainer.shard(s) for s in np.unique(shard)]
    left = [model for s, (model, _, _) in zip(np.unique(shard), found, strict=True) if kept[shard == s].any()]
    before, again = (joined([p for parts in found for p in parts[k]]) for k in (1, 2))
    spent = {"seconds": before.seconds, "steps": before.step, "tokens": before.tokens}
    whole = models.Ensemble([m.eval() for m in left], hyper.aggregate)
    write(job.out, whole, tokenizer, again, beforehand=spent)
    files.remove(parts_folder(job))


def joined(parts: list[Progress]) -> Progress:
    """The work of several parts, one after the other."""
    trace = [row for part in parts for row in part.trace]
    return Progress(
        "", [], step=len(trace), epoch=sum(p.epoch for p in parts), tokens=sum(p.tokens for p in parts),
        examples=sum(p.examples for p in parts), seconds=sum(p.seconds for p in parts),
        trace=[row | {"step": number} for number, row in enumerate(trace)],
    )  # fmt: skip
