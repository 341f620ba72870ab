"""Encoders: pretrained models beside the one at hand, by which texts are compared, or known as those to forget."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import AutoModel

from lethe.data.rows import Rows
from lethe.models import pretrained
from lethe.models.existing import FILES, folder_of
from lethe.models.gates import text_means
from lethe.models.packaged import located
from lethe.system import files
from lethe.system.errors import InputError

BATCH = 64  # texts that are read at once
KEY = "hyper.encoder"
HOST = torch.device("cpu")


@dataclass(frozen=True)
class Encoder:
    """An encoder in float64, in which what a text is read beside changes nothing, and where it is from.

    source: minilm, a folder or a Hub id. sha256: of its files.
    """

    source: str
    sha256: str
    model: Any
    tokenizer: Any

    @torch.no_grad()
    def means(self, texts: Sequence[str], device: torch.device = HOST) -> Tensor:
        """(L, N, H) mean hidden state of the tokens of each text in every layer, special ones included; in float64.

        Of a text that is longer than the encoder reads it is that of its beginning.
        """
        model, found = self.model.to(device), []
        most = min(self.tokenizer.model_max_length, pretrained.context(model) or torch.inf)
        cut = {"truncation": True, "max_length": int(most)} if most < 10**6 else {}
        for begin in range(0, len(texts), BATCH):
            part = list(texts[begin : begin + BATCH])
            given = self.tokenizer(part, return_tensors="pt", padding=True, **cut).to(device)
            with torch.autocast(device.type, enabled=False):
                hidden = model(**given, output_hidden_states=True).hidden_states[1:]
            found.append(text_means(hidden, given["attention_mask"]))
        return torch.cat(found, 1)


@dataclass(frozen=True)
class TextReader:
    """What a gate reads by an encoder: the text of the first tokens, or of all.

    tokenizer: of the model, which says what text its tokens are. reads: how many tokens a generator's gate reads.
    """

    encoder: Encoder
    tokenizer: Any
    reads: int

    @property
    def said(self) -> dict[str, Any]:
        """How a folder of a model says it: by reference, as the encoder never changes."""
        return {"source": self.encoder.source, "sha256": self.encoder.sha256, "reads": self.reads}

    def features(self, tokens: Sequence[Sequence[int]], device: torch.device) -> Tensor:
        """(L, N, H) as `Encoder.means`, of N sequences of the model's tokens."""
        plain = {"skip_special_tokens": True, "clean_up_tokenization_spaces": False}
        return self.encoder.means([self.tokenizer.decode(own, **plain) for own in tokens], device)

    def features_of(self, rows: Rows, whole: bool) -> Tensor:
        """The same of rows: of the first `reads` tokens of each, of fewer where it ends before, or of all."""
        ends = rows.lengths if whole else rows.lengths.clamp(max=self.reads)
        each = zip(rows.input_ids.tolist(), ends.tolist(), strict=True)
        return self.features([ids[:end] for ids, end in each], rows.input_ids.device)


def read_encoder(source: str, key: str = KEY) -> tuple[Any, Any, Path]:
    """A pretrained encoder in evaluation mode on the host, its tokenizer, and the folder of both.

    Args:
        source: minilm, a folder, or owner/name or owner/name@revision on the Hub. key: what it was given as.
    Raises:
        InputError: it is neither a package, a folder nor on the Hub.
    """
    folder, where = folder_of(located(source, key), key), {"local_files_only": True}
    try:
        model, _ = pretrained.load_model(AutoModel, str(folder), where, dtype=torch.float32)
        tokenizer = pretrained.load_tokenizer(str(folder), where)
    except Exception as error:  # damaged files raise whatever their parser raises
        raise InputError(f"{key}: {source}: cannot be loaded ({pretrained.first_line(error)})") from None
    return model.eval(), tokenizer, folder


def text_encoder(source: str, key: str = KEY, sha256: str | None = None) -> Encoder:
    """An encoder that gates read texts by.

    Args:
        source, key: as of `read_encoder`. sha256: of the files that it must have; None: whatever they are.
    Raises:
        InputError: as `read_encoder`; or it is another than asked for, or reads no text.
    """
    model, tokenizer, folder = read_encoder(source, key)
    found = digest_of(folder)
    if sha256 is not None and found != sha256:
        raise InputError(
            f"{key}: {source}: SHA-256 {found[:12]}; needed are the files that the gate was fitted by, {sha256[:12]}"
        )
    encoder = Encoder(source, found, model.requires_grad_(False).double(), tokenizer)
    try:
        usable = bool(encoder.means(["", "two words"]).isfinite().all())
    except Exception:  # whatever kind of model it is
        usable = False
    if not usable:
        raise InputError(
            f"{key}: {source}: reads no text, or no empty one; needed is an encoder such as minilm"
        )
    return encoder


def digest_of(folder: Path) -> str:
    """SHA-256 of the files of a model's folder that may be read, whatever else lies there."""
    read = (file for file in files.files_in(folder) if any(fnmatch(file.name, kind) for kind in FILES))
    return files.digest_of_names((file.relative_to(folder).as_posix(), files.digest(file)) for file in read)
