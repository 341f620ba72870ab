"""A model of nobody's study judged on local files."""

import json

import numpy as np
import pytest
import study
import torch
from synthetic import generation_scores

from lethe import models
from lethe.__main__ import main
from lethe.evaluation.bootstrap import intervals
from lethe.measure import modules
from lethe.params.measure import Measure
from lethe.params.model import Model

SIZES = {"forget": 4, "holdout": 6, "test": 8, "retain": 6}
CFG = {"score": {"n": [2]}, "measure": {"bootstrap": 100}}
CLASSES = ["class 0", "class 1"]


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Folders `generation`, `classification` and `other` of models, and a file of texts for every set."""
    folder = tmp_path_factory.mktemp("judge")
    for name, task in (
        ("generation", "generation"),
        ("classification", "classification"),
        ("other", "generation"),
    ):
        small = study.SMALL[task]
        cfg = Model(source=small["source"], options=small["options"] | {"vocab_size": 300}, max_length=24)
        words = [study.text(k) for k in range(100, 110)]
        classes = CLASSES if task == "classification" else []
        model, tokenizer = models.base(cfg, task, classes, words, 0)
        if name == "other":
            with torch.no_grad():
                for parameter in model.parameters():
                    parameter.mul_(1.5)
        models.save(model, tokenizer, folder / name)
    number = 0
    for name, size in SIZES.items():
        rows = []
        for row in range(size):
            rows.append({"key": f"{name}{row}", "body": study.text(number), "kind": str(row % 2)})
            number += 1
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def argv(world, task, out, *more, sets=("forget", "holdout", "test"), model=None):
    files = [part for name in sets for part in (f"--{name}", world / f"{name}.jsonl")]
    columns = ["--text", "body", "--id", "key"] + ["--label", "kind"] * (task == "classification")
    given = ["judge", "--model", model or world / task, "--task", task, *files, *columns]
    return [str(a) for a in [*given, "--cfg", json.dumps(CFG), "--out", out, *more]]


def table_of(out):
    return json.loads((out / "table.json").read_text())


def test_a_generator_beside_a_retrained_one(world, tmp_path, capsys):
    assert main(argv(world, "generation", tmp_path / "a", sets=SIZES)) == 0
    reference = ["--reference", world / "other"]
    other = argv(
        world,
        "generation",
        tmp_path / "b",
        "--retrain",
        tmp_path / "a/scores.npz",
        *reference,
        sets=SIZES,
        model=world / "other",
    )
    assert main(other) == 0
    first, second = (table_of(tmp_path / name) for name in "ab")
    numbers = [json.loads((tmp_path / name / "metrics.json").read_text()) for name in "ab"]
    for name, entry in second.items():
        if "gap" in entry and name in first:  # beside a reference the retrained one has a number more
            assert entry["retrain"] == first[name]["value"] == numbers[0][name]
            assert entry["gap"] == pytest.approx(numbers[1][name] - numbers[0][name])
            assert entry["gap_low"] <= entry["gap_high"]
    assert {"loss_auc", "perplexity_test", "memorization_accuracy_forget", "min_k_balanced_accuracy"} <= set(
        second
    )
    assert all(entry["low"] <= entry["high"] for entry in second.values())
    # the reference is the model itself: no loss is higher than another
    assert numbers[1]["reference_loss_auc"] == 0.5
    assert "reference_loss_auc" not in numbers[0]
    assert second["reference_loss_auc"]["value"] == 0.5
    assert second["reference_loss_auc"]["retrain"] != 0.5  # the other model beside the same reference
    printed = capsys.readouterr().out
    assert "model − retrain" in printed and "blind_auc" in printed
    assert not [word for word in study.text(0).split() if word in printed]


def test_a_paired_interval_of_a_mean_is_near_students():
    """Of the difference between two models of the same examples, which do not move together by chance."""
    settings = Measure(bootstrap=400)
    metrics = [m for m in modules("generation") if m.__name__.endswith("memorization_accuracy")]
    judged = [
        (s, {m: m.values(s, settings) for m in metrics})
        for s in (generation_scores(0, 1.0), generation_scores(1, 0.0))
    ]
    for scores, _ in judged:
        scores["mask"] = judged[0][0]["mask"]
    entry = intervals(judged, settings, 0)["memorization_accuracy_forget"]
    columns = [next(iter(v.values()))["memorization_accuracy"] for _, v in judged]
    difference = (columns[0] - columns[1])[judged[0][0]["sets"] == "forget"]
    assert entry["gap"] == pytest.approx(difference.mean())
    half = 1.96 * difference.std(ddof=1) / np.sqrt(len(difference))
    assert (entry["gap_high"] - entry["gap_low"]) / 2 == pytest.approx(half, rel=0.15)


def judged_generators(**more):
    """Two made-up models of the same examples, with more arrays."""
    settings, found = Measure(bootstrap=100), []
    for seed in (0, 1):
        scores = generation_scores(seed, 1.0 - seed) | {name: values[seed] for name, values in more.items()}
        scores |= {"logprob": np.full(scores["mask"].shape, -2.0)}
        found.append((scores, {m: m.values(scores, settings) for m in modules("generation")}))
    return found, settings


def test_a_resample_without_an_extracted_text_has_no_part_in_its_interval():
    """Of 120 retained texts one was extracted: about a third of the resamples miss it, the others all say the same."""
    scores = generation_scores(0, 1.0)
    few = scores["extracted"] & ((scores["sets"] != "retain") | (scores["ids"] == "retain30"))
    (first, second), settings = judged_generators(extracted=[few, few])
    entry = intervals([first, second], settings, 0)["extraction_likelihood_3_retain"]
    assert entry["low"] == pytest.approx(entry["value"]) == entry["high"]
    assert entry["gap_low"] == pytest.approx(entry["gap"]) == entry["gap_high"]


def test_a_true_positive_rate_has_its_exact_bounds():
    """Of 30 nobody is found: every resample says 0, Clopper and Pearson at most 0.116 (printed in their tables)."""
    (judged, _), settings = judged_generators()
    entry = intervals([judged], settings, 0)["loss_tpr_at_fpr_0.001"]
    assert entry["value"] == entry["low"] == 0
    assert entry["high"] == pytest.approx(0.116, abs=5e-4)


def test_downstream_tasks_have_no_interval_over_examples_that_are_not_theirs():
    names, values = np.array(["cloze_acc"]), [np.array([0.50]), np.array([0.51])]
    judged, settings = judged_generators(downstream_names=[names] * 2, downstream_values=values)
    assert not [name for name in intervals(judged, settings, 0) if name.startswith("downstream")]


def test_a_number_that_the_retrained_model_lacks_is_shown_without_a_gap():
    """Its scores may be older, or of other n-grams."""
    judged, settings = judged_generators()
    (_, values), _ = judged
    judged[1] = (judged[1][0], {m: v for m, v in judged[1][1].items() if "min_k" not in v})
    table = intervals(judged, settings, 0)
    assert set(table["min_k_auc"]) == {"value", "low", "high"}
    assert "gap" in table["loss_auc"]
    assert table["min_k_auc"] == intervals([judged[0]], settings, 0)["min_k_auc"]


def test_scores_of_other_texts_are_no_retrained_model(world, tmp_path, capsys):
    """Row numbers are the default ids, so that those of another file agree."""
    changed = tmp_path / "forget.jsonl"
    rows = [json.loads(line) for line in (world / "forget.jsonl").read_text().splitlines()]
    rows[2]["body"] += " more"
    changed.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert main(argv(world, "generation", tmp_path / "a", "--forget", changed)) == 0
    assert main(argv(world, "generation", tmp_path / "b", "--retrain", tmp_path / "a/scores.npz")) == 2
    assert "1 texts of another length, first forget/forget2" in capsys.readouterr().err


@pytest.mark.parametrize("forgotten", ["0", "1"])
def test_texts_of_a_single_class_are_judged(forgotten, world, tmp_path):
    """Nothing is retained and nothing is of another class: a silhouette and a probe are not defined.

    If all that is forgotten is of the other class, nor is a distance to its centre.
    """
    for name in ("forget", "holdout", "test"):
        rows = [json.loads(line) for line in (world / f"{name}.jsonl").read_text().splitlines()]
        kind = forgotten if name == "forget" else "0"
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(r | {"kind": kind}) + "\n" for r in rows))
    files = [p for name in ("forget", "holdout", "test") for p in (f"--{name}", tmp_path / f"{name}.jsonl")]
    assert main(argv(world, "classification", tmp_path / "out", *files)) == 0
    table = table_of(tmp_path / "out")
    assert ("centroid_distance_forget" in table) == (forgotten == "0")
    assert "centroid_distance_test" in table and "loss_auc" in table
    assert not [name for name in table if name.startswith("calibration_error")]  # resamples do not bound it
    assert not [name for name in table if name.startswith(("silhouette", "probe"))]


def test_a_reference_that_reads_other_tokens_is_refused(world, tmp_path, capsys):
    """Also where all texts are cut to one length, so that the numbers of tokens agree."""
    cfg = Model(source="tiny-gpt-neo", options=study.SMALL["generation"]["options"] | {"vocab_size": 270})
    model, tokenizer = models.base(cfg, "generation", [], ["zz zz zzz"], 0)
    models.save(model, tokenizer, tmp_path / "stranger")
    short = ["--max-length", "8", "--reference"]
    assert main(argv(world, "generation", tmp_path / "a", *short, world / "other")) == 0
    assert main(argv(world, "generation", tmp_path / "b", *short, tmp_path / "stranger")) == 2
    assert "stranger: other tokens are scored" in capsys.readouterr().err


def test_a_classifier_without_retained_texts(world, tmp_path):
    assert main(argv(world, "classification", tmp_path)) == 0
    numbers = json.loads((tmp_path / "metrics.json").read_text())
    assert {"accuracy_forget", "loss_auc", "loss_auc_low", "blind_auc", "blind_leak"} <= set(numbers)
    assert not [name for name in numbers if name.startswith("attack") or name.endswith("balanced_accuracy")]
    with np.load(tmp_path / "scores.npz") as scores:
        assert scores["classes"].tolist() == CLASSES
        assert scores["labels"][:4].tolist() == [0, 1, 0, 1]  # given by index
        assert scores["ids"][0] == "forget/forget0"


def test_texts_about_one_person_are_judged_without_the_blind_control(world, tmp_path):
    rows = [json.loads(line) for line in (world / "forget.jsonl").read_text().splitlines()]
    one = tmp_path / "one.jsonl"
    one.write_text("".join(json.dumps(row | {"who": "p"}) + "\n" for row in rows))
    others = [tmp_path / f"{name}.jsonl" for name in ("holdout", "test")]
    for path in others:
        path.write_text((world / path.name).read_text().replace("{", '{"who": null, '))
    files = [part for path in (one, *others) for part in (f"--{path.stem}", str(path))]
    files[0] = "--forget"
    assert main(argv(world, "generation", tmp_path / "out", *files, "--subject", "who")) == 0
    assert "blind_auc" not in table_of(tmp_path / "out")


@pytest.mark.parametrize(
    ("changes", "parts"),
    [
        (["--model", "/none/such"], ["--model: /none/such: no readable model", "Hub id"]),
        (["--forget", "none.jsonl"], ["--forget.source", "none.jsonl", "does not exist"]),
        (["--forget", "forget.txt"], ["--forget: source", "forget.txt", "no source of text"]),
        (["--text", "words"], ["--forget.text", "no column 'words'", "key, body, kind"]),
        (["--cfg", '{"scores": {}}'], ["--cfg: scores: unknown key", "score, measure"]),
        (["--cfg", '{"measure": {"bootstrap": 1}}'], ["--cfg: measure.bootstrap: 1"]),
        (["--cfg", '{"score": {"tasks": ["hellaswag"]}}'], ["--cfg: score.tasks", "lm_eval run"]),
        (["--retrain", "none.npz"], ["none.npz: no such file"]),
        (
            ["--task", "classification", "--label", "body"],  # the column of the text by mistake
            [
                "--forget: 4 labels are no class of the model, first that of record forget/forget0;",
                "class 0, class 1",
            ],
        ),
    ],
)
def test_what_cannot_be_judged_ends_in_one_line(changes, parts, world, tmp_path, capsys):
    task = changes[1] if changes[0] == "--task" else "generation"
    assert main(argv(world, task, tmp_path / "out", *changes)) == 2
    written = capsys.readouterr()
    lines = [line for line in written.err.splitlines() if line.startswith("lethe judge: ")]
    assert len(lines) == 1 and written.out == ""
    assert [part for part in parts if part not in lines[0]] == []
    assert not (tmp_path / "out").exists()
    private = [word for number in range(SIZES["forget"]) for word in study.text(number).split()]
    assert not [word for word in private if word in written.err]
