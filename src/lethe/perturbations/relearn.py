"""Relearning: a few steps of fine-tuning, on a few forgotten examples or on other text, then scoring.

What comes back so fast was hidden, not forgotten (Hu et al., ICLR 2025, arXiv:2406.13356). The forgotten examples that
are trained on are not scored; it is the others that must not come back. The curve has a point for each level.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

from lethe.params.fields import Count, Positive
from lethe.params.training import Training
from lethe.system.errors import InputError
from lethe.system.streams import stream
from lethe.training.training import FINE_TUNING, fine_tuning, train_model

NEEDS = ()


@dataclass(frozen=True)
class Options:
    level: Count  # steps
    on: Literal["forget", "retain", "validation", "general"] = (
        "forget"  # the set whose examples are trained on
    )
    examples: Count = 4  # of that set, all in each step
    learning_rate: Positive = 1e-4


def perturb_model(options: Options, model, sets, encoding):
    """Train the model on the chosen examples; they are no longer in the sets."""
    if options.on not in sets:
        raise InputError(f"robustness: relearn: on: {options.on}: the study has no such text")
    pool = sets[options.on]
    if options.on == "forget" and len(pool) <= options.examples:
        raise InputError(
            f"robustness: relearn: examples: {options.examples} of {len(pool)} forgotten ones;"
            f" allowed are 1 to {len(pool) - 1}, as the others are scored"
        )
    chosen = stream(0, "relearn", len(pool)).permutation(len(pool))[: options.examples]
    rows = encoding(pool.iloc[chosen]).rows
    recipe = Training(epochs=options.level, learning_rate=options.learning_rate, batch={"retain": len(rows)})
    with TemporaryDirectory() as folder:
        state = Path(folder) / "state.safetensors"
        train_model(model, FINE_TUNING, fine_tuning(rows, recipe, seed=0), "relearn", state)
    return sets | {options.on: pool.drop(pool.index[chosen])}
