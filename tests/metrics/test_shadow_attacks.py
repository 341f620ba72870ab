"""Attacks with shadow models against scipy.stats loops, hand-worked cases and planted members."""

import math

import numpy as np
import pytest
import scipy.stats

from lethe.metrics.blind import blind, blind_score
from lethe.metrics.common.attacks import auc
from lethe.metrics.lira import lira_offline, lira_online, logit_confidence
from lethe.metrics.rmia import mean_probability_offline, mean_probability_online, rmia, tuned_slope
from lethe.params.measure import Measure


def planted(examples=200, shadows=32, seed=0):
    """Confidence 1 higher with the example than without; the target was trained on the first half."""
    rng = np.random.default_rng(seed)
    hardness = rng.normal(0, 3, examples)
    member = np.arange(shadows) % 2 == rng.integers(0, 2, examples)[:, None]
    shadow = hardness[:, None] + member + rng.normal(0, 0.5, (examples, shadows))
    is_member = np.arange(examples) < examples // 2
    target = hardness + is_member + rng.normal(0, 0.5, examples)
    return target, shadow, member, is_member


def test_logit_confidence_by_hand_and_without_overflow():
    logits = np.log([[0.8, 0.15, 0.05], [0.1, 0.6, 0.3]])
    assert logit_confidence(logits, np.array([0, 2])) == pytest.approx([math.log(4), math.log(3 / 7)])
    assert logit_confidence(np.array([[900.0, 0.0]]), np.array([0])) == pytest.approx([900])


@pytest.mark.parametrize("shared", [False, True])
def test_lira_online_equals_a_loop_over_examples(shared):
    target, shadow, member, _ = planted(30, 10)
    found = lira_online(target, shadow, member, shared)
    inside = [row[m] for row, m in zip(shadow, member, strict=True)]
    outside = [row[~m] for row, m in zip(shadow, member, strict=True)]
    pooled = [np.sqrt(np.mean([np.var(v, ddof=1) for v in group])) for group in (inside, outside)]
    for i in range(30):
        spread = pooled if shared else (np.std(inside[i], ddof=1), np.std(outside[i], ddof=1))
        log_in = scipy.stats.norm.logpdf(target[i], np.mean(inside[i]), spread[0])
        log_out = scipy.stats.norm.logpdf(target[i], np.mean(outside[i]), spread[1])
        assert found[i] == pytest.approx(log_out - log_in)


def test_lira_offline_equals_the_normal_tail_and_uses_no_model_with_the_example():
    target, shadow, member, _ = planted(30, 10)
    found = lira_offline(target, shadow, member)
    for i in range(30):
        out = shadow[i, ~member[i]]
        assert found[i] == pytest.approx(scipy.stats.norm.logsf(target[i], out.mean(), out.std(ddof=1)))
    assert np.array_equal(found, lira_offline(target, np.where(member, 99.0, shadow), member))


def test_a_far_tail_stays_finite():
    shadow, member = np.array([[0.0, 0.1, -0.1, 0.05]]), np.zeros((1, 4), bool)
    assert np.isfinite(lira_offline(np.array([500.0]), shadow, member)).all()
    flat = np.ones((1, 4))
    assert np.isfinite(lira_offline(np.array([2.0]), flat, member)).all()


def test_shadow_models_find_members_that_a_threshold_does_not():
    target, shadow, member, is_member = planted(2000)
    plain = auc(-target[is_member], -target[~is_member])
    for attack in (lira_online, lira_offline):
        score = attack(target, shadow, member)
        assert auc(score[is_member], score[~is_member]) > 0.85 > 0.65 > plain


def test_too_few_shadow_models_are_an_error():
    with pytest.raises(ValueError, match="1 examples have fewer than 2"):
        lira_online(np.zeros(1), np.zeros((1, 3)), np.array([[True, False, False]]))
    with pytest.raises(ValueError, match="not finite"):
        lira_offline(np.zeros(1), np.array([[np.nan, 0.0]]), np.array([[False, False]]))


def test_mean_probabilities_by_hand():
    shadow, member = np.array([[0.9, 0.7, 0.2, 0.4]]), np.array([[True, True, False, False]])
    assert mean_probability_online(shadow, member) == pytest.approx([(0.8 + 0.3) / 2])
    assert mean_probability_offline(shadow, member, 1.0) == pytest.approx([0.3])
    assert mean_probability_offline(shadow, member, 0.5) == pytest.approx([(1.5 * 0.3 + 0.5) / 2])
    with pytest.raises(ValueError, match="slope 2"):
        mean_probability_offline(shadow, member, 2)
    with pytest.raises(ValueError, match="1 examples have no reference model"):
        mean_probability_online(shadow, np.ones((1, 4), bool))


