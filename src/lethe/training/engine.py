"""The only training loop: references and every unlearning method run through it.

A run is a pure function of its inputs: batches, dropout masks and schedule depend on seed and position alone,
so that a run killed at any moment and started again ends with the same bits as an undisturbed one. Several
processes that share each batch follow the trajectory of one, up to the order in which gradients are summed.
"""

from __future__ import annotations

import contextlib
import copy
import logging
import math
import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint
from tqdm import tqdm
from transformers.modeling_layers import GradientCheckpointingLayer

from lethe.models.fused import fuse
from lethe.params.training import Training
from lethe.system.errors import InputError
from lethe.system.streams import stream_seed
from lethe.training import checkpoints
from lethe.training.batches import Batches, micro_batches
from lethe.training.optimizer import build_optimizer, rate_factor

log = logging.getLogger("lethe.engine")
SHOWN = 5.0  # seconds between two updates of the live plots: each takes milliseconds, as long as a small step
PLACE = ("step", "epoch", "learning_rate")  # columns of the trace that say where a row is
PATIENCE = timedelta(days=1)  # how long processes wait for the first one's review or checkpoint


@dataclass(frozen=True)
class Review:
    """What is found out before the first and after every epoch.

    columns: numbers for epochs.csv; active: (N,) bool rows of the first role still trained on, or None for all;
    done: end the run.
    """

    columns: dict[str, float]
    active: np.ndarray | None = None
    done: bool = False


ReviewOf = Callable[[torch.nn.Module, int, list[dict]], Review]


@dataclass
class Progress:
    """Position and history of a run; all that a checkpoint needs beside the tensors."""

    fingerprint: str
    active: list[bool]
    step: int = 0
    epoch: int = 0
    position: int = 0  # steps done in this epoch
    reviews: int = 0  # made, of which one comes before the first epoch
    done: bool = False
    tokens: int = 0
    examples: int = 0
    seconds: float = 0.0  # of earlier attempts
    trace: list[dict] = field(default_factory=list)
    epochs: list[dict] = field(default_factory=list)


def mean_over(values: Tensor, rows: int) -> Tensor:
    return values if values.dim() == 0 else values.sum() / rows


class Interrupted(SystemExit):
    """SIGTERM arrived; a checkpoint was written."""


class Loss(torch.nn.Module):
    """The objective and its model: one pass is one pass of what wraps it, however often the model is called."""

    def __init__(self, model, objective, hyper, frozen, caching: bool):
        super().__init__()
        self.model, self.caching = model, caching
        self.fixed = (objective, hyper, frozen)  # a tuple, so that what is frozen is no part of this module

    def forward(self, part) -> dict[str, Tensor]:
        objective, hyper, frozen = self.fixed
        with contextlib.nullcontext() if self.caching else uncached(self.model.config):
            return objective.loss(hyper, self.model, frozen, part)


@contextlib.contextmanager
def uncached(config) -> Iterator[None]:
    """Passes keep no keys and values, which only decoding needs."""
    before = getattr(config, "use_cache", False)
    if before:
        config.use_cache = False
    try:
        yield
    finally:
        if before:
            config.use_cache = before


@contextlib.contextmanager
def tensor_float_32(wanted: bool) -> Iterator[None]:
    """Products of float32 matrices in TF32, on GPUs that have it."""
    before = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = wanted
    try:
        yield
    finally:
        torch.backends.cuda.matmul.allow_tf32 = before


@contextlib.contextmanager
def one_order(device: torch.device) -> Iterator[None]:
    """On a GPU, backward passes add in an order that is always the same; those of attention do not by default."""
    if device.type != "cuda":
        yield
        return
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # without it, torch refuses any product
    memory: Any = torch.utils.deterministic
    before = torch.are_deterministic_algorithms_enabled(), memory.fill_uninitialized_memory
    torch.use_deterministic_algorithms(True)
    memory.fill_uninitialized_memory = False  # nothing is read that was not written
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before[0])
        memory.fill_uninitialized_memory = before[1]


def blocks(model) -> list[torch.nn.Module]:
    """The transformer blocks, which are checkpointed, compiled and sharded one by one.

    Raises:
        InputError: the architecture does not mark them.
    """
    found: list[torch.nn.Module] = [m for m in model.modules() if isinstance(m, GradientCheckpointingLayer)]
    if not found:
        what = "training.gradient_checkpointing, compile and sharded need them"
        raise InputError(f"model: {model.config.model_type} marks no blocks; {what}")
    return found


def adapt_blocks(model, recipe: Training) -> None:
    """Passes that need gradients go through blocks that are checkpointed or compiled; reviews are left as they are."""
    if not (recipe.gradient_checkpointing or recipe.compile):
        return
    for block in blocks(model):
        plain = trained = block.forward
        if recipe.gradient_checkpointing:
            trained = partial(checkpoint, trained, use_reentrant=False)
        if recipe.compile:
            # Each with a cache of its own: fused methods differ between blocks, and a cache of all is soon full.
            trained = torch.compile(trained, isolate_recompiles=True)  # type: ignore[call-overload]
        block.forward = partial(by_gradient, trained, plain)


