"""Metrics of answers beside cases worked by hand and the values of the published code, where these are at hand."""

import itertools
import json
from pathlib import Path

import numpy as np
import pytest

from lethe.metrics import (
    answer_entropy,
    answer_match,
    exact_memorization,
    forget_quality,
    lume,
    model_utility,
    privacy_leak,
    probability,
    rouge,
    truth_ratio,
)
from lethe.metrics.common import answers, attacks, sampling_bounds
from lethe.metrics.min_k import min_k
from lethe.metrics.min_k_plus import min_k_plus
from lethe.params.measure import Measure

GOLDEN = Path(__file__).parents[3] / "shared" / "golden"
MODELS = ("llama2-7b_full", "llama2-7b_retain90", "phi_full", "phi_retain90")
TOFU = {"Retain": "retain", "Real Authors": "real_authors", "Real World": "world_facts", "Forget": "forget"}
CHECKED = {"real_authors": "has options", "world_facts": "has options"}


def golden(name: str):
    file = GOLDEN / f"{name}.json"
    if not file.exists():
        pytest.skip(f"{file} is not there: the golden values lie beside the repository")
    return json.loads(file.read_text())


def scores_of(sets: dict) -> dict[str, np.ndarray]:
    """Arrays as a model's, of sets with losses of the answer, of its other wording and of wrong answers."""
    width = max(len(row["perturbed_loss"][0]) for row in sets.values())
    found = {"sets": [], "loss": [], "paraphrase_loss": [], "alternative_loss": [], "rouge_l_recall": []}
    for name, of in sets.items():
        count = len(of["answer_loss"])
        found["sets"] += [name] * count
        found["loss"] += of["answer_loss"]
        found["paraphrase_loss"] += [np.nan] * count if name in CHECKED else of["paraphrased_loss"]
        found["alternative_loss"] += [row + [np.nan] * (width - len(row)) for row in of["perturbed_loss"]]
        found["rouge_l_recall"] += of.get("rouge_l_recall", [1.0] * count)
    arrays = {name: np.array(column) for name, column in found.items()}
    loss = arrays.pop("loss")
    lines = np.column_stack([np.zeros_like(loss), -loss])  # one scored token each
    mask = np.array([[False, True]] * len(loss))
    arrays |= dict.fromkeys(("rouge_1_recall", "rouge_l_f1"), arrays["rouge_l_recall"])
    return arrays | {"logprob": lines, "mask": mask, "answered": np.ones(len(loss), bool)}


def numbers_of(scores, settings, *metrics):
    found = {}
    for metric in metrics:
        found |= metric.aggregate(scores, metric.values(scores, settings), settings, 0)
    return found


SMALL = {
    "forget": {
        "answer_loss": [0.0],
        "paraphrased_loss": [np.log(4)],
        "perturbed_loss": [[np.log(2), np.log(8)]],
    },
    "retain": {
        "answer_loss": [np.log(2)],
        "paraphrased_loss": [np.log(2)],
        "perturbed_loss": [[np.log(8)] * 2],
    },
    "real_authors": {
        "answer_loss": [np.log(2)],
        "paraphrased_loss": [0.0],
        "perturbed_loss": [[np.log(4), np.log(4)]],
    },
}


def test_probabilities_and_truth_ratios_by_hand():
    """forget: R = 4 · sqrt(1/16) = 1, arithmetic 4 · 5/16; retain: R = 1/4; options: 1/2 beside 1/4 and 1/4."""
    scores = scores_of(SMALL)
    found = numbers_of(scores, Measure(), probability, truth_ratio)
    assert found["probability_retain"] == pytest.approx(0.5)
    assert found["probability_with_options_real_authors"] == pytest.approx(0.5)
    assert found["truth_ratio_forget"] == pytest.approx(1)
    assert found["truth_ratio_retain"] == pytest.approx(3 / 4)
    assert found["truth_ratio_real_authors"] == pytest.approx(1 / 2)
    arithmetic = numbers_of(scores, Measure(truth_ratio="arithmetic"), truth_ratio)
    assert arithmetic["truth_ratio_forget"] == pytest.approx(4 / 5)  # 1 / (4 · 5/16)
    share = numbers_of(scores, Measure(truth_ratio="knowledge"), truth_ratio)
    assert share["truth_ratio_forget"] == pytest.approx(1 / 2)
    assert share["truth_ratio_retain"] == pytest.approx(4 / 5)


