"""What is known of a plug-in without importing it: its constants, and a dataclass of parameters.

Parameters are checked before any job, by processes that must not spend seconds on importing torch. So only those
statements of a file are executed that what is asked for is made of: imports, other constants, a class it inherits. What
is taken from another plug-in is found in the same way.
"""

from __future__ import annotations

import ast
import dataclasses
import re
import sys
import traceback
from collections.abc import Iterator
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from pydantic import ConfigDict, TypeAdapter, with_config

from lethe.system.errors import InputError

CONSTANTS = {  # kind -> constants that are read; others are the file's own business
    "objectives": ("NEEDS", "TERMS", "RECIPE", "RESULT", "SPACE"),
    "metrics": ("NEEDS",),
    "perturbations": ("NEEDS",),
    "tasks": ("GIVES", "LABELS", "ARRAYS", "SETTINGS", "ATTACK", "FEATURES", "PRIMARY", "PROBED", "UTILITY"),
}
ALWAYS = {  # of these those that every file has
    "objectives": ("NEEDS",),
    "metrics": ("NEEDS",),
    "perturbations": ("NEEDS",),
    "tasks": ("GIVES", "LABELS", "ARRAYS", "ATTACK", "FEATURES", "PRIMARY"),
}
ALLOWED: dict[str, tuple[Any, ...]] = {  # what a constant may hold; TERMS as values
    "TERMS": ("forget", "retain", "analogue", "alternative"),
    "RECIPE": ("finetune",),
    "RESULT": ("composed",),
    "LABELS": ("texts", "words", None),
}
TYPES: dict[str, Any] = {
    "TERMS": dict,
    "SPACE": dict,
    "RECIPE": str,
    "RESULT": str,
    "UTILITY": str,
    "LABELS": str,
    "ATTACK": str,
}  # others: tuple
MAY_BE_NONE = {("metrics", "NEEDS"), ("tasks", "LABELS")}
NEEDED: dict[str, tuple[tuple[str, ...], ...]] = {  # kind -> names that a file must define, or one of several
    "objectives": (("Hyper",), ("loss", "unlearn")),
    "metrics": (("values",), ("aggregate",)),
    "perturbations": (("Options",), ("perturb_model", "rewritten", "beginning")),
    "tasks": (("MODEL",), ("rows",), ("scores",), ("columns",), ("memory",), ("tradeoff",)),
    "datasets": (("Options",), ("examples", "tagged_examples")),
}
FUNCTIONS = {
    "objectives": ("loss", "unlearn", "work"),
    "perturbations": ("perturb_model", "rewritten", "beginning"),
    "tasks": ("labels", "renamed", "config", "rows", "scores", "columns", "memory", "tradeoff"),
}  # those called
PARTS = {"tasks": ("MODEL", "TINY", "GLOSSARY")}  # what is read of a file by those alone that ask for it
PLUG_IN = re.compile(r"lethe\.(objectives|metrics|datasets|perturbations|tasks)(?:\.(\w+))?")


def fault(file: Path, line: int, what: str) -> InputError:
    near = file.is_relative_to(Path.cwd())
    return InputError(f"{file.relative_to(Path.cwd()) if near else file}, line {line}: {what}")


@cache
def tree_of(file: Path, changed: int) -> ast.Module:
    """Syntax tree of a file as it was at a time."""
    try:
        return ast.parse(file.read_text(encoding="utf-8"), filename=str(file))
    except (SyntaxError, UnicodeDecodeError, ValueError) as error:
        what = getattr(error, "msg", None) or "is not Python in UTF-8"
        raise fault(file, getattr(error, "lineno", None) or 1, what) from None


def tree(file: Path) -> ast.Module:
    return tree_of(file, file.stat().st_mtime_ns)


