"""Weights keep the type they had; adapters are read and left as PEFT does; folders of all kinds work."""

import json

import pytest
import torch
import transformers
from peft import IA3Config, LoraConfig, PeftModel, PromptTuningConfig, get_peft_model
from safetensors.torch import load_file
from test_loading import TEXTS, built, one_line
from test_unlearn import CFG, study

from lethe import models
from lethe.models import pretrained
from lethe.params.model import Model
from lethe.system import plugins
from lethe.system.errors import InputError
from lethe.training import checkpoints
from lethe.training.job import Job
from lethe.training.run import Run
from lethe.unlearn import unlearn

IDS = torch.arange(5, 15).view(2, 5)
TASK_TYPE = {"generation": "CAUSAL_LM", "classification": "SEQ_CLS"}


def logits(model) -> torch.Tensor:
    with torch.no_grad():
        return model.eval()(input_ids=IDS, attention_mask=torch.ones_like(IDS)).logits


def go(
    folder,
    name: str,
    task: str = "generation",
    weights: str = "auto",
    objective="gradient_ascent",
    **training,
):
    recipe = {"epochs": 2, "learning_rate": 1e-2, "batch": {"forget": 2, "retain": 2}, **training}
    cfg = {"task": task, "model": CFG[task] | {"weights": weights}, "finetune": {"batch": {"retain": 2}}}
    cfg["method"] = {"objective": objective, "training": recipe}
    job = Job(cfg, 1, name, folder / name, folder / f"{name}.state", None)
    unlearn(job, folder, folder, *[folder / "original"] * 2)
    return folder / name / "model"


def in_16_bits(folder):
    """The original of a study, rounded."""
    model, tokenizer = models.load(folder / "original", "generation")
    model.saved_type = torch.bfloat16
    models.save(model, tokenizer, folder / "original")
    return load_file(folder / "original/model.safetensors")


def types(weights) -> set[torch.dtype]:
    return {tensor.dtype for tensor in weights.values()}


def test_a_model_in_16_bits_is_trained_in_32_and_saved_in_16(tmp_path):
    study(tmp_path, "generation")
    before = in_16_bits(tmp_path)
    found = {w: load_file(go(tmp_path, w, weights=w) / "model.safetensors") for w in ("auto", "fp32", "bf16")}
    assert types(before) == types(found["auto"]) == types(found["bf16"]) == {torch.bfloat16}
    assert types(found["fp32"]) == {torch.float32}
    for name, weight in found["fp32"].items():
        assert torch.equal(weight.bfloat16(), found["auto"][name])
    assert not all(torch.equal(found["auto"][name], found["bf16"][name]) for name in before)
    config = json.loads((tmp_path / "auto/model/config.json").read_text())
    assert config["dtype"] == "bfloat16"


def test_a_source_that_is_not_trained_keeps_its_bits(tmp_path):
    model, tokenizer = built()
    model.saved_type = torch.bfloat16
    models.save(model, tokenizer, tmp_path / "source")
    config = tmp_path / "source/config.json"
    content = json.loads(config.read_text())
    for known in (True, False):  # files of older versions do not name the type
        config.write_text(
            json.dumps(content if known else {k: v for k, v in content.items() if k != "dtype"})
        )
        assert pretrained.stored_type(str(tmp_path / "source"), {}) == torch.bfloat16
        cfg = Model(source=str(tmp_path / "source"), max_length=24)
        taken, _ = models.base(cfg, "generation", [], TEXTS, 0, frozen=True)
        assert taken.dtype == torch.bfloat16
        models.save(taken, tokenizer, tmp_path / "taken")
        source, saved = (load_file(tmp_path / name / "model.safetensors") for name in ("source", "taken"))
        assert source.keys() == saved.keys() and all(
            torch.equal(source[name], saved[name]) for name in source
        )
    whole, _ = models.base(cfg.model_copy(update={"weights": "fp32"}), "generation", [], TEXTS, 0)
    models.save(whole, tokenizer, tmp_path / "whole")
    assert types(load_file(tmp_path / "whole/model.safetensors")) == {torch.float32}


