"""What decoding keeps of the tokens before: keys and values of attention, or nothing.

Keys and values are in memory that is allocated once, for rows that all stand at one position. Such rows need no
padding, no attention mask and no position ids: every causal model of transformers then takes the place of a token from
the length of the cache. Of models that keep another state, such as that of a recurrence, nothing is kept.
"""

from __future__ import annotations

import functools
import inspect
import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers.cache_utils import Cache, DynamicLayer

from lethe.models.composed import cache_windows, parts
from lethe.system.errors import InputError

log = logging.getLogger("lethe.decoding")
ATTENTION = {
    "full_attention",
    "sliding_attention",
    "chunked_attention",
}  # kinds of layers, as configurations say


def keeps_keys_and_values(model) -> bool:
    """Are keys and values of every layer all that the model needs of the tokens before? By what it says of itself."""
    return all(attends_only(part) for part in parts(model))


def attends_only(model) -> bool:
    """The same of a model that is not composed of several."""
    config = model.config.get_text_config(decoder=True)
    kinds = {*(getattr(config, "layer_types", None) or ATTENTION)}
    shared = getattr(config, "kv_sharing_modes", None) or getattr(config, "num_kv_shared_layers", 0)
    found = not (model._is_stateful or shared) and kinds <= ATTENTION
    if not found:
        tell_of_state(config.model_type)
    return found


@functools.cache
def tell_of_state(kind: str) -> None:
    log.info(
        "%s keeps other states than keys and values: whole prefixes are read for each token, slowly", kind
    )


class Layer(DynamicLayer):
    """Keys and values (rows, heads, width, head size) of one layer; a pass writes into rows `first`... in place.

    Position p is kept at place p modulo width, so that of longer sequences the last `width` positions remain: rows
    then lie side by side in memory. Such a layer takes one token at a time, and attends to all that it is given, in
    whatever order. Other layers that attend to a window get everything, and the model's own mask cuts it.
    """

    keys: Tensor
    values: Tensor

    def __init__(self, rows: int, width: int):
        super().__init__()
        self.rows, self.width = rows, width
        self.first, self.filled = 0, 0

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        self.dtype, self.device = key_states.dtype, key_states.device
        heads = key_states.shape[1]
        self.keys = key_states.new_empty(self.rows, heads, self.width, key_states.shape[-1])
        self.values = value_states.new_empty(self.rows, heads, self.width, value_states.shape[-1])
        self.is_initialized = True

    def update(self, key_states: Tensor, value_states: Tensor, *args, **kwargs) -> tuple[Tensor, Tensor]:
        rows = slice(self.first, self.first + key_states.shape[0])
        self.put(key_states, value_states, rows, self.filled)
        self.filled += key_states.shape[2]
        end = min(self.filled, self.width)
        return self.keys[rows, :, :end], self.values[rows, :, :end]

    def admit(self, source: Layer, chosen: Tensor, first: int) -> None:
        """Rows first, first + 1, ... become copies of the chosen rows of a layer of full width, up to `filled`."""
        rows = slice(first, first + len(chosen))
        turn = self.filled - self.filled % self.width  # a position at place 0
        for begin, end in ((max(0, self.filled - self.width), turn), (turn, self.filled)):
            if begin < end:
                self.put(source.keys[chosen, :, begin:end], source.values[chosen, :, begin:end], rows, begin)

    def put(self, keys: Tensor, values: Tensor, rows: slice, position: int) -> None:
        """Write from a position on, up to place `width` at most."""
        if not self.is_initialized:
            self.lazy_initialization(keys, values)
        places = slice(position % self.width, position % self.width + keys.shape[2])
        self.keys[rows, :, places] = keys
        self.values[rows, :, places] = values

    def get_seq_length(self) -> int:
        return self.filled


class KeyValues(Cache):
    """Cache of `rows` sequences of up to `width` tokens; never grows.

    windows: of each layer, how many of the last positions it keeps, None for all; () for all in every layer.
    """

    def __init__(self, model, rows: int, width: int, windows: Sequence[int | None] = ()):
        windows = windows or [None] * len(cache_windows(model))
        self.own = [Layer(rows, width if window is None else min(window, width)) for window in windows]
        super().__init__(layers=list(self.own))
        self.given = {"past_key_values": self, "use_cache": True}  # to a pass

    def stand(self, position: int, first: int = 0) -> None:
        """The next pass writes at this position of rows first, first + 1, ..."""
        for layer in self.own:
            layer.filled, layer.first = position, first

    def admit(self, source: KeyValues, chosen: np.ndarray, first: int) -> None:
        """Rows first, first + 1, ... become copies of the chosen rows of `source`, up to where this cache stands."""
        index = torch.as_tensor(chosen, device=source.own[0].device)  # one copy to a GPU serves all layers
        for layer, origin in zip(self.own, source.own, strict=True):
            layer.admit(origin, index, first)

    def move(self, origin: np.ndarray, target: np.ndarray) -> None:
        """Rows `origin` are copied over rows `target`, up to where this cache stands; the two are disjoint."""
        index, place = (torch.as_tensor(rows, device=self.own[0].device) for rows in (origin, target))
        for layer in self.own:
            layer.keys[place, :, : layer.filled] = layer.keys[index, :, : layer.filled]
            layer.values[place, :, : layer.filled] = layer.values[index, :, : layer.filled]

    def unread(self, position: int) -> int:
        """The first token that a pass must be given, to say what follows on the one at `position`."""
        return position

    def check(self, model) -> None:
        """InputError unless every layer of the model has kept its keys and values here."""
        if not all(layer.is_initialized for layer in self.own):
            raise InputError(
                f"model: {model.config.model_type} keeps a state other than keys and values, and does not say so;"
                " the extraction metrics need a causal model of transformers that does"
            )


class Prefixes:
    """In place of `KeyValues`: rows keep nothing, and each pass reads their whole prefixes."""

    def __init__(self, model):
        self.given: dict[str, Any] = {"use_cache": False}
        if "logits_to_keep" in inspect.signature(model.forward).parameters:
            self.given["logits_to_keep"] = 1

    def stand(self, position: int) -> None: ...

    def admit(self, source: Any, chosen: np.ndarray, first: int) -> None: ...

    def move(self, origin: np.ndarray, target: np.ndarray) -> None: ...

    def unread(self, position: int) -> int:
        """As of `KeyValues`."""
        return 0
