"""Which GPUs a job gets: those that no other job of this user on this machine holds.

A job holds a file lock for each, which the system takes back when the process ends, however it ends. Where a scheduler
hands out GPUs, a job sees only its own, and finds them free.
"""

from __future__ import annotations

import fcntl
import logging
import os
import tempfile
import time
from itertools import takewhile
from pathlib import Path
from typing import IO

from lethe.system.errors import InputError

log = logging.getLogger("lethe.gpus")
SHARED = "LETHE_JOBS_PER_GPU"  # environment: so many jobs may use one GPU at once; 1 if not set
HELD: list[IO] = []  # locks, for as long as this process lives


def visible() -> list[str]:
    """Names of the GPUs that CUDA lets this process use: those before one that cannot be; none if one is twice."""
    given = os.environ.get("CUDA_VISIBLE_DEVICES")
    if given is None:
        return [str(number) for number in range(len(list(Path("/dev").glob("nvidia[0-9]*"))))]
    names = list(takewhile(lambda name: name not in ("", "-1"), map(str.strip, given.split(","))))
    return names if len(set(names)) == len(names) else []


def claim(count: int, pause: float = 1.0) -> list[str]:
    """Wait for `count` free GPUs, let CUDA see only these, and hold them until this process ends.

    Where files cannot be locked, all that CUDA lets this process use, and nothing is held.

    Returns:
        their names; none on a machine without a GPU.
    Raises:
        InputError: there are fewer than `count`, or LETHE_JOBS_PER_GPU is no number.
    """
    names = visible()
    if not names:
        return []
    if len(names) < count:
        raise InputError(
            f"training.processes: {count}: each needs a GPU of its own, and there are {len(names)}"
        )
    share = os.environ.get(SHARED, "1")
    if not share.isdigit() or share == "0":
        raise InputError(f"{SHARED}: {share}: allowed are whole numbers from 1")
    folder = Path(tempfile.gettempdir(), f"lethe-gpus-{os.getuid()}")
    folder.mkdir(exist_ok=True)
    if not has_locks(folder):
        log.warning("%s: its file system has no locks, so GPUs may be shared with other jobs", folder)
        return names
    waiting = False
    while not (taken := free(folder, names, count, int(share))):
        if not waiting:
            log.info("waiting for %d of %d GPUs to be free", count, len(names))
        waiting = True
        time.sleep(pause)
    os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(taken)
    return taken


def has_locks(folder: Path) -> bool:
    """Can files in a folder be locked? Some network file systems answer with an error of their own."""
    with open(folder / "choosing", "a") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except OSError:
            return False
    return True


def free(folder: Path, names: list[str], count: int, share: int) -> list[str]:
    """`count` GPUs, each with a place left, that are from now on held; or none, and nothing is held."""
    scheduled = os.environ.get(
        "SLURM_JOB_ID", ""
    )  # in which jobs that see other GPUs give them the same names
    found: dict[str, IO] = {}
    with open(folder / "choosing", "w") as choosing:
        fcntl.flock(choosing, fcntl.LOCK_EX)  # or two jobs might each hold one of two and wait for the other
        for place in range(share):
            for name in names:
                if len(found) < count and name not in found:
                    file = f"{scheduled}-{name}-{place}".replace(
                        "/", "-"
                    )  # a part of a GPU may be MIG-GPU-…/1/0
                    lock = locked(folder / file)
                    found |= {name: lock} if lock else {}
        if len(found) < count:
            for lock in found.values():
                lock.close()
            return []
    HELD.extend(found.values())
    return list(found)


def locked(file: Path) -> IO | None:
    """The open file, locked, or None if another process has locked it."""
    handle = open(file, "w")  # noqa: SIM115 (stays open for as long as it is held)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        handle.close()
        return None
    return handle
