"""The generated table of methods."""

import importlib.util
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[1] / "docs"


@pytest.fixture(scope="module")
def methods():
    spec = importlib.util.spec_from_file_location("methods_table", DOCS / "methods.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_table_is_up_to_date(methods):
    assert methods.table() == (DOCS / "methods.md").read_text(), "run: python docs/methods.py"


@pytest.mark.parametrize(
    ("name", "read", "kept", "cost"),
    [
        ("finetune", "retained examples", "–", "1"),
        ("undial", "–", "original, every step", "1.3"),  # f, and f through the frozen model: 1 + 1/3
        ("npo", "retained examples", "original, every step", "2.3"),  # f, r, and f through the frozen model
        ("deepcut", "retained examples", "–", "4"),  # f and r, each in two views
        ("icu", "an analogue of each forget example", "original, once per text", "2"),
    ],
)
def test_rows_worked_out_by_hand(methods, name, read, kept, cost):
    assert methods.row(name)[3:6] == [read, kept, cost]


def test_a_formula_is_what_is_indented(methods):
    text = "A method.\n\n    L = |a|    for one\n    L = b      in `c`\n\nMore."
    assert methods.formula(text) == r"`L = \|a\|  for one`<br>`L = b  in c`"
    with pytest.raises(ValueError, match="no indented formula"):
        methods.formula("A method.\n")
