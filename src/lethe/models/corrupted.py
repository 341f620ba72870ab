"""A language model whose tokens are corrupted from where a detector knows a text that is to be forgotten.

    e'_t = e_t + strength * n    from the first token t on at which d_t > threshold
    d_t = w' mean_{u <= t} e_u + b

e are the embeddings of tokens, n is one direction for all of them. A token's fate follows from the tokens up to it: the
sum of what was read and the largest d are one more layer of the cache. So a pass over a text, its continuation and
every prefix of it agree.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers.cache_utils import Cache
from transformers.modeling_outputs import CausalLMOutput

from lethe.data.rows import Rows
from lethe.models.composed import FILE, Composed, Mean, arguments, cache_windows
from lethe.system.files import write_json

DETECTOR = "detector.safetensors"
RULE = "corrupted"


@dataclass(frozen=True)
class Detector:
    """All in float64: weights w (H,), bias b and threshold (), direction n (H,).

    least: tokens of the shortest text that it judges.
    """

    weights: Tensor
    bias: Tensor
    threshold: Tensor
    direction: Tensor
    least: int

    def scores(self, sums: Tensor, counts: Tensor) -> Tensor:
        """(B, T) d of sums of embeddings (B, T, H) of so many tokens (T,); -inf where the detector is silent."""
        found = (sums / counts[:, None]) @ self.weights + self.bias
        return found.masked_fill(counts < self.least, -torch.inf)

    def to(self, device: torch.device) -> Detector:
        parts: dict[str, Any] = {
            n: v.to(device) if isinstance(v, Tensor) else v for n, v in vars(self).items()
        }
        return Detector(**parts)


class Corrupted(Composed):
    """A base model, whose weights stay as they are, and a detector."""

    def __init__(self, base, detector: Detector, strength: float):
        super().__init__({"base": base}, Mean())
        self.detector, self.strength = detector, strength

    @property
    def base(self) -> Any:
        return self.members["base"]

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor | None = None, past_key_values=None, use_cache=None, **more
    ) -> CausalLMOutput:  # fmt: skip
        given = arguments(input_ids, attention_mask, use_cache, more)
        state = None
        if past_key_values is not None:
            *layers, state = past_key_values.layers
            given["past_key_values"] = Cache(layers=layers)

        def corrupt(layer, inputs, embedded: Tensor) -> Tensor:
            flagged = self.largest(embedded.detach(), state) > self.detector.threshold
            shift = (self.strength * self.detector.direction).to(embedded.dtype)
            return torch.where(flagged[..., None], embedded + shift, embedded)

        hook = self.base.get_input_embeddings().register_forward_hook(corrupt)
        try:
            return self.base(**given)
        finally:
            hook.remove()

    def cache_windows(self) -> list[int | None]:
        return [*cache_windows(self.base), None]

    def largest(self, embedded: Tensor, state=None) -> Tensor:
        """(B, T) largest d up to each token, of embeddings (B, T, H) that follow on what the state holds."""
        if self.detector.weights.device != embedded.device:
            self.detector = self.detector.to(embedded.device)
        rows, tokens, _ = embedded.shape
        sums, before = embedded.double().cumsum(1), 0 if state is None else state.filled
        kept = state.keys[state.first : state.first + rows, 0, before - 1 : before] if before else None
        if kept is not None:
            sums = sums + kept[..., :-1]
        counts = torch.arange(before + 1, before + tokens + 1, device=sums.device)
        found = self.detector.scores(sums, counts).cummax(1).values
        if kept is not None:
            found = torch.maximum(found, kept[..., -1])
        if state is not None:
            whole = torch.cat([sums, found[..., None]], -1)[:, None]
            state.update(whole, whole[..., :1])
        return found

    @torch.no_grad()
    def seen(self, rows: Rows) -> tuple[Tensor, Tensor]:
        """(B, 1) is the text corrupted from some token on, 1 or 0; (B, 1) its largest d as a probability."""
        largest = self.largest(self.base.get_input_embeddings()(rows.input_ids))
        found = largest.gather(1, rows.lengths[:, None] - 1)
        return (found > self.detector.threshold).double(), found.sigmoid()

    def save_pretrained(self, folder: Path) -> None:
        folder, found = Path(folder), self.detector
        self.base.save_pretrained(folder / "base")
        tensors = {name: v.cpu().contiguous() for name, v in vars(found).items() if isinstance(v, Tensor)}
        save_file(tensors, folder / DETECTOR)
        options = {"strength": self.strength, "least": found.least}
        write_json(folder / FILE, {"rule": RULE, "options": options, "members": ["base"]})


def is_corrupted(file: Path) -> bool:
    """Does a composed.json describe a model with a detector?"""
    return json.loads(file.read_text(encoding="utf-8")).get("rule") == RULE


def load_corrupted(file: Path, base) -> Corrupted:
    """The model of a folder, around its base.

    Raises:
        OSError, KeyError, TypeError, ValueError: a file is missing or damaged.
    """
    options = json.loads(file.read_text(encoding="utf-8"))["options"]
    tensors = load_file(file.parent / DETECTOR)
    return Corrupted(base, Detector(**tensors, least=int(options["least"])), float(options["strength"]))
