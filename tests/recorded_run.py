"""Stands in for a run of a method: gives it tiny models and rows, and notes what it wants minimised."""

from __future__ import annotations

import inspect
from dataclasses import replace
from types import ModuleType
from typing import Any

import tiny
import torch

from lethe.data.rows import Labelled
from lethe.training.epoch_check import Refinement
from lethe.training.frozen import FrozenHidden
from lethe.training.objective import Objective
from lethe.training.run import Run

MINIMISE = inspect.signature(Run.minimise)


class RecordedRun:
    """A run on the task of its original model; it trains nothing.

    Attributes:
        kept: what is kept of the original: None, `model` or `hidden`.
        fitted: names of the models that were to be trained on the way.
        settings: arguments of `Run.minimise`; empty if nothing is minimised.
    """

    finetune = None

    def __init__(self, original, task: str, seed: int = 0):
        self.model, self.task, self.seed = original, task, seed
        self.kept: str | None = None
        self.fitted: list[str] = []
        self.settings: dict[str, Any] = {}
        self.unseen = tiny.model_and_rows(task)[1](4, 7)

    def original(self):
        self.kept = "model"
        return self.model

    def original_hidden(self):
        self.kept = "hidden"
        return FrozenHidden(self.model)

    def base(self):
        return tiny.model_and_rows(self.task, len(self.fitted) + 1)[0]

    def rows(self, *names: str):
        found = self.unseen if names == ("validation",) else tiny.model_and_rows(self.task)[1](4)
        return found if isinstance(found, Labelled) else replace(found, starts=torch.ones_like(found.lengths))

    def endings(self, texts=None):
        return [[[1]]] * 4

    def fit(self, name: str, model, rows, training=None):
        self.fitted.append(name)
        return model

    def epoch_check(self) -> None:
        return None

    def refinement(self, **settings) -> Refinement:
        return Refinement(**settings)

    def minimise(self, *args, **kwargs):
        self.settings = MINIMISE.bind(self, *args, **kwargs).arguments
        return self.model

    def objective(self, terms: dict[str, str]) -> Objective:
        """What was to be minimised."""
        given = {
            name: self.settings[name]
            for name in ("frozen", "whole_batch", "batch_counts", "hyper_at")
            if name in self.settings
        }
        return Objective(self.settings["loss"], self.settings["hyper"], terms, **given)


def recorded(method: ModuleType, original, task: str, hyper=None, seed: int = 0) -> RecordedRun:
    """The run of a method that has let the original model forget."""
    run = RecordedRun(original, task, seed)
    hyper = method.Hyper() if hyper is None else hyper
    if hasattr(method, "unlearn"):
        method.unlearn(hyper, run)
    else:
        run.minimise(method.loss, hyper)
    return run


def objective_of(
    method: ModuleType, original, task: str = "generation", hyper=None, seed: int = 0
) -> Objective:
    """What a method minimises when the original model is to forget."""
    return recorded(method, original, task, hyper, seed).objective(method.TERMS)
