"""Models are built from a seed, saved and loaded to the bit, and nothing about them is silently replaced."""

from dataclasses import replace

import pytest
import tiny
import torch
import transformers
from pydantic import ValidationError
from safetensors.torch import load_file, save_file

from lethe import models
from lethe.params.model import Model
from lethe.params.training import Training
from lethe.system.errors import InputError
from lethe.training.optimizer import build_optimizer

TEXTS = ["the record of 1234 and 4567", "another record, of 12 and the 3rd", "the others"] * 3
OPTIONS = {
    "tiny-gpt-neo": {"hidden_size": 16, "num_layers": 2, "num_heads": 2, "vocab_size": 300},
    "tiny-bert": {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "vocab_size": 300},
}
TASK = {"tiny-gpt-neo": "generation", "tiny-bert": "classification"}


def built(source="tiny-gpt-neo", seed=0, **changes):
    cfg = Model(source=source, **({"options": OPTIONS.get(source, {}), "max_length": 24} | changes))
    classes = ["a", "b", "c"] if TASK.get(source, "classification") == "classification" else []
    return models.base(cfg, TASK.get(source, "classification"), classes, TEXTS, seed)


def logits(model) -> torch.Tensor:
    ids = torch.arange(5, 15).view(2, 5)
    with torch.no_grad():
        return model.eval()(input_ids=ids, attention_mask=torch.ones_like(ids)).logits


@pytest.mark.parametrize("source", list(OPTIONS))
def test_tiny_models_depend_on_the_seed_alone(source):
    (one, words), (same, same_words), (other, _) = (built(source, seed) for seed in (1, 1, 2))
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), same.parameters(), strict=True))
    assert not torch.equal(logits(one), logits(other))
    assert words.get_vocab() == same_words.get_vocab()
    assert one.config.vocab_size == len(words)


@pytest.mark.parametrize("source", list(OPTIONS))
def test_saved_and_loaded_models_have_equal_bits(tmp_path, source):
    model, tokenizer = built(source)
    models.save(model, tokenizer, tmp_path / "model")
    loaded, same = models.load(tmp_path / "model", TASK[source])
    assert not loaded.training
    assert torch.equal(logits(loaded), logits(model))
    assert same(TEXTS)["input_ids"] == tokenizer(TEXTS)["input_ids"]
    assert (same.pad_token_id, same.eos_token_id) == (tokenizer.pad_token_id, tokenizer.eos_token_id)
    models.save(loaded, same, tmp_path / "again")
    assert (
        load_file(tmp_path / "model/model.safetensors").keys()
        == load_file(tmp_path / "again/model.safetensors").keys()
    )
    assert (tmp_path / "model/model.safetensors").read_bytes() == (
        tmp_path / "again/model.safetensors"
    ).read_bytes()


def test_digits_stand_alone_and_text_comes_back():
    _, tokenizer = built()
    tokens = tokenizer.tokenize(TEXTS[0])
    digits = [token for token in tokens if any(c.isdigit() for c in token)]
    assert digits == list("12344567")
    text = "ünknown – words 7,5"
    assert tokenizer.decode(tokenizer(text)["input_ids"]) == text


def test_a_tiny_encoder_frames_its_text():
    _, tokenizer = built("tiny-bert")
    ids = tokenizer("the record")["input_ids"]
    assert (ids[0], ids[-1]) == (tokenizer.cls_token_id, tokenizer.sep_token_id)
    assert tokenizer.decode(ids[1:-1]) == "the record"


def saved(folder, source="tiny-bert", seed=0):
    model, tokenizer = built(source, seed)
    models.save(model, tokenizer, folder)
    return model


def one_line(raised, *parts):
    line = str(raised.value)
    assert "\n" not in line
    assert [part for part in parts if part not in line] == []


@pytest.mark.parametrize("damage", ["torn", "config", "tokenizer", "empty", "missing"])
def test_a_damaged_folder_is_named_in_one_line(tmp_path, damage):
    folder = tmp_path / "model"
    if damage != "missing":
        saved(folder)
    weights = folder / "model.safetensors"
    if damage == "torn":
        weights.write_bytes(weights.read_bytes()[:1000])
    elif damage == "empty":
        weights.write_bytes(b"")
    elif damage in ("config", "tokenizer"):
        (folder / f"{damage}.json").write_text("{")
    with pytest.raises(InputError) as raised:
        models.load(folder, "classification")
    one_line(raised, str(folder), "make it again")
    if damage != "missing":
        with pytest.raises(InputError) as raised:
            built(str(folder), options={})
        one_line(raised, "model.source", str(folder))


