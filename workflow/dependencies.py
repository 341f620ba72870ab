"""What a job is made from: the source files of its subcommand, and digests of files.

Source files are found by following the import statements of the package, so nobody keeps a list.
"""

from __future__ import annotations

import ast
import os
import re
import time
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

from pydantic import TypeAdapter
from state import State

from lethe.system import files, plugin_source, plugins

SOURCES = Path(__file__).parents[1] / "src"
SMALL = 64 << 20  # bytes that take less than a tenth of a second to read
TICK = 3.0  # s, more than any file system's times are apart
SEEN = TypeAdapter(dict[str, tuple[tuple[int, int, int, int], str]])  # file -> times, size, inode; digest
# Not followed: the command line only calls, and what the parameter classes decide is in a job's parameters, which
# hold every value. A new option of a metric, or a new bound, thus retrains no model. What the name of a source of
# text means, `lethe.params.sources`, is followed. Nor does it matter where files lie: one that moved is not there.
OF_PARAMS = {f"lethe.params.{file.stem}" for file in (SOURCES / "lethe/params").glob("[!_]*.py")}
NOT_FOLLOWED = {"lethe.__main__"} | OF_PARAMS - {"lethe.params.sources"}
BESIDE = ("*.jinja", "*.css", "*.js")  # what pages are made of
PART = ":"  # between a plug-in's module and the name of a part of it
ASKED = re.compile(r"""\bpart\(\s*"tasks",[^()]*?"(\w+)"\s*\)""")


def is_module(name: str) -> bool:
    """Is it a module or a package of ours?"""
    return file_of(name).is_file()


def file_of(module: str) -> Path:
    """Source file of a module of the package, or of a plug-in beside it, also of a part of it."""
    module = module.partition(PART)[0]
    base = SOURCES.joinpath(*module.split("."))
    for folder in plugins.in_use:
        beside = folder.joinpath(*module.split(".")[1:]).with_suffix(".py")
        if beside.is_file():
            return beside
    return base / "__init__.py" if base.is_dir() else base.with_suffix(".py")


def statements(node: ast.AST) -> Iterator[ast.AST]:
    """All statements below a node. Not the expressions, which are most of a tree and import nothing."""
    for inner in ast.iter_child_nodes(node):
        if isinstance(inner, ast.stmt | ast.excepthandler | ast.match_case):
            yield inner
            yield from statements(inner)


@cache
def imports(module: str) -> frozenset[str]:
    """Modules of the package that a module imports anywhere, in a function or at the top, and their packages.

    Those of a part of a plug-in, MODULE:NAME, are what the statements import that NAME is made of.
    """
    file = file_of(module)
    name, _, part = module.partition(PART)
    package = name if file.name == "__init__.py" else name.rpartition(".")[0]
    found = set()
    tree = ast.parse(file.read_text(encoding="utf-8"), filename=str(file))
    body = plugin_source.statements(file, part) if part else tree.body
    for node in (inner for outer in body for inner in (outer, *statements(outer))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            start = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            origin = ".".join([*start, *filter(None, [node.module])])
            if origin.startswith("lethe.tasks."):  # of a task no more than what is asked for
                found |= {f"{origin}{PART}{alias.name}" for alias in node.names}
                continue
            found |= {origin, *(f"{origin}.{alias.name}" for alias in node.names)}
    names = {name for name in found if name.split(".")[0] == "lethe"}
    names |= {name.rpartition(".")[0] for name in names if "." in name}
    return frozenset(name for name in names if is_module(name)) - NOT_FOLLOWED


def name_of(file: Path) -> str:
    """Name of a source file: of the package within it, of a plug-in beside it from here."""
    return str(file.relative_to(SOURCES)) if file.is_relative_to(SOURCES) else os.path.relpath(file)


@cache
def asked(module: str) -> frozenset[str]:
    """Parts of a task's file that a module asks for, by their names."""
    return (
        frozenset(ASKED.findall(file_of(module).read_text(encoding="utf-8")))
        if PART not in module
        else frozenset()
    )


def followed(*modules: str, tasks: Iterable[str] = ()) -> set[str]:
    """The modules, and all that they import from the package or ask of the tasks."""
    seen: set[str] = set()
    waiting = set(modules)
    while waiting:
        seen |= waiting
        parts = {f"lethe.tasks.{task}{PART}{part}" for m in waiting for part in asked(m) for task in tasks}
        waiting = set().union(parts, *map(imports, waiting)) - seen
    return seen


def source_files(*modules: str) -> list[Path]:
    """Source files of modules and of all they import from the package, and what pages are made of, sorted."""
    code = [file_of(module) for module in followed(*modules) if PART not in module]
    folders = {file.parent for file in code}
    return sorted({*code, *(found for folder in folders for kind in BESIDE for found in folder.glob(kind))})


def text_of_part(module: str) -> str:
    """The statements that a part of a plug-in, MODULE:NAME, is made of."""
    file, part = file_of(module), module.partition(PART)[2]
    lines = file.read_text(encoding="utf-8").splitlines()
    found = []
    for node in plugin_source.statements(file, part):
        first = min([node.lineno, *(decorator.lineno for decorator in getattr(node, "decorator_list", []))])
        found += lines[first - 1 : node.end_lineno]
    return "\n".join(found)


class Digests:
    """SHA-256 of files and folders, remembered between processes by each file's times, size and inode.

    What is remembered is believed as git believes its index: not if the file was changed so shortly before it was read
    that a second change might have left the same times. On a change of the content alone the system changes the time of
    status, which no tool can set back; small files can be read anew all the same.

    Args:
        memory: file of what is remembered; a cache, which may be deleted.
    """

    def __init__(self, memory: Path):
        self.memory = State(memory, SEEN)
        self.known = self.memory.read() or {}
        self.changed = False

    def of_file(self, file: Path, anew: bool = False) -> str:
        """Digest of a file; read `anew`, whatever is remembered."""
        began = time.time()
        state = os.stat(file)
        key = (state.st_mtime_ns, state.st_ctime_ns, state.st_size, state.st_ino)
        known = self.known.get(str(file))
        if known and known[0] == key and not anew:
            return known[1]
        digest = files.digest(file)
        if max(state.st_mtime, state.st_ctime) < began - TICK:
            self.changed |= known != (key, digest)
            self.known[str(file)] = (key, digest)
        elif known:
            self.changed = True
            del self.known[str(file)]
        return digest

    def of(self, path: Path, anew: bool = False) -> str:
        """Digest of a file, or of the names and contents of all files below a folder; what is small is read `anew`."""
        found = list(files.files_in(path))
        anew = anew and sum(file.stat().st_size for file in found) <= SMALL
        if not path.is_dir():
            return self.of_file(path, anew)
        return files.digest_of_names((f.relative_to(path).as_posix(), self.of_file(f, anew)) for f in found)

    def save(self) -> None:
        if self.changed:
            self.memory.write(self.known)
            self.changed = False
