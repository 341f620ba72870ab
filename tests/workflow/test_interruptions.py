"""Kills at random moments, and runs at the same time: nothing half-made counts, the next run ends as if undisturbed."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import threading
import time

import psutil
import pytest
from repository import ROOT, Repo

pytestmark = pytest.mark.slow

LR = "learning_rate: {}"
VALUES = ("0.001", "0.002")


@pytest.fixture
def repo(here) -> Repo:
    """With a learning rate of the method icu that tests turn to and fro."""
    here.edit(
        "params.yaml", "icu:\n        training:", f"icu:\n        training:\n          {LR.format(VALUES[0])}"
    )
    here("snakemake")
    return here


def turn(repo: Repo) -> None:
    text = (repo.path / "params.yaml").read_text()
    old, new = VALUES if LR.format(VALUES[0]) in text else VALUES[::-1]
    repo.edit("params.yaml", LR.format(old), LR.format(new))


def jobs_at_work(process: subprocess.Popen) -> list[psutil.Process]:
    """Processes of jobs below a run."""
    try:
        below = psutil.Process(process.pid).children(recursive=True)
        return [child for child in below if any("lethe" in word for word in child.cmdline())]
    except psutil.NoSuchProcess:
        return []


def kill(process: subprocess.Popen, victim: str) -> None:
    """End a run, its main process alone, or one of its jobs, without any warning."""
    if victim == "job":
        for job in jobs_at_work(process)[-1:]:
            job.kill()
    elif victim == "main":
        process.kill()
    else:
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def finish(repo: Repo, command: str) -> str:
    """Run until the jobs that outlived a killed run have ended; a run that finds them says so."""
    for _ in range(100):
        status, output = repo.quick(command)
        if status == 0:
            return output
        assert "wait for" in output or "locked" in output or "busy" in output, output
        time.sleep(0.3)
    raise TimeoutError(output)


@pytest.mark.parametrize("seed", range(10, 13))
def test_killed_at_random_moments(repo, seed):
    """Five moments each; the truths of both settings are made without disturbance."""
    draw = random.Random(seed)
    truths = [repo.truth()]
    turn(repo)
    truths.append(repo.truth())
    now = 1  # the setting of params.yaml, of which no result exists yet
    for moment in range(5):
        if moment:
            turn(repo)
            now = 1 - now
        command = draw.choice(["snakemake", "snakemake", "dvc repro"])
        victim = draw.choice(["all", "main", "job"])
        process = repo.start(*command.split(), FAKE_SECONDS="0.1")
        time.sleep(draw.uniform(0.5, 5.0))
        kill(process, victim)
        whole = repo.results()
        for path, content in whole.items():
            if ".part" not in path:
                assert content in (truths[0].get(path), truths[1].get(path)), f"{path} is half-made"
        finish(repo, "snakemake")
        assert repo.results() == truths[now]
    assert repo.plans_nothing()
    finish(repo, "dvc repro")
    assert repo.is_clean()


def test_killed_before_dvc_was_told(repo):
    """All jobs are done and sealed, but dvc.lock is not written: the next run does that."""
    lock = (repo.path / "dvc.lock").read_text()
    turn(repo)
    repo("snakemake")
    (repo.path / "dvc.lock").write_text(lock)
    assert not repo.is_clean()
    (repo.path / ".snakemake/run.open").touch()
    assert "dvc.lock is up to date" in repo("snakemake")
    assert repo.is_clean()


@pytest.mark.parametrize("share", [0, 0.6])
def test_killed_while_dvc_wrote(repo, share):
    """DVC writes two files in place, and stops at half a file: the next `snakemake` writes them anew."""
    for name in ("dvc.lock", ".dvc/tmp/rwlock"):
        text = (repo.path / name).read_text()
        assert text
        (repo.path / name).write_text(text[: int(share * len(text))])
    assert repo.quick("dvc status")[0] != 0
    repo("snakemake")
    assert repo.is_clean()
    assert "didn't change" in repo("dvc repro")
    assert repo.plans_nothing()


def test_told_to_end_while_the_scheduler_holds_its_lock(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "workflow"))
    from environment import answer_in_a_thread

    lock, answered = threading.Lock(), threading.Event()

    def answer(*_):
        if lock.acquire(timeout=5):
            lock.release()
            answered.set()

    before = signal.signal(signal.SIGTERM, answer)
    try:
        answer_in_a_thread(signal.SIGTERM)
        with lock:
            os.kill(os.getpid(), signal.SIGTERM)
        assert answered.wait(10)
    finally:
        signal.signal(signal.SIGTERM, before)


def test_edits_while_a_run_is_at_work(here, made):
    """What is made of the edited code does not count once the edit is taken back; faulty parameters are one line."""
    (here.path / "results/unlearn/records/icu/seed0/model.sha256").unlink()
    run = here.start("snakemake", FAKE_SECONDS="1")
    while not jobs_at_work(run):
        time.sleep(0.05)
    for file, text in (("src/lethe/score.py", "\nCHANGED = 1\n"), ("params.yaml", "\nstudies: [")):
        (here.path / file).write_text((here.path / file).read_text() + text)
    output, _ = run.communicate()
    assert run.returncode == 0, output
    assert "params.yaml: is not YAML" in output and "Traceback" not in output
    here("git checkout -q src params.yaml")
    here("snakemake")
    assert here.results() == made.results()
    assert here.is_clean()


def test_parameters_edited_while_dvc_is_at_work(here):
    """Snakemake makes nothing for DVC that DVC would write down under older parameters."""
    here("python workflow/plan.py")
    here.edit("params.yaml", "bootstrap: 100", "bootstrap: 200")
    status, output = here.attempt("snakemake measure", DVC_STAGE="measure")
    assert status != 0
    assert "changed after DVC wrote its plan, and nothing is made of it: run `snakemake`" in output
    assert "rule " not in output and "Traceback" not in output


def test_slurm_falls_silent_while_jobs_are_cancelled(tmp_path, monkeypatch, capsys):
    """Of two stand-ins, one shows a job until it is cancelled, the other cancels it at the second time."""
    monkeypatch.syspath_prepend(str(ROOT / "workflow"))
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.chdir(tmp_path)
    scripts = {
        "squeue": f"[ -e gone ] || echo '7|lethe_run|{tmp_path}'",
        "scancel": "[ -e asked ] && touch gone && exit; touch asked; echo no controller >&2; exit 1",
    }
    for name, text in scripts.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / name).chmod(0o755)
    import resume

    monkeypatch.setattr(resume, "POLL", 0.0)
    resume.wait(cancel=True)
    assert "does not cancel them (no controller); asking again" in capsys.readouterr().err
    monkeypatch.setattr("sys.argv", ["resume.py", "--directory", "none"])
    with pytest.raises(SystemExit):
        resume.main()
    assert capsys.readouterr().err.endswith("--directory: none: no such folder; needed is that of the run\n")


@pytest.mark.parametrize("pair", [("snakemake", "snakemake"), ("dvc repro", "snakemake")], ids=" + ".join)
def test_two_runs_at_once(repo, pair):
    """One does the work; the other waits or ends with a clear message; the results are those of one."""
    turn(repo)
    runs = [repo.start(*command.split(), FAKE_SECONDS="0.5") for command in pair]
    ends = [(run.communicate()[0], run.returncode) for run in runs]
    assert 0 in [status for _, status in ends]
    for output, status in ends:
        if status:
            assert any(words in output for words in ("is at work in this folder", "locked", "busy")), output
            assert "Traceback" not in output
    finish(repo, "snakemake")
    assert repo.results() == repo.truth()
    assert repo.plans_nothing()


def test_jobs_that_outlive_a_killed_run(repo):
    """The next run does not race them: it names the lock, and goes on once they have ended."""
    turn(repo)
    process = repo.start("snakemake", FAKE_SECONDS="60")
    while not (orphans := jobs_at_work(process)):
        time.sleep(0.1)
    process.kill()
    process.wait()
    status, output = repo.attempt("snakemake")
    assert status != 0
    assert "jobs of a run that was killed" in output
    assert "Traceback" not in output
    for orphan in orphans:
        orphan.kill()
    finish(repo, "snakemake")
    assert repo.results() == repo.truth()
