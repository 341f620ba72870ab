import ast
import json
import re
from pathlib import Path

import pytest

from lethe.system.quoting import class_name, columns, quoted, reason

PACKAGE = Path(__file__).parents[2] / "src" / "lethe"
TEXT = "Ann Lee, born 3 May 1980, takes 5 mg"


@pytest.mark.parametrize("name", ["r7", "0", "general/12", "forget/a.b:c", "x" * 80])
def test_ids_are_quoted(name):
    assert quoted(name) == repr(name)


@pytest.mark.parametrize("text", [TEXT, "", "two words", "a\nb", "x" * 81, "名前は山田", "\ud83d"])
def test_of_what_may_be_a_text_a_digest_is_shown(text):
    assert re.fullmatch(r"\(not shown, SHA-256 [0-9a-f]{12}\)", quoted(text))


def test_names_of_classes_may_have_spaces():
    assert class_name("very negative") == "'very negative'"
    assert "not shown" in class_name(TEXT * 2) and "not shown" in class_name("a\nb")


def test_columns_are_shown_that_are_ordinary_or_nearly_what_was_asked_for():
    assert columns(["text", "Label", "note_of_doctor"], "notes_of_doctor") == "text, Label, note_of_doctor"
    assert columns(["0", TEXT], "text") == "2 in all whose names are not shown"
    assert columns(["id", TEXT, "ann"], "text") == "id, 2 more whose names are not shown"
    assert columns([], "text") == "none"


def error_of(function, *arguments):
    with pytest.raises(Exception) as error:  # noqa: PT011
        function(*arguments)
    return error.value


def test_reasons_hold_places_and_nothing_of_the_content():
    assert reason(error_of(json.loads, f'["{TEXT}", ann]')) == "Expecting value in line 1"
    assert reason(error_of("é".encode("latin-1").decode)) == "it is not UTF-8 from byte 0 on"
    assert reason(error_of(int, TEXT)) == "ValueError"
    assert reason(error_of({}.__getitem__, TEXT)) == "KeyError"
    assert reason(error_of(open, "/none")) == "No such file or directory"
    assert (
        reason(ValueError(f"{TEXT}: Expected 2 fields in line 3, saw 4"))
        == "Expected 2 fields in line 3, saw 4"
    )


def interpolated(file):
    """Expressions within f-strings of a file."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Raise):
            for value in ast.walk(node):
                if isinstance(value, ast.FormattedValue):
                    yield ast.unparse(value.value)


@pytest.mark.parametrize("file", sorted(PACKAGE.rglob("*.py")), ids=lambda f: str(f.relative_to(PACKAGE)))
def test_an_error_names_a_record_through_what_decides_on_it(file):
    about_ids = [text for text in interpolated(file) if re.search(r"\bids\b(?!\.shape)|\['id'\]", text)]
    assert all(re.match(r"quoted\(|len\(", text) for text in about_ids), about_ids
