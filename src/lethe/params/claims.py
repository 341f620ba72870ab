"""Parameters of what is claimed: declared before a run, printed by the report."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from lethe.params.fields import Positive, Probability
from lethe.params.strict_model import StrictModel


class Claims(StrictModel):
    """What methods are judged by. A change after a look at the results is a new question, not an answer."""

    primary: Annotated[list[str], Field(min_length=1, max_length=3)] | None = None
    """At most three metrics that carry stars and verdicts; null: those of the task."""
    near: Positive = 0.2
    """Of metrics that should be as after retraining: a gap of at most this fraction of original - retrain is none."""
    keep: Positive = 0.05
    """Of metrics that should not fall: a gap of at most this fraction of retrain's value is none."""
    level: Probability = 0.05
    """Familywise error of the stars of a metric, over all methods (Holm), and error of each side of a verdict."""

    @model_validator(mode="after")
    def check_primary(self) -> Self:
        """A metric given twice would be tested twice."""
        if self.primary and len(set(self.primary)) < len(self.primary):
            raise ValueError(f"primary: {', '.join(self.primary)} names a metric twice; each may appear once")
        return self
