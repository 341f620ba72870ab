"""Means, spreads, gaps, leads and curves worked by hand, and a whole comparison as it always was."""

import json
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.stats

from lethe.compare import compare
from lethe.evaluation.comparing import beside_retrain, better, mean_roc, summaries
from lethe.params.measure import Measure
from lethe.system.errors import InputError
from lethe.tasks import Column


def test_gap_is_paired_by_seed():
    # unpaired the two runs overlap widely; in each seed the run is 0.1 ± 0.01 above retrain
    numbers = {
        "retrain": {0: {"auc": 0.2}, 1: {"auc": 0.5}, 2: {"auc": 0.8}},
        "icu": {0: {"auc": 0.31}, 1: {"auc": 0.60}, 2: {"auc": 0.89}},
    }
    entry = summaries(numbers, 0.95)["icu"]["auc"]
    assert (entry["mean"], entry["sd"], entry["n"]) == pytest.approx((0.6, 0.29, 3))
    half = 4.302653 * 0.01 / math.sqrt(3)  # t with 2 degrees of freedom, from tables
    expected = {"mean": 0.1, "sd": 0.01, "n": 3, "low": 0.1 - half, "high": 0.1 + half, "excludes_zero": True}
    assert entry["gap"] == pytest.approx(expected)


def test_a_gap_within_the_noise_is_not_called_one():
    numbers = {"retrain": {0: {"a": 0.5}, 1: {"a": 0.5}}, "npo": {0: {"a": 0.6}, 1: {"a": 0.62}}}
    assert summaries(numbers, 0.99)["npo"]["a"]["gap"]["excludes_zero"] is False
    assert summaries(numbers, 0.9)["npo"]["a"]["gap"]["excludes_zero"] is True


def test_one_seed_has_no_spread_and_no_interval():
    numbers = {"retrain": {7: {"a": 0.5}}, "npo": {7: {"a": 0.75}}}
    found = summaries(numbers, 0.95)
    assert found["npo"]["a"] == {"mean": 0.75, "n": 1, "gap": {"mean": 0.25, "n": 1}}
    assert found["retrain"]["a"] == {"mean": 0.5, "n": 1}


def test_a_metric_that_a_seed_lacks_counts_fewer():
    numbers = {"retrain": {0: {}, 1: {"a": 0.5}}, "npo": {0: {"a": 1.0}, 1: {"a": 2.0, "b": 3.0}}}
    found = summaries(numbers, 0.95)["npo"]
    assert found["a"]["n"] == 2
    assert found["a"]["gap"] == {"mean": 1.5, "n": 1}
    assert "gap" not in found["b"]


def test_better_is_paired_and_goes_the_right_way():
    numbers = {
        "retrain": {0: {"up": 0.0, "near": 0.5}, 1: {"up": 0.0, "near": 0.9}},
        "a": {0: {"up": 0.50, "near": 0.4}, 1: {"up": 0.90, "near": 1.01}},  # 0.1 and 0.11 from retrain
        "b": {0: {"up": 0.40, "near": 0.2}, 1: {"up": 0.799, "near": 0.61}},  # 0.3 and 0.29 from retrain
    }
    wanted = [Column("up", "", "higher"), Column("near", "", "retrain")]
    assert better(numbers, ["a", "b"], wanted, 0.9) == {
        "a": {"up": ["b"], "near": ["b"]},
        "b": {"up": [], "near": []},
    }
    falling = [Column("up", "", "lower")]
    assert better(numbers, ["a", "b"], falling, 0.9) == {"a": {"up": []}, "b": {"up": ["a"]}}
    one = {run: {0: seeds[0]} for run, seeds in numbers.items()}
    assert better(one, ["a", "b"], wanted, 0.9)["a"] == {"up": [], "near": []}


def test_a_band_needs_two_retrained_models():
    numbers = {"retrain": {7: {"a": 0.5}}}
    assert "band" not in summaries(numbers, 0.95)["retrain"]["a"]
    again = {"retrain-2": {7: {"a": 0.6}}}
    band = summaries(numbers, 0.95, again)["retrain"]["a"]["band"]
    assert band["half"] == pytest.approx(12.7062 * 0.1)  # t with 1 degree of freedom; the gap of two models
    assert band["degrees"] == 1


def test_curves_are_averaged_vertically():
    half = np.array([0, 2, 2, 2]), np.array([1, 3])  # of two others one lies above the best member
    late = np.array([0, 9]), np.array([1, 2])
    rates, means = mean_roc([half, late])
    assert rates.tolist() == [0, 0.5, 1]
    assert means.tolist() == [0.375, 0.75, 1]  # (1/4 + 1/2)/2, (1 + 1/2)/2


