"""Parameters of the evaluation: what `measure` and `report` read."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from lethe.params.fields import Count, Fraction, Positive, Probability

Share = Annotated[float, Field(gt=0, le=1)]
Draws = Annotated[int, Field(ge=100)]


class Strict(BaseModel):
    """Unknown keys are errors; values do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Measure(Strict):
    """Settings of the metrics of one study."""

    confidence: Probability = (
        0.95  # level of every interval within a run; 1 - confidence is the significance level
    )
    bootstrap: Draws = 1000  # resamples behind an interval of an area under the curve
    false_positive_rates: list[Probability] = [0.01, 0.001]  # at which a true positive rate is reported
    min_k: Share = 0.2  # share of the least likely tokens that Min-K% and Min-K%++ average
    calibration_bins: Count = 15  # equal-width bins of the expected calibration error
    attack_penalty: Positive = (
        1.0  # L2 penalty of the attack's logistic regression (1/C on standardised features)
    )
    matched: bool = False  # attacks judge forget against the test examples nearest to it in class and length
    reference: Literal["base", "retrain"] | None = (
        None  # generation: the run that reference_loss compares with
    )
    rmia_gamma: Positive = 1.0  # by what factor an example must beat one of the population
    rmia_slope: Fraction = 0.3  # `a` of offline RMIA: what is guessed of models trained on the example

    @model_validator(mode="after")
    def check_rates(self) -> Self:
        """Two rates of one value would write one metric twice."""
        if len(set(self.false_positive_rates)) < len(self.false_positive_rates):
            raise ValueError(
                f"false_positive_rates: {self.false_positive_rates} names a rate twice; each may appear once"
            )
        return self


class Perturbation(Strict):
    """A test whether what was forgotten comes back; each level makes a variant of every run, RUN+NAME-LEVEL."""

    perturbation: str  # a file of perturbations/
    levels: Annotated[list[Count], Field(min_length=1)]  # its strength: steps, bits, words or percent
    options: dict[str, Any] = {}  # fields of `Options` in that file, but the level

    @field_validator("levels")
    @classmethod
    def once(cls, levels: list[int]) -> list[int]:
        if len(set(levels)) < len(levels):
            raise ValueError(f"{levels} names a level twice; each may appear once")
        return levels

    def at(self, level: int) -> dict[str, Any]:
        """The perturbation of one variant, as a score job gets it."""
        return {"perturbation": self.perturbation, "options": {**self.options, "level": level}}


class Report(Strict):
    """Settings of the report over all studies."""

    title: str = "Unlearning for language models"
    confidence: Probability = (
        0.95  # level of the intervals over seeds; a gap is real when its interval excludes 0
    )
    returned: Probability = (
        0.5  # share of what the original remembers above retrain from which on forgetting counts as undone
    )
    forget_quality: Probability = 0.05  # p-value below which the forget set is said to differ from retrain's
