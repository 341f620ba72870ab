"""The class that all sections of params.yaml share."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class StrictModel(BaseModel):
    """A section: a key that is not a field is an error, no value is taken for one of another type, none changes later.

    A whole number may stand for a float; nothing else may: neither "2" nor 2.0 nor true is 2. The text below a field
    is its description in the schema.
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, use_attribute_docstrings=True)
