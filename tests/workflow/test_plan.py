"""The plan: which source files a job depends on, against what Python really imports."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
import yaml
from repository import HERE, ROOT

COMMANDS = ("prepare", "forget", "train", "unlearn", "score", "measure", "compare", "report.report")
IMPORTED = """
import os, sys
sys.path.insert(0, "src")
import matplotlib, numpy, pandas, torch, transformers  # once, for all forks below
for command in sys.argv[1:]:
    child = os.fork()
    if child == 0:
        __import__(f"lethe.{command}")
        print(command, *sorted(m for m in sys.modules if m.split(".")[0] == "lethe"), flush=True)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
"""


@pytest.fixture(scope="module")
def dependencies():
    sys.path[:0] = [str(ROOT), str(ROOT / "workflow")]
    import dependencies

    yield dependencies
    sys.path[:] = [path for path in sys.path if path not in (str(ROOT), str(ROOT / "workflow"))]


@pytest.fixture(scope="module")
def imported() -> dict[str, set[str]]:
    """command -> the modules of the package that are there after its import."""
    output = subprocess.run(
        [sys.executable, "-c", IMPORTED, *COMMANDS], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    return {line.split()[0]: set(line.split()[1:]) for line in output.splitlines()}


def test_a_search_for_settings_touches_no_job(dependencies, tmp_path):
    from lethe.params.file import check_params
    from workflow import plan

    content = yaml.safe_load((ROOT / "params.yaml").read_text())
    digests = dependencies.Digests(tmp_path / "memory.json")
    before = plan.jobs(check_params(content, "params.yaml"), digests)
    rule = {"trials": 2, "seeds": [9], "select": {"metrics": {"loss_forget": 1}}}
    content["studies"]["topics"]["tune"] = rule
    assert plan.jobs(check_params(content, "params.yaml"), digests) == before


def test_models_that_forget_are_more_jobs_and_change_only_what_they_attack(dependencies, tmp_path):
    from lethe.params.file import check_params
    from workflow import plan

    content = yaml.safe_load((ROOT / "params.yaml").read_text())
    digests = dependencies.Digests(tmp_path / "memory.json")
    before = plan.jobs(check_params(content, "params.yaml"), digests)
    content["studies"]["topics"]["ulira"] = {"models": 4, "methods": ["deepcut"]}
    after = plan.jobs(check_params(content, "params.yaml"), digests)
    new = {f"{stage}/{address}" for stage in after for address in set(after[stage]) - set(before[stage])}
    expected = {f"forget/topics/{seed}" for seed in range(2000, 2004)}
    expected |= {f"train/topics/original/{seed}" for seed in range(2000, 2004)}
    expected |= {
        f"{stage}/topics/deepcut/{seed}" for stage in ("unlearn", "score") for seed in range(2000, 2004)
    }
    assert new == expected
    changed = {
        f"{stage}/{a}" for stage in before for a, job in before[stage].items() if after[stage][a] != job
    }
    runs = ("deepcut", "retrain", "retrain-2", "retrain-3")
    assert changed == {*(f"measure/topics/{run}/1" for run in runs), "report/"}


def test_a_run_that_is_measured_between_epochs_alone_depends_on_how(dependencies, tmp_path):
    """What scores are made of, and the metrics; of Snakemake's jobs and of DVC's stages, which both have this plan."""
    from lethe.params.file import check_params
    from workflow import plan

    content = yaml.safe_load((ROOT / "params.yaml").read_text())
    digests = dependencies.Digests(tmp_path / "memory.json")
    before = plan.jobs(check_params(content, "params.yaml"), digests)
    deepcut = content["studies"]["topics"]["methods"]["deepcut"]["training"]
    deepcut |= {"evaluate": "each_epoch", "choose": {"metric": "accuracy_forget", "goal": 0.5}}
    after = plan.jobs(check_params(content, "params.yaml"), digests)
    changed = {
        f"{stage}/{a}" for stage in before for a, job in before[stage].items() if after[stage][a] != job
    }
    assert changed == {"unlearn/topics/deepcut/1", "unlearn/topics/deepcut/2", "report/"}
    files = {
        "lethe/evaluation/each_epoch.py",
        "lethe/metrics/accuracy.py",
        "lethe.tasks.classification:UTILITY",
    }
    for address, plain in before["unlearn"].items():
        assert not files & {*json.loads(plain.sources)} and "score" not in json.loads(plain.cfg)
        if "deepcut" in address:
            job = after["unlearn"][address]
            assert files <= {*json.loads(job.sources)} and {"score", "measure"} <= {*json.loads(job.cfg)}


@pytest.mark.parametrize("command", COMMANDS)
def test_no_imported_module_is_missed(dependencies, imported, command):
    found = set(dependencies.source_files(f"lethe.{command}"))
    wanted = {m: dependencies.file_of(m) for m in imported[command] - dependencies.NOT_FOLLOWED}
    behind = {
        "lethe",
        "lethe.params",
        "lethe.params.sources",
        "lethe.system",
        "lethe.system.plugins",
    }
    assert {m for m, file in wanted.items() if file not in found} <= behind


def test_of_the_parameters_only_what_a_source_means_is_followed(dependencies):
    """All other files of params only validate: what they decide is in a job's parameters."""
    files = {f"lethe.params.{file.stem}" for file in (ROOT / "src/lethe/params").glob("[!_]*.py")}
    assert files - dependencies.NOT_FOLLOWED == {"lethe.params.sources"}
    assert dependencies.NOT_FOLLOWED - files == {"lethe.__main__"}


