"""Comparisons of made-up studies: what of each choice of seeds, retrained models and variants is in the file."""

import json
import logging
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import t
from synthetic import generation_scores

from lethe import compare as compare_file
from lethe.compare import compare, existing, values_of
from lethe.evaluation.bootstrap import intervals
from lethe.evaluation.comparing import beside_retrain, expected_quality, mean_roc
from lethe.evaluation.numbers import modules
from lethe.params.measure import Measure
from lethe.system.errors import InputError

SIZES = {"forget": 10, "test": 14, "holdout": 12}
# run -> min_k_auc, loss_forget, memorization_accuracy_retain, completion_rouge_l_forget, of seeds 1 and 2
RUNS = {
    "original": [(0.90, 0.80), (1.0, 1.1), (0.9, 0.9), (0.9, 0.7)],
    "retrain": [(0.50, 0.51), (3.0, 3.2), (0.8, 0.8), (0.2, 0.2)],
    "retrain-2": [(0.52, 0.53), (3.1, 3.1), (0.8, 0.7), (0.3, 0.2)],
    "icu": [(0.55, 0.60), (2.9, 3.0), (0.7, 0.8), (0.3, 0.3)],
    "npo": [(0.20, 0.25), (4.0, 4.1), (0.5, 0.4), (0.1, 0.1)],
    "blind": [],
}
KEYS = ("min_k_auc", "loss_forget", "memorization_accuracy_retain", "completion_rouge_l_forget")
CFG = {
    "task": "generation",
    "seeds": [1, 2],
    "runs": ["original", "retrain", "icu", "npo"],
    "methods": ["icu", "npo"],
    "extra_retrains": ["retrain-2"],
    "variants": [],
    "shadow_seeds": [],
    "measure": {"bootstrap": 100},
    "claims": {"primary": ["min_k_auc", "loss_forget"]},
    "confidence": 0.9,
    "returned": 0.5,
}


def columns(run: str, seed: int, sizes=None) -> dict[str, np.ndarray]:
    """Losses of retrain, on the forget set another constant, of original and icu one up and one down in turn."""
    sizes = sizes or SIZES
    sets = np.repeat(list(sizes), list(sizes.values()))
    loss = np.random.default_rng(seed).normal(3, 1, len(sets))
    forget = sets == "forget"
    loss[forget] += {"original": -2.0, "icu": -0.1, "npo": 1.0}.get(run, 0.0)
    if run in ("original", "icu"):
        loss[forget] += np.resize([1.0, -1.0], forget.sum())
    ids = np.array([f"{name}{number}" for number, name in enumerate(sets)])
    return {"id": ids, "set": sets, "loss": loss, "min_k": loss + 0.5}


def write(folder: Path, run: str, seed: int, numbers: dict, values: dict | None) -> None:
    place = folder / run / f"seed{seed}"
    place.mkdir(parents=True, exist_ok=True)
    (place / "metrics.json").write_text(json.dumps(numbers))
    if values is not None:
        pd.DataFrame(values).to_parquet(place / "metrics.parquet")


def write_all(folder: Path, of=columns, runs=None) -> None:
    for run, numbers in (runs or RUNS).items():
        for place, seed in enumerate(CFG["seeds"]):
            found = {key: values[place] for key, values in zip(KEYS, numbers, strict=False)}
            write(folder, run, seed, found or {"blind_auc": 0.5}, of(run, seed))


def compared(folder: Path, scores: Path | None = None, **changes) -> dict:
    compare(CFG | changes, folder, scores or folder / "not read", folder / "out")
    return json.loads((folder / "out/comparison.json").read_text())


@pytest.fixture
def made(tmp_path):
    write_all(tmp_path)
    return tmp_path


FIXED = {"retrain": [(value, value) for value, _ in RUNS["retrain"]]}
FIXED |= {"retrain-2": [(value, value) for value, _ in RUNS["retrain-2"]]}


def test_what_is_compared_over_seeds(made, caplog):
    with caplog.at_level(logging.INFO, "lethe.compare"):
        found = compared(made)
    assert caplog.messages == ["5 runs of 2 seeds compared"]
    assert found["runs"].keys() == {"original", "retrain", "icu", "npo", "blind"}
    assert found["confidence"] == 0.9 and found["reach"] == pytest.approx(t.ppf(0.95, 1) / math.sqrt(2))
    shown = [(column["key"], column["good"]) for column in found["columns"]]
    assert shown == [
        ("min_k_auc", "retrain"),
        ("memorization_accuracy_retain", "higher"),
        ("loss_forget", "retrain"),  # which the task does not show, and the study declared
    ]
    assert [column["key"] for column in found["memory"]] == ["completion_rouge_l_forget"]
    assert found["better"].keys() == {"icu", "npo"}
    assert found["better"]["npo"].keys() == {"min_k_auc", "loss_forget"}
    assert found["ratios"] == found["robustness"] == []


