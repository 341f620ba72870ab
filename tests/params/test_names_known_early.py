"""What is known of names before anything heavy is imported, against what knows them."""

import json
from pathlib import Path

import pytest

from lethe.params.architectures import BUILT_IN
from lethe.params.harness import is_task
from lethe.params.metric_names import unmeasured

TUNING = sorted((Path(__file__).parents[2] / "docs/tuning").glob("*.json"))


def test_settings_of_built_in_models_are_those_of_their_configurations():
    import transformers

    configurations = {
        "minilm": "BertConfig",
        "smollm2": "LlamaConfig",
        "tiny-bert": "BertConfig",
        "tiny-gpt-neo": "GPTNeoConfig",
    }
    assert configurations.keys() == BUILT_IN.keys()
    for source, name in configurations.items():
        known = getattr(transformers, name)()
        for key, field in BUILT_IN[source].model_fields.items():
            assert hasattr(known, key)
            assert field.default is None


def test_names_of_the_harness():
    assert is_task("documentation_cloze") and is_task("mine/task.yaml")
    assert is_task("hellaswag") and is_task("mmlu")
    assert not is_task("hellaswagg")
    assert not is_task("hella")


@pytest.mark.parametrize("file", TUNING, ids=lambda file: file.stem)
def test_every_metric_that_was_measured_may_be_chosen_by(file):
    """All names of metrics.json of real runs."""
    trials = json.loads(file.read_text())["trials"]
    names = {
        name
        for entries in trials.values()
        for entry in entries
        for outcome in entry["seeds"].values()
        for name in outcome.get("metrics", {})
        if not name.startswith("transfer_")  # which `lethe tune` finds itself
    }
    task = "generation" if any("perplexity" in name for name in names) else "classification"
    assert len(names) > 20
    assert {name for name in names if unmeasured(name, task) is not None} == set()


@pytest.mark.parametrize("name", ["acuracy_forget", "accuracy_forgot", "perplexity_test", "", "loss forget"])
def test_names_that_no_metric_of_a_classifier_has(name):
    assert unmeasured(name, "classification")
