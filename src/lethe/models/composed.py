"""Models composed of several: they read the same tokens, and answer as one.

    mean        the mean of the members' distributions
    vote        the share of members that prefer a class; the mean has one voice more, so that ties are decided
    mixture     the distribution of one member, mixed with the uniform one
    offset      large + alpha * (trained - start), of logits
    reduced     original - alpha * relu(learnt - original), of logits
    difference original - alpha * assistant, of logits

A folder of one holds `composed.json`, which names the rule and the members, and a folder for each member, of the same
files as the member's own: one that is the original costs a store of files by their digests no second copy.
"""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Protocol

import torch
from pydantic import Field, TypeAdapter
from torch import Tensor
from torch.nn.functional import one_hot
from transformers.cache_utils import Cache
from transformers.modeling_outputs import CausalLMOutput

from lethe.models.fused import windows
from lethe.params.fields import Fraction
from lethe.system.files import write_json

FILE = "composed.json"
Weight = Annotated[float, Field(ge=-1e9, le=1e9)]


class Rule(Protocol):
    """How the logits (B, …, C) of the members, in their order, become those of all."""

    def __call__(self, logits: list[Tensor]) -> Tensor: ...


@dataclass(frozen=True)
class Mean:
    """Logarithm of the mean of the distributions."""

    def __call__(self, logits: list[Tensor]) -> Tensor:
        each = torch.stack([own.float().log_softmax(-1) for own in logits])
        return each.logsumexp(0) - math.log(len(logits))


@dataclass(frozen=True)
class Vote:
    """Logarithm of the share of votes, in which no class has none at all."""

    def __call__(self, logits: list[Tensor]) -> Tensor:
        each = torch.stack([own.float().log_softmax(-1) for own in logits])
        votes = one_hot(each.argmax(-1), num_classes=each.shape[-1]).sum(0)
        return votes.log().logaddexp(Mean()(logits)) - math.log(len(logits) + 1)


@dataclass(frozen=True)
class Mixture:
    """Logarithm of the distribution, mixed with the uniform one."""

    uniform: Fraction  # share of the uniform distribution

    def __call__(self, logits: list[Tensor]) -> Tensor:
        (own,) = logits
        if self.uniform == 0:
            return own
        even = torch.full_like(own, math.log(self.uniform / own.shape[-1]), dtype=torch.float32)
        if self.uniform == 1:
            return even
        return torch.logaddexp(even, own.float().log_softmax(-1) + math.log1p(-self.uniform))


@dataclass(frozen=True)
class Offset:
    """Logits of a large model, moved by what a small one has learnt since its beginning."""

    alpha: Weight

    def __call__(self, logits: list[Tensor]) -> Tensor:
        large, trained, start = (own.float() for own in logits)
        return large + self.alpha * (trained - start)


@dataclass(frozen=True)
class Reduced:
    """Logits of a model, less what another that was taught something has gained over it."""

    alpha: Weight

    def __call__(self, logits: list[Tensor]) -> Tensor:
        original, learnt = (own.float() for own in logits)
        return original - self.alpha * (learnt - original).relu()


@dataclass(frozen=True)
class Difference:
    """Logits of a model, less those of an assistant."""

    alpha: Weight

    def __call__(self, logits: list[Tensor]) -> Tensor:
        original, assistant = (own.float() for own in logits)
        return original - self.alpha * assistant


RULES: dict[str, type] = {
    "mean": Mean, "vote": Vote, "mixture": Mixture, "offset": Offset, "reduced": Reduced, "difference": Difference,
}  # fmt: skip


MEMBERS: dict[type, int] = {Mixture: 1, Offset: 3, Reduced: 2, Difference: 2}  # of others any number


def arguments(
    input_ids: Tensor, attention_mask: Tensor | None, use_cache: bool | None, more: Mapping[str, Any]
) -> dict[str, Any]:
    """What the base of a model is called with, but for a cache; what is not said is not passed on."""
    said = {} if use_cache is None else {"use_cache": use_cache}
    return {"input_ids": input_ids, "attention_mask": attention_mask, **more, **said}


