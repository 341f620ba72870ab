"""Signatures of minisign (https://jedisct1.github.io/minisign), FILE.minisig; minisign itself verifies them, too."""

from __future__ import annotations

import getpass
import sys
from pathlib import Path

import minisign

from lethe.system.errors import InputError

ENDING = ".minisig"
HEAD = b"untrusted comment:"  # of all its files


def is_one(file: Path) -> bool:
    """Whether a file begins as keys and signatures of minisign do."""
    with open(file, "rb") as handle:
        return handle.read(len(HEAD)) == HEAD


def secret(file: Path) -> minisign.SecretKey:
    """A private key; its password is asked for, or read from a standard input that is no terminal.

    Raises:
        InputError: it is no key, or the password is wrong; one line.
    """
    try:
        key = minisign.SecretKey.from_file(file)
        if key.is_encrypted():
            asks = sys.stdin.isatty()
            key.decrypt(
                getpass.getpass(f"Password of {file}: ") if asks else sys.stdin.readline().rstrip("\n")
            )
    except ValueError as error:  # of the package, or of characters
        raise InputError(f"--key: {file}: {error}") from None
    return key


def signature(content: bytes, key: minisign.SecretKey, name: str) -> bytes:
    """Equal contents have equal signatures: it has no time. name: of the file, which is signed, too."""
    return bytes(key.sign(content, trusted_comment=f"file:{name}\thashed")) + b"\n"


def check(content: bytes, file: Path, key: Path | None) -> tuple[bool, str]:
    """Whether a file holds a signature of the content by a public key, and what is to be said of it.

    Without a key nothing can be checked: a signature names none, but by its number.
    """
    try:
        found = minisign.Signature.from_file(file)
        if key is None:
            return True, f"{file}: not checked, which takes the public key: --signers FILE"
        minisign.PublicKey.from_file(key).verify(content, found)
    except ValueError as error:
        return False, f"{file}: {error}"
    return True, f"good minisign signature by the key of {key}; {found.trusted_comment}"
