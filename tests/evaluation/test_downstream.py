"""Downstream tasks, against the evaluation harness's own command line and a multiple choice by hand."""

import copy
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from test_score import scored, study

from lethe import models
from lethe.data.rows import Rows
from lethe.evaluation.downstream import TASKS, downstream, numbers_of
from lethe.evaluation.numbers import modules
from lethe.evaluation.scores import load
from lethe.metrics import downstream_accuracy
from lethe.models.composed import Composed, Offset
from lethe.models.gated import Gated, fresh_adapter
from lethe.objectives.o3 import Hyper, fitted_gate
from lethe.params.model import Model
from lethe.system.errors import InputError

pytest.importorskip("lm_eval", reason="the evaluation harness is optional: pip install 'lethe[harness]'")

TASK = """
task: {name}
dataset_path: json
dataset_kwargs: {{data_files: {{test: {data}}}}}
test_split: test
doc_to_text: "{{{{text}}}}"
"""
KINDS = {  # few-shot examples are drawn, texts are read and generated: one task of each kind
    "few_shot_choice": "output_type: multiple_choice\ndoc_to_choice: words\ndoc_to_target: 0\nnum_fewshot: 2\n"
    "fewshot_split: test\nmetric_list: [{metric: acc}, {metric: acc_norm}]\n",
    "last_word": "output_type: loglikelihood\ndoc_to_target: ' list'\n"
    "metric_list: [{metric: perplexity}, {metric: acc}]\n",
    "whole_text": "output_type: loglikelihood_rolling\ndoc_to_target: text\ndoc_to_text: ''\n"
    "metric_list: [{metric: word_perplexity}, {metric: bits_per_byte}]\n",
    "answer": "output_type: generate_until\ndoc_to_target: list\ngeneration_kwargs: {until: ['.'], max_gen_toks: 4}\n"
    "metric_list: [{metric: exact_match}]\n",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A model that was trained for nothing, but is sure of itself, and a task file of each kind."""
    folder = tmp_path_factory.mktemp("downstream")
    words = [json.loads(line) for line in (TASKS / "documentation_cloze.jsonl").read_text().splitlines()]
    small = {"hidden_size": 16, "vocab_size": 400, "num_layers": 2, "num_heads": 2}
    cfg = Model(source="tiny-gpt-neo", options=small, max_length=64)
    model, tokenizer = models.base(cfg, "generation", [], [line["text"] for line in words], 0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(3.0)
    models.save(model, tokenizer, folder / "model")
    (folder / "data.jsonl").write_text("\n".join(map(json.dumps, words[:12])))
    for name, kind in KINDS.items():
        (folder / f"{name}.yaml").write_text(TASK.format(name=name, data=folder / "data.jsonl") + kind)
    return folder


@pytest.fixture(autouse=True)
def offline(monkeypatch, tmp_path):
    """Neither the network nor the thousands of files of the harness's own tasks, which take seconds to index."""
    from lm_eval import evaluator
    from lm_eval.tasks._index import TaskIndex

    files = TaskIndex._iter_yaml_files
    own = Path(sys.modules["lm_eval.tasks"].__file__).parent
    monkeypatch.setattr(TaskIndex, "_iter_yaml_files", lambda root: [] if root == own else files(root))
    monkeypatch.setattr(evaluator, "add_env_info", lambda results: None)
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path)
    monkeypatch.setattr("datasets.config.HF_HUB_OFFLINE", True)


def command_line(folder, tasks) -> dict:
    """What `lm_eval run` writes."""
    from lm_eval.__main__ import cli_evaluate

    arguments = ["lm_eval", "run", "--model", "hf", "--device", "cpu", "--batch_size", "5"]
    arguments += ["--model_args", f"pretrained={folder / 'model'}", "--include_path", str(TASKS)]
    arguments += ["--tasks", ",".join(tasks), "--output_path", str(folder / "out")]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", arguments)
        cli_evaluate()
    (file,) = (folder / "out").glob("**/results_*.json")
    return json.loads(file.read_text())["results"]


def test_numbers_are_those_of_the_command_line(folder):
    tasks = ["documentation_cloze", *(str(folder / f"{name}.yaml") for name in KINDS)]
    theirs = command_line(folder, tasks)
    found = downstream(*models.load(folder / "model", "generation"), tasks, batch_size=5)
    ours = dict(zip(found["downstream_names"].tolist(), found["downstream_values"].tolist(), strict=True))
    assert set(theirs) == {"documentation_cloze", *KINDS}
    assert ours == {
        name: value for task, one in theirs.items() for name, value in numbers_of(task, one).items()
    }
    assert len(ours) == 8 and 0 < ours["documentation_cloze_acc"] < 1


