"""What the benchmark of training counts and compares, where a CPU can tell."""

import runpy
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

FILE = Path(__file__).parents[1] / "benchmarks" / "training.py"


@pytest.fixture(scope="module")
def benchmark():
    return SimpleNamespace(**runpy.run_path(str(FILE)))


@pytest.mark.parametrize("length", [32, 256, 700])
def test_a_token_attends_to_those_before_it_in_its_window(benchmark, length):
    """Counted token by token, where a token counts itself half, as the causal half of a square does."""
    counted = sum(min(place + 0.5, benchmark.WINDOW) for place in range(length)) / length
    assert benchmark.in_window(length) == pytest.approx(counted, abs=1e-3)


def test_operations_of_a_step_worked_by_hand(benchmark):
    """2 layers of width 2 and 5 words: 106 weights in products; 4 tokens attend to 2 on average, in both layers."""
    shape = benchmark.Shape("hand", 2, 2, 1, 5, {})
    forward = 2 * 106 + 2 * (2 * 2 * 2 * 2)  # products of queries and keys, and of weights and values
    assert shape.operations("finetune", 3, 4) == 12 * 3 * forward
    assert shape.operations("npo", 3, 4) == 12 * (2 * 3 * forward + forward)
    assert shape.operations("icu", 3, 4) == 12 * (2 * 3 * forward + 2 * 10)


def test_the_frozen_model_of_the_trainer_computes_in_bf16_too(benchmark, monkeypatch):
    plain = benchmark.per_text
    seen = []

    def watched(model, tokens):
        seen.append(torch.is_autocast_enabled("cpu"))
        return plain(model, tokens)

    monkeypatch.setitem(benchmark.trainer.__globals__, "per_text", watched)
    monkeypatch.setitem(benchmark.trainer.__globals__, "STEPS", 1)
    shape = benchmark.Shape("small", 2, 8, 2, 17, {})
    seconds, _ = benchmark.trainer(shape, "npo", 2, 6, torch.device("cpu"))
    assert seconds > 0 and seen == [True] * 4


def test_what_does_not_fit_into_memory_is_no_number(benchmark):
    def way(*_):
        raise torch.OutOfMemoryError("CUDA out of memory")

    assert str(benchmark.within_memory(way, 1)) == "(nan, nan)"
