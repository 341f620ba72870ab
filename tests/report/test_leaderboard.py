"""The leaderboard of made-up reports."""

import json

import pytest

from lethe.report.leaderboard import leaderboard
from lethe.system.errors import InputError


def folder(path, metrics, costs):
    path.mkdir()
    for name, content in (("metrics.json", metrics), ("cost.json", costs)):
        (path / name).write_text(json.dumps(content))
    return path


def test_runs_of_several_reports_are_rows(tmp_path):
    tofu = {
        "retrain": {"model_utility": {"mean": 0.6}},
        "npo": {
            "model_utility": {"mean": 0.55, "gap": {"low": -0.1, "high": 0.02}},
            "rouge_l_recall_forget_perturbed": {"mean": 0.3},
        },
        "npo+relearn-5": {"rouge_l_recall_forget_perturbed": {"mean": 0.45}},
        "blind": {"blind_auc": {"mean": 0.5}},
    }
    ours = folder(tmp_path / "a", {"tofu": tofu}, {"tofu": {"npo": {"wall_seconds": {"mean": 12.3}}}})
    theirs = folder(tmp_path / "b", {"topics": {"deepcut": {"accuracy_forget": {"mean": 0.8}}}}, {})
    lines = leaderboard([ours, theirs]).splitlines()
    start = lines.index("## tofu")
    gap = "Means over seeds; in brackets the interval of the gap to retrain."
    assert f"From `{ours}`. {gap} After relearn-5: `rouge_l_recall_forget`." in lines
    assert f"From `{theirs}`. {gap}" in lines
    rows = [[c.strip() for c in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    assert rows[0] == ["run", "model utility", "ROUGE-L, forget", "relearn-5", "seconds"]
    assert rows[2] == ["retrain", "0.600", "–", "–", "–"]
    assert rows[3] == ["npo", "0.550 [−0.100, 0.020]", "0.300", "0.450", "12"]
    assert rows[-1] == ["deepcut", "0.800", "–"] and lines.index("## topics") > start


def test_what_is_no_report_is_named(tmp_path):
    with pytest.raises(InputError, match=r"metrics.json: no such file; `lethe report` makes it"):
        leaderboard([tmp_path])
    with pytest.raises(InputError, match=r"metrics.json: is not what lethe writes at 'tofu'"):
        leaderboard([folder(tmp_path / "a", {"tofu": 1}, {})])
