"""Data sets of the Hugging Face Hub, at a recorded commit, and local folders in the Hub's layout."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path
from typing import Any

from lethe.data.class_names import with_class_names
from lethe.data.file_bytes import check_size, read_bytes
from lethe.data.table_files import Table, read_table_file
from lethe.params.data import Source
from lethe.params.sources import TABLES, kind
from lethe.system.errors import InputError
from lethe.system.files import digest
from lethe.system.quoting import reason

COMPRESSED = {".zip", ".bz2", ".xz", ".zst", ".lz4", ".7z", ".rar", ".tar", ".tgz"}
COMMIT = re.compile(r"[0-9a-f]{40}")


def read(source: Source, key: str, wanted: set[str]) -> tuple[Table, dict[str, Any]]:
    """The wanted columns of a split of a data set of the Hub at a recorded commit, or of a folder in its layout."""
    if kind(source.source) == "folder":
        return read_folder(source, key, wanted), {"sha256": digest(source.source)}
    revision = commit(source, key)
    return loaded(source, key, wanted, builder_of(source, key, revision)), {"revision": revision}


def read_folder(source: Source, key: str, wanted: set[str]) -> Table:
    """The files of the split, one after the other, each as it is read by its own name.

    The library only says which they are. Its cache, which knows a file by its name and time, would keep copies outside
    the project and take a file of the same time for the old one. What the library alone can read it reads in a
    folder that is then removed.
    """
    with tempfile.TemporaryDirectory() as cache:
        builder = builder_of(source, key, None, cache)
        files = plain_files(source, builder)
        if files is None:
            check_bounds(source, key, builder)
            return loaded(source, key, wanted, builder)
        parts = [read_table_file(file, f"{key}.source", wanted, None, source.max_bytes) for file in files]
    names = list(dict.fromkeys(name for part in parts for name in part.names))
    found: dict[str, list[Any]] = {name: [] for name in wanted & set(names)}
    for file, part in zip(files, parts, strict=True):
        for name, values in found.items():
            if name not in part.columns and len(part):
                raise InputError(
                    f"{key}.source: {file} has no column {name!r}, which another file of the split has"
                )
            values += part.columns.get(name, [])
    try:
        return Table(with_class_names(found, builder.info.features or {}), names, "")
    except ValueError:
        raise unloadable(source, key, "a class is none of those that its README names") from None


def plain_files(source: Source, builder: Any) -> list[Path] | None:
    """Files of the split, if this package reads them as they are: tables, without settings for the library."""
    config = builder.config
    given = {"name", "version", "data_dir", "data_files", "description"}
    plain = type(config)(**{name: getattr(config, name) for name in given})
    splits = source.split.split("+")
    if config != plain or not set(splits) <= set(config.data_files or {}):
        return None
    files = [Path(file) for split in splits for file in config.data_files[split]]
    return files if all(file.name.lower().removesuffix(".gz").endswith(TABLES) for file in files) else None


def check_bounds(source: Source, key: str, builder: Any) -> None:
    """Raise InputError if a file that the library is to read is no local one, or expands beyond what is allowed."""
    for file in (Path(file) for files in (builder.config.data_files or {}).values() for file in files):
        check_size(file, f"{key}.source", source.max_bytes)
        if file.suffix.lower() in COMPRESSED:
            raise InputError(f"{key}.source: {file}: allowed of compressed files: .gz")
        if file.suffix.lower() == ".gz":
            read_bytes(file, f"{key}.source", source.max_bytes)


def builder_of(source: Source, key: str, revision: str | None, cache: str | None = None) -> Any:
    """What the library knows of a data set before it reads one."""
    from datasets import load_dataset_builder, logging

    logging.set_verbosity(logging.CRITICAL)  # its messages quote what it cannot read
    try:
        return load_dataset_builder(source.source, source.config, revision=revision, cache_dir=cache)
    except Exception as error:  # a script is not run, and damaged files raise whatever their parser raises
        raise unloadable(source, key, first_line(error)) from None


def loaded(source: Source, key: str, wanted: set[str], builder: Any) -> Table:
    """The wanted columns, read by the library, whose messages may quote the data and are not passed on."""
    try:
        builder.download_and_prepare()
        data = builder.as_dataset(split=source.split)
        kept = data.select_columns([name for name in data.column_names if name in wanted])
        return Table(with_class_names(kept.to_dict(), data.features), data.column_names, "")
    except Exception as error:  # the library wraps what it meets in types of its own
        raise unloadable(source, key, reason(error.__cause__ or error)) from None


def unloadable(source: Source, key: str, what: str) -> InputError:
    where = f"{source.source}, config {source.config}, split {source.split}"
    return InputError(f"{key}.source: {where} cannot be loaded: {what}")


def first_line(error: Exception) -> str:
    """A message of the library about names of files and data sets."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


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
