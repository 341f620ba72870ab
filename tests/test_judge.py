"""A model of nobody's study judged on local files."""

import json

import numpy as np
import pandas as pd
import pytest
import study
import torch
from peft import LoraConfig, get_peft_model
from scipy.stats import binomtest, ks_2samp, ttest_rel
from synthetic import generation_scores

from lethe import models
from lethe.__main__ import main
from lethe.evaluation.bootstrap import intervals
from lethe.evaluation.numbers import modules
from lethe.judge import with_classes
from lethe.metrics.common.attacks import auc_interval
from lethe.models.composed import Composed, Offset
from lethe.params.measure import Measure
from lethe.params.model import Model
from lethe.system.files import digest

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


def argv(world, task, out, *more, sets=("forget", "holdout", "test"), model=None, long="cut"):
    """A command; texts are longer than the models read."""
    files = [part for name in sets for part in (f"--{name}", world / f"{name}.jsonl")]
    columns = ["--text", "body", "--id", "key"] + ["--label", "kind"] * (task == "classification")
    given = ["judge", "--model", model or world / task, "--task", task, *files, *columns]
    given += ["--long", long] if long and "--long" not in more else []
    return [str(a) for a in [*given, "--cfg", json.dumps(CFG), "--out", out, *more]]


def table_of(out):
    return json.loads((out / "table.json").read_text())


def forget_losses(out):
    table = pd.read_parquet(out / "metrics.parquet")
    return table["loss"][table["set"] == "forget"]


def test_a_generator_beside_a_retrained_one(world, tmp_path, capsys):
    log = tmp_path / "TOFU_EVAL.json"
    log.write_text('{"mia_min_k": {"agg_value": 0.5}}')
    theirs = ["--export", "open-unlearning", "--retrain", log]
    assert main(argv(world, "generation", tmp_path / "a", *theirs, sets=SIZES)) == 0
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
    losses = [forget_losses(tmp_path / name) for name in "ba"]
    assert numbers[1]["loss_ks"] == ks_2samp(*losses).pvalue
    assert numbers[1]["loss_paired"] == pytest.approx(ttest_rel(*losses).pvalue)
    assert "loss_ks" not in numbers[0]
    area = numbers[0]["min_k_40_auc"]  # beside a log that says 0.5
    assert numbers[0]["privacy_leak"] == pytest.approx(100 * (0.5 - area) / 0.5)
    exported = json.loads((tmp_path / "a/open_unlearning.json").read_text())
    assert exported["mia_loss"] == {"agg_value": numbers[0]["loss_auc"]}
    printed = capsys.readouterr().out
    assert "model − retrain" in printed and "blind_auc" in printed
    assert printed.count("by Kolmogorov-Smirnov") == 1
    assert not [word for word in study.text(0).split() if word in printed]


def test_all_windows_of_a_long_text_are_judged_or_its_beginning_alone(world, tmp_path):
    """Windows hold every token of a text once; each has as many predictions as it has tokens of the text."""
    found = {}
    for name, long in (("windows", None), ("cut", "cut")):
        both = ["--retrain", world / "other", "--reference", world / "other"]
        assert main(argv(world, "generation", tmp_path / name, "--max-length", "8", *both, long=long)) == 0
        found[name] = np.load(tmp_path / name / "scores.npz")
    tokenizer = models.tokenizer(world / "generation")
    lines = map(json.loads, (world / "forget.jsonl").read_text().splitlines())
    there = [len(tokenizer(line["body"])["input_ids"]) + 1 for line in lines]  # with an end
    read = {name: scores["mask"][scores["sets"] == "forget"].sum(1) for name, scores in found.items()}
    assert min(there) > 8 and read["cut"].tolist() == [7] * 4
    assert sum(there) - 4 <= read["windows"].sum() <= sum(there) and read["windows"].max() == 7
    assert [i for i in found["windows"]["ids"] if i.startswith("forget/forget0")][:2] == [
        "forget/forget0/0", "forget/forget0/1",
    ]  # fmt: skip
    assert found["cut"]["ids"][:4].tolist() == [f"forget/forget{k}" for k in range(4)]