def by_gradient(trained, plain, *args, **kwargs):
    return (trained if torch.is_grad_enabled() else plain)(*args, **kwargs)


class Team:
    """The processes that share every batch. One alone has nothing to agree on, and imports nothing for it."""

    def __init__(self, recipe: Training):
        self.count, self.sharded, self.rank = recipe.processes, recipe.sharded, 0
        if self.count == 1:
            return
        from accelerate import Accelerator
        from accelerate.utils import DistributedDataParallelKwargs, InitProcessGroupKwargs

        # No buffer is trained, and a loss may leave out parameters, such as those after the block it reads.
        copies = DistributedDataParallelKwargs(broadcast_buffers=False, find_unused_parameters=True)
        handlers = [InitProcessGroupKwargs(timeout=PATIENCE), copies]
        cpu = not torch.cuda.is_available()
        self.accelerator = Accelerator(cpu=cpu, mixed_precision="no", kwargs_handlers=handlers)
        self.rank = self.accelerator.process_index
        if self.accelerator.num_processes != self.count:
            raise RuntimeError(f"{self.accelerator.num_processes} processes were started for {self.count}")

    def share(self, loss: Loss) -> torch.nn.Module:
        """The loss, whose gradients are means over the processes; sharded, its parameters are split among them."""
        if self.count == 1:
            return loss
        if not self.sharded:
            return self.accelerator.prepare_model(loss)
        from torch.distributed.fsdp import fully_shard

        for block in blocks(loss.model):
            fully_shard(block)
        fully_shard(loss)
        return loss

    def accumulating(self, loss: Any, last: bool):
        """Copies of a whole model put their gradients together once a batch, after its last part."""
        return contextlib.nullcontext() if last or self.count == 1 or self.sharded else loss.no_sync()

    def sums(self, values: Sequence[float]) -> Sequence[float]:
        """Sums over the processes."""
        if self.count == 1:
            return values
        tensor = torch.tensor(values, dtype=torch.float64, device=self.accelerator.device)
        return self.accelerator.reduce(tensor, reduction="sum").tolist()

    def first(self, find: Callable[[], Any]) -> Any:
        """What the first process finds, told to all."""
        if self.count == 1:
            return find()
        from accelerate.utils import broadcast_object_list

        return broadcast_object_list([find() if self.rank == 0 else None])[0]