@cache
def bound(node: ast.stmt) -> frozenset[str]:
    """Names that a statement at the top level defines."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return frozenset({node.name})
    found = set()
    for inner in ast.walk(node):
        if isinstance(inner, ast.Name) and isinstance(inner.ctx, ast.Store):
            found.add(inner.id)
        elif isinstance(inner, ast.Import | ast.ImportFrom):
            found |= {(alias.asname or alias.name).split(".")[0] for alias in inner.names}
        elif isinstance(inner, ast.FunctionDef | ast.ClassDef):
            found.add(inner.name)
    return frozenset(found)


@cache
def used(node: ast.stmt) -> frozenset[str]:
    """Names that a statement reads, within functions too."""
    return frozenset(n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load))


def functions(file: Path) -> set[str]:
    return {node.name for node in tree(file).body if isinstance(node, ast.FunctionDef)}


def first_line(file: Path) -> str:
    return (ast.get_docstring(tree(file)) or "no docstring").splitlines()[0]


def check(file: Path, kind: str) -> None:
    """Raise InputError, which names file and line, for what is missing in a plug-in, and for what nobody reads."""
    body = tree(file).body
    check_unread(file, kind)
    defined = set().union(*map(bound, body))
    found = constants(file, kind)
    only_functions = kind == "metrics" and found["NEEDS"] is None
    helps_others = kind == "datasets" and not {"Options", "examples", "tagged_examples"} & defined
    if only_functions or helps_others:
        return
    for names in NEEDED.get(kind, ()):
        if not {*names} & defined:
            raise fault(file, 1, f"{' or '.join(names)} is missing; every file of {kind} has it")
    if kind == "objectives" and "loss" in defined and "TERMS" not in defined:
        raise fault(file, 1, "TERMS is missing: term of the loss -> role that it is a mean over")
    for name in {"Hyper", "Options"} & defined:
        validator(file, name)


def check_unread(file: Path, kind: str) -> None:
    """A constant that neither lethe nor the file reads is misspelt, and so is such a function of a method."""
    body = tree(file).body
    read = {*CONSTANTS.get(kind, ()), *FUNCTIONS.get(kind, ()), *PARTS.get(kind, ())}
    somewhere = set().union(*map(used, body))
    for node in body if kind in CONSTANTS else []:
        for name in sorted(bound(node) - read - somewhere):
            constant = isinstance(node, ast.Assign | ast.AnnAssign) and re.fullmatch(r"[A-Z][A-Z0-9_]*", name)
            function = isinstance(node, ast.FunctionDef) and not name.startswith("_") and kind in FUNCTIONS
            if constant or function:
                close = get_close_matches(name, sorted(read), n=1)
                hint = (
                    f"is {close[0]} meant?" if close else f"those that are read are {', '.join(sorted(read))}"
                )
                raise fault(file, node.lineno, f"{name} is read neither here nor by lethe; {hint}")


def constants(file: Path, kind: str) -> dict[str, Any]:
    """The constants of a file that are read, checked."""
    return dict(constants_of(file, kind, tree(file)))


@cache
def constants_of(file: Path, kind: str, content: ast.Module) -> dict[str, Any]:
    """The same of a file with this content: every method of every study asks for those of all files."""
    lines = {name: node.lineno for node in content.body for name in bound(node)}
    for name in ALWAYS.get(kind, ()):
        if name not in lines:
            raise fault(file, 1, f"{name} is missing; every file of {kind} has it")
    found = {name: Reading.of(file).value(name) for name in CONSTANTS.get(kind, ()) if name in lines}
    for name, value in found.items():
        wanted = TYPES.get(name, tuple)
        if value is None and (kind, name) in MAY_BE_NONE:
            continue
        if not isinstance(value, wanted):
            what = "a tuple, such as ('x',)" if wanted is tuple else wanted.__name__
            raise fault(file, lines[name], f"{name} is {type(value).__name__}; needed is {what}")
        inside = [value] if wanted is str else value.values() if name == "TERMS" else value
        allowed = known_needs(kind) if name == "NEEDS" else ALLOWED.get(name, inside)
        unknown = [part for part in inside if part not in allowed]
        if unknown:
            raise fault(
                file, lines[name], f"{name}: {unknown[0]!r}: allowed are {', '.join(map(str, allowed))}"
            )
    return found


def known_needs(kind: str) -> list[str]:
    """What a plug-in may say that it needs: what at least one task gives."""
    from lethe.system.plugins import given, names_in

    return sorted(set().union(*(given(task, kind) for task in names_in("tasks"))))


def value(file: Path, name: str) -> Any:
    """What a name of a file stands for; None if the file does not define it."""
    defined = any(name in bound(node) for node in tree(file).body)
    return Reading.of(file).value(name) if defined else None


def statements(file: Path, name: str) -> list[ast.stmt]:
    """The statements of a file that a name is made of, in their order; none if the file does not define it."""
    return Reading.of(file).needed(name)


def validator(file: Path, name: str) -> TypeAdapter[Any]:
    """Validator for a dataclass of a file; unknown fields are errors."""
    lines = [n.lineno for n in tree(file).body if name in bound(n)]
    if not lines:
        raise LookupError(f"{file} defines no dataclass {name}")
    return Reading.of(file).validator(name, lines[-1])


class Reading:
    """The statements of a file that were needed so far, executed."""

    known: dict[Path, Reading] = {}  # noqa: RUF012 (of all files)

    def __init__(self, file: Path, body: ast.Module):
        self.file, self.tree = file, body
        self.module = ModuleType(f"lethe.parameters_of.{file.parent.name}.{file.stem}")
        sys.modules[self.module.__name__] = self.module  # where dataclasses and pydantic look names up
        self.futures = [n for n in body.body if isinstance(n, ast.ImportFrom) and n.module == "__future__"]
        self.done: set[int] = set()
        self.validators: dict[str, TypeAdapter[Any]] = {}

    @classmethod
    def of(cls, file: Path) -> Reading:
        body = tree(file)
        if file not in cls.known or cls.known[file].tree is not body:
            cls.known[file] = cls(file, body)
        return cls.known[file]

    def value(self, name: str) -> Any:
        """What a name of the file's top level stands for."""
        for node in self.needed(name):
            if id(node) not in self.done:
                self.done.add(id(node))
                self.execute(node)
        return getattr(self.module, name)

    def needed(self, name: str) -> list[ast.stmt]:
        """Statements that define a name, and all that they read, in the order of the file."""
        names: set[str] = {name}
        found: set[int] = set()
        while names:
            found_now = {k for k, node in enumerate(self.tree.body) if bound(node) & names} - found
            found |= found_now
            names = set().union(*(used(self.tree.body[k]) for k in found_now))
        return [self.tree.body[k] for k in sorted(found)]

    def execute(self, node: ast.stmt) -> None:
        space = vars(self.module)
        if isinstance(node, ast.ImportFrom) and (taken := self.from_plug_ins(node)):
            space.update(taken)
            return
        code = ast.Module(body=[*self.futures, node], type_ignores=[])
        try:
            exec(compile(code, str(self.file), "exec"), space)
        except InputError:
            raise
        except Exception as error:  # whatever the code of another raises
            frames = traceback.extract_tb(error.__traceback__)
            lines = [frame.lineno for frame in frames if frame.filename == str(self.file)]
            line = lines[-1] if lines and lines[-1] else node.lineno
            raise fault(self.file, line, f"{type(error).__name__}: {error}") from None

    def from_plug_ins(self, node: ast.ImportFrom) -> dict[str, Any]:
        """What a statement imports from other plug-ins, found as here; nothing if it is no such statement."""
        from lethe.system.plugins import file_of

        beside = f"lethe.{self.file.parent.name}{'.' * bool(node.module)}" if node.level == 1 else ""
        place = PLUG_IN.fullmatch(f"{beside}{node.module or ''}")
        if not place:
            return {}
        kind, name = place.groups()
        package = tree(Path(__file__).parents[1] / kind / "__init__.py").body
        if not name and {alias.name for alias in node.names} <= set().union(*map(bound, package)):
            return {}  # what all files of a kind share
        found = {}
        for alias in node.names:
            file = file_of(kind, name or alias.name)
            if not file.is_file():
                raise fault(self.file, node.lineno, f"there is no {kind}/{name or alias.name}.py")
            value = Reading.of(file).value(alias.name) if name else LazyModule(file)
            found[alias.asname or alias.name] = value
        return found

    def validator(self, name: str, line: int) -> TypeAdapter[Any]:
        if name not in self.validators:
            found: Any = self.value(name)
            if not (isinstance(found, type) and dataclasses.is_dataclass(found)):
                raise fault(self.file, line, f"{name} is no dataclass; needed is @dataclass(frozen=True)")
            try:
                adapter = TypeAdapter(strict(found))
                adapter.rebuild(raise_errors=True)  # now, not when it is first used
            except Exception as error:  # a type that pydantic does not know, or a name that is nowhere
                what = str(error).splitlines()[0]
                raise fault(self.file, line, f"{name}: {type(error).__name__}: {what}") from None
            self.validators[name] = adapter
        return self.validators[name]