def test_an_adapter_is_judged_as_what_it_makes_of_its_base(world, tmp_path):
    model, tokenizer = models.load(world / "generation", "generation")
    torch.manual_seed(0)
    settings = LoraConfig(r=2, init_lora_weights=False, target_modules=["q_proj"], task_type="CAUSAL_LM")
    adapted = get_peft_model(model, settings)
    adapted.peft_config["default"].base_model_name_or_path = str(world / "generation")
    adapted.save_pretrained(tmp_path / "adapter")
    models.save(adapted.merge_and_unload(), tokenizer, tmp_path / "merged")
    for name in ("adapter", "merged"):
        assert main(argv(world, "generation", tmp_path / f"of {name}", model=tmp_path / name)) == 0
    adapter, merged = (table_of(tmp_path / f"of {name}") for name in ("adapter", "merged"))
    assert {n: e["value"] for n, e in adapter.items()} == pytest.approx(
        {n: e["value"] for n, e in merged.items()}
    )
    known = json.loads(str(np.load(tmp_path / "of adapter/scores.npz")["model"]))
    assert known["revision"] is None and known["base"]["sha256"] == digest(world / "generation")


def test_a_pair_beside_its_own_beginning_is_judged_as_what_it_has_become(world, tmp_path):
    """z_L + (z_s' - z_s) is z_s' where s is L."""
    start, tokenizer = models.load(world / "generation", "generation")
    learnt, _ = models.load(world / "other", "generation")
    models.save(
        Composed({"large": start, "trained": learnt, "start": start}, Offset(1.0)), tokenizer, tmp_path / "of"
    )
    for name, model in (("pair", tmp_path / "of"), ("alone", world / "other")):
        assert main(argv(world, "generation", tmp_path / name, model=model)) == 0
    pair, alone = (
        {n: e["value"] for n, e in table_of(tmp_path / name).items()} for name in ("pair", "alone")
    )
    assert pair == pytest.approx(alone, rel=1e-3, nan_ok=True)


def test_a_paired_interval_of_a_mean_is_near_students():
    """Of the difference between two models of the same examples, which do not move together by chance."""
    settings = Measure(bootstrap=400)
    metrics = [m for m in modules(generation_scores(0, 1.0)) if m.__name__.endswith("memorization_accuracy")]
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
        found.append((scores, {m: m.values(scores, settings) for m in modules(scores)}))
    return found, settings


def test_a_resample_without_an_extracted_text_has_no_part_in_its_interval():
    """Of 120 retained texts one was extracted: about a third of the resamples miss it, the others all say the same."""
    scores = generation_scores(0, 1.0)
    few = scores["extracted"] & ((scores["sets"] != "retain") | (scores["ids"] == "retain30"))
    (first, second), settings = judged_generators(extracted=[few, few])
    entry = intervals([first, second], settings, 0)["extraction_likelihood_3_retain"]
    assert entry["low"] == pytest.approx(entry["value"]) == entry["high"]
    assert entry["gap_low"] == pytest.approx(entry["gap"]) == entry["gap_high"]


def test_areas_and_true_positive_rates_have_the_intervals_that_they_have_without_resampling():
    (judged, _), settings = judged_generators()
    table = intervals([judged], settings, 0)
    entry, members = table["loss_tpr_at_fpr_0.05"], 30
    exact = binomtest(round(entry["value"] * members), members).proportion_ci(0.95, "exact")
    assert (entry["low"], entry["high"]) == pytest.approx((exact.low, exact.high))
    scores, values = judged
    loss = next(v["loss"] for v in values.values() if "loss" in v)
    groups = [loss[scores["sets"] == name] for name in ("forget", "test")]
    assert (table["loss_auc"]["low"], table["loss_auc"]["high"]) == auc_interval(*groups, 0.95)


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


def rewritten(world, name, folder, change):
    """A file of texts as that of the set, each row changed."""
    rows = [json.loads(line) for line in (world / f"{name}.jsonl").read_text().splitlines()]
    file = folder / f"{name}.jsonl"
    file.write_text("".join(json.dumps(change(k, row)) + "\n" for k, row in enumerate(rows)))
    return file


def refused(arguments, capsys, *parts):
    assert main(arguments) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("lethe judge: ")]
    assert len(lines) == 1 and [part for part in parts if part not in lines[0]] == [], lines


def test_scores_of_other_texts_are_no_retrained_model(world, tmp_path, capsys):
    """Row numbers are the default ids, so that those of another file agree."""
    changed = rewritten(world, "forget", tmp_path, lambda k, row: row | {"body": row["body"][k == 2 :]})
    assert main(argv(world, "generation", tmp_path / "a", "--forget", changed)) == 0
    again = argv(world, "generation", tmp_path / "b", "--retrain", tmp_path / "a/scores.npz")
    refused(again, capsys, "--retrain", "other tokens are scored in 1 texts, first 'forget/forget2'")


