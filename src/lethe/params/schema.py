"""The JSON schema of params.yaml, for editors: keys, types, ranges and descriptions of all sections."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from pydantic.json_schema import GenerateJsonSchema

from lethe.params.file import Params
from lethe.params.strict_model import Abbreviated, StrictModel

DRAFT = "https://json-schema.org/draft/2020-12/schema"
FILLED = {
    "Dataset": "source",
    "Source": "source",
    "Model": "source",
    "Study": "model",
}  # what other keys may say in place of these
DERIVED = {
    "Forget": ("request", "listed", "of", "parts"),
    "Study": ("shares",),
    "Splits": ("others", "earlier", "later"),
}  # which follow from others
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
    for name, key in FILLED.items():
        definitions[name]["required"] = [k for k in definitions[name]["required"] if k != key]
    for name, keys in DERIVED.items():
        for key in keys:
            del definitions[name]["properties"][key]
    several_or_one(definitions["Splits"]["properties"], "forget")
    several_or_one(definitions["GivenModels"]["properties"], "retrain")
    for section in kinds(Abbreviated):
        definitions[section.__name__] = {"anyOf": [definitions[section.__name__], {"type": "string"}]}
    definitions["Method"] = {"anyOf": [definitions["Method"], {"type": "null"}]}
    for sections in (found["properties"]["studies"], *definitions["Study"]["properties"].values()):
        if "patternProperties" in sections:  # names of another pattern are errors
            sections["additionalProperties"] = False
    return {"$schema": DRAFT, **found}


def kinds(section: type[StrictModel]) -> Iterator[type[StrictModel]]:
    """All classes that are made of it."""
    for kind in section.__subclasses__():
        yield from (kind, *kinds(kind))


def several_or_one(properties: dict[str, Any], key: str) -> None:
    """Let a key hold one value of its kind, or a list of them."""
    about = properties.pop(key)
    one = about.get("items", {"$ref": about.get("$ref")})
    properties[key] = {"anyOf": [one, {"type": "array", "items": one}], "description": about["description"]}


def text() -> str:
    return as_text(schema())


def as_text(schema: dict[str, Any]) -> str:
    return json.dumps(schema, indent=1, ensure_ascii=False) + "\n"
