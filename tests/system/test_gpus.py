"""Every job has GPUs of its own; the list of GPUs is made up."""

import errno
import os
import signal
import time

import pytest
import torch

from lethe.system import gpus
from lethe.system.errors import InputError


@pytest.fixture(autouse=True)
def machine(tmp_path, monkeypatch):
    """A machine of three GPUs whose locks lie in a folder of the test."""
    monkeypatch.setattr(gpus.tempfile, "gettempdir", lambda: str(tmp_path))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,GPU-1a, 7")
    monkeypatch.delenv(gpus.SHARED, raising=False)
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)


class Job:
    """A process that claims GPUs and holds them until it is killed."""

    def __init__(self, count: int):
        reader, writer = os.pipe()
        self.process = os.fork()
        if self.process == 0:
            gpus.claim(count, pause=0.01)
            os.write(writer, (os.environ["CUDA_VISIBLE_DEVICES"] + "\n").encode())
            while True:
                time.sleep(60)
        os.close(writer)
        self.reader = os.fdopen(reader)

    def found(self) -> str:
        return self.reader.readline().strip()

    def waits(self) -> bool:
        time.sleep(0.1)
        os.set_blocking(self.reader.fileno(), False)
        silent = not self.reader.readline()
        os.set_blocking(self.reader.fileno(), True)
        return silent

    def end(self) -> None:
        os.kill(self.process, signal.SIGKILL)
        os.waitpid(self.process, 0)


@pytest.fixture
def start():
    jobs = []
    yield lambda count=1: jobs.append(Job(count)) or jobs[-1]
    for job in jobs:
        job.end()


def test_jobs_get_one_gpu_each_and_the_next_waits_for_one_to_be_free(start):
    jobs = [start() for _ in range(3)]
    assert sorted(job.found() for job in jobs) == ["0", "7", "GPU-1a"]
    late = start()
    assert late.waits()
    free = jobs.pop(1)
    os.kill(free.process, signal.SIGKILL)
    assert late.found() in ("0", "7", "GPU-1a")
    os.waitpid(free.process, 0)
    free.end = lambda: None


def test_a_job_of_several_processes_gets_several_at_once_or_holds_none(start):
    assert start(2).found() == "0,GPU-1a"
    pair = start(2)
    assert pair.waits()
    assert start(1).found() == "7"


def test_two_on_one_if_that_is_allowed_and_the_emptiest_first(start, monkeypatch):
    monkeypatch.setenv(gpus.SHARED, "2")
    assert [start().found() for _ in range(5)] == ["0", "GPU-1a", "7", "0", "GPU-1a"]
    assert start().found() == "7"
    assert start().waits()


def test_jobs_of_a_scheduler_see_other_gpus_under_the_same_names(start, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    for number in ("11", "12"):
        monkeypatch.setenv("SLURM_JOB_ID", number)
        assert start().found() == "0"
    assert start().waits()


def test_parts_of_a_gpu_have_slashes_in_their_names(start, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "MIG-GPU-1a/1/0,MIG-GPU-1a/2/0")
    assert [start().found() for _ in range(2)] == ["MIG-GPU-1a/1/0", "MIG-GPU-1a/2/0"]
    assert start().waits()


@pytest.mark.parametrize(
    ("given", "names"),
    [("2,0", ["2", "0"]), ("0,1,-1,2", ["0", "1"]), ("1,,2", ["1"]), ("0,0", []), ("GPU-a,GPU-a", [])],
)
def test_visible_are_the_gpus_that_cuda_takes(monkeypatch, given, names):
    """PyTorch's own reading is the reference."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", given)
    assert gpus.visible() == names == [str(name) for name in torch.cuda._parse_visible_devices()]


@pytest.mark.parametrize("hidden", ["", "-1"])
def test_a_machine_without_a_gpu_claims_nothing(monkeypatch, hidden, tmp_path):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", hidden)
    assert gpus.claim(2) == []
    assert os.environ["CUDA_VISIBLE_DEVICES"] == hidden
    assert not list(tmp_path.iterdir())


def test_what_cannot_be_had_is_one_line(monkeypatch):
    with pytest.raises(InputError, match=r"training.processes: 4: .*there are 3"):
        gpus.claim(4)
    monkeypatch.setenv(gpus.SHARED, "many")
    with pytest.raises(InputError, match=r"LETHE_JOBS_PER_GPU: many: allowed are whole numbers"):
        gpus.claim(1)


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS, 524])
def test_where_files_cannot_be_locked_all_are_used_and_it_is_said(monkeypatch, caplog, number):
    def flock(*_):
        raise OSError(number, "no locks")

    monkeypatch.setattr(gpus.fcntl, "flock", flock)
    assert gpus.claim(2) == ["0", "GPU-1a", "7"]
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "0,GPU-1a, 7"
    assert "has no locks" in caplog.text