def test_truth_ratios_of_vanishing_probabilities_are_those_of_the_losses():
    """exp(-1000) is 0 in floats, and its ratio to exp(-1001) is e."""
    ratio = truth_ratio.log_truth_ratio(np.array([1001.0]), np.array([[1000.0, np.nan]]), "geometric")
    assert ratio.tolist() == [1.0] and truth_ratio.balance(ratio)[0] == pytest.approx(np.exp(-1))
    assert truth_ratio.preference(np.array([800.0])).tolist() == [0.0]


def test_model_utility_is_the_harmonic_mean_of_all_or_absent():
    scores, settings = scores_of(SMALL), Measure(utility_sets=["retain", "real_authors"])
    found = numbers_of(scores, settings, model_utility)
    assert found["model_utility"] == pytest.approx(6 / (2 + 1 + 4 / 3 + 2 + 1 + 2))
    parts = model_utility.components(scores, settings, 0)
    kinds = {
        "retain": "probability",
        "real_authors": "probability_with_options",
    }  # of other wordings, or of none
    assert parts.keys() == {
        f"{key}_{name}" for name, kind in kinds.items() for key in (kind, "rouge_l_recall", "truth_ratio")
    }
    assert numbers_of(scores, Measure(), model_utility) == {}  # world_facts is not there
    assert model_utility.harmonic_mean([0.5, 0.0]) == 0


def test_what_is_said_of_lume_by_hand():
    """All twelve are 1/2 but one, 1/4: 12 / (11 · 2 + 4); AUC 1/4 of two losses beside two, and MMLU of 1/2."""
    losses = {"forget": [1.0, 4.0], "test": [2.0, 0.5]}
    names = [*lume.SETS, *(name for name, of in losses.items() for _ in of)]
    count, last = len(names), len(lume.SETS)
    half = np.array([0.5] * last + [np.nan] * (count - last))
    half[names.index("retain_task3_answer")] = 0.25
    lines = np.zeros((count, 2))
    lines[last:, 1] = [-loss for of in losses.values() for loss in of]
    scores = {
        "sets": np.array(names), "logprob": lines, "mask": np.array([[False, True]] * count), "answer_match": half,
        "answered": np.ones(count, bool), **dict.fromkeys(rouge.NAMES, half),
    }  # fmt: skip
    found = numbers_of(scores, Measure(), lume)
    area = np.mean([[t > f for t in losses["test"]] for f in losses["forget"]])
    assert found == {"lume_task": pytest.approx(12 / 26), "lume_mia": pytest.approx(1 - 2 * abs(area - 0.5))}
    tasks = {"downstream_names": np.array(["mmlu_acc"]), "downstream_values": np.array([0.5])}
    final = numbers_of(scores | tasks, Measure(), lume)["lume_final"]
    assert final == pytest.approx((12 / 26 + 1 - 2 * abs(area - 0.5) + 0.5) / 3)
    one = {name: column[1:] if len(column) == count else column for name, column in scores.items()}
    assert numbers_of(one, Measure(), lume) == {}
    half[0] = 1.0  # one of the forget sets is still known: 1 - 1 is 0
    assert numbers_of(scores, Measure(), lume)["lume_task"] == 0


