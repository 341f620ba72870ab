"""Parameters of the data: where text comes from and how it is split."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, Strict, field_validator, model_validator

from lethe.params.fields import Count, Order
from lethe.params.names import ROLES, SETS, Name
from lethe.params.plug_ins import read_fields
from lethe.params.prompting import Prompting
from lethe.params.sources import TABLES, TOKENS, built_in, kind
from lethe.params.strict_model import Abbreviated, StrictModel

Names = Annotated[tuple[str, ...], Strict(False)]  # YAML and JSON have lists
Similarity = Annotated[float, Field(gt=0, le=1)]


class Source(Abbreviated):
    """One source of text and the names of its columns."""

    source: str
    """A built-in name, a Hub id, a folder in the Hub's layout, or a file."""
    options: dict[str, Any] = {}
    """Built-in sources: fields of `Options` in datasets/SOURCE.py."""
    revision: str = "main"
    """Hub: branch, tag or commit; the commit it resolves to is recorded."""
    config: str | None = None
    """Hub and folders: name of the configuration."""
    split: str = "train"
    """Hub and folders: which split is read; "train+test" joins two."""
    columns: Names | None = None
    """Names of all columns of a CSV file without a header."""
    text: str | Names = "text"
    """Column of the text; several are joined by a line break; in tagging lists of words."""
    prompt: str | None = None
    """Column of what is asked; `text` is the answer, which alone is learnt and scored; of a class: before `text`."""
    asked: str = "{prompt}"
    """How a prompt is written, with {prompt} for what the column holds: "Question: {prompt}\\nAnswer: "."""
    shots: str | None = None
    """Hub and folders: split whose questions and answers, written alike, come before every question."""
    messages: str | None = None
    """Generation: column of conversations (role, content) in place of `prompt` and `text`; the last is the answer."""
    paraphrase: str | None = None
    """Generation: column of the answer in other words."""
    alternatives: str | None = None
    """Generation: column of wrong answers, one or a list."""
    label: str | None = None
    """Column of the class; null: "label", in tagging lists of IOB2 tags; in generation none."""
    id: str | None = None
    """Column of the record id; null: the row number, from 0."""
    subject: str | None = None
    """Column of the person, or other owner, whom a record is about."""
    tokenizer: str | None = None
    """Token arrays: the folder of the tokenizer that made them."""
    limit: Count | None = None
    """At most so many rows, drawn at random, before anything else."""
    max_bytes: Annotated[int, Field(ge=1, le=2**40)] = 2**30
    """At most so many bytes in one file, of .gz once expanded; a larger one is an error."""
    drop_empty: bool = False
    """true: rows without text are dropped and counted; false: they are an error."""

    @field_validator("source")
    @classmethod
    def known(cls, source: str) -> str:
        if kind(source) is None:
            names = ", ".join(built_in())
            allowed = f"{names}, a Hub id owner/name, a folder, or a file {' '.join(TABLES + TOKENS)}"
            raise ValueError(f"{source!r} is no source of text; allowed: {allowed}")
        return source

    @model_validator(mode="after")
    def asked_so(self) -> Self:
        if self.asked.count("{prompt}") != 1:
            raise ValueError(f"asked: holds {{prompt}} {self.asked.count('{prompt}')} times; once is needed")
        if self.shots is not None and (not self.prompt or kind(self.source) not in ("folder", "hub")):
            raise ValueError(
                f"shots: {self.shots!r}; only a folder or a Hub id with a column of prompts has some"
            )
        return self

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
            columns = ("prompt", "messages", "paraphrase", "alternatives", "label", "id", "subject")
            for field, only in (("text", "text"), *((name, None) for name in columns)):
                if getattr(self, field) != only:
                    raise ValueError(
                        f"{field}: {getattr(self, field)!r}; an array of token ids has no columns"
                    )
        if kind(self.source) not in ("folder", "hub"):
            for field, only in (("split", "train"), ("config", None), ("revision", "main")):
                if (value := getattr(self, field)) != only:
                    raise ValueError(f"{field}: {value!r}; only a folder or a Hub id has several")
        if self.messages and (self.prompt or self.text != "text"):
            raise ValueError("messages: hold prompt and text; leave these out, or messages")
        if not self.text:
            raise ValueError(f"text: {self.text!r}; at least one column is needed")
        if self.columns and len(set(self.columns)) < len(self.columns):
            raise ValueError(f"columns: {', '.join(self.columns)}: each name may appear once")
        if self.columns and not self.source.lower().removesuffix(".gz").endswith(".csv"):
            raise ValueError("columns: names for a CSV file without a header, null for other sources")
        return self

    def read_options(self) -> Any:
        """The options as the dataclass of the built-in source; InputError names the first fault."""
        return read_fields("options", "datasets", self.source, "Options", self.options)

    def check_columns(self) -> None:
        """Built-in sources name their own columns."""
        for field in ("text", "prompt", "messages", "paraphrase", "alternatives", "label", "id", "subject"):
            if getattr(self, field) not in (None, field):
                raise ValueError(f"{field}: {getattr(self, field)!r}; {self.source} allows {field!r} or null")


