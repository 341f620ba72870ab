"""A model with an adapter for each request to forget, of which a text gets as much as its detector says.

The model itself is passed twice: first as it is, whose hidden states the gates read, then with the adapters,

    W x + sum_t w_t * alpha / r * B_t A_t x

A gate that has a detector reads a pass of its own instead, of the model with an adapter that was trained to tell the
request's texts; or no state of the model at all, but the text, by an encoder of its own.

Of a language model a token's weight follows from the tokens up to it: what was read is summed up in one more layer of
the cache. So a pass over a text, its continuation and every prefix of it agree, and no token knows what comes after it.
By an encoder the weight is a step: 0 before `reads` tokens, then that of the text of these, and stays so; tokens and
weights are kept in one more such layer. A classifier's text has one weight, of the whole of it.
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
from lethe.models.encoders import Encoder, TextReader, text_encoder
from lethe.models.gates import Stages, text_means
from lethe.models.pretrained import load_tokenizer
from lethe.system.files import write_json

ADAPTERS, GATES = "adapters.safetensors", "gates.safetensors"
RULE, DETECTOR = "gated", "detector-"
TEXTS = "texts"  # what encoders read, beside names of what is passed for gates, "" or digits


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
        texts: place of a gate -> how it reads texts by an encoder; that one is no part of the model: it never trains,
            and is saved as where it is from and the digest of its files.
    """

    gates: list[Stages]

    def __init__(
        self, base, adapters: list[Adapter], gates: list[Stages], among: str = "each",
        detectors: Mapping[str, Adapter] | None = None, texts: Mapping[str, TextReader] | None = None,
    ):  # fmt: skip
        super().__init__({"base": base}, Mean())
        self.adapters, self.gates, self.among = torch.nn.ModuleList(adapters), list(gates), among
        self.detectors = torch.nn.ModuleDict(detectors or {})
        self.texts = dict(texts or {})
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
            weights = self.weights(hidden, attention_mask, sums, input_ids)
        with self.adapted(list(weights.unbind(-1))):
            return self.base(**given | last)

    @property
    def readers(self) -> list[str]:
        """What is passed for the gates: the model as it is, by no name, and the detectors, by their gates' places."""
        plain = [""] if len(self.detectors) + len(self.texts) < len(self.gates) else []
        return [*plain, *self.detectors]

    @property
    def states(self) -> list[str]:
        """What has a layer of the cache for what was read."""
        return [*self.readers, *([TEXTS] if self.texts else [])]

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
        return own if self.alone or not self.gates else [*own * (count + 1), *[None] * len(self.states)]

    def shared(self, whole) -> tuple[dict[str, dict[str, Any]], dict[str, Any], dict[str, Any]]:
        """Parts of a cache: of what is passed for the gates, of the last pass, and the layers of `states`."""
        if whole is None:
            return {}, {}, {}
        count = len(cache_windows(self.base))
        begins = range(0, count * (len(self.readers) + 1), count)
        *first, last = ({"past_key_values": Cache(layers=whole.layers[b : b + count])} for b in begins)
        sums = whole.layers[count * len(begins) :]
        return (
            dict(zip(self.readers, first, strict=True)), last, dict(zip(self.states, sums, strict=True)),
        )  # fmt: skip

    def weights(
        self, hidden: dict[str, tuple[Tensor, ...]], mask: Tensor | None, sums: Mapping[str, Any] | None = None,
        input_ids: Tensor | None = None,
    ) -> Tensor:  # fmt: skip
        """(B, T, K) weights of the adapters, one for each token of a language model; of a classifier (B, 1, K).

        Args:
            hidden: hidden states of every reader.
            sums: of each of `states` the layer of a cache that holds what was read.
            input_ids: (B, T) tokens, where gates read texts.
        """
        sums, means, read = sums or {}, {}, torch.ones(1, dtype=torch.int64)
        for name, of in hidden.items():
            if self.causal:
                means[name], read = self.running_means(of, sums.get(name))
            else:
                means[name] = text_means(of, mask)[:, :, None]
        flat = {name: of.flatten(1, 2) for name, of in means.items()}
        by_text = self.weights_of_texts(input_ids, mask, sums.get(TEXTS)) if input_ids is not None else {}

        def weight(place: int, gate: Stages) -> Tensor:
            if str(place) in by_text:
                return by_text[str(place)]
            of = flat[self.reader(place)]
            rows, tokens = means[self.reader(place)].shape[1:3]
            return gate.weight(of, read.repeat(rows)).view(rows, tokens)

        gates = self.gates_on(self.device)
        found = torch.stack([weight(place, gate) for place, gate in enumerate(gates)], -1)
        if self.among == "last":
            last = found.amax(-1, keepdim=True)
            found = torch.cat([torch.zeros_like(found[..., 1:]), last], -1)
        states = next(iter(hidden.values()), [next(self.base.parameters())])
        return found.to(states[0].dtype)

    def weights_of_texts(self, input_ids: Tensor, mask: Tensor | None, state) -> dict[str, Tensor]:
        """(B, T) weights of the gates that read texts, by their places; of a classifier (B, 1).

        Args: state: the layer of a cache that holds tokens and weights of what was read, or None.
        """
        gates = self.gates_on(input_ids.device)
        if not self.causal:
            inside = torch.ones_like(input_ids) if mask is None else mask
            whole = [row[own].tolist() for row, own in zip(input_ids.cpu(), inside.bool().cpu(), strict=True)]
            read = {place: reader.features(whole, input_ids.device) for place, reader in self.texts.items()}
            return {place: one_weight(gates[int(place)], of)[:, None] for place, of in read.items()}
        (rows, tokens), before = input_ids.shape, 0 if state is None else state.filled
        kept = state.keys[state.first : state.first + rows, 0, :before] if before else None
        found = {}
        for number, (place, reader) in enumerate(self.texts.items(), 1):
            weight = torch.zeros(rows, tokens, dtype=torch.float64, device=input_ids.device)
            if kept is not None and before >= reader.reads:
                weight += kept[:, -1:, number]
            elif before + tokens >= reader.reads:
                known = input_ids if kept is None else torch.cat([kept[..., 0].long(), input_ids], 1)
                features = reader.features(known[:, : reader.reads].tolist(), input_ids.device)
                weight[:, reader.reads - 1 - before :] = one_weight(gates[int(place)], features)[:, None]
            found[place] = weight
        if state is not None:
            new = torch.stack([input_ids.double(), *found.values()], -1)[:, None]
            state.update(new, new[..., :1])
        return found

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
        """(B, K) weights that whole texts have, and (B, K) the largest cosine of a layer to what gates store.

        A text that ends before an encoder's `reads` tokens has weight 0; its cosine is that of what there is.
        """
        given = rows.inputs(self.base)
        means = {name: text_means(self.read(name, given), rows.mask) for name in self.readers}
        read = rows.mask.sum(1) if self.causal else torch.ones(len(rows), dtype=torch.int64)
        weights, nearest = [], []
        for place, gate in enumerate(self.gates_on(rows.input_ids.device)):
            reader = self.texts.get(str(place))
            of = means[self.reader(place)] if reader is None else reader.features_of(rows, not self.causal)
            weight = gate.weight(of, read)
            if reader is not None and self.causal:
                weight = weight * (rows.lengths >= reader.reads)
            weights.append(weight)
            nearest.append(gate.nearest(of).amax(-1))
        return torch.stack(weights, -1), torch.stack(nearest, -1)

    def save_pretrained(self, folder: Path) -> None:
        folder = Path(folder)
        self.base.save_pretrained(folder / "base")
        tensors = {name: p.detach().cpu().contiguous() for name, p in self.adapters.named_parameters()}
        tensors |= {
            f"{DETECTOR}{name}": p.detach().cpu().contiguous()
            for name, p in self.detectors.named_parameters()
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
        if self.texts:
            options["encoders"] = {place: reader.said for place, reader in self.texts.items()}
        write_json(folder / FILE, {"rule": RULE, "options": options, "members": ["base"]})


def one_weight(gate: Stages, features: Tensor) -> Tensor:
    """(N,) weights of texts that a gate reads as a whole, by features (L, N, H)."""
    return gate.weight(features, torch.ones(features.shape[1], dtype=torch.int64))


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
        OSError, KeyError, TypeError, ValueError: a file is missing or damaged.
        InputError: an encoder is missing, or is another than the gate was fitted by.
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
    texts = readers_of_texts(file, options.get("encoders", {}))
    if not {*detectors, *texts} <= {str(place) for place in range(len(gates))}:
        raise ValueError("detectors, encoders: places of gates are needed")
    return Gated(base, adapters, gates, str(options["among"]), detectors, texts)


def readers_of_texts(file: Path, said: dict[str, dict[str, Any]]) -> dict[str, TextReader]:
    """By the places of their gates, of what `TextReader.said` was; those by one encoder share it."""
    if not said:
        return {}
    tokenizer = load_tokenizer(str(file.parent), {"local_files_only": True})
    encoders: dict[tuple[str, str], Encoder] = {}
    found = {}
    for place, of in said.items():
        name = str(of["source"]), str(of["sha256"])
        if name not in encoders:
            encoders[name] = text_encoder(name[0], f"{file}: encoders.{place}.source", name[1])
        found[place] = TextReader(encoders[name], tokenizer, int(of["reads"]))
        if found[place].reads < 1:
            raise ValueError(f"encoders.{place}.reads: {of['reads']}; allowed are 1 or more")
    return found
