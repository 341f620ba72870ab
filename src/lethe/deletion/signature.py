"""Signatures of certificates, beside them: by keys of OpenSSH or of minisign, which their files tell apart."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from lethe.deletion import minisign_keys, openssh
from lethe.system.errors import InputError
from lethe.system.files import replacing

KINDS = (openssh, minisign_keys)
Sign = Callable[[Path], None]


def kind_of(key: Path, option: str):
    """InputError if the key cannot be read."""
    try:
        return minisign_keys if minisign_keys.is_one(key) else openssh
    except OSError as error:
        raise InputError(f"{option}: {key}: cannot be read: {error.strerror}") from None


def signature_of(file: Path, kind) -> Path:
    return file.with_name(file.name + kind.ENDING)


def signer(key: Path) -> Sign:
    """What writes the signature of a file beside it; the key is read, and its password asked for, now.

    Raises:
        InputError: it is no key, and later: it cannot sign; one line.
    """
    if kind_of(key, "--key") is openssh:
        return lambda file: write(signature_of(file, openssh), openssh.signature(file.read_bytes(), key))
    secret = minisign_keys.secret(key)
    return lambda file: write(
        signature_of(file, minisign_keys), minisign_keys.signature(file.read_bytes(), secret, file.name)
    )


def write(path: Path, content: bytes) -> None:
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def checks(file: Path, signers: Path | None) -> Iterator[tuple[bool, str]]:
    """Of each signature beside a file whether it is good, and what is to be said of it.

    Args:
        signers: allowed signers as ssh-keygen(1) has them, or a public key of minisign; None: any key of OpenSSH will
            do, and is named. There must be a signature of its kind, and those of the other are not checked.
    """
    asked = None if signers is None else kind_of(signers, "--signers")
    for kind in KINDS:
        beside = signature_of(file, kind)
        if not beside.exists():
            if kind is asked:
                yield False, f"{beside}: no such file; the certificate is not signed by a key of this kind"
        elif asked in (None, kind):
            fine, what = kind.check(file.read_bytes(), beside, signers)
            yield fine, what if fine else f"{beside}: is no signature of it: {what}"
        else:
            yield True, f"{beside}: not checked: {signers} is of another kind"