def without(folder, name):
    """Take a tensor out of the saved weights."""
    weights = load_file(folder / "model.safetensors")
    del weights[name]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def test_weights_that_lack_are_not_drawn_unseen(tmp_path):
    saved(tmp_path / "head")
    without(tmp_path / "head", "classifier.weight")
    with pytest.raises(InputError) as raised:
        models.load(tmp_path / "head", "classification")
    one_line(raised, "classifier.weight")
    built(str(tmp_path / "head"), options={})  # a head may be drawn for a base model
    saved(tmp_path / "inside")
    without(tmp_path / "inside", "bert.encoder.layer.0.output.dense.weight")
    with pytest.raises(InputError) as raised:
        built(str(tmp_path / "inside"), options={})
    one_line(raised, "bert.encoder.layer.0.output.dense.weight")


def test_a_local_folder_as_base_keeps_its_body_and_draws_a_head_for_other_classes(tmp_path):
    source = saved(tmp_path / "model")
    cfg = Model(source=str(tmp_path / "model"), max_length=24)
    first, second, third = (models.base(cfg, "classification", ["x", "y"], [], seed)[0] for seed in (5, 5, 6))
    body = zip(source.bert.parameters(), first.bert.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in body)
    assert first.classifier.weight.shape == (2, 16)
    assert torch.equal(first.classifier.weight, second.classifier.weight)
    assert not torch.equal(first.classifier.weight, third.classifier.weight)
    same, tokenizer = models.base(cfg, "classification", ["a", "b", "c"], [], 0)
    assert torch.equal(logits(same), logits(source))
    assert tokenizer("the record")["input_ids"][0] == tokenizer.cls_token_id


def test_a_tokenizer_without_pad_and_beginning_gets_its_end_for_both(tmp_path):
    model, tokenizer = built()
    tokenizer.pad_token = tokenizer.bos_token = None
    models.save(model, tokenizer, tmp_path / "model")
    _, loaded = models.load(tmp_path / "model", "generation")
    assert loaded.pad_token_id == loaded.bos_token_id == loaded.eos_token_id == 0


@pytest.mark.parametrize(
    ("source", "changes", "parts"),
    [
        ("no such model", {}, ["model.source", "no such model", "tiny-gpt-neo", "a folder"]),
        ("tiny-gpt-neo", {"options": {"num_layers": 3}}, ["model.options", "num_layers", "3"]),
        ("tiny-gpt-neo", {"options": {"hidden_size": 30, "num_heads": 4}}, ["model.options", "30"]),
        ("tiny-gpt-neo", {"tokenizer": "no/folder"}, ["tokenizer", "no/folder"]),
        ("minilm", {"tokenizer": "no/folder"}, ["model.tokenizer", "no/folder", "tiny-gpt-neo"]),
    ],
    ids=lambda value: str(value)[:30],
)
def test_what_cannot_be_built_is_one_line(source, changes, parts):
    with pytest.raises(InputError) as raised:
        built(source, **({"options": {}} | changes))
    one_line(raised, *parts)


@pytest.mark.parametrize(
    ("source", "key", "value", "words"),
    [
        ("tiny-bert", "hiden_size", 32, "options.hiden_size: unknown key; allowed are"),
        ("tiny-bert", "hidden_size", "wide", 'options.hidden_size: "wide"'),
        ("tiny-gpt-neo", "vocab_size", "all", 'options.vocab_size: "all"'),
        ("tiny-gpt-neo", "num_heads", 0, "options.num_heads: 0"),
        ("tiny-bert", "hidden_size", -4, "options.hidden_size: -4"),
    ],
)
def test_options_that_no_model_has_are_found_with_the_parameters(source, key, value, words):
    with pytest.raises(ValidationError, match=words):
        Model(source=source, options={key: value})


@pytest.mark.parametrize(("source", "task"), [("tiny-bert", "generation"), ("tiny-gpt-neo", "tagging")])
def test_a_tiny_model_of_another_task_is_one_line(source, task):
    with pytest.raises(InputError) as raised:
        models.base(Model(source=source), task, ["a", "b"] * (task == "tagging"), TEXTS, 0)
    one_line(raised, "model.source", source, f"not for {task}", *set(OPTIONS) - {source})


CONTEXT = {"bert": 24, "roberta": 22}  # of 24 positions; RoBERTa's begin after its pad, which is 1


