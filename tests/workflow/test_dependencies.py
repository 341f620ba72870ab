"""Which files a module imports, in every form, and digests that are remembered."""

from __future__ import annotations

import os
from types import SimpleNamespace

import pytest


@pytest.fixture
def dependencies(importable):
    from workflow import dependencies

    return dependencies


@pytest.fixture
def write_package(dependencies, monkeypatch, tmp_path):
    """Writes files of a package `lethe`, in which dependencies are then looked for."""

    def write(texts: dict[str, str]) -> None:
        for name, text in texts.items():
            file = tmp_path / "lethe" / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        monkeypatch.setattr(dependencies, "SOURCES", tmp_path)

    return write


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


def test_imports_of_every_form_are_followed(dependencies, tmp_path, write_package):
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
    write_package(texts)
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


TASK = '''"""A task."""

import json
from lethe import used

@json.dumps
def columns(found):
    return LIMIT + len(found)


LIMIT = 3
OTHER = 4
'''


def test_of_a_task_only_the_parts_that_are_asked_for_are_followed(dependencies, write_package):
    """A part is its statements and those that they read; a module that asks names it."""
    files = {
        "__init__.py": "",
        "used.py": "",
        "tasks/__init__.py": "",
        "tasks/mine.py": TASK,
        "asks.py": 'from lethe.system.plugins import part\n\nprint(part("tasks", name, "columns"))\n',
        "imports.py": "from lethe.tasks.mine import LIMIT\n",
    }
    write_package(files)
    for function in (dependencies.imports, dependencies.asked):
        function.cache_clear()
    found = dependencies.followed("lethe.asks", tasks=["mine"])
    limit = dependencies.followed("lethe.imports")
    nobody = dependencies.followed("lethe.asks")
    for function in (dependencies.imports, dependencies.asked):
        function.cache_clear()
    assert {"lethe.asks", "lethe.tasks.mine:columns"} <= found and "lethe.tasks.mine" not in found
    assert "lethe.tasks.mine:LIMIT" in limit and not [name for name in nobody if ":" in name]
    columns = "@json.dumps\ndef columns(found):\n    return LIMIT + len(found)\nLIMIT = 3"
    assert dependencies.text_of_part("lethe.tasks.mine:columns") == f"import json\n{columns}"
    assert dependencies.text_of_part("lethe.tasks.mine:OTHER") == "OTHER = 4"
    assert dependencies.text_of_part("lethe.tasks.mine:absent") == ""


def test_files_of_modules_are_those_of_the_package_or_of_plug_ins_beside_it(
    dependencies, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    for name in ("own/objectives/mine.py", "src/lethe/objectives/__init__.py", "src/lethe/objectives/npo.py"):
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("")
    monkeypatch.setattr(dependencies, "SOURCES", tmp_path / "src")
    monkeypatch.setattr(dependencies.plugins, "in_use", [tmp_path / "own"])
    files = {
        "lethe.objectives.mine": ("own/objectives/mine.py", "own/objectives/mine.py"),
        "lethe.objectives.mine:loss": ("own/objectives/mine.py", "own/objectives/mine.py"),
        "lethe.objectives.npo": ("src/lethe/objectives/npo.py", "lethe/objectives/npo.py"),
        "lethe.objectives": ("src/lethe/objectives/__init__.py", "lethe/objectives/__init__.py"),
    }
    for module, (file, name) in files.items():
        assert dependencies.file_of(module) == tmp_path / file
        assert dependencies.name_of(dependencies.file_of(module)) == name
        assert dependencies.is_module(module)
    assert not dependencies.is_module("lethe.objectives.absent")


def test_what_is_remembered_is_written_where_it_changed(dependencies, tmp_path, monkeypatch):
    file, memory = tmp_path / "file", tmp_path / "memory.json"
    file.write_text("abc")
    digests = dependencies.Digests(memory)
    digests.save()
    assert not memory.exists(), "nothing was read"
    monkeypatch.setattr(dependencies, "TICK", -60.0)
    digests.of(file)
    digests.save()
    kept = memory.read_text()
    memory.unlink()
    digests.of(file)
    digests.of(file, anew=True)
    digests.save()
    assert not memory.exists(), "nothing changed"
    (tmp_path / "more").write_text("abc")
    digests.of(tmp_path / "more")
    digests.of(file, anew=True)  # as it was
    digests.save()
    assert memory.read_text() != kept and str(tmp_path / "more") in memory.read_text()
    monkeypatch.setattr(dependencies, "TICK", 3.0)
    file.write_text("changed a moment ago")
    digests.of(file)
    digests.save()
    assert {*dependencies.Digests(memory).known} == {str(tmp_path / "more")}


def test_a_folder_is_read_anew_where_it_is_small(dependencies, tmp_path, monkeypatch):
    """In which the digest that is remembered of a file is wrong."""
    monkeypatch.setattr(dependencies, "TICK", -60.0)
    file = tmp_path / "folder/file"
    file.parent.mkdir()
    file.write_text("abc")
    digests = dependencies.Digests(tmp_path / "memory.json")
    right = digests.of(file.parent)
    wrong = (digests.known[str(file)][0], "0" * 64)
    digests.known[str(file)] = wrong
    assert digests.of(file.parent) != right and digests.of(file.parent, anew=True) == right
    digests.known[str(file)] = wrong
    monkeypatch.setattr(dependencies, "SMALL", 3)
    assert digests.of(file.parent, anew=True) == right
    digests.known[str(file)] = wrong
    monkeypatch.setattr(dependencies, "SMALL", 2)
    assert digests.of(file.parent, anew=True) != right