def test_answers_that_are_the_true_ones_and_their_entropy_by_hand():
    """Pairs ab, ba, ab: 1/3, 2/3; triples aba, bab: one bit."""
    found = answer_match.of_answers([" Paris\n", "It is Paris.", None], ["paris", "Paris", "x"])[
        "answer_match"
    ]
    assert found[:2].tolist() == [1, 0] and np.isnan(found[2])
    pairs = -(np.log2(1 / 3) / 3 + 2 * np.log2(2 / 3) / 3)
    assert answer_entropy.ngram_entropy("a b a b") == pytest.approx((2 / 3 * pairs + 4 / 3) / 2)
    assert answer_entropy.ngram_entropy("a a a a") == 0 and np.isnan(answer_entropy.ngram_entropy("a b"))
    assert np.isnan(answer_entropy.of_answers([None], ["x"])["answer_entropy"]).all()


def test_sets_to_forget_are_known_by_their_names():
    assert all(map(answers.is_forgotten, ("forget", "forget_perturbed", "forgotten")))
    assert not any(map(answers.is_forgotten, ("retain", "test", "unforgettable")))


def test_end_tokens_are_left_out_of_answers_alone():
    mask = np.array(
        [[False, True, True, True, False], [False, True, True, False, False], [False, True] + [False] * 3]
    )
    found = answers.without_end({"mask": mask, "ends": np.array([True, False, True])})
    assert found.sum(axis=1).tolist() == [2, 2, 1] and not found[0, 3]
    assert (answers.without_end({"mask": mask}) == mask).all()


@pytest.mark.parametrize(
    ("right", "strength"), [([1, 1, 1], 1), ([0, 1, 1], 2 / 3), ([1, 1, 0], 1 / 3), ([0, 0, 0], 1 / 3)]
)
def test_extraction_strength_of_open_unlearning_by_hand(right, strength):
    correct = np.array([[False, *map(bool, right)]])
    mask = np.array([[False, True, True, True]])
    found = exact_memorization.extraction_strength_open_unlearning(correct, mask)
    assert found[0] == pytest.approx(strength)


def test_privacy_leak_by_hand():
    assert privacy_leak.privacy_leak(1.0, 0.5) == -100 and privacy_leak.privacy_leak(0.5, 0.5) == 0
    assert privacy_leak.privacy_leak(0.3, 0.02) == pytest.approx(100 * (0.7 - 0.98) / 0.98)
    assert not np.isfinite(privacy_leak.privacy_leak(0.5, 1.0))


def test_samples_that_all_score_zero_leave_room():
    """F̂ is 1 everywhere, so the bound is ε itself; of none of n, 1 − α^(1/n)."""
    bound = sampling_bounds.expectation_bound(np.zeros((2, 128)), 0.99)
    assert bound == pytest.approx([np.sqrt(np.log(100) / 256)] * 2)
    found = sampling_bounds.proportion_bound(np.array([0, 128]), 128, 0.99)
    assert found == pytest.approx([1 - 0.01 ** (1 / 128), 1])


def test_bounds_hold_as_often_as_they_say():
    draw = np.random.default_rng(0)
    scores = draw.beta(0.5, 4, (2000, 40))
    mean, deviation = 0.5 / 4.5, np.sqrt(0.5 * 4 / (4.5**2 * 5.5))
    assert (sampling_bounds.expectation_bound(scores, 0.8) >= mean).mean() >= 0.8
    assert (sampling_bounds.deviation_bound(scores, 0.8) >= deviation).mean() >= 0.8
    hits = draw.binomial(40, 0.1, 2000)
    assert 0.8 <= (sampling_bounds.proportion_bound(hits, 40, 0.8) >= 0.1).mean() < 0.95


