"""Models that others made: found where they are, named by what does not change."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from lethe.params.sources import HUB_ID
from lethe.system.errors import InputError
from lethe.system.files import digest

FILES = ["*.json", "*.safetensors", "*.txt", "*.model", "*.jinja"]  # no pickled weights, no code


def folder_of(name: str | Path, key: str = "--model") -> Path:
    """Folder of a model: itself, or where the Hub's client keeps what `owner/name` or `owner/name@revision` names.

    What an adapter is for is fetched, too.

    Args:
        key: what the name was given as.
    Raises:
        InputError: the Hub has no such model, or cannot be asked and nothing is kept.
    """
    folder = kept(str(name), key)
    if base := base_of(folder):
        kept(base, f"{key}: {name}: base_model_name_or_path")
    return folder


def kept(name: str, key: str) -> Path:
    """The folder, or that of the Hub's client, of one model."""
    source, _, revision = name.partition("@")
    if os.path.isdir(name) or not HUB_ID.fullmatch(source):
        return Path(name)
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(source, revision=revision or "main", allow_patterns=FILES))
    except Exception as error:  # of the HTTP library, or the client's own
        line = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise InputError(f"{key}: {name}: neither a folder nor to be had from the Hub ({line})") from None


def base_of(folder: Path) -> str | None:
    """Of an adapter the model it is for, as `kept` takes it; None of a whole model, or where it is not said."""
    file = folder / "adapter_config.json"
    if (folder / "config.json").exists() or not file.exists():
        return None
    try:
        said = json.loads(file.read_text(encoding="utf-8"))
        name, revision = said["base_model_name_or_path"], said.get("revision")
    except (OSError, ValueError, KeyError, AttributeError, TypeError):
        return None  # whoever loads it says so
    return f"{name}@{revision}" if revision and not os.path.isdir(name) else name


def identity(source: str, folder: Path) -> dict[str, Any]:
    """Which model it is.

    Returns:
        source, as given; revision, its commit on the Hub, None for a folder; sha256 of its files; of an adapter base,
        the same of what it is for.
    """
    of_hub = folder.parent.name == "snapshots" and not os.path.isdir(source)
    found: dict[str, Any] = {
        "source": source,
        "revision": folder.name if of_hub else None,
        "sha256": digest(folder),
    }
    if base := base_of(folder):
        found["base"] = identity(base.partition("@")[0], kept(base, source))
    return found


def known(cfg: dict[str, Any], folder: Path) -> dict[str, Any] | None:
    """`identity` of the model of a step that its parameters call given, or that the Hub's client keeps; else None."""
    if "given" in cfg:
        return identity(cfg["given"]["source"], folder)
    if folder.parent.name == "snapshots":
        return identity(folder.parents[1].name.removeprefix("models--").replace("--", "/"), folder)
    return None
