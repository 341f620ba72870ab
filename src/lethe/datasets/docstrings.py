"""Prose from the documentation strings of installed packages, labelled with the package it documents.

Real English on every machine, without network or licence trouble: the strings are read, never imported or
redistributed. The versions decide the content: they are pinned with the environment and recorded with a hash.
The standard library (`python`) is left out by default, because its version is the interpreter's.
The names of all packages are masked, so that a text does not simply state its label.
"""

from __future__ import annotations

import ast
import gc
import hashlib
import inspect
import re
import sysconfig
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from platform import python_version
from typing import Any

import pandas as pd

from lethe.datasets.prose import prose, shortened
from lethe.params.fields import Count
from lethe.system.errors import InputError
from lethe.system.streams import stream

SKIPPED = re.compile(
    r"(^|/)(tests?|testing|_?vendor(ed)?|_?extern(al|als)?|benchmarks?|site-packages|dist-packages|idlelib|lib2to3|turtledemo|ensurepip"
    r"|config-[^/]*|_sysconfigdata[^/]*|(test|conftest)_?[^/]*\.py)(/|$)"
)
NAMES = {  # how prose names a package, beside the name of its distribution
    "matplotlib": ("mpl", "mplot3d", "pyplot", "plt", "mpl_toolkits"),
    "networkx": ("nx",),
    "numpy": ("np", "ndarray", "ndarrays", "numpydoc"),
    "pandas": ("pd",),
    "python": ("cpython",),
    "scikit-learn": ("sklearn", "scikit learn", "scikit"),
    "scipy": (),
    "sympy": (),
}
NAMED = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Options:
    packages: tuple[str, ...] = ("matplotlib", "networkx", "pandas", "scikit-learn", "scipy", "sympy")
    minimum_words: Count = 25  # shorter texts are left out
    maximum_words: Count = 80  # longer ones end with the last whole sentence before
    most: Count | None = None  # texts of one package, drawn at random; null: all


def examples(options: Options, seed: int) -> tuple[pd.DataFrame, dict[str, Any]]:
    """One example per docstring with enough prose, sorted by id. The seed draws them where `most` limits them.

    Returns:
        (frame of str columns id, text, label, subject (None), dict origin): the origin holds the
        version of each package and the SHA-256 of the ids and texts.
    Raises:
        InputError: a package is not installed.
    """
    names = mask_of(options.packages)
    gc.freeze()  # syntax trees are many objects: without this, all modules are scanned again and again
    rows: list[tuple[str, str, str, None]] = []
    seen: set[str] = set()
    for package in sorted(set(options.packages)):
        found = texts_of(package, names, options, seen)
        drawn = stream(seed, "docstrings", package).permutation(len(found))[: options.most]
        rows += [(*found[row], package, None) for row in sorted(drawn)]
    content = "".join(f"{name}\0{text}\n" for name, text, *_ in rows)
    origin = {
        "versions": {package: version(package) for package in sorted(set(options.packages))},
        "sha256": hashlib.sha256(content.encode()).hexdigest(),
    }
    return pd.DataFrame(rows, columns=["id", "text", "label", "subject"]), origin


def texts_of(package: str, names: re.Pattern[str], options: Options, seen: set[str]) -> list[tuple[str, str]]:
    """(id, text) of the docstrings of a package, sorted by id, without the paragraphs in `seen`, which grows."""
    found: dict[str, str] = {}
    for module, file in modules(package):
        for name, docstring in docstrings(file, module):
            fresh = [p for p in prose(docstring) if p not in seen]
            seen.update(fresh)
            text = shortened(" ".join(fresh), options.maximum_words)
            if len(text.split()) >= options.minimum_words:
                found.setdefault(f"{package}:{name}", masked(text, names))
    return sorted(found.items())


def masked(text: str, names: re.Pattern[str]) -> str:
    """The text with `the library` in place of each name."""
    return re.sub(r"(^|[.!?] )the library", r"\1The library", names.sub("the library", text))


def mask_of(packages: tuple[str, ...]) -> re.Pattern[str]:
    """Pattern of all package names with an article before and attributes after, as in `a pandas.Series`.

    Long names also within identifiers, such as `to_sympy`; short ones only in lower case: NP has another meaning.
    """
    names = {*packages, *NAMES, *(alias for aliases in NAMES.values() for alias in aliases)}
    ordered = [re.escape(name) for name in sorted(names, key=lambda name: (-len(name), name))]
    words = "|".join(rf"\w*{name}\w*" if len(name) > 3 else f"(?-i:{name})" for name in ordered)
    article, attributes = r"(?<!\w)(?:(?:an?|the)\s+)?", r"(?:\d(?:\.\d+)*)?(?:\.\w+)*(?!\w)"
    return re.compile(f"{article}(?:{words}){attributes}", re.IGNORECASE)


def version(package: str) -> str:
    return python_version() if package == "python" else distribution(package).version


def modules(package: str) -> Iterator[tuple[str, Path]]:
    """(dotted name, file) of the modules of a distribution; `python` is the standard library."""
    if package == "python":
        root = Path(sysconfig.get_path("stdlib"))
        files = {path.relative_to(root).as_posix(): path for path in root.rglob("*.py")}
    else:
        try:
            listed = distribution(package).files or []
        except PackageNotFoundError:
            allowed = "allowed: installed distributions and 'python'"
            raise InputError(f"dataset.options.packages: {package!r} is not installed; {allowed}") from None
        files = {file.as_posix(): Path(file.locate()) for file in listed if file.suffix == ".py"}
    for name in sorted(files):
        if not SKIPPED.search(name):
            yield name.removesuffix(".py").removesuffix("/__init__").replace("/", "."), files[name]


def docstrings(file: Path, module: str) -> Iterator[tuple[str, str]]:
    """(qualified name, docstring) of a module and of its public classes, functions and methods."""
    source = file.read_bytes()
    if b'"""' not in source and b"'''" not in source:
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # invalid escapes in the strings of others
        try:
            tree = ast.parse(source)
        except (SyntaxError, ValueError):  # templates and files for other versions of Python
            return
    pending: list[tuple[str, Any]] = [(module, tree)]
    while pending:
        name, node = pending.pop()
        if not isinstance(node, ast.If | ast.Try) and (docstring := ast.get_docstring(node, clean=False)):
            yield name, inspect.cleandoc(docstring)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        for child in node.body:
            if isinstance(child, ast.If | ast.Try):
                pending.append((name, child))
            elif isinstance(child, NAMED) and not child.name.startswith("_"):
                pending.append((f"{name}.{child.name}", child))
