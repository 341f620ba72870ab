"""Parts of the page: conversations, heat maps, what is not comparable, each on a case worked by hand."""

from __future__ import annotations

import base64
import json
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from lethe.params.file import check_params
from lethe.report.comparability import between, fewer_seeds, other_machines, other_tokens
from lethe.report.conversation import conversation
from lethe.report.heat import MISSING, heat
from lethe.report.page import data_of

SECRET = "Ada lives in </script> Rome"


class Study:
    """A study of two questions and answers, of one seed and two runs; `npo` was not scored on `q2`."""

    name, seeds, runs, compared, methods = "qa", [3], ["original", "npo"], ["original", "npo"], ["npo"]

    def __init__(self, root):
        self.root = root
        prompts = [[{"role": "user", "content": f"Where is {name}?"}] for name in ("Ada", "Bo", "Cy")]
        texts = {
            "id": ["q1", "q2", "q3"],
            "prompt": prompts,
            "text": [SECRET, "Bo lives in Bonn", "Cy is away"],
        }
        (root / "data/prepared/qa").mkdir(parents=True)
        parquet.write_table(pa.table(texts), root / "data/prepared/qa/examples.parquet")
        for run in self.runs:
            folder = root / f"results/score/qa/{run}/seed3"
            folder.mkdir(parents=True)
            np.savez(
                folder / "scores.npz", ids=np.array(["q1", "q2"]), said=np.array([f"{run} says Rome", ""])
            )

    def columns_of(self, run, seed):
        return ["id", "set", "probability", "rouge_l_recall", "memorization_accuracy"]

    def examples(self, run, seed, *columns):
        rows = 3 if run == "original" else 1
        table = {
            "id": ["q1", "q2", "q3"], "set": ["forget", "retain", "retain"], "probability": [0.91234, 0.5, np.nan],
            "rouge_l_recall": [1.0, np.nan, np.nan], "memorization_accuracy": [0.5, 1.0, 0.0],
        }  # fmt: skip
        return {name: np.array(table[name])[:rows] for name in columns}


@pytest.fixture
def study(tmp_path):
    return Study(tmp_path)


def test_a_conversation_holds_ids_and_scores_alone(study):
    """What asks nothing has no probability and is left out; what a run was not scored on has no number."""
    found = conversation(study, show_text=False)
    first, second = found["examples"]
    assert first == {
        "id": "q1", "set": "forget",
        "runs": [{"name": "original", "scores": [0.912, 1.0]}, {"name": "npo", "scores": [0.912, 1.0]}],
    }  # fmt: skip
    assert [run["scores"] for run in second["runs"]] == [[0.5, None], [None, None]]
    assert not any(word in json.dumps(found) for word in ("lives", "Where", "says"))


def test_texts_are_shown_where_they_are_asked_for(study):
    """And none of them can end the script that holds them."""
    found = conversation(study, show_text=True)
    first, second = found["examples"]
    assert (first["question"], first["answer"]) == ("Where is Ada?", SECRET)
    assert [run.get("said") for run in first["runs"]] == ["original says Rome", "npo says Rome"]
    assert "said" not in second["runs"][0]
    section = SimpleNamespace(results=study, figures={}, heat=None, conversation=found)
    text = data_of([section])
    assert "</script>" not in text and json.loads(text)["conversations"]["qa"] == found


def test_a_heat_map_holds_a_byte_for_each_value(study):
    """Of the forget set alone: q1, 0.5 of 254 steps, in both runs."""
    found = heat(study)
    assert [metric["key"] for metric in found["metrics"]] == ["memorization_accuracy"]
    seed = found["seeds"]["3"]
    assert seed["ids"] == ["q1"] and found["references"] == ["original"]
    assert list(base64.b64decode(seed["values"]["memorization_accuracy"])) == [127, 127]
    assert MISSING == 255


def test_runs_that_read_other_tokens_are_not_comparable():
    class Two:
        seeds, runs = [0], ["original", "retrain", "npo"]

        def scores(self, run, seed, *names):
            other = run == "retrain"
            settings = json.dumps({"n": [3], "tries": 8 if other else 0})
            return (
                np.array(["a", "b", "c"])[: 2 + other],
                np.array([1, 9 if other else 2, 3])[: 2 + other],
                settings,
            )

    assert other_tokens(Two()) == [
        "retrain is not comparable with original because 1 of 2 texts were read as other tokens (tokenizer, length or "
        "text); definitions differ (score.tries: 0, 8)."
    ]


def test_means_of_fewer_seeds_and_times_of_other_machines_are_named():
    columns = [SimpleNamespace(key="auc", label="AUC")]
    summaries = {"original": {"auc": {"n": 5}}, "npo": {"auc": {"n": 3}}, "icu": {}}
    results = SimpleNamespace(columns=columns, compared=["original", "npo", "icu"], summaries=summaries)
    assert fewer_seeds(results) == [
        "AUC: not comparable because it is known of fewer than 5 seeds of npo (3)."
    ]
    record = {"device": "cpu", "threads": 1}
    same = SimpleNamespace(records={"npo": {0: record}, "icu": {0: record}})
    assert other_machines(same) == []
    other = SimpleNamespace(records={"npo": {0: record}, "icu": {0: record | {"device": "cuda"}}})
    (sentence,) = other_machines(other)
    assert "(cpu, 1 threads: npo; cuda, 1 threads: icu)" in sentence


def test_studies_of_other_texts_lengths_and_definitions_are_not_comparable():
    def block(source, **more):
        return {
            "task": "generation", "seeds": [0], "dataset": {"source": source, "sizes": {"train": 50}},
            "forget": {"strategy": "random", "size": 5}, "train": {"finetune": {}}, "methods": {"npo": {}},
        } | more  # fmt: skip

    long = {"source": "tiny-gpt-neo", "max_length": 128}
    studies = {
        "one": block("docstrings", model=long),
        "two": block("records", model=long | {"max_length": 64}, score={"n": [4]}),
        "three": block("docstrings", model=long),
        "four": block(
            "docstrings", task="classification", model={"source": "tiny-bert"}, methods={"scrub": {}}
        ),
    }
    params = check_params({"studies": studies}, "params.yaml")
    results = [SimpleNamespace(name=name, study=study) for name, study in params.studies.items()]
    assert between(results[:1] + results[2:3]) == []
    first, *_, last = between(results)
    assert first == (
        "one and two are not comparable because texts differ (docstrings and records); tokenizers differ (each "
        "tiny-gpt-neo has one of its own texts); lengths differ (model.max_length: 128, "
        "64); definitions differ (score.n: [3, 5, 10], [4])."
    )
    assert last.startswith("Studies of different tasks (classification, generation)")
