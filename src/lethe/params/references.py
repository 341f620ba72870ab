"""Parameters of models that exist, where none is trained."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, field_validator

from lethe.params.sources import HUB_ID
from lethe.params.strict_model import Abbreviated, StrictModel


class GivenModel(Abbreviated):
    """A model that exists, taken as it is: nothing of it is copied; its revision and digest are recorded."""

    source: str
    """Hub id owner/name, or a folder with config.json."""
    revision: str = "main"
    """Hub: branch, tag or commit; the commit it resolves to is recorded."""

    @classmethod
    def of_text(cls, text: str) -> dict[str, Any]:
        """`owner/name@revision`, or a folder."""
        source, at, revision = text.partition("@")
        whole = at and HUB_ID.fullmatch(source)
        return {"source": source, "revision": revision} if whole else {"source": text}

    @property
    def address(self) -> str:
        """As commands take it: a folder, or `owner/name@revision`."""
        return self.source if self.revision == "main" else f"{self.source}@{self.revision}"


class GivenModels(StrictModel):
    """Models that exist, in place of `train`; all seeds have the same."""

    original: GivenModel
    """The model that must forget."""
    retrain: Annotated[list[GivenModel], Field(max_length=100)] = []
    """Models of its recipe that never saw the forget set; several are the noise band; none: there are no gaps."""

    @field_validator("retrain", mode="before")
    @classmethod
    def listed(cls, value: Any) -> Any:
        return [value] if isinstance(value, str | dict) else value