def examples(seed: int, shift: float) -> dict[str, np.ndarray]:
    """20 forget and 30 test examples; those to forget have losses that lie `shift` lower."""
    sets = np.array(["forget"] * 20 + ["test"] * 30)
    loss = np.random.default_rng(seed).normal(3, 1, 50) - shift * (sets == "forget")
    return {"sets": sets, "loss": loss, "min_k": loss + 0.5}


def test_loss_ks_is_the_p_value_of_the_forget_sets_losses():
    own, retrain = examples(1, 1.0), examples(2, 0.0)
    found = beside_retrain(own, retrain, "generation", Measure(bootstrap=100), 0)
    assert found["loss_ks"] == scipy.stats.ks_2samp(own["loss"][:20], retrain["loss"][:20]).pvalue


def test_pushed_beyond_retrain_is_flagged():
    retrain = examples(2, 0.0)
    for shift, flag in ((0.0, 0), (3.0, 0), (-3.0, 1)):
        own = retrain | {"min_k": retrain["min_k"] - shift * (retrain["sets"] == "forget")}
        found = beside_retrain(own, retrain, "generation", Measure(bootstrap=100), 0)
        assert found["min_k_below_retrain"] == flag


KEYS = ("memorization_accuracy_forget", "min_k_auc", "memorization_accuracy_retain", "perplexity_test")
RUNS = {
    "original": 2.0,
    "retrain": 0.0,
    "icu": 0.3,
    "npo": -1.0,
}  # and how much lower losses on the forget set are
CFG = {
    "task": "generation",
    "seeds": [1, 2],
    "runs": list(RUNS),
    "methods": ["icu", "npo"],
    "extra_retrains": ["retrain-2"],
    "variants": [],
    "shadow_seeds": [],
    "measure": {"bootstrap": 100},
    "claims": {"primary": ["min_k_auc"]},
    "confidence": 0.9,
    "returned": 0.5,
}


def write_measured(folder: Path) -> None:
    """Made-up metrics of all runs, the same on every machine."""
    for number, (run, shift) in enumerate({**RUNS, "retrain-2": 0.1, "blind": 0.0}.items()):
        for seed in CFG["seeds"]:
            place = folder / run / f"seed{seed}"
            place.mkdir(parents=True)
            draws = np.random.default_rng([number, seed]).integers(1, 100, len(KEYS)) / 128
            numbers = {"blind_auc": 0.5} if run == "blind" else dict(zip(KEYS, draws, strict=True))
            (place / "metrics.json").write_text(json.dumps(numbers))
            values = examples(10 * number + seed, shift)
            table = pd.DataFrame({"set": values.pop("sets")} | values)
            table.to_parquet(place / "metrics.parquet")


def test_a_comparison_is_what_the_report_used_to_compute(tmp_path):
    """comparison.json beside this file was made by the code that the report held before comparing was a step."""
    write_measured(tmp_path)
    compare(CFG, tmp_path, tmp_path / "no scores are read", tmp_path / "out")
    found = json.loads((tmp_path / "out/comparison.json").read_text())
    before = json.loads(Path(__file__).with_name("comparison.json").read_text())
    assert {key: found[key] for key in before} == approximately(before)
    assert found["claims"] == {"primary": ["min_k_auc"], "near": 0.2, "keep": 0.05, "level": 0.05}
    assert found["verdicts"]["icu"]["min_k_auc"]["degrees"] == 2  # two seeds of two retrained models
    assert found["strongest"]["npo"]["attack"] == "min_k"
    assert found["attack"]["others"] == 30
    assert found["attack"]["smallest_rate"] == pytest.approx(1 / 30)
    assert found["reach"] == pytest.approx(6.313752 / math.sqrt(2))  # t with 1 degree of freedom, from tables
    curve = found["attack"]["roc"]["icu"]
    assert curve["false_positive_rates"][-1] == curve["true_positive_rates"][-1] == 1


def approximately(value):
    """Equal but for the last digits of numbers, which depend on the processor."""
    if isinstance(value, dict):
        return {key: approximately(inner) for key, inner in value.items()}
    return pytest.approx(value) if isinstance(value, float) else value


def test_a_run_that_was_not_measured_is_named(tmp_path):
    write_measured(tmp_path)
    (tmp_path / "npo/seed2/metrics.json").unlink()
    with pytest.raises(InputError, match=r"npo/seed2/metrics.json: no such file"):
        compare(CFG, tmp_path, tmp_path, tmp_path / "out")
    assert not (tmp_path / "out").exists()
