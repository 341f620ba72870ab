"""Files that the workflow keeps between runs may hold anything: what cannot be read is set aside, and said."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from pydantic import TypeAdapter
from repository import ROOT

WRONG = {
    "list": b"[]",
    "null": b"null",
    "number": b"7",
    "another shape": b'{"job": 1}',
    "deeper": b'{"a/0": {"outputs": [1]}}',
    "not UTF-8": b'{"\xff\xfe": 1}',
    "cut": b'{"a',
    "empty": b"",
    "merge": b"<<<<<<< ours\n{}\n=======\n{}\n>>>>>>> theirs\n",
    "deep": b"[" * 100_000,
    "deep objects": b'{"a":' * 100_000,
}
FILES = (
    "results/provenance/measure.json",
    ".snakemake/digests.json",
    ".snakemake/found.json",
    ".snakemake/run.lock",
    ".dvc/tmp/rwlock",
)


@pytest.fixture
def state(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(str(ROOT / "workflow"))
    monkeypatch.chdir(tmp_path)
    import state

    return state


@pytest.fixture(scope="module")
def repo(made, tmp_path_factory):
    return made.copy(tmp_path_factory.mktemp("state") / "repo")


@pytest.mark.parametrize("content", WRONG.values(), ids=WRONG)
def test_what_has_another_shape_is_set_aside(state, capsys, content):
    file = Path("kept/digests.json")
    file.parent.mkdir()
    file.write_bytes(content)
    shape = TypeAdapter(dict[str, tuple[int, str]])
    assert state.State(file, shape).read() is None
    assert not file.exists()
    assert (state.ORPHANS / file).read_bytes() == content
    assert "kept/digests.json is unreadable" in capsys.readouterr().err
    state.State(file, shape).write({"b": (1, "x"), "a": (2, "y")})
    assert state.State(file, shape).read() == {"a": (2, "y"), "b": (1, "x")}
    assert [f.name for f in file.parent.iterdir()] == ["digests.json"]


def test_no_run_ends_in_a_traceback(repo, made):
    """All files at once, and Snakemake's own records of an output, each with another fault."""
    records = sorted((repo.path / ".snakemake/metadata").rglob("*"))
    files = [*(repo.path / name for name in FILES), *(f for f in records if f.is_file())][: len(WRONG)]
    for file, content in zip(files, WRONG.values(), strict=True):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.unlink(missing_ok=True)
        file.write_bytes(content)
    output = repo("snakemake")
    assert "Traceback" not in output and "is unreadable" in output
    assert repo.results() == made.results()
    repo("snakemake")
    assert repo.is_clean()


def test_what_is_set_aside_is_bounded(state, monkeypatch):
    for k in range(4):
        Path(f"file{k}").write_bytes(bytes(10))
        state.set_aside(Path(f"file{k}"))
        os.utime(state.ORPHANS / f"file{k}", (k + 1e9, k + 1e9))
    monkeypatch.setattr(state.time, "time", lambda: 1e9 + 10)
    monkeypatch.setattr(state, "KEPT_BYTES", 25)
    state.clear_old()
    assert {f.name for f in state.ORPHANS.iterdir()} == {"file2", "file3"}
    monkeypatch.setattr(state.time, "time", lambda: 1e9 + 8 * 86400)
    state.clear_old()
    assert not state.ORPHANS.exists()


def test_a_folder_takes_the_place_of_its_like_from_before(state):
    for text in ("old", "new"):
        Path("model/part").mkdir(parents=True)
        Path("model/part", text).write_text(text)
        state.set_aside(Path("model"))
    assert [f.name for f in state.files_below(state.ORPHANS)] == ["new"]