@pytest.mark.parametrize("kind", CONTEXT)
def test_a_text_may_be_as_long_as_the_model_has_positions(tmp_path, kind):
    _, tokenizer = built("tiny-bert")
    config = transformers.AutoConfig.for_model(
        kind, vocab_size=len(tokenizer), hidden_size=16, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=16, max_position_embeddings=24, pad_token_id=1,
    )  # fmt: skip
    model = transformers.AutoModelForSequenceClassification.from_config(config)
    models.save(model, tokenizer, tmp_path / kind)
    most = CONTEXT[kind]
    model, _ = built(str(tmp_path / kind), max_length=most)
    model(input_ids=torch.full((1, most), 7))
    with pytest.raises((IndexError, RuntimeError)):  # the architecture itself has no more
        model(input_ids=torch.full((1, most + 1), 7))
    with pytest.raises(InputError) as raised:
        built(str(tmp_path / kind), max_length=most + 1)
    one_line(raised, "model.max_length", str(most + 1), f"2 to {most}")


def test_an_architecture_without_positions_reads_texts_of_any_length():
    config = transformers.XLNetConfig(vocab_size=9, d_model=8, n_layer=1, n_head=2, d_inner=8)
    assert models.context(transformers.XLNetModel(config)) is None


def test_a_tokenizer_that_knows_more_than_its_model_or_cannot_pad_is_one_line(tmp_path):
    model, tokenizer = built("tiny-bert")
    tokenizer.add_special_tokens({"pad_token": "<new>"})
    models.save(model, tokenizer, tmp_path / "model")
    with pytest.raises(InputError) as raised:
        built(str(tmp_path / "model"))
    one_line(raised, "model.source", f"token {len(tokenizer) - 1}", f"knows {len(tokenizer) - 1}")
    model, tokenizer = built("tiny-bert")
    tokenizer.pad_token = None
    models.save(model, tokenizer, tmp_path / "model")
    with pytest.raises(InputError) as raised:
        built(str(tmp_path / "model"))
    one_line(raised, "model.source", "neither a pad nor an end")


def test_a_decoder_classifies_texts_of_several_lengths(tmp_path):
    _, tokenizer = built()
    config = transformers.GPT2Config(
        vocab_size=len(tokenizer),
        n_embd=16,
        n_layer=1,
        n_head=2,
        n_positions=24,
        bos_token_id=0,
        eos_token_id=0,
    )
    models.save(transformers.GPT2ForSequenceClassification(config), tokenizer, tmp_path / "model")
    assert models.load(tmp_path / "model", "classification")[0].config.pad_token_id == 0
    model, tokenizer = built(str(tmp_path / "model"))
    short, long = torch.tensor([[5, 6, 0, 0]]), torch.tensor([[5, 6, 7, 8]])
    both = model.eval()(input_ids=torch.cat([short, long])).logits
    alone = torch.cat([model(input_ids=short[:, :2]).logits, model(input_ids=long).logits])
    torch.testing.assert_close(both, alone)


def test_a_package_that_is_not_installed(monkeypatch):
    absent = replace(models.PACKAGED["minilm"], module="a_package_that_is_not_installed")
    monkeypatch.setitem(models.PACKAGED, "minilm", absent)
    with pytest.raises(InputError, match="a_package_that_is_not_installed is not installed; get it by `pip "):
        built("minilm", options={})


def test_frozen_prefixes():
    model = tiny.classifier()
    models.freeze(model, ["bert.embeddings", "bert.encoder.layer.0"])
    frozen = {name for name, p in model.named_parameters() if not p.requires_grad}
    assert frozen == {
        name
        for name, _ in model.named_parameters()
        if name.startswith(("bert.embeddings.", "bert.encoder.layer.0."))
    }
    with pytest.raises(InputError, match=r"model.freeze: berd: .*bert.embeddings"):
        models.freeze(model, ["berd"])
    models.freeze(model, ["bert", "classifier"])
    with pytest.raises(InputError, match=r"model.freeze: no parameter is left"):
        build_optimizer(model, Training())


def test_a_gpu_that_is_not_used_is_named_once(monkeypatch, caplog):
    models.warn_of_gpus.cache_clear()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert models.device() == torch.device("cpu") and not caplog.messages
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
    assert [models.device() for _ in range(2)] == [torch.device("cpu")] * 2
    assert len(caplog.messages) == 1 and "GPU 3: PyTorch" in caplog.messages[0]
