"""A fault that pydantic found, as one line."""

from __future__ import annotations

import json
import re
from typing import Any

from pydantic import BaseModel, ValidationError

UNKNOWN = "unknown key"
BRANCH = re.compile(
    r"str|int|float|bool|(list|dict|tuple|literal|constrained|function)[\[-].*"
)  # of a choice of types
KEY = re.compile(r"[\w.-]+: ")  # how the messages of validators that name a key below their own begin


def one_line(error: ValidationError) -> str:
    """The first fault as `key: value: what is allowed`; unknown keys come before their consequences."""
    faults = sorted(
        error.errors(), key=lambda fault: "extra" not in fault["type"] and "unexpected" not in fault["type"]
    )
    fault = faults[0]
    key = ".".join(str(step) for step in fault["loc"] if not BRANCH.fullmatch(str(step)))
    if fault["type"] == "value_error":
        text = str(fault["ctx"]["error"])
        return f"{key}{'.' if KEY.match(text) else ': '}{text}" if key else text
    if fault["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
        return f"{key}: {UNKNOWN}"
    if fault["type"] in ("missing", "missing_argument"):
        return f"{key}: missing, must be given"
    value = json.dumps(fault["input"], default=str)[:80]
    wanted = f"{fault['msg'][0].lower()}{fault['msg'][1:]}"
    if fault["type"] == "string_type" and isinstance(fault["input"], bool | int | float):
        wanted += f', such as "{value}"'
    return f"{key}: {value}: {wanted}"


def allowed_keys(error: ValidationError, model: type[BaseModel]) -> str:
    """`; allowed are …` for the place of the first unknown key in the model."""
    loc = next(f["loc"] for f in error.errors() if "extra" in f["type"])
    here: Any = model.model_json_schema()
    definitions = here["$defs"]
    for step in loc[:-1]:
        here = child(resolve(here, definitions), str(step))
    names = sorted(resolve(here, definitions).get("properties", {}))
    return f"; allowed are {', '.join(names)}" if names else ""


def resolve(node: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    for option in node.get("anyOf", []):
        if "$ref" in option or "properties" in option:
            node = option
    return definitions[node["$ref"].rsplit("/", 1)[1]] if "$ref" in node else node


def child(node: dict[str, Any], step: str) -> dict[str, Any]:
    patterns = list(node.get("patternProperties", {}).values())
    extra = node.get("additionalProperties")
    fallback = patterns[0] if patterns else extra if isinstance(extra, dict) else {}
    return node.get("properties", {}).get(step, fallback)
