"""The class that all sections of params.yaml share."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class StrictModel(BaseModel):
    """A section: a key that is not a field is an error, and nothing changes after reading.

    The text below a field is its description in the schema.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)
