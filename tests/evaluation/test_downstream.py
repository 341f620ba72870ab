"""Downstream tasks, against the evaluation harness's own command line and a multiple choice by hand."""

import copy
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from harness_offline import go_offline
from hub_folder import chat_model
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
from lethe.params.harness import HarnessTask
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
    go_offline(monkeypatch, tmp_path, "wmdp")


def asked(*tasks) -> list[HarnessTask]:
    return [HarnessTask.model_validate(task) for task in tasks]


def by_name(found) -> dict[str, float]:
    return dict(zip(found["downstream_names"].tolist(), found["downstream_values"].tolist(), strict=True))


def command_line(folder, tasks, *more, model="model") -> dict:
    """What `lm_eval run` writes."""
    from lm_eval.__main__ import cli_evaluate

    arguments = ["lm_eval", "run", "--model", "hf", "--device", "cpu", "--batch_size", "5"]
    arguments += ["--model_args", f"pretrained={folder / model}", "--include_path", str(TASKS), *more]
    arguments += ["--tasks", ",".join(tasks), "--output_path", str(folder / f"out-{model}")]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", arguments)
        cli_evaluate()
    (file,) = (folder / f"out-{model}").glob("**/results_*.json")
    return json.loads(file.read_text())["results"]


def test_numbers_are_those_of_the_command_line(folder):
    tasks = ["documentation_cloze", *(str(folder / f"{name}.yaml") for name in KINDS)]
    theirs = command_line(folder, tasks)
    ours = by_name(downstream(*models.load(folder / "model", "generation"), asked(*tasks), batch_size=5))
    beside = [name for name in ours if name.endswith("_probability")]  # which they do not have
    assert beside == ["documentation_cloze_probability", "few_shot_choice_probability"]
    assert all(0 < ours.pop(name) < 1 for name in beside)
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
        each = [np.exp([likelihood(line["text"], word) for word in line["words"]]) for line in lines]
    first, right = [np.argmax(one) == 0 for one in each], [one[0] / one.sum() for one in each]
    found = by_name(downstream(model, tokenizer, asked("documentation_cloze"), 16))
    assert found["documentation_cloze_acc"] == np.mean(first)
    assert found["documentation_cloze_probability"] == pytest.approx(np.mean(right), rel=1e-4)


def test_shots_and_a_chat_template_are_those_of_the_command_line(folder):
    chat = chat_model(folder / "chat")
    more = ["--num_fewshot", "2", "--apply_chat_template"]
    theirs = command_line(folder, ["documentation_cloze"], *more, model="chat")["documentation_cloze"]
    tasks = asked("documentation_cloze", {"task": "documentation_cloze", "shots": 2, "chat": True})
    found = by_name(downstream(*models.load(chat, "generation"), tasks, batch_size=5))
    assert found["documentation_cloze_2_shot_chat_acc"] == theirs["acc,none"]
    plain, other = (found[f"documentation_cloze{how}_probability"] for how in ("", "_2_shot_chat"))
    assert plain != other
    with pytest.raises(InputError, match="chat: the tokenizer has no chat template"):
        downstream(*models.load(folder / "model", "generation"), asked(tasks[1].model_dump()), batch_size=5)


def questions(folder: Path) -> Path:
    """Four questions in the layout and the columns of WMDP."""
    rows = [
        {
            "question": f"Which word is number {n}?",
            "choices": ["list", "wind", "street", "morning"],
            "answer": n,
        }
        for n in range(4)
    ]
    folder.mkdir()
    (folder / "bio.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "README.md").write_text(
        "---\nconfigs:\n- config_name: wmdp-bio\n  data_files:\n  - split: test\n    path: bio.jsonl\n---\n"
    )
    return folder


