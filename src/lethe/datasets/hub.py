"""Data sets of the Hugging Face Hub, at a recorded commit, and local folders in the Hub's layout."""

from __future__ import annotations

import re
from typing import Any

import pandas as pd

from lethe.datasets.tabular import first_line
from lethe.params.data import Source
from lethe.params.sources import kind
from lethe.system.errors import InputError
from lethe.system.files import digest

COMMIT = re.compile(r"[0-9a-f]{40}")


def read(source: Source, key: str) -> tuple[pd.DataFrame, dict[str, Any]]:
    """A split of a data set of the Hub at a recorded commit, or of a folder in the Hub's layout."""
    from datasets import ClassLabel, load_dataset
    from datasets.exceptions import DatasetsError

    if kind(source.source) == "folder":
        revision, origin = None, {"sha256": digest(source.source)}
    else:
        revision = commit(source, key)
        origin = {"revision": revision}
    try:
        data = load_dataset(source.source, source.config, revision=revision, split=source.split)
    except (
        DatasetsError,
        OSError,
        ValueError,
        RuntimeError,
    ) as error:  # the last of a script, which is not run
        where = f"{source.source}, config {source.config}, split {source.split}"
        raise InputError(f"{key}.source: {where} cannot be loaded: {first_line(error)}") from None
    table = data.to_pandas()
    for name, feature in data.features.items():
        if isinstance(feature, ClassLabel):  # -1 says that there is none
            table[name] = [
                feature.int2str(int(index)) if index >= 0 else None for index in table[name].fillna(-1)
            ]
        each = getattr(feature, "feature", None)
        if isinstance(each, ClassLabel):  # a tag of each word
            table[name] = [
                None
                if indices is None
                else [each.int2str(int(index)) if index >= 0 else None for index in indices]
                for indices in table[name]
            ]
    return table, origin


def commit(source: Source, key: str) -> str:
    """The commit that the revision of a data set of the Hub stands for now; a full commit needs no network."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HTTPError  # of the HTTP library that this version of the client uses

    if COMMIT.fullmatch(source.revision):
        return source.revision
    try:
        return str(HfApi().dataset_info(source.source, revision=source.revision).sha)
    except (HTTPError, OSError) as error:
        what = f"{source.source}@{source.revision} cannot be resolved on the Hugging Face Hub: {first_line(error)}"
        raise InputError(
            f"{key}.source: {what}; give a full commit as {key}.revision to use what is cached"
        ) from None
