"""A task of one's own, the file of docs/extending.md, from its data to the report: pairs of sentences and a number."""

import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest
import study

from lethe.__main__ import main
from lethe.params.addresses import folder_of, model_folder, of_study, start_folder
from lethe.params.file import check_params
from lethe.params.names import BLIND
from lethe.system import plugins
from lethe.system.errors import InputError

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs/extending.md").read_text(encoding="utf-8")
(TASK,) = re.findall(r"`own/tasks/similarity\.py`:\n\n```python\n(.*?)```", PAGE, re.DOTALL)
NAME, METHOD = "pairs", "gradient_difference"
TRAINING = {"epochs": 15, "learning_rate": 2e-2, "batch": {"forget": 4, "retain": 8}}
STUDY = {
    "task": "similarity",
    "seeds": [0, 1],
    "dataset": {"source": "pairs.jsonl", "id": "id", "prompt": "one", "text": "other", "label": "how",
                "sizes": {"train": 16, "validation": 4, "holdout": 8, "test": 8}},
    "model": {"source": "tiny-bert", "max_length": 40,
              "options": {"vocab_size": 300, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}},
    "forget": {"strategy": "random", "size": 6},
    "train": {"pretrain": None, "finetune": TRAINING},
    "methods": {METHOD: {"training": TRAINING | {"epochs": 2}}},
    "measure": {"bootstrap": 100},
}  # fmt: skip
STAGES = ("prepare", "forget", "train", "unlearn", "score", "measure", "compare", "report")


def pairs() -> list[dict]:
    """How much two texts mean the same is drawn, so that only who has seen it knows it."""
    draw = np.random.default_rng(0)
    return [
        {"id": f"p{k}", "one": study.text(k), "other": study.text(100 + k), "how": f"{draw.normal():.3f}"}
        for k in range(36)
    ]


def arguments(params, stage: str, study: str = "", run: str = "", seed: str = "") -> list[str]:
    """The options of a job, as the rules of the workflow give them."""
    prepared, sets = folder_of("prepare", study), folder_of("forget", study, seed=seed)
    scored = f"{folder_of('score', study, run, seed)}/scores.npz"
    match stage:
        case "prepare" | "report":
            return []
        case "forget":
            return [f"--seed={seed}", f"--prepared={prepared}"]
        case "train" | "unlearn":
            found = [f"--seed={seed}", f"--run={run}", f"--prepared={prepared}"]
            if stage == "unlearn":
                found.append(f"--model={start_folder(params, study, run, int(seed))}/model")
            if run != "base":
                found += [f"--forget={sets}", f"--base={model_folder(params, study, 'base', 0)}/model"]
            return found
        case "score":
            return [
                f"--prepared={prepared}",
                f"--forget={sets}",
                f"--model={model_folder(params, study, run, int(seed))}/model",
            ]
        case "measure" if run == BLIND:
            return [
                f"--seed={seed}",
                f"--prepared={prepared}",
                f"--scores={scored.replace(BLIND, 'retrain')}",
            ]
        case "measure":
            return [f"--seed={seed}", f"--scores={scored}"]
        case _:
            folders = {"measured": "measure", "scores": "score"}
            return [f"--{name}={of_study(of).format(study=study)}" for name, of in folders.items()]


@pytest.fixture
def params(tmp_path, own_plug_ins, monkeypatch):
    """Parameters of a study of the task, with its file and its data in the current folder."""
    own_plug_ins(tasks_similarity=TASK)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(ROOT / "workflow")
    (tmp_path / "pairs.jsonl").write_text("".join(json.dumps(pair) + "\n" for pair in pairs()))
    yield {"plugins": ["own"], "studies": {NAME: STUDY}}
    for name in ("plan", "dependencies", "state"):
        sys.modules.pop(name, None)


