"""What there is to choose from: methods, metrics, data sets and tests of forgetting, with their settings."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from lethe.params.file import read_params
from lethe.params.sources import built_in
from lethe.system import plugins

KINDS = {  # command -> kind of plug-in, and the dataclass of its settings
    "methods": ("objectives", "Hyper"),
    "metrics": ("metrics", None),
    "datasets": ("datasets", "Options"),
    "perturbations": ("perturbations", "Options"),
    "tasks": ("tasks", None),
}
NEEDY = ("objectives", "metrics", "perturbations")  # kinds that need something of a task


def plug_in_list(command: str, file: Path) -> Iterator[str]:
    """Lines of a list: name, tasks and first line of the docstring, and below each setting with its default.

    Args:
        file: of parameters, whose own plug-ins are listed too; those of the package alone if there is none.
    """
    plugins.use_those_of(read_params(file) if file.exists() else {}, str(file))
    kind, settings = KINDS[command]
    for name in built_in() if kind == "datasets" else plugins.names_in(kind):
        tasks = ", ".join(plugins.tasks_of(kind, name)) if kind in NEEDY else ""
        yield f"{name}{f' ({tasks})' if tasks else ''}: {plugins.first_line(kind, name)}"
        for field, default, comment in plugins.settings_in(kind, name, settings) if settings else ():
            yield f"    {field}: {default}{f'  # {comment}' if comment else ''}"
