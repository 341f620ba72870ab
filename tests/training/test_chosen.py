"""The epoch that is chosen: its model is that of a run of so many epochs, and nothing that is reported was read."""

import json
import os
import shutil
from functools import cache

import pandas as pd
import pytest
import study
import torch
from safetensors.torch import load_file
from test_preemption import in_a_fork, killed

from lethe.data.encoding import examples_by_set
from lethe.params.training import Choose
from lethe.system.errors import InputError
from lethe.train import train
from lethe.training import rows
from lethe.training.engine import Engine
from lethe.unlearn import unlearn

METRIC = {"generation": "memorization_accuracy_forget", "classification": "loss_forget"}
LORA = {"rank": 2, "alpha": 4, "merge": False}


class Study:
    """The references of a small study, and runs of gradient difference on them."""

    def __init__(self, folder, task):
        self.folder, self.task = folder, task
        self.cfg = study.prepared(folder, task)
        self.cfg["train"]["finetune"] = study.FINETUNE[task] | {"epochs": 20}
        train(study.job(folder, self.cfg, "base"), folder / "prepared")
        self.original = study.job(folder, self.cfg, "original")
        train(self.original, folder / "prepared", folder / "forget", folder / "base" / "model")
        self.unlearn = cache(self.fresh)

    def job(
        self,
        to,
        epochs=5,
        evaluate=None,
        at_least=None,
        goal="lowest",
        lora=None,
        metric=None,
    ):
        training = study.TRAINING | {"epochs": epochs, "learning_rate": 1e-3, "checkpoint_seconds": 0}
        training |= {"lora": json.loads(lora)} if lora else {}
        if evaluate or at_least:
            training["evaluate"] = "each_epoch"
        if at_least:
            rule = {"metric": metric or METRIC[self.task], "goal": goal, "at_least": {"utility": at_least}}
            training["choose"] = rule
        cfg = self.cfg | {"method": {"objective": "gradient_difference", "training": training}}
        return study.job(self.folder, cfg, "method", to=to)

    def fresh(self, to, prepared="prepared", **how):
        job = self.job(to, **how)
        unlearn(job, self.folder / prepared, self.folder / "forget", self.folder / "original" / "model")
        assert not list(job.checkpoint.parent.rglob("*.safetensors"))
        return job.out


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return cache(lambda task: Study(tmp_path_factory.mktemp(task), task))


@pytest.fixture(params=["generation", "classification"])
def done(request, made):
    return made(request.param)


@pytest.fixture
def generation(made):
    return made("generation")


def weights(out):
    (file,) = (out / "model").glob("*model.safetensors")
    return load_file(file)


def equal(one, other):
    one, other = weights(one), weights(other)
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def epochs(out):
    return pd.read_csv(out / "epochs.csv")


def middle(study):
    """A rule under which an epoch between the first and the last is chosen, by hand, and that epoch."""
    found = epochs(study.unlearn("measured", at_least=0.01))
    metric = found[METRIC[study.task]]
    if study.task == "classification":  # too small to lose anything that it can do
        return {"at_least": 0.01, "goal": float(metric[2]) + 1e-9}, 2
    kept = sorted(found["utility"][1:])
    bound = (kept[0] + kept[-1]) / 2
    chosen = found[found["utility"] >= bound].sort_values([METRIC[study.task], "epoch"])["epoch"].iloc[0]
    return {"at_least": bound}, int(chosen)


def test_the_rule_by_hand():
    rule = Choose(metric="m", at_least={"utility": 0.9, "a_retain": 0.5})
    rows = [{"m": m, "utility": u, "a_retain": a} for m, u, a in
            ((0.9, 1.0, 0.8), (0.6, 0.95, 0.8), (0.6, 0.95, 0.8), (0.1, 0.95, 0.39), (0.0, 0.89, 0.8))]  # fmt: skip
    assert rule.of(rows) == 1  # the third is its equal, the others keep too little
    assert rule.of(rows[:1]) == 0
    assert rule.model_copy(update={"at_least": {"utility": 0.5}}).of(rows) == 4
    assert rule.model_copy(update={"goal": 0.85}).of(rows) == 0
    assert rule.model_copy(update={"goal": 0.2, "at_least": {"a_retain": 0.5}}).of(rows) == 4
    assert rule.model_copy(update={"goal": 0.2, "at_least": {"a_retain": 0.1}}).of(rows) == 3


