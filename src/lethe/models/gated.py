"""A model with an adapter for each request to forget, of which a text gets as much as its detector says.

The model itself is passed twice: first as it is, whose hidden states the gates read, then with the adapters,

    W x + sum_t w_t * alpha / r * B_t A_t x

A gate that has a detector reads a pass of its own instead, of the model with an adapter that was trained to tell the
request's texts.

Of a language model a token's weight follows from the tokens up to it: what was read is summed up in one more layer of
the cache. So a pass over a text, its continuation and every prefix of it agree, and no token knows what comes after it.
A classifier's text has one weight.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn import Parameter
from transformers.cache_utils import Cache
from transformers.modeling_outputs import CausalLMOutput

from lethe.data.rows import Rows
from lethe.models.adapters import linear_layers
from lethe.models.composed import FILE, Composed, Mean, arguments, cache_windows
from lethe.models.gates import Stages
from lethe.system.files import write_json

ADAPTERS, GATES = "adapters.safetensors", "gates.safetensors"
RULE, DETECTOR = "gated", "detector-"


class Adapter(torch.nn.Module):
    """A_t (r, in) and B_t (out, r) of every linear layer of a model's body; B begins at 0."""

    def __init__(self, shapes: dict[str, tuple[int, int]], rank: int, alpha: float, seed: int = 0):
        """Args: shapes: name of a layer -> its numbers of inputs and outputs."""
        super().__init__()
        self.scale = alpha / rank
        draw = torch.Generator().manual_seed(seed)
        self.down, self.up = torch.nn.ParameterDict(), torch.nn.ParameterDict()
        for name, (inputs, outputs) in shapes.items():
            bound = inputs**-0.5
            matrix = torch.empty(rank, inputs).uniform_(-bound, bound, generator=draw)
            self.down[key(name)], self.up[key(name)] = (
                Parameter(matrix),
                Parameter(torch.zeros(outputs, rank)),
            )

    def added(self, name: str, x: Tensor) -> Tensor:
        """What is added to the output of a layer, at weight 1."""
        return self.scale * (x @ self.down[name].T @ self.up[name].T)


def key(name: str) -> str:
    """A layer's name without dots, which names of parameters may not hold."""
    return name.replace(".", "-")


def fresh_adapter(base, rank: int, alpha: float, seed: int) -> Adapter:
    """An adapter for all linear layers of a model's body, which changes nothing yet."""
    layers = {name: base.get_submodule(name) for name in linear_layers(base)}
    shapes = {name: sizes(layer) for name, layer in layers.items()}
    return Adapter(shapes, rank, alpha, seed).to(next(base.parameters()).device)


def sizes(layer: Any) -> tuple[int, int]:
    """Numbers of inputs and outputs of a linear layer, which transformers' Conv1D has the other way round."""
    outputs, inputs = layer.weight.shape
    return (inputs, outputs) if isinstance(layer, torch.nn.Linear) else (outputs, inputs)