@pytest.mark.parametrize(
    ("task", "before", "part"),
    [
        ("generation", ["--max-length", "12"], "other tokens are scored"),
        ("classification", ["--max-length", "6"], "other tokens are scored"),
        ("generation", ["--cfg", '{"score": {"n": [3]}}'], "score.n was [3], here it is [2]"),
        ("generation", ["--cfg", '{"score": {"n": [2], "tries": 3}}'], "score.tries was 3, here it is 8"),
    ],
)
def test_what_was_scored_otherwise_is_not_compared(task, before, part, world, tmp_path, capsys):
    assert main(argv(world, task, tmp_path / "a", *before)) == 0
    refused(
        argv(world, task, tmp_path / "b", "--retrain", tmp_path / "a/scores.npz"), capsys, "--retrain", part
    )


def stranger(world, folder, task, classes=CLASSES, seed=7, words=("zz zz zzz",)):
    """The folder of a model with other weights, classes or words."""
    small = study.SMALL[task]
    cfg = Model(source=small["source"], options=small["options"] | {"vocab_size": 270}, max_length=24)
    model, tokenizer = models.base(cfg, task, list(classes) * (task == "classification"), [*words], seed)
    models.save(model, tokenizer, folder)
    return folder


@pytest.mark.parametrize("task", ["generation", "classification"])
def test_a_retrained_model_that_reads_other_tokens_is_refused(task, world, tmp_path, capsys):
    other = stranger(world, tmp_path / "other", task)
    refused(
        argv(world, task, tmp_path / "b", "--retrain", other), capsys, "--retrain", "other tokens are scored"
    )


def same_words(world, folder, classes, seed=7):
    """A classifier that reads the tokens of the one that is judged."""
    model, tokenizer = models.load(world / "classification", "classification")
    small = study.SMALL["classification"]
    options = small["options"] | {"vocab_size": 300}
    cfg = Model(source=small["source"], options=options, max_length=24)
    other, _ = models.base(cfg, "classification", classes, [study.text(k) for k in range(100, 110)], seed)
    models.save(other, tokenizer, folder)
    return folder


def test_classes_in_another_order_are_one_mapping_where_labels_are_names(world, tmp_path, capsys):
    other = same_words(world, tmp_path / "other", CLASSES[::-1])
    refused(
        argv(world, "classification", tmp_path / "a", "--retrain", other),
        capsys,
        "another order",
        "give names",
    )
    named = [rewritten(world, n, tmp_path, lambda k, row: row | {"kind": CLASSES[k % 2]}) for n in SIZES]
    files = [part for file in named[:3] for part in (f"--{file.stem}", file)]
    assert main(argv(world, "classification", tmp_path / "b", *files, "--retrain", other)) == 0
    assert main(argv(world, "classification", tmp_path / "c", *files, model=other)) == 0
    beside, alone = table_of(tmp_path / "b"), table_of(tmp_path / "c")
    for name in ("accuracy_forget", "loss_auc", "macro_f1_test"):
        assert beside[name]["retrain"] == pytest.approx(alone[name]["value"]), name
    scores = tmp_path / "c/scores.npz"  # the same from a file
    assert main(argv(world, "classification", tmp_path / "d", *files, "--retrain", scores)) == 0
    assert table_of(tmp_path / "d") == beside


def test_classes_of_other_names_are_refused(world, tmp_path, capsys):
    other = same_words(world, tmp_path / "other", ["class 0", "class 2"])
    refused(argv(world, "classification", tmp_path / "a", "--retrain", other), capsys, "--retrain", "class 2")
    model, tokenizer = models.load(other, "classification")
    model.config.id2label = {0: "same", 1: "same"}
    models.save(model, tokenizer, other)
    refused(argv(world, "classification", tmp_path / "b", model=other), capsys, "--model", "the name same")


def test_labels_are_read_one_way_in_all_sets(world, tmp_path, capsys):
    """Classes are named 1 and 2: the forget set, all of 1, would be names, and the others, with 0, are indices."""
    other = same_words(world, tmp_path / "other", ["1", "2"])
    one = rewritten(world, "forget", tmp_path, lambda k, row: row | {"kind": "1"})
    assert main(argv(world, "classification", tmp_path / "a", "--forget", one, model=other)) == 0
    with np.load(tmp_path / "a/scores.npz") as scores:
        assert scores["labels"][scores["sets"] == "forget"].tolist() == [1] * 4
    mixed = rewritten(world, "forget", tmp_path, lambda k, row: row | {"kind": "2"})
    wrong = argv(world, "classification", tmp_path / "b", "--forget", mixed, model=other)
    refused(wrong, capsys, "--forget: 4 labels", "forget/forget0", "their indices in all sets")