def test_the_bound_of_the_deviation_is_the_worst_distribution_within_the_band(monkeypatch):
    """On a grid of four points every corner of the band is tried, as by hand; 0 surely holds a sample's share of 0."""
    monkeypatch.setattr(sampling_bounds, "POINTS", 4)
    points = [0, 1 / 3, 2 / 3, 1]
    for samples in (
        [0.1, 0.1, 0.9, 0.5, 0.0] * 8,
        [0.0] * 30,
        [1.0] * 9,
        [0.4, 0.5] * 20,
        [0.0, 0.0, 0.0, 1.0] * 20,
    ):
        share = [np.mean([s <= point for s in samples]) for point in points]
        width = np.sqrt(np.log(2 / 0.2) / (2 * len(samples)))
        low = sum(1 - min(share[k + 1] + width, 1) for k in range(3)) / 3
        high = sum(1 - max(share[k] - width, 0) for k in range(3)) / 3
        worst = [max((points[k + e] - m) ** 2 for m in (low, high) for e in (0, 1)) for k in range(3)]
        squared = []
        for signs in itertools.product((-1, 1), repeat=3):
            at = [share[k] + sign * width for k, sign in enumerate(signs)]
            at = [max(at[0], 0), at[1], at[2], 1]
            squared.append(sum(worst[k] * (at[k + 1] - at[k]) for k in range(3)))
        found = sampling_bounds.deviation_bound(np.array([samples]), 0.8)
        assert found == pytest.approx(np.sqrt(max(squared))), samples


def test_forget_quality_tells_n():
    found = forget_quality.forget_quality(np.array([1.0, 2, 3]), np.array([4.0, 5, 6]))
    assert found == {"forget_quality": pytest.approx(0.1), "forget_quality_n": 3}


def test_rouge_by_hand():
    """Stems: "runs" is "running"; the end of the answer is in order, "fast" is missing."""
    recall, longest, f1 = rouge.rouge("She was running", "she runs fast")
    assert recall == pytest.approx(2 / 3) and longest == pytest.approx(2 / 3) and f1 == pytest.approx(1 / 3)
    found = rouge.of_answers(["", None, "Paris"], ["Nile", None, "Paris"])
    assert found["rouge_l_recall"].tolist()[::2] == [0, 1] and np.isnan(found["rouge_l_recall"][1])


@pytest.mark.parametrize("model", MODELS)
def test_tofu_golden(model):
    """To 1e-6; ratios of TOFU's own code, which adds 1e-10 to a denominator, to 1e-3."""
    file = golden("benchmarks/tofu")
    scores, theirs = scores_of(file["inputs"][model]), file["outputs"][model]
    shown = {"Prob.": probability, "ROUGE": rouge, "Truth Ratio": truth_ratio}
    for mean, key in (("geometric", "tofu_aggregate_eval_stat"), ("arithmetic", "tofu_utils")):
        ours = numbers_of(scores, Measure(truth_ratio=mean), *shown.values(), model_utility)
        for name, value in theirs[key].items():
            told = name.replace("Probability", "Prob.") if key == "tofu_utils" else name
            if name == "Model Utility":
                assert ours["model_utility"] == pytest.approx(value, abs=5e-4)
                continue
            set_name = next(
                mine for their, mine in TOFU.items() if told.replace("Prob.", "").strip().find(their) >= 0
            )
            kind = next(k for k in ("Prob", "ROUGE", "Truth Ratio") if k in told)
            options = kind == "Prob" and set_name in CHECKED
            column = {"Prob": "probability", "ROUGE": "rouge_l_recall", "Truth Ratio": "truth_ratio"}[kind]
            number = ours[f"{column}{'_with_options' * options}_{set_name}"]
            assert number == pytest.approx(value, abs=1e-3 if kind == "Truth Ratio" else 1e-6), name
    of_them = theirs["open_unlearning"]
    ours = numbers_of(scores, Measure(truth_ratio="knowledge"), truth_ratio)
    assert ours["truth_ratio_forget"] == pytest.approx(of_them["forget_truth_ratio_prob_mean"], abs=1e-6)
    ours = numbers_of(scores, Measure(), model_utility, truth_ratio)
    assert ours["model_utility"] == pytest.approx(of_them["model_utility"], abs=1e-6)
    for name in TOFU.values():
        assert ours[f"truth_ratio_{name}"] == pytest.approx(of_them[f"{name}_truth_ratio"], abs=1e-6)


