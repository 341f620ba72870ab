"""The command line: help for all, one line for what is wrong, and runs that survive being killed."""

import json
import os
import signal
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import pandas as pd
import pytest
import study
import torch
from safetensors.torch import load_file

from lethe.__main__ import main, parser
from lethe.system import gpus
from lethe.system.errors import InputError
from lethe.train import train

COMMANDS = (
    "check", "schema", "prepare", "forget", "train", "unlearn", "score", "measure", "compare", "report", "readme",
    "tune", "blind", "judge", "verify", "request", "versions", "purge", "methods", "metrics", "datasets",
    "perturbations", "tasks", "leaderboard",
)  # fmt: skip


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command, capsys):
    with pytest.raises(SystemExit) as stopped:
        main([command, "--help"])
    assert stopped.value.code == 0
    assert f"lethe {command}" in capsys.readouterr().out


def test_an_output_whose_path_is_no_text_is_refused_before_the_work(capsys):
    out = os.fsdecode(b"caf\xe9/\xff")
    assert main(["judge", "--model=m", "--forget=f", "--holdout=h", "--test=t", f"--out={out}"]) == 2
    assert (
        capsys.readouterr().err
        == r"lethe judge: --out: 'caf\udce9/\udcff': is not UTF-8; name another" + "\n"
    )


def test_a_step_that_runs_a_model_asks_for_a_gpu(monkeypatch, capsys):
    def claim(count):
        raise InputError(f"asked for {count}")

    monkeypatch.setattr(gpus, "claim", claim)
    assert main(["judge", "--model=m", "--forget=f", "--holdout=h", "--test=t"]) == 2
    assert main(["score", '--cfg={"task": "tagging", "model": 0, "score": 0}', "--prepared=p", "--forget=f",
                 "--model=m", "--out=o"]) == 2  # fmt: skip
    assert capsys.readouterr().err == "lethe judge: asked for 1\nlethe score: asked for 1\n"


def test_there_are_no_other_commands(capsys):
    choices = next(a.choices for a in parser()._actions if a.dest == "command")
    assert set(choices) == set(COMMANDS)
    with pytest.raises(SystemExit) as stopped:
        main([])
    assert stopped.value.code == 2


@pytest.fixture
def small(tmp_path):
    return study.parameters(tmp_path, "generation")


def failure(capsys, *argv) -> str:
    """The one line on standard error of a command that fails with status 2."""
    assert main([str(a) for a in argv]) == 2
    written = capsys.readouterr()
    assert written.out == ""
    lines = written.err.splitlines()
    assert len(lines) == 1, written.err
    assert lines[0].startswith(f"lethe {argv[0]}: ")
    return lines[0]


def prepare(capsys, folder, cfg) -> str:
    line = failure(capsys, "prepare", "--cfg", json.dumps(cfg), "--out", folder / "prepared")
    assert not (folder / "prepared").exists()
    return line


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("{task: generation}", ["--cfg", "is not JSON", "column 2"]),
        ("", ["--cfg", "is not JSON"]),
        ("[1]", ["--cfg", "is a list", "task, dataset, seed"]),
        ('{"task": "generation", "seed": 0}', ["--cfg", "dataset is missing"]),
        ('{"task": "translation", "dataset": "x", "seed": 0}', ["task: translation", "classification"]),
        ('{"task": "generation", "dataset": "a/b", "seed": ' + "9" * 5000 + "}", ["--cfg"]),
        ('{"task": "generation", "dataset": "a/b", "seed": NaN}', ["--cfg: seed", "not a finite number"]),
        ('{"task": "generation", "dataset": "a\\ud800", "seed": 0}', ["--cfg: dataset", "lone surrogate"]),
        ("[" * 50_000, ["--cfg", "levels"]),
        ("[" * 40 + "]" * 40, ["--cfg", "levels"]),
        ('{"task": "generation", "dataset": "a/b", "seed": "2"}', ["--cfg: seed", '"2"', "whole numbers"]),
        ('{"task": "generation", "dataset": "a/b", "seed": true}', ["--cfg: seed", "true", "whole numbers"]),
    ],
)
def test_parameters_that_are_none(text, parts, tmp_path, capsys):
    line = failure(capsys, "prepare", "--cfg", text, "--out", tmp_path / "out")
    assert [part for part in parts if part not in line] == []


