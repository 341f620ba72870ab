"""Parameters of the shadow models."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from lethe.params.strict_model import StrictModel


class Shadow(StrictModel):
    """Shadow models for LiRA and RMIA: retrained without random halves of the texts, shared by all seeds and runs.

    Each costs about one retrained model. Training, hold-out and test texts are divided.
    """

    models: Annotated[int, Field(ge=4, le=1000, multiple_of=2)]
    """Number of models; they come in complementary pairs."""
    first_seed: Annotated[int, Field(ge=0, le=2**62, multiple_of=2)] = 1000
    """Seed of the first; those of the next ones follow it."""

    @property
    def seeds(self) -> list[int]:
        return list(range(self.first_seed, self.first_seed + self.models))
