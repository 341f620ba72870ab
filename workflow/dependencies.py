"""What a job is made from: the source files of its subcommand, and digests of files.

Source files are found by following the import statements of the package, so nobody keeps a list.
"""

from __future__ import annotations

import ast
import hashlib
import json
import os
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from lethe.system import plugins

SOURCES = Path(__file__).parents[1] / "src"
STAMP = ".snakemake_timestamp"  # Snakemake keeps the time of a folder in it
# Not followed: the command line only calls, and what the parameter classes decide is in a job's parameters, which
# hold every value. A new option of a metric, or a new bound, thus retrains no model. What the name of a source of
# text means, `lethe.params.sources`, is followed. Nor does it matter where files lie: one that moved is not there.
ONLY_VALIDATE = (
    "architectures", "claims", "compare", "data", "faults", "fields", "file", "forget", "harness", "measure",
    "metric_names", "model", "names", "plug_ins", "prompting", "report", "robustness", "score", "shadow",
    "strict_model", "study", "study_checks", "training", "tree", "tune",
)  # fmt: skip
NOT_FOLLOWED = {
    "lethe.__main__",
    "lethe.params.addresses",
    *(f"lethe.params.{name}" for name in ONLY_VALIDATE),
}


def is_module(name: str) -> bool:
    """Is it a module or a package of ours?"""
    return file_of(name).is_file()


def file_of(module: str) -> Path:
    """Source file of a module of the package, or of a plug-in beside it."""
    base = SOURCES.joinpath(*module.split("."))
    for folder in plugins.in_use:
        beside = folder.joinpath(*module.split(".")[1:]).with_suffix(".py")
        if beside.is_file():
            return beside
    return base / "__init__.py" if base.is_dir() else base.with_suffix(".py")


@cache
def imports(module: str) -> frozenset[str]:
    """Modules of the package that a module imports anywhere, in a function or at the top, and their packages."""
    file = file_of(module)
    package = module if file.name == "__init__.py" else module.rpartition(".")[0]
    found = set()
    for node in ast.walk(ast.parse(file.read_text(), filename=str(file))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            start = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            origin = ".".join([*start, *filter(None, [node.module])])
            found |= {origin, *(f"{origin}.{alias.name}" for alias in node.names)}
    names = {name for name in found if name.split(".")[0] == "lethe"}
    names |= {name.rpartition(".")[0] for name in names if "." in name}
    return frozenset(name for name in names if is_module(name)) - NOT_FOLLOWED


def name_of(file: Path) -> str:
    """Name of a source file: of the package within it, of a plug-in beside it from here."""
    return str(file.relative_to(SOURCES)) if file.is_relative_to(SOURCES) else os.path.relpath(file)


def source_files(*modules: str) -> list[Path]:
    """Source files of modules and of all they import from the package, and the templates beside them, sorted."""
    seen: set[str] = set()
    waiting = set(modules)
    while waiting:
        seen |= waiting
        waiting = set().union(*map(imports, waiting)) - seen
    code = [file_of(module) for module in seen]
    return sorted({*code, *(template for file in code for template in file.parent.glob("*.jinja"))})


def files_in(path: Path) -> Iterator[Path]:
    """The file itself, or all files below a folder but Snakemake's time stamps and what Python keeps of code."""
    if not path.is_dir():
        yield path
        return
    for folder, below, names in os.walk(path):
        below[:] = [name for name in below if name != "__pycache__"]
        yield from (Path(folder, name) for name in names if name != STAMP)


class Digests:
    """SHA-256 of files and folders, remembered by time, size and inode between processes.

    Args:
        memory: file of what is remembered; a cache, which may be deleted.
    """

    def __init__(self, memory: Path):
        self.memory = memory
        try:
            self.known = json.loads(memory.read_text())
        except (FileNotFoundError, json.JSONDecodeError):
            self.known = {}
        self.changed = False

    def of_file(self, file: Path) -> str:
        state = os.stat(file)
        key = [state.st_mtime_ns, state.st_size, state.st_ino]
        known = self.known.get(str(file))
        if known is None or known[0] != key:
            with open(file, "rb") as handle:
                known = [key, hashlib.file_digest(handle, "sha256").hexdigest()]
            self.known[str(file)] = known
            self.changed = True
        return known[1]

    def of(self, path: Path) -> str:
        """Digest of a file, or of the names and contents of all files below a folder."""
        if not path.is_dir():
            return self.of_file(path)
        listing = sorted((f.relative_to(path).as_posix(), self.of_file(f)) for f in files_in(path))
        return hashlib.sha256("".join(f"{name}\0{digest}\n" for name, digest in listing).encode()).hexdigest()

    def save(self) -> None:
        if self.changed:
            self.memory.parent.mkdir(parents=True, exist_ok=True)
            temporary = self.memory.with_suffix(f".{os.getpid()}")
            temporary.write_text(json.dumps(self.known))
            os.replace(temporary, self.memory)
            self.changed = False
