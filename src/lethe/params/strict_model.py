"""The class that all sections of params.yaml share."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, model_validator


class StrictModel(BaseModel):
    """A section: a key that is not a field is an error, no value is taken for one of another type, none changes later.

    A whole number may stand for a float; nothing else may: neither "2" nor 2.0 nor true is 2. The text below a field
    is its description in the schema.
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, use_attribute_docstrings=True)


class Abbreviated(StrictModel):
    """A section that a text may stand for, which is the value of one of its fields."""

    SHORT_FOR: ClassVar[str] = "source"

    @model_validator(mode="before")
    @classmethod
    def shorthand(cls, value: Any) -> Any:
        """`dataset: owner/name` stands for `dataset: {source: owner/name}`."""
        return cls.of_text(value) if isinstance(value, str) else value

    @classmethod
    def of_text(cls, text: str) -> dict[str, Any]:
        """The fields that a text stands for."""
        return {cls.SHORT_FOR: text}
