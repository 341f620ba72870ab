"""The only training loop: references and every unlearning method run through it.

A run is a pure function of its inputs: batches, dropout masks and schedule depend on seed and position alone,
so that a run killed at any moment and started again ends with the same bits as an undisturbed one. Several
processes that share each batch follow the trajectory of one, up to the order in which gradients are summed.
"""

from __future__ import annotations

import copy
import logging
import math
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from lethe.models.fused import fuse
from lethe.models.fused_lora import fuse_adapters
from lethe.system.stopwatch import Stopwatch
from lethe.system.streams import stream_seed
from lethe.training import checkpoints
from lethe.training.batches import Batches, micro_batches
from lethe.training.live_plots import LivePlots
from lethe.training.numerics import adapt_blocks, apart, one_order, tensor_float_32
from lethe.training.objective import Batch, LossOfModel, Objective
from lethe.training.optimizer import build_optimizer, rate_factor
from lethe.training.team import Team

log = logging.getLogger("lethe.engine")
LARGE = 50_000_000  # numbers that train, from which on no second gradient is kept beside them


@dataclass(frozen=True)
class Findings:
    """What is found out before the first and after every epoch.

    columns: numbers for epochs.csv; active: (N,) bool rows of the first role still trained on, None: as before;
    done: end the run.
    """

    columns: dict[str, float]
    active: np.ndarray | None = None
    done: bool = False


Check = Callable[
    [torch.nn.Module, int, list[dict]], Findings
]  # model, epochs done, columns of all checks before


def no_check(model, epoch: int, history: list[dict]) -> Findings:
    """Nothing is found out between epochs."""
    return Findings({})


@dataclass
class Progress:
    """Position and history of a run; all that a checkpoint needs beside the tensors."""

    fingerprint: str
    active: list[bool]
    step: int = 0
    epoch: int = 0
    position: int = 0  # steps done in this epoch
    checks: int = 0  # made, of which one comes before the first epoch
    done: bool = False
    tokens: int = 0
    examples: int = 0
    seconds: float = 0.0  # of earlier attempts
    processor_seconds: float = 0.0  # of earlier attempts, all threads of this process
    trace: list[dict] = field(default_factory=list)
    epochs: list[dict] = field(default_factory=list)


class Interrupted(SystemExit):
    """SIGTERM arrived; a checkpoint was written."""


