"""Offset unlearning: a pair of small models learns for a large one, which never trains (arXiv:2404.11045).

    z = z_L + alpha * (z_s' - z_s)

L is the original. s is a small model over the same tokens, made as the original was: by the recipes of its base and, if
`taught`, its own, on the same texts. s' begins as s and is what an objective trains, by its loss of z. At the beginning
z is z_L to the bit. A later request goes on with s', beside the same s.

Our reading, as neither equations nor code are public: that the pair is taught the texts first is not said.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from lethe import models
from lethe.data.encoding import packed
from lethe.models.composed import Composed, Offset, is_offset
from lethe.models.tiny import TINY
from lethe.params.training import Offset as Settings
from lethe.params.training import Training
from lethe.system.errors import InputError
from lethe.system.streams import stream_seed

if TYPE_CHECKING:
    from lethe.training.run import Run


def with_offset(run: Run, model: Any, settings: Settings) -> Composed:
    """The model with its pair, of which the small model that trains, `trained`, alone is to train.

    Raises:
        InputError: the small model cannot be made, or reads other tokens; or the model is composed otherwise.
    """
    rule = Offset(settings.alpha)
    if isinstance(model, Composed):
        if not is_offset(model) or model.rule != rule:
            raise InputError(
                f"{where(run)}: {run.original_folder} is no model with this offset; make it again"
            )
    else:
        start = small_model(run, settings)
        model = Composed({"large": model, "trained": copy.deepcopy(start), "start": start}, rule)
    model.requires_grad_(False)
    model.members["trained"].requires_grad_(True)
    return model


def small_model(run: Run, settings: Settings) -> Any:
    """The small model before the run, made beforehand, whose cost stands apart."""
    seed = stream_seed(run.seed, "offset")
    cfg = settings.model.model_copy(update={"max_length": run.settings.max_length})
    if cfg.source in TINY:
        cfg = cfg.model_copy(update={"tokenizer": str(run.original_folder)})
    try:
        model, tokenizer = models.base(cfg, run.job.cfg["task"], [], [], seed)
    except InputError as error:
        raise InputError(f"{where(run)}.{error}") from None
    if tokenizer.get_vocab() != run.tokenizer.get_vocab():
        raise InputError(
            f"{where(run)}.model.source: {cfg.source} has another vocabulary than the study's model"
        )
    model.to(models.device())
    if recipe := run.job.cfg["pretrain"]:
        rows = packed(run.examples.sets["general"], tokenizer, cfg.max_length)
        model = run.fit("small", model, rows, Training.model_validate(recipe), beforehand=True, freeze=[])
    if settings.taught:
        rows, recipe = run.rows("forget", "retain"), run.finetune
        general = run.examples.general(recipe)
        model = run.fit("taught", model, rows, recipe, beforehand=True, general=general, freeze=[])
    return model


def where(run: Run) -> str:
    return f"methods.{run.job.run}.training.offset"
