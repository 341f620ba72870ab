"""The JSON schema for editors, against a validator that is not pydantic's."""

import copy
import json
from pathlib import Path

import jsonschema
import pytest
from pydantic import ValidationError
from ruamel.yaml import YAML

from lethe.__main__ import main
from lethe.params.file import Params

ROOT = Path(__file__).parents[2]
KEPT = ROOT / "workflow/schemas/params.schema.json"
SCHEMA = json.loads(KEPT.read_text())
FILES = [
    ROOT / "params.yaml",
    ROOT / "tests/workflow/params_tiny.yaml",
    *sorted(ROOT.glob("docs/studies/*/params.yaml")),
    *sorted(ROOT.glob("docs/studies/*/tuning/search.yaml")),
    *sorted(ROOT.glob("presets/*.yaml")),
]


def test_what_is_kept_is_what_is_made(capsys):
    """If not: lethe schema > workflow/schemas/params.schema.json"""
    assert main(["schema"]) == 0
    assert capsys.readouterr().out == KEPT.read_text()


def test_the_parameters_name_their_schema():
    first = (ROOT / "params.yaml").read_text().splitlines()[0]
    assert first == f"# yaml-language-server: $schema={KEPT.relative_to(ROOT)}"


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_files_that_are_right_fit_the_schema(file):
    jsonschema.validate(YAML(typ="safe", pure=True).load(file.read_text()), SCHEMA)


def test_shorthands_fit_the_schema():
    tree = YAML(typ="safe", pure=True).load((ROOT / "params.yaml").read_text())
    tree["studies"]["topics"] |= {
        "dataset": "owner/name",
        "model": "owner/name",
        "methods": {"deepcut": None},
    }
    jsonschema.validate(tree, SCHEMA)


def sections(kind):
    """All that stand in a file of parameters."""
    found = [section for one in kind.__subclasses__() for section in (one, *sections(one))]
    return [section for section in found if section.__name__ in SCHEMA["$defs"]]


@pytest.mark.parametrize("section", sections(Params.__base__), ids=lambda section: section.__name__)
def test_a_text_fits_the_schema_where_a_section_takes_one(section):
    """`owner/name` has the form of each text that stands for a section."""
    try:
        section.model_validate("owner/name")
    except ValidationError as error:
        taken = any(fault["loc"] for fault in error.errors())  # not the text: what it leaves unsaid
    else:
        taken = True
    schema = {"$defs": SCHEMA["$defs"], "$ref": f"#/$defs/{section.__name__}"}
    assert jsonschema.Draft202012Validator(schema).is_valid("owner/name") is taken


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("forget.requests", "2"),
        ("forget.requests", 2.5),
        ("forget.request", 1),
        ("seeds", [True]),
        ("seeds", []),
        ("train.finetune.epochs", 0),
        ("train.finetune.epoch", 1),
        ("train.finetune.schedule", "sometimes"),
        ("task", 3),
        ("methods", {}),
        ("methods", {"Deep cut": {}}),
    ],
)
def test_faults_do_not_fit_the_schema(path, value):
    tree = YAML(typ="safe", pure=True).load((ROOT / "params.yaml").read_text())
    node = copy.deepcopy(tree)["studies"]["topics"]
    study, (*parents, last) = node, path.split(".")
    for key in parents:
        node = node[key]
    node[last] = value
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"studies": {"topics": study}}, SCHEMA)


def test_every_key_is_described():
    """Editors show it, and the reference is made of it."""
    for name, definition in SCHEMA["$defs"].items():
        section = definition.get("anyOf", [definition])[0]
        for key, about in section["properties"].items():
            assert about.get("description"), f"{name}.{key}"