class Engine:
    """One run: model, objective, batches, and where its checkpoint lies."""

    def __init__(self, model, objective: Objective, batches: Batches, fingerprint: str, checkpoint: Path):
        self.model, self.objective = model, objective
        self.batches, self.recipe, self.checkpoint = batches, batches.recipe, checkpoint
        self.device = next(model.parameters()).device
        self.team = Team(self.recipe)
        self.trained = model
        if (
            self.recipe.sharded
        ):  # `model` stays whole, beside what is trained, for epoch checks and for the end
            self.trained = copy.deepcopy(model)
            model.to("meta" if self.team.rank else "cpu")
        fuse(self.trained)
        fuse_adapters(self.trained)
        if self.device.type != "cpu":
            torch.backends.cuda.enable_cudnn_sdp(False)  # knows no one order; see `one_order`
        adapt_blocks(self.trained, self.recipe)
        self.loss = self.team.share(LossOfModel(self.trained, objective))
        first = batches.rows.roles[batches.first_role]
        self.optimizer = build_optimizer(self.trained, self.recipe)
        self.progress = Progress(fingerprint, [True] * len(first))
        self.total = batches.length or self.recipe.epochs * batches.steps(np.ones(len(first), bool))
        self.plots: LivePlots | None = None
        self.terminated = self.checking = False

    def run(self, check: Check = no_check, plots: LivePlots | None = None) -> Progress:
        """Train until the last epoch, until `check` says so, or until no row is active.

        On SIGTERM a checkpoint is written after the current step, or in place of the current check, and
        SystemExit(143) raised.
        """
        state = checkpoints.load(self.checkpoint, self.trained, self.optimizer, self.progress.fingerprint)
        if state:
            self.progress = Progress(**state)
            log.info("continuing at step %d, epoch %d", self.progress.step, self.progress.epoch)
        self.watch, self.saved = Stopwatch(), time.monotonic()
        self.plots = plots
        previous = signal.signal(signal.SIGTERM, self.terminate)
        try:
            self.epochs(check)
        finally:
            signal.signal(signal.SIGTERM, previous)
            if plots:
                plots.show(self.progress.trace, every=0.0)
        self.progress.seconds, self.progress.processor_seconds = self.spent()
        return self.progress

    def epochs(self, check: Check) -> None:
        at = self.progress
        silent = True if self.team.rank else None
        with tqdm(total=self.total, initial=at.step, unit="step", disable=silent) as bar:
            while True:
                if at.checks == at.epoch:
                    self.check_epoch(check)
                if at.done or at.step == self.total or self.is_last(at.epoch):
                    return
                active = np.array(at.active)
                left = at.position + self.total - at.step
                for position in range(at.position, min(left, self.batches.steps(active, at.epoch))):
                    self.step(position, active)
                    bar.update()
                    self.save_if_due()
                at.epoch, at.position = at.epoch + 1, 0

    def is_last(self, epoch: int) -> bool:
        """Have so many epochs been asked for? Skipped rows make them shorter, so that their steps do not tell."""
        return self.batches.length is None and epoch == self.recipe.epochs

    def step(self, position: int, active: np.ndarray) -> None:
        at, recipe = self.progress, self.recipe
        self.trained.train(recipe.dropout)
        of_rank = [self.team.rank] if self.team.rank else []  # each process draws masks for rows of its own
        torch.manual_seed(stream_seed(self.batches.seed, "dropout", at.step, *of_rank))
        batch = self.batches.batch(at.epoch, position, at.step, active)
        factor = rate_factor(recipe, at.step, self.total)
        for group in self.optimizer.param_groups:
            group["lr"] = group["rate"] * factor
        self.optimizer.zero_grad(set_to_none=True)
        terms = self.backward(batch)
        if recipe.clip:
            torch.nn.utils.clip_grad_norm_(self.trained.parameters(), recipe.clip)
        self.optimizer.step()
        self.note(batch, terms, recipe.learning_rate * factor)
        at.step, at.position = at.step + 1, position + 1
        if self.plots:
            self.plots.show(at.trace)

    def note(self, batch: Batch, terms: dict[str, float], learning_rate: float) -> None:
        """Add a step to the trace and to what was read."""
        at, objective = self.progress, self.objective
        at.tokens += sum(int(rows.lengths.sum()) for rows in batch.values())
        at.examples += sum(len(rows) for rows in batch.values())
        row = {"step": at.step, "epoch": at.epoch, "learning_rate": learning_rate}
        row |= {"loss": sum(terms.values())} | terms
        row |= objective.batch_counts(batch) if objective.batch_counts else {}
        at.trace.append(row)
        if self.team.rank == 0:
            log.info(" ".join(f"{k}={v:.6g}" for k, v in row.items()))

    def backward(self, batch: Batch) -> dict[str, float]:
        """Accumulate the gradient of one batch, in micro-batches, and return the terms it minimises.

        A term of shape (B,) is averaged over all rows of its role, however they are cut; a scalar is taken as it is.
        Several processes take turns in the parts; a batch that must not be cut is the whole of each one's work.

        Raises:
            FloatingPointError: a term is not finite; the run stops before the weights are touched.
        """
        team, recipe = self.team, self.recipe
        if self.objective.whole_batch:
            parts, weight = [batch], 1 / team.count
        else:
            parts, weight = micro_batches(batch, recipe.micro_batch, team.count)[team.rank :: team.count], 1.0
        hyper = self.objective.hyper_after(self.progress.trace)
        found: list[dict[str, Tensor]] = []
        with tensor_float_32(recipe.precision != "fp32"):
            for number, part in enumerate(parts, 1):
                with team.accumulating(self.loss, last=number == len(parts)):
                    found.append(self.backward_part(part, batch, hyper, weight))
        columns = zip(
            *torch.stack([torch.stack(list(means.values())) for means in found]).tolist(), strict=True
        )
        sums = team.sums([sum(column) for column in columns])
        return all_finite(dict(zip(found[0], sums, strict=True)))

    def backward_part(self, part: Batch, batch: Batch, hyper: Any, weight: float) -> dict[str, Tensor]:
        """Add the gradient of a part of a batch; returns what the part adds to each term, times the weight."""
        part = {role: rows.to(self.device) for role, rows in part.items()}
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.recipe.precision == "bf16"):
            values = self.loss(part, hyper)
        means = {name: mean * weight for name, mean in self.objective.means(values, batch).items()}
        with one_order(self.device):
            for total in self.totals(means):
                total.backward()
        return {name: value.detach() for name, value in means.items()}

    def totals(self, means: dict[str, Tensor]) -> list[Any]:
        """What is passed back, one after the other: the sum of the terms, or of a large model its independent parts."""
        total: Any = sum(means.values())
        if self.team.count > 1:
            return [total * self.team.count]  # a mean over processes follows
        groups = apart(means) if self.is_large else []
        return [sum(means[name] for name in names) for names in groups] or [total]

    @cached_property
    def is_large(self) -> bool:
        return sum(p.numel() for p in self.trained.parameters() if p.requires_grad) >= LARGE

    def check_epoch(self, check: Check) -> None:
        """Take up what is found out between epochs; only the first process finds it out."""
        at = self.progress
        model = self.whole_model()
        found = self.team.first(partial(self.findings, check, model))
        if found is None:
            self.terminated = True
            self.save()
        if self.trained is not model:
            model.to("meta" if self.team.rank else "cpu")
        at.checks += 1
        if found.active is not None:
            at.active = [bool(a) for a in found.active]
        at.done = found.done or not any(at.active)
        if found.columns:
            at.epochs.append({"epoch": at.epoch, **found.columns})
            if self.team.rank == 0:
                numbers = " ".join(f"{k}={v:.6g}" for k, v in found.columns.items())
                log.info("epoch=%d %s", at.epoch, numbers)

    def findings(self, check: Check, model) -> Findings | None:
        """What the check finds, or None if SIGTERM ended it."""
        try:
            self.checking = True
            return None if self.terminated else check(model, self.progress.epoch, self.progress.epochs)
        except Interrupted:
            return None
        finally:
            self.checking = False

    def whole_model(self) -> torch.nn.Module:
        """The model with its present weights, in evaluation mode; of split ones, in the first process alone."""
        if self.recipe.sharded:
            here = self.team.rank == 0
            with torch.no_grad():
                for name, part in self.trained.named_parameters():
                    full = checkpoints.whole(part, here)
                    if here:
                        self.model.get_parameter(name).copy_(full)
            if here:
                self.model.to(self.device)
        return self.model.eval()

    def save_if_due(self) -> None:
        every = self.recipe.checkpoint_seconds
        due = every is not None and self.team.rank == 0 and time.monotonic() - self.saved >= every
        terminated, due = map(bool, self.team.sums([self.terminated, due]))  # agreed on by all processes
        if terminated or due:
            self.terminated |= terminated
            self.save()

    def spent(self) -> tuple[float, float]:
        """Wall and processor seconds of all attempts so far."""
        at, taken = self.progress, self.watch.taken()
        return at.seconds + taken["wall_seconds"], at.processor_seconds + taken["processor_seconds"]

    def save(self) -> None:
        seconds, processor_seconds = self.spent()
        state = dict(vars(self.progress)) | {"seconds": seconds, "processor_seconds": processor_seconds}
        checkpoints.save(self.checkpoint, self.trained, self.optimizer, state, write=self.team.rank == 0)
        self.saved = time.monotonic()
        if self.terminated:
            raise Interrupted(143)

    def terminate(self, *_) -> None:
        self.terminated = True
        if self.checking:
            raise Interrupted(143)


def all_finite(terms: dict[str, float]) -> dict[str, float]:
    """The terms; FloatingPointError if one is not finite."""
    bad = [name for name, value in terms.items() if not math.isfinite(value)]
    if bad:
        raise FloatingPointError(
            f"term {bad[0]} of the loss is {terms[bad[0]]}: lower learning_rate or set clip"
        )
    return terms
