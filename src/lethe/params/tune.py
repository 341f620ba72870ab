"""Parameters of the search for settings: how many trials, over what, and which of them is taken."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from lethe.params.fields import Positive, Seed
from lethe.params.forget import Forget
from lethe.params.strict_model import StrictModel


class Range(StrictModel):
    """Numbers between two ends; whole ones if both ends are."""

    low: int | float
    """Smallest value."""
    high: int | float
    """Largest value."""
    log: bool = False
    """Uniform in the logarithm."""

    @model_validator(mode="after")
    def ordered(self) -> Self:
        if not self.low < self.high or (self.log and self.low <= 0):
            raise ValueError(
                f"low {self.low}, high {self.high}: low must be below high, and above 0 with log"
            )
        return self


Choices = Annotated[list[bool | int | float | str], Field(min_length=1)]
Space = dict[str, Range | Choices]  # parameter -> where its values come from


def extremes(choice: Range | Choices) -> Choices:
    """The ends of a range, or all of a list."""
    return [choice.low, choice.high] if isinstance(choice, Range) else choice


def is_transfer(metric: str) -> bool:
    """Is it found by the transfer attack, which learns on a run's models of the other tuning seeds?"""
    return metric in ("transfer_auc", "transfer_tpr")


class Select(StrictModel):
    """The rule, declared before any test: of the trials that forget, the nearest to retrain, over the tuning seeds."""

    metrics: Annotated[dict[str, Positive], Field(min_length=1)]
    """Name in metrics.json, or transfer_auc, which needs two tuning seeds -> weight of the distance."""
    within: dict[str, Positive] = {}
    """Name -> largest distance of a trial that forgets; all trials, if none does."""
    tokens: Positive | None = None
    """Only trials that read at most this share of the tokens of retrain."""


class Tune(StrictModel):
    """The same number of trials for every method of a study, on forget sets that are never reported."""

    trials: Annotated[int, Field(ge=1, le=1000)]
    """Per method; the first is the method as it is declared."""
    seeds: Annotated[list[Seed], Field(min_length=1, max_length=1000)]
    """None of the study's."""
    select: Select
    """Which trial is taken."""
    space: Space = {"learning_rate": Range(low=1e-5, high=1e-2, log=True)}
    """Of training; that of hyperparameters is SPACE of an objective."""
    forget: Forget | None = None
    """The forget set of the trials; null: as in the study."""


def depends_on_seed(forget: Forget) -> bool:
    """Does another seed choose another forget set?"""
    return forget.strategy in ("random", "subject", "superficial", "deep") or (
        forget.strategy == "label" and forget.size is not None
    )