@pytest.mark.parametrize("written", [str, lambda index: f"{index}.0"])
def test_indices_of_classes_may_be_written_as_floats(written):
    """A column of numbers in which one was missing is of floats, as pandas and Spark write it."""
    frames = {
        name: pd.DataFrame({"id": ["a", "b"], "label": [written(0), written(1)]})
        for name in ("forget", "test")
    }
    named = with_classes("classification", frames, ["calm", "loud"], ["calm", "loud"])
    assert [frame["label"].tolist() for frame in named.values()] == [["calm", "loud"]] * 2


def test_scores_with_numbers_of_downstream_tasks_are_read(world, tmp_path):
    assert main(argv(world, "generation", tmp_path / "a")) == 0
    with np.load(tmp_path / "a/scores.npz") as file:
        arrays = dict(file)
    arrays |= {"downstream_names": np.array(["cloze_acc"]), "downstream_values": np.array([0.5])}
    np.savez(tmp_path / "more.npz", **arrays)
    assert main(argv(world, "generation", tmp_path / "b", "--retrain", tmp_path / "more.npz")) == 0
    assert table_of(tmp_path / "b")["loss_auc"]["gap"] == 0


def test_texts_that_are_nearly_in_two_sets_are_said(world, tmp_path, caplog):
    loud = rewritten(world, "forget", tmp_path, lambda k, row: row | {"body": row["body"].upper() + "."})
    assert main(argv(world, "generation", tmp_path / "out", "--holdout", loud)) == 0
    said = [record.message for record in caplog.records if "sets overlap" in record.message]
    assert len(said) == 1 and "4 of 4 of holdout in forget" in said[0] and "test" not in said[0]
    assert json.loads((tmp_path / "out/metrics.json").read_text())["near_duplicates_holdout_forget"] == 4


@pytest.mark.parametrize("name", ["holdout", "test"])
def test_a_text_that_is_forgotten_and_unseen_is_refused(name, world, tmp_path, capsys):
    private = json.loads((world / "forget.jsonl").read_text().splitlines()[1])["body"]
    both = rewritten(world, name, tmp_path, lambda k, row: row | {"body": private} if k == 2 else row)
    parts = f"--{name}: 1 of", f"first '{name}/{name}2'", "in --forget, too"
    refused(argv(world, "generation", tmp_path / "out", f"--{name}", both), capsys, *parts)


def hub_folder(world, folder, default: bool):
    """The sets as configurations of one folder in the Hub's layout; the first may be the default one."""
    lines = ["---", "configs:"]
    for number, name in enumerate(SIZES):
        (folder / f"{name}.jsonl").write_bytes((world / f"{name}.jsonl").read_bytes())
        lines += [f"- config_name: {name}", f"  data_files: {name}.jsonl"] + ["  default: true"] * (
            not number and default
        )
    (folder / "README.md").write_text("\n".join([*lines, "---", ""]))
    return folder


def test_sets_are_configurations_of_one_folder(world, tmp_path, capsys):
    folder = hub_folder(world, tmp_path, default=True)
    given = [part for name in SIZES for part in (f"--{name}", f"{folder}:{name}")]
    assert main(argv(world, "generation", tmp_path / "a", sets=SIZES)) == 0
    assert main(argv(world, "generation", tmp_path / "b", *given[:-1], f"{folder}:retain:train")) == 0
    assert table_of(tmp_path / "b") == table_of(tmp_path / "a")
    again = [part for name in SIZES for part in (f"--{name}", folder)]
    refused(
        argv(world, "generation", tmp_path / "c", *again), capsys, "is --forget, too", "SOURCE:CONFIG:SPLIT"
    )
    many = argv(world, "generation", tmp_path / "c", "--test", f"{folder}:test:train:x")
    refused(many, capsys, "--test:", "allowed are SOURCE, SOURCE:CONFIG")
    none = argv(world, "generation", tmp_path / "c", "--test", f"{folder}:tset")
    refused(none, capsys, "--test.source", "tset")


