"""How a pass is computed: precision, the order of sums, what is kept of it, blocks checkpointed or compiled."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.autograd.graph import Node
from torch.utils.checkpoint import checkpoint
from transformers.modeling_layers import GradientCheckpointingLayer

from lethe.params.training import Training
from lethe.system.errors import InputError


@contextlib.contextmanager
def uncached(config) -> Iterator[None]:
    """Passes keep no keys and values, which only decoding needs."""
    before = getattr(config, "use_cache", False)
    if before:
        config.use_cache = False
    try:
        yield
    finally:
        if before:
            config.use_cache = before


@contextlib.contextmanager
def tensor_float_32(wanted: bool) -> Iterator[None]:
    """Products of float32 matrices in TF32, on GPUs that have it."""
    before = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = wanted
    try:
        yield
    finally:
        torch.backends.cuda.matmul.allow_tf32 = before


@contextlib.contextmanager
def one_order(device: torch.device) -> Iterator[None]:
    """On a GPU, backward passes add in an order that is always the same; those of attention do not by default."""
    if device.type != "cuda":
        yield
        return
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # without it, torch refuses any product
    memory: Any = torch.utils.deterministic
    before = torch.are_deterministic_algorithms_enabled(), memory.fill_uninitialized_memory
    torch.use_deterministic_algorithms(True)
    memory.fill_uninitialized_memory = False  # nothing is read that was not written
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before[0])
        memory.fill_uninitialized_memory = before[1]


def apart(terms: dict[str, Tensor]) -> list[list[str]]:
    """Names of the terms that have a gradient, in groups of which no two have a computation in common.

    Passed back together, the gradient of one group is kept until that of the other is there; one after the other,
    each is added to the weights' own at once.
    """
    groups: list[tuple[list[str], set[Node]]] = []
    for name, term in terms.items():
        if not term.requires_grad:
            continue
        names, nodes = [name], computations(term)
        for group in [group for group in groups if not nodes.isdisjoint(group[1])]:
            names, nodes = group[0] + names, nodes | group[1]
            groups.remove(group)
        groups.append((names, nodes))
    return [names for names, _ in groups]


def computations(term: Tensor) -> set[Node]:
    """The steps that a tensor comes from, without the weights that they begin at."""
    found: set[Node] = set()
    left = [term.grad_fn]
    while left:
        node = left.pop()
        if node is not None and node not in found and not hasattr(node, "variable"):
            found.add(node)
            left += [before for before, _ in node.next_functions]
    return found


def blocks(model) -> list[torch.nn.Module]:
    """The transformer blocks, which are checkpointed, compiled and sharded one by one.

    Raises:
        InputError: the architecture does not mark them.
    """
    found: list[torch.nn.Module] = [m for m in model.modules() if isinstance(m, GradientCheckpointingLayer)]
    if not found:
        what = "training.gradient_checkpointing, compile and sharded need them"
        raise InputError(f"model: {model.config.model_type} marks no blocks; {what}")
    return found


def adapt_blocks(model, recipe: Training) -> None:
    """Passes that need gradients go through blocks that are checkpointed or compiled; others are left as they are."""
    if not (recipe.gradient_checkpointing or recipe.compile):
        return
    for block in blocks(model):
        plain = trained = block.forward
        if recipe.gradient_checkpointing:
            trained = partial(checkpoint, trained, use_reentrant=False)
        if recipe.compile:
            # Each with a cache of its own: fused methods differ between blocks, and a cache of all is soon full.
            trained = torch.compile(trained, isolate_recompiles=True)  # type: ignore[call-overload]
        block.forward = partial(by_gradient, trained, plain)


def by_gradient(trained, plain, *args, **kwargs):
    return (trained if torch.is_grad_enabled() else plain)(*args, **kwargs)
