"""Means, spreads, gaps, leads and curves worked by hand, and a whole comparison."""

import json
import math
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pytest
import scipy.stats

from lethe.compare import compare
from lethe.evaluation.comparing import (
    beside_retrain,
    better,
    bounds,
    example_gaps,
    expected_quality,
    leak,
    mean_roc,
    summaries,
    truth_ratios,
)
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
    expected = {"mean": 0.1, "sd": 0.01, "distance": 0.1, "n": 3}
    expected |= {"low": 0.1 - half, "high": 0.1 + half, "excludes_zero": True}
    assert entry["gap"] == pytest.approx(expected)


def test_a_gap_within_the_noise_is_not_called_one():
    numbers = {"retrain": {0: {"a": 0.5}, 1: {"a": 0.5}}, "npo": {0: {"a": 0.6}, 1: {"a": 0.62}}}
    assert summaries(numbers, 0.99)["npo"]["a"]["gap"]["excludes_zero"] is False
    assert summaries(numbers, 0.9)["npo"]["a"]["gap"]["excludes_zero"] is True


def test_one_seed_has_no_spread_and_no_interval():
    numbers = {"retrain": {7: {"a": 0.5}}, "npo": {7: {"a": 0.75}}}
    found = summaries(numbers, 0.95)
    assert found["npo"]["a"] == {"mean": 0.75, "n": 1, "gap": {"mean": 0.25, "distance": 0.25, "n": 1}}
    assert found["retrain"]["a"] == {"mean": 0.5, "n": 1}
    ratio = {run: {7: {"perplexity_test": value}} for run, value in (("retrain", 4.0), ("npo", 9.0))}
    found = summaries(ratio, 0.95)["npo"]["perplexity_test"]
    assert found == {
        "mean": pytest.approx(9),
        "n": 1,
        "gap": pytest.approx({"mean": 5, "distance": 5, "n": 1}),
    }


def test_without_a_retrained_model_there_are_no_gaps():
    found = summaries({"npo": {0: {"a": 1.0}, 1: {"a": 2.0}}}, 0.95)
    assert found["npo"]["a"] == {"mean": 1.5, "sd": pytest.approx(math.sqrt(0.5)), "n": 2}


def test_a_metric_that_a_seed_lacks_counts_fewer():
    numbers = {"retrain": {0: {}, 1: {"a": 0.5}}, "npo": {0: {"a": 1.0}, 1: {"a": 2.0, "b": 3.0}}}
    found = summaries(numbers, 0.95)["npo"]
    assert found["a"]["n"] == 2
    assert found["a"]["gap"] == {"mean": 1.5, "distance": 1.5, "n": 1}
    assert "gap" not in found["b"]


def test_gaps_are_beside_all_retrained_models_of_a_seed():
    """Two seeds of three: means 2 and 5, squares 2 + 2 over 4 degrees, as in the case of `gaps` worked by hand."""
    numbers = {"retrain": {1: {"a": 1.0}, 2: {"a": 4.0}}, "icu": {1: {"a": 4.0}, 2: {"a": 3.0}}}
    extra = {"retrain-2": {1: {"a": 2.0}, 2: {"a": 5.0}}, "retrain-3": {1: {"a": 3.0}, 2: {"a": 6.0}}}
    found = summaries(numbers, 0.95, extra)
    half = 2.776445 * math.sqrt(1.0 * (1 + 1 / 3) / 2)  # t with 4 degrees of freedom, from tables
    gap = found["icu"]["a"]["gap"]
    assert (gap["mean"], gap["distance"]) == (0.0, 2.0)  # of 2 and -2, which cancel in the mean alone
    assert (gap["low"], gap["high"]) == pytest.approx((-half, half))
    assert found["retrain"]["a"]["band"] == {"half": pytest.approx(half), "degrees": 4}
    alone = summaries({run: {1: seeds[1]} for run, seeds in numbers.items()}, 0.95, extra)["icu"]["a"]["gap"]
    assert alone["high"] - 2 == pytest.approx(4.302653 * math.sqrt(4 / 3))  # one seed, 2 degrees