def test_a_choice_is_the_likelier_word(folder):
    model, tokenizer = models.load(folder / "model", "generation")

    def likelihood(text, word):
        prompt, whole = (
            tokenizer(t, add_special_tokens=False)["input_ids"] for t in (text, f"{text} {word}")
        )
        assert whole[: len(prompt)] == prompt
        logits = model(torch.tensor([whole])).logits[0, :-1].log_softmax(-1)
        return sum(float(logits[i - 1, whole[i]]) for i in range(len(prompt), len(whole)))

    lines = [json.loads(line) for line in (TASKS / "documentation_cloze.jsonl").read_text().splitlines()]
    with torch.no_grad():
        first = [np.argmax([likelihood(line["text"], word) for word in line["words"]]) == 0 for line in lines]
    found = downstream(model, tokenizer, ["documentation_cloze"], 16)
    assert found["downstream_names"].tolist() == ["documentation_cloze_acc"]
    assert found["downstream_values"].tolist() == [np.mean(first)]


def test_a_model_composed_of_several_is_evaluated_and_writes_nothing(folder):
    large, tokenizer = models.load(folder / "model", "generation")
    other, _ = models.load(folder / "model", "generation")
    model = Composed({"large": large, "trained": other, "start": copy.deepcopy(other)}, Offset(2.0))
    tasks = ["documentation_cloze", str(folder / "whole_text.yaml")]
    found, plain = (downstream(m, tokenizer, tasks, 5)["downstream_values"] for m in (model, large))
    assert found.tolist() == plain.tolist()
    texts = Rows(torch.randint(1, 20, (6, 12)), torch.full((6,), 12))
    gated = Gated(large, [fresh_adapter(large, 2, 4.0, 1)], [fitted_gate(Hyper(), large, texts, 1)])
    assert downstream(gated, tokenizer, tasks, 5)["downstream_values"].tolist() == plain.tolist()
    with pytest.raises(InputError, match=r"score.tasks: answer: has text written"):
        downstream(model, tokenizer, [str(folder / "answer.yaml")], 5)


@pytest.mark.parametrize("task", ["nothing_like_it", "hellaswag.yaml"])
def test_a_task_that_is_not_there_is_named(folder, task):
    with pytest.raises(InputError, match=rf"score.tasks: {task}: cannot be loaded .*documentation_cloze"):
        downstream(*models.load(folder / "model", "generation"), [task], 4)


def test_code_that_a_model_writes_is_not_run(folder, tmp_path):
    task = tmp_path / "answer.yaml"
    task.write_text((folder / "answer.yaml").read_text() + "unsafe_code: true\n")
    with pytest.raises(InputError, match=r"score.tasks: .*answer.yaml: .*unsafe"):
        downstream(*models.load(folder / "model", "generation"), [str(task)], 4)


def test_scores_hold_the_numbers_and_tuning_does_not_see_them(tmp_path):
    study(tmp_path, "generation")
    plain, asked, tuned = (
        scored(tmp_path, "generation", tasks=tasks, test=test)
        for tasks, test in (
            ([], "test"),
            (["documentation_cloze"], "test"),
            (["documentation_cloze"], "validation"),
        )
    )
    assert set(asked) - set(plain) == {"downstream_names", "downstream_values"} and set(tuned) == set(plain)
    for name in plain:
        np.testing.assert_array_equal(asked[name], plain[name], name)
    scored(tmp_path, "generation", tasks=["documentation_cloze"])
    arrays = load(tmp_path / "scores.npz")
    numbers = downstream_accuracy.aggregate(arrays, {}, None, 0)
    assert numbers == {
        "downstream_documentation_cloze_acc": pytest.approx(arrays["downstream_values"][0]),
        "downstream_accuracy": pytest.approx(arrays["downstream_values"][0]),
    }


def test_the_accuracy_is_the_mean_over_tasks():
    scores = {
        "downstream_names": np.array(["a_acc", "a_acc_norm", "b_acc", "c_perplexity"]),
        "downstream_values": np.array([0.5, 0.9, 0.25, 30.0]),
    }
    found = downstream_accuracy.aggregate(scores, {}, None, 0)
    assert found == {
        "downstream_a_acc": 0.5,
        "downstream_a_acc_norm": 0.9,
        "downstream_b_acc": 0.25,
        "downstream_c_perplexity": 30.0,
        "downstream_accuracy": 0.375,
    }
    assert "downstream_accuracy" not in {m.__name__.rpartition(".")[2] for m in modules({"logprob"})}
    with pytest.raises(ValueError, match="downstream_b_acc is not finite"):
        downstream_accuracy.aggregate(
            scores | {"downstream_values": np.array([0, 0, np.nan, 0])}, {}, None, 0
        )
