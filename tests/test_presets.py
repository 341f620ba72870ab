"""Every preset is a parameter file without fault; a miniature of each, with its own keys, runs to the report."""

import copy
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from harness_offline import go_offline
from hub_folder import chat_model
from ruamel.yaml import YAML
from whole_study import make, planned

import lethe
from lethe.__main__ import main
from lethe.params.addresses import folder_of
from lethe.report.leaderboard import leaderboard
from lethe.suites import FIRST, suites

PRESETS = sorted((Path(__file__).parents[1] / "presets").glob("*.yaml"))
TOFU, NEWS, WMDP, ICU, DEEPCUT = (
    Path(__file__).parents[1] / f"presets/{name}.yaml"
    for name in ("tofu", "muse-news", "wmdp", "icu", "deepcut")
)
SIZES = {"forget": 4, "retain": 8, "holdout": 6}


def content_of(preset: Path) -> dict:
    return json.loads(json.dumps(YAML(typ="safe").load(preset)))


def miniature(preset: Path, study: str, methods: list[str]) -> dict:
    """The study of a preset on local files and tiny models, one epoch of a few methods."""
    given = copy.deepcopy(content_of(preset)["studies"][study])
    given["dataset"] |= {
        "source": "data",
    }
    if "splits" in given["dataset"]:
        given["dataset"]["splits"] = {k: source(v) for k, v in given["dataset"]["splits"].items()}
    given["references"] = {"original": "models/target", "retrain": ["models/retrain"]}
    given["model"] = {"max_length": 128}
    given["unlearn"] |= {
        "epochs": 1,
        "batch": {"forget": 4, "retain": 4},
        "micro_batch": None,
        "precision": "fp32",
    }
    given["measure"] = given.get("measure", {}) | {"bootstrap": 100}
    for how in given.get("score", {}).get("answers", {}).values():
        how["tokens"] = min(how["tokens"], 6)
    given["methods"] = {name: {} for name in methods}
    given["robustness"] = {k: v for k, v in given.get("robustness", {}).items() if k == "few_shot"}
    return {"studies": {study: given}}


def source(given):
    return {"config": given} if isinstance(given, str) else given


def row(number: int) -> dict:
    return {
        "question": f"What is {number} plus one?",
        "answer": f"It is {number + 1}.",
        "paraphrased_answer": f"One more: {number + 1}.",
        "perturbed_answer": [f"It is {number}.", f"It is {number + 2}."],
        "text": f"Somebody counted {number} boats and then {number + 1} more in the harbour of town {number}.",
        "prompt": f"Somebody counted {number}",
        "gt": f" boats and then {number + 1} more in the harbour.",
    }


def hub(folder: Path, configs: dict[str, dict[str, range]]) -> None:
    """Files of configurations and splits in the Hub's layout."""
    folder.mkdir(parents=True)
    lines = ["---", "configs:"]
    for config, splits in configs.items():
        lines += [f"- config_name: {config}", "  data_files:"]
        for split, numbers in splits.items():
            name = f"{config}-{split}.json"
            (folder / name).write_text("".join(json.dumps(row(n)) + "\n" for n in numbers))
            lines += [f"  - split: {split}", f"    path: {name}"]
    (folder / "README.md").write_text("\n".join([*lines, "---", ""]))


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for seed, name in enumerate(("target", "retrain")):
        chat_model(tmp_path / "models" / name, seed)
    return tmp_path


