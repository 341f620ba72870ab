"""When a text counts as forgotten: at values like those of text that the model never saw."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lethe.metrics.common.statistics import finite


@dataclass(frozen=True)
class Threshold:
    """Mean of a metric over unseen texts, the standard error of that mean, and how many texts there were."""

    mean: float
    standard_error: float
    count: int

    def with_slack(self, errors: float) -> float:
        """The mean raised by a number of standard errors: what unseen text itself might reach by chance."""
        return self.mean + errors * self.standard_error


def unseen_threshold(values: np.ndarray) -> Threshold:
    """Threshold of MA or EL_n from held-out texts of the length and under the tokenizer at hand (Jang et al., 2023).

    Args:
        values: (N,) one value per unseen text, independent of each other.
    Raises:
        ValueError: fewer than two values, which have no standard error, or one is not finite.
    """
    values = finite(values)
    if len(values) < 2:
        raise ValueError(f"{len(values)} unseen text: at least 2 are needed for a standard error")
    return Threshold(float(values.mean()), float(values.std(ddof=1) / np.sqrt(len(values))), len(values))
