"""References and unlearning runs of a small local study, from texts to the six outputs."""

import copy
import json
import logging
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import study
import torch
from safetensors.torch import load_file
from tiny import encode

from lethe import models
from lethe.data.encoding import examples_by_set
from lethe.score import score
from lethe.system import files
from lethe.system.errors import InputError
from lethe.train import train
from lethe.training.batches import Batches
from lethe.unlearn import unlearn

OUTPUTS = {"model", "model.sha256", "trace.csv", "epochs.csv", "cost.json", "run.json"}
TASKS = ("generation", "classification")


class Study:
    """A study of which all references were trained, what was logged, and the rows that each run saw."""

    def __init__(self, folder: Path, task: str):
        self.folder, self.task = folder, task
        self.seen: dict[str, set[tuple[int, ...]]] = {}
        self.cfg = study.prepared(folder, task)
        self.inputs = folder / "prepared", folder / "forget"
        for run in ("base", "original", "retrain"):
            self.train(run)
        self.unlearn()

    def train(self, run: str, to: str = "", **changes) -> Path:
        job = study.job(self.folder, self.cfg | changes, run, to=to)
        with self.watched(to or run):
            if run == "base":
                train(job, self.inputs[0])
            else:
                train(job, *self.inputs, self.folder / "base" / "model")
        return job.out

    def unlearn(self, to: str = "method", cfg: dict | None = None, seed: int = 1) -> Path:
        job = study.job(self.folder, cfg or self.cfg, "method", seed, to)
        with self.watched(to):
            unlearn(job, *self.inputs, self.folder / "original" / "model")
        return job.out

    def watched(self, name: str):
        """Notes the tokens of every row in every batch."""
        patch, seen = pytest.MonkeyPatch(), self.seen.setdefault(name, set())
        original = Batches.batch

        def batch(*args):
            found = original(*args)
            for rows in found.values():
                seen.update(
                    tuple(ids[:length].tolist())
                    for ids, length in zip(rows.input_ids, rows.lengths, strict=True)
                )
            return found

        patch.setattr(Batches, "batch", batch)
        return Undo(patch)

    def rows(self, name: str) -> set[tuple[int, ...]]:
        """The token rows of a set."""
        _, tokenizer = models.load(self.folder / "original" / "model", self.task)
        labels = ["class 0", "class 1"] if self.task == "classification" else []
        rows = encode(examples_by_set(*self.inputs)[name], tokenizer, 24, labels).rows
        return {tuple(i[:n].tolist()) for i, n in zip(rows.input_ids, rows.lengths, strict=True)}

    def texts(self, name: str) -> list[str]:
        return examples_by_set(*self.inputs)[name]["text"].tolist()


class Undo:
    def __init__(self, patch):
        self.patch = patch

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.patch.undo()


@pytest.fixture(scope="module", params=TASKS)
def done(request, tmp_path_factory):
    return Study(tmp_path_factory.mktemp(request.param), request.param)


def trace(out: Path) -> pd.DataFrame:
    return pd.read_csv(out / "trace.csv")


def weights(out: Path) -> dict[str, torch.Tensor]:
    return load_file(out / "model" / "model.safetensors")


def test_the_six_outputs_and_no_checkpoint(done):
    for run in ("base", "original", "retrain", "method"):
        out = done.folder / run
        assert {f.name for f in out.iterdir()} == OUTPUTS
        assert (out / "model.sha256").read_text() == files.digest(out / "model") + "\n"
        found = json.loads((out / "cost.json").read_text())
        assert found["steps"] == len(trace(out))
        assert {
            "wall_seconds",
            "processor_seconds",
            "tokens",
            "examples",
            "peak_memory_bytes",
            "device",
            "threads",
        } <= set(found)
        assert found["wall_seconds"] > 0
    assert not list((done.folder / "checkpoints").rglob("*.safetensors"))


