"""Several processes of one command that train one model together: started here, and ended together."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

MEMBER = "LETHE_MEMBER"  # set in the environment of processes that were started here
# Each has a variable NAME_NUM_THREADS. Snakemake sets the middle two as well, and torch looks at MKL's before OMP's.
THREADS = ("OMP", "MKL", "OPENBLAS", "RAYON")
GRACE = 20.0  # seconds that the others have to end by themselves once one has failed
GOOD = (None, 0, 128 + signal.SIGTERM)  # at work, done, ended with a checkpoint


def is_member() -> bool:
    """Whether this process is one of several, started here or by a launcher such as torchrun."""
    return "RANK" in os.environ and "WORLD_SIZE" in os.environ


def rank() -> int:
    return int(os.environ["RANK"]) if is_member() else 0


def be_alone() -> None:
    """Forget what a cluster's launcher says of other processes: this one does the whole work, and writes it."""
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"):
        os.environ.pop(name, None)


def launch(command: list[str], count: int) -> int:
    """Run a command `count` times at once, as the ranks of one group, and return the status of the first to fail.

    SIGTERM goes on to all, which write a checkpoint. If one fails, the others are ended. If this process dies, they
    see their standard input close and end. What ranks but the first say is shown only if they fail on their own.
    """
    threads = int(os.environ.get("OMP_NUM_THREADS") or os.cpu_count() or 1)
    shared = {
        MEMBER: "1", "WORLD_SIZE": str(count), "MASTER_ADDR": "localhost", "MASTER_PORT": str(free_port()),
    } | {f"{name}_NUM_THREADS": str(max(1, threads // count)) for name in THREADS}  # fmt: skip
    members: list[subprocess.Popen] = []

    def terminate(*_) -> None:
        for member in members:
            member.terminate()

    with contextlib.ExitStack() as stack:
        said = [stack.enter_context(tempfile.TemporaryFile()) for _ in range(count)]
        previous = signal.signal(signal.SIGTERM, terminate)
        stack.callback(signal.signal, signal.SIGTERM, previous)
        stack.callback(end, members)
        for number in range(count):
            place = {"RANK": str(number), "LOCAL_RANK": str(number)}
            members.append(
                subprocess.Popen(
                    command, env=os.environ | shared | place, stdin=subprocess.PIPE,
                    stderr=said[number] if number else None,
                )
            )  # fmt: skip
        failed = first_to_fail(members)
        by_themselves = [member.poll() for member in members]
        end(members)
        if failed and by_themselves[failed] != by_themselves[0]:
            said[failed].seek(0)
            sys.stderr.write(said[failed].read().decode(errors="replace"))
    status = members[failed or 0].returncode
    return status if status >= 0 else 128 - status


def end(members: list[subprocess.Popen]) -> None:
    for member in members:
        member.kill()
        member.wait()


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("localhost", 0))
        return free.getsockname()[1]


def first_to_fail(members: list[subprocess.Popen]) -> int | None:
    """Wait for all; the number of the first that failed, after which the others have a while to end."""
    failed, until = None, float("inf")
    while time.monotonic() < until and any(member.poll() is None for member in members):
        bad = [number for number, member in enumerate(members) if member.poll() not in GOOD]
        if bad and failed is None:
            failed, until = bad[0], time.monotonic() + GRACE
        time.sleep(0.05)
    bad = [number for number, member in enumerate(members) if member.poll() not in GOOD]
    return failed if failed is not None else bad[0] if bad else None


def end_with_starter() -> None:
    """Let this process end as soon as the one that started it is gone, however that came about."""

    def watch() -> None:
        os.read(0, 1)  # returns when the other end of standard input closes
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