def test_what_is_measured_changes_no_bit(done):
    assert equal(done.unlearn("plain"), done.unlearn("evaluated", evaluate=True))
    assert "reads" not in json.loads((done.unlearn("plain") / "run.json").read_text())
    found = epochs(done.unlearn("evaluated", evaluate=True))
    assert found["epoch"].tolist() == list(range(6)) and found["utility"][0] == 1
    assert found["utility"].between(0, 1).all()
    assert "chosen" not in found


def test_the_result_is_the_model_of_the_chosen_epoch(done):
    """Nothing of a step depends on how many follow, so that a run of so many epochs ends with the same bits."""
    rule, chosen = middle(done)
    assert 0 < chosen < 5
    out = done.unlearn("chosen", **rule)
    assert equal(out, done.unlearn("as long", epochs=chosen))
    assert not equal(out, done.unlearn("plain"))
    found = epochs(out)
    assert found["chosen"].tolist() == [float(k == chosen) for k in range(6)]
    measured = epochs(done.unlearn("measured", at_least=0.01))
    assert found[["utility", METRIC[done.task]]].equals(measured[["utility", METRIC[done.task]]])
    assert json.loads((out / "cost.json").read_text())["epochs"] == 5  # what is not taken was paid for


@pytest.mark.parametrize("merge", [False, True])
def test_adapters(generation, merge):
    lora = json.dumps(LORA | {"merge": merge})
    how = {"metric": "loss_forget", "at_least": 0.01, "lora": lora}
    measured = epochs(generation.unlearn(f"adapters-{merge}", goal=0.0, **how))
    out = generation.unlearn(f"chosen-{merge}", goal=float(measured["loss_forget"][2]), **how)
    chosen = int(epochs(out).set_index("chosen")["epoch"][1.0])
    assert chosen == 2
    assert (out / "model" / "adapter_config.json").exists() is not merge
    assert equal(out, generation.unlearn(f"as-long-{merge}", epochs=chosen, lora=lora))


def test_no_row_of_what_is_reported_is_read(done, monkeypatch):
    """A log of every example of which rows are made: none is of a set that only judges."""
    read, encoder = [], rows.encoder

    def logging(*arguments):
        encode = encoder(*arguments)
        return lambda frame: read.extend(frame["id"]) or encode(frame)

    monkeypatch.setattr(rows, "encoder", logging)
    rule, _ = middle(done)
    out = done.fresh("logged", **rule)
    sets = examples_by_set(done.folder / "prepared", done.folder / "forget")
    of = {name: {*frame["id"]} & {*read} for name, frame in sets.items()}
    assert {name for name, found in of.items() if found} == {"forget", "retain", "validation"}
    assert {"test", "holdout"} <= {*of}
    reads = json.loads((out / "run.json").read_text())["reads"]
    assert (
        reads
        == {name: len(found) for name, found in of.items() if found}
        == {"forget": 4, "retain": 8, "validation": 4}
    )


def test_other_texts_in_what_is_reported_change_no_bit(done):
    """Every text, and every label, of test, hold-out and general test is another: epochs, trace and weights are not."""
    rule, _ = middle(done)
    other = done.folder / "other"
    shutil.copytree(done.folder / "prepared", other, dirs_exist_ok=True)
    examples = pd.read_parquet(other / "examples.parquet")
    judged = ~examples["split"].isin(["train", "validation", "general"])
    assert judged.sum() >= 8
    examples.loc[judged, "text"] = [study.text(1000 + k) for k in range(judged.sum())]
    if "label" in examples:
        examples.loc[judged, "label"] = examples.loc[judged, "label"].to_numpy()[::-1]
    examples.to_parquet(other / "examples.parquet")
    one, two = done.unlearn("chosen", **rule), done.fresh("others", prepared="other", **rule)
    assert equal(one, two)
    for name in ("epochs.csv", "trace.csv"):
        assert (one / name).read_bytes() == (two / name).read_bytes()