def test_leads_take_two_methods(made):
    assert "better" not in compared(made, methods=["icu"])


def error(*groups):
    """Of a gap, two seeds of two retrained models: variances within them, and of means of one and of two models."""
    return math.sqrt(np.mean([np.var(group, ddof=1) for group in groups]) * (1 + 1 / 2) / 2)


EXAMPLES = math.sqrt(2 * (10 / 9) / 10) / 2  # of differences one up and one down in turn, in two seeds


def test_verdicts_have_the_errors_of_training_and_of_examples(made):
    found = compared(made)["verdicts"]
    auc, loss = error((0.50, 0.52), (0.51, 0.53)), error((3.0, 3.1), (3.2, 3.1))
    assert loss < EXAMPLES
    for run, errors in (("npo", (auc, loss)), ("icu", (auc, EXAMPLES)), ("original", (auc, EXAMPLES))):
        assert [found[run][key]["error"] for key in CFG["claims"]["primary"]] == pytest.approx(errors), run
        assert found[run]["min_k_auc"]["degrees"] == 2
    gap = found["icu"]["loss_forget"]["gap"]
    assert gap == pytest.approx(np.mean([2.9 - 3.05, 3.0 - 3.15]))
    assert found.keys() == {"icu", "npo", "original"}


def test_losses_and_attacks_have_the_same_errors(made):
    found = compared(made)
    for run, gap, spread in (("npo", 0.95, error((3.0, 3.1), (3.2, 3.1))), ("icu", -0.15, EXAMPLES)):
        assert found["losses"][run]["paired"] == pytest.approx(2 * t.sf(abs(gap) / spread, 2)), run
    strongest = found["strongest"]["npo"]
    half = t.ppf(0.95, 2) * error((0.50, 0.52), (0.51, 0.53))
    assert (strongest["attack"], strongest["attacks"]) == ("min_k", 1)
    assert strongest["gap"] == pytest.approx(0.225 - 0.515)
    assert strongest["high"] - strongest["gap"] == pytest.approx(half)
    assert found["strongest"].keys() == {"original", "retrain", "icu", "npo"}


def test_references_that_are_the_same_in_all_seeds_are_looked_at_once(tmp_path):
    """Two models with one degree of freedom, of which and of two runs means hold half the variance each."""
    write_all(tmp_path, lambda run, seed: columns(run, 1), RUNS | FIXED)
    found, free = compared(tmp_path, fixed=True), compared(tmp_path)
    spread, loss = np.std([0.50, 0.52], ddof=1), np.std([3.0, 3.1], ddof=1)
    for run in ("icu", "npo", "original"):
        entry = found["verdicts"][run]["min_k_auc"]
        assert (entry["degrees"], entry["error"]) == (1, pytest.approx(spread))
        assert free["verdicts"][run]["min_k_auc"]["degrees"] == 2
    gap = found["runs"]["icu"]["min_k_auc"]["gap"]
    assert gap["high"] - gap["mean"] == pytest.approx(t.ppf(0.95, 1) * spread)
    strongest = found["strongest"]["npo"]
    assert strongest["high"] - strongest["gap"] == pytest.approx(t.ppf(0.95, 1) * spread)
    assert found["losses"]["npo"]["paired"] == pytest.approx(2 * t.sf(1.0 / loss, 1))
    assert (free["beyond"], found["beyond"]) == (["npo"], [])  # p of 0.03 is above 5 % over two methods


def test_primary_metrics_that_were_not_declared_are_those_of_the_task(made):
    found = compared(made, claims={})
    assert found["claims"]["primary"] == [
        "transfer_auc", "memorization_accuracy_excess", "memorization_accuracy_retain"
    ]  # fmt: skip
    for run in ("icu", "npo", "original"):
        assert found["verdicts"][run].keys() == {"memorization_accuracy_retain"}
    assert found["better"]["npo"].keys() == {"memorization_accuracy_retain"}


