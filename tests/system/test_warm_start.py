"""A step that forks from a process that has imported what it needs does and says what a step by itself does."""

import importlib
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lethe.system import warm_start

COMMAND = [sys.executable, "-c", "from lethe.system.warm_start import main; main()"]


@pytest.fixture
def run(tmp_path_factory):
    """A run that offers a warm start: its variable, and what ends it."""
    read, write = os.pipe()
    address = tmp_path_factory.mktemp("warm") / "socket"
    modules = ["lethe.__main__", "lethe.forget"]
    server = subprocess.Popen(
        [sys.executable, "-m", "lethe.system.warm_start", str(address), str(read), *modules],
        pass_fds=(read,), stdout=subprocess.PIPE,
    )  # fmt: skip
    assert server.stdout and server.stdout.read() == b""  # it is ready
    yield {"LETHE_WARM": f"{read}:{address}", "OMP_NUM_THREADS": "1"}
    os.close(write)
    assert server.wait(10) == 0
    assert not address.parent.exists()
    os.close(read)


def start(environment: dict[str, str], *arguments: str, **more) -> subprocess.Popen:
    pipe = [int(environment["LETHE_WARM"].split(":")[0])] if "LETHE_WARM" in environment else []
    return subprocess.Popen(
        [*COMMAND, *arguments], env=os.environ | environment, pass_fds=pipe, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True, **more,
    )  # fmt: skip


FAULTS = [["forget", "--cfg", "{}", "--seed", "0", "--prepared", "none", "--out", "out"], ["forget", "--cfg"]]


@pytest.mark.parametrize("arguments", FAULTS, ids=["fault", "usage"])
def test_status_and_words_are_those_of_a_step_by_itself(run, tmp_path, arguments):
    found = []
    for environment in ({}, run):
        process = start(environment, *arguments, cwd=tmp_path)
        found.append((*process.communicate(timeout=60), process.returncode))
    assert found[0] == found[1]
    assert found[0][2] == 2 and found[0][1]


def waiting(run, tmp_path: Path, **more) -> subprocess.Popen:
    """A step that reads its parameters from a pipe, for ever."""
    os.mkfifo(tmp_path / "cfg.json")
    process = start(
        run,
        "forget",
        "--cfg",
        "cfg.json",
        "--seed",
        "0",
        "--prepared",
        "p",
        "--out",
        "o",
        cwd=tmp_path,
        **more,
    )
    while not forks(tmp_path):
        time.sleep(0.02)
    return process


def forks(folder: Path) -> list[int]:
    """Processes, but commands, at work in a folder."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            here = (process / "cwd").resolve() == folder.resolve()
            if here and "warm_start\0" in (process / "cmdline").read_text():
                found.append(int(process.name))
        except OSError:
            continue
    return found


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_signal_to_the_command_ends_the_step(run, tmp_path, number):
    process = waiting(run, tmp_path)
    process.send_signal(number)
    process.communicate(timeout=10)
    assert process.returncode == -number
    for _ in range(200):
        if not forks(tmp_path):
            return
        time.sleep(0.02)
    raise AssertionError("the step is still at work")


def test_a_step_that_is_killed_is_told_as_one(run, tmp_path):
    process = waiting(run, tmp_path)
    os.kill(forks(tmp_path)[0], signal.SIGKILL)
    process.communicate(timeout=10)
    assert process.returncode == -signal.SIGKILL


def test_without_the_run_a_step_starts_by_itself(tmp_path, monkeypatch):
    """The pipe is closed, as on another machine; the place is gone."""
    process = start({"OMP_NUM_THREADS": "1"}, *FAULTS[0], cwd=tmp_path)
    expected = process.communicate()
    monkeypatch.setenv("LETHE_WARM", f"999:{tmp_path}/none/socket")
    again = start({"OMP_NUM_THREADS": "1"}, *FAULTS[0], cwd=tmp_path)
    assert again.communicate() == expected


@pytest.mark.parametrize(
    ("environment", "arguments", "expected"),
    [
        ({"LETHE_WARM": "3:/x", "OMP_NUM_THREADS": "1"}, ["score"], True),
        ({"LETHE_WARM": "3:/x", "OMP_NUM_THREADS": "2"}, ["score"], False),
        ({"LETHE_WARM": "3:/x", "OMP_NUM_THREADS": "1", "RANK": "0"}, ["train"], False),
        ({"LETHE_WARM": "3:/x", "OMP_NUM_THREADS": "1"}, ["judge"], False),
        ({"LETHE_WARM": "3:/x", "OMP_NUM_THREADS": "1"}, [], False),
        ({"OMP_NUM_THREADS": "1"}, ["score"], False),
    ],
)
def test_who_starts_warm(monkeypatch, environment, arguments, expected):
    for name in ("LETHE_WARM", "OMP_NUM_THREADS", "RANK"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert warm_start.is_warm(arguments) == expected


def test_what_most_steps_do_is_done_before_the_fork(tmp_path):
    """A module that has a `before_fork` is asked for it as the process starts."""
    (tmp_path / "said.py").write_text("def before_fork():\n    open('done', 'w').close()\n")
    (tmp_path / "run").mkdir()
    read, write = os.pipe()
    os.close(write)  # a run that has ended
    subprocess.run(
        [sys.executable, "-m", "lethe.system.warm_start", str(tmp_path / "run" / "socket"), str(read), "said"],
        pass_fds=(read,), cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(tmp_path)}, check=True, timeout=60,
        stdout=subprocess.DEVNULL,
    )  # fmt: skip
    os.close(read)
    assert (tmp_path / "done").exists()
    assert all(hasattr(importlib.import_module(name), "before_fork") for name in warm_start.READY)


def test_the_first_step_starts_the_process(tmp_path, monkeypatch):
    monkeypatch.setattr(warm_start, "MODULES", ())
    read, write = os.pipe()
    address = tmp_path / "warm" / "socket"
    address.parent.mkdir()
    first, second = warm_start.started(address, read), warm_start.started(address, read)
    assert isinstance(first, socket.socket) and isinstance(second, socket.socket)
    first.close(), second.close()
    os.close(write), os.close(read)
    for _ in range(500):
        if not address.parent.exists():
            return
        time.sleep(0.02)
    raise AssertionError("the process outlives its run")
