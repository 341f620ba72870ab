"""Bad parameters and bad disks: one clear line, nothing half-made, and a way on."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
import yaml
from repository import ROOT, Repo, jobs
from test_reruns import set_to

TOPICS = "studies.topics"

WRONG = {
    "unknown key": (f"{TOPICS}.colour", "red", ["studies.topics.colour", "unknown key"]),
    "wrong type": (f"{TOPICS}.dataset.sizes.test", "many", ["dataset.sizes.test", "many", "integer"]),
    "out of range": (f"{TOPICS}.train.finetune.learning_rate", -1, ["finetune.learning_rate", "-1", "greater than 0"]),
    "no methods": (f"{TOPICS}.methods", {}, ["studies.topics.methods", "at least 1"]),
    "unknown method": (f"{TOPICS}.methods.magic", None, ["methods.magic.objective", "allowed are", "deepcut"]),
    "too large": (f"{TOPICS}.forget.size", 48, ["forget.size", "48", "1 to 47"]),
    "no such file": (f"{TOPICS}.dataset.source", "data/raw/none.csv", ["data/raw/none.csv: no such file"]),
}  # fmt: skip


@pytest.mark.parametrize(("key", "value", "words"), WRONG.values(), ids=WRONG)
def test_wrong_parameters_stop_everything_in_one_line(here, key, value, words):
    set_to(key, value)(here)
    for command in ("snakemake", "python workflow/plan.py"):
        status, output = here.quick(command)
        assert status != 0
        assert "Traceback" not in output
        assert "rule " not in output
        line = next(line for line in output.splitlines() if line.startswith("params.yaml: "))
        assert all(word in line for word in words), line


def test_parameters_on_the_command_line_are_refused(here):
    status, output = here.quick("snakemake --config seed=1")
    assert status != 0
    assert "config: seed: not used here" in output and "dvc exp run -S" in output


@pytest.mark.parametrize(
    ("config", "files", "given", "found"),
    [
        ({}, [], {}, "params.yaml"),
        ({"params": "other/p.yaml"}, [], {"params": "other/p.yaml"}, "other/p.yaml"),
        ({"params": "config/p.yaml"}, ["config/config.yaml"], {}, "config/p.yaml"),
        ({"studies": {}, "report": {}}, [Path.cwd() / "p.yaml"], {}, "p.yaml"),
        ({"studies": {}, "seed": 1}, ["p.yaml"], {"seed": 1}, "seed: not used"),
        ({"studies": {}, "params": "q.yaml"}, ["p.yaml"], {"params": "q.yaml"}, "studies: not used"),
        ({"studies": {}}, ["p.yaml", "q.yaml"], {}, "studies: not used"),
        ({"params": "p.yaml", "seed": 1}, ["c.yaml"], {}, "seed: not used"),
        ({"params": "../p.yaml"}, [], {}, "in this folder, or below it"),
        ({"params": 3}, [], {}, "in this folder, or below it"),
    ],
)
def test_what_config_may_say(monkeypatch, config, files, given, found):
    monkeypatch.syspath_prepend(str(ROOT / "workflow"))
    import plan

    if found.endswith(".yaml"):
        assert plan.chosen(config, files, given) == found
    else:
        with pytest.raises(SystemExit, match=found):
            plan.chosen(config, files, given)


@pytest.mark.slow
def test_where_no_model_is_trained_all_agree(here):
    (here.path / "data/raw/target").mkdir()
    (here.path / "data/raw/target/config.json").write_text("{}")
    study = {
        "task": "classification",
        "seeds": [0],
        "dataset": {"source": "docstrings"},
        "forget": {"strategy": "random", "size": 8},
        "references": {"original": "data/raw/target"},
        "methods": {"gradient_ascent": None},
    }
    (here.path / "params.yaml").write_text(yaml.safe_dump({"studies": {"given": study}}))
    made = {"prepare": 1, "forget": 1, "unlearn": 1, "score": 2, "measure": 3, "compare": 1, "report": 1}
    assert jobs(here("snakemake")) == made
    assert here.is_clean() and here.plans_nothing()
    (here.path / "data/raw/target/config.json").write_text('{"other": 1}')
    del made["forget"]  # the texts are as they were
    assert jobs(here("dvc repro")) == made
    assert here.is_clean()


@pytest.mark.slow
def test_dvc_and_snakemake_agree_on_a_chosen_file(here):
    """Made of another file, by either way to name it; DVC then speaks of that one, and goes on with it."""
    text = (here.path / "params.yaml").read_text()
    (here.path / "other.yaml").write_text(text.replace("title: tiny", "title: another"))
    output = here("snakemake --config params=other.yaml")
    assert jobs(output) == {"report": 1} and "dvc.yaml names other.yaml now" in output
    assert "Nothing to be done" in here("snakemake -n --configfile other.yaml")
    assert here.is_clean()
    assert jobs(here("dvc repro")) == {}
    here.edit("other.yaml", "beta: 0.1", "beta: 0.2")
    assert not here.is_clean()
    assert jobs(here("dvc repro")) == {"unlearn": 2, "score": 2, "measure": 2, "compare": 1, "report": 1}
    assert here.is_clean()
    assert "Nothing to be done" in here("snakemake -n --config params=other.yaml")
    assert "params.yaml" in here("snakemake") and here.is_clean()


def test_a_changed_data_file_is_noticed(here):
    """A file named in the parameters is hashed, under data/raw also for DVC."""
    table = here.path / "data/raw/texts.csv"
    table.write_text("text,label\na,b\n")
    set_to(
        "studies.topics.dataset", {"source": "data/raw/texts.csv", "label": "label", "sizes": {"train": 48}}
    )(here)
    here("python workflow/plan.py")
    here("dvc commit -f -q plan")
    before = (here.path / "results/plan/prepare.json").read_text()
    assert "data/raw/texts.csv" in before
    table.write_text("text,label\na,c\n")
    assert "plan" in here("dvc status")
    here("python workflow/plan.py")
    assert (here.path / "results/plan/prepare.json").read_text() != before


@pytest.mark.slow
def test_a_corrupt_cache_is_not_believed(here, made):
    """What DVC checks out of a damaged cache is not what was sealed, and is made again."""
    target = here.path / "results/measure/records/icu/seed0/metrics.json"
    content = target.read_bytes()
    (damaged,) = [
        f for f in (here.path / ".dvc/cache").rglob("*") if f.is_file() and f.read_bytes() == content
    ]
    damaged.chmod(0o644)
    damaged.write_text("damaged")
    damaged.chmod(0o444)
    target.unlink()
    here.quick("dvc checkout")
    here("snakemake")
    assert here.results() == made.results()
    assert here.plans_nothing()


@pytest.fixture
def frozen(here):
    """The folder of a run into which nobody can write, not even root."""
    folder = here.path / "results/measure/records/icu/seed0"
    tool = subprocess.run(["chattr", "-V"], capture_output=True).returncode != 127
    if os.geteuid() and not tool:
        pytest.skip("needs a way to make a folder read-only")
    (folder / "metrics.json").unlink()
    change(folder, False)
    yield folder
    change(folder, True)


def change(folder, writable: bool) -> None:
    if os.geteuid():
        folder.chmod(0o755 if writable else 0o555)
    elif subprocess.run(["chattr", "-i" if writable else "+i", folder], capture_output=True).returncode:
        pytest.skip("chattr is refused here")


@pytest.mark.slow
def test_read_only_results(here: Repo, frozen, made):
    status, output = here.quick("snakemake")
    assert status != 0
    assert str(frozen.relative_to(here.path)) in output
    change(frozen, True)
    here("snakemake")
    assert here.results() == made.results()
    assert here.plans_nothing()


@pytest.mark.slow
def test_a_conflict_in_the_seals(here):
    """Merge conflicts leave files that are no JSON: the seals are then unknown, not an error."""
    (here.path / "results/provenance/score.json").write_text("<<<<<<< ours\n")
    assert here.plans_nothing()
    here("snakemake --forcerun write_report")
    assert here.is_clean()


def test_a_source_that_git_keeps_is_said(here):
    (here.path / "texts.csv").write_text("text,label\na,b\n")
    set_to("studies.topics.dataset", {"source": "texts.csv", "label": "label", "sizes": {"train": 48}})(here)
    said = "[plan] params.yaml: studies.topics.dataset.source: texts.csv is in git, or would be"
    assert said in here.quick("snakemake prepare")[1]  # the stand-in of `prepare` reads no files
    with open(here.path / ".gitignore", "a") as ignored:
        ignored.write("/texts.csv\n")
    assert said not in here.quick("snakemake prepare")[1]


@pytest.mark.parametrize("command", ["snakemake", "python workflow/plan.py"])
def test_a_pipe_is_no_data_file(here, command):
    os.mkfifo(here.path / "data/raw/texts.csv")
    set_to("studies.topics.dataset", {"source": "data/raw/texts.csv", "sizes": {"train": 48}})(here)
    status, output = here.quick(command)
    assert status != 0 and "data/raw/texts.csv: is a pipe or a device; a file is needed" in output
