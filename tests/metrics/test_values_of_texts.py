"""What metrics of texts, and of their embeddings, write of a whole model, by their names."""

import math

import numpy as np
import pytest
from test_values_and_numbers import LABELS, SETS, SETTINGS, P, classified

from lethe.metrics import (
    attack,
    exact_memorization,
    extraction_likelihood,
    extraction_strength,
    latent_space,
    loss,
    loss_zlib,
    memorization_accuracy,
    min_k,
    min_k_plus,
    perplexity,
    privacy_leak,
    probability,
)  # fmt: skip
from lethe.metrics.common.attacks import auc, membership

MASK = np.ones((8, 5), bool)
MASK[:, 0] = False
MASK[3, 4] = False


def told(**more) -> dict[str, np.ndarray]:
    """Eight texts of four scored tokens, one of three."""
    rng = np.random.default_rng(5)
    found = {"sets": SETS, "mask": MASK, "logprob": np.where(MASK, -rng.gamma(2, 1, (8, 5)), np.nan)}
    found |= {"mu": rng.normal(-3, 1, (8, 5)), "sigma": rng.uniform(1, 2, (8, 5))}
    found |= {"zlib_bytes": rng.integers(20, 40, 8), "correct": rng.random((8, 5)) < 0.6}
    return found | {"answered": SETS != "test"} | more


def of_tokens(scores, formula) -> np.ndarray:
    """A formula of the log-probabilities, means and deviations of each text's scored tokens."""
    rows = zip(
        scores["logprob"], scores["mu"], scores["sigma"], scores["mask"], scores["zlib_bytes"], strict=True
    )
    return np.array([formula(p[m], mu[m], sigma[m], size) for p, mu, sigma, m, size in rows])


