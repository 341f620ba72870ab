"""One run per folder, also where .snakemake is removed meanwhile, and where the file system has no locks."""

from __future__ import annotations

import errno
import os
import shutil

import pytest
from repository import ROOT
from test_interruptions import finish, jobs_at_work

from lethe.system.files import remove


@pytest.fixture
def lock(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(str(ROOT / "workflow"))
    monkeypatch.chdir(tmp_path)
    import lock

    return lock


def test_one_holder_at_a_time_also_after_the_folder_of_state_was_removed(lock):
    held = lock.take(0.0)
    with pytest.raises(lock.TakenError, match=rf"another run \(process {os.getpid()}\) is at work"):
        lock.take(0.0)
    shutil.rmtree(".snakemake")
    with pytest.raises(lock.TakenError, match="another run is at work in this folder"):
        lock.take(0.0)
    lock.release(held)
    lock.release(lock.take(0.0))


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS, 524])
def test_a_file_system_without_locks(lock, monkeypatch, number):
    def flock(*_):
        raise OSError(number, "no locks")

    monkeypatch.setattr(lock.fcntl, "flock", flock)
    assert lock.take(0.0) == []


@pytest.mark.parametrize("content", [b"", b"none", b"\xff", b"9" * 5000, b"[]"])
def test_a_lock_file_that_names_no_process(lock, content):
    held = lock.take(0.0)
    lock.FILE.write_bytes(content)
    with pytest.raises(lock.TakenError, match="another run is at work in this folder"):
        lock.take(0.0)
    lock.release(held)


@pytest.fixture
def late(lock, monkeypatch):
    """A run of nothing, before its first look at the disk."""
    import agreement
    from dependencies import Digests

    monkeypatch.setattr(lock, "PATIENCE", 0.0)
    monkeypatch.setattr(agreement, "surround", lambda *_: None)
    monkeypatch.setattr(agreement, "refusal", lambda _: "")
    return agreement.Agreement(None, "params.yaml", None, {}, {}, Digests(lock.STATE / "digests.json"))


def test_a_run_that_found_another_at_work_starts_nothing(lock, late):
    """Not even when the other has ended meanwhile: what it made is not in the DAG."""
    from internals import WorkflowError

    other = lock.take(0.0)
    late.begin()
    lock.release(other)
    with pytest.raises(WorkflowError, match="is at work in this folder"):
        late.check()


def test_where_nothing_can_be_written_one_line_says_so(lock, late, monkeypatch):
    def take(_):
        raise OSError(errno.EROFS, "Read-only file system", ".snakemake/run.lock")

    monkeypatch.setattr(lock, "take", take)
    with pytest.raises(
        SystemExit, match=r"\.snakemake/run\.lock: Read-only file system; Snakemake writes here"
    ):
        late.begin()


@pytest.mark.slow
def test_snakemakes_folder_is_removed_during_a_run(here, made):
    """No other starts beside it, and the next makes what is missing."""
    (here.path / "results/unlearn/records/icu/seed0/model.sha256").unlink()
    run = here.start("snakemake", FAKE_SECONDS="600")
    while not jobs_at_work(run):
        assert run.poll() is None
    for entry in (here.path / ".snakemake").iterdir():
        if entry.name != "run.jobs":  # which a job that has just begun reads
            remove(entry)
    status, output = here.quick("snakemake")
    assert status != 0 and "at work in this folder" in output and "Traceback" not in output
    for process in [*jobs_at_work(run), run]:
        process.kill()
    run.communicate()
    finish(here, "snakemake")
    assert here.results() == made.results()
    assert here.is_clean()