def test_parameters_are_read_from_a_file_too(small, tmp_path, capsys):
    file = tmp_path / "job.json"
    file.write_text(json.dumps(small))
    assert main(["prepare", "--cfg", str(file), "--out", str(tmp_path / "out")]) == 0
    assert (tmp_path / "out/prepared.json").exists()
    for text, parts in (
        ("{task: generation}", ["is not JSON", "column 2"]),
        ("[1]", ["is a list", "task, dataset, seed"]),
        ('{"task": "generation", "seed": 0}', ["dataset is missing"]),
    ):
        file.write_text(text)
        line = failure(capsys, "prepare", "--cfg", file, "--out", tmp_path / "other")
        assert [part for part in [f"--cfg: {file}: ", *parts] if part not in line] == []
    line = failure(capsys, "prepare", "--cfg", tmp_path / "none", "--out", tmp_path / "other")
    assert f"--cfg: {tmp_path / 'none'}: no such file" in line


def test_data_that_cannot_be_used(small, tmp_path, capsys):
    dataset = small["dataset"]
    for changes, parts in (
        ({"source": str(tmp_path / "none.csv")}, ["dataset.source", "none.csv", "does not exist"]),
        ({"text": "body"}, ["dataset.text", "no column 'body'", "id, text, label"]),
        ({"sizes": {"train": 1000}}, ["dataset.sizes", "24"]),
        ({"txt": "text"}, ["txt", "unknown key"]),
        ({"deduplicate": "perhaps"}, ["deduplicate", "perhaps"]),
        ({"deduplicate": 1}, ["deduplicate", "1", "boolean"]),
        ({"ngram": "5"}, ["ngram", '"5"', "integer"]),
    ):
        line = prepare(capsys, tmp_path, small | {"dataset": dataset | changes})
        assert [part for part in parts if part not in line] == []


SECRET = "Quentin Zyzzyva, 12 Xylophone Mews"


