"""The processes that share every batch of a run."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

import torch

from lethe.params.training import Training
from lethe.training.numerics import blocks
from lethe.training.objective import LossOfModel

PATIENCE = timedelta(days=1)  # how long processes wait for the first one's epoch check or checkpoint


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

    def share(self, loss: LossOfModel) -> torch.nn.Module:
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