def test_beside_adapters_weights_of_16_bits_stay_and_the_adapters_have_32(tmp_path, monkeypatch):
    study(tmp_path, "generation")
    before = in_16_bits(tmp_path)
    seen = {}
    save = Run.save

    def watched(self, model):
        seen.update({name: p.dtype for name, p in model.named_parameters()})
        save(self, model)

    monkeypatch.setattr(Run, "save", watched)
    folder = go(
        tmp_path, "out", objective="kl_minimisation", lora={"rank": 2, "merge": False}, learning_rate=0.1
    )
    assert {kind for name, kind in seen.items() if ".lora_" in name} == {torch.float32}
    assert {kind for name, kind in seen.items() if ".lora_" not in name} == {torch.bfloat16}
    merged, _ = models.load(folder, "generation", weights="auto", frozen=True)
    same = [name for name, p in merged.named_parameters() if torch.equal(p, before[name])]
    assert merged.dtype == torch.bfloat16 and 0 < len(same) < len(before)


@pytest.mark.parametrize("task", ["generation", "classification"])
def test_adapters_that_are_kept_are_peft_s_and_equal_to_those_that_are_merged(tmp_path, task):
    study(tmp_path, task)
    objective = {"generation": "npo", "classification": "gradient_difference"}[task]
    whole = go(tmp_path, "whole", task, objective=objective, lora={"rank": 2}, learning_rate=0.1)
    kept = go(
        tmp_path, "kept", task, objective=objective, lora={"rank": 2, "merge": False}, learning_rate=0.1
    )
    assert not (kept / "model.safetensors").exists() and not (kept / "config.json").exists()
    expected = models.load(whole, task)[0]
    torch.testing.assert_close(logits(models.load(kept, task)[0]), logits(expected))
    assert not torch.allclose(logits(models.load(tmp_path / "original", task)[0]), logits(expected))
    base = plugins.part("tasks", task, "MODEL").from_pretrained(tmp_path / "original")
    torch.testing.assert_close(logits(PeftModel.from_pretrained(base, kept)), logits(expected))
    assert models.tokenizer(kept)(TEXTS)["input_ids"] == models.tokenizer(whole)(TEXTS)["input_ids"]


def test_beside_adapters_the_frozen_model_has_no_weight_of_its_own(tmp_path):
    """Not even the head, which no adapter stands beside."""
    study(tmp_path, "generation")
    tokenizer = models.tokenizer(tmp_path / "original")
    config = transformers.LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
    )
    models.save(transformers.LlamaForCausalLM(config), tokenizer, tmp_path / "original")
    method = {"objective": "npo", "training": {"lora": {"rank": 2}}}
    cfg = {"task": "generation", "model": CFG["generation"], "method": method}
    job = Job(cfg, 1, "npo", tmp_path / "out", tmp_path / "state", None)
    run = Run(job, tmp_path, tmp_path, tmp_path / "original", None, {})
    frozen = run.original()
    learner = {p.data_ptr() for p in run.start.parameters()}
    assert {p.data_ptr() for p in frozen.parameters()} == learner and len(learner) > 5


def test_a_result_of_several_trainings_is_saved_whole_and_the_log_says_so(tmp_path, caplog, monkeypatch):
    study(tmp_path, "generation")
    from lethe.objectives import gradient_ascent

    def twice(hyper, run):
        model = run.minimise(gradient_ascent.loss, hyper)
        return run.minimise(gradient_ascent.loss, hyper, model=model, name="second")

    monkeypatch.setattr(gradient_ascent, "unlearn", twice, raising=False)
    folder = go(tmp_path, "out", lora={"rank": 2, "merge": False})
    assert (folder / "model.safetensors").exists() and not (folder / "adapter_config.json").exists()
    assert "saved whole" in caplog.text


def test_a_checkpoint_holds_what_trains(tmp_path, monkeypatch):
    study(tmp_path, "generation")
    names, save = [], checkpoints.save_file
    monkeypatch.setattr(
        checkpoints, "save_file", lambda tensors, file: (names.append([*tensors]), save(tensors, file))
    )
    go(tmp_path, "lora", lora={"rank": 2}, checkpoint_seconds=0)
    model = [name for name in names[-1] if name.startswith("model.")]
    assert model and all(".lora_" in name for name in model)
    go(tmp_path, "whole", checkpoint_seconds=0)
    assert "model.transformer.wte.weight" in names[-1]


