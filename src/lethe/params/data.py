"""Parameters of the data: where text comes from, how it is split, what is forgotten and what is paired."""

from __future__ import annotations

import os
import re
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from lethe.params.fields import Count, Fraction
from lethe.system.plugins import dataclass_in, names_in

TABLES = (".csv", ".jsonl", ".json", ".parquet")
TOKENS = (".npy",)
# keys whose value may be a local file or folder
LOCAL = {"source", "file", "tokenizer", "embedding", "encoder"}
# which, for one of these, stands for something else: models that come with the package, an embedding
OTHERS = {"minilm", "tiny-bert", "tiny-gpt-neo", "tfidf"}
HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")


def built_in() -> list[str]:
    """Names of the data sets that come with the package: the files of `datasets` that define `Options`."""
    return [name for name in names_in("datasets") if has_options(name)]


def has_options(name: str) -> bool:
    try:
        dataclass_in("datasets", name, "Options")
    except LookupError:
        return False
    return True


def local_names(block: dict[str, Any]) -> dict[str, str]:
    """The entries of a block of parameters whose value may name a local file or folder."""
    return {
        k: v
        for k, v in block.items()
        if k in LOCAL and isinstance(v, str) and v not in {*built_in(), *OTHERS}
    }


def kind(source: str) -> Literal["built-in", "table", "tokens", "folder", "hub"] | None:
    """What a source is, from its name; None if it can be nothing. A folder that exists precedes a Hub id."""
    name = source.removesuffix(".gz")
    if source in built_in():
        return "built-in"
    if name.endswith(TABLES):
        return "table"
    if source.endswith(TOKENS):
        return "tokens"
    if os.path.isdir(source):
        return "folder"
    return "hub" if HUB_ID.fullmatch(source) else None


Similarity = Annotated[float, Field(gt=0, le=1)]


class Block(BaseModel):
    """A block of params.yaml: a key that is not a field is an error, and nothing changes after reading."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Source(Block):
    """One source of text and the names of its columns."""

    source: str  # a built-in name, a Hub id, a folder in the Hub's layout, or a file
    options: dict[str, Any] = {}  # built-in sources: fields of `Options` in datasets/SOURCE.py
    revision: str = "main"  # Hub: branch, tag or commit; the commit it resolves to is recorded
    config: str | None = None  # Hub and folders: name of the configuration
    split: str = "train"  # Hub and folders: which split is read; "train+test" joins two
    columns: tuple[str, ...] | None = None  # names of all columns of a CSV file without a header
    text: str | tuple[str, ...] = (
        "text"  # column; several are joined by a line break; tagging: lists of words
    )
    label: str | None = None  # null: "label", in tagging lists of IOB2 tags; in generation none
    id: str | None = None  # null: the row number, from 0
    subject: str | None = None  # column of the person, or other owner, whom a record is about
    tokenizer: str | None = None  # token arrays: the folder of the tokenizer that made them
    limit: Count | None = None  # at most so many rows, drawn at random, before anything else
    drop_empty: bool = False  # true: rows without text are dropped and counted; false: they are an error

    @model_validator(mode="before")
    @classmethod
    def shorthand(cls, value: Any) -> Any:
        """`dataset: owner/name` stands for `dataset: {source: owner/name}`."""
        return {"source": value} if isinstance(value, str) else value

    @field_validator("source")
    @classmethod
    def known(cls, source: str) -> str:
        if kind(source) is None:
            names = ", ".join(built_in())
            allowed = f"{names}, a Hub id owner/name, a folder, or a file {' '.join(TABLES + TOKENS)}"
            raise ValueError(f"{source!r} is no source of text; allowed: {allowed}")
        return source

    @model_validator(mode="after")
    def consistent(self) -> Self:
        if kind(self.source) != "built-in" and self.options:
            raise ValueError(f"options are for {', '.join(built_in())}, not for {self.source!r}")
        if kind(self.source) == "built-in":
            self.read_options()
            self.check_columns()
        if (kind(self.source) == "tokens") != (self.tokenizer is not None):
            raise ValueError("tokenizer: a folder for a .npy file of token ids, null for other sources")
        if kind(self.source) == "tokens":
            for field, only in (("text", "text"), ("label", None), ("id", None), ("subject", None)):
                if getattr(self, field) != only:
                    raise ValueError(
                        f"{field}: {getattr(self, field)!r}; an array of token ids has no columns"
                    )
        if kind(self.source) not in ("folder", "hub"):
            for field, only in (("split", "train"), ("config", None), ("revision", "main")):
                if (value := getattr(self, field)) != only:
                    raise ValueError(f"{field}: {value!r}; only a folder or a Hub id has several")
        if not self.text:
            raise ValueError(f"text: {self.text!r}; at least one column is needed")
        if self.columns and len(set(self.columns)) < len(self.columns):
            raise ValueError(f"columns: {', '.join(self.columns)}: each name may appear once")
        if self.columns and not self.source.removesuffix(".gz").endswith(".csv"):
            raise ValueError("columns: names for a CSV file without a header, null for other sources")
        return self

    def read_options(self) -> Any:
        """The options as the dataclass of the built-in source."""
        try:
            return dataclass_in("datasets", self.source, "Options").validate_python(self.options)
        except ValidationError as error:
            first = error.errors()[0]
            key = ".".join(map(str, ("options", *first["loc"])))
            if first["type"] == "unexpected_keyword_argument":
                known = dataclass_in("datasets", self.source, "Options").json_schema()["properties"]
                raise ValueError(f"{key}: unknown key; allowed are {', '.join(known)}") from None
            raise ValueError(f"{key}: {first['msg']}, got {first['input']!r}") from None

    def check_columns(self) -> None:
        """Built-in sources name their own columns."""
        for field in ("text", "label", "id", "subject"):
            if getattr(self, field) not in (None, field):
                raise ValueError(f"{field}: {getattr(self, field)!r}; {self.source} allows {field!r} or null")


class General(Source):
    """Other text than the data set's, for generators: trained on beside it, and the measure of utility."""

    size: Count | None = None  # number of documents to train on; null: all that are left
    test: Count = 300  # number of documents held out