@pytest.mark.parametrize("family", ["llama2-7b", "phi"])
def test_forget_quality_golden(family):
    file = golden("benchmarks/tofu")
    ratios = [
        truth_ratio.values(scores_of({"forget": file["inputs"][f"{family}_{kind}"]["forget"]}), Measure())
        for kind in ("full", "retain90")
    ]
    found = forget_quality.forget_quality(*(of["log_truth_ratio"] for of in ratios))
    expected = file["forget_quality_full_vs_retain90"][family]["tofu_p"]
    assert found["forget_quality"] == pytest.approx(expected, rel=1e-9) and found["forget_quality_n"] == 300


def test_forget_quality_and_privacy_leak_golden():
    for case in golden("metrics/forget_quality_tofu_privleak_muse")["cases"]:
        ratios = [
            truth_ratio.log_truth_ratio(
                np.array(of["paraphrased_loss"]), np.array(of["perturbed_loss"]), "geometric"
            )
            for of in (case["unlearned"], case["retrained"])
        ]
        found = forget_quality.forget_quality(*ratios)
        assert found["forget_quality"] == pytest.approx(case["forget_quality_tofu"], rel=1e-6)
        leak = privacy_leak.privacy_leak(case["auc_unlearned"], case["auc_retrained"])
        assert leak == pytest.approx(case["privleak_open_unlearning"], rel=1e-6)


def test_open_unlearning_golden():
    file = golden("benchmarks/open_unlearning")
    for case in file["privleak"]:
        leak = privacy_leak.privacy_leak(case["auc"], case["auc_retain"])
        assert leak == pytest.approx(case["out"], rel=1e-6, abs=1e-6)
    mean = file["harmonic_mean"]
    assert model_utility.harmonic_mean(mean["in"]) == pytest.approx(mean["out"])
    options = file["probability_with_options"]
    ours = probability.with_options(np.array(options["correct_loss"]), np.array(options["wrong_loss"]))
    assert ours.tolist() == pytest.approx(options["values"], abs=1e-6)
    ratio = file["truth_ratio"]
    found = truth_ratio.log_truth_ratio(
        np.array(ratio["correct_loss"]), np.array(ratio["wrong_loss"]), "geometric"
    )
    for function, key in (
        (truth_ratio.balance, "closer_to_1_better"),
        (truth_ratio.preference, "true_better"),
        (truth_ratio.knowledge, "prob_mean"),
    ):
        assert function(found).mean() == pytest.approx(ratio[key]["aggregate"], abs=1e-6)
    ks = file["ks_test"]
    correct, wrong = np.array(ks["retain_correct_loss"]), np.array(ks["retain_wrong_loss"])
    retain = truth_ratio.log_truth_ratio(correct, wrong, "geometric")
    assert forget_quality.forget_quality(found, retain)["forget_quality"] == pytest.approx(ks["p"], rel=1e-6)


