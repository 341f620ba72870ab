"""Read a dataclass out of a source file without importing what the file imports.

An objective or a data set is one file, its parameters included, yet parameters are checked before any job,
by processes that must not spend seconds on importing torch. So only the imports of light modules and the one
dataclass are executed.
"""

from __future__ import annotations

import ast
import sys
from functools import cache
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

from pydantic import ConfigDict, TypeAdapter, with_config

PACKAGE = Path(__file__).parents[1]
LIGHT = {"__future__", "dataclasses", "typing", "lethe.params.fields"}


def names_in(folder: str) -> list[str]:
    """Names of the modules in a folder of the package, such as `objectives`."""
    return sorted(f.stem for f in (PACKAGE / folder).glob("*.py") if not f.stem.startswith("_"))


def imported(folder: str, name: str) -> ModuleType:
    """The module of `folder/name.py`, with all that it imports."""
    return import_module(f"lethe.{folder}.{name}")


def source_files() -> list[Path]:
    """All Python files of the package."""
    return sorted(PACKAGE.rglob("*.py"))


def is_light(node: ast.stmt) -> bool:
    return isinstance(node, ast.ImportFrom) and node.module in LIGHT


@cache
def dataclass_in(folder: str, name: str, dataclass: str) -> TypeAdapter[Any]:
    """Validator for the dataclass of `folder/name.py`; unknown fields are errors.

    Raises:
        FileNotFoundError: there is no such file.
        LookupError: the file does not define the dataclass.
    """
    file = PACKAGE / folder / f"{name}.py"
    tree = ast.parse(file.read_text(encoding="utf-8"), filename=str(file))
    classes = [n for n in tree.body if isinstance(n, ast.ClassDef) and n.name == dataclass]
    if not classes:
        raise LookupError(f"{file} defines no dataclass {dataclass}")
    body = [n for n in tree.body if is_light(n)] + classes
    module = ModuleType(f"lethe.parameters_of.{folder}.{name}")
    sys.modules[module.__name__] = module  # where dataclasses and pydantic look names up
    exec(compile(ast.Module(body=body, type_ignores=[]), str(file), "exec"), module.__dict__)
    return TypeAdapter(with_config(ConfigDict(extra="forbid"))(getattr(module, dataclass)))


@cache
def functions_in(folder: str, name: str) -> set[str]:
    """Names of the functions at the top level of `folder/name.py`."""
    tree = ast.parse((PACKAGE / folder / f"{name}.py").read_text(encoding="utf-8"))
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


@cache
def constants_in(folder: str, name: str) -> dict[str, Any]:
    """Upper-case literals at the top level of `folder/name.py`, such as TASKS."""
    tree = ast.parse((PACKAGE / folder / f"{name}.py").read_text(encoding="utf-8"))
    found = {}
    for node in tree.body:
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        name = targets[0].id if isinstance(targets[0], ast.Name) else ""
        if isinstance(node, ast.Assign | ast.AnnAssign) and name.isupper() and node.value is not None:
            found[name] = ast.literal_eval(node.value)
    return found