def strict(dataclass: Any) -> Any:
    """The dataclass, for which unknown fields are errors."""
    return with_config(ConfigDict(extra="forbid"))(dataclass)


class LazyModule(ModuleType):
    """A plug-in of which only those names are there that are asked for."""

    def __init__(self, file: Path):
        super().__init__(file.stem)
        self.__dict__["_file"] = file

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return Reading.of(self._file).value(name)


def settings(file: Path, name: str) -> list[tuple[str, str, str]]:
    """Of each field of a dataclass its name, its default and the comment beside it in the file."""
    found: Any = Reading.of(file).value(name)
    said = dict(comments(file, name))
    return [
        (
            f.name,
            "must be given" if f.default is dataclasses.MISSING else repr(f.default),
            said.get(f.name, ""),
        )
        for f in dataclasses.fields(found)
    ]


def comments(file: Path, name: str) -> Iterator[tuple[str, str]]:
    """Name of each field of a dataclass that the file defines itself, and the comment at the end of its line."""
    lines = file.read_text(encoding="utf-8").splitlines()
    for node in tree(file).body:
        if isinstance(node, ast.ClassDef) and node.name == name:
            for field in node.body:
                if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
                    after = lines[(field.end_lineno or 1) - 1].encode()[field.end_col_offset :].decode()
                    yield field.target.id, after.partition("#")[2].strip()
