"""Adapters that train by one step a layer: gradients against PEFT's own and finite differences, and what is kept."""

import causal_models
import pytest
import torch

from lethe.models import adapters
from lethe.models.fused_lora import LoraLinear, fuse_adapters
from lethe.params.training import Lora, Training
from lethe.training.numerics import adapt_blocks


def adapted(name="llama", **options):
    """A model with adapters that do something, and a batch's loss of it."""
    model = causal_models.untrained(name)
    model.requires_grad_(True)
    adapters.add(model, Lora(rank=2, alpha=6, **options), seed=1)
    draw = torch.Generator().manual_seed(2)
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data.normal_(std=0.2, generator=draw)
    return model


def gradients(model, bf16: bool) -> list[torch.Tensor]:
    """Logits, and the gradient of each number that trains."""
    with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        logits = model(input_ids=causal_models.texts(3)).logits.float()
    logits.log_softmax(-1)[..., 0].mean().backward()
    return [logits.detach(), *(p.grad for p in model.parameters() if p.requires_grad)]


def error(found, expected) -> float:
    """Root of the mean over tensors of the square of their relative errors."""
    each = [float((a - b).norm() / b.norm()) for a, b in zip(found, expected, strict=True)]
    return sum(one**2 for one in each) ** 0.5 / len(each) ** 0.5


@pytest.mark.parametrize("name", ["llama", "gpt_neo", "gpt2"])  # without bias, with some, and transposed
def test_gradients_are_those_of_peft(name):
    fused = adapted(name)
    fuse_adapters(fused)
    assert error(gradients(fused, False), gradients(adapted(name), False)) < 1e-5


def test_blocks_that_are_computed_anew_have_the_same_gradients():
    fused, anew = adapted(), adapted()
    for model in (fused, anew):
        fuse_adapters(model.train())
    adapt_blocks(anew, Training(gradient_checkpointing=True))
    for own, other in zip(gradients(fused, True), gradients(anew, True), strict=True):
        assert torch.equal(own, other)


@pytest.mark.parametrize("weights", [torch.float32, torch.bfloat16])
def test_in_16_bits_they_are_as_near_to_those_in_32_as_pefts(weights):
    exact, errors = gradients(adapted(), False), []
    for fuse in (fuse_adapters, lambda model: None):
        model = adapted()
        for parameter in model.parameters():
            if not parameter.requires_grad:
                parameter.data = parameter.data.to(weights)
        fuse(model)
        found = gradients(model, True)
        assert all(own.dtype == torch.float32 for own in found)
        errors.append(error(found, exact))
    assert 1e-4 < errors[0] < 1.3 * errors[1]


def test_gradients_are_finite_differences():
    draw = torch.Generator().manual_seed(0)
    x, weight, bias, a, b = (
        torch.randn(size, generator=draw, dtype=torch.float64)
        for size in ((2, 3, 5), (4, 5), (4,), (2, 5), (4, 2))
    )
    for part in (x, a, b):
        part.requires_grad_()
    step = lambda x, a, b: LoraLinear.apply(x, weight, bias, a, b, 0.7, torch.float64)  # noqa: E731
    assert torch.autograd.gradcheck(step, (x, a, b))
    torch.testing.assert_close(step(x, a, b), x @ (weight + 0.7 * b @ a).T + bias)


def kept(model) -> tuple[int, bool]:
    """Bytes that a pass in 16 bits keeps for the way back, weights aside, and whether weights were copied."""
    sizes, copied = {}, False
    shapes = {p.shape for p in model.parameters()} | {p.T.shape for p in model.parameters() if p.ndim == 2}
    own = {p.untyped_storage().data_ptr() for p in model.parameters()}

    def note(tensor: torch.Tensor) -> torch.Tensor:
        nonlocal copied
        memory = tensor.untyped_storage()
        if memory.data_ptr() not in own:
            copied |= tensor.shape in shapes
            sizes[memory.data_ptr()] = memory.nbytes()
        return tensor

    noted = torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor)
    with noted, torch.autocast("cpu", torch.bfloat16):
        assert model.base_model(input_ids=causal_models.texts(7))[0].requires_grad
    return sum(sizes.values()), copied


def test_a_pass_keeps_less_and_no_copy_of_weights():
    fused, plain = adapted(), adapted()
    fuse_adapters(fused)
    ours, copied = kept(fused)
    theirs, copied_by_peft = kept(plain)
    assert copied_by_peft and not copied
    assert ours < 0.85 * theirs  # what lies between the layers is kept by both


def test_without_gradients_or_with_adapters_off_it_is_peft_to_the_bit():
    fused, plain = adapted(), adapted()
    fuse_adapters(fused)
    tokens = causal_models.texts(3)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(fused(input_ids=tokens).logits, plain(input_ids=tokens).logits)
    for layer in [layer for model in (fused, plain) for layer in model.modules() if hasattr(layer, "lora_A")]:
        layer.enable_adapters(False)
    assert torch.equal(fused(input_ids=tokens).logits, plain(input_ids=tokens).logits)


def test_layers_that_train_themselves_or_drop_inputs_stay_pefts():
    model = adapted()
    layers = [m for m in model.modules() if hasattr(m, "lora_A")]
    layers[0].get_base_layer().weight.requires_grad_(True)
    layers[1].lora_dropout["default"] = torch.nn.Dropout(0.5)
    fuse_adapters(model)
    assert ["forward" in vars(layer) for layer in layers] == [False, False] + [True] * (len(layers) - 2)
    plain = causal_models.untrained("llama")
    fuse_adapters(plain)
    assert not any("forward" in vars(module) for module in plain.modules())