def test_no_other_file_of_the_package_is_missed(dependencies):
    """The page's template belongs to the report; the tasks of the evaluation harness have a test of their own.

    Those of the pages of deletion requests, and presets, are read by no job.
    """
    others = {f for f in (ROOT / "src/lethe").rglob("*.*") if f.suffix not in (".py", ".pyc")}
    tasks = set((ROOT / "src/lethe/evaluation/harness_tasks").iterdir())
    assert others - tasks
    others -= {*(ROOT / "src/lethe/deletion").glob("*.html.jinja"), *(ROOT / "src/lethe/presets").iterdir()}
    assert others - tasks <= set(dependencies.source_files("lethe.report.report"))
    assert not others & set(dependencies.source_files("lethe.score"))


FILES = [
    ROOT / "params.yaml",
    HERE / "params_tiny.yaml",
    # `real` reads a folder beside the repository, which need not be there
    *sorted(file for file in ROOT.glob("docs/studies/*/params.yaml") if file.parent.name != "real"),
]


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_the_parameters_of_a_run_are_read_again_as_they_were(tmp_path, file):
    from lethe.params.file import load_params

    text = load_params(file).model_dump_json()
    (tmp_path / "run").write_text(text)
    assert load_params(tmp_path / "run").model_dump_json() == text


def test_score_jobs_follow_their_tasks(dependencies, tmp_path, monkeypatch):
    from lethe.params.file import check_params
    from lethe.system.errors import InputError
    from workflow import plan

    monkeypatch.chdir(tmp_path)
    content = yaml.safe_load((HERE / "params_tiny.yaml").read_text())
    file = tmp_path / "mine/task.yaml"
    score = content["studies"]["records"].setdefault("score", {})

    def sources(*tasks):
        score["tasks"] = [*tasks]
        jobs = plan.jobs(check_params(content, "params.yaml"), dependencies.Digests(tmp_path / "digests"))
        return json.loads(jobs["score"]["records/npo/0"].sources)

    with pytest.raises(InputError, match=r"score.tasks.1: mine/task.yaml: no such file"):
        sources("documentation_cloze", "mine/task.yaml")
    file.parent.mkdir()
    file.write_text("task: mine")
    plain, before = sources(), sources("documentation_cloze", "mine/task.yaml", "hellaswag")
    assert set(before) - set(plain) == {"lethe/evaluation/harness_tasks", "mine"}
    (file.parent / "data.jsonl").write_text("{}")
    (file.parent / "__pycache__").mkdir()
    after = sources("documentation_cloze", "mine/task.yaml")
    ours = "lethe/evaluation/harness_tasks"
    assert after["mine"] != before["mine"] and after[ours] == before[ours]
    (file.parent / "__pycache__/code.pyc").write_bytes(b"kept by Python")
    assert sources("documentation_cloze", "mine/task.yaml") == after


