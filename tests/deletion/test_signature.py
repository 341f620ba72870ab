"""Signatures by keys of minisign: keys and signatures here were made by minisign 0.11, the program in C."""

import io
import sys

import minisign
import pytest

from lethe.deletion.signature import checks, signer
from lethe.system.errors import InputError

CONTENT = b'{"a": 1}\n'
PUBLIC = "RWTaGiYavGIEhNfQtKS26VOVe/offIGYcUlI+K1eq4Z11GI2b4loPOPN"
OPEN = (
    "RWQAAEIyAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA2homGrxiBIRl4Xfq9M4aGJ1YuNpAUIMuQoVOEzT5"
    "TjIzym5IbcB5q9fQtKS26VOVe/offIGYcUlI+K1eq4Z11GI2b4loPOPNAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
)
OTHER = "RWSXWQ3aydO//u6E+0qiLVkt+CzEgbUgF3yNo1x/nu8xJbG3U7apda+Y"
SIGNATURE = """\
untrusted comment: signature from minisign secret key
RUTaGiYavGIEhKFHx7IBPl0WYUuI+l9hAoodKDSXELGWRmdW8O+diSoGMSbxFTOLFeqlh/Pjeyq2AV33bvkHJLzwSxaCFsHLwgs=
trusted comment: file:c.json
R2sF689uXH/aES5AkuTmXfbFmEg/2S927bwZ9ienoR3/yh+Jb1i2mmpL+nYC7AhftnGYGe/EjVFdte5Ysri9DQ==
"""


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, key in {"public": PUBLIC, "open": OPEN, "other": OTHER}.items():
        (tmp_path / name).write_text(f"untrusted comment: minisign key\n{key}\n")
    (tmp_path / "c.json").write_bytes(CONTENT)
    (tmp_path / "c.json.minisig").write_text(SIGNATURE)
    return tmp_path


def test_a_signature_of_minisign_is_good_by_its_key_alone(here):
    ((fine, said),) = checks(here / "c.json", here / "public")
    assert fine and "file:c.json" in said
    ((fine, said),) = checks(here / "c.json", here / "other")
    assert not fine and "c.json.minisig: is no signature of it" in said
    ((fine, said),) = checks(here / "c.json", None)
    assert fine and "not checked" in said and "--signers" in said


@pytest.mark.parametrize("file", ["c.json", "c.json.minisig"])
def test_every_changed_byte_is_found(here, file):
    """But in the comment that minisign calls untrusted, and in bits of base64 that stand for nothing."""
    content = (here / file).read_bytes()
    untrusted = content.index(b"\n") if file.endswith("sig") else 0
    for place in range(untrusted, len(content) - 1, 3):
        changed = bytes([content[place] ^ 32 if content[place] != 61 else 65])
        (here / file).write_bytes(content[:place] + changed + content[place + 1 :])
        assert not all(fine for fine, _ in checks(here / "c.json", here / "public")), place


def test_what_is_signed_is_what_minisign_signs(here):
    """Ed25519 draws nothing: equal keys, contents and comments have equal signatures."""
    signer(here / "open")(here / "c.json")
    made = (here / "c.json.minisig").read_bytes()
    assert made.splitlines()[:2] == SIGNATURE.encode().splitlines()[:2]
    assert [fine for fine, _ in checks(here / "c.json", here / "public")] == [True]
    secret = minisign.SecretKey.from_file(here / "open")
    assert bytes(secret.sign(CONTENT, trusted_comment="file:c.json")) + b"\n" == SIGNATURE.encode()


def test_a_key_with_a_password(here, monkeypatch):
    pair = minisign.KeyPair.generate()
    key = pair.secret_key
    key.encrypt("word", opslimit=2**15, memlimit=2**14)  # those of minisign take seconds and 1 GiB
    (here / "locked").write_bytes(bytes(key) + b"\n")
    (here / "its").write_bytes(bytes(pair.public_key) + b"\n")
    monkeypatch.setattr(sys, "stdin", io.StringIO("word\n"))
    signer(here / "locked")(here / "c.json")
    assert [fine for fine, _ in checks(here / "c.json", here / "its")] == [True]
    monkeypatch.setattr(sys, "stdin", io.StringIO("another\n"))
    with pytest.raises(InputError, match=r"--key: .*locked: wrong password"):
        signer(here / "locked")


def test_faulty_keys_end_in_a_line(here):
    (here / "cut").write_text(f"untrusted comment: minisign key\n{OPEN[:40]}\n")
    for name, said in (
        ("cut", "--key: .*cut"),
        ("none", "none: cannot be read"),
        ("public", "--key: .*public"),
    ):
        with pytest.raises(InputError, match=said):
            signer(here / name)
    assert [fine for fine, _ in checks(here / "c.json", here / "cut")] == [False]


def test_a_key_of_the_other_kind(here):
    (here / "signers").write_text("dpo@example.org ssh-ed25519 AAAA\n")
    (of_ssh, said), (of_minisign, beside) = checks(here / "c.json", here / "signers")
    assert not of_ssh and "c.json.sig: no such file" in said
    assert of_minisign and "is of another kind" in beside
