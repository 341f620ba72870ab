#!/usr/bin/env python3
"""Stand-in for `snakemake` and `dvc`: asks the process that has imported them (LETHE_COMMANDS), or else runs them."""

import json
import os
import socket
import sys


def ask(address: str, argv: list[str], cwd: str, env: dict[str, str], output: int, errors: int) -> int:
    """The exit status of a command that command_server.py runs."""
    request = json.dumps({"argv": argv, "cwd": cwd, "env": env}).encode()
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(address)
        socket.send_fds(connection, [len(request).to_bytes(8, "big")], [output, errors])
        connection.sendall(request)
        with connection.makefile("rb") as stream:
            return int(stream.read())


if __name__ == "__main__":
    name = os.path.basename(sys.argv[0])
    if "LETHE_COMMANDS" in os.environ:
        command = [name, *sys.argv[1:]]
        sys.exit(ask(os.environ["LETHE_COMMANDS"], command, os.getcwd(), dict(os.environ), 1, 2))
    os.execv(os.path.join(os.path.dirname(sys.executable), name), sys.argv)
