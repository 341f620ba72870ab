"""Plug-ins: methods, metrics, data sets, tests of forgetting and tasks, one file each, found by their file names.

They lie in folders of the package, and in folders of the same names within those that `plugins` in params.yaml names:
`plugins: [own]` finds `own/objectives/NAME.py` and `own/metrics/NAME.py`. No other file of another's is ever imported.
"""

from __future__ import annotations

import traceback
from difflib import get_close_matches
from functools import cache
from importlib import import_module, invalidate_caches
from pathlib import Path
from types import ModuleType
from typing import Any

from pydantic import TypeAdapter

from lethe.system import arrays, plugin_source
from lethe.system.errors import InputError

PACKAGE = Path(__file__).parents[1]
KINDS = ("objectives", "metrics", "datasets", "perturbations", "tasks")
in_use: list[Path] = []  # folders beside the package, those of the parameters that this process works on


def use(folders: list[str]) -> None:
    """Find plug-ins in these folders beside those of the package, and in no other.

    Raises:
        InputError: a folder is missing or holds no plug-ins, or a file of it is faulty; one line names it.
    """
    found = [Path(folder).resolve() for folder in folders]
    for given, folder in zip(folders, found, strict=True):
        check_folder(given, folder)
    in_use[:] = found
    file_of.cache_clear()
    invalidate_caches()
    for kind in KINDS:
        module: Any = import_module(f"lethe.{kind}")
        module.__path__ = [str(PACKAGE / kind), *(str(folder / kind) for folder in found)]
    for folder in (folder for kind in KINDS for folder in folders_of(kind)[1:]):
        for file in sorted(folder.glob("*.py")):
            if not file.stem.startswith("_"):
                plugin_source.check(file_of(folder.name, file.stem), folder.name)


def use_those_of(parameters: Any, where: str) -> None:
    """Find the plug-ins that parameters name under `plugins`, and no others; whether that is a list, others check.

    Raises:
        InputError: as `use`; the line begins with `where` the parameters are.
    """
    folders = parameters.get("plugins", []) if isinstance(parameters, dict) else []
    if isinstance(folders, list) and all(isinstance(folder, str) for folder in folders):
        try:
            use(folders)
        except InputError as error:
            raise InputError(f"{where}: {error}") from None


def check_folder(given: str, folder: Path) -> None:
    allowed = f"allowed is a folder that holds {', '.join(KINDS[:-1])} or {KINDS[-1]}"
    if not folder.is_dir():
        raise InputError(f"plugins: {given}: no such folder; {allowed}")
    inside = [sub.name for sub in folder.iterdir() if sub.is_dir()]
    for name in sorted({*inside} - {*KINDS}):
        if meant := get_close_matches(name, KINDS, n=1, cutoff=0.8):
            raise InputError(f"plugins: {given}/{name}: is no kind of plug-in; {meant[0]} is")
    if not {*inside} & {*KINDS}:
        raise InputError(f"plugins: {given}: {allowed}")


def folders_of(kind: str) -> list[Path]:
    """Folders with plug-ins of a kind, that of the package first."""
    return [folder / kind for folder in (PACKAGE, *in_use)]


def names_in(kind: str) -> list[str]:
    """Names of all plug-ins of a kind, such as `objectives`."""
    files = [file for folder in folders_of(kind) for file in folder.glob("*.py")]
    return sorted({file.stem for file in files if not file.stem.startswith("_")})


@cache
def file_of(kind: str, name: str) -> Path:
    """The file of a plug-in; where there is none, the one that it would be in the package.

    Raises:
        InputError: there are two.
    """
    found = [folder / f"{name}.py" for folder in folders_of(kind) if (folder / f"{name}.py").is_file()]
    if len(found) > 1:
        raise InputError(f"{found[1]}: {found[0]} has this name, too; one of them needs another")
    return found[0] if found else PACKAGE / kind / f"{name}.py"


