"""What a request would cost, from planted costs of a study, worked out by hand."""

import copy
import json
import shutil
from pathlib import Path

import pytest
import workflow_in_process
import yaml
from served_study import ask, subject

from lethe.__main__ import main
from lethe.deletion.expected import Expected, Pool, expected
from lethe.objectives.sisa import Hyper, shard_and_slice, work
from lethe.params.file import check_params, load_params

ROOT = Path(__file__).parents[2]
PARAMS = yaml.safe_load((ROOT / "tests/workflow/params_tiny.yaml").read_text())
KNOWN = [f"t{k}" for k in range(20)]


def put(path: str, content: dict) -> None:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(json.dumps(content))


def study(**more):
    content = copy.deepcopy(PARAMS)
    content["studies"]["topics"] |= {"seeds": [0, 1]} | more
    return check_params(content, "params.yaml")


@pytest.fixture
def measured(tmp_path, monkeypatch):
    """A study whose models forgot 4 of 20 texts, in two seeds."""
    monkeypatch.chdir(tmp_path)
    put("data/forget/topics/seed0/forget.json", {"counts": {"forget": 4, "retain": 16, "test": 9}})
    for seed in (0, 1):
        costs = {"deepcut": (3 + 2 * seed, None), "finetune": (8, None), "sisa": (2, 40), "offset": (1, 7)}
        for run, (seconds, before) in costs.items():
            more = {} if before is None else {"beforehand_seconds": before}
            put(f"results/unlearn/topics/{run}/seed{seed}/cost.json", {"wall_seconds": seconds} | more)
        put(f"results/train/topics/retrain/seed{seed}/cost.json", {"wall_seconds": 30})


def methods(**more):
    training = {"epochs": 2, "batch": {"forget": 2, "retain": 4}}
    return {name: {"training": training} | (of or {}) for name, of in more.items()}


def test_time_is_in_proportion_to_what_an_epoch_passes_over(measured):
    params = study(methods=methods(deepcut=None, finetune=None, gradient_ascent=None))
    found = expected(params, "topics", Pool(KNOWN, KNOWN[:8]))
    assert found["deepcut"] == Expected(4.0, 8.0)  # twice the texts to be forgotten
    assert found["finetune"] == Expected(8.0, 6.0)  # 12 are left, not 16
    assert found["gradient_ascent"] == Expected()  # was not run
    assert found["retrain"] == Expected(30.0, 30.0)  # as many steps, however many texts


def test_retraining_by_epochs_passes_over_what_is_left(measured):
    train = PARAMS["studies"]["topics"]["train"] | {"match": "epochs"}
    params = study(train=train, methods=methods(deepcut=None))
    assert expected(params, "topics", Pool(KNOWN, KNOWN[:8]))["retrain"] == Expected(30.0, 30 * 12 / 16)


def test_sisa_trains_the_shards_that_held_the_texts(measured):
    """40 s beforehand were those of all 20 texts: of one shard and slice a deletion of 5 passes over 15."""
    params = study(methods=methods(sisa={"hyper": {"shards": 1, "slices": 1}}))
    found = expected(params, "topics", Pool(KNOWN, KNOWN[:5]))["sisa"]
    assert (found.measured, found.request) == (2.0, pytest.approx(40 * 15 / 20))
    assert found.beforehand == pytest.approx(40)
    later = expected(params, "topics", Pool(KNOWN[10:], KNOWN[10:15]))["sisa"]  # 10 were removed before
    assert (later.request, later.beforehand) == (pytest.approx(10), pytest.approx(20))


@pytest.mark.parametrize("seed", range(3))
def test_work_of_sisa_agrees_with_a_slow_reference(seed):
    """Every shard is trained on its first slice, then its first two, ...; from the first that lost a text on, again."""
    hyper, gone, total = Hyper(shards=3, slices=4), {"t3", "t7"}, 5
    each = [2, 2, 2, 2]  # 2 * 5 / (4 + 1) epochs a slice
    shard, part = shard_and_slice(hyper, KNOWN, seed)
    before = after = 0
    for s in range(3):
        own = [(p, name) for p, sh, name in zip(part, shard, KNOWN, strict=True) if sh == s]
        touched = [p for p, name in own if name in gone]
        for p in range(4):
            before += each[p] * sum(q <= p for q, _ in own)
            if touched and p >= min(touched):
                after += each[p] * sum(q <= p and name not in gone for q, name in own)
    assert work(hyper, KNOWN, sorted(gone), seed, total) == (after, before)


def test_what_a_request_took_is_what_was_expected_of_it(made, served, tmp_path, monkeypatch, capsys):
    """Were a step, or the reading of an example, a second; of tokens, as no two texts have as many, it is near."""
    shutil.copytree(made, tmp_path / "here")
    monkeypatch.chdir(tmp_path / "here")
    workflow_in_process.run_study(load_params("params.yaml"), "people", ["npo", "retrain"], 1)
    folders = {"npo": "results/unlearn/{}/npo/seed1", "retrain": "results/train/{}/retrain/seed1"}
    request = ask(Path(), "DSR-1", subject(Path(), 0))
    files = {run: Path(folder.format("people"), "cost.json") for run, folder in folders.items()}
    costs = {run: json.loads(file.read_text()) for run, file in files.items()}
    for cost, near in (("steps", 0), ("examples", 0), ("tokens", 0.1)):
        for run, file in files.items():
            put(file, costs[run] | {"wall_seconds": costs[run][cost]})
        assert main(["request", str(request), "--plan"]) == 0
        said = capsys.readouterr().out.replace(",", "")
        rows = {line.split()[0]: line.split() for line in said.splitlines() if line}
        for run, folder in folders.items():
            took = json.loads((served / folder.format("people-request-1") / "cost.json").read_text())
            assert [float(value) for value in rows[run][1:3]] == [
                costs[run][cost], pytest.approx(took[cost], rel=near, abs=0),
            ]  # fmt: skip
    assert costs["npo"]["steps"] == 2 * 4 and "s for 8 examples s for 4 examples" in " ".join(rows["method"])
