"""Keys and values of attention in memory that is allocated once, for rows that all stand at one position.

Rows at one position need no padding, no attention mask and no position ids: every causal model of transformers
then takes the place of a token from the length of the cache.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from transformers.cache_utils import Cache, DynamicLayer

from lethe.errors import InputError


class Layer(DynamicLayer):
    """Keys and values (rows, heads, width, head size) of one layer; a pass writes into rows `first`... in place.

    Also serves layers that attend to a window: those get everything, and the model's own mask cuts it.
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
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        rows = slice(self.first, self.first + key_states.shape[0])
        end = self.filled + key_states.shape[2]
        self.keys[rows, :, self.filled : end] = key_states
        self.values[rows, :, self.filled : end] = value_states
        self.filled = end
        return self.keys[rows, :, :end], self.values[rows, :, :end]

    def get_seq_length(self) -> int:
        return self.filled


class KeyValues(Cache):
    """Cache of `rows` sequences of up to `width` tokens; never grows."""

    def __init__(self, model, rows: int, width: int):
        config = model.config.get_text_config(decoder=True)
        self.own = [Layer(rows, width) for _ in range(config.num_hidden_layers)]
        super().__init__(layers=list(self.own))

    def stand(self, position: int, first: int = 0) -> None:
        """The next pass writes at this position of rows first, first + 1, ..."""
        for layer in self.own:
            layer.filled, layer.first = position, first

    def admit(self, source: KeyValues, chosen: np.ndarray, position: int, first: int) -> None:
        """Rows first, first + 1, ... become copies of the chosen rows of `source`, up to a position."""
        index = torch.as_tensor(chosen, device=source.own[0].device)  # one copy to a GPU serves all layers
        for layer, origin in zip(self.own, source.own, strict=True):
            keys, values = origin.keys[index, :, :position], origin.values[index, :, :position]
            if not layer.is_initialized:
                layer.lazy_initialization(keys, values)
            layer.keys[first : first + len(chosen), :, :position] = keys
            layer.values[first : first + len(chosen), :, :position] = values

    def move(self, origin: np.ndarray, target: np.ndarray, position: int) -> None:
        """Rows `origin` are copied over rows `target`, up to a position; the two are disjoint."""
        index, place = (torch.as_tensor(rows, device=self.own[0].device) for rows in (origin, target))
        for layer in self.own:
            layer.keys[place, :, :position] = layer.keys[index, :, :position]
            layer.values[place, :, :position] = layer.values[index, :, :position]

    def check(self, model) -> None:
        """InputError unless every layer of the model has kept its keys and values here."""
        if not all(layer.is_initialized for layer in self.own):
            raise InputError(
                f"model: {model.config.model_type} keeps a state other than keys and values in every layer;"
                " the extraction metrics need a causal model of attention layers only"
            )