@pytest.mark.parametrize(
    ("method", "number", "gone"),
    [("step", 1, False), ("check_epoch", 3, False), ("save", 9, False), ("save", 9, True)],
)
def test_killed_and_started_again(generation, tmp_path, method, number, gone):
    """Also right after the chosen weights were written, and where they are lost: then all is made again."""
    rule, _ = middle(generation)
    undisturbed = generation.unlearn("chosen", **rule)
    job = generation.job(f"{method}{number}{gone}", **rule)
    inputs = (
        generation.folder / "prepared",
        generation.folder / "forget",
        generation.folder / "original" / "model",
    )

    def work():
        calls, original = [], getattr(Engine, method)

        def counted(*arguments):
            found = original(*arguments)
            calls.append(1)
            return killed() if len(calls) == number else found

        setattr(Engine, method, counted)
        unlearn(job, *inputs)

    assert in_a_fork(work) < 0
    kept = job.parts / "chosen.safetensors"
    assert kept.exists() and (job.checkpoint.exists() or number == 1)
    if gone:
        os.truncate(kept, 100)
    unlearn(job, *inputs)
    assert equal(job.out, undisturbed)
    assert (job.out / "epochs.csv").read_bytes() == (undisturbed / "epochs.csv").read_bytes()


def test_a_model_that_is_no_epochs_is_refused(generation, monkeypatch):
    """A method that says nothing of it and gives back something else than what it trained."""
    from lethe.objectives import gradient_difference as method

    monkeypatch.setattr(
        method,
        "unlearn",
        lambda hyper, run: run.minimise(method.loss, hyper) and run.original(),
        raising=False,
    )
    with pytest.raises(
        InputError, match=r"methods.method.training.evaluate: each_epoch; no epoch's model is the result"
    ):
        generation.fresh("composed", epochs=1, evaluate=True)


def test_utility_by_hand():
    from lethe.evaluation.each_epoch import utility

    parts = ["accuracy_retain", "accuracy_validation"]
    original = {"accuracy_retain": 0.8, "accuracy_validation": 0.5}
    assert utility({"accuracy_retain": 0.4, "accuracy_validation": 0.6}, original, parts) == pytest.approx(
        2 / 3
    )
    assert utility({"accuracy_retain": 0.0, "accuracy_validation": 0.6}, original, parts) == 0
    nothing = original | {"accuracy_validation": 0.0}
    assert utility({"accuracy_retain": 0.4, "accuracy_validation": 0.6}, nothing, parts) == pytest.approx(0.5)


def test_what_is_measured_is_what_is_reported_of_the_same_model(generation):
    """Of the original, by `lethe score` and `lethe measure`, with validation in place of test."""
    from lethe.measure import measure
    from lethe.score import score

    folder, out = generation.folder, generation.unlearn("evaluated", evaluate=True)
    cfg = generation.cfg | {"score": {"test": "validation", "extract": [], "n": [3]}}
    score(cfg, folder / "prepared", folder / "forget", folder / "original" / "model", folder / "scores.npz")
    measure({}, 1, folder / "scores.npz", folder / "measured")
    reported = json.loads((folder / "measured" / "metrics.json").read_text())
    first = epochs(out).iloc[0]
    for name in (
        "memorization_accuracy_forget",
        "next_token_accuracy_retain",
        "next_token_accuracy_validation",
    ):
        assert first[name] == reported[name.replace("validation", "test")]


def test_a_metric_that_is_not_measured_ends_in_one_line(generation):
    job = generation.job("unknown", at_least=0.9)
    job.cfg["method"]["training"]["choose"]["metric"] = "rouge_l_recall_forget"
    line = r"methods.method.training.choose: rouge_l_recall_forget is not measured between epochs; allowed are .*loss_"
    with pytest.raises(InputError, match=line) as found:
        unlearn(
            job,
            generation.folder / "prepared",
            generation.folder / "forget",
            generation.folder / "original" / "model",
        )
    assert "\n" not in str(found.value)


def test_what_is_extracted_is_measured_where_it_is_asked_for(generation):
    job = generation.job("extracted", epochs=1, at_least=0.5)
    job.cfg["method"]["training"]["choose"]["metric"] = "extraction_likelihood_3_forget"
    unlearn(
        job,
        generation.folder / "prepared",
        generation.folder / "forget",
        generation.folder / "original" / "model",
    )
    assert epochs(job.out)["extraction_likelihood_3_forget"].between(0, 1).all()