def imported(kind: str, name: str) -> ModuleType:
    """The module of a plug-in, with all that it imports.

    Raises:
        InputError: it cannot be imported; the line of the file that fails is named.
    """
    try:
        return import_module(f"lethe.{kind}.{name}")
    except InputError:
        raise
    except Exception as error:  # whatever the code of another raises
        file = file_of(kind, name)
        lines = [
            frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(file)
        ]
        line = getattr(error, "lineno", None) if isinstance(error, SyntaxError) else lines[-1] if lines else 1
        raise plugin_source.fault(file, line or 1, f"{type(error).__name__}: {error}") from error


def source_files() -> list[Path]:
    """All Python files of the package and of the plug-ins beside it."""
    beside = [file for folder in in_use for kind in KINDS for file in (folder / kind).rglob("*.py")]
    return sorted([*PACKAGE.rglob("*.py"), *beside])


def before_fork() -> None:
    """Read the package's own plug-ins, which most steps ask for something, once for all steps of a run."""
    for kind in KINDS:
        for name in names_in(kind):
            constants_in(kind, name)


def dataclass_in(kind: str, name: str, dataclass: str) -> TypeAdapter[Any]:
    """Validator for the dataclass of a plug-in; unknown fields are errors.

    Raises:
        FileNotFoundError: there is no such file.
        LookupError: the file does not define the dataclass.
        InputError: it is faulty; the line names file and line.
    """
    return plugin_source.validator(file_of(kind, name), dataclass)


def functions_in(kind: str, name: str) -> set[str]:
    """Names of the functions at the top level of a plug-in."""
    return plugin_source.functions(file_of(kind, name))


def constants_in(kind: str, name: str) -> dict[str, Any]:
    """The constants of a plug-in that are read without importing it, such as NEEDS; InputError as `dataclass_in`."""
    return plugin_source.constants(file_of(kind, name), kind)


def part(kind: str, name: str, what: str) -> Any:
    """What a name of a plug-in's file stands for; only those statements are executed that it is made of.

    So the report can ask a task for its columns without importing torch, and a job is made again where what it asks
    for has changed, and not where anything in the file has.

    Returns:
        A constant or a function; None if the file does not define it.
    Raises:
        InputError: there is no such plug-in, or a statement fails.
    """
    if name not in names_in(kind):
        raise InputError(f"{name} is none of the {kind}; allowed are {', '.join(names_in(kind))}")
    return plugin_source.value(file_of(kind, name), what)


def given(task: str, kind: str) -> set[str]:
    """What plug-ins of a kind may need that a task gives: to metrics arrays of scores.npz, to others what it says."""
    constants = constants_in("tasks", task)
    if kind == "metrics":
        return {*arrays.COMMON, *arrays.OPTIONAL, *constants["ARRAYS"]}
    return {*constants["GIVES"], "base", "layers", "alternatives", "validation"}


def gives(task: str, what: str) -> bool:
    """Does a task say that it gives this, such as `text`: that text itself is what a model of it predicts?"""
    return what in part("tasks", task, "GIVES")


def able(kind: str, task: str) -> list[str]:
    """Names of the plug-ins of a kind whose needs a task meets."""
    needs = {name: constants_in(kind, name)["NEEDS"] for name in names_in(kind)}
    return [name for name, of in needs.items() if of is not None and {*of} <= given(task, kind)]


def tasks_of(kind: str, name: str) -> list[str]:
    """The tasks that meet what a plug-in needs."""
    return [task for task in names_in("tasks") if name in able(kind, task)]


def settings_in(kind: str, name: str, dataclass: str) -> list[tuple[str, str, str]]:
    """Of each field of a plug-in's dataclass its name, its default and the comment beside it."""
    return plugin_source.settings(file_of(kind, name), dataclass)


def first_line(kind: str, name: str) -> str:
    """What a plug-in is, by its docstring."""
    return plugin_source.first_line(file_of(kind, name))
