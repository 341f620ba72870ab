"""What is made again after a change: exactly what it affects, and the same to Snakemake and to DVC."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from repository import HERE, ROOT, Repo
from selection import named, table

TINY = yaml.safe_load((HERE / "params_tiny.yaml").read_text())
REFERENCES = ("base", "original", "retrain")
ORDER = ["forget", "train", "unlearn", "score", "measure", "compare", "report"]
BELOW = (
    {"prepare": set(ORDER)}
    | {  # stage -> stages that read its outputs, directly or not
        stage: set(ORDER[place + 1 :]) for place, stage in enumerate(ORDER)
    }
)


@pytest.fixture(scope="module")
def repo(made, tmp_path_factory) -> Repo:
    """A copy in which every test undoes its change."""
    return made.copy(tmp_path_factory.mktemp("reruns") / "repo")


@pytest.fixture
def restored(repo):
    yield repo
    repo("git checkout -q .")
    repo("git clean -q -f -d params.yaml src workflow")


def jobs_of(study: str, stages: str, runs=None, seeds=None, methods=None) -> set[str]:
    """Addresses of the jobs of a study in some stages, of some runs and seeds."""
    block = TINY["studies"][study]
    methods = block["methods"] if methods is None else methods
    seeds = block["seeds"] if seeds is None else seeds
    measured = REFERENCES if block["task"] == "generation" else REFERENCES[1:]
    by_stage = {
        "train": [r for r in REFERENCES[1:] if runs is None or r in runs],
        "unlearn": [r for r in methods if runs is None or r in runs],
        "score": [r for r in (*measured, *methods) if runs is None or r in runs],
    }
    by_stage["measure"] = by_stage["score"]
    found = set()
    for stage in stages.split():
        if stage == "prepare":
            found.add(f"prepare/{study}")
        elif stage == "base":
            found.add(f"train/{study}/base/{block['seeds'][0]}")
        elif stage == "blind":
            found |= {f"measure/{study}/blind/{seed}" for seed in seeds}
        elif stage == "forget":
            found |= {f"forget/{study}/{seed}" for seed in seeds}
        else:
            found |= {f"{stage}/{study}/{run}/{seed}" for run in by_stage[stage] for seed in seeds}
    return found


def told(*studies: str) -> set[str]:
    """The jobs that follow a change of a metric of some studies."""
    return {f"compare/{study}" for study in studies} | {"report"}


def append(*files: str) -> Callable[[Repo], None]:
    def change(repo: Repo) -> None:
        for file in files:
            path = repo.path / file
            path.write_text(path.read_text() + "\nCHANGED = 1\n")

    return change


def set_to(key: str, value: object) -> Callable[[Repo], None]:
    """Set a parameter, named by its path of keys with dots between."""

    def change(repo: Repo) -> None:
        file = repo.path / "params.yaml"
        params = yaml.safe_load(file.read_text())
        *path, last = key.split(".")
        block = params
        for step in path:
            block = block[step]
        block[last] = value
        file.write_text(yaml.safe_dump(params, sort_keys=False))

    return change


MODELS = "train unlearn score measure"
TABLE = {
    "a method's parameter": (
        set_to("studies.records.methods.icu.training.epochs", 2),
        jobs_of("records", "unlearn score measure", ["icu"]) | told("records"),
    ),
    "a test of robustness": (
        set_to("studies.records.robustness", {"relearn": {"levels": [2, 4]}, "quantise": {"levels": [8]}}),
        {
            f"{stage}/records/{run}+{variant}/{seed}"
            for stage in ("score", "measure")
            for run in ("original", "retrain", "icu", "npo")
            for variant in ("relearn-2", "relearn-4", "quantise-8")
            for seed in (0, 1)
        }
        | told("records"),
    ),
    "an objective's file": (
        append("src/lethe/objectives/npo.py"),
        jobs_of("records", "unlearn score measure", ["npo"]) | told("records"),
    ),
    "a metric's file": (
        append("src/lethe/metrics/macro_f1.py"),
        jobs_of("topics", "measure blind") | jobs_of("records", "measure blind") | told("topics", "records"),
    ),
    "a parameter of the data": (
        set_to("studies.topics.dataset.sizes.test", 31),
        jobs_of("topics", f"prepare base forget blind {MODELS}") | told("topics"),
    ),
    "the forget set": (
        set_to("studies.records.forget.size", 9),
        jobs_of("records", f"forget blind {MODELS}") | told("records"),
    ),
    "the base's recipe": (
        set_to("studies.records.train.pretrain.epochs", 2),
        jobs_of("records", f"base blind {MODELS}") | told("records"),
    ),
    "the references' recipe": (
        set_to("studies.topics.train.finetune.epochs", 2),
        jobs_of("topics", "train unlearn blind") | jobs_of("topics", "score measure", REFERENCES[1:])
        | jobs_of("topics", "score measure", TINY["studies"]["topics"]["methods"]) | told("topics"),
    ),
    "what is scored": (
        set_to("studies.records.score", {"n": [4]}),
        jobs_of("records", "score measure blind") | told("records"),
    ),
    "a parameter of the metrics": (
        set_to("studies.topics.measure.bootstrap", 200),
        jobs_of("topics", "measure blind") | told("topics"),
    ),
    "shadow models": (
        set_to("studies.topics.shadow", {"models": 4}),
        jobs_of("topics", "measure") | told("topics") | {f"forget/topics/{seed}" for seed in range(1000, 1004)}
        | {f"{stage}/topics/shadow/{seed}" for stage in ("train", "score") for seed in range(1000, 1004)},
    ),
    "models that forget": (
        set_to("studies.topics.ulira", {"models": 4, "methods": ["gradient_ascent"]}),
        {f"measure/topics/{run}/0" for run in ("gradient_ascent", "retrain")} | told("topics")
        | {f"forget/topics/{seed}" for seed in range(2000, 2004)}
        | {f"train/topics/original/{seed}" for seed in range(2000, 2004)}
        | {f"{stage}/topics/gradient_ascent/{seed}" for stage in ("unlearn", "score") for seed in range(2000, 2004)},
    ),
    "another reference": (
        set_to("studies.records.measure.reference", "base"),
        jobs_of("records", "measure blind") | told("records"),
    ),
    "more retrained models": (
        set_to("studies.topics.train.retrains", 2),
        {f"{stage}/topics/retrain-2/0" for stage in ("train", "score", "measure")} | told("topics"),
    ),
    "the report's title": (set_to("report.title", "other"), {"report"}),
    "the report's code": (append("src/lethe/report/report.py"), {"report"}),
    "a new seed": (
        set_to("studies.topics.seeds", [0, 7]),
        jobs_of("topics", f"forget blind {MODELS}", seeds=[7]) | told("topics"),
    ),
    "a new run": (
        set_to("studies.topics.methods.again", {"objective": "finetune"}),
        jobs_of("topics", "unlearn score measure", methods=["again"], runs=["again"]) | told("topics"),
    ),
    "a new study": (
        set_to("studies.copy", TINY["studies"]["topics"]),
        {j.replace("topics", "copy") for j in jobs_of("topics", f"prepare base forget blind {MODELS}")} | told("copy"),
    ),
    "the command line": (append("src/lethe/__main__.py"), set()),
    "the classes of parameters": (append("src/lethe/params/study.py", "src/lethe/params/fields.py"), set()),
}  # fmt: skip


QUICK = {
    "a method's parameter", "an objective's file", "a metric's file", "the base's recipe", "what is scored",
    "more retrained models", "the report's title", "a new seed", "the command line",
}  # fmt: skip


@pytest.mark.parametrize(("change", "expected"), table(TABLE, QUICK))
def test_exactly_what_is_affected_is_made_again(restored, change, expected):
    change(restored)
    assert restored.changed_jobs() == expected
    changed, stages = restored.changed_stages(), {job.split("/")[0] for job in expected}
    # DVC runs all stages below a changed one, some with nothing to do
    assert changed <= stages <= closed(changed)


def test_nothing_is_made_again_for_nothing(restored):
    """Comments, order and layout of params.yaml, times of files, a checkout of another branch and back."""
    params = restored.path / "params.yaml"
    params.write_text("# a comment\n" + yaml.safe_dump(yaml.safe_load(params.read_text()), sort_keys=True))
    for file in (restored.path / "src").rglob("*.py"):
        file.touch()
    for file in (restored.path / "results").rglob("*.csv"):
        file.touch()
    assert restored.plans_nothing()
    assert restored.is_clean()
    restored("git checkout -q .")
    restored("git checkout -q -b elsewhere")
    append("src/lethe/training/engine.py")(restored)
    restored.commit()
    restored("git checkout -q -")
    assert restored.plans_nothing()
    assert restored.is_clean()


# ------------------------------------------------------------------ parity over everything that may change

OTHER = {"random": "subject", "subject": "random", "docstrings": "records", "records": "docstrings"}


def leaves(block: object, path: str = ""):
    if isinstance(block, dict):
        for key, value in block.items():
            yield from leaves(value, f"{path}.{key}" if path else key)
    elif path.rsplit(".", 1)[-1] not in ("task", "subject"):  # of which no other value is valid by itself
        yield path, block


def altered(value: object) -> object:
    """Another value that is allowed where this one is."""
    if isinstance(value, list):
        return [*value, 9]
    if isinstance(value, str):
        return OTHER.get(value, value + "x")
    return value * 2 if isinstance(value, float) else value + 1


def closed(stages: set[str]) -> set[str]:
    """Stages and all that read their outputs."""
    return stages.union(*(BELOW[stage] for stage in stages))


KEYS = {key: (key, value) for key, value in leaves(TINY)}
ONE_OF_EACH = {  # by the first stage that is affected
    "studies.records.dataset.sizes.train", "studies.topics.forget.size", "studies.records.train.pretrain.epochs",
    "studies.topics.train.finetune.epochs", "studies.records.methods.npo.hyper.beta",
    "studies.records.measure.bootstrap", "report.title",
}  # fmt: skip


@pytest.mark.parametrize(("key", "value"), table(KEYS, ONE_OF_EACH))
def test_both_tools_see_a_parameter(restored, key, value):
    set_to(key, altered(value))(restored)
    stages = {job.split("/")[0] for job in restored.changed_jobs()}
    assert stages
    assert stages == closed(restored.changed_stages())


# Files that differ in which stages they affect; that the plan has every file is tested in test_plan.py.
FILES = [
    "prepare",
    "forget",
    "training/engine",
    "unlearn",
    "objectives/icu",
    "score",
    "metrics/margin",
    "compare",
    "report/tables",
]
FILES += ["system/streams", "system/files"]


@pytest.mark.parametrize("file", table(named(*FILES), {"prepare", "objectives/icu", "system/files"}))
def test_both_tools_see_a_source_file(restored, file):
    append(f"src/lethe/{file}.py")(restored)
    stages = {job.split("/")[0] for job in restored.changed_jobs()}
    assert stages
    assert stages == closed(restored.changed_stages())


@pytest.mark.parametrize("stage", table(named(*BELOW), {"train", "report"}))
def test_both_tools_see_the_command_of_a_rule(restored, stage):
    file = f"workflow/rules/{stage}.smk"
    restored.edit(file, '"lethe ', '"OMP_DYNAMIC=FALSE lethe ')
    stages = {job.split("/")[0] for job in restored.changed_jobs()}
    assert stages == closed(restored.changed_stages())
    assert stage in stages
    restored("git checkout -q .")
    restored.edit(file, "    log:", "    # a comment\n    priority: 1\n    log:")
    assert restored.plans_nothing()
    assert not restored.changed_stages()


def test_every_stage_is_the_same_in_both_files():
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
    targets = re.findall(r"rule (\w+):", (ROOT / "workflow/rules/targets.smk").read_text())
    assert list(stages) == ["plan", *targets] == ["plan", *BELOW]
    for stage in targets:
        assert stages[stage]["cmd"] == f"snakemake {stage} --config params=${{parameters}}"
        assert f"results/plan/{stage}.json" in stages[stage]["deps"]
        folders = {Path(o).parts[:2] for o in outs(stages[stage]) if "provenance" not in o}
        for later in BELOW[stage] & {s for s in targets if reads(stage, s)}:
            assert any(Path(dep).parts[:2] in folders for dep in stages[later]["deps"]), (stage, later)


def outs(stage: dict) -> list[str]:
    return [next(iter(out)) if isinstance(out, dict) else out for out in stage["outs"]]


def reads(stage: str, later: str) -> bool:
    """Does the rule of `later` name an output of `stage` among its inputs?"""
    text = (ROOT / f"workflow/rules/{later}.smk").read_text()
    return f"/{stage}/" in text.split("output:")[0] or bool(
        re.search(rf'outputs(_of_study)?\("{stage}"', text)
    )
