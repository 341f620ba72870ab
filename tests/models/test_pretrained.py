"""Folders of strangers: their Python never runs, nobody is asked, no pickle is read, and what a text needs is there."""

import builtins
import contextlib
import json

import pytest
import torch
from causal_models import untrained
from test_loading import TEXTS, built, one_line, saved

from lethe import models
from lethe.data.encoding import Encoded, padded_rows
from lethe.params.study import Model
from lethe.system.errors import InputError


def with_config(folder, name="config.json", **changes):
    file = folder / name
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def as_base(folder, task="generation"):
    return models.base(Model(source=str(folder), max_length=24), task, [], TEXTS, 0)


LOADERS = {
    "judged": lambda folder: models.load(folder, "generation", "main"),
    "own": lambda folder: models.load(folder, "generation"),
    "base": as_base,
    "encoder": lambda folder: models.encoder(str(folder)),
}


@pytest.mark.parametrize("of", ["model", "tokenizer"])
@pytest.mark.parametrize("loader", LOADERS)
def test_a_folders_own_python_does_not_run_and_nobody_is_asked(loader, of, tmp_path, monkeypatch):
    saved(tmp_path / "model", "tiny-gpt-neo")
    folder, ran = tmp_path / "model", tmp_path / "ran"
    (folder / "evil.py").write_text(f"open({str(ran)!r}, 'w')\nfrom transformers import GPT2Config as C\n")
    if of == "model":
        classes = dict.fromkeys(("AutoConfig", "AutoModel", "AutoModelForCausalLM"), "evil.C")
        with_config(folder, auto_map=classes, model_type="evil")
    else:
        with_config(
            folder,
            "tokenizer_config.json",
            auto_map={"AutoTokenizer": ["evil.C", None]},
            tokenizer_class="Own",
        )
    asked = []
    monkeypatch.setattr(builtins, "input", lambda *_: asked.append("input") or "y")
    monkeypatch.setattr("signal.alarm", lambda *_: asked.append("alarm"))
    with contextlib.suppress(InputError):
        LOADERS[loader](folder)
    assert not asked and not ran.exists()


@pytest.mark.parametrize("loader", LOADERS)
def test_pickled_weights_are_not_read(loader, tmp_path):
    model = saved(tmp_path / "model", "tiny-gpt-neo")
    (tmp_path / "model/model.safetensors").unlink()
    torch.save(model.state_dict(), tmp_path / "model/pytorch_model.bin")
    with pytest.raises(InputError) as raised:
        LOADERS[loader](tmp_path / "model")
    one_line(raised, str(tmp_path / "model"))


def test_pickled_weights_of_a_sentence_encoder_are_not_read(tmp_path):
    from lethe.data.pairing import sentence_encoder
    from lethe.params.forget import Pairing

    model = saved(tmp_path / "model")
    pairing = Pairing(embedding=str(tmp_path / "model"))
    assert sentence_encoder(TEXTS, pairing).shape == (len(TEXTS), 16)
    (tmp_path / "model/model.safetensors").unlink()
    torch.save(model.state_dict(), tmp_path / "model/pytorch_model.bin")
    with pytest.raises(InputError) as raised:
        sentence_encoder(TEXTS, pairing)
    one_line(raised, "forget.pairing.embedding", str(tmp_path / "model"))


def adapter(folder, whole: bool):
    """A folder of an adapter as peft saves it, with its own tokenizer; `whole`, beside a copy of its base model."""
    from peft import LoraConfig, get_peft_model

    model, tokenizer = built()
    models.save(model, tokenizer, folder / "base")
    torch.manual_seed(0)
    config = LoraConfig(r=2, init_lora_weights=False, target_modules=["q_proj"], task_type="CAUSAL_LM")
    adapted = get_peft_model(model, config)
    adapted.peft_config["default"].base_model_name_or_path = str(folder / "base")
    if whole:
        models.save(built()[0], tokenizer, folder / "adapter")
    adapted.save_pretrained(folder / "adapter")
    tokenizer.save_pretrained(folder / "adapter")
    return adapted.merge_and_unload()


