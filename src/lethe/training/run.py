"""What every training job shares: its identity, its material, and the files it leaves."""

from __future__ import annotations

import copy
import hashlib
import json
import resource
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import pandas as pd
import torch

from lethe import models
from lethe.losses import Rows
from lethe.models import adapters
from lethe.models.fused import fuse
from lethe.objectives import finetune
from lethe.params.training import Training
from lethe.system import files
from lethe.system.streams import stream_seed
from lethe.training import checkpoints
from lethe.training.batches import Batches, Material
from lethe.training.engine import Engine, Progress, Review
from lethe.training.frozen import FrozenHidden

PACKAGE = Path(__file__).parents[1]
Trained = Mapping[str, tuple[torch.nn.Module, Rows]]  # name -> a model, and what it learnt


@dataclass(frozen=True)
class Job:
    """One run of one seed: where its outputs, checkpoint and live plots go."""

    cfg: dict[str, Any]
    seed: int
    run: str
    out: Path
    checkpoint: Path
    live: Path | None

    def fingerprint(self, *inputs: str | Path) -> str:
        """Changes with the parameters, the inputs or the code, so that no checkpoint of another run is continued."""
        parts = [json.dumps(self.cfg, sort_keys=True), str(self.seed), self.run, torch.__version__]
        parts += [files.digest(path) for path in inputs]
        parts += [files.digest(file) for file in sorted(PACKAGE.rglob("*.py"))]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def objective_module(name: str) -> ModuleType:
    return import_module(f"lethe.objectives.{name}")


def frozen_copy(
    objective: ModuleType, hyper, model, seed: int, trained: Trained | None = None, shared: bool = False
):  # fmt: skip
    """What the objective keeps of the run's beginning and reads at every step.

    Its constant FROZEN says what of the model: `model`, all of it; `hidden`, its hidden states of the texts that
    are asked for (`FrozenHidden`); None, nothing. An objective that keeps more, such as a direction drawn from the
    seed, makes it of that in a function `fixed(hyper, frozen, seed)`; one whose constant TRAINS names models that are
    trained beforehand is given them with the rows they learnt as a fourth argument, `trained`.

    A copy that is `shared` has the model's own weights but for a head, as the body will not be trained.
    """
    frozen = None
    if objective.FROZEN is not None:
        same = {id(p): p for p in model.base_model.parameters()} if shared else {}
        before = copy.deepcopy(model, same).eval()
        for parameter in before.parameters():
            parameter.requires_grad_(id(parameter) in same and parameter.requires_grad)
        if before.device.type != "cpu":
            fuse(before)  # as the model that trains: of equal weights come equal logits
        frozen = before if objective.FROZEN == "model" else FrozenHidden(before)
    if not hasattr(objective, "fixed"):
        return frozen
    return objective.fixed(hyper, frozen, seed, *([trained] if hasattr(objective, "TRAINS") else []))


def no_review(model, epoch: int, history: list[dict]) -> Review:
    """Nothing is found out between epochs."""
    return Review({})


def train_model(
    job: Job, model, tokenizer, frozen, objective: ModuleType, hyper, material: Material, recipe: Training,
    inputs: Sequence[Path], review=no_review, parts: Sequence[Progress] = (),
) -> None:  # fmt: skip
    """Run the engine from where it was left, and write model, pin, trace, epochs and cost; then drop the checkpoints.

    The work of `parts`, made by `train_part`, is part of the run's cost.
    """
    phase = partial(objective.roles, hyper) if hasattr(objective, "roles") else None
    places = getattr(objective, "KEEPS_PLACES", False)
    batches = Batches(material, recipe, objective.TERMS, job.seed, phase, places)
    if recipe.lora:
        adapters.add(model, recipe.lora, job.seed)
    engine = Engine(model, frozen, objective, hyper, batches, job.fingerprint(*inputs), job.checkpoint)
    with live_log(job) as live:
        progress = engine.run(review, live)
    if engine.team.rank == 0:
        if recipe.lora:
            adapters.merge(model)
        write(job.out, model, tokenizer, progress, parts=parts)
        for checkpoint in (job.checkpoint, parts_folder(job)):
            files.remove(checkpoint)


