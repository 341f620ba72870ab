"""The rows of TOFU itself with tiny models: nine components, forget quality, the leaderboard, and equal damage."""

import json
import shutil
from pathlib import Path

import pytest
from hub_folder import chat_model
from ruamel.yaml import YAML
from whole_study import make

from lethe.params.addresses import folder_of
from lethe.report.leaderboard import leaderboard

ROOT = Path(__file__).parents[1]
DATA = ROOT.parent / "shared/data/tofu"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not DATA.is_dir(), reason="no rows of TOFU beside the repository"),
]
STUDY = "tofu-forget01"
ROWS = dict.fromkeys(
    ("forget01", "forget01_perturbed", "retain_perturbed", "real_authors_perturbed", "world_facts_perturbed"),
    8,
) | {"retain99": 24}  # the first of each file: all 4,000 give the same and take a minute
SETS = ("retain_perturbed", "real_authors", "world_facts")


def content() -> dict:
    """The preset with local files and models; its hold-out is not among the files."""
    given = json.loads(json.dumps(YAML(typ="safe").load(ROOT / "presets/tofu.yaml")))["studies"][STUDY]
    given["dataset"] |= {"source": "data", "splits": {"forget": "forget01", "retain": "retain99"}}
    given["references"] = {"original": "models/target", "retrain": ["models/retrain"]}
    given["model"] = {"max_length": 96}
    given["unlearn"] |= {
        "epochs": 2, "learning_rate": 1e-2, "warmup": 0.0, "micro_batch": None, "precision": "fp32",
        "batch": {"forget": 4, "retain": 4}, "evaluate": "each_epoch",
        "choose": {"metric": "probability_forget", "at_least": {"utility": 0.8}},
    }  # fmt: skip
    given["score"] |= {
        "most": 8,
        "extract": [],
        "answers": {name: {"tokens": 12} for name in given["score"]["answers"]},
    }
    given["measure"] |= {"bootstrap": 100}
    given["robustness"] = {"quantise": {"levels": [8]}}
    given["methods"] = {"npo": {}, "gradient_ascent": {"training": {"batch": {"forget": 4}}}}
    return {"studies": {STUDY: given}}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tofu")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        (folder / "data").mkdir()
        shutil.copy(DATA / "README.md", folder / "data")  # which says what configurations there are
        for name, count in ROWS.items():
            lines = (DATA / f"{name}.json").read_text(encoding="utf-8").splitlines(keepends=True)
            (folder / f"data/{name}.json").write_text("".join(lines[:count]), encoding="utf-8")
        for seed, name in enumerate(("target", "retrain")):
            chat_model(folder / "models" / name, seed)
        make(content())
    return folder


def test_all_nine_components_and_forget_quality(made):
    for run in ("original", "npo"):
        numbers = json.loads((made / folder_of("measure", STUDY, run, 0) / "metrics.json").read_text())
        parts = [f"{name}_{of}" for name in ("rouge_l_recall", "truth_ratio") for of in SETS]
        parts += ["probability_retain_perturbed", *(f"probability_with_options_{of}" for of in SETS[1:])]
        values = [numbers[name] for name in parts]
        assert len(values) == 9 and all(0 <= value <= 1 for value in values)
        harmonic = len(values) / sum(1 / value for value in values) if min(values) > 0 else 0
        assert numbers["model_utility"] == pytest.approx(harmonic)
        found = json.loads((made / folder_of("compare", STUDY) / "comparison.json").read_text())["runs"][run]
        assert 0 <= found["forget_quality"]["mean"] <= 1 and found["forget_quality_n"]["mean"] == 8


def test_the_leaderboard(made):
    page = leaderboard([made / "results/report"])
    assert (
        f"## {STUDY}" in page
        and "forget quality" in page
        and "model utility" in page
        and "quantise-8" in page
    )
    assert all(f"| {run} |" in page for run in ("original", "retrain", "npo", "gradient_ascent"))


def test_the_epoch_is_chosen_without_a_row_of_what_is_reported(made):
    for run in ("npo", "gradient_ascent"):
        record = json.loads((made / folder_of("unlearn", STUDY, run, 0) / "run.json").read_text())
        assert {*record["reads"]} == {"forget", "retain"} and record["reads"]["forget"] == 8
    table = (made / f"results/report/tables/{STUDY}_damage.md").read_text()
    assert "probability_forget" in table and "at utility 0.8" in table and " of 2 |" in table
