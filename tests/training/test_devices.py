"""What training asks of a GPU, tried without one.

`meta` is a device whose tensors have no values: who waits for one, or computes with it and the CPU's, gets an error.
"""

import os
from dataclasses import replace
from functools import partial

import pytest
import tiny
import torch
import transformers
from recorded_run import objective_of

from lethe.models.fused import fuse
from lethe.objectives import contrastive_unlearning, deepcut
from lethe.params.training import Training
from lethe.system import plugins
from lethe.training.frozen import as_frozen
from lethe.training.numerics import adapt_blocks, one_order

GENERATION = [
    name
    for name in plugins.able("objectives", "generation")
    if "loss" in plugins.functions_in("objectives", name)
    # look up what they have computed by the tokens; read a loss of the original; fit a gate on the host
    and name not in ("icu", "icu_tokens", "icu_matched", "pdu", "o3")
]


@pytest.mark.parametrize("name", GENERATION)
def test_a_pass_forth_and_back_waits_for_nothing_and_stays_on_its_device(name):
    model, original = (tiny.language_model().to("meta") for _ in range(2))
    fuse(model)
    objective = objective_of(plugins.imported("objectives", name), as_frozen(original))
    rows = replace(tiny.rows(3), starts=torch.full((3,), 2)).to("meta")
    batch = dict.fromkeys(objective.terms.values(), rows)
    terms = objective.loss(objective.hyper, model, objective.frozen, batch)
    sum(term.mean() for term in terms.values()).backward()
    assert {p.grad.device.type for p in model.parameters() if p.grad is not None} == {"meta"}


def test_all_of_many_blocks_run_compiled_at_any_length(monkeypatch):
    """Beyond 8 versions of one function, torch compiles no more of it."""
    ran = []

    def backend(graph, inputs):
        def run(*arguments):
            ran.append(1)
            return graph.forward(*arguments)

        return run

    config = transformers.GPTNeoConfig(
        vocab_size=7, hidden_size=4, num_layers=10, num_heads=1, attention_types=[[["global", "local"], 5]],
        window_size=4, max_position_embeddings=16, use_cache=False,
    )  # fmt: skip
    model = transformers.GPTNeoForCausalLM(config).eval()
    fuse(model)
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend=backend))
    adapt_blocks(model, Training(compile=True))
    torch._dynamo.reset()
    for length in (5, 9):
        ran.clear()
        model(torch.ones(2, length, dtype=torch.long))
        assert len(ran) == 10
    torch._dynamo.reset()


def test_backward_passes_of_a_gpu_alone_are_told_to_add_in_one_order(monkeypatch):
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    with one_order(torch.device("cpu")):
        assert not torch.are_deterministic_algorithms_enabled()
    with one_order(torch.device("cuda")):
        assert torch.are_deterministic_algorithms_enabled()
        assert not torch.is_deterministic_algorithms_warn_only_enabled()  # else attention ignores it
        assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"
    assert not torch.are_deterministic_algorithms_enabled()
    assert torch.utils.deterministic.fill_uninitialized_memory


@pytest.mark.parametrize("objective", [contrastive_unlearning, deepcut], ids=["contrastive", "deepcut"])
def test_a_contrast_has_no_less_precision_under_autocast(objective):
    """At a temperature of 0.05, bf16 rounds similarities by up to 0.03."""
    vectors = torch.nn.functional.normalize(torch.randn(12, 8, generator=torch.manual_seed(0)), dim=1)
    y = torch.arange(12) % 3
    plain = objective.contrast(vectors[:5], y[:5], vectors[5:], y[5:], 0.05)[0]
    with torch.autocast("cpu", torch.bfloat16):
        under = objective.contrast(vectors[:5], y[:5], vectors[5:], y[5:], 0.05)[0]
    assert torch.equal(under, plain)
