"""The model of the epoch that a run declared it would choose, kept until the run ends."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file

from lethe.params.training import Choose
from lethe.system import workers
from lethe.system.files import remove, replacing
from lethe.training.engine import Check, Findings, Progress

log = logging.getLogger(__name__)

Numbers = dict[str, float]
Between = Callable[
    [Any, Numbers | None], Numbers
]  # model, what was found of the original -> what is found of it


class Chosen:
    """A check that measures between epochs, and keeps what trains of the model that is chosen so far.

    Which epoch that is depends on what was measured alone, so that a run that is killed and started again, from
    whichever checkpoint, keeps the same weights in the end.

    Args:
        between: measures a model; told what was found of the original, or None where this is it.
        rule: which epoch is chosen; None: none, the model stays that of the last.
        file: where the weights lie.
        fingerprint: of the run.
        other: what else is found out between epochs.
    """

    def __init__(self, between: Between, rule: Choose | None, file: Path, fingerprint: str, other: Check):
        self.between, self.rule, self.file, self.fingerprint = between, rule, file, fingerprint
        self.other = other

    def __call__(self, model, epoch: int, history: list[dict]) -> Findings:
        found = self.between(model, history[0] if history else None)
        if self.rule and self.rule.of([*history, found]) == len(history):
            self.keep(model, epoch)
        more = self.other(model, epoch, history)
        return replace(more, columns=found | more.columns)

    def keep(self, model, epoch: int) -> None:
        state = json.dumps({"fingerprint": self.fingerprint, "epoch": epoch})
        with replacing(self.file) as temporary:
            save_file(trained(model), temporary, metadata={"state": state})

    def begin(self, checkpoint: Path) -> None:
        """Let the run begin anew where the weights that its checkpoint counts on are gone."""
        if self.rule and checkpoint.exists() and self.kept() is None:
            log.warning("%s: no model of this run, starting over", self.file)
            remove(checkpoint)

    def kept(self) -> int | None:
        """The epoch of what is kept; None if nothing of this run is."""
        try:
            with safe_open(self.file, framework="pt") as file:
                state = json.loads(file.metadata()["state"])
        except Exception:  # safetensors raises its own type, which is not public
            return None
        return state["epoch"] if state["fingerprint"] == self.fingerprint else None

    def end(self, model, progress: Progress) -> None:
        """Give the model the weights of the chosen epoch, and say in what was found which that is."""
        if self.rule is None:
            return
        chosen = self.rule.of(progress.epochs)
        progress.epochs = [row | {"chosen": float(k == chosen)} for k, row in enumerate(progress.epochs)]
        if workers.rank():
            return
        epoch = progress.epochs[chosen]["epoch"]
        assert self.kept() == epoch, "what was measured says which epoch was kept"
        log.info("epoch %d of %d is chosen", epoch, progress.epoch)
        with safe_open(self.file, framework="pt") as file, torch.no_grad():
            for name, parameter in model.named_parameters():
                if parameter.requires_grad:
                    parameter.copy_(file.get_tensor(name))


def trained(model) -> dict[str, torch.Tensor]:
    """What trains of a model, on the host."""
    return {
        name: parameter.detach().cpu().contiguous()
        for name, parameter in model.named_parameters()
        if parameter.requires_grad
    }
