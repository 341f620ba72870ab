"""A request that is killed, or finds the disk full, at one write after the other, and is run again until it is done."""

import errno
import os
import shutil
import signal
import traceback
from itertools import count

import pytest
from served_study import bits, make_once

from lethe import request as requests
from lethe.__main__ import main
from lethe.deletion.certificate import read
from lethe.params.file import load_params
from lethe.system import files

REQUEST = ["request", "data/requests/DSR-1.jsonl"]
CERTIFICATE = "results/requests/people/DSR-1/certificate.json"


@pytest.fixture
def begun(made, served, tmp_path, monkeypatch):
    """A copy of the folder before the request, with its file."""
    shutil.copytree(made, tmp_path / "here")
    shutil.copytree(served / "data/requests", tmp_path / "here/data/requests")
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setattr(requests, "make", make_once)
    return tmp_path / "here"


def at_write(number: int, fault, after: bool):
    """Let the write of that number, from 1, end in a fault, before a file is in its place or after it."""
    left = count(number - 1, -1)
    name = "move" if after else "flush"
    whole = getattr(files, name)

    def write(*given):
        if after:
            whole(*given)
        if next(left) == 0:
            fault()
        if not after:
            whole(*given)

    setattr(files, name, write)
    return lambda: setattr(files, name, whole)


def killed():
    os.kill(os.getpid(), signal.SIGKILL)


def full():
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def in_a_process(number: int, after: bool) -> int:
    """Status of a request that is killed at a write; negative: the signal that ended it."""
    child = os.fork()
    if not child:
        status = 3
        try:
            at_write(number, killed, after)
            status = main(REQUEST)
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def on_a_full_disk(number: int, after: bool) -> int:
    take_back = at_write(number, full, after)
    try:
        return main(REQUEST)
    finally:
        take_back()


def of_folder(folder) -> dict[str, bytes]:
    found = {name.removeprefix(f"{folder}/"): content for name, content in bits(folder).items()}
    return {name: content for name, content in found.items() if "/ended/" not in name}


@pytest.mark.parametrize(("run", "status"), [(in_a_process, -signal.SIGKILL), (on_a_full_disk, 2)])
def test_a_request_ends_with_the_same_bits(begun, served, capfd, run, status):
    """Every second run ends before a file is in its place, the others just after; each gets three writes farther."""
    before, faults = load_params("params.yaml"), 0
    for number in count(1, 3):
        if (ended := run(number, after=bool(faults % 2))) == 0:
            break
        faults += 1
        assert ended == status
        assert load_params("params.yaml").studies["people"].seeds == before.studies["people"].seeds
        assert not os.path.exists(CERTIFICATE) or read(begun / CERTIFICATE).verdict == "holds"
    assert faults >= 4
    found, expected = of_folder(begun), of_folder(served)
    assert {name: found.get(name) for name in expected} == expected
    assert not [name for name in found if ".part" in name or name.startswith("checkpoints/")]
    if run is on_a_full_disk:
        said = [line for line in capfd.readouterr().err.splitlines() if line.startswith("lethe request: ")]
        assert len(said) == faults
        assert all(line.startswith("lethe request: [Errno 28] No space left on device: '") for line in said)
