"""What survives what, in words."""

from types import SimpleNamespace

from lethe.report.robustness import robustness_table, verdicts


def of(verdict, returned):
    return {"verdict": verdict, "returned": returned}


def results(*tests):
    """Tests as in comparison.json: variant, label, and the verdicts on `good` and `weak`."""
    found = [
        {"variant": variant, "label": label, "runs": {"good": good, "weak": weak}}
        for variant, label, good, weak in tests
    ]
    return SimpleNamespace(comparison={"robustness": found}, methods=["good", "weak"])


NOTHING = ("shift-9", "ROUGE-L", None, None)


def test_the_report_says_what_survives_what():
    found = results(
        ("as it is", "ROUGE-L", of("survives", -0.001), of("survives", 0.1)),
        ("relearn-5", "ROUGE-L", of("open", -0.056), of("undone", 0.889)),
        ("relearn-5", "MA", of("survives", 0.1), of("survives", 0.1)),
        NOTHING,
    )
    table = robustness_table(found)
    assert table.head == ["test", "good", "weak"]
    assert table.rows == [
        ["as it is: ROUGE-L", "✓ 0.00", "✓ 0.10"],
        ["relearn-5: ROUGE-L", "? −0.06", "✗ 0.89"],
        ["relearn-5: MA", "✓ 0.10", "✓ 0.10"],
        ["shift-9: ROUGE-L", "–", "–"],
    ]
    assert verdicts(found) == [
        "good: forgetting survives as it is; undecided under relearn-5.",
        "weak: forgetting survives as it is; is undone by relearn-5.",
    ]


def test_where_nothing_was_remembered_nothing_is_said_to_survive():
    assert verdicts(results(NOTHING))[0] == (
        "good: no test says anything, as the original itself shows no more than retrain."
    )


def test_without_variants_there_is_no_table():
    assert robustness_table(results()) is None
    assert verdicts(results()) == []