def test_perplexities_are_compared_as_ratios():
    numbers = {
        "retrain": {0: {"perplexity_test": 100.0}, 1: {"perplexity_test": 400.0}},
        "icu": {0: {"perplexity_test": 200.0}, 1: {"perplexity_test": 200.0}},
        "npo": {0: {"perplexity_test": 150.0}, 1: {"perplexity_test": 600.0}},
    }
    found = summaries(numbers, 0.95)
    assert found["retrain"]["perplexity_test"]["mean"] == pytest.approx(200)  # the geometric mean
    gap = found["icu"]["perplexity_test"]["gap"]
    assert gap["mean"] == pytest.approx(0, abs=1e-9) and gap["distance"] == pytest.approx(200)  # twice, half
    gap = found["npo"]["perplexity_test"]["gap"]
    ends = [gap["mean"], gap["low"], gap["high"]]
    assert ends == pytest.approx([100, 100, 100])  # 1.5 times in both seeds


def test_better_is_paired_and_goes_the_right_way():
    numbers = {
        "retrain": {0: {"up": 0.0, "near": 0.5}, 1: {"up": 0.0, "near": 0.9}},
        "a": {0: {"up": 0.50, "near": 0.4}, 1: {"up": 0.90, "near": 1.01}},  # 0.1 and 0.11 from retrain
        "b": {0: {"up": 0.40, "near": 0.2}, 1: {"up": 0.799, "near": 0.61}},  # 0.3 and 0.29 from retrain
    }
    wanted = [Column("up", "", "higher"), Column("near", "", "retrain")]
    assert better(numbers, ["a", "b"], wanted, 0.1) == {
        "a": {"up": ["b"], "near": ["b"]},
        "b": {"up": [], "near": []},
    }
    falling = [Column("up", "", "lower")]
    assert better(numbers, ["a", "b"], falling, 0.1) == {"a": {"up": []}, "b": {"up": ["a"]}}
    one = {run: {0: seeds[0]} for run, seeds in numbers.items()}
    assert better(one, ["a", "b"], wanted, 0.1)["a"] == {"up": [], "near": []}


def test_a_lead_among_many_must_be_surer():
    """Three runs are three pairs: p of 0.03 is below 5 %, not below a third of it."""
    numbers = {run: {} for run in ("retrain", "a", "b", "c")}
    for seed, (b, c) in enumerate(((0.0, 0.1), (0.1, 0.0), (0.0, 0.2))):
        lead = (0.9, 1.2, 1.7)[seed]
        values = {"retrain": 0.0, "a": b + lead, "b": b, "c": c}
        for run, value in values.items():
            numbers[run][seed] = {"up": value}
    column = [Column("up", "", "higher")]
    p = scipy.stats.ttest_rel(*([numbers[run][s]["up"] for s in range(3)] for run in "ab")).pvalue
    assert 0.05 / 3 < p < 0.05
    assert better(numbers, ["a", "b"], column, 0.05)["a"]["up"] == ["b"]
    assert better(numbers, ["a", "b"], column, 0.01)["a"]["up"] == []
    assert better(numbers, ["a", "b", "c"], column, 0.05)["a"]["up"] == []


def test_a_band_needs_two_retrained_models():
    numbers = {"retrain": {7: {"a": 0.5}}}
    assert "band" not in summaries(numbers, 0.95)["retrain"]["a"]
    again = {"retrain-2": {7: {"a": 0.6}}}
    band = summaries(numbers, 0.95, again)["retrain"]["a"]["band"]
    assert band["half"] == pytest.approx(12.7062 * 0.0707107 * math.sqrt(1.5))  # t with 1 degree; beside two
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


