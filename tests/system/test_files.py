"""Outputs are absent or whole; digests depend on content and names alone."""

import hashlib
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from lethe.system import files
from lethe.system.files import HOST
from lethe.training import checkpoints


def fail(target, begin):
    with files.replacing(target) as temporary:
        begin(temporary)
        raise RuntimeError


def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path):
    target = tmp_path / "file"
    target.write_text("old")
    with pytest.raises(RuntimeError):
        fail(target, lambda temporary: temporary.write_text("half"))
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def write_text(target):
    with files.replacing(target) as temporary:
        temporary.write_text("a" * 10_000)


def write_checkpoint(target):
    checkpoints.save(target, torch.nn.Linear(100, 100), None, {})


@pytest.mark.parametrize("write", [write_text, write_checkpoint])
def test_a_file_that_cannot_be_written_whole_is_named_and_the_old_one_stays(tmp_path, write):
    """As on a full disk: the system takes a part of it, and refuses the rest."""
    target = tmp_path / "state.safetensors"
    target.write_text("old")
    allowed, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, most))
    try:
        with pytest.raises(OSError, match=r"state\.safetensors"):
            write(target)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (allowed, most))
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_a_file_is_not_seen_before_it_is_whole(tmp_path):
    target = tmp_path / "new" / "file"
    with files.replacing(target) as temporary:
        temporary.write_text("whole")
        assert not target.exists()
    assert target.read_text() == "whole"
    assert list(target.parent.iterdir()) == [target]


def test_a_folder_is_replaced_as_a_whole(tmp_path):
    target = tmp_path / "folder"
    for names in (["a", "b"], ["c"]):
        with files.replacing(target) as temporary:
            temporary.mkdir()
            for name in names:
                (temporary / name).write_text(name)
    assert [f.name for f in target.iterdir()] == ["c"]
    with pytest.raises(RuntimeError):
        fail(target, lambda temporary: temporary.mkdir())
    assert [f.name for f in target.iterdir()] == ["c"]
    assert list(tmp_path.iterdir()) == [target]


def test_what_a_killed_process_left_is_removed_and_nothing_else(tmp_path):
    """Of another output, of a process that is alive, and of another host, whose processes cannot be seen."""
    kept = [f".model.sha256.{HOST}.99999999.part", f".model.{HOST}.1.part", ".model.elsewhere.99999999.part"]
    for name in (*kept, f".model.{HOST}.99999999.part", f".model.{HOST}.99999998.old"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "weights").write_text("half")
    with files.replacing(tmp_path / "model") as temporary:
        temporary.write_text("whole")
    assert sorted(f.name for f in tmp_path.iterdir()) == sorted([*kept, "model"])


COPY = """
import sys
from pathlib import Path
from lethe.system import files
files.flush = lambda file: None  # the disk is slow
for _ in range(60):
    with files.replacing(sys.argv[1]) as temporary:
        temporary.mkdir()
        for name in "abc":
            Path(temporary, name).write_text(sys.argv[2])
"""


def test_two_processes_make_the_same_folder(tmp_path):
    """As after a node that seemed lost: neither fails, and what stays is whole and of one of them."""
    target = tmp_path / "model"
    copies = [subprocess.Popen([sys.executable, "-c", COPY, target, text]) for text in "xy"]
    assert [copy.wait() for copy in copies] == [0, 0]
    assert {f.name for f in target.iterdir()} == set("abc")
    assert len({f.read_text() for f in target.iterdir()}) == 1
    assert list(tmp_path.iterdir()) == [target]


def test_json_is_canonical_and_without_nan(tmp_path):
    files.write_json(tmp_path / "a.json", {"b": 1, "a": [0.5]})
    files.write_json(tmp_path / "b.json", {"a": [0.5], "b": 1})
    assert (tmp_path / "a.json").read_text() == '{\n "a": [\n  0.5\n ],\n "b": 1\n}\n'
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()
    with pytest.raises(ValueError, match="Out of range"):
        files.write_json(tmp_path / "a.json", float("nan"))
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()


def test_the_digest_of_a_file_is_its_sha256(tmp_path):
    (tmp_path / "file").write_bytes(b"abc")
    assert files.digest(tmp_path / "file") == hashlib.sha256(b"abc").hexdigest()


def folder(path, content):
    for name, text in content.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_text(text)
    return files.digest(path)


def test_the_digest_of_a_folder_changes_with_any_name_or_content(tmp_path):
    same = folder(tmp_path / "1", {"a": "x", "d/b": "y"})
    assert folder(tmp_path / "2", {"d/b": "y", "a": "x"}) == same
    assert folder(tmp_path / "2", {".snakemake_timestamp": ""}) == same
    others = [{"a": "x", "d/b": "z"}, {"a": "x", "d/c": "y"}, {"a": "x", "b": "y"}, {"a": "xy", "d/b": ""}]
    digests = {folder(tmp_path / f"other{k}", content) for k, content in enumerate(others)}
    assert len(digests | {same}) == 5


def test_remove_takes_a_link_and_not_what_it_points_to(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    files.remove(tmp_path / "link")
    files.remove(tmp_path / "absent")
    assert [f.name for f in tmp_path.iterdir()] == ["real"]


def test_a_file_whose_name_is_no_text_counts(tmp_path):
    """As of an archive of another encoding; its name counts as the bytes that it is."""
    same = folder(tmp_path / "1", {"a": "x"})
    (tmp_path / "1" / os.fsdecode(b"caf\xe9")).write_bytes(b"y")
    listing = b"".join(name + b"\0" + hashlib.sha256(of).hexdigest().encode() + b"\n"
                       for name, of in ((b"a", b"x"), (b"caf\xe9", b"y")))  # fmt: skip
    assert same != files.digest(tmp_path / "1") == hashlib.sha256(listing).hexdigest()


def test_dvc_ignores_what_digests_leave_out(tmp_path):
    lines = (Path(__file__).parents[2] / ".dvcignore").read_text().splitlines()
    assert [line for line in lines if not line.startswith("#")] == list(files.LITTER)
    same = folder(tmp_path / "1", {"a": "x"})
    left = {".DS_Store": "", "._a": "y", ".nfs00ab": "z", "b/.ipynb_checkpoints/a": "w", "a~": "v"}
    assert folder(tmp_path / "2", {"a": "x"} | left) == same
    assert folder(tmp_path / "3", {"a": "x", ".hidden": ""}) != same


def test_a_link_to_nothing_is_no_file_of_a_folder(tmp_path):
    same = folder(tmp_path / "1", {"a": "x"})
    (tmp_path / "1/.#a").symlink_to("someone@host:1")
    assert files.digest(tmp_path / "1") == same
