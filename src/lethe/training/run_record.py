"""run.json: what a model was made from, so that a result explains itself when parameters and code have moved on.

Equal runs on one machine write equal files; what a run took, which differs each time, is in cost.json. The keys:

- `run`, `seed`: the run's name and the seed it was given.
- `settings`: the parameters with every default, in the form of params.yaml: `task`, `model`; of a reference `train`,
  its recipe (null: nothing was trained); of a method `method`, and `finetune`, the recipe of models that it trains.
- `data`: SHA-256 of each folder the run was given: `prepared`, `forget`, and the models `base` and `original`.
- `reads`: of a method that is measured between epochs, how many examples it read of each set: of no other it read one.
- `given`: of a method whose original was not trained here, which model that is: `source`, `revision` (its commit on the
  Hub; null for a folder) and `sha256`; of an adapter `base`, the same of the model it is for.
- `code`: SHA-256 of the package's Python files, and of plug-ins of one's own.
- `commit`: the last commit that changed the package, which later commits of results leave as it is; null outside git.
- `modified`: whether the package differs from that commit; null outside git.
- `versions`: of `python`, `torch`, `transformers` and `lethe`.
- `device`: name of the GPU, or `cpu`. `threads`: of a process on the CPU.
"""

from __future__ import annotations

import hashlib
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
import transformers
from pydantic_core import to_jsonable_python

from lethe import models
from lethe.params.model import Model
from lethe.params.plug_ins import check_hyper
from lethe.params.training import Method, References, Training
from lethe.system import files, plugins, workers

PACKAGE = Path(__file__).parents[1]


def write(
    out: Path, cfg: dict[str, Any], run: str, seed: int, inputs: dict[str, Path | None],
    reads: dict[str, int] | None = None,
) -> None:  # fmt: skip
    """Write OUT/run.json, in the first of several processes.

    Args:
        cfg: parameters of the step, as `lethe train` or `lethe unlearn` got them.
        inputs: name -> folder that the run was given, or None; one that is not there was not read.
        reads: set -> examples that the run read; None: it is not told.
    """
    if workers.rank():
        return
    record = {"run": run, "seed": seed, "settings": settings(cfg, run)}
    record |= {"data": {name: files.digest(path) for name, path in inputs.items() if path and path.exists()}}
    original = inputs.get("original")
    if original and (given := models.known(cfg, original)):
        record["given"] = given
    if reads is not None:
        record["reads"] = reads
    record |= {"code": code_digest(), "versions": versions(), **state_of_git()}
    files.write_json(out / "run.json", record | {"device": device(), "threads": torch.get_num_threads()})


def settings(cfg: dict[str, Any], run: str) -> dict[str, Any]:
    """The parameters of a step with all defaults, those of the objective included."""
    found: dict[str, Any] = {"task": cfg["task"], "model": Model.model_validate(cfg["model"]).model_dump()}
    if "method" in cfg:
        method = Method.model_validate(cfg["method"])
        hyper = check_hyper(f"methods.{run}", method, cfg["task"])
        found["method"] = method.model_dump() | {"hyper": hyper}
        if "finetune" in cfg:
            found["finetune"] = Training.model_validate(cfg["finetune"]).model_dump()
    else:
        recipes = References.model_validate(cfg["train"])
        recipe = recipes.pretrain if run == "base" else recipes.finetune
        found["train"] = recipe and recipe.model_dump()
    return to_jsonable_python(found)


def code_digest() -> str:
    """SHA-256 over the names and contents of the package's Python files, and of plug-ins that are found beside it."""
    lines = [f"{name_of(f)}\0{files.digest(f)}\n" for f in plugins.source_files()]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def name_of(file: Path) -> str:
    """Name of a code file: within the package, or of a plug-in its kind and name."""
    return file.relative_to(PACKAGE if file.is_relative_to(PACKAGE) else file.parents[1]).as_posix()


def versions() -> dict[str, str | None]:
    try:
        own = version("lethe")
    except PackageNotFoundError:  # run from its sources
        own = None
    found = {"torch": torch.__version__, "transformers": transformers.__version__}
    return found | {"python": platform.python_version(), "lethe": own}


def state_of_git(package: Path = PACKAGE) -> dict[str, str | bool | None]:
    """`commit` and `modified` of the package; nulls where there is no git, or no commit of the package."""
    commit = git(package, "log", "-1", "--format=%H", "--", ".")
    if not commit:
        return {"commit": None, "modified": None}
    return {"commit": commit, "modified": bool(git(package, "status", "--porcelain", "--", "."))}


def git(folder: Path, *command: str) -> str:
    """What a git command says; nothing if it fails."""
    try:
        done = subprocess.run(
            ["git", "--no-optional-locks", "-C", folder, *command], capture_output=True, text=True
        )
    except FileNotFoundError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def device() -> str:
    return torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"