def test_a_comparison_of_what_was_measured(tmp_path):
    write_measured(tmp_path)
    compare(CFG, tmp_path, tmp_path / "no scores are read", tmp_path / "out")
    found = json.loads((tmp_path / "out/comparison.json").read_text())

    def of(run):
        files = (tmp_path / run / f"seed{seed}" / "metrics.json" for seed in CFG["seeds"])
        return np.array([json.loads(file.read_text())["min_k_auc"] for file in files])

    retrained = np.stack([of("retrain"), of("retrain-2")])
    entry = found["runs"]["icu"]["min_k_auc"]
    assert entry["gap"]["mean"] == pytest.approx(np.mean(of("icu") - retrained.mean(0)))
    variance = retrained.var(axis=0, ddof=1).sum() / 2
    half = 2.919986 * np.sqrt(variance * 1.5 / 2)  # t with 2 degrees of freedom at 90 %, from tables
    assert entry["gap"]["high"] - entry["gap"]["mean"] == pytest.approx(half)
    assert found["claims"] == {"primary": ["min_k_auc"], "near": 0.2, "keep": 0.05, "level": 0.05}
    assert set(found["better"]["icu"]) == {"min_k_auc"}  # what was declared, and nothing else
    assert found["verdicts"]["icu"]["min_k_auc"]["degrees"] == 2  # two seeds of two retrained models
    assert found["strongest"]["npo"]["attack"] == "min_k"
    assert set(found["losses"]) == {"original", "icu", "npo", "retrain"}
    assert found["losses"]["original"]["ks"] < 1e-6 < 0.01 < found["losses"]["retrain"]["ks"]
    assert found["attack"]["others"] == 30
    assert found["attack"]["smallest_rate"] == pytest.approx(1 / 30)
    assert found["reach"] == pytest.approx(6.313752 / math.sqrt(2))  # t with 1 degree of freedom, from tables
    curve = found["attack"]["roc"]["icu"]
    assert curve["false_positive_rates"][-1] == curve["true_positive_rates"][-1] == 1


