"""Signatures of OpenSSH (`ssh-keygen -Y`, format SSHSIG), FILE.sig, with keys that people have.

No package that lethe locks writes this format; OpenSSH does, and who verifies needs nothing of lethe.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

from lethe.system.errors import InputError

ENDING = ".sig"
NAMESPACE = "lethe"
PROGRAM = ("ssh-keygen", "-Y")


def signature(content: bytes, key: Path) -> bytes:
    """By a private key, or a public one whose private key an agent holds.

    Raises:
        InputError: there is no ssh-keygen, or it refuses; one line.
    """
    done = ssh_keygen("sign", "-n", NAMESPACE, "-f", str(key), content=content)
    if done.returncode:
        raise InputError(f"--key: {key}: {last_line(done)}")
    return done.stdout


def check(content: bytes, file: Path, signers: Path | None) -> tuple[bool, str]:
    """Whether a file holds a signature of the content, and what is to be said of it.

    Args:
        signers: file of allowed signers, as ssh-keygen(1) describes it; None: any key will do, and is named.
    """
    sig = str(file)
    if signers is None:
        done = ssh_keygen("check-novalidate", "-n", NAMESPACE, "-s", sig, content=content)
        return done.returncode == 0, f"{last_line(done)}; whose key it is, --signers FILE tells"
    found = ssh_keygen("find-principals", "-s", sig, "-f", str(signers))
    if found.returncode:
        return False, f"by no key of {signers}"
    name = found.stdout.decode().splitlines()[0]
    done = ssh_keygen("verify", "-f", str(signers), "-I", name, "-n", NAMESPACE, "-s", sig, content=content)
    return done.returncode == 0, last_line(done)


def ssh_keygen(*command: str, content: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    try:
        return subprocess.run([*PROGRAM, *command], input=content, capture_output=True, check=False)
    except FileNotFoundError:
        raise InputError(
            "ssh-keygen: not found; install OpenSSH, or leave the certificate unsigned"
        ) from None


def last_line(done: subprocess.CompletedProcess[bytes]) -> str:
    text = (done.stdout if done.returncode == 0 else done.stderr or done.stdout).decode(errors="replace")
    return next((line for line in reversed(text.splitlines()) if line.strip()), "refused")