@pytest.mark.parametrize("whole", [False, True])
def test_an_adapter_is_judged_with_its_base_and_its_pickled_weights_are_not_read(whole, tmp_path):
    merged = adapter(tmp_path, whole)
    ids = torch.arange(5, 15).view(2, 5)
    model, _ = models.load(tmp_path / "adapter", "generation", "main")
    with torch.no_grad():
        torch.testing.assert_close(model(ids).logits, merged(ids).logits)
    file = tmp_path / "adapter/adapter_model.safetensors"
    from safetensors.torch import load_file

    torch.save(load_file(file), file.with_suffix(".bin"))
    file.unlink()
    with pytest.raises(InputError) as raised:
        models.load(tmp_path / "adapter", "generation", "main")
    one_line(raised, "adapter_model.safetensors", "pickled weights are not read")


@pytest.mark.parametrize("whole", [False, True])
def test_an_adapter_is_the_base_of_a_study_as_if_it_had_been_merged(whole, tmp_path):
    merged = adapter(tmp_path, whole)
    model, _ = as_base(tmp_path / "adapter")
    expected = merged.state_dict()
    assert model.state_dict().keys() == expected.keys()
    for name, weight in model.state_dict().items():
        torch.testing.assert_close(weight, expected[name])
    models.save(model, models.tokenizer(tmp_path / "adapter"), tmp_path / "again")
    assert (tmp_path / "again/model.safetensors").is_file()
    assert not (tmp_path / "again/adapter_config.json").exists()


def test_a_kernel_that_a_file_names_is_not_fetched(tmp_path):
    saved(tmp_path / "model", "tiny-gpt-neo")
    with_config(tmp_path / "model", attn_implementation="someone/kernel")
    model, _ = models.load(tmp_path / "model", "generation", "main")
    assert "/" not in str(model.config._attn_implementation)


@pytest.mark.parametrize(
    "content",
    [
        "[]",
        "null",
        '{"members": [], "rule": "mean", "options": {}}',
        '{"members": ["../model"], "rule": "mean", "options": {}}',
        '{"members": ["a"], "rule": "nosuch", "options": {}}',
        '{"members": ["a"], "rule": "offset", "options": {}}',
        '{"members": 3}',
        "\xff",
    ],
)
def test_a_composed_model_that_cannot_be_read_is_one_line(content, tmp_path):
    saved(tmp_path / "model")
    (tmp_path / "model/composed.json").write_text(content, encoding="latin-1")
    with pytest.raises(InputError) as raised:
        models.load(tmp_path / "model", "classification")
    one_line(raised, "composed.json", "make it again")


@pytest.mark.parametrize("source", ["tiny-bert", "tiny-gpt-neo"])
def test_a_pad_that_the_model_does_not_know_is_named_where_it_is_read(source, tmp_path):
    model, tokenizer = built(source)
    known = len(tokenizer)
    tokenizer.add_special_tokens({"pad_token": "<new>"})
    models.save(model, tokenizer, tmp_path / "model")
    if source == "tiny-gpt-neo":  # no token sees a pad
        assert models.load(tmp_path / "model", "generation", "main")[1].pad_token_id == known
        return
    with pytest.raises(InputError) as raised:
        models.load(tmp_path / "model", "classification", "main")
    one_line(raised, str(tmp_path / "model"), f"token {known}", f"knows {known}")


def test_a_token_that_the_model_has_no_vector_for_is_named_with_its_record():
    model = untrained("gpt2")  # 31 tokens
    good = [[1, 2, 30], [3, 4]]
    models.check_tokens(model, Encoded(["a", "b"], padded_rows(good, pad=99)))  # pads are not read
    with pytest.raises(InputError) as raised:
        models.check_tokens(model, Encoded(["a", "b", "c"], padded_rows([*good, [5, 31, 40]], pad=0)))
    one_line(raised, "record 'c'", "token 31", "knows 31", "1 such records")
    with pytest.raises(InputError) as raised:
        models.check_tokens(model, Encoded(["a", "b"], padded_rows([[1], []], pad=0)))
    one_line(raised, "record 'b'", "no token")


def test_a_decoder_finds_the_end_of_a_text_by_the_pads_of_its_rows(tmp_path):
    """Also where its settings name another token."""
    import transformers

    _, tokenizer = built()
    config = transformers.GPT2Config(
        vocab_size=len(tokenizer), n_embd=16, n_layer=1, n_head=2, n_positions=24, pad_token_id=7
    )  # fmt: skip
    models.save(transformers.GPT2ForSequenceClassification(config), tokenizer, tmp_path / "model")
    model, _ = models.load(tmp_path / "model", "classification", "main")
    assert model.config.pad_token_id == tokenizer.pad_token_id == 0