def test_token_metrics_golden():
    tokens = golden("benchmarks/open_unlearning")["tokens"]
    logits = np.array(tokens["logits"])
    ids, lengths = np.array(tokens["input_ids"]), np.array(tokens["length"])
    log_p = np.pad(logits - np.log(np.exp(logits).sum(2, keepdims=True)), ((0, 0), (1, 0), (0, 0)))[:, :-1]
    logprob = np.take_along_axis(log_p, ids[:, :, None], 2)[:, :, 0]
    place = np.arange(ids.shape[1])
    mask = (place >= np.array(tokens["first_answer_token"])[:, None]) & (place < lengths[:, None])
    correct = (log_p.argmax(2) == ids) & mask
    scores = {"mask": mask, "ends": np.ones(len(ids), bool), "answered": np.ones(len(ids), bool)}
    bare = answers.without_end(scores)
    assert probability.token_loss(logprob, mask) == pytest.approx(np.array(tokens["avg_loss"]), abs=1e-5)
    ours = exact_memorization.values(scores | {"correct": correct}, None)
    assert ours["exact_memorization"].tolist() == pytest.approx(tokens["exact_memorization"], abs=1e-6)
    strength = ours["extraction_strength_open_unlearning"]
    assert strength.tolist() == pytest.approx(tokens["extraction_strength_as_published"], abs=1e-6)
    mu = (np.exp(log_p) * log_p).sum(2)
    sigma = np.sqrt((np.exp(log_p) * log_p**2).sum(2) - mu**2)
    assert min_k(logprob, bare, 0.4) == pytest.approx(np.array(tokens["min_k_0.4"]), abs=1e-5)
    assert min_k(logprob, bare, 0.2) == pytest.approx(np.array(tokens["min_k_0.2"]), abs=1e-5)
    found = min_k_plus(logprob, bare, mu, sigma, 0.4)
    assert found == pytest.approx(np.array(tokens["min_k_plus_plus_0.4"]), abs=1e-4)


def test_extraction_strength_golden():
    for case in golden("metrics/extraction_strength")["cases"]:
        right = np.array(
            [[False, *(a == b for a, b in zip(case["labels"], case["predictions"], strict=True))]]
        )
        mask = np.array([[False] + [True] * len(case["labels"])])
        ours = exact_memorization.values({"correct": right, "mask": mask, "answered": np.array([True])}, None)
        assert ours["exact_memorization"][0] == pytest.approx(case["exact_memorization_open_unlearning"])
        strength = ours["extraction_strength_open_unlearning"][0]
        assert strength == pytest.approx(case["extraction_strength_open_unlearning"])


def test_muse_golden():
    file = golden("benchmarks/muse")
    areas = [attacks.auc(case["forget"], case["holdout"]) for case in file["privleak_auc"]]
    assert [1 - area for area in areas] == pytest.approx(
        [c["auc_forget_holdout"] for c in file["privleak_auc"]]
    )
    for corpus, values in file["privleak"].items():
        retrained = 1 - file["retrain_auc_min40"][corpus]
        assert privacy_leak.privacy_leak(areas, retrained) == pytest.approx(np.array(values), abs=1e-8)
    said, true = zip(*((pair[0], pair[1]) for pair in file["rouge"]["pairs"]), strict=True)
    assert rouge.of_answers(said, true)["rouge_l_f1"] == pytest.approx(np.array(file["rouge"]["rougeL_f1"]))


def test_rouge_golden():
    for pair in golden("benchmarks/rouge")["pairs"]:
        ours = rouge.rouge(pair["prediction"], pair["target"])
        theirs = pair["rouge1_stem"][1], pair["rougeL_stem"][1], pair["rougeL_plain"][2]
        assert ours == pytest.approx(theirs, abs=1e-8)
    for case in golden("metrics/rouge_words_tofu")["cases"]:
        ours = rouge.rouge(case["generation"], case["ground_truth"])[:2]
        assert ours == pytest.approx((case["rouge1_recall"], case["rougeL_recall"]))


def test_sampling_bounds_golden():
    """The deviation's band was passed twice alpha, as the authors' notebook does; it holds with so much less."""
    for case in golden("benchmarks/probabilistic")["cases"]:
        scores, alpha = np.array([case["scores"]]), case["alpha_one_sided"]
        ours = sampling_bounds.expectation_bound(scores, 1 - alpha)[0]
        assert ours == pytest.approx(case["expectation"][2], abs=1e-9)
        ours = sampling_bounds.deviation_bound(scores, 1 - 2 * alpha)[0]
        assert ours == pytest.approx(case["std"][2], abs=1e-9)
