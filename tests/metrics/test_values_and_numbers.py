"""What each metric writes of a whole model, by its name: one value per example, and numbers of the sets.

The formulas have tests of their own; here it is which arrays a metric reads, and what it calls what it finds.
"""

import math

import numpy as np
import pytest

from lethe.metrics import (
    accuracy,
    answer_entropy,
    calibration_error,
    confidence,
    downstream_accuracy,
    entity_f1,
    entropy,
    gate,
    gradient_norm,
    macro_f1,
    margin,
    modified_entropy,
    reference_loss,
    token_accuracy,
)  # fmt: skip
from lethe.metrics.common.attacks import membership
from lethe.params.measure import Measure

SETTINGS = Measure(bootstrap=100, false_positive_rates=[0.5, 0.3], calibration_bins=2, confidence=0.9)
SETS = np.array(["forget", "retain", "holdout", "test", "forget", "retain", "holdout", "test"])
P = np.array(
    [
        [0.7, 0.2, 0.1], [0.6, 0.3, 0.1], [0.3, 0.4, 0.3], [0.2, 0.3, 0.5],
        [0.25, 0.25, 0.5], [0.1, 0.8, 0.1], [0.5, 0.4, 0.1], [0.4, 0.35, 0.25],
    ]
)  # fmt: skip
LABELS = np.array([0, 0, 1, 1, 1, 1, 2, 0])


def classified(**more) -> dict[str, np.ndarray]:
    return {"sets": SETS, "logits": np.log(P), "labels": LABELS} | more


def others(p, label):
    return [(c, q) for c, q in enumerate(p) if c != label]


SCORES = {  # name -> what it is of the probabilities p of one example, and the sign with which a member scores lower
    confidence: ("confidence", lambda p, y: max(p), -1),
    entropy: ("entropy", lambda p, y: -sum(q * math.log(q) for q in p), 1),
    margin: ("margin", lambda p, y: math.log(p[y]) - math.log(max(q for _, q in others(p, y))), -1),
    modified_entropy: (
        "modified_entropy",
        lambda p, y: -(1 - p[y]) * math.log(p[y]) - sum(q * math.log(1 - q) for _, q in others(p, y)),
        1,
    ),
}


@pytest.mark.parametrize("metric", SCORES)
def test_scores_of_classifiers_are_attacks(metric):
    name, formula, sign = SCORES[metric]
    scores = classified()
    expected = np.array([formula(p, y) for p, y in zip(P.tolist(), LABELS.tolist(), strict=True)])
    values = metric.values(scores, SETTINGS)
    assert values == {name: pytest.approx(expected)}
    found = metric.aggregate(scores, values, SETTINGS, 0)
    assert (
        found == pytest.approx(membership(name, sign * expected, scores, SETTINGS)) and f"{name}_auc" in found
    )


@pytest.mark.parametrize("metric", SCORES)
def test_of_tagged_texts_scores_are_means_over_their_tags(metric):
    """Four texts of the eight examples, two words each, the last of which has one."""
    name, formula, _ = SCORES[metric]
    tags = LABELS.reshape(4, 2).copy()
    tags[3, 1] = -100
    scores = {"sets": SETS[:4], "logits": np.log(P).reshape(4, 2, 3), "tags": tags}
    each = [formula(p, y) for p, y in zip(P.tolist(), LABELS.tolist(), strict=True)]
    expected = [np.mean(each[0:2]), np.mean(each[2:4]), np.mean(each[4:6]), each[6]]
    assert metric.values(scores, SETTINGS) == {name: pytest.approx(expected)}


def test_accuracy_of_each_set():
    values = accuracy.values(classified(), SETTINGS)
    assert {name: column.tolist() for name, column in values.items()} == {
        "correct": [True, True, True, False, False, True, False, True]
    }
    found = accuracy.aggregate(classified(), values, SETTINGS, 0)
    assert found == {
        "accuracy_forget": 0.5,
        "accuracy_retain": 1,
        "accuracy_holdout": 0.5,
        "accuracy_test": 0.5,
    }


def test_macro_f1_of_each_set():
    """Forget: true 0 and 1, called 0 and 2, so F1 of 1, 0 and 0; holdout: true 1 and 2, called 1 and 0."""
    assert macro_f1.values(classified(), SETTINGS) == {}
    found = macro_f1.aggregate(classified(), {}, SETTINGS, 0)
    expected = {"forget": 1 / 3, "retain": 1, "holdout": 1 / 3, "test": 1 / 3}
    assert found == {f"macro_f1_{name}": pytest.approx(value) for name, value in expected.items()}


