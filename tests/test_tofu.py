"""Lists of forget sets on the real TOFU files, whose sets are nested."""

import json

import pytest
from hub_folder import chat_model
from tofu_study import needs_tofu, study
from whole_study import make, planned

from lethe.data.parquet import read_table
from lethe.params.addresses import folder_of, start_folder

pytestmark = [needs_tofu, pytest.mark.slow]
SETS = {"forget01": 40, "forget05": 200, "forget10": 400}
BIG = {"epochs": 1, "learning_rate": 1e-3, "batch": {"forget": 100, "retain": 100}}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Three studies that begin at one base: folder, parameters, plan."""
    folder = tmp_path_factory.mktemp("tofu")
    chat_model(folder / "chat")
    content = study(
        "chat",
        references=None,
        model={"source": "chat", "max_length": 40},
        train={"finetune": BIG},
        unlearn=BIG,
    )
    tofu = content["studies"]["tofu"]
    tofu["dataset"]["splits"] = {"forget": [*SETS], "retain": {"config": "retain90", "limit": 100}}
    tofu["dataset"]["probes"] = {}
    tofu["score"]["most"] = 4
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        parameters, jobs = planned(content)
        make(content)
    return folder, parameters, jobs


def test_one_base_and_one_original_are_trained_for_all(made):
    folder, parameters, jobs = made
    own = {f"tofu-{name}/retrain/0" for name in SETS}
    assert {*jobs["train"]} == own | {"tofu-forget01/base/0", "tofu-forget01/original/0"}
    assert {str(p.relative_to(folder / "results/train")) for p in folder.glob("results/train/*/*/seed0")} == {
        job.replace("/0", "/seed0") for job in jobs["train"]
    }
    for name in SETS:
        start = start_folder(parameters, f"tofu-{name}", "gradient_difference", 0)
        assert start == folder_of("train", "tofu-forget01", "original", 0)
        record = json.loads(
            (folder / folder_of("unlearn", f"tofu-{name}", "gradient_difference", 0) / "run.json").read_text()
        )
        assert record["data"]["original"] == original_of(folder)


def original_of(folder) -> str:
    from lethe.system.files import digest

    return digest(folder / folder_of("train", "tofu-forget01", "original", 0) / "model")


def test_each_study_forgets_its_set_and_learns_what_all_hold(made):
    """40, 200 and 400 are to be forgotten, of which the smaller are parts: of 500 texts in all the rest is kept."""
    folder, _, _ = made
    texts = {}
    for name, size in SETS.items():
        examples = read_table(folder / folder_of("prepare", f"tofu-{name}") / "examples.parquet")
        of = examples.groupby("split")
        assert of.size().to_dict() == {"forget": size, "retain": 500 - size}
        assert set(of.get_group("forget")["id"]) == {f"{name}/{k}" for k in range(size)}
        texts[name] = set(zip(examples["prompt"].astype(str), examples["text"], strict=True))
    assert texts["forget01"] == texts["forget05"] == texts["forget10"] and len(texts["forget01"]) == 500


def test_the_report_shows_all_three(made):
    summary = (made[0] / "results/report/summary.md").read_text()
    assert all(f"**tofu-{name}** (generation" in summary for name in SETS)
