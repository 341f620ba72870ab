"""Parameters of U-LiRA."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from lethe.params.names import Name
from lethe.params.strict_model import StrictModel


class ULira(StrictModel):
    """Models that were themselves unlearned, for U-LiRA, an attack fitted to a method (Hayes et al., 2024).

    Audited are the forget set of the first seed and as many test texts. Half of them are trained on and unlearned again
    by each model: a training, and an unlearning run of every method that is attacked.
    """

    models: Annotated[int, Field(ge=4, le=1000, multiple_of=2)] = 16
    """Number of models; they come in complementary pairs."""
    first_seed: Annotated[int, Field(ge=0, le=2**62, multiple_of=2)] = 2000
    """Seed of the first; those of the next ones follow it."""
    methods: Annotated[list[Name], Field(min_length=1)] | None = None
    """Runs that are attacked; null: all methods."""

    @property
    def seeds(self) -> list[int]:
        return list(range(self.first_seed, self.first_seed + self.models))