def test_calibration_error_of_each_set():
    """Bins up to 0.5 and above; forget is sure to 0.7, rightly, and to 0.5, wrongly: (0.3 + 0.5) / 2."""
    assert calibration_error.values(classified(), SETTINGS) == {}
    found = calibration_error.aggregate(classified(), {}, SETTINGS, 0)
    expected = {
        "forget": 0.4,
        "retain": 0.3,
        "holdout": abs(1 - 0.4 - 0.5) / 2,
        "test": abs(1 - 0.4 - 0.5) / 2,
    }
    assert found == {f"calibration_error_{name}": pytest.approx(value) for name, value in expected.items()}
    whole = calibration_error.aggregate(
        classified(), {}, SETTINGS.model_copy(update={"calibration_bins": 1}), 0
    )
    assert whole["calibration_error_forget"] == pytest.approx(abs(1 - 0.7 - 0.5) / 2)


def test_entropy_of_answers_where_there_are_some():
    """Four words that differ: three pairs and two triples, of log2 3 and 1 bit."""
    assert answer_entropy.ngram_entropy("a b c") == pytest.approx(1 / 3)  # two pairs, 1 bit; a triple, none
    said = answer_entropy.of_answers(["a b c d", None, "too short"], [])
    expected = (2 / 3 * math.log2(3) + 4 / 3) / 2
    assert said["answer_entropy"] == pytest.approx([expected, np.nan, np.nan], nan_ok=True)
    scores = {"sets": np.array(["forget", "forget", "retain"])} | said
    values = answer_entropy.values(scores, SETTINGS)
    assert values["answer_entropy"].mask.tolist() == [False, True, True]
    assert answer_entropy.aggregate(scores, values, SETTINGS, 0) == {
        "answer_entropy_forget": pytest.approx(expected)
    }


# ------------------------------------------------------------------ tagged text

CLASSES = np.array(["O", "B-PER", "I-PER"])
TAGS = np.array([[1, 2, 0], [0, 1, -100], [1, 0, 0]])
CALLED = np.array([[1, 2, 1], [0, 0, 2], [1, 0, 0]])
TAGGED = {
    "sets": np.array(["forget", "test", "forget"]),
    "classes": CLASSES,
    "tags": TAGS,
    "logits": np.eye(3)[CALLED],
}


def test_tags_of_each_set():
    """Right are 2 of 3, 1 of 2 and 3 of 3; what stands beyond the end of a text counts for nothing."""
    values = token_accuracy.values(TAGGED, SETTINGS)
    assert {name: column.tolist() for name, column in values.items()} == {
        "right_tags": [2, 1, 3],
        "words": [3, 2, 3],
    }
    found = token_accuracy.aggregate(TAGGED, values, SETTINGS, 0)
    assert found == {"token_accuracy_forget": pytest.approx(5 / 6), "token_accuracy_test": 0.5}


def test_entities_of_each_set():
    """Of forget two persons are found rightly and one more is called one; that of test is not found."""
    values = entity_f1.values(TAGGED, SETTINGS)
    assert {name: column.tolist() for name, column in values.items()} == {
        "entities_right": [1, 0, 1], "entities": [1, 1, 1], "entities_predicted": [2, 0, 1]
    }  # fmt: skip
    found = entity_f1.aggregate(TAGGED, values, SETTINGS, 0)
    assert found == {"entity_f1_forget": pytest.approx(2 * 2 / (2 + 3)), "entity_f1_test": 0}


# ------------------------------------------------------------------ what other models and programs say


def test_a_reference_is_subtracted():
    logprob, reference = -np.arange(1.0, 25).reshape(8, 3), -np.ones((8, 3))
    scores = {"sets": SETS, "logprob": logprob, "reference_logprob": reference, "mask": np.ones((8, 3), bool)}
    values = reference_loss.values(scores, SETTINGS)
    expected = np.arange(8) * 3.0 + 1  # means 2, 5, …
    assert values == {"reference_loss": pytest.approx(expected)}
    found = reference_loss.aggregate(scores, values, SETTINGS, 0)
    assert found == membership("reference_loss", expected, scores, SETTINGS) and "reference_loss_auc" in found
    with pytest.raises(ValueError, match="no scored token"):
        reference_loss.values(scores | {"mask": np.zeros((8, 3), bool)}, SETTINGS)


