"""One run per folder: a lock that ends with the processes that hold it, jobs included.

It is held twice: on a file in .snakemake/, which some file systems need, and on the folder itself, which stays locked
when .snakemake/ is removed during a run. Without any locks of files (some NFS, Lustre) a run goes on and says so.
"""

from __future__ import annotations

import fcntl
import os
import time

import psutil
from state import STATE

FILE = STATE / "run.lock"
PATIENCE = 3.0  # s to wait for a dry run or another start to finish its look at the disk
Lock = list[int]  # descriptors; none where the file system has no locks


class TakenError(Exception):
    """Another run holds the lock."""


def take(patience: float) -> Lock:
    """The lock of the working folder.

    Raises:
        TakenError: another run has it; the message says which, and what to do.
        OSError: the folder cannot be written.
    """
    STATE.mkdir(exist_ok=True)
    file = os.open(FILE, os.O_RDWR | os.O_CREAT, 0o666)
    folder = os.open(".", os.O_RDONLY)
    until = time.monotonic() + patience
    while True:
        try:
            held = [descriptor for descriptor in (folder, file) if is_locked(descriptor)]
            os.pwrite(file, f"{os.getpid():<20}".encode(), 0)
            return held
        except BlockingIOError:
            if time.monotonic() >= until:
                release([folder, file])
                raise TakenError(who_is_at_work()) from None
            fcntl.flock(folder, fcntl.LOCK_UN)
            time.sleep(0.1)


def is_locked(descriptor: int) -> bool:
    """Lock a file; False where that cannot be done.

    Raises:
        BlockingIOError: another process has locked it.
    """
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    except BlockingIOError:
        raise
    except OSError:
        return False


def release(lock: Lock) -> None:
    for descriptor in lock:
        os.close(descriptor)


def who_is_at_work() -> str:
    """Why the lock is taken, and what to do."""
    pid = 0
    for _ in range(5):  # the holder may not have written its number yet
        pid = holder()
        if pid and psutil.pid_exists(pid):
            return (
                f"another run (process {pid}) is at work in this folder: wait for its end, then start again"
            )
        time.sleep(0.1)
    if not pid:
        return "another run is at work in this folder: wait for its end, then start again"
    return (
        f"jobs of a run that was killed (process {pid}) are still at work in this folder: wait for them,"
        f" or end the processes that `fuser {FILE}` lists, then start again"
    )


def holder() -> int:
    """Number of the process that took the lock; 0 if the file does not say."""
    try:
        text = FILE.read_bytes().strip()
    except OSError:
        return 0
    return int(text) if text.isdigit() and len(text) < 10 else 0
