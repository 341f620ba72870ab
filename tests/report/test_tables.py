"""Cells and forms of tables."""

import csv
import hashlib
import io
import json
from pathlib import Path

import pytest

from lethe.evaluation.headline import columns
from lethe.report import settings, tables
from lethe.report.page import cell, libraries
from lethe.tasks import Column
from lethe.tasks.generation import longest_extraction


@pytest.mark.parametrize(
    ("value", "decimals", "text"),
    [
        (0.12345, 3, "0.123"),
        (-0.5, 1, "−0.5"),
        (-0.0001, 3, "0.000"),
        (1234567, 0, "1,234,567"),
        (1e12, 1, "1.00e+12"),
        (-2e-9, 3, "0.000"),
    ],
)
def test_number(value, decimals, text):
    assert tables.number(value, decimals) == text


@pytest.mark.parametrize(("ratio", "text"), [(0.0312, "0.031"), (1.5, "1.5"), (12.4, "12"), (240.0, "240")])
def test_times(ratio, text):
    assert tables.times(ratio) == text


def test_spread_is_left_out_not_zero_with_one_seed():
    assert tables.spread({"mean": 0.5, "n": 1}, 2) == "0.50"
    assert tables.spread({"mean": 0.5, "sd": 0.0, "n": 2}, 2) == "0.50 ± 0.00"
    assert tables.spread(None, 2) == "–"


def test_gap_cell():
    gap = {
        "mean": -0.25,
        "sd": 0.1,
        "distance": 0.375,
        "n": 2,
        "low": -0.5,
        "high": -0.125,
        "excludes_zero": True,
    }
    assert tables.gap_cell(gap, Column("a", "", "higher")) == "−0.250 [−0.500, −0.125]"
    assert tables.gap_cell(gap, Column("a", "", "retrain")) == "−0.250 [−0.500, −0.125] |0.375|"
    assert tables.gap_cell({"mean": 0.1, "distance": 0.1, "n": 1}, Column("a", "", "retrain", 1)) == "0.1"
    assert tables.gap_cell(None, Column("a", "", "higher")) == "–"


def test_markdown_and_terminal_forms():
    table = tables.Table(["run", "a|b"], [["x", "1*"], ["longer", "22"]])
    assert tables.markdown(table) == "| run | a\\|b |\n| --- | ---: |\n| x | 1\\* |\n| longer | 22 |\n"
    assert tables.plain(table) == "run     a|b\n──────  ───\nx        1*\nlonger   22\n"


def test_csv_has_every_number_in_full_and_empty_fields_for_none():
    found = {
        "npo": {"a": {"mean": 1 / 3, "n": 1, "gap": {"mean": 0.1, "n": 1}}},
        "retrain": {"a": {"mean": 2.0, "n": 1}},
    }
    first, second = csv.DictReader(io.StringIO(tables.summaries_csv(found)))
    assert float(first["mean"]) == 1 / 3
    assert (first["sd"], first["gap_mean"], first["gap_low"]) == ("", "0.1", "")
    assert second["gap_mean"] == ""


def test_the_longest_ngrams_are_chosen_by_number_not_by_letter():
    names = [
        "extraction_likelihood_3_forget",
        "extraction_likelihood_10_forget",
        "extraction_likelihood_10_test",
    ]
    (longest,) = longest_extraction(names, "EL{}")
    assert (longest.key, longest.label) == ("extraction_likelihood_10_forget", "EL10")
    assert longest_extraction(["extraction_strength_forget"], "EL{}") == []


def test_columns_follow_what_was_measured():
    found = {"memorization_accuracy_excess", "perplexity_test", "next_token_accuracy_test"}
    assert [c.key for c in columns("generation", found)] == [
        "memorization_accuracy_excess",
        "perplexity_test",
        "next_token_accuracy_test",
    ]


def test_cells_of_the_page_are_escaped():
    assert cell("<b> ± 1*") == "&lt;b&gt;<small> ± 1</small><b class=mark>*</b>"
    assert cell("1 [0, 2]") == "1<br><small>[0, 2]</small>"


def test_a_claim_is_a_verdict_and_a_mark():
    assert tables.claim(None) == ""
    assert tables.claim({"verdict": "far", "star": True}) == " far*"
    assert tables.claim({"verdict": "open", "star": False}) == " open"
    assert tables.claim({"star": True}) == "*"  # no margin, no verdict


def test_the_strongest_attack_stands_beside_the_retrained_models():
    gap = {"attack": "transfer", "attacks": 7, "auc": 0.956, "retrained": 0.536, "gap": 0.42}
    found = {"icu": gap | {"low": 0.35, "high": 0.49}, "npo": gap | {"attack": "own"}}
    table = tables.attacks_table(found, ["npo", "icu", "base"])
    assert table.rows[1] == ["icu", "transfer attack (of 7)", "0.956", "0.536", "0.420 [0.350, 0.490]"]
    assert table.rows[0] == ["npo", "own (of 7)", "0.956", "0.536", "0.420"]


def test_what_a_user_wrote_is_shown_by_markdown_as_it_is():
    """Of CommonMark and GitHub's tables: a backslash takes an ASCII sign its meaning, and is one itself."""
    row = [r"a\|b", "<b>`x`</b>", "$y$"]
    shown = tables.markdown(tables.Table(["run", "a|b", "c"], [row])).splitlines()
    assert shown[0] == r"| run | a\|b | c |"
    assert shown[2] == r"| a\\\|b | \<b>\`x\`\</b> | \$y\$ |"


@pytest.mark.parametrize("value", ["a\nb", "half \u0000", "two\u2028", "a\rb"])
def test_a_setting_is_on_one_line(value):
    shown = settings.text(value)
    assert len(shown.splitlines()) == 1 and json.loads(shown) == value
    assert settings.text("é a") == "é a" and settings.text([1, None]) == "[1, null]"


def test_latex_and_csv_forms():
    """Every sign of LaTeX's own is escaped, and those of ours are mathematics."""
    table = tables.Table(
        ["run", "AUC\N{NO-BREAK SPACE}≈"], [["a_b", "−0.5 ± 0.1 far*"], ["50% & more", "1,000"]]
    )
    assert tables.latex(table) == (
        "\\begin{tabular}{lr}\n\\toprule\nrun & AUC~$\\approx$ \\\\\n\\midrule\n"
        "a\\_b & $-$0.5 $\\pm$ 0.1 far* \\\\\n50\\% \\& more & 1,000 \\\\\n\\bottomrule\n\\end{tabular}\n"
    )
    assert list(csv.reader(io.StringIO(tables.comma_separated(table)))) == [table.head, *table.rows]


def test_a_library_is_the_published_file():
    for name, digest in libraries.SHA256.items():
        file = Path(libraries.__file__).parent / name
        assert hashlib.sha256(file.read_bytes()).hexdigest() == digest
    assert "Permission to use, copy, modify" in libraries.scripts()
