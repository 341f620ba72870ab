"""SISA: a deletion ends where training without the examples does, bit by bit, and costs what it trains again."""

import json
import logging

import numpy as np
import pandas as pd
import pytest
import study
import tiny
import torch
import yaml
from safetensors.torch import load_file
from tiny import encode

from lethe import losses, models
from lethe.data.encoding import Encoded, examples_by_set
from lethe.evaluation.variants import perturbed
from lethe.models.composed import RULES
from lethe.objectives import sisa
from lethe.objectives.sisa import Hyper
from lethe.params.file import check_params
from lethe.params.model import Model
from lethe.params.training import Training
from lethe.score import score
from lethe.system.errors import InputError
from lethe.system.streams import stream_seed
from lethe.train import train
from lethe.training.engine import Engine
from lethe.training.training import FINE_TUNING, fine_tuning, train_model
from lethe.unlearn import unlearn

HYPER = Hyper(shards=3, slices=2)
CLASSES = ["class 0", "class 1"]
RECIPE = study.TRAINING | {"batch": {"retain": 2}}


class Study:
    """A base model, and a forget set in the second slice of shard 0 and the first of shard 1."""

    def __init__(self, folder):
        self.folder, self.cfg = folder, study.prepared(folder, "classification")
        self.cfg["model"]["freeze"] = ["bert.embeddings"]
        train(study.job(folder, self.cfg, "base"), folder / "prepared")
        sets = pd.read_parquet(folder / "forget" / "sets.parquet")
        self.pool = sets["id"][sets["set"].isin(("forget", "retain"))].to_numpy()
        self.seed = next(seed for seed in range(1, 99) if self.places(seed).min() > 0)  # no slice is empty
        wanted = [self.pool[self.inside(*place)][0] for place in ((0, 1), (1, 0))]
        self.forget = np.isin(self.pool, wanted)
        self.request("forget", wanted)

    def places(self, seed: int) -> np.ndarray:
        """How many examples each slice has; of a seed, which is then that of the study."""
        self.shard, self.part = sisa.shard_and_slice(HYPER, self.pool, seed)
        return np.bincount(2 * self.shard + self.part, minlength=6)

    def inside(self, shard: int, part: int) -> np.ndarray:
        return (self.shard == shard) & (self.part == part)

    def request(self, name: str, ids) -> None:
        """Rewrite a forget set."""
        (self.folder / name).mkdir(exist_ok=True)
        sets = pd.read_parquet(self.folder / "forget" / "sets.parquet")
        sets.loc[sets["id"].isin(self.pool), "set"] = "retain"
        sets.loc[sets["id"].isin(ids), "set"] = "forget"
        sets.to_parquet(self.folder / name / "sets.parquet")

    def steps(self, among, shard: int, parts) -> int:
        """Worked out by hand: two epochs in batches of two on the slices up to each one."""
        sizes = [(among & (self.shard == shard) & (self.part <= part)).sum() for part in parts]
        return sum(2 * -(-int(size) // 2) for size in sizes)

    def delete(self, out: str, request: str = "forget", **training):
        method = {"objective": "sisa", "hyper": vars(HYPER), "training": RECIPE | training}
        job = study.job(self.folder, self.cfg | {"method": method}, "sisa", self.seed, out)
        base = self.folder / "base" / "model"
        unlearn(job, self.folder / "prepared", self.folder / request, self.folder / "unused", base)
        assert not list(job.checkpoint.parent.rglob("*.safetensors"))
        return job.out

    def from_scratch(self, **training) -> dict[str, dict[str, torch.Tensor]]:
        """Weights of the shards, trained slice by slice on a table that never held the forgotten examples."""
        examples = pd.read_parquet(self.folder / "prepared" / "examples.parquet")
        examples = examples[examples["id"].isin(self.pool[~self.forget])]
        shard, part = sisa.shard_and_slice(HYPER, examples["id"], self.seed)
        recipe = Training.model_validate(RECIPE | training | {"epochs": 2})
        found = {}
        for s in range(3):
            model, tokenizer = models.load(self.folder / "base" / "model", "classification")
            for j in range(2):
                inside = (shard == s) & (part <= j)
                if not inside.any():
                    continue
                rows = encode(examples[inside], tokenizer, 24, CLASSES).rows
                models.freeze(model, ["bert.embeddings"])
                batches = fine_tuning(rows, recipe, stream_seed(self.seed, f"shard{s}-slice{j}"))
                train_model(model, FINE_TUNING, batches, "scratch", self.folder / "never written")
            found[f"shard{s}"] = model.state_dict()
        return found


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    found = Study(tmp_path_factory.mktemp("sisa"))
    return found


@pytest.fixture(scope="module")
def done(made):
    """The run, and how many steps were made for it."""
    patch, made_steps, original = pytest.MonkeyPatch(), [], Engine.step
    patch.setattr(Engine, "step", lambda *args: made_steps.append(1) or original(*args))
    out = made.delete("run")
    patch.undo()
    return out, len(made_steps)


def weights(out) -> dict[str, dict[str, torch.Tensor]]:
    return {f.parent.name: load_file(f) for f in sorted((out / "model").rglob("model.safetensors"))}


def equal(one, other) -> bool:
    return one.keys() == other.keys() and all(
        torch.equal(value, other[shard][name]) for shard, own in one.items() for name, value in own.items()
    )


def test_a_deletion_is_training_from_scratch_without_the_examples(made, done):
    expected = made.from_scratch()
    assert equal(weights(done[0]), expected)
    score(
        {"task": "classification", "model": made.cfg["model"], "score": {}}, made.folder / "prepared",
        made.folder / "forget", done[0] / "model", made.folder / "scores.npz",
    )  # fmt: skip
    with np.load(made.folder / "scores.npz") as arrays:
        found = {name: arrays[name] for name in ("ids", "logits", "embeddings")}
    member, tokenizer = models.load(made.folder / "base" / "model", "classification")
    examples = pd.read_parquet(made.folder / "prepared" / "examples.parquet").set_index("id", drop=False)
    rows = encode(examples.loc[found["ids"]], tokenizer, 24, CLASSES).rows
    distributions = []
    with torch.no_grad():
        for own in expected.values():
            member.load_state_dict(own)
            distributions.append(losses.forward(member, rows).softmax(-1))
    np.testing.assert_allclose(np.exp(found["logits"]), sum(distributions) / 3, rtol=1e-4, atol=1e-6)
    assert found["embeddings"].shape == (len(rows), 3 * member.config.hidden_size)


def test_the_bits_are_those_with_adapters_too(made):
    training = {"lora": {"rank": 2, "alpha": 16, "targets": None}, "learning_rate": 0.1}
    assert equal(weights(made.delete("adapted", **training)), made.from_scratch(**training))
    before = load_file(made.folder / "base" / "model" / "model.safetensors")
    after = weights(made.folder / "adapted")["shard0"]
    changed = {name for name, value in before.items() if not torch.equal(value, after[name])}
    assert changed and not any("embeddings" in name or "LayerNorm" in name for name in changed)


def test_only_slices_from_the_first_that_was_touched_are_trained_again(made, done):
    out, all_steps = done
    cost, trace = json.loads((out / "cost.json").read_text()), pd.read_csv(out / "trace.csv")
    kept, everything = ~made.forget, np.ones(len(made.pool), bool)
    again = [made.steps(kept, 0, [1]), made.steps(kept, 1, [0, 1])]
    assert cost["steps"] == sum(again) == len(trace)
    assert cost["beforehand_steps"] == sum(made.steps(everything, s, [0, 1]) for s in range(3))
    assert all_steps == cost["steps"] + cost["beforehand_steps"]  # no checkpoint was made twice
    found = trace.groupby(["shard", "slice"]).size().to_dict()
    for place, steps in {
        (0, 1): again[0],
        (1, 0): made.steps(kept, 1, [0]),
        (1, 1): made.steps(kept, 1, [1]),
    }.items():
        assert found.get(place, 0) == steps
    assert trace["step"].tolist() == list(range(len(trace)))
    assert cost["tokens"] < cost["beforehand_tokens"] and cost["beforehand_seconds"] > 0


def test_a_killed_run_goes_on_with_its_slices(made, done, terminated_after):
    steps = terminated_after(3, done[1] - 2)
    for _ in range(2):
        with pytest.raises(SystemExit):
            made.delete("killed")
    out = made.delete("killed")
    assert len(steps) == done[1]
    assert equal(weights(out), weights(done[0]))
    assert (out / "trace.csv").read_text() == (done[0] / "trace.csv").read_text()


def test_a_shard_that_loses_all_its_examples_has_no_say(made):
    made.request("whole", made.pool[made.shard == 2])
    found = weights(made.delete("whole_run", "whole"))
    assert list(found) == ["shard0", "shard1"]


PLACES = {"a": (0, 0), "b": (0, 1), "c": (0, 1), "d": (1, 0), "e": (1, 1), "f": (1, 1)}


def place(monkeypatch, places) -> None:
    """Let examples lie in a given shard and slice each."""
    monkeypatch.setattr(
        sisa, "shard_and_slice", lambda hyper, ids, seed: np.array([places[i] for i in ids]).T
    )


@pytest.mark.parametrize(("asked", "passed"), [("", 0), ("b", 3 * 2), ("d", 3 * 2), ("af", 3 * 2 + 3 * 2)])
def test_what_a_deletion_passes_by_hand(asked, passed, monkeypatch):
    """Two shards of a slice of one example and one of two, of 2 and 3 epochs: 2 + 3 * 3 before, for each shard."""
    place(monkeypatch, PLACES)
    hyper = Hyper(shards=2, slices=2)
    assert sisa.epochs(hyper, 4) == [2, 3]
    assert sisa.work(hyper, [*PLACES], [*asked], 0, 4) == (passed, 2 * (2 + 3 * 3))


def test_all_examples_have_a_shard_and_those_to_forget_are_not_kept():
    ids = {"forget": ["a", "c"], "retain": ["b", "d", "e"]}

    class Run:
        seed, training = 3, Training(epochs=4, batch={"retain": 2})

        def encoded(self, *names):
            own = np.array([i for name in names for i in ids[name]])
            return Encoded(own, tiny.rows(len(own)))

    found = sisa.shards_of(HYPER, Run())
    shard, part = sisa.shard_and_slice(HYPER, [*"acbde"], 3)
    assert found.shard.tolist() == shard.tolist() and found.part.tolist() == part.tolist()
    assert found.kept.tolist() == [False, False, True, True, True] and len(found.rows) == 5
    touched = sisa.Shards(
        found.rows[:4], np.array([0, 0, 1, 1]), np.array([0, 1, 0, 1]), np.arange(4) != 1, [1, 1]
    )
    assert [touched.first(0), touched.first(1)] == [1, 2]


@pytest.mark.parametrize("aggregate", ["mean", "vote"])
def test_slices_are_trained_in_turn_and_again_from_the_one_that_is_touched(aggregate, monkeypatch, caplog):
    """Three slices: of shard 0 one example each, of which the last is deleted; of shard 1 one in the second."""
    caplog.set_level(logging.INFO, logger="lethe.sisa")
    places = {"a": (0, 0), "b": (0, 1), "c": (0, 2), "d": (1, 1)}
    place(monkeypatch, places)
    calls = []

    class Run:
        seed, training = 3, Training(epochs=4, batch={"retain": 2})

        def base(self):
            return tiny.classifier()

        def encoded(self, *names):
            own = np.array([*{("forget",): "c"}.get(names, "cabd")])
            return Encoded(own, tiny.rows(len(own)))

        def fit(self, name, model, rows, recipe, *, beforehand, columns):
            calls.append((name, len(rows), recipe.epochs, beforehand, columns))
            return model

    found = sisa.unlearn(Hyper(shards=2, slices=3, aggregate=aggregate), Run())
    assert calls == [
        (f"shard{shard}-slice{part}", count, 2, beforehand, {"shard": shard, "slice": part})
        for shard, part, count, beforehand in (
            (0, 0, 1, True), (0, 1, 2, True), (0, 2, 3, True), (0, 1, 2, True), (0, 2, 2, False),
            (1, 1, 1, True), (1, 2, 1, True),
        )
    ]  # fmt: skip
    assert [*found.members] == ["shard0", "shard1"] and type(found.rule).__name__.lower() == aggregate
    assert caplog.messages == ["shard 0: trained again from slice 2 of 3"]


def test_a_place_depends_on_seed_and_id_alone():
    ids = [f"r{k}" for k in range(400)]
    shard, part = sisa.shard_and_slice(Hyper(4, 2), ids, 1)
    again = sisa.shard_and_slice(Hyper(4, 2), ids[::-1][:50], 1)
    assert np.array_equal(shard[::-1][:50], again[0]) and np.array_equal(part[::-1][:50], again[1])
    counts = np.bincount(2 * shard + part, minlength=8)  # 50 expected, standard deviation 6.6
    assert len(counts) == 8 and counts.min() > 25 and counts.max() < 75
    assert not np.array_equal(shard, sisa.shard_and_slice(Hyper(4, 2), ids, 2)[0])


@pytest.mark.parametrize(
    ("slices", "total", "expected"),
    [(1, 6, [6]), (2, 3, [2, 2]), (3, 3, [1, 2, 1]), (4, 8, [3, 3, 3, 3]), (4, 1, [0, 0, 1, 0])],
)
def test_epochs_cost_as_much_as_without_slices(slices, total, expected):
    found = sisa.epochs(Hyper(slices=slices), total)
    assert found == expected
    passes = sum(n * (j + 1) / slices for j, n in enumerate(found))
    assert abs(passes - total) <= 1


@pytest.mark.parametrize("aggregate", ["mean", "vote"])
def test_an_ensemble_survives_saving_and_aggregates(tmp_path, aggregate):
    members, rows = [tiny.classifier(seed) for seed in range(3)], tiny.rows(9, True)
    _, tokenizer = models.base(
        Model(source="tiny-bert", options={"hidden_size": 8, "vocab_size": 300}),
        "classification", ["a", "b"], ["a few words", "and others"], 0,
    )  # fmt: skip
    named = {f"m{number}": member for number, member in enumerate(members)}
    models.save(models.Composed(named, RULES[aggregate]()), tokenizer, tmp_path / "model")
    whole, _ = models.load(tmp_path / "model", "classification")
    with torch.no_grad():
        logits, embedding = losses.logits_and_embedding(whole, rows)
        each = [losses.logits_and_embedding(member, rows) for member in members]
    distributions = torch.stack([own.softmax(-1) for own, _ in each])
    expected = distributions.mean(0)
    if aggregate == "vote":
        votes = torch.zeros_like(expected)
        for own in distributions:
            votes[torch.arange(9), own.argmax(-1)] += 1
        ahead = votes > votes.max(1, keepdim=True)[0] - 0.5
        assert ahead[torch.arange(9), logits.argmax(1)].all()  # the mean decides among those ahead alone
        expected = (votes + expected) / 4
    torch.testing.assert_close(logits.exp(), expected)
    torch.testing.assert_close(embedding, torch.cat([own for _, own in each], 1))


@pytest.mark.parametrize(
    ("perturbation", "options"), [("quantise", {"level": 8}), ("relearn", {"level": 1, "examples": 1})]
)
def test_an_ensemble_can_be_perturbed(made, done, perturbation, options):
    sets = examples_by_set(made.folder / "prepared", made.folder / "forget")
    whole, tokenizer = models.load(done[0] / "model", "classification")
    before = [p.detach().clone() for p in whole.parameters()]
    given = {"perturbation": perturbation, "options": options}
    cfg = {"task": "classification", "perturbation": given}
    perturbed(cfg, whole, tokenizer, sets, lambda frame: encode(frame, tokenizer, 24, CLASSES), 0.5)
    changed = [not torch.equal(a, b) for a, b in zip(before, whole.parameters(), strict=True)]
    assert np.reshape(changed, (3, -1)).any(1).all()  # something of every shard


def settings(**changes):
    """The default classification study with SISA."""
    with open("params.yaml") as file:
        tree = yaml.safe_load(file)
    tree["studies"]["topics"]["methods"] = {"sisa": {"training": changes}}
    return check_params(tree, "params.yaml").studies["topics"]


def test_training_is_that_of_the_original_unless_the_method_says_otherwise():
    study = settings(epochs=2)
    assert study.methods["sisa"].training == study.train.finetune.model_copy(update={"epochs": 2})


def test_several_processes_are_refused():
    with pytest.raises(InputError, match=r"topics.methods.sisa.training.processes: 2; .*allowed is 1"):
        settings(processes=2)
