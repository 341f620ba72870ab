"""A GPU that is none, as a plugin of pytest: `pytest -p pretended_gpu tests/test_unlearn.py`.

Its tensors lie in the host's memory and are computed with by the CPU, so that values are those of a CPU. But as on a
GPU, they do not meet tensors of the host in one operation, NumPy cannot read them, and a generator of the host draws
none of them. Everything that trains or scores in this process runs on it, until its end.
"""

import torch
import transformers
from torch.utils._device import _device_constructors
from torch.utils.backend_registration import _DummyBackendModule, _setup_privateuseone_for_python_backend

import lethe.models.loading

NAME = "pretended"
MEET = {"_to_copy", "copy_"}  # operations that take tensors of both
INDEXED = {"index", "index_put", "index_put_", "_index_put_impl_"}  # those that take indices of the host


class Backend(_DummyBackendModule):
    def get_amp_supported_dtype(self):
        return [torch.bfloat16]


class Far(torch.Tensor):
    """A tensor of the pretended GPU; `near` has its numbers."""

    near: torch.Tensor
    __torch_function__ = torch._C._disabled_torch_function_impl

    @staticmethod
    def __new__(cls, near):
        far = torch.Tensor._make_wrapper_subclass(
            cls,
            near.size(),
            strides=near.stride(),
            storage_offset=near.storage_offset(),
            dtype=near.dtype,
            device=f"{NAME}:0",
        )
        far.near = near
        return far

    @classmethod
    def __torch_dispatch__(cls, operation, types, args=(), kwargs=None):
        return run(operation, *args, **(kwargs or {}))

    def tolist(self):
        return self.near.tolist()

    def __repr__(self, **options):
        return f"far {self.near!r}"


def run(operation, *args, **kwargs):
    """What an operation gives on the CPU, as tensors of the device that asks for it."""
    name = operation._schema.name.removeprefix("aten::")
    leaves: list = []
    mapped(leaves.append, (args, kwargs))
    tensors = [leaf for leaf in leaves if isinstance(leaf, torch.Tensor)]
    far = any(isinstance(tensor, Far) for tensor in tensors)
    judged = [args[0], *args[2:3]] if name in INDEXED else [] if name in MEET else tensors
    if far and any(isinstance(x, torch.Tensor) and x.dim() and not isinstance(x, Far) for x in judged):
        raise RuntimeError(f"{name}: tensors of two devices")
    device = kwargs.get("device")
    to_far = far if device is None else torch.device(device).type == NAME
    if to_far and any(isinstance(leaf, torch.Generator) for leaf in leaves):
        raise RuntimeError(f"{name}: a generator of the host")
    if device is not None:
        kwargs = kwargs | {"device": torch.device("cpu")}
    args, kwargs = mapped(near, (args, kwargs))
    given = {id(near(tensor)): tensor for tensor in tensors}  # an operation in place gives back what it got

    def moved(value):
        if not isinstance(value, torch.Tensor):
            return value
        return given.get(id(value), Far(value) if to_far else value)

    return mapped(moved, operation(*args, **kwargs))


def mapped(function, value):
    """A function of all that lists, tuples and dictionaries hold; torch's own is slow."""
    if isinstance(value, list | tuple):
        return type(value)([mapped(function, each) for each in value])
    if isinstance(value, dict):
        return {key: mapped(function, each) for key, each in value.items()}
    return function(value)


def near(value):
    return value.near if isinstance(value, Far) else value


def exchange(owner, name, by):
    """Put a function in the place of another, which it is given."""
    setattr(owner, name, by(getattr(owner, name)))


def made_near(plain):
    """`torch.tensor`, which has no operation that could be asked."""

    def make(data, *, device=None, **options):
        made = plain(data, **options)
        return made if device is None else made.to(device)

    return make


def exchanging(plain):
    """`Module.to`, which else puts new numbers into old tensors."""

    def to(module, *args, **kwargs):
        torch.__future__.set_swap_module_params_on_conversion(True)
        try:
            return plain(module, *args, **kwargs)
        finally:
            torch.__future__.set_swap_module_params_on_conversion(False)

    return to


def from_host(plain):
    """`save_pretrained`, which reads the memory of tensors."""

    def save(model, *args, **kwargs):
        device = model.device
        plain(model.to("cpu"), *args, **kwargs)
        model.to(device)

    return save


_setup_privateuseone_for_python_backend(NAME, backend_module=Backend())
library = torch.library.Library("_", "IMPL")
library.fallback(lambda operation, *args, **kwargs: run(operation, *args, **kwargs), "PrivateUse1")
_device_constructors()  # remembers torch.tensor as it was
exchange(torch, "tensor", made_near)
exchange(torch.nn.Module, "to", exchanging)
exchange(transformers.PreTrainedModel, "save_pretrained", from_host)
for module in (lethe.models.loading, lethe.models):  # the package has a name of its own for the function
    module.device = lambda: torch.device(NAME, 0)