def test_probes_are_scored_beside_the_sets(world, tmp_path, capsys):
    assert main(argv(world, "generation", tmp_path / "a")) == 0
    given = ["--probe", f"facts={world / 'retain.jsonl'}"]
    assert main(argv(world, "generation", tmp_path / "b", *given)) == 0
    plain, probed = table_of(tmp_path / "a"), table_of(tmp_path / "b")
    assert probed["loss_auc"]["value"] == plain["loss_auc"]["value"]
    assert main(argv(world, "generation", tmp_path / "c", sets=SIZES)) == 0
    as_retain = table_of(tmp_path / "c")["perplexity_retain"]["value"]
    assert probed["perplexity_facts"]["value"] == pytest.approx(as_retain)
    for wrong, part in (
        ("facts", "NAME=SOURCE"),
        ("test=x.csv", "name of another set"),
        ("A b=x.csv", "a-z"),
    ):
        refused(argv(world, "generation", tmp_path / "d", "--probe", wrong), capsys, "--probe: ", part)


@pytest.mark.parametrize("task", ["generation", "classification"])
def test_a_tokenizer_that_reads_nothing_of_a_text_is_refused(task, world, tmp_path, capsys):
    from tokenizers import Tokenizer, pre_tokenizers
    from tokenizers.models import WordLevel
    from transformers import PreTrainedTokenizerFast

    words = " ".join(study.text(k) for k in range(1, 24)).split()
    known = ["[PAD]", "[UNK]", "[END]", "[CLS]", "[SEP]", *sorted({*words} - {*study.text(0).split()})]
    tokenizer = Tokenizer(WordLevel({word: i for i, word in enumerate(known)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]", eos_token="[END]", cls_token="[CLS]"
    )
    model, _ = models.load(world / task, task)
    models.save(model, fast, tmp_path / "model")
    whole = argv(world, task, tmp_path / "out", model=tmp_path / "model")
    refused(whole, capsys, "--model: record 'forget/forget0'", "knows nothing of its text", "1 such")


def test_answers_are_judged_as_a_study_judges_them(world, tmp_path):
    def asked(k, row):
        return row | {"question": f"{k}?", "body": row["body"].split()[0]}

    names = ("forget", "holdout", "test")
    files = [part for name in names for part in (f"--{name}", rewritten(world, name, tmp_path, asked))]
    how = ["--prompt", "question", "--template", "plain", "--opening", "Q {prompt}: "]
    assert main(argv(world, "generation", tmp_path / "out", *files, *how)) == 0
    _, tokenizer = models.load(world / "generation", "generation")
    with np.load(tmp_path / "out/scores.npz") as scores:
        first = len(tokenizer("Q 0?: ")["input_ids"])
        answer = tokenizer(study.text(0).split()[0])["input_ids"]
        assert scores["prompt"][0] == first  # this tokenizer puts nothing before a text
        assert np.flatnonzero(scores["mask"][0]).tolist() == [first + k for k in range(len(answer) + 1)]


@pytest.mark.parametrize(
    ("more", "part"),
    [
        (["--opening", "Q"], "--opening: holds {prompt} 0 times"),
        (["--date", "today"], "--date: 'today' is no day"),
        (["--template", "chat"], "no chat template"),
    ],
)
def test_how_answers_are_asked_for_is_checked(more, part, world, tmp_path, capsys):
    refused(argv(world, "generation", tmp_path / "out", "--prompt", "kind", *more), capsys, part)


def test_scores_of_a_judgement_hold_no_text_unless_asked_to(world, tmp_path):
    kept = CFG | {"score": CFG["score"] | {"keep_text": True}}
    assert main(argv(world, "generation", tmp_path / "a")) == 0
    assert main(argv(world, "generation", tmp_path / "b", "--cfg", json.dumps(kept))) == 0
    with np.load(tmp_path / "a/scores.npz") as plain, np.load(tmp_path / "b/scores.npz") as whole:
        assert {*whole.files} - {*plain.files} == {"suffix", "completion", "tries", "holds_text"}
    assert table_of(tmp_path / "a") == table_of(tmp_path / "b")


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
        (["--cfg", '{"score": {"tasks": ["no_task_at_all"]}}'], ["score.tasks: no_task_at_all"]),
        (["--retrain", "none.npz"], ["none.npz: no such file"]),
        (["--max-length", "-5"], ["--max-length: -5", "2 tokens or more"]),
        (["--max-length", "1"], ["--max-length: 1", "2 tokens or more"]),
        (["--task", "classification", "--long", "windows"], ["--long: windows; allowed with", "cut"]),
        (
            ["--task", "classification", "--label", "body"],  # the column of the text by mistake
            [
                "--forget: 4 labels are no class of the model, first that of record 'forget/forget0';",
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