class Gated(Composed):
    """A base model, adapters and gates, one of each for every request.

    Args:
        among: "each": every adapter has the weight of its own gate; "last": the last has the largest of all; "all":
            there are no gates, and every adapter counts wholly.
        detectors: place of a gate -> the adapter with which the model is passed for it.
    """

    gates: list[Stages]

    def __init__(
        self, base, adapters: list[Adapter], gates: list[Stages], among: str = "each",
        detectors: Mapping[str, Adapter] | None = None,
    ):  # fmt: skip
        super().__init__({"base": base}, Mean())
        self.adapters, self.gates, self.among = torch.nn.ModuleList(adapters), list(gates), among
        self.detectors = torch.nn.ModuleDict(detectors or {})
        # an adapter that is learnt has no gate yet: it alone counts, wholly
        self.alone = len(adapters) > len(gates) and among != "all"

    @property
    def base(self) -> Any:
        return self.members["base"]

    @property
    def causal(self) -> bool:
        """Is it a language model?"""
        return self.base.get_output_embeddings() is not None

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor | None = None, past_key_values=None, use_cache=None, **more
    ) -> CausalLMOutput:  # fmt: skip
        given = arguments(input_ids, attention_mask, use_cache, more)
        if self.alone or not self.gates:
            whole = {} if past_key_values is None else {"past_key_values": past_key_values}
            earlier = 0.0 if self.alone else 1.0
            with self.adapted([earlier] * (len(self.adapters) - 1) + [1.0]):
                return self.base(**given, **whole)
        caches, last, sums = self.shared(past_key_values)
        with torch.no_grad():
            hidden = {name: self.read(name, given | caches.get(name, {})) for name in self.readers}
            weights = self.weights(hidden, attention_mask, sums)
        with self.adapted(list(weights.unbind(-1))):
            return self.base(**given | last)

    @property
    def readers(self) -> list[str]:
        """What is passed for the gates: the model as it is, by no name, and the detectors, by their gates' places."""
        plain = [""] if len(self.detectors) < len(self.gates) else []
        return [*plain, *self.detectors]

    def reader(self, place: int) -> str:
        """What is passed for a gate."""
        return str(place) if str(place) in self.detectors else ""

    def read(self, name: str, given: dict[str, Any]) -> tuple[Tensor, ...]:
        """Hidden states (B, T, H) of every layer, of the model as it is or with a detector."""
        used = [(self.detectors[name], 1.0)] if name else []
        with self.adding(used):
            return self.base(**given | {"output_hidden_states": True}).hidden_states[1:]

    def cache_windows(self) -> list[int | None]:
        own, count = cache_windows(self.base), len(self.readers)
        return own if self.alone or not self.gates else [*own * (count + 1), *[None] * count]

    def shared(self, whole) -> tuple[dict[str, dict[str, Any]], dict[str, Any], dict[str, Any]]:
        """Parts of a cache: of what is passed for the gates, of the last pass, and the layers of the sums."""
        if whole is None:
            return {}, {}, {}
        count = len(cache_windows(self.base))
        begins = range(0, count * (len(self.readers) + 1), count)
        *first, last = ({"past_key_values": Cache(layers=whole.layers[b : b + count])} for b in begins)
        sums = whole.layers[count * len(begins) :]
        return (
            dict(zip(self.readers, first, strict=True)), last, dict(zip(self.readers, sums, strict=True)),
        )  # fmt: skip

    def weights(
        self,
        hidden: dict[str, tuple[Tensor, ...]],
        mask: Tensor | None,
        sums: Mapping[str, Any] | None = None,
    ) -> Tensor:
        """(B, T, K) weights of the adapters, one for each token of a language model; of a classifier (B, 1, K).

        Args: hidden: hidden states of every reader; sums: of each the layer of a cache that holds what was read.
        """
        means, read = {}, torch.ones(1, dtype=torch.int64)
        for name, of in hidden.items():
            if self.causal:
                means[name], read = self.running_means(of, (sums or {}).get(name))
            else:
                means[name] = text_means(of, mask)[:, :, None]
        layers, rows, tokens, size = next(iter(means.values())).shape
        flat = {name: of.reshape(layers, rows * tokens, size) for name, of in means.items()}
        gates, counts = self.gates_on(next(iter(flat.values())).device), read.repeat(rows)
        found = torch.stack(
            [gate.weight(flat[self.reader(place)], counts) for place, gate in enumerate(gates)], -1
        )
        if self.among == "last":
            last = found.amax(-1, keepdim=True)
            found = torch.cat([torch.zeros_like(found[:, 1:]), last], -1)
        return found.view(rows, tokens, -1).to(next(iter(hidden.values()))[0].dtype)

    def gates_on(self, device: torch.device) -> list[Stages]:
        """The gates, which stay where they were last used: they are large, and in float64 whatever the model is in."""
        if any(gate.begins.device != device for gate in self.gates):
            self.gates = [gate.to(device) for gate in self.gates]
        return self.gates

    def running_means(self, hidden: tuple[Tensor, ...], state) -> tuple[Tensor, Tensor]:
        """(L, B, T, H) means of the hidden states of all tokens up to each, in float64, and (T,) how many these are."""
        rows, tokens, size = hidden[0].shape
        sums = torch.cat(hidden, -1).double().cumsum(1)
        before = 0 if state is None else state.filled
        if before:
            kept = state.keys[state.first : state.first + rows, 0, before - 1 : before]
            sums = sums + kept
        if state is not None:
            state.update(sums[:, None], sums[:, None, :, :1])
        counts = torch.arange(before + 1, before + tokens + 1, device=sums.device)
        return (sums / counts[:, None]).view(rows, tokens, len(hidden), size).permute(2, 0, 1, 3), counts

    @contextlib.contextmanager
    def adapted(self, weights: list) -> Iterator[None]:
        """Let the base's layers add what the adapters say, with these weights, numbers or (B, T)."""
        with self.adding(
            [(a, w) for a, w in zip(self.adapters, weights, strict=True) if isinstance(w, Tensor) or w]
        ):
            yield

    @contextlib.contextmanager
    def adding(self, used: list[tuple[Any, Any]]) -> Iterator[None]:
        """The same of adapters that come with their weights."""

        def add(layer, inputs, output, name: str):
            for adapter, weight in used:
                if isinstance(weight, Tensor) and output.dim() > 2:  # a pooler gives one vector for a text
                    weight = weight[..., None]
                output = output + weight * adapter.added(name, inputs[0])
            return output

        names = linear_layers(self.base)
        hooks = [
            self.base.get_submodule(name).register_forward_hook(
                lambda layer, inputs, output, name=name: add(layer, inputs, output, key(name))
            )
            for name in names
        ]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()

    @torch.no_grad()
    def seen(self, rows: Rows) -> tuple[Tensor, Tensor]:
        """(B, K) weights that whole texts have, and (B, K) the largest cosine of a layer to what gates store."""
        given = rows.inputs(self.base)
        means = {name: text_means(self.read(name, given), rows.mask) for name in self.readers}
        gates = self.gates_on(next(iter(means.values())).device)
        each = [(gate, means[self.reader(place)]) for place, gate in enumerate(gates)]
        nearest = [gate.nearest(of).amax(-1) for gate, of in each]
        read = rows.mask.sum(1) if self.causal else torch.ones(len(rows), dtype=torch.int64)
        return torch.stack([gate.weight(of, read) for gate, of in each], -1), torch.stack(nearest, -1)

    def save_pretrained(self, folder: Path) -> None:
        folder = Path(folder)
        self.base.save_pretrained(folder / "base")
        tensors = {name: p.detach().contiguous() for name, p in self.adapters.named_parameters()}
        tensors |= {
            f"{DETECTOR}{name}": p.detach().contiguous() for name, p in self.detectors.named_parameters()
        }
        save_file(tensors, folder / ADAPTERS)
        stored = {
            f"{place}.{name}": t.cpu().contiguous()
            for place, g in enumerate(self.gates)
            for name, t in g.tensors.items()
        }
        save_file(stored, folder / GATES)
        options: dict[str, Any] = {
            "scales": [adapter.scale for adapter in self.adapters],
            "among": self.among,
        }
        if self.detectors:
            options["detectors"] = {name: adapter.scale for name, adapter in self.detectors.items()}
        write_json(folder / FILE, {"rule": RULE, "options": options, "members": ["base"]})


