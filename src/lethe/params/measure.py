"""Parameters of measuring."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from lethe.params.fields import Fraction, Positive, Probability
from lethe.params.names import Name
from lethe.params.strict_model import StrictModel

Share = Annotated[float, Field(gt=0, le=1)]
OfTokens = Literal[  # metrics of the tokens of a text; losses of other wordings, which others need, hold their end
    "exact_memorization", "extraction_strength", "loss_zlib", "memorization_accuracy", "min_k", "min_k_plus",
    "privacy_leak",
]  # fmt: skip
Draws = Annotated[int, Field(ge=100, le=1_000_000)]


class Measure(StrictModel):
    """Settings of the metrics of one study."""

    confidence: Probability = 0.95
    """Level of every interval within a run; 1 - confidence is the significance level."""
    bootstrap: Draws = 1000
    """Resamples behind an interval over examples, where there is no closed form."""
    false_positive_rates: Annotated[list[Probability], Field(max_length=100)] = [0.05, 0.01, 0.001]
    """Rates at which a true positive rate is reported; not below 1 / test examples, where none can be told."""
    min_k: Share = 0.2
    """Share of the least likely tokens that Min-K% and Min-K%++ average."""
    calibration_bins: Annotated[int, Field(ge=1, le=100_000)] = 15
    """Equal-width bins of the expected calibration error."""
    attack_penalty: Positive = 1.0
    """L2 penalty of the attack's logistic regression (1/C on standardised features)."""
    matched: bool = False
    """Attacks judge forget against the test examples nearest to it in class and length."""
    reference: Literal["base", "retrain"] | None = None
    """Generation: the run that reference_loss compares with."""
    truth_ratio: Literal["geometric", "arithmetic", "knowledge"] = "geometric"
    """Wrong answers' probabilities are averaged so; knowledge: the share that the right answer has beside them."""
    end_token: dict[OfTokens, bool] = {}
    """Metric -> does the end token of answers count? Left out: not in exact_memorization and privacy_leak."""
    utility_sets: Annotated[list[Name], Field(min_length=1)] = ["retain", "real_authors", "world_facts"]
    """Sets of the model utility: probability, ROUGE and truth ratio of each."""
    rmia_gamma: Positive = 1.0
    """By what factor an example must beat one of the population."""
    rmia_slope: Fraction | Literal["auto"] = "auto"
    """`a` of offline RMIA: what is guessed of models trained on the example; auto: what tells shadow models apart."""

    @model_validator(mode="after")
    def check_rates(self) -> Self:
        """Two rates of one value would write one metric twice."""
        if len(set(self.false_positive_rates)) < len(self.false_positive_rates):
            raise ValueError(
                f"false_positive_rates: {self.false_positive_rates} names a rate twice; each may appear once"
            )
        return self
