"""Several processes of one command: started with their places, ended together, whoever dies."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from lethe.system import workers

SOURCES = Path(workers.__file__).parents[1]
SCRIPT = """
import os, signal, sys, time
from pathlib import Path
from lethe.system import workers
rank, folder = int(os.environ["RANK"]), Path(sys.argv[1])
workers.end_with_starter()
signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
place = [os.environ[k] for k in ("LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")]
place += [os.environ[f"{k}_NUM_THREADS"] for k in ("OMP", "MKL", "OPENBLAS", "RAYON")]
(folder / str(rank)).write_text(" ".join([str(os.getpid()), *place]))
print("this is", rank, file=sys.stderr)
"""
STARTER = (
    "import sys; from lethe.system.workers import launch; sys.exit(launch(sys.argv[2:], int(sys.argv[1])))"
)


def command(folder: Path, then: str) -> list[str]:
    return [sys.executable, "-c", SCRIPT + then, str(folder)]


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(SOURCES))
    for library in ("OMP", "MKL", "OPENBLAS", "RAYON"):  # as Snakemake sets them
        monkeypatch.setenv(f"{library}_NUM_THREADS", "6")
    monkeypatch.setattr(workers, "GRACE", 0.5)


def places(folder: Path) -> list[list[str]]:
    return [file.read_text().split() for file in sorted(folder.iterdir())]


def test_every_process_knows_its_place(tmp_path, capfd):
    assert workers.launch(command(tmp_path, ""), 3) == 0
    found = places(tmp_path)
    assert [place[1] for place in found] == ["0", "1", "2"]
    assert {tuple(place[2:]) for place in found} == {("3", "localhost", found[0][4], *"2222")}
    assert capfd.readouterr().err == "this is 0\n"


@pytest.mark.parametrize(
    ("then", "status", "heard"),
    [
        ("sys.exit(2)", 2, "this is 0\n"),  # a fault that all find is told once
        ("rank == 1 and sys.exit(2)\ntime.sleep(60)", 2, "this is 0\nthis is 1\n"),
        ("rank == 0 and sys.exit(3)\ntime.sleep(60)", 3, "this is 0\n"),
        ("rank == 1 and os.kill(os.getpid(), 9)\ntime.sleep(60)", 137, "this is 0\nthis is 1\n"),
    ],
    ids=["all", "second", "first", "killed"],
)
def test_if_one_fails_all_end(tmp_path, capfd, then, status, heard):
    assert workers.launch(command(tmp_path, f"time.sleep(0.3)\n{then}"), 2) == status
    assert capfd.readouterr().err == heard
    assert not any(psutil.pid_exists(int(place[0])) for place in places(tmp_path))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_what_ends_the_starter_ends_all(tmp_path, number):
    """SIGTERM is passed on, and who writes a checkpoint has the time that it takes; SIGKILL leaves no orphan."""
    slow = "rank == 0 and signal.signal(signal.SIGTERM, lambda *_: (time.sleep(1), sys.exit(143)))\ntime.sleep(60)"
    starter = subprocess.Popen([sys.executable, "-c", STARTER, "2", *command(tmp_path, slow)])
    while len(list(tmp_path.iterdir())) < 2 or not all(f.stat().st_size for f in tmp_path.iterdir()):
        time.sleep(0.02)
    time.sleep(0.2)
    members = [int(place[0]) for place in places(tmp_path)]
    starter.send_signal(number)
    assert starter.wait() == (143 if number == signal.SIGTERM else -9)
    deadline = time.monotonic() + 10
    while any(psutil.pid_exists(pid) and psutil.Process(pid).status() != "zombie" for pid in members):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_one_process_alone_is_no_member(monkeypatch):
    for name in ("RANK", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    assert not workers.is_member() and workers.rank() == 0
    monkeypatch.setitem(os.environ, "RANK", "1")
    monkeypatch.setitem(os.environ, "WORLD_SIZE", "2")
    assert workers.is_member() and workers.rank() == 1
