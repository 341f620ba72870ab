"""Parameters of plug-ins: the fields of `Hyper` of an objective, of `Options` of a perturbation."""

from __future__ import annotations

import json
from typing import Any

from pydantic import ValidationError

from lethe.params.faults import UNKNOWN, one_line
from lethe.params.training import Method
from lethe.system import plugins
from lethe.system.errors import InputError


def from_base(objective: Any) -> bool:
    """Does the objective train models of its own in place of the original, by its recipe?"""
    known = objective in plugins.names_in("objectives")
    return known and plugins.constants_in("objectives", objective).get("RECIPE") == "finetune"


def needs_base(objective: str) -> bool:
    """Does the objective train models from the base?"""
    return "base" in plugins.constants_in("objectives", objective).get("NEEDS", ())


def has_epochs(objective: str) -> bool:
    """Is the result what is trained by the method's loss, so that the model of any epoch could be it?"""
    found = plugins.constants_in("objectives", objective)
    return "TERMS" in found and not {"RECIPE", "RESULT"} & {*found}


def takes_offset(objective: str) -> bool:
    """Can another model learn in place of the original: is the objective a loss of what it says, and of no layer?"""
    found = plugins.constants_in("objectives", objective)
    return "TERMS" in found and not {"base", "classes", "layers"} & {*found["NEEDS"]}


def check_hyper(where: str, method: Method, task: str) -> dict[str, Any]:
    """Hyperparameters of the method, defaults included, in the types of its objective.

    Raises:
        InputError: the objective is unknown, does not serve the task, or has other hyperparameters.
    """
    check_name(f"{where}.objective", method.objective, "objectives", "method", task)
    return vars(read_fields(f"{where}.hyper", "objectives", method.objective, "Hyper", method.hyper))


def check_perturbation(where: str, given: dict[str, Any], task: str) -> dict[str, Any]:
    """Options of a perturbation, defaults included; InputError as `check_hyper`."""
    check_name(f"{where}.perturbation", given["perturbation"], "perturbations", "perturbation", task)
    name, options = given["perturbation"], given["options"]
    return vars(read_fields(f"{where}.options", "perturbations", name, "Options", options))


def check_name(where: str, name: str, folder: str, what: str, task: str) -> None:
    known = plugins.able(folder, task)
    if name not in known:
        raise InputError(f"{where}: {name} is no {task} {what}; allowed are {', '.join(known)}")


def read_fields(where: str, folder: str, name: str, dataclass: str, values: dict[str, Any]) -> Any:
    """The dataclass of `folder/name.py` with these fields; as strict as a section of params.yaml.

    Raises:
        InputError: a field is unknown, or has another type or range; the line begins with `where`.
    """
    adapter = plugins.dataclass_in(folder, name, dataclass)
    try:  # of JSON, as lists may then stand for tuples and mappings for dataclasses
        return adapter.validate_json(json.dumps(values), strict=True)
    except ValidationError as error:
        line = one_line(error)
        names = ", ".join(adapter.json_schema().get("properties", {})) or "none"
        raise InputError(
            f"{where}.{line}{f'; allowed are {names}' if line.endswith(UNKNOWN) else ''}"
        ) from None
