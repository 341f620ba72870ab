"""What attacks with shadow models write of a whole model: which texts they are of, and what they are judged on."""

import numpy as np
import pytest
from test_values_and_numbers import SETS, SETTINGS

from lethe.metrics import lira, rmia, ulira
from lethe.metrics.common.attacks import auc, membership


def shadowed(models: int) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Scores of 40 classified texts with shadow models of which each text is in a half, and which texts these know."""
    rng = np.random.default_rng(0)
    sets = np.resize(SETS, 40)
    known = np.isin(sets, ["forget", "retain", "holdout", "test"]) & (np.arange(40) != 7)
    labels = rng.integers(0, 3, 40)
    scores = {"sets": sets, "logits": rng.normal(size=(40, 3)), "labels": labels}
    scores |= {"shadow_confidence": rng.normal(size=(40, models)), "shadow_known": known}
    scores["shadow_confidence"][7] = np.nan
    member = np.arange(models) % 2 == np.arange(40)[:, None] % 2
    return scores | {"shadow_member": member}, known


@pytest.mark.parametrize(("models", "shared"), [(8, True), (63, True), (64, False)])
def test_lira_is_of_the_texts_that_shadow_models_know(models, shared):
    scores, known = shadowed(models)
    target = lira.logit_confidence(scores["logits"], scores["labels"])[known]
    shadow, member = scores["shadow_confidence"][known], scores["shadow_member"][known]
    values = lira.values(scores, SETTINGS)
    assert values.keys() == {"lira", "lira_offline"}
    for name, attack in (("lira", lira.lira_online), ("lira_offline", lira.lira_offline)):
        assert values[name].mask.tolist() == (~known).tolist()
        assert values[name].compressed() == pytest.approx(attack(target, shadow, member, shared))
    assert lira.fitted(shadow, member, True)[1] != pytest.approx(lira.fitted(shadow, member, False)[1])


def test_attacks_with_shadow_models_are_judged_as_others_are():
    scores, _ = shadowed(8)
    scores["matched"] = np.arange(40) != 7
    for metric, names in ((lira, ("lira", "lira_offline")), (rmia, ("rmia", "rmia_offline"))):
        values = metric.values(scores, SETTINGS)
        expected = [membership(name, values[name].filled(np.nan), scores, SETTINGS) for name in names]
        assert metric.aggregate(scores, values, SETTINGS, 0) == expected[0] | expected[1]
        assert f"{names[0]}_auc" in expected[0]


def test_confidence_of_texts_is_minus_the_loss():
    scores = {
        "logprob": np.array([[-1.0, -3.0], [-5.0, np.nan]]),
        "mask": np.array([[True, True], [True, False]]),
    }
    assert lira.target_confidence(scores).tolist() == [-2, -5]


@pytest.mark.parametrize("task", ["classification", "generation"])
def test_rmia_beats_the_hold_out_texts(task):
    """Probabilities are those of the true class, or the geometric mean over tokens."""
    scores, known = shadowed(8)
    if task == "generation":
        scores |= {
            "logprob": -np.random.default_rng(1).uniform(0.1, 2, (40, 3)),
            "mask": np.ones((40, 3), bool),
        }
        del scores["logits"]
        scores["shadow_confidence"] = -np.abs(scores["shadow_confidence"])
        target, shadow = np.exp(scores["logprob"].mean(axis=1)), np.exp(scores["shadow_confidence"])
    else:
        odds = np.exp(lira.logit_confidence(scores["logits"], scores["labels"]))
        target, shadow = odds / (1 + odds), 1 / (1 + np.exp(-scores["shadow_confidence"]))
    target, shadow, member = target[known], shadow[known], scores["shadow_member"][known]
    population = scores["sets"][known] == "holdout"
    for slope, gamma in ((0.3, 1.0), ("auto", 1.0), (1.0, 2.0)):
        settings = SETTINGS.model_copy(update={"rmia_slope": slope, "rmia_gamma": gamma})
        values = rmia.values(scores, settings)
        assert values.keys() == {"rmia", "rmia_offline"}
        used = rmia.tuned_slope(shadow, member, population, gamma) if slope == "auto" else slope
        means = (
            rmia.mean_probability_online(shadow, member),
            rmia.mean_probability_offline(shadow, member, used),
        )
        for name, mean in zip(values, means, strict=True):
            expected = rmia.rmia(target, mean, target[population], mean[population], gamma)
            assert values[name].mask.tolist() == (~known).tolist()
            assert values[name].compressed() == pytest.approx(expected), (name, slope, gamma)


def test_probabilities_that_are_nothing_in_numbers_have_a_ratio():
    scores, _ = shadowed(8)
    scores["shadow_confidence"][0] = -np.inf
    scores["logits"][0] = np.array([0.0, 2000.0, 2000.0])
    scores["labels"][0] = 0
    settings = SETTINGS.model_copy(update={"rmia_slope": 0.3})
    assert np.isfinite(rmia.values(scores, settings)["rmia"].compressed()).all()


def test_unlearned_models_attack_by_each_method():
    rng = np.random.default_rng(2)
    scores, _ = shadowed(8)
    audited = np.isin(scores["sets"], ["forget", "test"]) & (np.arange(40) != 4)
    confidences = rng.normal(size=(40, 2, 8))
    confidences[~audited] = np.nan
    member = np.arange(8) % 2 == np.arange(40)[:, None] // 4 % 2
    scores |= {"ulira_methods": np.array(["npo", "icu"]), "ulira_confidence": confidences}
    scores |= {"ulira_member": member, "ulira_known": audited}
    values = ulira.values(scores, SETTINGS)
    assert [*values] == ["ulira_npo", "ulira_icu"]
    target = lira.logit_confidence(scores["logits"], scores["labels"])[audited]
    for place, column in enumerate(values.values()):
        expected = lira.lira_online(target, confidences[audited, place], member[audited], shared_spread=True)
        assert column.mask.tolist() == (~audited).tolist() and column.compressed() == pytest.approx(expected)
    for column in values.values():
        column[4] = 0.0  # a text to forget without a value would end in an error
    found = ulira.aggregate(scores, values, SETTINGS, 0)
    assert {"ulira_npo_auc", "ulira_icu_auc"} <= {*found}
    for name, column in values.items():
        groups = [column.data[(scores["sets"] == of) & ~column.mask] for of in ("forget", "test")]
        assert found[f"{name}_auc"] == auc(*groups)
        called = [np.mean(groups[0] < 0), np.mean(groups[1] >= 0)]
        assert found[f"{name}_balanced_accuracy"] == pytest.approx(np.mean(called))
    some = scores["sets"] == "test"
    for column in values.values():
        column[np.flatnonzero(some)[:3]] = np.ma.masked
    fewer = ulira.aggregate(scores, values, SETTINGS, 0)
    groups = [
        values["ulira_npo"].data[(scores["sets"] == of) & ~values["ulira_npo"].mask]
        for of in ("forget", "test")
    ]
    assert fewer["ulira_npo_auc"] == auc(*groups) and len(groups[1]) == some.sum() - 3