def adapted(folder, kind: str, task: str = "generation"):
    """A folder of PEFT's beside its base, without a tokenizer, and the model that it should be."""
    model, tokenizer = built({"generation": "tiny-gpt-neo", "classification": "tiny-bert"}[task])
    models.save(model, tokenizer, folder / "base")
    torch.manual_seed(0)
    lora = {"r": 2, "init_lora_weights": False, "task_type": TASK_TYPE[task]}
    linear = {"generation": ["q_proj"], "classification": ["query"]}[task]
    settings = {
        "dora": lambda: LoraConfig(use_dora=True, target_modules=linear, **lora),
        "head": lambda: LoraConfig(target_modules=linear, modules_to_save=["classifier"], **lora),
        "ia3": lambda: IA3Config(
            target_modules=["q_proj", "c_fc"], feedforward_modules=["c_fc"], init_ia3_weights=False
        ),
        "prompt": lambda: PromptTuningConfig(num_virtual_tokens=2, task_type="CAUSAL_LM"),
    }[kind]()
    made = get_peft_model(model, settings)
    with torch.no_grad():
        for name, parameter in made.named_parameters():
            if parameter.requires_grad:
                parameter.add_(
                    0.1 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(len(name)))
                )
    made.peft_config["default"].base_model_name_or_path = str(folder / "base")
    made.save_pretrained(folder / "adapter")
    return made


@pytest.mark.parametrize(
    ("kind", "task"), [("dora", "generation"), ("ia3", "generation"), ("head", "classification")]
)
def test_adapters_of_other_kinds_are_merged(tmp_path, kind, task):
    expected = logits(adapted(tmp_path, kind, task))
    model, tokenizer = models.load(tmp_path / "adapter", task, "main")
    torch.testing.assert_close(logits(model), expected, rtol=1e-4, atol=1e-5)
    assert tokenizer(TEXTS)["input_ids"] == models.tokenizer(tmp_path / "base")(TEXTS)["input_ids"]
    if task == "generation":  # what fine-tuning starts from
        taken, _ = models.base(Model(source=str(tmp_path / "adapter"), max_length=16), task, [], [], 0)
        torch.testing.assert_close(logits(taken), expected, rtol=1e-4, atol=1e-5)


def test_a_learnt_prompt_is_refused(tmp_path):
    adapted(tmp_path, "prompt")
    with pytest.raises(InputError) as raised:
        models.load(tmp_path / "adapter", "generation", "main")
    one_line(raised, "adapter", "prompt")


def test_an_adapter_for_itself_is_refused(tmp_path):
    adapted(tmp_path, "ia3")
    file = tmp_path / "adapter/adapter_config.json"
    content = json.loads(file.read_text()) | {"base_model_name_or_path": str(tmp_path / "adapter")}
    file.write_text(json.dumps(content))
    with pytest.raises(InputError) as raised:
        models.load(tmp_path / "adapter", "generation", "main")
    one_line(raised, "adapter")


@pytest.mark.parametrize("kind", ["sharded", "tied", "large vocabulary", "no pad"])
def test_folders_of_every_kind_are_unlearnt(tmp_path, kind):
    study(tmp_path, "generation")
    tokenizer = models.tokenizer(tmp_path / "original")
    size = len(tokenizer) + 64 * (kind == "large vocabulary")
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=size, hidden_size=16, intermediate_size=16, num_hidden_layers=2, num_attention_heads=2,
        max_position_embeddings=16, tie_word_embeddings=kind == "tied", pad_token_id=None,
    )  # fmt: skip
    model = transformers.LlamaForCausalLM(config)
    if kind == "no pad":
        tokenizer.pad_token = None
    model.save_pretrained(tmp_path / "original", max_shard_size="20KB" if kind == "sharded" else "1GB")
    tokenizer.save_pretrained(tmp_path / "original")
    if kind == "sharded":
        (tmp_path / "original/model.safetensors").unlink(missing_ok=True)
        assert len([*(tmp_path / "original").glob("*.safetensors")]) > 2
    before, _ = models.load(tmp_path / "original", "generation")
    assert torch.equal(logits(before), logits(model))
    after, _ = models.load(go(tmp_path, "out"), "generation")
    changed = [n for n, p in after.named_parameters() if not torch.equal(p, before.get_parameter(n))]
    assert len(changed) == len([*model.parameters()])
    tied = after.get_output_embeddings().weight is after.get_input_embeddings().weight
    assert tied is (kind == "tied") and after.config.vocab_size == size