def test_steps_and_terms_of_the_trace(done):
    """Twelve rows in batches of four make three steps an epoch; eight make two, and half as many epochs more."""
    epochs = done.cfg["train"]["finetune"]["epochs"]
    assert len(trace(done.folder / "original")) == 3 * epochs
    passes = trace(done.folder / "retrain")["epoch"].value_counts(sort=False).tolist()
    assert passes == [2] * (3 * epochs // 2) + [1] * (3 * epochs % 2)
    assert list(trace(done.folder / "retrain")) == ["step", "epoch", "learning_rate", "loss", "retain"]
    found = trace(done.folder / "method")
    terms = {"generation": ["forget", "learn", "kl"], "classification": ["forget", "retain"]}[done.task]
    counts = ["skipped"] if done.task == "classification" else []
    assert sorted(found) == sorted(["step", "epoch", "learning_rate", "loss", *terms, *counts])
    assert found[terms].sum(axis=1).to_numpy() == pytest.approx(found["loss"].to_numpy(), abs=1e-6)


def test_retrain_sees_what_is_kept_and_nothing_else(done):
    """Not one row of the forget set, nor of any other set, reaches a batch."""
    forget, retain = done.rows("forget"), done.rows("retain")
    assert len(forget) == 4 and len(retain) == 8
    assert done.seen["retrain"] == retain
    assert done.seen["original"] == retain | forget
    assert not done.seen["base"] & (forget | retain)


def test_unlearning_sees_the_forget_set_and_no_unseen_text(done):
    assert done.rows("forget") <= done.seen["method"]
    for name in ("validation", "holdout", "test"):
        assert not done.rows(name) & done.seen["method"]


def test_a_tokenizer_is_never_trained_on_text_that_may_have_to_be_forgotten(done, monkeypatch):
    given = []
    original = models.base

    def base(cfg, task, classes, texts, *others):
        given.extend(texts)
        return original(cfg, task, classes, texts, *others)

    monkeypatch.setattr(models, "base", base)
    done.train("base", to="base-again")
    assert given and not set(given) & {*done.texts("forget"), *done.texts("retain")}
    assert files.digest(done.folder / "base-again/model") == files.digest(done.folder / "base/model")


def test_equal_runs_are_equal_to_the_bit_and_seeds_differ(done):
    for name, out in (
        ("retrain", done.train("retrain", to="retrain-again")),
        ("method", done.unlearn("method-again")),
    ):
        for file in ("model.sha256", "trace.csv", "epochs.csv"):
            assert (out / file).read_bytes() == (done.folder / name / file).read_bytes(), file
    other = done.unlearn("method-other", seed=2)
    assert (other / "trace.csv").read_bytes() != (done.folder / "method" / "trace.csv").read_bytes()


def test_every_run_moved_the_weights_and_froze_what_it_was_told(done):
    base, original, method = (weights(done.folder / name) for name in ("base", "original", "method"))
    assert all(not torch.equal(base[name], original[name]) for name in base if name.endswith(".weight"))
    assert any(not torch.equal(original[name], method[name]) for name in original)
    prefix = {"generation": "transformer.wte", "classification": "bert.embeddings"}[done.task]
    cfg = copy.deepcopy(done.cfg)
    cfg["model"]["freeze"] = [prefix]
    frozen = weights(done.unlearn("frozen", cfg))
    still = {name for name in original if torch.equal(original[name], frozen[name])}
    assert {name for name in original if name.startswith(prefix)} <= still
    assert still < set(original)


def test_reviews_between_epochs(done):
    if done.task == "classification":
        assert (done.folder / "method" / "epochs.csv").read_text() == "epoch\n"
        return
    epochs = pd.read_csv(done.folder / "method" / "epochs.csv")
    assert epochs["epoch"].tolist() == list(range(len(epochs)))
    assert epochs["active"][0] == 4 and epochs["memorization_accuracy"][0] > 0.9
    columns = {"memorization_accuracy", "extraction_likelihood_3", "active", "similarity"}
    assert columns <= set(epochs)
    assert epochs["threshold_similarity"].nunique() > 1  # of the model as it then was
    assert np.isfinite(epochs.to_numpy()).all()


def test_the_texts_are_never_logged(done, caplog):
    caplog.set_level(logging.INFO)
    (done.folder / "logged").mkdir()
    study.prepared(done.folder / "logged", done.task)
    for run in ("base", "original", "retrain"):
        done.train(run, to=f"{run}-logged")
    done.unlearn("method-logged")
    out = done.folder / "scores.npz"
    score(done.cfg, *done.inputs, done.folder / "method-logged" / "model", out)
    assert "step=0" in caplog.text and "scored 4 examples of forget" in caplog.text
    words = {word for k in range(24) for word in study.text(k).split()}
    assert not [word for word in words if word in caplog.text]


def test_hyperparameters_arrive_in_their_types(done):
    """A whole number stands for a float; text is none, whatever it looks like."""
    cfg = copy.deepcopy(done.cfg)
    name = {"generation": "learn", "classification": "gamma"}[done.task]
    traces = []
    for value in (2, 2.0):
        cfg["method"]["hyper"] = {name: value}
        traces.append((done.unlearn(f"hyper-{value!r}", cfg) / "trace.csv").read_bytes())
    assert traces[0] == traces[1] != (done.folder / "method" / "trace.csv").read_bytes()
    cfg["method"]["hyper"] = {name: "1e-1"}
    with pytest.raises(InputError, match=rf'hyper.{name}: "1e-1": input should be a valid number'):
        done.unlearn("hyper-text", cfg)


def test_runs_that_cannot_be_made(done, tmp_path):
    prepared, forget = done.inputs
    base = done.folder / "base" / "model"
    cases = [
        ("retrain", (prepared,), "--forget: missing"),
        ("retrain", (prepared, forget), "--base: missing"),
        ("deepcut", (prepared, forget, base), "--run: deepcut is no reference"),
        ("original", (prepared, forget, tmp_path / "none"), "none: no readable model"),
        ("base", (tmp_path / "none",), "none/examples.parquet: cannot be read"),
    ]
    for run, inputs, message in cases:
        with pytest.raises(InputError, match=message) as raised:
            train(study.job(tmp_path, done.cfg, run), *inputs)
        assert "\n" not in str(raised.value)
    assert not [f for f in tmp_path.iterdir() if f.name in OUTPUTS]


def test_a_base_without_pretraining_is_the_model_as_it_comes(done):
    cfg = copy.deepcopy(done.cfg)
    cfg["train"]["pretrain"] = None
    out = done.train("base", to="as-it-comes", train=cfg["train"])
    assert trace(out).empty and json.loads((out / "cost.json").read_text())["steps"] == 0
    if done.task == "generation":
        assert files.digest(out / "model") != files.digest(done.folder / "base" / "model")
    else:
        assert files.digest(out / "model") == files.digest(done.folder / "base" / "model")


@pytest.mark.parametrize("done", ["classification"], indirect=True)
def test_general_text_that_a_study_has_not(done):
    recipe = study.TRAINING | {"batch": {"retain": 4, "general": 2}}
    for run, key in (("original", "finetune"), ("base", "pretrain")):
        with pytest.raises(InputError, match="general text"):
            done.train(run, to="never", train={"pretrain": None, "finetune": {}, key: recipe})