def test_from_its_data_to_the_report(tmp_path, params, capsys):
    """Every job that the plan holds, with the parameters that the plan gives it."""
    import dependencies
    import plan

    checked = check_params(params, "params.yaml")
    jobs = plan.jobs(checked, dependencies.Digests(tmp_path / "digests.json"))
    for stage in STAGES:
        for job in jobs[stage].values():
            where = job.where
            command = BLIND if where.get("run") == BLIND else stage
            out = folder_of(stage, **where) + ("/scores.npz" if stage == "score" else "")
            argv = [command, f"--cfg={job.cfg}", f"--out={out}", *arguments(checked, stage, **where)]
            assert main(argv) == 0, (stage, job.where, capsys.readouterr().err)
    found = json.loads(Path(f"{folder_of('compare', NAME)}/comparison.json").read_text())
    with np.load(f"{folder_of('score', NAME, 'original', 0)}/scores.npz") as file:
        truth = {pair["id"]: float(pair["how"]) for pair in pairs()}
        assert file["target"].tolist() == pytest.approx([truth[name] for name in file["ids"]])
        assert file["loss"] == pytest.approx((file["prediction"] - file["target"]) ** 2, abs=1e-6)
        losses = {name: file["loss"][file["sets"] == name].mean() for name in ("forget", "test")}
    assert losses["forget"] < 0.5 * losses["test"], "the numbers were not learnt by heart"
    runs, summary = found["runs"], found["runs"]["original"]
    assert {*runs} == {"original", "retrain", METHOD, BLIND}
    assert summary["loss_auc"]["mean"] > 0.7 and "forget_quality" not in summary
    assert found["claims"]["primary"] == ["transfer_auc", "loss_forget", "loss_test"]
    assert {"loss_forget", "loss_test"} <= found["verdicts"][METHOD].keys()
    page = Path(f"{folder_of('report')}/report.html").read_text()
    assert "squared error, forget" in page and "Mean of (prediction - truth)²" in page
    assert not [word for word in study.text(0).split() if word in page]


def test_a_job_is_made_again_where_what_it_asks_of_the_task_has_changed(tmp_path, params):
    """A label of a column: the comparison and the report; how examples become rows: what trains and scores."""
    import dependencies
    import plan

    def sources() -> dict[str, str]:
        dependencies.imports.cache_clear()
        jobs = plan.jobs(check_params(params, "params.yaml"), dependencies.Digests(tmp_path / "digests.json"))
        return {f"{stage} {where}": job.sources for stage, of in jobs.items() for where, job in of.items()}

    file, before = tmp_path / "own/tasks/similarity.py", sources()
    for was, now, stages in (
        ("squared error, test", "error, test", {"compare", "report"}),
        (
            "a pair, where",
            "two texts, where",
            {"prepare", "train", "unlearn", "score"},
        ),  # lethe.models reads tokenizers
        ("has no number", "lacks a number", {"prepare"}),
    ):
        file.write_text(file.read_text().replace(was, now))
        after = sources()
        changed = {name.split()[0] for name in after if after[name] != before[name]}
        assert changed == stages, was
        before = after


def test_what_is_no_number_is_one_line(tmp_path, params):
    from lethe.prepare import prepare

    rows = [pair | {"how": "much"} if pair["id"] == "p3" else pair for pair in pairs()]
    (tmp_path / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(InputError, match=r"dataset\.label: record 'p3' has no number; each needs one"):
        prepare({"task": "similarity", "seed": 0, "dataset": STUDY["dataset"]}, tmp_path / "out")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"methods": {"deepcut": None}}, r"methods.deepcut.objective: deepcut is no similarity method"),
        ({"measure": {"reference": "base"}}, r"measure.reference: base is for generation"),
        ({"task": "similarty"}, r"studies.pairs.task: similarty is no task; allowed are classification, .*similarity"),
    ],
)  # fmt: skip
def test_what_a_task_cannot_do_is_told_before_any_job(params, change, message):
    with pytest.raises(InputError, match=message):
        check_params(params | {"studies": {NAME: STUDY | change}}, "params.yaml")


@pytest.mark.parametrize(
    ("was", "now", "message"),
    [
        ('ATTACK = "loss"\n', "", r"similarity.py, line 1: ATTACK is missing; every file of tasks has it"),
        ('LABELS = "texts"', 'LABELS = "text"', r"similarity.py, line \d+: LABELS: 'text': allowed are texts, words"),
        ("def rows(", "def row(", r"similarity.py, line \d+: row is read neither here nor by lethe; is rows meant"),
        ("TINY = ", "TINI = ", r"similarity.py, line \d+: TINI is read neither here nor by lethe; is TINY meant"),
    ],
)  # fmt: skip
def test_a_faulty_file_is_one_line(own_plug_ins, was, now, message):
    with pytest.raises(InputError, match=message):
        own_plug_ins(tasks_similarity=TASK.replace(was, now))


def test_the_tasks_of_the_package_are_whole():
    from lethe.system import plugin_source

    for task in plugins.names_in("tasks"):
        plugin_source.check(plugins.file_of("tasks", task), "tasks")
