"""Every preset is a parameter file without fault; a miniature of each, with its own keys, runs to the report."""

import copy
import json
from pathlib import Path

import pandas as pd
import pytest
from hub_folder import chat_model
from ruamel.yaml import YAML
from whole_study import make, planned

from lethe.params.addresses import folder_of

PRESETS = sorted((Path(__file__).parents[1] / "presets").glob("*.yaml"))
SIZES = {"forget": 4, "retain": 8, "holdout": 6}


def content_of(preset: Path) -> dict:
    return json.loads(json.dumps(YAML(typ="safe").load(preset)))


def miniature(preset: Path, study: str, methods: list[str]) -> dict:
    """The study of a preset on local files and tiny models, one epoch of a few methods."""
    given = copy.deepcopy(content_of(preset)["studies"][study])
    given["dataset"] |= {
        "source": "data",
        "splits": {k: source(v) for k, v in given["dataset"]["splits"].items()},
    }
    given["references"] = {"original": "models/target", "retrain": ["models/retrain"]}
    given["model"] = {"max_length": 96}
    given["unlearn"] |= {
        "epochs": 1,
        "batch": {"forget": 4, "retain": 4},
        "micro_batch": None,
        "precision": "fp32",
    }
    given["measure"] = given.get("measure", {}) | {"bootstrap": 100}
    for how in given["score"]["answers"].values():
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
    parameters, jobs = planned(content_of(preset))
    assert jobs["unlearn"] and not jobs["train"]
    assert all(study.references for study in parameters.studies.values())


def test_tofu_gives_nine_components_and_forget_quality(here):
    forget, retain, other = range(4), range(10, 18), range(30, 35)
    names = {"forget01": forget, "retain99": retain, "holdout01": range(20, 26), "forget01_perturbed": forget}
    names |= {
        "retain_perturbed": retain,
        "real_authors_perturbed": other,
        "world_facts_perturbed": range(40, 45),
    }
    hub(here / "data", {name: {"train": numbers} for name, numbers in names.items()})
    make(miniature(PRESETS[-1], "tofu-forget01", ["npo"]))
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


def test_muse_gives_verbatim_and_few_shot_knowledge_memorisation(here):
    raw = {"forget": range(4), "retain1": range(10, 18), "holdout": range(20, 26)}
    facts = {
        "forget_qa": range(4),
        "retain_qa": range(10, 14),
        "forget_qa_icl": range(2),
        "retain_qa_icl": range(12, 14),
    }
    hub(here / "data", {"raw": raw, "verbmem": {"forget": range(4)}, "knowmem": facts})
    make(miniature(PRESETS[1], "muse-news", ["npo"]))
    examples = pd.read_parquet(here / folder_of("prepare", "muse-news") / "examples.parquet")
    asked = examples[examples["split"] == "knowmem_forget"].sort_values("id")["prompt"].iloc[3][0]["content"]
    one, two = (f"Question: What is {n} plus one?\nAnswer: It is {n + 1}.\n\n" for n in (0, 1))
    assert asked == one + two + "Question: What is 3 plus one?\nAnswer: "
    numbers = json.loads((here / folder_of("measure", "muse-news", "npo", 0) / "metrics.json").read_text())
    assert {f"rouge_l_f1_{of}" for of in ("verbmem", "knowmem_forget", "knowmem_retain")} <= {*numbers}
    found = json.loads((here / folder_of("compare", "muse-news") / "comparison.json").read_text())["runs"]
    assert {"privacy_leak", "privacy_leak_low", "privacy_leak_high"} <= {*found["npo"]}