def test_a_task_of_the_harness_reads_local_data(folder, tmp_path):
    """WMDP's own prompt and letters, of which the probabilities are computed by hand."""
    data = questions(tmp_path / "wmdp")
    task = {"task": "wmdp_bio", "data": str(data), "forget": True}
    model, tokenizer = models.load(folder / "model", "generation")
    found = by_name(downstream(model, tokenizer, asked(task), 4))
    start = "The following are multiple choice questions (with answers) about biology.\n\n"
    right, hits = [], []
    for n in range(4):
        letters = "\nA. list\nB. wind\nC. street\nD. morning\nAnswer:"
        prompt = f"{start}Which word is number {n}?{letters}"
        begins = len(tokenizer(prompt, add_special_tokens=False)["input_ids"])
        logs = []
        for letter in "ABCD":
            ids = tokenizer(f"{prompt} {letter}", add_special_tokens=False)["input_ids"]
            read = torch.tensor([ids[-65:]])  # of the model's 64 places the last token needs none
            with torch.no_grad():
                each = model(read[:, :-1]).logits[0].log_softmax(-1).gather(1, read[0, 1:, None])
            logs.append(each[begins - len(ids) :].sum())
        chances = torch.stack(logs).softmax(0)
        right.append(float(chances[n]))
        hits.append(int(chances.argmax()) == n)
    assert found["forget_wmdp_bio_acc"] == np.mean(hits)
    assert found["forget_wmdp_bio_probability"] == pytest.approx(np.mean(right), rel=1e-4)


def test_a_model_composed_of_several_is_evaluated_and_writes_nothing(folder):
    large, tokenizer = models.load(folder / "model", "generation")
    other, _ = models.load(folder / "model", "generation")
    model = Composed({"large": large, "trained": other, "start": copy.deepcopy(other)}, Offset(2.0))
    tasks = asked("documentation_cloze", str(folder / "whole_text.yaml"))
    found, plain = (downstream(m, tokenizer, tasks, 5)["downstream_values"] for m in (model, large))
    assert found.tolist() == plain.tolist()
    texts = Rows(torch.randint(1, 20, (6, 12)), torch.full((6,), 12))
    gated = Gated(large, [fresh_adapter(large, 2, 4.0, 1)], [fitted_gate(Hyper(), large, texts, 1)])
    assert downstream(gated, tokenizer, tasks, 5)["downstream_values"].tolist() == plain.tolist()
    with pytest.raises(InputError, match=r"score.tasks: answer: has text written"):
        downstream(model, tokenizer, asked(str(folder / "answer.yaml")), 5)


@pytest.mark.parametrize("task", ["nothing_like_it", "hellaswag.yaml"])
def test_a_task_that_is_not_there_is_named(folder, task):
    with pytest.raises(InputError, match=rf"score.tasks: {task}: cannot be loaded .*documentation_cloze"):
        downstream(*models.load(folder / "model", "generation"), asked(task), 4)


def test_code_that_a_model_writes_is_not_run(folder, tmp_path):
    task = tmp_path / "answer.yaml"
    task.write_text((folder / "answer.yaml").read_text() + "unsafe_code: true\n")
    with pytest.raises(InputError, match=r"score.tasks: .*answer.yaml: .*unsafe"):
        downstream(*models.load(folder / "model", "generation"), asked(str(task)), 4)


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
    accuracy, probability = map(pytest.approx, arrays["downstream_values"].tolist())
    assert numbers == {
        "downstream_documentation_cloze_acc": accuracy,
        "downstream_documentation_cloze_probability": probability,
        "downstream_accuracy": accuracy,
        "downstream_probability": probability,
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
    apart = {
        "downstream_names": np.array(["forget_a_acc", "b_acc", "forget_a_probability", "b_probability"]),
        "downstream_values": np.array([0.25, 0.75, 0.3, 0.7]),
    }
    means = downstream_accuracy.aggregate(apart, {}, None, 0)
    assert (means["downstream_accuracy_forget"], means["downstream_accuracy"]) == (0.25, 0.75)
    assert (means["downstream_probability_forget"], means["downstream_probability"]) == (0.3, 0.7)
    assert "downstream_accuracy" not in {m.__name__.rpartition(".")[2] for m in modules({"logprob"})}
    with pytest.raises(ValueError, match="downstream_b_acc is not finite"):
        downstream_accuracy.aggregate(
            scores | {"downstream_values": np.array([0, 0, np.nan, 0])}, {}, None, 0
        )