def test_a_run_that_was_not_measured_is_named(tmp_path):
    write_measured(tmp_path)
    (tmp_path / "npo/seed2/metrics.json").unlink()
    with pytest.raises(InputError, match=r"npo/seed2/metrics.json: no such file"):
        compare(CFG, tmp_path, tmp_path, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def scored(members: list[float], others: list[float]) -> dict[str, np.ndarray]:
    """Scores of a forget and of a test set, which hold as many examples in every model."""
    sets = np.repeat(["forget", "test"], [len(members), len(others)])
    return {"sets": sets, "min_k_40": np.array([*members, *others], float)}


def test_the_leak_is_beside_the_retrained_model_and_drawn_on_its_examples():
    """Members lower in 4 of 4 and in 3 of 4 pairs, unlike by 0 and by 1/4: 100 · (0 − 1/4) / (1/4)."""
    own, retrain = scored([0, 1], [2, 3]), scored([0, 2], [1, 3])
    draws = Measure(bootstrap=200)
    assert leak(own, retrain, draws, 0)["privacy_leak"] == pytest.approx(-100)
    half = scored([0, 3], [1, 2])  # 2 of 4
    assert beside_retrain(half, retrain, draws, 0)["privacy_leak"] == pytest.approx(100)
    assert leak(retrain, own, draws, 0) == {}, "where retraining tells all members, nothing is beside it"
    lacking = {"sets": own["sets"]}
    assert leak(lacking, retrain, draws, 0) == leak(retrain, lacking, draws, 0) == {}
    assert beside_retrain(scored([0, 1], []), scored([0, 2], []), draws, 0) == {}


def test_both_models_of_a_leak_are_drawn_alike():
    """A model beside itself has no leak in any resample; a wider interval holds a narrower one."""
    rng = np.random.default_rng(0)
    one, other = (scored(rng.normal(size=30).tolist(), rng.normal(size=40).tolist()) for _ in range(2))
    same = leak(one, one, Measure(bootstrap=100), 3)
    assert same == {"privacy_leak": 0, "privacy_leak_low": 0, "privacy_leak_high": 0}
    wide, narrow = (leak(one, other, Measure(bootstrap=200, confidence=c), 3) for c in (0.99, 0.5))
    ends = [
        of[f"privacy_leak_{end}"]
        for end, of in (("low", wide), ("low", narrow), ("high", narrow), ("high", wide))
    ]
    assert ends == sorted(ends) and len({*ends}) == 4
    assert narrow["privacy_leak_low"] < wide["privacy_leak"] < narrow["privacy_leak_high"]
    assert leak(one, other, Measure(bootstrap=200), 3) == leak(one, other, Measure(bootstrap=200), 3)


def test_what_should_be_low_is_better_where_it_is_lower():
    lower, higher = (2.0, 3.0, 4.0), (2.4, 3.41, 4.39)
    seeds = {
        run: {s: {"perplexity": v} for s, v in enumerate(of)} for run, of in (("a", lower), ("b", higher))
    }
    found = better(seeds, ["a", "b"], [Column("perplexity", "", "lower")], 0.05)
    assert found == {"a": {"perplexity": ["b"]}, "b": {"perplexity": []}}


def test_truth_ratios_are_those_of_the_forget_set_or_of_probes_named_after_it():
    sets = np.array(["forget", "forget", "forget_perturbed", "retain", "test"])
    ratios = np.array([0.1, np.nan, 0.3, 0.4, 0.5])
    assert truth_ratios({"sets": sets, "log_truth_ratio": ratios}).tolist() == [0.1]
    none = np.where(sets == "forget", np.nan, ratios)
    assert truth_ratios({"sets": sets, "log_truth_ratio": none}).tolist() == [0.3]
    masked = np.ma.array(ratios, mask=[True, False, False, False, False])
    assert truth_ratios({"sets": sets, "log_truth_ratio": masked}).tolist() == [0.3]
    assert len(truth_ratios({"sets": sets})) == 0


def test_forget_quality_compares_the_two_models():
    sets = np.repeat(["forget", "test"], [40, 3])
    own, retrain, alike = (
        {"sets": sets, "log_truth_ratio": np.arange(43.0) + shift} for shift in (0, 100, 0.5)
    )
    near, far = (beside_retrain(own, other, Measure(), 0) for other in (alike, retrain))
    assert near.keys() == {"forget_quality", "forget_quality_n"} and near["forget_quality_n"] == 40
    assert far["forget_quality"] < 1e-9 < 0.9 < near["forget_quality"]
    assert expected_quality(own, [alike, retrain])["forget_quality"] == pytest.approx(
        near["forget_quality"] / 2
    )


def test_ratios_are_compared_as_such_and_told_in_their_units():
    """Perplexities 4 and 16 beside 2 and 4: twice and four times as many, on average 2^1.5; means are geometric."""
    numbers = {"retrain": {0: {"perplexity_test": 2.0}, 1: {"perplexity_test": 4.0}}}
    numbers["icu"] = {0: {"perplexity_test": 4.0}, 1: {"perplexity_test": 16.0}}
    found = summaries(numbers, 0.95)["icu"]["perplexity_test"]
    assert found["mean"] == pytest.approx(8)
    assert found["sd"] == pytest.approx(8 * math.log(4) / math.sqrt(2))  # of logarithms that are ln 4 apart
    beside, gap = math.sqrt(8), found["gap"]
    assert gap["mean"] == gap["distance"] == pytest.approx(8 - beside)
    assert gap["sd"] == pytest.approx(beside * math.log(2) / math.sqrt(2))
    reach = scipy.stats.t.ppf(0.975, 1) * math.log(2) / 2
    ends = [beside * math.expm1(1.5 * math.log(2) + side * reach) for side in (-1, 1)]
    assert [gap["low"], gap["high"]] == pytest.approx(ends) and not gap["excludes_zero"]


def fixed_models(transform=lambda value: value, name="a"):
    """Two retrained models, 0 and 2, that are the same in both seeds, and runs of 1 and 3."""

    def seeds(*values):
        return {seed: {name: transform(value)} for seed, value in enumerate(values)}

    return {"retrain": seeds(0.0, 0.0), "icu": seeds(1.0, 3.0)}, {"retrain-2": seeds(2.0, 2.0)}


def test_retrained_models_that_are_the_same_in_all_seeds_are_looked_at_once():
    """The spread is that of 0 and 2, variance 2 with 1 degree; of two runs and of two models means hold half each."""
    numbers, extra = fixed_models()
    found = summaries(numbers, 0.95, extra, fixed=True)
    half = 12.706205 * math.sqrt(2 / 2 + 2 / 2)  # t with 1 degree of freedom, from tables
    expected = {"mean": 1, "sd": math.sqrt(2), "n": 2, "distance": 1, "low": 1 - half, "high": 1 + half}
    assert found["icu"]["a"]["gap"] == pytest.approx(expected | {"excludes_zero": False})
    band = {
        "half": 12.706205 * math.sqrt(2 * 1.5),
        "degrees": 1,
    }  # of one further model beside the mean of two
    assert found["retrain"]["a"]["band"] == pytest.approx(band)
    free = summaries(numbers, 0.95, extra)
    assert free["retrain"]["a"]["band"]["degrees"] == 2 and free["icu"]["a"]["gap"]["high"] < 1 + half


def test_a_single_model_that_is_the_same_in_all_seeds_tells_no_spread():
    numbers, _ = fixed_models()
    found = summaries(numbers, 0.95, fixed=True)
    assert found["icu"]["a"]["gap"] == {"mean": 2, "sd": pytest.approx(math.sqrt(2)), "n": 2, "distance": 2}
    assert "band" not in found["retrain"]["a"]


def test_ratios_to_models_that_are_the_same_in_all_seeds():
    """The same in logarithms: geometric means e² and e, so e² − e, and the band as a share of the mean of retrain."""
    numbers, extra = fixed_models(math.exp, "perplexity_test")
    found = summaries(numbers, 0.95, extra, fixed=True)
    half = 12.706205 * math.sqrt(2)
    gap = found["icu"]["perplexity_test"]["gap"]
    assert gap["mean"] == pytest.approx(math.exp(2) - math.exp(1))
    assert gap["high"] == pytest.approx(math.exp(1) * math.expm1(1 + half))
    assert gap["low"] == pytest.approx(math.exp(1) * math.expm1(1 - half))
    band = found["retrain"]["perplexity_test"]["band"]
    assert band == {"half": pytest.approx(math.expm1(12.706205 * math.sqrt(3))), "degrees": 1}


def test_an_interval_ends_at_zero_or_beyond():
    assert bounds(0.0, 1.0)["excludes_zero"] is bounds(-1.0, 0.0)["excludes_zero"] is False
    assert bounds(0.5, 1.0) == {"low": 0.5, "high": 1.0, "excludes_zero": True}
    assert bounds(-1.0, -0.5)["excludes_zero"] is True


def test_gaps_of_a_single_seed_have_intervals_over_its_examples():
    """A model 3 above the other in each example, one that differs by chance, and a number that only one has."""
    rng = np.random.default_rng(0)
    sets, values = np.repeat(["forget"], 60), rng.normal(size=60)

    def model(up, noise, *more):
        metric = ModuleType("lethe.metrics.mine")
        metric.aggregate = lambda arrays, values, settings, seed: {
            name: float(values[name].mean()) for name in ("up", "noise", *more)
        }
        return {"sets": sets}, {metric: {"up": up, "noise": noise, "own": up}}

    own, retrain = model(values + 3, rng.normal(size=60), "own"), model(values, rng.normal(size=60))
    found = example_gaps(own, retrain, {"up", "noise", "absent"}, Measure(bootstrap=200), 0)
    assert found["up"] == {
        "low": pytest.approx(3),
        "high": pytest.approx(3),
        "excludes_zero": True,
        "by": "examples",
    }
    assert found.keys() == {"up", "noise"}
    assert found["noise"]["low"] < 0 < found["noise"]["high"] and found["noise"]["excludes_zero"] is False
    wide = example_gaps(own, retrain, {"noise"}, Measure(bootstrap=200, confidence=0.99), 0)["noise"]
    assert wide["low"] < found["noise"]["low"] and wide["high"] > found["noise"]["high"]
    other = example_gaps(own, retrain, {"noise"}, Measure(bootstrap=200), 1)["noise"]
    assert other != found["noise"]
