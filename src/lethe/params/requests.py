"""Parameters of serving deletion requests: what serves them, what a new version must hold, and what was served."""

from __future__ import annotations

import datetime
from typing import Annotated, Self

from pydantic import Field, field_validator, model_validator

from lethe.params.fields import Seed
from lethe.params.names import Name
from lethe.params.strict_model import StrictModel

Reference = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")]
Number = Annotated[float, Field(ge=-1e9, le=1e9)]
RETRAIN = "retrain"


class Threshold(StrictModel):
    """What a number of a new version must not exceed, or not fall below."""

    least: Number | None = None
    """Smallest value; null: any."""
    most: Number | None = None
    """Largest value; null: any."""

    @model_validator(mode="after")
    def bounded(self) -> Self:
        if self.least is None and self.most is None:
            raise ValueError("least, most: both null; needed is one of them")
        return self


class Served(StrictModel):
    """A request that made a version; written by `lethe request`."""

    reference: Reference
    """Its reference number."""
    date: str
    """Its day, YYYY-MM-DD."""
    digest: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    """Keyed digest (HMAC-SHA-256) of its file, from which nobody without the key can guess the file."""
    method: Name
    """What served it."""
    records: Annotated[list[str], Field(min_length=1, max_length=1_000_000)]
    """Ids of the examples that this version forgets."""

    @field_validator("date")
    @classmethod
    def is_day(cls, value: str) -> str:
        return checked_day(value)


class Requests(StrictModel):
    """How deletion requests are served (`lethe request FILE`)."""

    method: Name
    """A run of `methods`, or `retrain`: training without the texts, which is exact."""
    seed: Seed | None = None
    """The seed whose original is the model in use; null: the first."""
    closed: bool = True
    """Also forget near-duplicates of what is asked for, but those of other subjects."""
    retrains: Annotated[int, Field(ge=0, le=100)] = 1
    """Retrained models beside a version: 0 where none is affordable, from 2 on a noise band. With references none."""
    thresholds: dict[str, Threshold] = {}
    """Metric -> what a version must hold; declared before a request."""
    served: list[Served] = []
    """Requests in the order in which they were served; `lethe request` adds to them."""

    @model_validator(mode="after")
    def check_served(self) -> Self:
        references = [one.reference for one in self.served]
        if twice := [name for name in references if references.count(name) > 1]:
            raise ValueError(f"served: {twice[0]} is the reference of two requests; each may appear once")
        forgotten = [name for one in self.served for name in one.records]
        if len(set(forgotten)) < len(forgotten):
            raise ValueError("served: a record is forgotten by two requests; each may appear once")
        if self.method == RETRAIN and self.retrains == 0:
            raise ValueError("retrains: 0: method retrain makes one; allowed are 1 to 100")
        return self


def checked_day(value: str) -> str:
    """The day itself; ValueError if it is none."""
    try:
        datetime.date.fromisoformat(value)
    except ValueError:
        raise ValueError(f"{value[:40]!r} is no day; needed is YYYY-MM-DD") from None
    return value