class General(Source):
    """Other text than the data set's, for generators: trained on beside it, and the measure of utility."""

    size: Count | None = None
    """Number of documents to train on; null: all that are left."""
    test: Count = 300
    """Number of documents held out."""


class Sizes(StrictModel):
    """Numbers of examples of the disjoint splits; examples beyond their sum are left out."""

    train: Annotated[int, Field(ge=2, le=10**9)] = 1000
    """Examples that `original` is trained on; those that are forgotten are among them."""
    validation: Count = 100
    """Examples that stopping and `lethe tune` may look at."""
    holdout: Count = 200
    """Examples that nothing is trained on, on which attacks may learn."""
    test: Count = 400
    """Examples that nothing is trained on, against which the forget set is judged."""


class Splits(StrictModel):
    """Sets that are given, each from a source of its own; what one does not say is as in the dataset."""

    forget: Source
    """What is to be forgotten; a list of sets makes a study of each, or a request of each (`forget.requests`)."""
    retain: Source
    """What is trained on beside it."""
    holdout: Source | None = None
    """Examples that nothing is trained on, on which attacks may learn; null: there are none."""
    validation: Source | None = None
    """Examples that stopping and `lethe tune` may look at; null: there are none."""
    test: Source | None = None
    """Examples that nothing is trained on, against which the forget set is judged; null: there are none."""
    others: dict[Name, Source] = {}
    """The other forget sets of a list; not given by hand: what of them is not to be forgotten is trained on, too."""

    earlier: dict[Name, Source] = {}
    """The sets of a list that were asked for before, one a request; not given by hand."""
    later: dict[Name, Source] = {}
    """Those that are asked for afterwards, and are trained on until then; not given by hand."""

    @property
    def beside(self) -> dict[str, tuple[str, Source]]:
        """Key below `splits` -> (split, source) of the other sets of a list."""
        split_of = {"others": "retain", "earlier": "forgotten", "later": "retain"}
        return {
            f"{others}.{name}": (split, source)
            for others, split in split_of.items()
            for name, source in getattr(self, others).items()
        }

    @property
    def by_role(self) -> dict[str, Source]:
        """Split -> its source, those that are given."""
        given = {name: getattr(self, name) for name in ROLES}
        return {name: source for name, source in given.items() if source is not None}

    @property
    def absent(self) -> list[str]:
        """Splits that are not given."""
        return [name for name in ROLES if getattr(self, name) is None]


class Dataset(Source, Prompting):
    """The text of a study: its source, its splits, and how near-duplicates are found."""

    sizes: Sizes = Sizes()
    """Numbers of examples of the splits."""
    splits: Splits | None = None
    """Sets that others made, taken as they are: nothing is sampled, deduplicated or left out; null: by `sizes`."""
    probes: dict[Name, Source] = {}
    """With `splits`: name -> further examples, which are scored and never trained on."""
    long: Literal["windows", "cut"] | None = None
    """Texts longer than the model reads: windows of them, each an example, or cut; null: windows, in generation."""
    deduplicate: bool = True
    """Keep one example of each cluster of near-duplicates."""
    ngram: Order = 5
    """Near-duplicates share word n-grams of this length; where there are no words, n-grams of characters."""
    similarity: Similarity = 0.5
    """From this Jaccard similarity of their n-grams on, texts are near-duplicates."""
    general: General | None = None
    """Generation: other text, trained on beside the study's."""

    @model_validator(mode="before")
    @classmethod
    def fill_sets(cls, value: Any) -> Any:
        """What a split or a probe does not say is as in the dataset, whose source is that of the forget set."""
        splits = value.get("splits") if isinstance(value, dict) else None
        if not isinstance(splits, dict):
            return value
        shared = {key: given for key, given in value.items() if key in Source.model_fields}

        def filled(given: Any) -> Any:
            given = named(given) if isinstance(given, str) else given
            return {**shared, **given} if isinstance(given, dict) else given

        def all_filled(sets: Any) -> Any:
            return {name: filled(given) for name, given in sets.items()} if isinstance(sets, dict) else sets

        found = all_filled(splits)
        for others in ("others", "earlier", "later"):
            if others in splits:
                found[others] = all_filled(splits[others])
        value = {**value, "splits": found, "probes": all_filled(value.get("probes", {}))}
        forget = found.get("forget")
        if isinstance(forget, dict) and "source" in forget:
            value.setdefault("source", forget["source"])
        return value

    @model_validator(mode="after")
    def check_probes(self) -> Self:
        if self.probes and self.splits is None:
            raise ValueError("probes: are given beside given sets; needed is splits, or leave them out")
        for name in self.probes:
            if name in SETS:
                raise ValueError(f"probes.{name}: is the name of a set of every study; any other is allowed")
        return self


def named(text: str) -> dict[str, str]:
    """A text in place of a split: a file, or else the name of a configuration."""
    return {"source" if kind(text) in ("table", "tokens") else "config": text}
