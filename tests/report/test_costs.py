"""Means and ratios of costs worked by hand."""

import json
import math

import pytest

from lethe.report.costs import costs
from lethe.report.tables import cost_table, results_table
from lethe.system.errors import InputError
from lethe.system.records import COST, read_record


def cost(seconds):
    return {
        "wall_seconds": seconds,
        "processor_seconds": seconds / 4,
        "steps": 10,
        "tokens": 100,
        "examples": 20,
        "peak_memory_bytes": 1 << 20,
    }


def test_ratio_of_time_is_the_mean_of_the_ratios_of_each_seed():
    found = costs(
        {"retrain": {0: cost(10), 1: cost(40)}, "npo": {0: cost(5), 1: cost(4)}, "base": {0: cost(99)}}
    )
    assert found["npo"]["wall_seconds"]["ratio"] == pytest.approx(
        {"mean": 0.3, "sd": 0.2 * math.sqrt(2), "n": 2}
    )
    assert found["npo"]["steps"]["ratio"]["mean"] == 1
    assert "ratio" not in found["retrain"]["wall_seconds"]
    assert "ratio" not in found["base"]["wall_seconds"]


def test_what_a_run_trains_beforehand_stands_apart_and_is_compared_with_retrain():
    beforehand = {"beforehand_seconds": 20, "beforehand_steps": 5, "beforehand_tokens": 50}
    found = costs({"retrain": {0: cost(10)}, "npo": {0: cost(5)}, "sisa": {0: cost(4) | beforehand}})
    assert found["sisa"]["wall_seconds"]["ratio"]["mean"] == 0.4
    assert found["sisa"]["beforehand_seconds"]["ratio"]["mean"] == 2
    assert found["sisa"]["beforehand_steps"]["ratio"]["mean"] == 0.5
    assert "beforehand_steps" not in found["npo"]
    table = cost_table(found, ["retrain", "npo", "sisa"])
    assert table.head[-2] == "training beforehand, s"
    assert [row[-2:] for row in table.rows] == [["–", "–"], ["–", "–"], ["20.0", "2"]]
    assert "training beforehand, s" not in cost_table(found, ["retrain", "npo"]).head


def test_the_headline_may_show_processor_time_beside_the_tokens_of_every_machine():
    twice = cost(20) | {"tokens": 50}
    found = costs({"retrain": {0: cost(10)}, "npo": {0: twice}})
    runs = ["retrain", "npo", "given"]
    plain = results_table({run: {} for run in runs}, found, [], runs, {})
    assert [row[1:] for row in plain.rows] == [["1"], ["0.5"], ["–"]]
    both = results_table({run: {} for run in runs}, found, [], runs, {}, ("tokens", "processor_seconds"))
    assert [row[1:] for row in both.rows] == [["1", "1"], ["0.5", "2"], ["–", "–"]]
    assert both.head[2] == "processor time ÷ retrain\N{NO-BREAK SPACE}↓"


@pytest.mark.parametrize("missing", cost(1))
def test_a_cost_that_lacks_a_number_is_named(missing, tmp_path):
    file = tmp_path / "cost.json"
    file.write_text(json.dumps({key: value for key, value in cost(1).items() if key != missing}))
    with pytest.raises(InputError, match=f"cost.json: is not what lethe writes at '{missing}'; `snakemake`"):
        read_record(file, COST)