class Composed(torch.nn.Module):
    """Members by their names, and the rule that makes one of them; hidden states are theirs side by side.

    In decoding a cache holds the layers of all members in a row.
    """

    def __init__(self, members: Mapping[str, Any], rule: Rule):
        super().__init__()
        self.members, self.rule = torch.nn.ModuleDict(members), rule
        first: Any = next(iter(members.values()))
        self.config = copy.deepcopy(first.config)
        self.generation_config = getattr(first, "generation_config", None)

    @property
    def device(self) -> torch.device:
        return next(self.parameters()).device

    @property
    def _is_stateful(self) -> bool:
        """Does a member keep another state than keys and values? As transformers' models say it."""
        return any(part._is_stateful for part in parts(self))

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor | None = None, past_key_values=None, use_cache=None, **more
    ) -> CausalLMOutput:  # fmt: skip
        if use_cache is None and not getattr(self.config, "use_cache", True):
            use_cache = False
        given = more | ({} if use_cache is None else {"use_cache": use_cache})
        outputs = []
        for member, cache in zip(self.members.values(), self.caches(past_key_values), strict=True):
            own = given | ({} if cache is None else {"past_key_values": cache})
            with torch.set_grad_enabled(torch.is_grad_enabled() and learns(member)):
                outputs.append(member(input_ids=input_ids, attention_mask=attention_mask, **own))
        layers = zip(*(output.hidden_states or () for output in outputs), strict=True)
        beside = tuple(torch.cat(layer, -1) for layer in layers)
        return CausalLMOutput(logits=self.rule([o.logits for o in outputs]), hidden_states=beside or None)

    def caches(self, whole) -> Iterator[Cache | None]:
        """Each member's part of a cache."""
        end = 0
        for member in self.members.values():
            begin = end
            end = begin + (0 if whole is None else len(cache_windows(member)))
            yield None if whole is None else Cache(layers=whole.layers[begin:end])

    def cache_windows(self) -> list[int | None]:
        return [window for part in parts(self) for window in cache_windows(part)]

    def train(self, mode: bool = True) -> Composed:
        """Members that learn nothing stay as they are in evaluation, without dropout."""
        super().train(False)
        for member in self.members.values():
            member.train(mode and learns(member))
        self.training = mode
        return self

    def get_output_embeddings(self) -> None:
        """None: there are several heads, or, of classifiers, none."""

    def get_input_embeddings(self) -> torch.nn.Module:
        """Those of the first member; all read the same tokens."""
        return next(iter(parts(self))).get_input_embeddings()

    def tie_weights(self) -> None:
        """Members do so by themselves; the evaluation harness asks for it."""

    def save_pretrained(self, folder: Path) -> None:
        for name, member in zip(self.members, parts(self), strict=True):
            member.save_pretrained(Path(folder) / name)
        rule: Any = self.rule
        name = next(name for name, kind in RULES.items() if isinstance(rule, kind))
        write_json(Path(folder) / FILE, {"rule": name, "options": asdict(rule), "members": [*self.members]})


def read(file: Path) -> tuple[list[str], Rule]:
    """Names of the members and the rule of a composed.json.

    Raises:
        KeyError, TypeError, ValueError: the file does not say what belongs together.
    """
    content = json.loads(file.read_text(encoding="utf-8"))
    names, kind = [*content["members"]], RULES[content["rule"]]
    if not names or any(not isinstance(name, str) or Path(name).name != name for name in names):
        raise ValueError("members: names of folders beside it are needed")
    if len(names) != MEMBERS.get(kind, len(names)):
        raise ValueError(f"members: {len(names)}; {content['rule']} has {MEMBERS[kind]}")
    return names, TypeAdapter(kind).validate_python(asdict(kind(**content["options"])))


def parts(model) -> list[Any]:
    """The models that a model is composed of; of any other, itself."""
    return [*model.members.values()] if isinstance(model, Composed) else [model]


def heads(model) -> list[Any]:
    """The output embeddings of a language model, of a composed one those of all members; none of a classifier."""
    found = [part.get_output_embeddings() for part in parts(model)]
    return [head for head in found if head is not None]


def learner(model) -> Any:
    """What trains of a model: of an offset the small model, else all."""
    return model.members["trained"] if is_offset(model) else model


def is_offset(model) -> bool:
    return isinstance(model, Composed) and isinstance(model.rule, Offset)


def learns(model) -> bool:
    return any(parameter.requires_grad for parameter in model.parameters())


def cache_windows(model) -> list[int | None]:
    """Of every layer of a cache, how many of the last positions a token attends to, None for all; as `windows`."""
    if isinstance(model, Composed):
        return model.cache_windows()
    return windows(model) or [None] * model.config.get_text_config(decoder=True).num_hidden_layers