HALF = SETTINGS.model_copy(update={"min_k": 0.5})  # two of four tokens, one of three
TEXT_SCORES = {
    loss: ("loss", lambda p, mu, sigma, size: -p.mean()),
    loss_zlib: ("loss_zlib", lambda p, mu, sigma, size: -p.mean() / size),
    min_k: ("min_k", lambda p, mu, sigma, size: -np.sort(p)[: len(p) // 2].mean()),
    min_k_plus: ("min_k_plus", lambda p, mu, sigma, size: -np.sort((p - mu) / sigma)[: len(p) // 2].mean()),
}


@pytest.mark.parametrize("metric", TEXT_SCORES)
def test_scores_of_texts_are_attacks(metric):
    name, formula = TEXT_SCORES[metric]
    scores = told()
    expected = of_tokens(scores, formula)
    values = metric.values(scores, HALF)
    assert values == {name: pytest.approx(expected)}
    found = metric.aggregate(scores, values, HALF, 0)
    attacked = membership(name, expected, scores, HALF)
    means = {f"loss_{of}": expected[of == SETS].mean() for of in np.unique(SETS)} if metric is loss else {}
    assert found == pytest.approx(attacked | means) and f"{name}_auc" in attacked


def test_the_loss_is_that_of_the_task_where_it_keeps_one():
    scores = {"sets": SETS, "loss": np.arange(8, dtype=np.float32), "logits": np.log(P), "labels": LABELS}
    found = loss.values(scores, SETTINGS)["loss"]
    assert found.tolist() == [*range(8)] and found.dtype == np.float64
    del scores["loss"]
    assert loss.values(scores, SETTINGS)["loss"] == pytest.approx(
        [-math.log(P[k, y]) for k, y in enumerate(LABELS)]
    )


def test_the_score_of_the_leak_is_of_40_percent_and_of_the_text_alone():
    """Of four tokens one; an end token is none that a writer wrote."""
    scores = told()
    expected = of_tokens(scores, lambda p, mu, sigma, size: -p.min())
    values = privacy_leak.values(scores, SETTINGS)
    assert values == {"min_k_40": pytest.approx(expected)}
    assert privacy_leak.aggregate(scores, values, SETTINGS, 0) == {
        "min_k_40_auc": auc(expected[SETS == "forget"], expected[SETS == "test"])
    }
    apart = privacy_leak.aggregate(scores, {"min_k_40": np.where(SETS == "forget", 0.0, 1.0)}, SETTINGS, 0)
    assert apart == {"min_k_40_auc": 1}
    untested = scores | {"sets": np.where(SETS == "test", "retain", SETS)}
    assert privacy_leak.aggregate(untested, values, SETTINGS, 0) == {}
    scores["ends"] = np.ones(8, bool)
    shorter = MASK.copy()
    shorter[[0, 1, 2, 4, 5, 6, 7], 4] = shorter[3, 3] = False
    expected = of_tokens(scores | {"mask": shorter}, lambda p, mu, sigma, size: -p.min())
    assert privacy_leak.values(scores, SETTINGS) == {"min_k_40": pytest.approx(expected)}


def test_the_attack_reads_four_scores_and_learns_on_what_it_knows():
    texts, labels = told(), classified()
    features = {
        "text": np.stack([of_tokens(texts, formula) for _, formula in TEXT_SCORES.values()], axis=1),
        "class": attack.attack_features(np.log(P), LABELS),
    }
    assert features["class"][:, 0] == pytest.approx([-math.log(P[k, y]) for k, y in enumerate(LABELS)])
    settings = HALF.model_copy(update={"attack_penalty": 0.3})
    for scores, kind in ((texts, "text"), (labels, "class")):
        expected = attack.attack_score(features[kind], SETS, 0.3)
        values = attack.values(scores, settings)
        assert values == {"attack": pytest.approx(expected)}
        found = attack.aggregate(scores, values, settings, 0)
        assert found == membership("attack", values["attack"], scores, settings, threshold=0.0)
        for missing in ("retain", "holdout"):
            fewer = scores | {"sets": np.where(missing == SETS, "test", SETS)}
            assert attack.values(fewer, settings) == {} == attack.aggregate(fewer, {}, settings, 0)
    known = labels | {"sets": np.where(np.isin(SETS, ["forget", "retain"]), "retain", "holdout")}
    assert attack.values(known, settings).keys() == {"attack"}, "these two sets are enough"
    assert attack.values({"sets": SETS, "loss": np.ones(8)}, settings) == {}


def test_the_attack_on_tagged_texts_reads_means_over_their_tags():
    tagged = {"sets": np.array(["retain", "holdout", "retain", "holdout"]), "tags": LABELS.reshape(4, 2)}
    tagged["logits"] = np.log(P).reshape(4, 2, 3)
    features = attack.attack_features(np.log(P), LABELS).reshape(4, 2, 4).mean(axis=1)
    expected = attack.attack_score(features, tagged["sets"], SETTINGS.attack_penalty)
    assert attack.values(tagged, SETTINGS) == {"attack": pytest.approx(expected)}


def test_memorization_is_a_mean_an_excess_and_an_attack():
    scores = told()
    right = np.array([row[m].mean() for row, m in zip(scores["correct"], MASK, strict=True)])
    values = memorization_accuracy.values(scores, SETTINGS)
    assert values == {"memorization_accuracy": pytest.approx(right)}
    found = memorization_accuracy.aggregate(scores, values, SETTINGS, 0)
    means = {f"memorization_accuracy_{of}": right[of == SETS].mean() for of in np.unique(SETS)}
    means["memorization_accuracy_excess"] = right[SETS == "forget"].mean() - right[SETS == "test"].mean()
    assert found == pytest.approx(means | membership("memorization_accuracy", 1 - right, scores, SETTINGS))


def test_perplexity_and_accuracy_are_of_all_tokens_of_a_set():
    scores = told()
    assert perplexity.values(scores, SETTINGS) == {}
    expected = {}
    for of in np.unique(SETS):
        here = MASK & (of == SETS)[:, None]
        expected[f"perplexity_{of}"] = math.exp(-scores["logprob"][here].mean())
        expected[f"next_token_accuracy_{of}"] = scores["correct"][here].mean()
    assert perplexity.aggregate(scores, {}, SETTINGS, 0) == pytest.approx(expected)


def test_strength_is_of_every_text_and_what_open_unlearning_measures_of_answers():
    """Right to the end are 2 of 4 tokens, none, all 4: of 5, of 4 and of 5 places, or of the tokens."""
    mask = np.array(
        [[False, True, True, True, True], [False, True, True, True, False], [False, True, True, True, True]]
    )
    correct = np.array([[1, 1, 0, 1, 1], [1, 1, 1, 0, 1], [0, 1, 1, 1, 1]], bool)
    scores = {"sets": np.array(["forget", "test", "test"]), "mask": mask, "correct": correct}
    values = extraction_strength.values(scores, SETTINGS)
    assert values == {"extraction_strength": pytest.approx([2 / 5, 0, 4 / 5])}
    assert extraction_strength.aggregate(scores, values, SETTINGS, 0) == {
        "extraction_strength_forget": pytest.approx(0.4), "extraction_strength_test": pytest.approx(0.4)
    }  # fmt: skip
    scores["answered"] = np.array([True, True, False])
    values = exact_memorization.values(scores, SETTINGS)
    expected = {"exact_memorization": [3 / 4, 2 / 3], "extraction_strength_open_unlearning": [2 / 4, 1 / 3]}
    assert values.keys() == expected.keys()
    for name, of in expected.items():
        assert values[name].compressed() == pytest.approx(of) and values[name].mask.tolist() == [
            False,
            False,
            True,
        ]
    found = exact_memorization.aggregate(scores, values, SETTINGS, 0)
    means = {f"{name}_{s}": of[k] for name, of in expected.items() for k, s in enumerate(("forget", "test"))}
    assert found == pytest.approx(means)


def test_probabilities_of_answers_and_beside_wrong_ones():
    scores = told(alternative_loss=np.full((8, 2), np.nan))
    scores["alternative_loss"][0] = [1.0, np.nan]
    right = np.exp(scores["logprob"][0, 1:].mean())
    values = probability.values(scores, SETTINGS)
    assert values.keys() == {"probability", "probability_with_options"}
    assert values["probability"].mask.tolist() == (SETS == "test").tolist()
    assert values["probability"][0] == pytest.approx(right)
    assert values["probability_with_options"].compressed() == pytest.approx([right / (right + math.exp(-1))])
    found = probability.aggregate(scores, values, SETTINGS, 0)
    assert found["probability_with_options_forget"] == pytest.approx(right / (right + math.exp(-1)))
    assert found["probability_forget"] == pytest.approx(values["probability"][[0, 4]].mean())


def test_extraction_is_of_what_was_decoded():
    scores = {
        "sets": np.array(["forget", "forget", "test", "test"]), "extracted": np.array([True, True, False, False]),
        "n": np.array([3, 10]), "extraction_likelihood": np.array([[0.5, 0.1], [0.25, 0.3], [9, 9], [9, 9]]),
    }  # fmt: skip
    values = extraction_likelihood.values(scores, SETTINGS)
    assert values.keys() == {"extraction_likelihood_3", "extraction_likelihood_10"}
    scores["margin"] = np.array([0.2, 0.1, 0.0, 0.0])
    values = extraction_likelihood.values(scores, SETTINGS)
    assert {name: column.tolist() for name, column in values.items()} == {
        "extraction_likelihood_3": [0.5, 0.25, None, None],
        "extraction_likelihood_10": [0.1, 0.3, None, None],
        "extraction_margin": [0.2, 0.1, None, None],
    }
    assert extraction_likelihood.aggregate(scores, values, SETTINGS, 0) == {
        "extraction_likelihood_3_forget": pytest.approx(0.375), "extraction_likelihood_10_forget": pytest.approx(0.2),
        "extraction_margin_smallest": 0.1,
    }  # fmt: skip
    nothing = scores | {"extracted": np.zeros(4, bool)}
    assert (
        extraction_likelihood.aggregate(nothing, extraction_likelihood.values(nothing, None), None, 0) == {}
    )


def test_the_latent_space_has_a_mean_of_each_judged_set():
    """In a plane: class 0 lies at 0 degrees, class 1 at 90; a text to forget of class 0 at 60 is nearer to class 1."""
    angles = np.radians([0, 0, 90, 90, 60, 0, 45])
    scores = {
        "embeddings": 3 * np.stack([np.cos(angles), np.sin(angles)], axis=1),
        "labels": np.array([0, 0, 1, 1, 0, 0, 1]),
        "sets": np.array(["retain"] * 4 + ["forget", "test", "validation"]),
    }
    values = latent_space.values(scores, SETTINGS)
    assert values.keys() == {"centroid_distance", "silhouette", "probe_correct"}
    found = latent_space.aggregate(scores, values, SETTINGS, 0)
    a, b = 1 - 0.5, 1 - math.cos(math.radians(30))
    assert found["centroid_distance_forget"] == pytest.approx(a)
    assert found["silhouette_forget"] == pytest.approx((b - a) / a)
    assert (found["probe_accuracy_forget"], found["probe_accuracy_test"]) == (0, 1)
    judged = {name.rpartition("_")[2] for name in found}
    assert judged <= {*latent_space.JUDGED} and {"forget", "test"} <= judged and "validation" not in judged
    single = scores | {"labels": np.zeros(7, int)}
    assert latent_space.values(single, SETTINGS).keys() == {"centroid_distance"}