@pytest.mark.parametrize(
    ("rows", "part"),
    [
        ([{"id": "a", "text": SECRET}, {"id": "a", "text": SECRET + "!"}], "'a'"),
        ([{"id": "a", "text": SECRET}, {"id": "b", "text": " "}], "'b'"),
        ([{"id": "a", "text": SECRET}, {"id": "b", "text": [SECRET]}], "row 1"),
        ([{"id": "a", "text": SECRET}, {"id": None, "text": SECRET}], "row 1"),
        ([{"id": "a", "text": SECRET}, SECRET], "objects"),
        ([{"id": "a", "text": SECRET}], "dataset.sizes"),
    ],
)
def test_errors_of_the_data_name_records_and_not_their_text(rows, part, small, tmp_path, capsys):
    (tmp_path / "texts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    line = prepare(capsys, tmp_path, small)
    assert part in line
    assert not [word for word in ("Quentin", "Zyzzyva", "Xylophone") if word in line]


def test_a_torn_line_of_json_is_not_shown(small, tmp_path, capsys):
    (tmp_path / "texts.jsonl").write_text('{"id": "a", "text": "' + SECRET)
    line = prepare(capsys, tmp_path, small)
    assert "line 1" in line and "Quentin" not in line


def test_inputs_that_are_missing_or_damaged(small, tmp_path, capsys):
    cfg = json.dumps(small)
    none, out = tmp_path / "none", ["--out", tmp_path / "out"]
    where = ["--prepared", none, "--forget", none]
    run = ["--cfg", cfg, "--seed", 1, "--prepared", none]
    calls = [
        ("forget", *run),
        ("train", *run, "--run", "base"),
        ("train", *run, "--run", "original"),
        ("train", *run, "--run", "original", "--forget", none, "--base", none),
        ("unlearn", *run, "--run", "icu", "--forget", none, "--model", none),
        ("score", "--cfg", cfg, *where, "--model", none),
        ("measure", "--cfg", '{"measure": {}}', "--seed", 1, "--scores", none),
    ]
    for call in calls:
        failure(capsys, *call, *out)
    none.mkdir()
    (none / "examples.parquet").write_bytes(b"PAR1 torn")
    for call in calls:
        failure(capsys, *call, *out)
    assert not (tmp_path / "out").exists()


def test_methods_that_are_none(small, tmp_path, capsys):
    run = ["--seed", 1, "--run", "mine", "--out", tmp_path / "out", "--model", tmp_path]
    run += ["--prepared", tmp_path, "--forget", tmp_path]
    for method, parts in (
        ({"objective": "nosuch"}, ["methods.mine.objective", "nosuch", "npo"]),
        ({"objective": "deepcut"}, ["deepcut is no generation method"]),
        ({"objective": "npo", "hyper": {"bet": 1}}, ["methods.mine.hyper.bet", "unknown key", "beta"]),
        ({"objective": "npo", "hyper": {"beta": -1}}, ["hyper.beta", "-1"]),
        ({"objective": "npo", "hyper": {"beta": "1"}}, ["hyper.beta", '"1"', "number"]),
        ({"objective": "npo", "training": {"epochs": 0}}, ["training.epochs", "0"]),
        ({"objective": "npo", "training": {"epochs": True}}, ["training.epochs", "true", "integer"]),
        ({}, ["objective", "missing"]),
    ):
        line = failure(capsys, "unlearn", "--cfg", json.dumps(small | {"method": method}), *run)
        assert [part for part in parts if part not in line] == []


def test_a_check_lists_the_runs_and_names_what_is_wrong(tmp_path, capsys):
    assert main(["check", str(Path(__file__).parents[1] / "params.yaml")]) == 0
    assert "topics: classification" in capsys.readouterr().out
    assert "no such file" in failure(capsys, "check", tmp_path / "none.yaml")


def started(folder, cfg) -> subprocess.Popen:
    """`lethe train` in a process of its own."""
    argv = [
        sys.executable,
        "-m",
        "lethe",
        "train",
        "--cfg",
        json.dumps(cfg),
        "--seed",
        "1",
        "--run",
        "original",
    ]
    argv += ["--prepared", str(folder / "prepared"), "--forget", str(folder / "forget")]
    argv += ["--base", str(folder / "base" / "model"), "--out", str(folder / "killed")]
    argv += ["--checkpoint", str(folder / "state.safetensors")]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    return subprocess.Popen(argv, env=environment, stderr=subprocess.PIPE, text=True)


def stopped(folder, process, number: int, changed_since: int = 0) -> tuple[int, str]:
    """Status and standard error of a run that gets a signal once it has written a new checkpoint."""
    checkpoint = folder / "state.safetensors"
    while not checkpoint.exists() or checkpoint.stat().st_mtime_ns <= changed_since:
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.002)
    process.send_signal(number)
    _, written = process.communicate()
    return process.returncode, written


