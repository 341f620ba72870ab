"""Which files a module imports, in every form, and digests that are remembered."""

from __future__ import annotations

import os
from types import SimpleNamespace

import pytest
from repository import ROOT


@pytest.fixture
def dependencies(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "workflow"))
    monkeypatch.syspath_prepend(str(ROOT))
    from workflow import dependencies  # by this name mutmut knows it

    return dependencies


NESTED = """
try:
    pass
except ValueError:
    import lethe.g
match f:
    case 1:
        with f:
            if f:
                pass
            else:
                import lethe.h
class C:
    async def m(self):
        while f:
            import lethe.i
"""


def test_imports_of_every_form_are_followed(dependencies, tmp_path, monkeypatch):
    """Absolute and relative, of modules and of names, at the top and in functions, and their packages."""
    texts = {
        "__init__.py": "",
        "a.py": "import numpy\nfrom lethe.inner import b\n\ndef f():\n    from . import c\n" + NESTED,
        "g.py": "",
        "h.py": "",
        "i.py": "",
        "inner/__init__.py": "from .d import name\n",
        "inner/b.py": "import lethe.inner.e as e\n",
        "inner/d.py": "name = 1\n",
        "inner/e.py": "from ..f import thing\n",
        "c.py": "from lethe import __main__\n",
        "f.py": "thing = 1\n",
        "__main__.py": "from lethe import not_used\n",
        "not_used.py": "",
    }
    for name, text in texts.items():
        file = tmp_path / "lethe" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    monkeypatch.setattr(dependencies, "SOURCES", tmp_path)
    dependencies.imports.cache_clear()
    found = {str(f.relative_to(tmp_path / "lethe")) for f in dependencies.source_files("lethe.a")}
    dependencies.imports.cache_clear()
    assert found == set(texts) - {"__main__.py", "not_used.py"}


@pytest.fixture
def settled(dependencies, monkeypatch):
    """Files count as old enough to be remembered as soon as they are written."""
    monkeypatch.setattr(dependencies, "TICK", -60.0)


def test_digests_are_remembered_but_follow_the_content(dependencies, settled, tmp_path):
    """SHA-256 of `abc` is in FIPS 180-4; a folder's digest changes with a name and with a content."""
    file = tmp_path / "folder" / "file"
    file.parent.mkdir()
    file.write_text("abc")
    digests = dependencies.Digests(tmp_path / "memory.json")
    assert digests.of(file) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    seen = {digests.of(file.parent)}
    digests.save()
    again = dependencies.Digests(tmp_path / "memory.json")
    assert again.known == digests.known != {}
    (file.parent / ".snakemake_timestamp").touch()
    (file.parent / ".DS_Store").touch()
    assert again.of(file.parent) in seen
    file.write_text("abd")
    seen.add(again.of(file.parent))
    file.rename(file.with_name("other"))
    seen.add(again.of(file.parent))
    assert len(seen) == 3


def test_a_change_that_keeps_time_and_size_is_noticed(dependencies, settled, tmp_path):
    """As by `rsync --inplace --times`: the time of status tells."""
    file = tmp_path / "file"
    file.write_text("r12")
    digests = dependencies.Digests(tmp_path / "memory.json")
    before, when = digests.of(file), file.stat()
    with open(file, "r+") as handle:
        handle.write("r13")
    os.utime(file, ns=(when.st_atime_ns, when.st_mtime_ns))
    assert file.stat().st_mtime_ns == when.st_mtime_ns and file.stat().st_ino == when.st_ino
    assert digests.of(file) != before


def test_a_file_that_was_changed_a_moment_ago_is_read_again(dependencies, tmp_path, monkeypatch):
    """Where times have steps of seconds, a second change leaves no trace: such a file is not remembered."""
    file = tmp_path / "file"
    file.write_text("r12")
    same = os.stat(file)
    monkeypatch.setattr(dependencies, "os", SimpleNamespace(stat=lambda _: same))
    digests = dependencies.Digests(tmp_path / "memory.json")
    before = digests.of_file(file)
    file.write_text("r13")
    assert digests.of_file(file) != before
    monkeypatch.setattr(dependencies, "TICK", -60.0)
    before = digests.of_file(file)
    file.write_text("r14")
    assert digests.of_file(file) == before  # all that can be seen is as it was
    assert digests.of_file(file, anew=True) != before


def test_what_is_small_is_read_whatever_is_remembered(dependencies, settled, tmp_path, monkeypatch):
    file = tmp_path / "file"
    file.write_text("abc")
    digests = dependencies.Digests(tmp_path / "memory.json")
    right = digests.of(file)
    digests.known[str(file)] = (digests.known[str(file)][0], "0" * 64)
    assert digests.of(file) == "0" * 64 and digests.of(file, anew=True) == right
    digests.known[str(file)] = (digests.known[str(file)][0], "0" * 64)
    monkeypatch.setattr(dependencies, "SMALL", 2)
    assert digests.of(file, anew=True) == "0" * 64
