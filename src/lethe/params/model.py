"""Parameters of the model."""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import model_validator

from lethe.params.architectures import check_settings
from lethe.params.fields import Tokens
from lethe.params.strict_model import Abbreviated

Weights = Literal["auto", "fp32", "bf16", "nf4"]


class Model(Abbreviated):
    """A model: a Hub id with its revision, a local folder, or a tiny built-in architecture."""

    source: str
    """Hub id owner/name, folder, also of an adapter; minilm, smollm2 (packaged), tiny-bert, tiny-gpt-neo (drawn)."""
    revision: str = "main"
    """Hub: branch, tag or commit."""
    max_length: Tokens = 128
    """Tokens; longer texts are cut and counted."""
    weights: Weights = "auto"
    """auto: trained in fp32, beside adapters kept, saved as in the source; fp32, bf16: all so; nf4: 4 bits on a GPU."""
    tokenizer: str | None = None
    """Tiny models: folder of a tokenizer; null: one is trained on text that is never forgotten."""
    options: dict[str, bool | int | float | str] = {}
    """Overrides of the configuration, such as num_hidden_layers."""
    freeze: list[str] = []
    """Parameters whose names start so are never trained."""

    @property
    def reading(self) -> dict[str, Any]:
        """What decides which tokens of a text the model reads."""
        found = self.model_dump(mode="json", include={"source", "revision", "tokenizer", "max_length"})
        size = {"vocab_size": self.options["vocab_size"]} if "vocab_size" in self.options else {}
        return found | {"options": size}

    @model_validator(mode="after")
    def check_options(self) -> Self:
        check_settings(self.source, self.options)
        return self
