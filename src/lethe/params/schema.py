"""The JSON schema of params.yaml, for editors: keys, types, ranges and descriptions of all sections."""

from __future__ import annotations

import json
from typing import Any

from pydantic.json_schema import GenerateJsonSchema

from lethe.params.file import Params

DRAFT = "https://json-schema.org/draft/2020-12/schema"
SHORTHANDS = ("Dataset", "General", "Model")  # a text stands for its source
NAMED = {
    "Method": "objective",
    "Perturbation": "perturbation",
}  # its key is the name of its file, if it says no other


class Untitled(GenerateJsonSchema):
    """Without a title for each key, which would repeat the key."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False


def schema() -> dict[str, Any]:
    """What a file may hold, shorthands included. What sections ask of each other, only `lethe check` knows."""
    found = Params.model_json_schema(schema_generator=Untitled)
    definitions = found["$defs"]
    for name, key in NAMED.items():
        definitions[name]["required"] = [k for k in definitions[name]["required"] if k != key]
    for name in SHORTHANDS:
        definitions[name] = {"anyOf": [definitions[name], {"type": "string"}]}
    definitions["Method"] = {"anyOf": [definitions["Method"], {"type": "null"}]}
    for key in ("request", "of", "parts"):  # which follow from others
        del definitions["Forget"]["properties"][key]
    for sections in (found["properties"]["studies"], *definitions["Study"]["properties"].values()):
        if "patternProperties" in sections:  # names of another pattern are errors
            sections["additionalProperties"] = False
    return {"$schema": DRAFT, **found}


def text() -> str:
    return as_text(schema())


def as_text(schema: dict[str, Any]) -> str:
    return json.dumps(schema, indent=1, ensure_ascii=False) + "\n"