def text_means(hidden: tuple[Tensor, ...], mask: Tensor | None) -> Tensor:
    """(L, B, H) mean hidden state of the tokens of each text, in float64."""
    whole = torch.stack(hidden).double()
    kept = torch.ones(whole.shape[1:3], device=whole.device) if mask is None else mask
    weight = kept.to(whole.dtype)[..., None]
    return (whole * weight).sum(2) / weight.sum(1)


def is_gated(file: Path) -> bool:
    """Does a composed.json describe a model with gates?"""
    return json.loads(file.read_text(encoding="utf-8")).get("rule") == RULE


def check_fits(adapter: Adapter, base, place: str) -> None:
    """Raise ValueError unless there is a pair of matrices for each linear layer, of its size."""
    layers = {key(name): sizes(base.get_submodule(name)) for name in linear_layers(base)}
    ranks = {len(matrix) for matrix in adapter.down.values()}
    made = {name: (adapter.down[name].shape[1], len(adapter.up[name])) for name in adapter.down}
    if made != layers or len(ranks) != 1 or any({m.shape[1]} != ranks for m in adapter.up.values()):
        raise ValueError(f"adapter {place} is not one of this model")


def load_gated(file: Path, base) -> Gated:
    """The model of a folder, around its base.

    Raises:
        OSError, KeyError, ValueError: a file is missing or damaged.
    """
    options = json.loads(file.read_text(encoding="utf-8"))["options"]
    weights, stored = (load_file(file.parent / name) for name in (ADAPTERS, GATES))

    def adapter(name: str, scale: float) -> Adapter:
        found = Adapter({}, 1, scale)
        for key, weight in weights.items():
            if key.startswith(f"{name}."):
                kind, _, layer = key.removeprefix(f"{name}.").partition(".")
                getattr(found, kind)[layer] = Parameter(weight)
        check_fits(found, base, name)
        return found

    adapters = [adapter(str(place), scale) for place, scale in enumerate(options["scales"])]
    detectors = {
        place: adapter(f"{DETECTOR}{place}", scale) for place, scale in options.get("detectors", {}).items()
    }
    of_gates: dict[int, dict[str, Tensor]] = {}
    for name, tensor in stored.items():
        place, _, own = name.partition(".")
        of_gates.setdefault(int(place), {})[own] = tensor
    gates = [Stages.of(of_gates[place]) for place in sorted(of_gates)]
    return Gated(base, adapters, gates, str(options["among"]), detectors)