@pytest.mark.parametrize("preset", PRESETS, ids=lambda file: file.stem)
def test_a_preset_can_be_planned_offline(preset, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data/extraction/gpt2").mkdir(parents=True)  # which the Hub does not have
    (tmp_path / "data/extraction/train_dataset.npy").touch()
    parameters, jobs = planned(content_of(preset))
    assert jobs["unlearn"]
    trained = {name for name, study in parameters.studies.items() if study.references is None}
    assert trained == {job.where["study"] for job in jobs["train"].values()}
    for study in parameters.studies.values():
        assert study.references or preset in (DEEPCUT, TOFU)


def test_tofu_gives_nine_components_and_forget_quality(here):
    forget, retain, other = range(4), range(10, 18), range(30, 35)
    names = {"forget01": forget, "retain99": retain, "holdout01": range(20, 26), "forget01_perturbed": forget}
    names |= {
        "retain_perturbed": retain,
        "real_authors_perturbed": other,
        "world_facts_perturbed": range(40, 45),
    }
    hub(here / "data", {name: {"train": numbers} for name, numbers in names.items()})
    make(miniature(TOFU, "tofu-forget01", ["npo", "in_context"]))
    numbers = json.loads(
        (here / folder_of("measure", "tofu-forget01", "npo", 0) / "metrics.json").read_text()
    )
    sets = ("retain_perturbed", "real_authors", "world_facts")
    parts = [f"{name}_{of}" for name in ("rouge_l_recall", "truth_ratio") for of in sets]
    parts += ["probability_retain_perturbed", *(f"probability_with_options_{of}" for of in sets[1:])]
    values = [numbers[name] for name in parts]
    harmonic = len(values) / sum(1 / value for value in values) if min(values) > 0 else 0
    assert numbers["model_utility"] == pytest.approx(harmonic) and len(parts) == 9
    found = json.loads((here / folder_of("compare", "tofu-forget01") / "comparison.json").read_text())["runs"]
    for run in ("original", "npo"):
        assert 0 <= found[run]["forget_quality"]["mean"] <= 1
        assert found[run]["forget_quality_n"]["mean"] == 4
        assert "privacy_leak" in found[run] and "truth_ratio_forget_perturbed" in found[run]
    assert "npo+few_shot-4" in found
    summary = (here / "results/report/summary.md").read_text()
    assert "truth ratio, forget" in summary and "model utility" in summary
    judged_by_the_suite(here, found["original"])


def judged_by_the_suite(here: Path, found: dict) -> None:
    """`lethe judge` with nothing but ids gives the numbers of the study, also beside a log of the retrained model."""
    cfg = {"score": {"answers": {}}, "measure": {"bootstrap": 100}}
    given = ["judge", "--suite", "tofu-forget01", "--model", "models/target", "--data", "data"]
    given += ["--cfg", json.dumps(cfg), "--export", "open-unlearning"]
    assert main([*given, "--retrain", "models/retrain", "--out", "beside"]) == 0
    beside = json.loads(Path("beside/metrics.json").read_text())
    study = numbers_of("tofu-forget01", "original")
    without_words = {name for name in study if not name.startswith(("rouge", "model_utility", "reference"))}
    shared = {name for name in {*beside} & without_words if not name.startswith("near_duplicates")}
    assert len(shared) > 60
    assert {name: beside[name] for name in shared} == pytest.approx(
        {name: study[name] for name in shared}, nan_ok=True
    )
    assert beside["forget_quality"] == pytest.approx(found["forget_quality"]["mean"])
    exported = json.loads(Path("beside/open_unlearning.json").read_text())
    assert exported["forget_quality"]["agg_value"] == beside["forget_quality"]
    assert exported["forget_truth_ratio"]["agg_value"] == beside["truth_ratio_forget_perturbed"]
    retrain = pd.read_parquet(folder_of("measure", "tofu-forget01", "retrain", 0) + "/metrics.parquet")
    ratios = np.exp(retrain.loc[retrain["set"] == "forget_perturbed", "log_truth_ratio"])
    log = {"forget_truth_ratio": {"value_by_index": {str(n): {"score": r} for n, r in enumerate(ratios)}}}
    Path("TOFU_EVAL.json").write_text(json.dumps(log))
    assert main([*given, "--retrain", "TOFU_EVAL.json", "--out", "logged"]) == 0
    logged = json.loads(Path("logged/metrics.json").read_text())
    assert logged["forget_quality"] == pytest.approx(beside["forget_quality"])
    told_is_judged_as_told(given, shared)


def told_is_judged_as_told(given: list[str], shared: set[str]) -> None:
    """The instruction of an in-context model comes before what it is asked, not before what its retrained one is."""
    model = folder_of("unlearn", "tofu-forget01", "in_context", 0) + "/model"
    given = [model if part == "models/target" else part for part in given]
    assert main([*given, "--retrain", "models/retrain", "--out", "told"]) == 0
    numbers, study = (
        json.loads(Path("told/metrics.json").read_text()),
        numbers_of("tofu-forget01", "in_context"),
    )
    assert {name: numbers[name] for name in shared} == pytest.approx(
        {name: study[name] for name in shared}, nan_ok=True
    )
    read = [
        np.load(folder_of("score", "tofu-forget01", run, 0) + "/scores.npz")["checksum"].tolist()
        for run in ("original", "in_context")
    ]
    assert read[0] == read[1]  # without the instruction, so that the two can stand beside each other
    original, retrain = (numbers_of("tofu-forget01", run) for run in ("original", "retrain"))
    assert numbers["loss_forget"] != pytest.approx(original["loss_forget"], rel=1e-3)
    gaps = json.loads(Path("told/table.json").read_text())["probability_forget"]
    assert gaps["retrain"] == pytest.approx(retrain["probability_forget"])


def test_muse_gives_verbatim_and_few_shot_knowledge_memorisation(here):
    raw = {"forget": range(4), "retain1": range(10, 18), "holdout": range(20, 26)}
    facts = {
        "forget_qa": range(4),
        "retain_qa": range(10, 14),
        "forget_qa_icl": range(2),
        "retain_qa_icl": range(12, 14),
    }
    hub(here / "data", {"raw": raw, "verbmem": {"forget": range(4)}, "knowmem": facts})
    content = miniature(NEWS, "muse-news", ["npo"])
    make(content)
    examples = pd.read_parquet(here / folder_of("prepare", "muse-news") / "examples.parquet")
    asked = examples[examples["split"] == "knowmem_forget"].sort_values("id")["prompt"].iloc[3][0]["content"]
    one, two = (f"Question: What is {n} plus one?\nAnswer: It is {n + 1}.\n\n" for n in (0, 1))
    assert asked == one + two + "Question: What is 3 plus one?\nAnswer: "
    numbers = json.loads((here / folder_of("measure", "muse-news", "npo", 0) / "metrics.json").read_text())
    assert {f"rouge_l_f1_{of}" for of in ("verbmem", "knowmem_forget", "knowmem_retain")} <= {*numbers}
    found = json.loads((here / folder_of("compare", "muse-news") / "comparison.json").read_text())["runs"]
    assert {"privacy_leak", "privacy_leak_low", "privacy_leak_high"} <= {*found["npo"]}
    cfg = {"score": {"answers": content["studies"]["muse-news"]["score"]["answers"]}}
    cfg |= {"measure": {"bootstrap": 100}}
    given = ["judge", "--suite", "muse", "--model", "models/target", "--retrain", "models/retrain"]
    assert main([*given, "--data", "data", "--cfg", json.dumps(cfg), "--out", "judged"]) == 0
    judged, study = json.loads(Path("judged/metrics.json").read_text()), numbers_of("muse-news", "original")
    shared = {name for name in {*judged} & {*study} if not name.startswith("near_duplicates")}
    assert {f"rouge_l_f1_{of}" for of in ("verbmem", "knowmem_forget", "knowmem_retain")} <= shared
    assert {name: judged[name] for name in shared} == pytest.approx(
        {name: study[name] for name in shared}, nan_ok=True
    )
    leak = {name: judged[name] for name in ("privacy_leak", "privacy_leak_low", "privacy_leak_high")}
    assert leak == pytest.approx({name: found["original"][name]["mean"] for name in leak})


def test_what_is_no_suite_and_what_a_suite_lacks_is_said(here, capsys):
    for given, parts in (
        (["--suite", "tofy"], ["--suite: tofy", "tofu, muse, wmdp", "muse-books"]),
        (["--suite", "muse", "--holdout", "a.jsonl"], ["--holdout: a.jsonl", "forget, retain, test"]),
        (["--data", "data"], ["--forget, --holdout, --test: missing", "--suite"]),
    ):
        assert main(["judge", "--model", "models/target", *given]) == 2
        line = capsys.readouterr().err.splitlines()[-1]
        assert [part for part in parts if part not in line] == []
    assert {*FIRST} == {"tofu", "muse", "wmdp"} and {*FIRST.values()} <= {*suites()}


def plain_text(number: int) -> str:
    return f"Somebody counted {number} boats and then {number + 1} more in the harbour of town {number}."


def files(folder: Path, configs: dict[str, dict[str, list[dict]]], facts: str = "") -> None:
    """Configurations of rows in the Hub's layout."""
    folder.mkdir(parents=True)
    lines = ["---", "configs:"]
    for config, splits in configs.items():
        lines += [f"- config_name: {config}", "  data_files:"]
        for split, rows in splits.items():
            (folder / f"{config}-{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
            lines += [f"  - split: {split}", f"    path: {config}-{split}.jsonl"]
    (folder / "README.md").write_text("\n".join([*lines, *facts.splitlines(), "---", ""]))


def numbers_of(study: str, run: str, seed: int = 0) -> dict[str, float]:
    return json.loads((Path(folder_of("measure", study, run, seed)) / "metrics.json").read_text())


def test_wmdp_gives_accuracy_and_the_probability_of_the_right_letter(here, monkeypatch, capsys):
    pytest.importorskip("lm_eval", reason="the evaluation harness is optional: pip install 'lethe[harness]'")
    go_offline(monkeypatch, here / "cache", "wmdp")
    sets = {"forget": range(4), "retain": range(10, 18), "test": range(20, 26)}
    rows = {name: [{"text": plain_text(n)} for n in numbers] for name, numbers in sets.items()}
    files(here / "data", {name: {"train": own} for name, own in rows.items()})
    asked = [
        {"question": f"What is {n} plus {n}?", "choices": [str(n + k) for k in range(4)], "answer": n}
        for n in range(4)
    ]
    files(here / "questions", {f"wmdp-{of}": {"test": asked * 2} for of in ("bio", "cyber", "chem")})
    content = miniature(WMDP, "wmdp-bio", ["rmu", "eco"])
    study = content["studies"]["wmdp-bio"]
    study["references"].pop("retrain")  # nobody has one
    study["dataset"]["splits"] = {name: {"source": "data", "config": name} for name in sets}
    study["score"]["tasks"] = [
        task | {"data": "questions"} if isinstance(task, dict) and "wmdp" in task["task"]
        else {"task": "documentation_cloze", "shots": 2} if isinstance(task, dict) else "documentation_cloze"
        for task in study["score"]["tasks"]
    ]  # fmt: skip
    make(content)
    numbers = numbers_of("wmdp-bio", "eco")
    for how in ("bio", "bio_5_shot", "bio_chat", "cyber", "chem"):
        for of in ("acc", "probability"):
            assert 0 <= numbers[f"downstream_forget_wmdp_{how}_{of}"] <= 1
    assert numbers["downstream_documentation_cloze_2_shot_acc"] > 0
    assert numbers["downstream_accuracy_forget"] != numbers["downstream_accuracy"]
    summary = (here / "results/report/summary.md").read_text()
    assert "accuracy, tasks to forget" in summary and "right answer, tasks to forget" in summary
    assert "eco" in leaderboard([here / "results/report"])
    cfg = {"score": {"tasks": [study["score"]["tasks"][0]]}, "measure": {"bootstrap": 100}}
    given = [
        "judge",
        "--suite",
        "wmdp",
        "--model",
        "models/target",
        "--data",
        "questions",
        "--cfg",
        json.dumps(cfg),
    ]
    sources = [part for name in sets for part in (f"--{name}", f"data:{name}")]
    assert main([*given, *sources, "--out", "judged"]) == 0
    judged = json.loads((here / "judged/metrics.json").read_text())
    original = numbers_of("wmdp-bio", "original")
    for of in ("acc", "probability"):
        name = f"downstream_forget_wmdp_bio_{of}"
        assert judged[name] == pytest.approx(original[name])
    assert f"forget_wmdp_bio_acc {original['downstream_forget_wmdp_bio_acc']:.3f}" in capsys.readouterr().out


def test_icu_gives_memorisation_and_extraction_of_the_challenge(here):
    """Tokens in the layout of the challenge; general text is a folder in the Hub's layout."""
    draw = np.random.default_rng(0)
    np.save(here / "tokens.npy", draw.integers(10, 260, (40, 24)))
    files(here / "text", {"wikitext": {"validation": [{"text": plain_text(n)} for n in range(12)]}})
    content = miniature(ICU, "icu-125m", ["icu", "icu_faithful", "dp_decoding"])
    study = content["studies"]["icu-125m"]
    study["seeds"] = [0]
    study["references"].pop("retrain")  # all sizes saw all texts
    study["dataset"] |= {"source": "tokens.npy", "tokenizer": "models/target"}
    study["dataset"]["sizes"] = {"train": 24, "validation": 4, "holdout": 4, "test": 6}
    study["dataset"]["general"] |= {"source": "text", "config": "wikitext", "test": 4}
    study["model"] = {"max_length": 24}
    study["forget"] |= {"size": 4}
    study["forget"]["pairing"]["embedding"] = "tfidf"
    study["unlearn"]["batch"]["analogue"] = 4
    study["unlearn"]["stop"]["start"] = study["score"]["start"] = 8
    study["score"]["tasks"] = []
    make(content)
    numbers = numbers_of("icu-125m", "icu")
    assert {"memorization_accuracy_forget", "extraction_likelihood_10_forget", "perplexity_general_test"} <= {
        *numbers
    }
    assert "EL10, forget" in (here / "results/report/summary.md").read_text()


TAGS = """dataset_info:
  features:
  - name: tokens
    sequence: string
  - name: ner_tags
    sequence:
      class_label:
        names:
          '0': O
          '1': B-PER
          '2': B-LOC"""


@pytest.mark.parametrize("study", ["bert-news", "roberta-entities"])
def test_deepcut_gives_accuracy_attack_and_latent_space(study, here):
    texts = [{"text": plain_text(n), "label": n % 2} for n in range(40)]
    tagged = [
        {"tokens": ["Ada", f"counted{n}", "in", f"Bern{n}"], "ner_tags": [1, 0, 0, 2]} for n in range(40)
    ]
    rows = texts if study == "bert-news" else tagged
    files(here / "data", {"default": {"train": rows[:30], "test": rows[30:]}}, TAGS * (rows is tagged))
    content = miniature(DEEPCUT, study, ["deepcut", "gradient_difference"])
    own = content["studies"][study]
    own.pop("references")
    own["seeds"] = [1]
    own["dataset"]["sizes"] = {"train": 20, "validation": 4, "holdout": 6, "test": 8}
    own["model"] = {
        "source": "tiny-bert",
        "max_length": 16,
        "options": {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "vocab_size": 200},
    }
    own["forget"]["size"] = 4
    own["train"]["finetune"] |= {
        "epochs": 2,
        "learning_rate": 3e-3,
        "batch": {"retain": 4},
        "precision": "fp32",
    }
    make(content)
    numbers = numbers_of(study, "deepcut", 1)
    accuracy = "accuracy" if study == "bert-news" else "token_accuracy"
    assert {f"{accuracy}_forget", f"{accuracy}_test", "attack_auc"} <= {*numbers}
    found = json.loads((here / folder_of("compare", study) / "comparison.json").read_text())["runs"]
    assert {"retrain", "deepcut", "gradient_difference"} <= {*found}


def test_the_package_is_whole_without_what_lies_around_it():
    """DVC refuses a dependency with a link that leads nowhere, as in a copy of the package alone."""
    package = Path(lethe.__file__).parent
    assert [path for path in package.rglob("*") if path.is_symlink()] == []
    assert PRESETS[0].resolve().is_relative_to(package)