@pytest.mark.parametrize("gamma", [1.0, 2.0])
def test_rmia_equals_pairwise_comparison(gamma):
    rng = np.random.default_rng(0)
    target, mean, others, others_mean = (rng.uniform(0.05, 1, size) for size in (20, 20, 15, 15))
    expected = [
        1 - np.mean([(t / m) / (o / p) >= gamma for o, p in zip(others, others_mean, strict=True)])
        for t, m in zip(target, mean, strict=True)
    ]
    assert rmia(target, mean, others, others_mean, gamma) == pytest.approx(expected)


def test_rmia_finds_members():
    target, shadow, member, is_member = planted(2000)
    probability, shadow = 1 / (1 + np.exp(-target)), 1 / (1 + np.exp(-shadow))
    mean = mean_probability_online(shadow, member)
    population = np.arange(2000) >= 1500  # of the non-members
    score = rmia(probability, mean, probability[population], mean[population])
    judged = ~is_member & ~population
    assert auc(score[is_member], score[judged]) > 0.85
    with pytest.raises(ValueError, match="positive"):
        rmia(probability, mean * 0, probability, mean)


def test_rmia_counts_ties_as_beaten_and_refuses_what_has_no_ratio():
    """Ratios 1 and 3 of population ratios 1, 2 and 3; by a factor of 2 the first beats none."""
    population = np.array([0.1, 0.2, 0.3]), np.array([0.1, 0.1, 0.1])
    asked = np.array([0.2, 0.6]), np.array([0.2, 0.2])
    assert rmia(*asked, *population) == pytest.approx([2 / 3, 0])
    assert rmia(*asked, *population, gamma=2.0) == pytest.approx([1, 2 / 3])
    one = np.ones(1)
    assert rmia(one, one, one, one).tolist() == [0]
    for broken in ((one * np.inf, one, one, one), (one, one, one * np.inf, one)):
        with pytest.raises(ValueError, match=r"^a ratio of probabilities is not finite$"):
            rmia(*broken)
    for broken in ((one, one, one, 0 * one), (one, 0 * one, one, one), (one, one, one[:0], one[:0])):
        with pytest.raises(
            ValueError, match=r"^population examples and positive mean probabilities are needed$"
        ):
            rmia(*broken)


def test_means_of_probabilities_are_those_of_each_row():
    shadow = np.array([[0.9, 0.2, 0.4], [0.1, 0.5, 0.3]])
    member = np.array([[True, False, False], [False, True, True]])
    assert mean_probability_online(shadow, member) == pytest.approx([(0.9 + 0.3) / 2, (0.4 + 0.1) / 2])
    assert mean_probability_offline(shadow, member) == pytest.approx(
        [(1.3 * 0.3 + 0.7) / 2, (1.3 * 0.1 + 0.7) / 2]
    )
    assert mean_probability_offline(shadow, member, 0.0) == pytest.approx([(0.3 + 1) / 2, (0.1 + 1) / 2])


def slow_areas(shadow, member, population, gamma):
    """The AUC of each shadow model and slope, attacked by the others, example by example; None without one kind."""
    found = []
    for s in range(shadow.shape[1]):
        groups = {"member": [], "other": [], "population": []}
        for i in range(len(shadow)):
            out = [shadow[i, o] for o in range(shadow.shape[1]) if o != s and not member[i, o]]
            if out:
                kind = "member" if member[i, s] else "population" if population[i] else "other"
                groups[kind].append((shadow[i, s], np.mean(out)))
        if not all(groups.values()):
            continue
        areas = []
        for slope in np.arange(11) / 10:
            ratio = {
                kind: [p / (((1 + slope) * out + 1 - slope) / 2) for p, out in of]
                for kind, of in groups.items()
            }
            beaten = {
                kind: [np.mean([r >= gamma * z for z in ratio["population"]]) for r in ratio[kind]]
                for kind in ("member", "other")
            }
            pairs = [(m > o) + 0.5 * (m == o) for m in beaten["member"] for o in beaten["other"]]
            areas.append(np.mean(pairs))
        found.append(areas)
    return np.sum(found, axis=0)


@pytest.mark.parametrize("gamma", [1.0, 1.5])
@pytest.mark.parametrize("seed", range(6))
def test_the_slope_is_that_of_a_loop_over_models_and_examples(seed, gamma):
    """Of four models, of which the first knows nothing and examples are in all, some or none of the others."""
    rng = np.random.default_rng(seed)
    member = rng.random((24, 4)) < 0.6
    member[:, 0] = False
    member[:3, 1:] = True
    shadow = np.clip(rng.uniform(0.05, 0.6, (24, 1)) + 0.15 * member + rng.normal(0, 0.05, (24, 4)), 0.01, 1)
    population = np.arange(24) % 3 == 0
    areas = slow_areas(shadow, member, population, gamma)
    found = tuned_slope(shadow, member, population, gamma)
    assert found == np.argmax(np.round(areas, 12)) / 10
    if gamma == 1:
        assert tuned_slope(shadow, member, population) == found