@pytest.mark.slow
def test_a_run_that_is_terminated_and_then_killed_ends_like_one_that_was_not(tmp_path):
    cfg = study.prepared(tmp_path, "generation")
    cfg["train"]["finetune"] = study.TRAINING | {"epochs": 90, "checkpoint_seconds": 0.05}
    train(study.job(tmp_path, cfg, "base"), tmp_path / "prepared")
    inputs = tmp_path / "prepared", tmp_path / "forget", tmp_path / "base" / "model"
    train(study.job(tmp_path, cfg, "original"), *inputs)

    status, written = stopped(tmp_path, started(tmp_path, cfg), signal.SIGTERM)
    assert status == 143
    assert "Traceback" not in written
    assert not [word for word in study.text(0).split() if word in written]
    before = (tmp_path / "state.safetensors").stat().st_mtime_ns
    status, written = stopped(tmp_path, started(tmp_path, cfg), signal.SIGKILL, before)
    assert status == -signal.SIGKILL
    assert "continuing at step" in written
    assert not (tmp_path / "killed").exists()

    argv = ["train", "--cfg", json.dumps(cfg), "--seed", "1", "--run", "original", "--prepared", inputs[0]]
    argv += ["--forget", inputs[1], "--base", inputs[2], "--out", tmp_path / "killed"]
    assert main([str(a) for a in [*argv, "--checkpoint", tmp_path / "state.safetensors"]]) == 0
    for file in ("model.sha256", "trace.csv", "epochs.csv"):
        assert (tmp_path / "killed" / file).read_bytes() == (tmp_path / "original" / file).read_bytes()
    sets = pd.read_parquet(tmp_path / "forget" / "sets.parquet")["set"]
    steps = -(-sets.isin(("forget", "retain")).sum() // study.TRAINING["batch"]["retain"])
    assert len((tmp_path / "killed" / "trace.csv").read_text().splitlines()) == 1 + 90 * steps
    assert not (tmp_path / "state.safetensors").exists()


@pytest.mark.slow
def test_a_run_of_two_processes_leaves_the_outputs_of_one(tmp_path):
    """Started, trained and written as by the workflow; sharded, which needs most to be put together again."""
    cfg = study.prepared(tmp_path, "generation")
    recipe = study.TRAINING | {"dropout": False, "optimizer": "sgd"}
    cfg["train"]["finetune"] = recipe
    train(study.job(tmp_path, cfg, "base"), tmp_path / "prepared")
    train(
        study.job(tmp_path, cfg, "original"),
        *[tmp_path / name for name in ("prepared", "forget", "base/model")],
    )
    cfg["train"]["finetune"] = recipe | {"processes": 2, "sharded": True}
    process = started(tmp_path, cfg)
    _, written = process.communicate()
    assert process.returncode == 0, written
    assert written.count("step=0 ") == 1
    one, two = (pd.read_csv(tmp_path / run / "trace.csv") for run in ("original", "killed"))
    pd.testing.assert_frame_equal(one, two, rtol=1e-4)
    assert {f.name for f in (tmp_path / "killed").iterdir()} == {
        f.name for f in (tmp_path / "original").iterdir()
    }
    weights = [load_file(tmp_path / run / "model/model.safetensors") for run in ("original", "killed")]
    assert weights[0].keys() == weights[1].keys()
    for name, tensor in weights[0].items():
        torch.testing.assert_close(tensor, weights[1][name], rtol=1e-3, atol=1e-5)
    assert not (tmp_path / "state.safetensors").exists()


C_LOCALE = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}


def run_python(code: str, **environment) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-c", code], env=os.environ | environment, capture_output=True, timeout=120
    )


@pytest.mark.parametrize(
    ("environment", "written"),
    [(C_LOCALE, "1 − 2, é".encode()), ({"PYTHONIOENCODING": "latin-1"}, "1 \\u2212 2, é".encode("latin-1"))],
)
def test_every_character_can_be_written_in_every_locale(environment, written):
    code = (
        "import sys, lethe.__main__ as m; m.make_writable(sys.stdout); print('1 \\u2212 2, \\u00e9', end='')"
    )
    assert run_python(code, **environment).stdout == written


def test_files_are_utf_8_in_every_locale(tmp_path):
    text = (Path(__file__).parent / "workflow/params_tiny.yaml").read_text(encoding="utf-8")
    assert "title: tiny" in text
    file = tmp_path / "params.yaml"
    file.write_text(text.replace("title: tiny", "title: Über das Vergessen — 忘却"), encoding="utf-8")
    done = run_python(
        f"import lethe.__main__ as m; raise SystemExit(m.main(['check', {str(file)!r}]))", **C_LOCALE
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux has a device that is always full")
def test_output_that_cannot_be_written_is_one_line():
    code = "import lethe.__main__ as m; raise SystemExit(m.main(['check']))"
    with open("/dev/full", "w", encoding="utf-8") as full:
        here = Path(__file__).parents[1]
        command = [sys.executable, "-c", code]
        done = subprocess.run(command, cwd=here, stdout=full, stderr=subprocess.PIPE, timeout=120)
    assert done.returncode == 2
    assert done.stderr.decode().splitlines() == ["lethe check: [Errno 28] No space left on device"]


def test_the_version_is_that_of_the_project(capsys):
    with pytest.raises(SystemExit, match="0"):
        main(["--version"])
    stated = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]["version"]
    assert capsys.readouterr().out == f"lethe {stated}\n"
