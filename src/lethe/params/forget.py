"""Parameters of the forget set and of its analogues."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from lethe.params.fields import Count, Fraction
from lethe.params.strict_model import StrictModel

MOST_REQUESTS = 100  # each is a study of its own


class Pairing(StrictModel):
    """Analogues of the forget examples, for objectives that learn from pairs."""

    kind: Literal["nearest", "random"] = "nearest"
    """The nearest texts by their embeddings, or any."""
    embedding: str = "tfidf"
    """tfidf, minilm (packaged), a sentence-transformers folder or Hub id."""
    revision: str = "main"
    """Of an embedding model on the Hub."""
    metric: Literal["cosine", "l2"] = "cosine"
    """Distance of two embeddings."""
    analogues: Annotated[int, Field(ge=1, le=100_000)] = 1
    """Per forget example."""
    general: Fraction | None = None
    """Share of analogues from general text; null: wherever the nearest are."""
    deduplicate: bool = True
    """No analogue out of a near-duplicate cluster of any forget example."""


class Forget(StrictModel):
    """Which training examples are to be forgotten."""

    strategy: Literal["random", "subject", "label", "ids", "memorised", "superficial", "deep", "given"]
    """How they are chosen: drawn, all of some people, all of a class, by a list, or the best memorised.

    Of facts that follow from others: drawn and alone, or with what they would follow from. With splits: as given.
    """
    size: Count | None = None
    """Number of examples, of deep the targets; label, ids: null means all."""
    closed: bool = False
    """Also forget every near-duplicate of what is chosen."""
    label: str | Annotated[list[str], Field(min_length=2)] | None = None
    """Strategy label: the class; of several requests the class of each, in the order in which they are asked for."""
    file: str | None = None
    """Strategy ids: file of ids; memorised: parquet of id, value (higher: better memorised)."""
    requests: Annotated[int, Field(ge=1, le=MOST_REQUESTS)] = 1
    """The examples are asked for in so many parts, one after the other."""
    request: Count | None = None
    """Which of these parts; not given by hand: it follows from `requests`."""
    listed: bool = False
    """Each request is a set of a list; not given by hand: it follows from such a list in `dataset.splits.forget`."""
    of: str | None = None
    """The study whose deletion request this is; not given by hand: it follows from `requests` of that study."""
    parts: list[list[str]] | None = None
    """Ids of each deletion request so far, in place of `file`; not given by hand."""
    pairing: Pairing = Pairing()
    """Analogues of the forget examples."""

    @model_validator(mode="after")
    def complete(self) -> Self:
        if self.size is None and self.strategy not in ("label", "ids", "given"):
            raise ValueError(f"size: missing; strategy {self.strategy} needs a number of examples")
        if (self.label is None) == (self.strategy == "label"):
            raise ValueError(f"label: a class for strategy label, else null; got {self.label!r}")
        if (self.parts is None) != (self.of is None):
            raise ValueError("parts: follow from the requests of a study; allowed: leave them out")
        named = self.strategy in ("ids", "memorised") and self.of is None
        if (self.file is None) == named:
            raise ValueError(f"file: a path for strategies ids and memorised, else null; got {self.file!r}")
        if self.size is not None and self.strategy in ("ids", "given"):
            raise ValueError(f"size: null for strategy {self.strategy}, which takes all; got {self.size}")
        if self.closed and self.strategy == "given":
            raise ValueError("closed: true; sets that are given are taken as they are; allowed is false")
        if isinstance(self.label, list) and (
            len(self.label) != self.requests
            or len({*self.label}) < self.requests
            or self.size is not None
            or self.closed
        ):
            raise ValueError(
                f"label: {self.label}: a class for each of {self.requests} requests, each once, size null, closed false"
            )
        if self.strategy == "deep" and self.requests > 1:
            raise ValueError(f"requests: {self.requests}; strategy deep asks for all at once; allowed: 1")
        return self
