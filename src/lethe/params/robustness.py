"""Parameters of the tests whether what was forgotten comes back."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, field_validator

from lethe.params.fields import Count
from lethe.params.strict_model import StrictModel


class Perturbation(StrictModel):
    """A test whether what was forgotten comes back; each level makes a variant of every run, RUN+NAME-LEVEL."""

    perturbation: str
    """A file of perturbations/; left out: the one of the test's name."""
    levels: Annotated[list[Count], Field(min_length=1, max_length=100)]
    """Its strength: steps, bits, words or percent."""
    options: dict[str, Any] = {}
    """Fields of `Options` in that file, but the level."""

    @field_validator("levels")
    @classmethod
    def once(cls, levels: list[int]) -> list[int]:
        if len(set(levels)) < len(levels):
            raise ValueError(f"{levels} names a level twice; each may appear once")
        return levels

    def at(self, level: int) -> dict[str, Any]:
        """The perturbation of one variant, as a score job gets it."""
        return {"perturbation": self.perturbation, "options": {**self.options, "level": level}}
