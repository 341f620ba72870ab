"""Runs snakemake, dvc and python scripts in forks of a process that has imported them, which saves seconds each.

It listens on the socket that is its argument. A request is one JSON object, {argv, cwd, env}, with the files that take
the command's output and errors; the answer is the exit status. The commands that such a command starts come here, too.
"""

from __future__ import annotations

import importlib
import json
import os
import runpy
import select
import signal
import socket
import sys
import traceback
from pathlib import Path

OURS = {"lethe", "__main__", *(file.stem for file in (Path(__file__).parents[2] / "workflow").glob("*.py"))}


def run(argv: list[str]) -> int:
    sys.argv = argv
    if argv[0] == "snakemake":
        import snakemake.cli

        snakemake.cli.main(argv[1:])
    elif argv[0] == "dvc":
        import dvc.cli

        return dvc.cli.main(argv[1:])
    else:
        sys.argv = argv[1:]
        sys.path.insert(0, str(Path(argv[1]).parent))
        runpy.run_path(argv[1], run_name="__main__")
    return 0


def become(request: dict, files: list[int], imported: Path) -> None:
    """In a forked child: do what is asked, and end."""
    status = 1
    try:
        for number, file in enumerate(files, 1):
            os.dup2(file, number)
        os.chdir(request["cwd"])
        os.environ.clear()
        os.environ.update(request["env"])
        status = run(request["argv"])
    except SystemExit as end:
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
        status = end.code if isinstance(end.code, int) else 1 if end.code else 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        if not imported.exists():
            part = imported.with_suffix(f".{os.getpid()}")
            part.write_text("\n".join(sys.modules))
            part.replace(imported)
        os._exit(status or 0)


def answer(connection: socket.socket, request: dict, files: list[int], imported: Path) -> None:
    """In a forked child: wait for the command in a child of its own, whose status is the answer."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    child = os.fork()
    if child == 0:
        connection.close()
        become(request, files, imported)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    connection.sendall(str(status).encode())
    os._exit(0)


def received(connection: socket.socket) -> tuple[dict, list[int]]:
    length, files, _, _ = socket.recv_fds(connection, 8, 2)
    with connection.makefile("rb") as stream:
        return json.loads(stream.read(int.from_bytes(length, "big"))), files


def serve(address: str) -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for those that answer
    warm: set[Path] = set()
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(address)
        server.listen()
        print("ready", flush=True)
        while sys.stdin not in select.select([server, sys.stdin], [], [])[0]:  # until the starter has ended
            connection, _ = server.accept()
            request, files = received(connection)
            for imported in {*Path(address).parent.glob("*.modules")} - warm:
                warm.add(imported)  # import now what the first such command imported, for the next one
                for name in imported.read_text().splitlines():
                    if name.split(".")[0] not in OURS:
                        try:
                            importlib.import_module(name)
                        except Exception:  # a module that exists only inside another's start
                            continue
            imported = Path(address).with_name(f"{request['argv'][0]}.modules")
            if os.fork() == 0:
                server.close()
                os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
                answer(connection, request, files, imported)
            connection.close()
            for file in files:
                os.close(file)


if __name__ == "__main__":
    serve(sys.argv[1])
