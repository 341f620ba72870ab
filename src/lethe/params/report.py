"""Parameters of the report."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from lethe.params.fields import Probability
from lethe.params.strict_model import StrictModel


class Report(StrictModel):
    """Settings of the report over all studies."""

    title: Annotated[str, Field(min_length=1, max_length=200)] = "Unlearning for language models"
    """Heading of the page."""
    confidence: Probability = 0.95
    """Level of the intervals over seeds; a gap is real when its interval excludes 0."""
    returned: Probability = 0.5
    """Fraction of the original's excess over retrain at which forgetting counts as undone."""
    show_text: bool = False
    """Texts of questions, answers and requests are shown, on pages that are then private; else record ids alone."""