def train_part(
    job: Job, name: str, model, rows: Rows, recipe: Training, inputs: Sequence[Path], phase: str = ""
) -> Progress:  # fmt: skip
    """Fine-tune a model that a run needs on the way.

    What is finished is kept until the run is, in a file of the phase and the name, so that a run that is continued does
    not do it again: the model then gets the weights it had. Batches, dropout and adapters depend on the seed and the
    name. Of several processes each does it alone.
    """
    recipe = recipe.model_copy(update={"processes": 1, "sharded": False})
    checkpoint = parts_folder(job) / f"{phase}{name}.safetensors"
    batches = Batches(Material({"retain": rows}), recipe, finetune.TERMS, stream_seed(job.seed, name))
    if recipe.lora:
        adapters.add(model, recipe.lora, stream_seed(job.seed, name))
    fingerprint = f"{job.fingerprint(*inputs)} {name}"
    engine = Engine(model, None, finetune, finetune.Hyper(), batches, fingerprint, checkpoint)
    progress = engine.run(no_review)
    checkpoints.save(checkpoint, model, None, vars(progress))
    if recipe.lora:
        adapters.merge(model)
    return progress


def parts_folder(job: Job) -> Path:
    """Where the checkpoints of the parts of a run lie."""
    return job.checkpoint.with_name(f"{job.checkpoint.stem}-parts")


class live_log:
    """DVCLive's log of the run, or nothing where none is asked for."""

    def __init__(self, job: Job):
        self.folder = job.live

    def __enter__(self):
        if self.folder is None:
            return None
        from dvclive import Live

        self.live = Live(str(self.folder), save_dvc_exp=False, dvcyaml=None, monitor_system=False)
        return self.live

    def __exit__(self, *_):
        if self.folder is not None:
            self.live.end()


def write(
    out: Path, model, tokenizer, progress: Progress | None, seconds: float = 0.0, parts: Sequence[Progress] = (),
    beforehand: dict[str, float] | None = None,
) -> None:  # fmt: skip
    """The outputs of a training job but run.json; `progress` is None for a model that is taken as it comes.

    Work that is none of the run's but came before it, `beforehand`, stands apart in its cost.
    """
    models.save(model, tokenizer, out / "model")
    with files.replacing(out / "model.sha256") as temporary:
        temporary.write_text(files.digest(out / "model") + "\n")
    empty = Progress("", [])
    at = progress or empty
    write_table(out / "trace.csv", at.trace, ["step", "epoch", "learning_rate", "loss"])
    write_table(out / "epochs.csv", at.epochs, ["epoch"])
    apart = {f"beforehand_{name}": round(value, 3) for name, value in (beforehand or {}).items()}
    own = {"wall_seconds": seconds} if progress is None else {}
    files.write_json(out / "cost.json", cost(at, parts) | own | apart)


def write_table(path: Path, rows: list[dict], columns: list[str]) -> None:
    frame = pd.DataFrame(rows) if rows else pd.DataFrame(columns=columns)
    with files.replacing(path) as temporary:
        frame.to_csv(temporary, index=False)


def cost(progress: Progress, parts: Sequence[Progress] = ()) -> dict[str, Any]:
    """Wall time, work done and peak memory (bytes) of a run and its parts; of all attempts, if it was interrupted."""
    done = [progress, *parts]
    on_gpu = torch.cuda.is_available()
    unit = 1 if sys.platform == "darwin" else 1024  # of ru_maxrss
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    return {
        "wall_seconds": round(sum(p.seconds for p in done), 3),
        "steps": sum(p.step for p in done),
        "epochs": progress.epoch,
        "tokens": sum(p.tokens for p in done),
        "examples": sum(p.examples for p in done),
        "peak_memory_bytes": torch.cuda.max_memory_allocated() if on_gpu else peak,
        "device": torch.cuda.get_device_name() if on_gpu else "cpu",
        "threads": torch.get_num_threads(),
    }
