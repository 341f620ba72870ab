"""A model trained from where it was left: by an objective, or plainly on rows."""

from __future__ import annotations

from pathlib import Path

from lethe.data.rows import Rows
from lethe.models import adapters
from lethe.models.composed import learner
from lethe.objectives import finetune
from lethe.params.training import Training
from lethe.training import checkpoints
from lethe.training.batches import Batches, TrainingRows
from lethe.training.chosen import Chosen
from lethe.training.engine import Check, Engine, Progress, no_check
from lethe.training.live_plots import LivePlots
from lethe.training.objective import Objective

FINE_TUNING = Objective(finetune.loss, finetune.Hyper(), finetune.TERMS)


def train_model(
    model, objective: Objective, batches: Batches, fingerprint: str, checkpoint: Path,
    check: Check = no_check, plots: LivePlots | None = None, keep: bool = False, merge: bool = True,
    chosen: Chosen | None = None,
) -> Progress:  # fmt: skip
    """Run the engine from where it was left; adapters are added before and merged at the end.

    Args:
        merge: adapters are merged; else they are left where they are.
        chosen: the check, if it keeps the model of an epoch, which is then the result.
        keep: what is finished stays in the checkpoint, so that a run that is continued does not do it again.
    """
    recipe = batches.recipe
    if recipe.lora:
        adapters.add(learner(model), recipe.lora, batches.seed)
    engine = Engine(model, objective, batches, fingerprint, checkpoint)
    progress = engine.run(check, plots)
    if chosen:
        chosen.end(model, progress)
    if keep:
        checkpoints.save(checkpoint, model, None, vars(progress))
    if recipe.lora and merge and engine.team.rank == 0:
        adapters.merge(learner(model))
    return progress


def fine_tuning(
    rows: Rows, recipe: Training, seed: int, general: Rows | None = None, as_of: int | None = None
) -> Batches:
    """Batches of `FINE_TUNING`: passes over the rows, or as many steps as the passes over `as_of` rows would take."""
    length = None if as_of is None else recipe.epochs * -(-as_of // recipe.batch["retain"])
    return Batches(
        TrainingRows({"retain": rows}, general=general), recipe, FINE_TUNING.terms, seed, length=length
    )
