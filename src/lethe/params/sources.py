"""What the name of a source of text means, and which parameters may name a local file."""

from __future__ import annotations

import os
import re
from functools import cache
from typing import Any, Literal

from lethe.system.plugins import dataclass_in, names_in

TABLES = (".csv", ".jsonl", ".json", ".parquet")
TOKENS = (".npy",)
# keys whose value may be a local file or folder
LOCAL = {"source", "file", "tokenizer", "embedding", "encoder"}
# values of these keys that are built-in names, not paths: models that come with the package, an embedding, itself
OTHERS = {"minilm", "own", "smollm2", "tiny-bert", "tiny-gpt-neo", "tfidf"}
HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")


def built_in() -> list[str]:
    """Names of the data sets that come with the package: the files of `datasets` that define `Options`."""
    return [name for name in names_in("datasets") if has_options(name)]


@cache
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
    name = source.lower()
    if source in built_in():
        return "built-in"
    if name.removesuffix(".gz").endswith(TABLES):
        return "table"
    if name.endswith(TOKENS):
        return "tokens"
    if os.path.isdir(source):
        return "folder"
    return "hub" if HUB_ID.fullmatch(source) else None