def test_what_is_pushed_beyond_takes_eight_texts_in_every_seed(tmp_path):
    def sized(*sizes):
        write_all(tmp_path, lambda run, seed: columns(run, seed, SIZES | {"forget": sizes[seed - 1]}))
        return compared(tmp_path)["beyond"]

    assert sized(8, 8) == ["npo"]
    assert sized(8, 7) == sized(7, 8) == sized(7, 7) == []
    assert sized(8, 9) == ["npo"]
    assert compared(tmp_path, claims=CFG["claims"] | {"level": 1e-4})["beyond"] == []


def test_without_a_retrained_model_there_is_nothing_to_be_beside(made):
    for folder in ("retrain", "retrain-2"):
        for file in (made / folder).rglob("*.*"):
            file.unlink()
    found = compared(made, runs=["original", "icu", "npo"], extra_retrains=[])
    assert [column["key"] for column in found["columns"]] == [
        "min_k_auc", "memorization_accuracy_retain", "loss_forget"
    ]  # fmt: skip
    assert [column["key"] for column in found["memory"]] == ["completion_rouge_l_forget"]
    assert not [
        run for run, of in found["runs"].items() for entry in of.values() if {"gap", "band"} & {*entry}
    ]
    assert found["losses"] == {} and found["beyond"] == [] and found["strongest"] == {}
    assert found["attack"]["roc"].keys() == {"original", "icu", "npo"}


def test_what_retrain_lacks_is_no_column(made):
    """What is told of the retrained models is told of all; a probe is one more column."""
    for seed in (1, 2):
        for run in CFG["runs"]:
            more = {"next_token_accuracy_poems": 0.5} | ({"deep_recall": 0.5} if run != "retrain" else {})
            file = made / run / f"seed{seed}/metrics.json"
            file.write_text(json.dumps(json.loads(file.read_text()) | more))
    found = compared(made, probes=["poems"])
    assert [column["key"] for column in found["columns"]] == [
        "min_k_auc", "memorization_accuracy_retain", "next_token_accuracy_poems", "loss_forget"
    ]  # fmt: skip
    assert found["columns"][2]["label"] == "next token, poems"


def test_variants_are_compared_within_themselves(made):
    """Relearning gives back to icu what it had, and to retrain nothing: nearly all of 0.9 − 0.2 is back."""
    rouge = {"original": (0.9, 0.9), "retrain": (0.2, 0.2), "icu": (0.9, 0.88), "npo": (0.2, 0.2)}
    for seed in (1, 2):
        write(made, "base", seed, {"min_k_auc": 0.5}, columns("base", seed))
        for run, values in rouge.items():
            numbers = {"completion_rouge_l_forget": values[seed - 1], "min_k_auc": values[seed - 1]}
            write(made, f"{run}+relearn-5", seed, numbers, None)
    found = compared(made, variants=["relearn-5"], runs=["base", *CFG["runs"]])
    variants = {run for run in found["runs"] if "+" in run}
    assert variants == {f"{run}+relearn-5" for run in rouge} and "icu" in found["runs"]
    entry = found["runs"]["icu+relearn-5"]["min_k_auc"]
    assert entry["mean"] == pytest.approx(0.89) and entry["gap"]["mean"] == pytest.approx(0.69)
    assert entry["gap"]["high"] - 0.69 == pytest.approx(t.ppf(0.95, 1) * 0.01)
    plain, relearnt = found["robustness"]
    assert (plain["variant"], relearnt["variant"]) == ("as it is", "relearn-5")
    assert relearnt["runs"]["npo"] == {"verdict": "survives", "returned": 0}
    assert relearnt["runs"]["icu"] == {"verdict": "undone", "returned": pytest.approx(0.69 / 0.7)}
    (ratio,) = found["ratios"]
    assert ratio["test"] == "relearn" and ratio["runs"].keys() == {"icu", "npo"}
    nearly = compared(made, variants=["relearn-5"], returned=0.99)["robustness"][1]
    assert nearly["runs"]["icu"]["verdict"] == "open"