def test_a_variant_is_scored_with_its_perturbation_alone(dependencies, tmp_path, monkeypatch):
    from lethe.params.file import check_params
    from workflow import plan

    content = yaml.safe_load((HERE / "params_tiny.yaml").read_text())
    content["studies"]["records"]["robustness"] = {"relearn": {"levels": [2]}, "shift": {"levels": [3]}}
    scores = plan.jobs(check_params(content, "params.yaml"), dependencies.Digests(tmp_path / "digests"))[
        "score"
    ]
    of = {v: scores[f"records/npo{v}/0"] for v in ("", "+relearn-2", "+shift-3")}
    assert json.loads(of["+shift-3"].cfg)["perturbation"] == {
        "perturbation": "shift",
        "options": {"level": 3},
    }
    assert "perturbation" not in json.loads(of[""].cfg)
    files = {
        v: {name for name in json.loads(job.sources) if "perturbations/" in name} for v, job in of.items()
    }
    assert files[""] <= {"lethe/perturbations/__init__.py"}
    assert files["+relearn-2"] - files["+shift-3"] == {"lethe/perturbations/relearn.py"}
    assert files["+shift-3"] - files["+relearn-2"] == {"lethe/perturbations/shift.py"}
    assert "lethe/training/engine.py" in json.loads(of["+relearn-2"].sources)
    assert "lethe/training/engine.py" not in json.loads(of["+shift-3"].sources)


def test_every_file_of_a_study_is_there_and_its_content_counts(dependencies, tmp_path, monkeypatch):
    from lethe.params.file import check_params
    from lethe.system.errors import InputError
    from workflow import plan

    monkeypatch.chdir(tmp_path)
    content = yaml.safe_load((HERE / "params_tiny.yaml").read_text())
    study = content["studies"]["records"]
    study["forget"] = {"strategy": "ids", "file": "request"}  # a name without a folder and a suffix

    def jobs():
        return plan.jobs(check_params(content, "params.yaml"), dependencies.Digests(tmp_path / "digests"))

    with pytest.raises(InputError, match=r"forget.file: request: no such file"):
        jobs()
    (tmp_path / "request").write_text("r1")
    before = jobs()["forget"]["records/0"]
    (tmp_path / "request").write_text("r2 and r3")
    assert jobs()["forget"]["records/0"] != before
    general = study["dataset"]["general"]
    study["dataset"]["general"] = {"source": "other.csv"}
    with pytest.raises(InputError, match=r"dataset.general.source: other.csv: no such file"):
        jobs()
    study["dataset"]["general"] = general
    study["dataset"]["general"] = {"source": ".."}
    with pytest.raises(InputError, match=r"studies.records: \.\.: holds this repository"):
        jobs()
    study["dataset"]["general"] = general
    (tmp_path / "empty").mkdir()
    study["model"] = {"source": "empty"}
    with pytest.raises(InputError, match=r"model.source: empty: a folder without config.json"):
        jobs()
    study["model"] = {"source": "tiny-gpt-neo", "tokenizer": "words"}
    with pytest.raises(InputError, match=r"model.tokenizer: words: no such file"):
        jobs()


