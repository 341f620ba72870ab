"""A whole unlearning run of every objective that trains a model to its last epoch, on a dozen short texts."""

import json

import numpy as np
import pandas as pd
import pytest
from safetensors.torch import load_file

from lethe import models
from lethe.__main__ import main
from lethe.params.model import Model
from lethe.system import plugins
from lethe.training.job import Job
from lethe.unlearn import unlearn

WORDS = np.array(["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"])
SETS = {"forget": 4, "retain": 5, "validation": 3}
ENCODER = {
    "source": "tiny-bert",
    "max_length": 16,
    "options": {"hidden_size": 8, "intermediate_size": 8, "vocab_size": 300},
}
DECODER = {"source": "tiny-gpt-neo", "max_length": 16, "options": {"hidden_size": 8, "vocab_size": 300}}
CFG = {"generation": DECODER, "classification": ENCODER, "tagging": ENCODER}
OTHERWISE = (
    "dp_decoding",
    "eco",
    "icu",
    "icu_faithful",
    "in_context",
    "o3",
    "sisa",
    "task_vector",
    "uld",
    "who",
)  # train nothing, until all is forgotten, or several models
RUNS = [
    (name, task)
    for name in plugins.names_in("objectives")
    for task in plugins.tasks_of("objectives", name)
    if name not in OTHERWISE
]


def study(folder, task: str):
    """Prepared and forget folders, and an original model with random weights."""
    sets = np.repeat(list(SETS), list(SETS.values()))
    texts = [" ".join(np.roll(WORDS, i)[: 4 + i % 5]) for i in range(len(sets))]
    table = pd.DataFrame({"id": [f"t{i}" for i in range(len(sets))], "text": texts, "split": sets})
    table["alternatives"] = [[" ".join(WORDS[k : k + 2]) for k in (i % 3, 5)] for i in range(len(sets))]
    labels = [] if task == "generation" else ["a", "b", "c"]
    if task == "classification":
        table["label"] = np.resize(labels, len(table))
    if task == "tagging":
        table["tags"] = [[labels[len(word) % 3] for word in text.split()] for text in texts]
    table.to_parquet(folder / "examples.parquet")
    (folder / "prepared.json").write_text(json.dumps({"task": task, "labels": labels}))
    table.assign(set=sets)[["id", "set"]].to_parquet(folder / "sets.parquet")
    pairs = [(f"t{i}", f"t{4 + (i + rank) % 5}", rank) for i in range(4) for rank in range(2)]
    pd.DataFrame(pairs, columns=["id", "analogue", "rank"]).to_parquet(folder / "pairs.parquet")
    model, tokenizer = models.base(Model(**CFG[task]), task, labels, texts, seed=1)
    models.save(model, tokenizer, folder / "original")


@pytest.mark.parametrize(("objective", "task"), RUNS)
def test_a_run_leaves_a_changed_model_and_a_finite_trace(tmp_path, objective, task):
    study(tmp_path, task)
    training = {"epochs": 2, "learning_rate": 1e-2, "batch": {"forget": 2, "retain": 2}}
    cfg = {"task": task, "model": CFG[task], "method": {"objective": objective, "training": training}}
    cfg["finetune"] = {"epochs": 3, "batch": {"retain": 2}}
    job = Job(cfg, 1, objective, tmp_path / "out", tmp_path / "state.safetensors", None)
    unlearn(job, tmp_path, tmp_path, *[tmp_path / "original"] * 2)
    trace = pd.read_csv(tmp_path / "out" / "trace.csv")
    first = next(iter(plugins.constants_in("objectives", objective)["TERMS"].values()))
    steps = 2 * -(-SETS[first] // 2)
    assert len(trace) == steps and np.isfinite(trace["loss"]).all()
    assert ("skipped" in trace) is (objective in ("deepcut", "contrastive_unlearning"))
    before, after = (load_file(tmp_path / f / "model.safetensors") for f in ("original", "out/model"))
    cost = json.loads((tmp_path / "out" / "cost.json").read_text())
    helpers = {"kga": 3 * (2 + 2)}.get(objective, 0)  # epochs times steps on 4 forget and 3 validation texts
    assert cost["steps"] == steps + helpers
    changed = {name for name in before if not before[name].equal(after[name])}
    assert changed
    if objective == "rmu":
        assert all(name.startswith("transformer.h.0.") for name in changed)


def test_one_process_writes_its_run_whatever_the_launcher_of_a_cluster_says(tmp_path, monkeypatch):
    study(tmp_path, "generation")
    for name, value in {"RANK": "1", "WORLD_SIZE": "2", "LOCAL_RANK": "1"}.items():
        monkeypatch.setenv(name, value)
    method = {"objective": "gradient_ascent", "training": {"batch": {"forget": 4}}}
    cfg = json.dumps({"task": "generation", "model": DECODER, "method": method})
    places = [f"--prepared={tmp_path}", f"--forget={tmp_path}", f"--model={tmp_path}/original"]
    outputs = [f"--out={tmp_path}/out", f"--checkpoint={tmp_path}/state"]
    assert main(["unlearn", f"--cfg={cfg}", "--seed=1", "--run=ascent", *places, *outputs]) == 0
    made = {file.name for file in (tmp_path / "out").iterdir()}
    assert made == {"model", "model.sha256", "trace.csv", "epochs.csv", "cost.json", "run.json"}