class Engine:
    """One run: model, objective, batches, and where its checkpoint lies."""

    def __init__(self, model, frozen, objective, hyper, batches: Batches, fingerprint: str, checkpoint: Path):
        self.model, self.objective = model, objective
        self.batches, self.recipe, self.checkpoint = batches, batches.recipe, checkpoint
        self.device = next(model.parameters()).device
        self.team = Team(self.recipe)
        self.trained = model
        if self.recipe.sharded:  # `model` stays whole, beside what is trained, for reviews and for the end
            self.trained = copy.deepcopy(model)
            model.to("meta" if self.team.rank else "cpu")
        if self.device.type != "cpu":
            fuse(self.trained)
            torch.backends.cuda.enable_cudnn_sdp(False)  # knows no one order; see `one_order`
        adapt_blocks(self.trained, self.recipe)
        # On a CPU a pass copies keys and values as it always did: without, the last bits would change. A GPU has
        # better use for the memory, and a block that is computed again must not enter them twice.
        caching = self.device.type == "cpu" and not self.recipe.gradient_checkpointing
        self.loss = self.team.share(Loss(self.trained, objective, hyper, frozen, caching))
        first = batches.material.roles[batches.first_role]
        self.optimizer = build_optimizer(self.trained, self.recipe)
        self.progress = Progress(fingerprint, [True] * len(first))
        self.total = self.recipe.epochs * batches.steps(np.ones(len(first), bool))
        self.terminated = self.reviewing = False

    def run(self, review: ReviewOf, live=None) -> Progress:
        """Train until the last epoch, until `review` says so, or until no row is active.

        `review` is called with the model, the number of epochs done, and the columns of all reviews before.
        On SIGTERM a checkpoint is written after the current step, or in place of the current review, and
        SystemExit(143) raised.
        """
        state = checkpoints.load(self.checkpoint, self.trained, self.optimizer, self.progress.fingerprint)
        if state:
            self.progress = Progress(**state)
            log.info("continuing at step %d, epoch %d", self.progress.step, self.progress.epoch)
        self.began = self.saved = self.shown = time.monotonic()
        previous = signal.signal(signal.SIGTERM, self.terminate)
        try:
            self.epochs(review, live)
        finally:
            signal.signal(signal.SIGTERM, previous)
            self.show(live, every=0.0)
        self.progress.seconds += time.monotonic() - self.began
        return self.progress

    def epochs(self, review, live) -> None:
        at = self.progress
        silent = True if self.team.rank else None
        with tqdm(total=self.total, initial=at.step, unit="step", disable=silent) as bar:
            while True:
                if at.reviews == at.epoch:
                    self.judge(review)
                if at.done or at.epoch == self.recipe.epochs:
                    return
                active = np.array(at.active)
                for position in range(at.position, self.batches.steps(active, at.epoch)):
                    self.step(position, active, live)
                    bar.update()
                    self.save_if_due()
                at.epoch, at.position = at.epoch + 1, 0

    def step(self, position: int, active: np.ndarray, live) -> None:
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
        at.tokens += sum(int(rows.lengths.sum()) for rows in batch.values())
        at.examples += sum(len(rows) for rows in batch.values())
        row = {"step": at.step, "epoch": at.epoch, "learning_rate": recipe.learning_rate * factor}
        row |= {"loss": sum(terms.values())} | terms
        if hasattr(self.objective, "counts"):
            row |= self.objective.counts(batch)
        at.trace.append(row)
        at.step, at.position = at.step + 1, position + 1
        if self.team.rank == 0:
            log.info(" ".join(f"{k}={v:.6g}" for k, v in row.items()))
        self.show(live)

    def backward(self, batch) -> dict[str, float]:
        """Accumulate the gradient of one batch, in micro-batches, and return the terms it minimises.

        A term of shape (B,) is averaged over all rows of its role, however they are cut; a scalar is taken as it is.
        Several processes take turns in the parts; a batch that must not be cut is the whole of each one's work.

        Raises:
            FloatingPointError: a term is not finite; the run stops before the weights are touched.
        """
        team, recipe = self.team, self.recipe
        if getattr(self.objective, "WHOLE_BATCH", False):
            parts, weight = [batch], 1 / team.count
        else:
            parts, weight = micro_batches(batch, recipe.micro_batch, team.count)[team.rank :: team.count], 1.0
        found: list[dict[str, Tensor]] = []
        with tensor_float_32(recipe.precision != "fp32"):
            for number, part in enumerate(parts, 1):
                part = {role: rows.to(self.device) for role, rows in part.items()}
                with team.accumulating(self.loss, last=number == len(parts)):
                    with torch.autocast(self.device.type, torch.bfloat16, enabled=recipe.precision == "bf16"):
                        values = self.loss(part)
                    terms = self.objective.TERMS
                    means = {
                        name: mean_over(v, len(batch[terms[name]])) * weight for name, v in values.items()
                    }
                    total: Any = sum(means.values())
                    scaled = total * team.count if team.count > 1 else total  # a mean over processes follows
                    with one_order(self.device):
                        scaled.backward()
                found.append({name: value.detach() for name, value in means.items()})
        rows = torch.stack([torch.stack(list(means.values())) for means in found]).tolist()
        terms = dict(
            zip(found[0], team.sums([sum(column) for column in zip(*rows, strict=True)]), strict=True)
        )
        bad = [name for name, value in terms.items() if not math.isfinite(value)]
        if bad:
            raise FloatingPointError(
                f"term {bad[0]} of the loss is {terms[bad[0]]}: lower learning_rate or set clip"
            )
        return terms

    def show(self, live, every: float = SHOWN) -> None:
        """Bring the live plots up to the trace. They begin anew with every process, so a resumed run repeats it."""
        if live is None or time.monotonic() - self.shown < every:
            return
        rows = self.progress.trace[live.step :]
        for number, row in enumerate(rows, 1):
            for name, value in row.items():
                if name not in PLACE:
                    live.log_metric(name, value)
            if number < len(rows):
                live.step += 1
            else:
                live.next_step()
        self.shown = time.monotonic()

    def judge(self, review) -> None:
        """Ask what the reviewer finds; only the first process does."""
        at = self.progress
        model = self.whole_model()
        found = self.team.first(partial(self.reviewed, review, model))
        if found is None:
            self.terminated = True
            self.save()
        if self.trained is not model:
            model.to("meta" if self.team.rank else "cpu")
        at.reviews += 1
        if found.active is not None:
            at.active = [bool(a) for a in found.active]
        at.done = found.done or not any(at.active)
        if found.columns:
            at.epochs.append({"epoch": at.epoch, **found.columns})
            if self.team.rank == 0:
                numbers = " ".join(f"{k}={v:.6g}" for k, v in found.columns.items())
                log.info("epoch=%d %s", at.epoch, numbers)

    def reviewed(self, review, model) -> Review | None:
        """The review, or None if SIGTERM ended it."""
        try:
            self.reviewing = True
            return None if self.terminated else review(model, self.progress.epoch, self.progress.epochs)
        except Interrupted:
            return None
        finally:
            self.reviewing = False

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

    def save(self) -> None:
        seconds = self.progress.seconds + time.monotonic() - self.began
        state = dict(vars(self.progress)) | {"seconds": seconds}
        checkpoints.save(self.checkpoint, self.trained, self.optimizer, state, write=self.team.rank == 0)
        self.saved = time.monotonic()
        if self.terminated:
            raise Interrupted(143)

    def terminate(self, *_) -> None:
        self.terminated = True
        if self.reviewing:
            raise Interrupted(143)