def test_the_length_of_the_gradient_is_an_attack():
    scores = {"sets": SETS, "gradient_norm": np.arange(8.0)}
    values = gradient_norm.values(scores, SETTINGS)
    assert values == {"gradient_norm": pytest.approx(np.arange(8.0))}
    found = gradient_norm.aggregate(scores, values, SETTINGS, 0)
    assert found == membership("gradient_norm", np.arange(8.0), scores, SETTINGS)
    assert found["gradient_norm_auc"] == 0.75  # 0 and 4 below 3 and 7: three pairs of four


def test_tasks_of_the_harness_and_their_means():
    names = [
        "arc_acc",
        "cloze_acc",
        "cloze_probability",
        "forget_wmdp_acc",
        "forget_wmdp_probability",
        "cloze_acc_norm",
    ]
    scores = {
        "downstream_names": np.array(names),
        "downstream_values": np.array([0.5, 0.7, 0.4, 0.25, 0.3, 0.9]),
    }
    assert downstream_accuracy.values(scores, SETTINGS) == {}
    found = downstream_accuracy.aggregate(scores, {}, SETTINGS, 0)
    of_tasks = {
        f"downstream_{name}": value
        for name, value in zip(names, (0.5, 0.7, 0.4, 0.25, 0.3, 0.9), strict=True)
    }
    means = {"downstream_accuracy": 0.6, "downstream_probability": 0.4}
    means |= {"downstream_accuracy_forget": 0.25, "downstream_probability_forget": 0.3}
    assert found == pytest.approx(of_tasks | means)
    scores["downstream_values"][2] = np.inf
    with pytest.raises(ValueError, match=r"^downstream_cloze_probability is not finite$"):
        downstream_accuracy.aggregate(scores, {}, SETTINGS, 0)


def gated(**more) -> dict[str, np.ndarray]:
    sets = np.array(["forget", "forget", "retain", "holdout", "test", "test", "general_test", "validation"])
    weight = np.array([0.9, 0.4, 0.5, 0.4, 0.1, 0.95, 0.0, 1.0])
    return {"sets": sets, "gate": weight, "gate_nearest": weight[::-1].copy()} | more


def test_whom_a_gate_sees():
    """Pairs of forget and another set in which forget's weight is larger, ties half."""
    scores = gated()
    values = gate.values(scores, SETTINGS)
    assert values.keys() == {"gate_weight", "gate_nearest"}
    assert values["gate_weight"] is scores["gate"] and values["gate_nearest"] is scores["gate_nearest"]
    found = gate.aggregate(scores, values, SETTINGS, 0)
    expected = {"retain": 1 / 2, "holdout": 3 / 4, "test": 2 / 4, "general_test": 1}
    sees = {name: value for name, value in found.items() if name.startswith("gate_sees_")}
    assert sees == {f"gate_sees_{name}": value for name, value in expected.items()}
    fewer = gate.told_apart(scores["gate"][:3], scores["sets"][:3])
    assert fewer == {"gate_sees_retain": 1 / 2}  # of what is there
    assert found["gate_weight_forget"] == pytest.approx(0.65) and found["gate_weight_validation"] == 1
    for name, column in (("gate_weight", "gate"), ("gate_nearest", "gate_nearest")):
        assert membership(name, -scores[column], scores, SETTINGS).items() <= found.items()


def test_where_texts_have_kinds_a_gate_is_judged_within_those_that_were_forgotten():
    """Of the kinds of forget, 1 and 2, is the test text of weight 0.1 alone, below both."""
    scores = gated(gate_kind=np.array([1, 2, 3, 3, 1, 3, 1, 1]))
    found = gate.aggregate(scores, gate.values(scores, SETTINGS), SETTINGS, 0)
    assert found["gate_weight_auc"] == 1 and found["gate_sees_test"] == 0.5
    assert gate.of_the_same_kinds(scores)["matched"].tolist() == [
        True,
        True,
        False,
        False,
        True,
        False,
        True,
        True,
    ]
    scores["matched"] = np.array([False] * 4 + [False, True, False, False])
    assert not gate.of_the_same_kinds(scores)["matched"].any()
    plain = gated()
    assert gate.of_the_same_kinds(plain) is plain
