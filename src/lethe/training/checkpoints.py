"""State of a run between two steps, in one safetensors file, written whole or not at all."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from lethe.system.files import remove, replacing

log = logging.getLogger("lethe.checkpoints")


def save(path: Path, model, optimizer, state: dict, write: bool = True) -> None:
    """Write what trains of the model, its optimiser and the JSON-serialisable `state`.

    Without an optimiser it is done and only read again, maybe by a run that begins with another model: all is written.

    Tensors that are split among processes are put together, in which all of them take part; one writes.

    Raises:
        OSError: the disk is full or refuses; the message names the file.
    """
    tensors = {
        f"model.{name}": whole(p, write)
        for name, p in model.named_parameters()
        if p.requires_grad or not optimizer
    }
    buffers = optimizer.state_dict()["state"] if optimizer else {}
    for index, slots in buffers.items():
        for slot, value in slots.items():
            tensors[f"optimizer.{index}.{slot}"] = whole(torch.as_tensor(value), write)
    if not write:
        return
    text = bytearray(json.dumps(state).encode())  # a tensor, as a header of safetensors may not grow large
    tensors["state"] = torch.frombuffer(text, dtype=torch.uint8)
    with replacing(path) as temporary:
        try:
            save_file(tensors, temporary)
        except SafetensorError as error:
            raise OSError(f"{path}: {error}") from None


def load(path: Path, model, optimizer, fingerprint: str) -> dict | None:
    """Restore what `save` wrote and return its state; None if there is none, or it is of another run.

    A file of other parameters or inputs, recognised by its fingerprint, or a damaged one, is removed.
    """
    if not path.exists():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            state = json.loads(file.get_tensor("state").numpy().tobytes())
            found = state["fingerprint"]
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (not a dict)
    except Exception as error:  # safetensors raises its own type, which is not public
        log.warning("%s: unreadable checkpoint (%s), starting over", path, type(error).__name__)
        remove(path)
        return None
    if found != fingerprint:
        remove(path)
        return None
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if f"model.{name}" in tensors:
                parameter.copy_(split_like(parameter, tensors[f"model.{name}"]))
    optimised = [p for group in optimizer.param_groups for p in group["params"]]
    slots: dict[int, dict] = {}
    for key, value in tensors.items():
        if key.startswith("optimizer."):
            _, index, slot = key.split(".")
            slots.setdefault(int(index), {})[slot] = split_like(optimised[int(index)], value)
    optimizer.load_state_dict({"state": slots, "param_groups": optimizer.state_dict()["param_groups"]})
    return state


def whole(tensor: Tensor, wanted: bool = True) -> Tensor:
    """The tensor on the host, put together if it is split among processes; empty where it is not wanted."""
    tensor = tensor.detach()
    if hasattr(tensor, "full_tensor"):
        tensor = tensor.full_tensor()
    return tensor.cpu().contiguous() if wanted else torch.empty(0)


def split_like(like: Tensor, value: Tensor) -> Tensor:
    """The value, split among processes as `like` is, if it is; each takes its part of what it has whole."""
    if not hasattr(like, "full_tensor") or value.shape != like.shape:
        return value
    from torch.distributed.tensor import DTensor, distribute_tensor

    assert isinstance(like, DTensor)
    return distribute_tensor(value.to(like.device), like.device_mesh, like.placements, src_data_rank=None)
