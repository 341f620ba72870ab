"""What each method would cost for a request, and what it showed: from planted files, worked out by hand."""

import copy
import json
from pathlib import Path

import yaml

from lethe.params.file import check_params
from lethe.report.choices import choices

ROOT = Path(__file__).parents[2]
PARAMS = yaml.safe_load((ROOT / "tests/workflow/params_tiny.yaml").read_text())
NOTHING = (None, None, None)
RUNS = ("deepcut", "gradient_ascent", "retrain")
COLUMN = {"key": "min_k_auc", "label": "Min-K% AUC", "good": "retrain", "digits": 3}


def put(path: str, content: dict) -> None:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(json.dumps(content))


def test_a_row_for_each_method_and_for_retraining(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    put("data/forget/records/seed0/forget.json", {"counts": {"forget": 8}})
    runs = {
        "icu": {"min_k_auc": {"mean": 0.55, "gap": {"mean": 0.0504}}},
        "retrain": {"min_k_auc": {"mean": 0.5}},
    }
    tests = [
        {"runs": {"icu": {"verdict": "survives"}}},
        {"runs": {"icu": {"verdict": "undone"}}},
        {"runs": {"icu": None}},
    ]
    verdicts = {"icu": {"min_k_auc": {"verdict": "near"}}}
    whole = {"columns": [COLUMN], "runs": runs, "verdicts": verdicts, "robustness": tests}
    put("results/compare/records/comparison.json", {"memory": [], "robustness": [], "verdicts": {}} | whole)
    times = {"icu": (4.0, 1.0, None), "npo": NOTHING, "retrain": (25.0, 20.0, 3.0)}
    table = choices(check_params(copy.deepcopy(PARAMS), "params.yaml"), "records", 2, times)
    assert table.head == [
        "method",
        "s for 8 examples",
        "s for 2 examples",
        "s beforehand",
        "min_k_auc",
        "survives",
    ]
    assert table.rows == [
        ["icu", "4.0", "1.0", "–", "+0.050 near", "1 of 2"],
        ["npo", "–", "–", "–", "–", "–"],  # was not run
        ["retrain", "25.0", "20.0", "3.0", "0.500", "–"],
    ]


def test_a_study_that_was_not_run_has_dashes(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    table = choices(
        check_params(copy.deepcopy(PARAMS), "params.yaml"), "topics", 3, dict.fromkeys(RUNS, NOTHING)
    )
    assert table.rows == [[run, "–", "–", "–", "–"] for run in RUNS]
