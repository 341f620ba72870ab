"""Adapters beside a frozen base in 4 bits; layers of whole numbers stand in for bitsandbytes, which needs a GPU."""

import math

import pandas as pd
import pytest
import torch
from test_weights import go, study
from torch.nn.functional import linear

from lethe import models
from lethe.models import adapters, four_bits, loading, pretrained
from lethe.system.errors import InputError

GPU = torch.device("cuda", 0)
KEPT = {"rank": 2, "merge": False}


class Packed(torch.nn.Linear):
    """A linear layer of whole numbers, of which 1 stands for 0.01."""

    def pack(self) -> None:
        whole = (self.weight.detach() * 100).round().clamp(-128, 127).to(torch.int8)
        self.weight = torch.nn.Parameter(whole, requires_grad=False)

    def forward(self, x):
        return linear(x, self.weight.to(x.dtype) / 100, self.bias)


@pytest.fixture
def packing(tmp_path, monkeypatch):
    """A study, whose original is loaded as on a GPU; returns what it was asked to be loaded with."""
    study(tmp_path, "generation")
    monkeypatch.setattr(four_bits, "find_spec", lambda name: name)
    asked, load_model = [], pretrained.load_model

    def load(*given, dtype, quantization_config=None, device_map=None):
        model, found = load_model(*given, dtype=dtype)
        if quantization_config:
            asked.append((quantization_config, device_map))
            for name in adapters.linear_layers(model):
                layer = model.get_submodule(name)
                layer.__class__ = Packed
                layer.pack()
        return model, found

    monkeypatch.setattr(pretrained, "load_model", load)
    monkeypatch.setattr(loading.four_bits, "options", lambda _, own=four_bits.options: own(GPU))
    return asked


def test_adapters_learn_beside_packed_weights(packing, tmp_path, monkeypatch):
    """Of NPO the first term begins at 2 log 2 / β, which is so if the frozen model is the one that begins."""
    seen, save = {}, adapters.save

    def watched(model, folder, base):
        seen.update(model.named_parameters())
        save(model, folder, base)

    monkeypatch.setattr(adapters, "save", watched)
    folder = go(tmp_path, "npo", weights="nf4", objective="npo", lora=KEPT, learning_rate=0.1)
    assert {name for name, p in seen.items() if p.requires_grad} == {n for n in seen if ".lora_" in n}
    packed = [p for p in seen.values() if p.dtype == torch.int8]
    assert len(packed) == len([n for n in seen if ".lora_A." in n]) > 0
    assert {p.dtype for p in seen.values() if not p.requires_grad} == {torch.int8, torch.bfloat16}
    trace = pd.read_csv(folder.parent / "trace.csv")
    assert trace["forget"].iloc[0] == pytest.approx(2 * math.log(2) / 0.1)
    assert not (folder / "model.safetensors").exists() and (folder / "adapter_model.safetensors").exists()
    before, after = (models.load(f, "generation")[0] for f in (tmp_path / "original", folder))
    changed = [n for n, p in after.named_parameters() if not torch.equal(p, before.get_parameter(n))]
    assert len(changed) == len(packed)


def test_it_is_bitsandbytes_nf4_on_the_gpu(packing, tmp_path):
    go(tmp_path, "out", weights="nf4", lora=KEPT)
    ((config, place),) = packing
    assert (config.load_in_4bit, config.bnb_4bit_quant_type, config.bnb_4bit_use_double_quant) == (
        True,
        "nf4",
        True,
    )
    assert config.bnb_4bit_compute_dtype == torch.bfloat16 and place == {"": GPU}


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({}, "methods.out.training.lora: .* needs {merge: false}"),
        ({"lora": {"rank": 2}}, "methods.out.training.lora: .* needs {merge: false}"),
        ({"lora": KEPT, "objective": "task_vector"}, "model.weights: nf4; the method merges"),
    ],
)
def test_nothing_but_adapters_trains(packing, tmp_path, more, words):
    with pytest.raises(InputError, match=words):
        go(tmp_path, "out", weights="nf4", **more)


@pytest.mark.parametrize(
    ("device", "words"), [("cpu", "there is no GPU"), ("cuda", r"pip install 'lethe\[gpu\]'")]
)
def test_what_is_missing_is_said_in_one_line(monkeypatch, device, words):
    monkeypatch.setattr(four_bits, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=f"^model.weights: nf4; .*{words}") as error:
        four_bits.options(torch.device(device))
    assert "\n" not in str(error.value)


def test_without_a_gpu_the_run_ends_in_one_line(tmp_path):
    study(tmp_path, "generation")
    with pytest.raises(InputError, match=r"model.weights: nf4; there is no GPU"):
        go(tmp_path, "out", weights="nf4", lora=KEPT)
