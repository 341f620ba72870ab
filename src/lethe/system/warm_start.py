"""The command `lethe`, whose steps in a run of the workflow fork from one process that has imported what they need.

Importing torch, transformers and the steps takes seconds of processor time, more than many steps take themselves. A run
names a place for a socket and the end of a pipe that closes with the run (LETHE_WARM). Its first step starts the
process there; each step then is a fork of it, with the command's own files, folder, environment and signals. Where
there is no such run, or a step has more than one thread, which libraries count as they start, it starts as ever.
"""

from __future__ import annotations

import fcntl
import gc
import importlib
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

VARIABLE = "LETHE_WARM"
STEPS = ("prepare", "forget", "train", "unlearn", "score", "measure", "compare")
LIBRARIES = (  # that most steps import only where they need them
    "sklearn.linear_model",
    "dvclive",
    "transformers.models.bert.modeling_bert",
    "transformers.models.gpt_neo.modeling_gpt_neo",
)
READY = ("lethe.models.pretrained", "lethe.system.plugins")  # each of which has a `before_fork`
# Imported before the first fork.
MODULES = ("lethe.__main__", *(f"lethe.{step}" for step in STEPS), *READY, *LIBRARIES)
FORWARDED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


# ------------------------------------------------------------------ the command


def main() -> None:
    """Run the command line in a fork of the run's process, or in this one."""
    status = ask(sys.argv[1:]) if is_warm(sys.argv[1:]) else None
    if status is None:
        os.environ.pop(VARIABLE, None)
        status = importlib.import_module("lethe.__main__").main()
    sys.exit(status)


def is_warm(argv: list[str]) -> bool:
    """Is this a step of one thread in a run that offers a start, and no process of several?"""
    alone = os.environ.get("OMP_NUM_THREADS") == "1" and "RANK" not in os.environ
    return VARIABLE in os.environ and alone and bool(argv) and argv[0] in STEPS


def ask(argv: list[str]) -> int | None:
    """The status of a step that a fork has done; None if none could be had."""
    pipe, _, address = os.environ[VARIABLE].partition(":")
    connection = connected(Path(address)) or started(Path(address), int(pipe))
    if connection is None:
        return None
    request = json.dumps({"argv": argv, "cwd": os.getcwd(), "env": dict(os.environ)}).encode()
    with connection, connection.makefile("rb") as answers:
        socket.send_fds(connection, [len(request).to_bytes(8, "big")], [0, 1, 2])
        connection.sendall(request)
        fork = answers.readline()
        if not fork:
            return None
        for number in FORWARDED:
            signal.signal(number, lambda number, _: os.kill(int(fork), number))
        return ended(int(answers.readline() or -signal.SIGKILL))


def ended(status: int) -> int:
    """End as the fork did: by the same signal, if it was one."""
    if status < 0:
        if -status != signal.SIGKILL:
            signal.signal(-status, signal.SIG_DFL)
        os.kill(os.getpid(), -status)
    return status


def connected(address: Path) -> socket.socket | None:
    connection = socket.socket(socket.AF_UNIX)
    try:
        connection.connect(str(address))
    except OSError:
        connection.close()
        return None
    return connection


def started(address: Path, pipe: int) -> socket.socket | None:
    """Start the process, if no other step has meanwhile; None if it does not start."""
    try:
        os.fstat(pipe)
        lock = open(address.with_suffix(".lock"), "w")  # noqa: SIM115
    except OSError:  # another machine, or a container without the run's files
        return None
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if connection := connected(address):
            return connection
        command = [sys.executable, "-m", __spec__.name, str(address), str(pipe), *MODULES]
        process = subprocess.Popen(
            command,
            pass_fds=(pipe,),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        assert process.stdout
        with process.stdout as said:
            said.readline()
        return connected(address)


# ------------------------------------------------------------------ the process


def serve(address: str, pipe: int, modules: list[str]) -> None:
    """Import modules, let them do what most steps would, then fork for each that asks, until the run has ended."""
    for name in modules:
        module = importlib.import_module(name)
        getattr(module, "before_fork", lambda: None)()
    gc.collect()
    gc.freeze()  # what all forks share is not looked through again
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for those that answer
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(address)
        server.listen()
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # the starter waits for the end of this output
        awaited: list[socket.socket | int] = [server, pipe]
        while pipe not in select.select(awaited, [], [])[0]:
            connection, _ = server.accept()
            if os.fork() == 0:
                server.close()
                os.close(pipe)
                answer(connection)
            connection.close()
    shutil.rmtree(Path(address).parent, ignore_errors=True)


def answer(connection: socket.socket) -> None:
    """In a fork: have another one do the step, and say how it ended."""
    length, files, _, _ = socket.recv_fds(connection, 8, 3)
    with connection.makefile("rb") as stream:
        request = json.loads(stream.read(int.from_bytes(length, "big")))
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    fork = os.fork()
    if fork == 0:
        become(request, files, connection)
    connection.sendall(f"{fork}\n".encode())
    status = os.waitstatus_to_exitcode(os.waitpid(fork, 0)[1])
    connection.sendall(f"{status}\n".encode())
    os._exit(0)


def become(request: dict, files: list[int], connection: socket.socket) -> None:
    """Be the command that asked, and end with it."""
    for number, file in enumerate(files):
        os.dup2(file, number)
        os.close(file)
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["env"])
    del os.environ[VARIABLE]
    threading.Thread(target=end_with, args=(connection,), daemon=True).start()
    sys.argv = ["lethe", *request["argv"]]
    sys.exit(importlib.import_module("lethe.__main__").main())


def end_with(connection: socket.socket) -> None:
    """End as soon as the command that asked is gone, however that came about."""
    connection.recv(1)
    os._exit(1)


if __name__ == "__main__":
    serve(sys.argv[1], int(sys.argv[2]), sys.argv[3:])
