"""Parameters of prompts: how a question becomes the tokens before an answer."""

from __future__ import annotations

import datetime
from typing import Literal

from pydantic import field_validator

from lethe.params.strict_model import StrictModel


class Prompting(StrictModel):
    """How what is asked is put before what is answered."""

    template: Literal["auto", "chat", "plain"] = "auto"
    """chat: the tokenizer's chat template; plain: `opening`; auto: chat where the tokenizer has a template."""
    system: str | None = None
    """chat: the system message; null: none, or the template's own."""
    date: str = "2025-01-01"
    """chat: the day, YYYY-MM-DD, that templates print as today, which would change prompts every day."""
    opening: str = "{prompt}"
    """plain: text before the answer, in which {prompt} is what is asked; "Question: {prompt}\\nAnswer: "."""

    @field_validator("date")
    @classmethod
    def is_a_day(cls, value: str) -> str:
        try:
            datetime.date.fromisoformat(value)
        except ValueError:
            raise ValueError(f"{value!r} is no day; allowed is YYYY-MM-DD") from None
        return value

    @field_validator("opening")
    @classmethod
    def holds_the_prompt(cls, value: str) -> str:
        if value.count("{prompt}") != 1:
            raise ValueError("holds {prompt} " + f"{value.count('{prompt}')} times; once is needed")
        return value
