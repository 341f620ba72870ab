"""Models that others made: found where they are, named by what does not change."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from lethe.params.sources import HUB_ID
from lethe.system.errors import InputError
from lethe.system.files import digest

FILES = ["*.json", "*.safetensors", "*.txt", "*.model", "*.jinja"]  # no pickled weights, no code


def folder_of(name: str | Path) -> Path:
    """Folder of a model: itself, or where the Hub's client keeps what `owner/name` or `owner/name@revision` names.

    Raises:
        InputError: the Hub has no such model, or cannot be asked and nothing is kept.
    """
    source, _, revision = str(name).partition("@")
    if os.path.isdir(name) or not HUB_ID.fullmatch(source):
        return Path(name)
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(source, revision=revision or "main", allow_patterns=FILES))
    except Exception as error:  # of the HTTP library, or the client's own
        line = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise InputError(f"--model: {name}: neither a folder nor to be had from the Hub ({line})") from None


def identity(source: str, folder: Path) -> dict[str, Any]:
    """Which model it is.

    Returns:
        source, as given; revision, its commit on the Hub, None for a folder; sha256 of its files.
    """
    of_hub = folder.parent.name == "snapshots" and not os.path.isdir(source)
    return {"source": source, "revision": folder.name if of_hub else None, "sha256": digest(folder)}