def test_numbers_beside_retrain_are_those_of_the_same_seed(tmp_path):
    """Leak and forget quality of every run, and of a further retrained model what is to be expected."""

    def more(run, seed):
        found = columns(run, seed)
        rng = np.random.default_rng([len(run), seed])
        shift = {"original": 3.0, "npo": 1.0}.get(run, 0.0)
        return found | {
            "min_k_40": rng.normal(size=len(found["set"])),
            "log_truth_ratio": rng.normal(size=len(found["set"])) + shift,
        }

    write_all(tmp_path, more)
    runs = compared(tmp_path)["runs"]
    settings = Measure(bootstrap=100)
    values = {run: {s: values_of(tmp_path, run, s) for s in (1, 2)} for run in RUNS if run != "blind"}
    for run in ("original", "icu", "npo"):
        expected = [beside_retrain(values[run][s], values["retrain"][s], settings, s) for s in (1, 2)]
        assert {"forget_quality", "privacy_leak", "privacy_leak_low", "privacy_leak_high"} <= {*expected[0]}
        for name in expected[0]:
            assert runs[run][name]["mean"] == pytest.approx(np.mean([of[name] for of in expected])), (
                run,
                name,
            )
    expected = [expected_quality(values["retrain"][s], [values["retrain-2"][s]]) for s in (1, 2)]
    assert runs["retrain"]["forget_quality"]["mean"] == pytest.approx(
        np.mean([of["forget_quality"] for of in expected])
    )
    assert "privacy_leak" not in runs["retrain"]
    assert "forget_quality" not in compared(tmp_path, extra_retrains=[])["runs"]["retrain"]


def test_the_transfer_attack_has_the_level_of_the_comparison(tmp_path):
    def more(run, seed):
        found = columns(run, seed)
        noise = np.random.default_rng([len(run), seed]).normal(size=(3, len(found["set"])))
        return found | dict(zip(("loss_zlib", "min_k_plus", "memorization_accuracy"), noise, strict=True))

    write_all(tmp_path, more)
    wide, narrow = (compared(tmp_path, confidence=level)["runs"]["icu"] for level in (0.9, 0.5))
    assert wide["transfer_auc"]["mean"] == narrow["transfer_auc"]["mean"]
    assert wide["transfer_auc_low"]["mean"] < narrow["transfer_auc_low"]["mean"]
    assert wide["transfer_auc_low"]["gap"]["low"]  # beside further retrained models, which are attacked, too


def test_the_curve_of_the_main_attack(tmp_path):
    """Of 14 others in the first seed and of 20 in the second, which has the smallest rate."""
    write_all(tmp_path, lambda run, seed: columns(run, seed, SIZES | {"test": 8 + 6 * seed}))
    found = compared(tmp_path)["attack"]
    assert found.keys() == {"score", "others", "smallest_rate", "roc"}
    assert (found["score"], found["others"]) == ("min_k", 14) and found["smallest_rate"] == pytest.approx(
        1 / 20
    )
    groups = []
    for seed in (1, 2):
        values = values_of(tmp_path, "icu", seed)
        groups.append(tuple(values["min_k"][values["set"] == name] for name in ("forget", "test")))
    rates = mean_roc(groups)
    assert found["roc"]["icu"]["false_positive_rates"] == pytest.approx(rates[0])
    assert found["roc"]["icu"]["true_positive_rates"] == pytest.approx(rates[1])
    assert found["roc"].keys() == {"original", "retrain", "icu", "npo"}


def test_without_the_score_or_test_examples_there_is_no_curve(tmp_path):
    def lacking(run, seed):
        return {name: values for name, values in columns(run, seed).items() if name != "min_k"}

    write_all(tmp_path, lacking)
    assert compared(tmp_path)["attack"] is None
    write_all(tmp_path, lambda run, seed: columns(run, seed, SIZES | {"test": 0}))
    assert compared(tmp_path)["attack"] is None


def test_a_file_that_is_missing_is_named(made):
    (made / "npo/seed2/metrics.parquet").unlink()
    with pytest.raises(InputError, match=r"npo/seed2/metrics\.parquet: no such file; `snakemake` makes it$"):
        compared(made)
    assert existing(made / "npo/seed1/metrics.parquet") == made / "npo/seed1/metrics.parquet"


# ------------------------------------------------------------------ a single seed


def few(seed: int, memory: float) -> dict[str, np.ndarray]:
    """Made-up scores of 90 examples."""
    scores = generation_scores(seed, memory)
    rows = np.flatnonzero(np.isin(scores["sets"], ["forget", "test", "retain", "holdout"]))[::3]
    whole = ("settings", "task", "n")
    return {name: values if name in whole else values[rows] for name, values in scores.items()}