def test_the_slope_is_that_which_tells_shadow_models_apart():
    """As planted, p with the example is p_out·e: that grows with p_out, and 1 is the slope that says so."""
    target, shadow, member, is_member = planted(1000, shadows=8)
    probability, shadow = np.exp(target - 12), np.exp(shadow - 12)
    population = np.arange(1000) >= 750
    slope = tuned_slope(shadow, member, population)
    areas = {}
    for a in (0.3, slope):
        mean = mean_probability_offline(shadow, member, a)
        score = rmia(probability, mean, probability[population], mean[population])
        areas[a] = auc(score[is_member], score[~is_member & ~population])
    assert slope > 0.8 and areas[slope] > areas[0.3] + 0.1


def test_a_slope_is_the_smallest_where_none_is_better():
    shadow = np.full((6, 3), 0.5)
    member = np.eye(6, 3, dtype=bool)
    assert tuned_slope(shadow, member, np.arange(6) > 3) == 0


def texts(words, count, rng):
    return [" ".join(rng.choice(words, 12)) for _ in range(count)]


COMMON = [f"word{i}" for i in range(40)]


def test_blind_attack_sees_a_shift_in_the_words():
    member = np.arange(120) < 40
    alike = texts(COMMON, 120, np.random.default_rng(0))
    dated = [text + (" before" if m else " after") for text, m in zip(alike, member, strict=True)]
    score = blind_score(dated, member, np.arange(120), 0)
    assert auc(score[member], score[~member]) == 1


@pytest.mark.parametrize("together", [1, 3])
def test_blind_attack_finds_nothing_where_there_is_no_shift(together):
    # texts of a person share a name: judged by a model that knows the name, the AUC would be near 1
    found = []
    for seed in range(6):
        rng = np.random.default_rng(seed)
        person = np.arange(60) // together
        given = [f"{text} name{p} name{p}" for text, p in zip(texts(COMMON, 60, rng), person, strict=True)]
        score = blind_score(given, person < 30 // together, person, seed)
        found.append(auc(score[person < 30 // together], score[person >= 30 // together]))
    # a mean of 6 of standard error 0.075 (Mann-Whitney, 30 and 30), wider where three go together
    assert np.mean(found) == pytest.approx(0.5, abs=3 * 0.075 * math.sqrt(together / 6))


def test_an_attack_that_is_wrong_by_chance_is_no_leak(monkeypatch):
    sets = np.repeat(["forget", "test"], [20, 60])
    wrong = (sets == "forget") + np.linspace(0, 0.1, 80)  # members score higher, which says the opposite
    monkeypatch.setattr("lethe.metrics.blind.blind_score", lambda *args: wrong)
    _, found = blind(["word"] * 80, np.arange(80), {"sets": sets}, Measure(bootstrap=100), 0)
    assert found["blind_auc_high"] < 0.5 and found["blind_leak"] == 0


def test_blind_control_flags_a_leak_and_leaves_out_what_is_not_matched():
    sets = np.repeat(["forget", "retain", "test"], [20, 5, 60])
    words = texts(COMMON, 85, np.random.default_rng(1))
    leaky = [w + " old" * (s == "forget") for w, s in zip(words, sets, strict=True)]
    matched = np.arange(85) % 2 == 0
    score, found = blind(leaky, np.arange(85), {"sets": sets, "matched": matched}, Measure(bootstrap=100), 0)
    assert found["blind_auc"] > 0.8 and found["blind_leak"] == 1
    assert np.array_equal(~np.ma.getmaskarray(score), (sets == "forget") | (matched & (sets == "test")))
    _, found = blind(words, np.arange(85), {"sets": sets}, Measure(bootstrap=100), 0)
    assert found["blind_leak"] == 0
    with pytest.raises(ValueError, match="too few groups of members"):
        blind_score(words, sets == "forget", np.minimum(np.arange(85), 20) // 20, 0)


def test_blind_control_of_people_who_are_in_both_sets_may_be_absent():
    """Forgotten are texts of p and q, tested those of q and r: without those of q, others may be of one kind."""
    sets = np.array(["forget", "test", "test", "forget", "test"])
    for seed in range(5):
        score, found = blind(["a b"] * 5, np.array([*"prrqq"]), {"sets": sets}, Measure(bootstrap=100), seed)
        assert found == {} and np.ma.getmaskarray(score).all()


def test_blind_control_of_one_forgotten_person_is_absent():
    sets = np.repeat(["forget", "retain", "test"], [3, 5, 9])
    words = texts(COMMON, 17, np.random.default_rng(1))
    person = np.maximum(np.arange(17), 2)
    score, found = blind(words, person, {"sets": sets}, Measure(bootstrap=100), 0)
    assert found == {} and np.ma.getmaskarray(score).all()