def test_plug_ins_beside_the_package_belong_to_the_jobs_that_import_them(
    dependencies, own_plug_ins, monkeypatch, tmp_path
):
    from lethe.params.file import check_params
    from workflow import plan

    monkeypatch.chdir(tmp_path)
    source = (ROOT / "src/lethe/objectives/npo.py").read_text()
    content = yaml.safe_load((ROOT / "params.yaml").read_text())
    content["studies"]["records"]["methods"]["mine"] = {"objective": "npo"}

    def planned() -> dict[str, tuple[str, str]]:
        found = plan.jobs(
            check_params(content, "params.yaml"), dependencies.Digests(tmp_path / "memory.json")
        )
        return {
            f"{stage}/{job.address}": (job.cfg, job.sources)
            for stage in found
            for job in found[stage].values()
        }

    without = planned()
    own_plug_ins(objectives_mine=source)
    content["plugins"] = ["own"]
    content["studies"]["records"]["methods"]["mine"] = {"objective": "mine"}
    dependencies.imports.cache_clear()
    first = planned()
    changed = {name for name in first if first[name] != without[name]}
    own = {f"unlearn/records/mine/{seed}" for seed in content["studies"]["records"]["seeds"]}
    assert own <= changed and {name.split("/")[0] for name in changed - own} <= {"report", "compare"}
    cfg, sources = map(json.loads, first[min(own)])
    assert cfg["plugins"] == ["own"] and "own/objectives/mine.py" in sources
    own_plug_ins(objectives_mine=source + "\n# another thought\n")
    second = planned()
    assert {name for name in second if second[name] != first[name]} == own


def test_a_pair_of_small_models_is_made_by_the_recipes_of_the_references(dependencies, tmp_path):
    """And what a file of facts holds decides what is prepared."""
    from lethe.params.file import check_params
    from workflow import plan

    content = yaml.safe_load((HERE / "params_tiny.yaml").read_text())
    study = content["studies"]["records"]
    study["methods"]["delta"] = {
        "objective": "npo",
        "training": {"offset": {"model": {"source": "tiny-gpt-neo"}}},
    }
    facts = tmp_path / "facts.json"
    facts.write_text("{}")
    content["studies"]["facts"] = study | {
        "dataset": {
            "source": "families",
            "options": {"file": str(facts)},
            "general": study["dataset"]["general"],
        },
        "forget": {"strategy": "deep", "size": 2},
    }
    found = plan.jobs(check_params(content, "params.yaml"), dependencies.Digests(tmp_path / "digests"))
    plain, pair = (json.loads(found["unlearn"][f"records/{run}/0"].cfg) for run in ("npo", "delta"))
    assert pair["finetune"] == study["train"]["finetune"] | pair["finetune"]
    assert "pretrain" in pair and not {"pretrain", "finetune"} & set(plain)
    assert str(facts) in json.loads(found["prepare"]["facts"].sources)
    assert "lethe/deduction.py" in json.loads(found["measure"]["facts/npo/0"].sources)
    assert "lethe/deduction.py" in json.loads(found["forget"]["facts/0"].sources)


@pytest.mark.parametrize(("what", "most"), [("name", 5), ("path", 60)])
def test_what_the_file_system_cannot_hold_is_said_early(dependencies, tmp_path, monkeypatch, what, most):
    """Encrypted file systems allow 143 bytes in a name; some say no limit."""
    from lethe.params.file import check_params
    from lethe.system.errors import InputError
    from workflow import plan

    content = yaml.safe_load((HERE / "params_tiny.yaml").read_text())
    jobs = plan.jobs(check_params(content, "params.yaml"), dependencies.Digests(tmp_path / "memory.json"))
    monkeypatch.setattr(plan.os, "pathconf", lambda _, key: -1)
    plan.check_lengths(jobs, "params.yaml")
    monkeypatch.setattr(plan.os, "pathconf", lambda _, key: most if what.upper() in key else -1)
    with pytest.raises(InputError, match=rf"studies\.\w+.*: makes a {what} of \d+ char.* allows {most}$"):
        plan.check_lengths(jobs, "params.yaml")