@pytest.fixture
def single(made, monkeypatch):
    """One seed of one retrained model, with the scores."""
    monkeypatch.setattr(compare_file, "FEW_DRAWS", 9)
    found = {
        run: few(number, 0.2 * number) for number, run in enumerate(("retrain", "icu", "npo", "original"))
    }
    for run, scores in found.items():
        save(made, run, 1, scores)
    for number in range(4):  # that learnt a half of the examples, each half twice
        half = np.where(np.arange(90) % 2 == number % 2, "retain", "forget")
        save(made, "shadow", 7 + number, few(9 + number, 0.0) | {"sets": half})
    return made


def save(folder: Path, run: str, seed: int, scores: dict[str, np.ndarray]) -> None:
    file = folder / f"scores/{run}/seed{seed}/scores.npz"
    file.parent.mkdir(parents=True)
    np.savez(file, **scores)


ONE = {"seeds": [1], "extra_retrains": []}
WITH_INTERVAL = ("min_k_auc", "memorization_accuracy_retain", "loss_forget")


def test_gaps_of_a_single_seed_have_intervals_over_examples(single):
    found = compared(single, single / "scores", **ONE)
    assert found["reach"] is None and "better" not in found
    settings = Measure(confidence=0.9).model_copy(update={"bootstrap": 9})
    models = {}
    for run in ("icu", "npo", "original", "retrain"):
        with np.load(single / f"scores/{run}/seed1/scores.npz") as file:
            arrays = dict(file)
        models[run] = arrays, {m: m.values(arrays, settings) for m in modules(arrays)}
    for run in ("icu", "npo", "original"):
        table = intervals([models[run], models["retrain"]], settings, 1)
        for key in WITH_INTERVAL:
            gap = found["runs"][run][key]["gap"]
            assert (gap["low"], gap["high"]) == (table[key]["gap_low"], table[key]["gap_high"]), (run, key)
            own, retrained = (RUNS[name][KEYS.index(key)][0] for name in (run, "retrain"))
            assert gap["by"] == "examples" and gap["mean"] == pytest.approx(own - retrained)
        beside = found["runs"][run]["completion_rouge_l_forget"]["gap"]
        assert "by" not in beside and "low" not in beside  # no column


def test_a_second_retrained_model_gives_a_single_seed_its_intervals(single):
    found = compared(single, seeds=[1])  # no scores are read
    gap = found["runs"]["icu"]["min_k_auc"]["gap"]
    half = t.ppf(0.95, 1) * np.std([0.50, 0.52], ddof=1) * math.sqrt(1 + 1 / 2)
    assert gap["high"] - gap["mean"] == pytest.approx(half) and "by" not in gap


def test_a_single_seed_without_a_retrained_model_has_no_gap(single):
    found = compared(single, runs=["original", "icu"], methods=["icu"], **ONE)
    assert "gap" not in found["runs"]["icu"]["min_k_auc"]


def test_scores_that_are_missing_are_named(single):
    (single / "scores/icu/seed1/scores.npz").unlink()
    with pytest.raises(InputError, match=r"icu/seed1/scores\.npz: no such file"):
        compared(single, single / "scores", **ONE)
    with pytest.raises(InputError, match=r"shadow/seed11/scores\.npz: no such file"):
        compared(single, single / "scores", shadow_seeds=[7, 11], **ONE)


def test_attacks_by_shadow_models_are_drawn_with_the_examples(single):
    """Numbers of which the arrays are those of the shadow models; without these they keep their gap alone."""
    for run in ("original", "retrain", "icu", "npo"):
        file = single / run / "seed1/metrics.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | {"lira_auc": 0.5}))
    without = compared(single, single / "scores", **ONE)["runs"]["icu"]["lira_auc"]["gap"]
    found = compared(single, single / "scores", shadow_seeds=[7, 8, 9, 10], **ONE)["runs"]["icu"]["lira_auc"][
        "gap"
    ]
    assert "by" not in without and found["by"] == "examples" and found["low"] < found["high"]


def test_non_members_that_match_are_drawn_apart(single):
    """As `measure.matched` chose them, so that the interval is another."""
    plain, matched = (
        compared(single, single / "scores", measure={"bootstrap": 100, "matched": matched}, **ONE)
        for matched in (False, True)
    )
    gaps = [found["runs"]["original"]["min_k_auc"]["gap"] for found in (plain, matched)]
    assert gaps[0]["low"] != gaps[1]["low"]