class Sizes(Block):
    """Numbers of examples of the disjoint splits; examples beyond their sum are left out."""

    train: int = Field(default=1000, ge=2)
    validation: Count = 100
    holdout: Count = 200
    test: Count = 400

    @property
    def total(self) -> int:
        return self.train + self.validation + self.holdout + self.test


class Dataset(Source):
    """The text of a study: its source, its splits, and how near-duplicates are found."""

    sizes: Sizes = Sizes()
    deduplicate: bool = True  # keep one example of each cluster of near-duplicates
    ngram: Count = 5  # near-duplicates share word n-grams of this length
    similarity: Similarity = 0.5  # from this Jaccard similarity of their n-grams on
    general: General | None = None


class Pairing(Block):
    """Analogues of the forget examples, for objectives that learn from pairs."""

    kind: Literal["nearest", "random"] = "nearest"
    embedding: str = "tfidf"  # tfidf, minilm (packaged), a sentence-transformers folder or Hub id
    revision: str = "main"  # of an embedding model on the Hub
    metric: Literal["cosine", "l2"] = "cosine"
    analogues: Count = 1  # per forget example
    general: Fraction | None = None  # share of analogues from general text; null: wherever the nearest are
    deduplicate: bool = True  # no analogue out of a near-duplicate cluster of any forget example


class Forget(Block):
    """Which training examples are to be forgotten."""

    strategy: Literal["random", "subject", "label", "ids", "memorised"]
    size: Count | None = None  # number of examples; label, ids: null means all
    closed: bool = False  # also forget every near-duplicate of what is chosen
    label: str | None = None  # strategy label: the class
    file: str | None = None  # ids: file of ids; memorised: parquet of id, value (higher: better memorised)
    requests: Count = 1  # the examples are asked for in so many parts, one after the other
    request: Count | None = None  # which of them; not given by hand, see `params.in_sequence`
    pairing: Pairing = Pairing()

    @model_validator(mode="after")
    def complete(self) -> Self:
        if self.size is None and self.strategy in ("random", "subject", "memorised"):
            raise ValueError(f"size: missing; strategy {self.strategy} needs a number of examples")
        if (self.label is None) == (self.strategy == "label"):
            raise ValueError(f"label: a class for strategy label, else null; got {self.label!r}")
        if (self.file is None) == (self.strategy in ("ids", "memorised")):
            raise ValueError(f"file: a path for strategies ids and memorised, else null; got {self.file!r}")
        if self.size is not None and self.strategy == "ids":
            raise ValueError(f"size: null for strategy ids, which takes the whole file; got {self.size}")
        return self
