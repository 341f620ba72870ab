"""Parameters are read from the source of an objective without what the file imports."""

import ast
import dataclasses
import subprocess
import sys
from typing import get_args

import pytest
from pydantic import ValidationError

from lethe.objectives import icu
from lethe.params.names import Task
from lethe.system import plugins

OBJECTIVES = plugins.names_in("objectives")


def write(folder, monkeypatch, text):
    (folder / "kind").mkdir()
    (folder / "kind" / "one.py").write_text(text)
    (folder / "kind" / "_hidden.py").write_text("")
    monkeypatch.setattr(plugins, "PACKAGE", folder)
    for cached in (plugins.dataclass_in, plugins.constants_in):
        cached.cache_clear()


@pytest.fixture(autouse=True)
def fresh_caches():
    yield
    for cached in (plugins.dataclass_in, plugins.constants_in):
        cached.cache_clear()


SOURCE = """
from __future__ import annotations
from dataclasses import dataclass
from lethe.params.fields import Count
import a_module_that_does_not_exist

TASKS = ("generation",)
lower = a_module_that_does_not_exist.x

@dataclass(frozen=True)
class Hyper:
    views: Count = 2
"""


def test_only_the_dataclass_is_executed(tmp_path, monkeypatch):
    write(tmp_path, monkeypatch, SOURCE)
    hyper = plugins.dataclass_in("kind", "one", "Hyper")
    assert hyper.validate_python({"views": 3}).views == 3
    assert hyper.validate_python({}).views == 2
    for wrong in ({"views": 0}, {"veiws": 1}, {"views": "many"}):
        with pytest.raises(ValidationError):
            hyper.validate_python(wrong)
    assert plugins.constants_in("kind", "one") == {"TASKS": ("generation",)}
    assert plugins.names_in("kind") == ["one"]


def test_missing_files_and_classes(tmp_path, monkeypatch):
    write(tmp_path, monkeypatch, "X = 1\n")
    with pytest.raises(LookupError, match="Hyper"):
        plugins.dataclass_in("kind", "one", "Hyper")
    with pytest.raises(FileNotFoundError):
        plugins.dataclass_in("kind", "two", "Hyper")


def test_what_is_read_is_what_is_imported():
    read = plugins.dataclass_in("objectives", "icu", "Hyper").validate_python({})
    assert vars(read) == dataclasses.asdict(icu.Hyper())
    constants = plugins.constants_in("objectives", "icu")
    assert constants == {name: getattr(icu, name) for name in constants}
    assert {"TASKS", "TERMS", "SPACE"} <= set(constants)


@pytest.mark.parametrize("name", OBJECTIVES)
def test_every_objective_says_what_the_parameters_need(name):
    tree = ast.parse((plugins.PACKAGE / "objectives" / f"{name}.py").read_text())
    assert ast.get_docstring(tree)
    plugins.dataclass_in("objectives", name, "Hyper").validate_python({})
    assert set(plugins.constants_in("objectives", name)["TASKS"]) <= {*get_args(Task)}


def test_reading_parameters_imports_no_torch():
    code = (
        "import sys; from lethe.system import plugins\n"
        "for name in plugins.names_in('objectives'): plugins.dataclass_in('objectives', name, 'Hyper')\n"
        "assert not {'torch', 'pandas', 'transformers'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
