"""Who is Harry Potter (Eldan and Russinovich, 2023, arXiv:2310.02238), at inference: less of what was learnt more.

    z = z_0 - alpha * relu(z_f - z_0)

z_0 are the logits of the original, which stays as it is, z_f those of a model that was trained further on the forget
set by the method's `training`: tokens that it prefers belong to the forgotten texts, and lose what it added. The
paper trains a model on this and on anchored terms; MUSE's `whp` is the formula here. At alpha 0 it is the original.

The run's model is composed of both (`lethe.models.composed`), so that weights are unchanged: whoever has the files
has the original.
"""

from __future__ import annotations

from dataclasses import dataclass

from lethe.models.composed import Composed, Reduced
from lethe.params.fields import NonNegative

NEEDS = ("text",)
SPACE = {"alpha": {"low": 0.1, "high": 10.0, "log": True}}


@dataclass(frozen=True)
class Hyper:
    alpha: NonNegative = 1.0  # how much of what was added is taken away


def unlearn(hyper: Hyper, run):
    learnt = run.fit("learnt", run.original(), run.rows("forget"))
    return Composed({"original": run.original(), "learnt": learnt}, Reduced(hyper.alpha))
