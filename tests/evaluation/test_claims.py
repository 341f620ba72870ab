"""Stars, verdicts and the strongest attack on runs whose truth is planted."""

import numpy as np
import pytest
from scipy import stats

from lethe.evaluation.verdicts import (
    beyond,
    declared,
    declared_columns,
    example_error,
    gaps,
    judged,
    loss_tests,
    margin,
    primary,
    strongest,
    with_transfer,
)
from lethe.metrics.common.attacks import auc
from lethe.metrics.loss import token_loss
from lethe.metrics.loss_zlib import loss_zlib
from lethe.metrics.memorization_accuracy import memorization_accuracy
from lethe.metrics.min_k import min_k
from lethe.metrics.min_k_plus import min_k_plus
from lethe.params.claims import Claims
from lethe.system import plugins
from lethe.tasks import Column

SEEDS = (1, 2, 3)
SIZES = {"forget": 32, "test": 64, "holdout": 64, "retain": 96}
COLUMNS = ("loss", "loss_zlib", "min_k", "min_k_plus", "memorization_accuracy")


def texts(seed: int, run: str, forget) -> dict[str, np.ndarray]:
    """Values per example: unseen texts alike in all runs, `forget(rng, n)` shifts the losses of the forget set."""
    rng = np.random.default_rng([seed, *map(ord, run)])
    sets = np.repeat(list(SIZES), list(SIZES.values()))
    count = len(sets)
    loss = rng.normal(2.5, 0.5, count) - 2.0 * (sets == "retain")
    loss[: SIZES["forget"]] += forget(rng, SIZES["forget"])
    ids = [f"{s}-{seed if s == 'forget' else 0}-{i}" for i, s in enumerate(sets)]
    noise = rng.normal(0, 0.3, (3, count))
    values = {
        "id": np.array(ids),
        "sets": sets,
        "loss": loss,
        "loss_zlib": loss / 60 + noise[0] / 100,
        "min_k": 2 * loss + noise[1],
        "min_k_plus": loss / 2 + noise[2],
    }
    return values | {"memorization_accuracy": np.clip(0.9 - loss / 5 + rng.normal(0, 0.05, count), 0, 1)}


def unseen(rng, n):
    return np.zeros(n)


def remembered(rng, n):
    return np.full(n, -2.0)


def two_sided(rng, n):
    """Half of the texts become surer than unseen ones, half less sure: the headline's AUC stays near 0.5."""
    return np.where(np.arange(n) % 2, 1.2, -1.2) * rng.uniform(0.8, 1.2, n)


WORLD = {"retrain": unseen, "original": remembered, "fooling": two_sided, "honest": unseen}
EXTRA = {"retrain-2": unseen, "retrain-3": unseen}


def numbers_of(values: dict[str, np.ndarray]) -> dict[str, float]:
    sets, accuracy = values["sets"], values["memorization_accuracy"]
    of = {name: float(accuracy[sets == name].mean()) for name in SIZES}
    return {
        "memorization_accuracy_excess": of["forget"] - of["test"],
        "memorization_accuracy_retain": of["retain"],
        "loss_forget": float(values["loss"][sets == "forget"].mean()),
        "min_k_auc": auc(values["min_k"][sets == "forget"], values["min_k"][sets == "test"]),
    }


@pytest.fixture(scope="module")
def world():
    effects = WORLD | EXTRA

    def load(run, seed):
        return texts(seed, run, effects[run])

    def read(runs):
        return {run: {seed: numbers_of(load(run, seed)) for seed in SEEDS} for run in runs}

    return *(with_transfer(read(runs), load, "generation", 0.95) for runs in (WORLD, EXTRA)), load


def test_a_method_that_fools_the_headline_is_far(world):
    """Its Min-K% is as unseen text's; what was learnt on other seeds finds it all the same."""
    numbers, extra, load = world
    assert all(abs(of["min_k_auc"] - 0.5) < 0.15 for of in numbers["fooling"].values())
    found = judged(numbers, extra, ["fooling", "honest"], "generation", Claims(), load)
    assert found["fooling"]["transfer_auc"]["verdict"] == "far" and found["fooling"]["transfer_auc"]["star"]
    honest = [entry["verdict"] for entry in found["honest"].values()]
    assert set(honest) <= {"near", "open"}
    assert not any(entry["star"] for entry in found["honest"].values())


def written(seed: int, run: str, forget) -> dict[str, np.ndarray]:
    """Values of texts of 60 tokens, by the metrics' own functions; `forget` gives the losses of the forget set's."""
    rng = np.random.default_rng([seed, 7, *map(ord, run)])
    sets = np.repeat(list(SIZES), list(SIZES.values()))
    easy = rng.random((len(sets), 60)) < rng.beta(
        8, 12, (len(sets), 1)
    )  # template words, and names and numbers
    nll = np.where(easy, rng.exponential(0.15, easy.shape), rng.gamma(4, 1.0, easy.shape))
    known = np.minimum(nll, rng.exponential(0.1, nll.shape))
    nll = np.where((sets == "retain")[:, None], known, nll)
    here = sets == "forget"
    nll[here] = forget(rng, nll[here], known[here])
    mask, logprob = np.ones(nll.shape, bool), -nll
    values = {
        "id": np.array([f"{s}-{seed if s == 'forget' else 0}-{i}" for i, s in enumerate(sets)]),
        "sets": sets,
        "loss": token_loss(logprob, mask),
        "loss_zlib": loss_zlib(logprob, mask, np.full(len(sets), 180)),
        "min_k": min_k(logprob, mask, 0.2),
        "min_k_plus": min_k_plus(logprob, mask, np.full(nll.shape, -2.0), np.ones(nll.shape), 0.2),
    }
    return values | {"memorization_accuracy": memorization_accuracy(nll < 0.7, mask)}


def test_ascent_on_the_few_likeliest_tokens_is_far():
    """What was learnt stays, but for as many tokens as Min-K% reads: these are as unlikely as unseen text's.

    The old headline, Min-K%, sees a text like any other; most of its tokens are known all the same.
    """

    def fooling(rng, unseen, known):
        most = np.argsort(known, axis=1)[:, :12]
        worst = np.sort(unseen, axis=1)[:, -12:]
        raised = known.copy()
        np.put_along_axis(raised, most, worst, axis=1)
        return raised

    effects = {
        "retrain": lambda rng, unseen, known: unseen,
        "original": lambda rng, unseen, known: known,
        "fooling": fooling,
        "retrain-2": lambda rng, unseen, known: unseen,
        "retrain-3": lambda rng, unseen, known: unseen,
    }

    def load(run, seed):
        return written(seed, run, effects[run])

    def read(*runs):
        return {run: {seed: numbers_of(load(run, seed)) for seed in SEEDS} for run in runs}

    plain = read("retrain", "original", "fooling")
    numbers = with_transfer(plain, load, "generation", 0.95)
    extra = with_transfer(read("retrain-2", "retrain-3"), load, "generation", 0.95)
    assert all(abs(of["min_k_auc"] - 0.5) < 0.12 for of in numbers["fooling"].values())
    found = judged(numbers, extra, ["fooling"], "generation", Claims(), load)["fooling"]
    assert found["transfer_auc"]["verdict"] == "far" and found["transfer_auc"]["star"]
    assert found["memorization_accuracy_excess"]["verdict"] == "far"
    best = strongest(numbers, extra, ["fooling"], 0.95)["fooling"]
    assert best["attack"] == "transfer" and best["auc"] > 0.95 and abs(best["retrained"] - 0.5) < 0.12


def test_the_strongest_attack_is_named_beside_the_retrained_models(world):
    numbers, extra, _ = world
    found = strongest(numbers, extra, ["fooling", "honest", "original"], 0.95)
    fooled = found["fooling"]
    assert fooled["attack"] == "transfer" and fooled["auc"] > 0.9 and fooled["attacks"] == 2
    assert abs(fooled["retrained"] - 0.5) < 0.1 and 0 < fooled["low"] < fooled["gap"] < fooled["high"]
    assert found["original"]["auc"] > 0.95
    assert abs(found["honest"]["gap"]) < 0.15


def test_losses_are_tested_over_all_seeds_together(world):
    """The mean of two-sided losses is that of unseen text, their spread is not: the tests see different things."""
    numbers, extra, load = world
    found = loss_tests(numbers, extra, ["original", "fooling", "honest"], load)
    assert found["original"]["paired"] < 1e-4 and found["original"]["ks"] < 1e-10
    assert found["fooling"]["ks"] < 1e-4 < 0.01 < found["fooling"]["paired"]
    for run in ("honest", "retrain"):
        assert min(found[run].values()) > 0.01


def test_pushed_beyond_is_beside_the_retrained_models_and_not_beside_one_half():
    """All seeds have test texts that look like members: retrained models have 0.4, and so has an honest method."""
    draw = np.random.default_rng(4)

    def models(mean):
        return {seed: {"auc": mean + draw.normal(0, 0.01)} for seed in SEEDS}

    numbers = {"retrain": models(0.4), "honest": models(0.4), "pushed": models(0.3), "remembers": models(0.9)}
    extra = {"retrain-2": models(0.4), "retrain-3": models(0.4)}
    assert beyond(numbers, extra, ["honest", "pushed", "remembers"], "auc", 0.05) == ["pushed"]


def test_margins_are_fractions_of_what_was_declared(world):
    numbers, extra, _ = world
    claims = Claims(near=0.5, keep=0.1)
    retrained = [of["transfer_auc"] for run in (numbers["retrain"], *extra.values()) for of in run.values()]
    original = np.mean([of["transfer_auc"] for of in numbers["original"].values()])
    assert margin(numbers, extra, "transfer_auc", claims) == pytest.approx(
        0.5 * (original - np.mean(retrained))
    )
    kept = [
        of["memorization_accuracy_retain"]
        for run in (numbers["retrain"], *extra.values())
        for of in run.values()
    ]
    assert margin(numbers, extra, "memorization_accuracy_retain", claims) == pytest.approx(
        0.1 * np.mean(kept)
    )


def test_a_retrained_model_is_seldom_told_from_retraining():
    """In 300 worlds of two seeds, each with three retrained models: far at most seldom, stars in at most 6 %."""
    far = stars = 0
    for trial in range(300):
        rng = np.random.default_rng(trial)

        def world(mean, rng=rng):
            return {seed: {"auc": rng.normal(mean, 0.05)} for seed in (1, 2)}

        numbers = {"retrain": world(0.5), "original": world(0.95), "again": world(0.5)}
        extra = {"retrain-2": world(0.5), "retrain-3": world(0.5)}
        entry = judged(numbers, extra, ["again"], "generation", Claims(primary=["auc"]))["again"]["auc"]
        far, stars = far + (entry["verdict"] == "far"), stars + entry["star"]
    assert far <= 15 and stars <= 0.06 * 300 + 6


def test_stars_are_holms_over_the_methods():
    """Of four methods with p 0.02 none has a star; alone it has one."""
    numbers = {"retrain": {1: {"a": 0.0}}, "original": {1: {"a": 9.0}}}
    extra = {f"retrain-{i}": {1: {"a": v}} for i, v in enumerate((-1.0, 1.0, 0.5, -0.5), 2)}
    methods = {name: {1: {"a": 3.4}} for name in "abcd"}
    claims = Claims(primary=["a"])
    alone = judged(numbers | {"a": methods["a"]}, extra, ["a"], "generation", claims)["a"]["a"]
    assert 0.0125 < alone["p"] < 0.05 and alone["star"]
    together = judged(numbers | methods, extra, list("abcd"), "generation", claims)
    assert not any(of["a"]["star"] for of in together.values())


def test_a_metric_that_a_run_lacks_has_no_verdict():
    numbers = {"retrain": {1: {"a": 0.0}, 2: {"a": 1.0}}, "icu": {1: {"b": 1.0}, 2: {"b": 2.0}}}
    numbers["original"] = {1: {"a": 3.0}, 2: {"a": 3.0}}
    assert gaps(numbers, {}, ["icu"], "a") == {}
    assert judged(numbers, {}, ["icu"], "generation", Claims(primary=["a"])) == {"icu": {}}


def test_one_seed_with_one_retrained_model_carries_no_claim():
    numbers = {run: {1: {"a": value}} for run, value in (("retrain", 0.0), ("original", 3.0), ("icu", 1.0))}
    assert judged(numbers, {}, ["icu"], "generation", Claims(primary=["a"])) == {"icu": {}}


def test_no_error_is_below_that_of_the_examples():
    """Two seeds whose texts differ by 0 and 0.5, four each: errors of sqrt(1/12/4·…) by hand."""
    own = {"sets": np.array(["forget"] * 4 + ["test"]), "x": np.array([0.0, 1.0, 0.0, 1.0, 9.0])}
    other = {"sets": own["sets"], "x": np.array([0.0, 0.0, 0.0, 0.0, 1.0])}

    def load(run, seed):
        return other if run == "retrain" else own

    by_hand = np.sqrt(2 * (1 / 3) / 4) / 2  # variance of 0, 1, 0, 1 is 1/3
    assert example_error(load, "icu", [1, 2], "x_forget") == pytest.approx(by_hand)
    assert example_error(load, "icu", [1, 2], "x_auc") == 0
    numbers = {
        run: {1: {"x_forget": value}, 2: {"x_forget": value}}
        for run, value in (("retrain", 0.0), ("icu", 0.5))
    }
    extra = {"retrain-2": numbers["retrain"]}
    assert gaps(numbers, extra, ["icu"], "x_forget")["icu"].error == 0
    assert gaps(numbers, extra, ["icu"], "x_forget", load)["icu"].error == pytest.approx(by_hand)


LEVEL = 0.2
OF_TWO = {
    "retrain": {1: {"a_forget": 0.0}},
    "original": {1: {"a_forget": 9.0}},
    "icu": {1: {"a_forget": 2.0}},
}
FURTHER = {"retrain-2": {1: {"a_forget": 1.0}}}  # mean 0.5, sigma² 1/2 with one degree, error sqrt(1/2 · 3/2)


def test_an_entry_by_hand_at_the_level_that_was_declared():
    claims = Claims(primary=["a_forget"], level=LEVEL, near=1.0)
    (entry,) = judged(OF_TWO, FURTHER, ["icu"], "generation", claims)["icu"].values()
    error, reach = np.sqrt(0.75), stats.t.ppf(1 - LEVEL, 1)
    p = 2 * stats.t.sf(1.5 / error, 1)
    expected = {"gap": 1.5, "error": error, "degrees": 1, "p": p, "margin": 9 - 0.5}
    expected |= {"low": 1.5 - reach * error, "high": 1.5 + reach * error}
    assert {**entry} == {name: pytest.approx(value) for name, value in expected.items()} | {
        "star": p <= LEVEL,
        "verdict": "near",  # at the level of 0.05 the interval would reach far beyond the margin
    }
    assert stats.t.ppf(0.95, 1) * error + 1.5 > 4 and 0.05 < p < 0.4
    sure = judged(OF_TWO, FURTHER, ["icu"], "generation", claims.model_copy(update={"level": 0.4}))
    assert sure["icu"]["a_forget"]["star"]


def test_nothing_is_near_where_no_margin_was_declared_by_the_original():
    same = OF_TWO | {"original": {1: {"a_forget": 0.5}}}
    (entry,) = judged(same, FURTHER, ["icu"], "generation", Claims(primary=["a_forget"]))["icu"].values()
    assert not {"margin", "verdict"} & entry.keys()
    assert margin(OF_TWO | {"original": {1: {}}}, FURTHER, "a_forget", Claims()) == 0
    assert margin(OF_TWO, FURTHER, "b_forget", Claims()) == 0


def test_what_is_claimed_is_no_surer_than_the_examples():
    def load(run, seed):
        x = [0.0, 4.0] if run == "icu" else [1.0, 1.0]
        return {"sets": np.array(["forget"] * 2), "lo_ss": np.array(x)}

    of = {run: {1: {"lo_ss_forget": v}} for run, v in (("retrain", 1.0), ("original", 9.0), ("icu", 2.0))}
    extra = {"retrain-2": of["retrain"]}
    claims = Claims(primary=["lo_ss_forget"])
    by_hand = np.sqrt(8 / 2)  # differences of -1 and 3: variance 8, two of them
    assert example_error(load, "icu", [1], "lo_ss_forget") == pytest.approx(by_hand)
    assert judged(of, extra, ["icu"], "generation", claims, load)["icu"]["lo_ss_forget"]["error"] == by_hand
    assert example_error(load, "icu", [], "lo_ss_forget") == 0
    assert example_error(load, "icu", [1], "lo_ss_test") == 0, "a set without examples has no error"


def test_a_column_of_one_model_alone_has_no_error_by_its_examples():
    for there in ("icu", "retrain"):

        def load(run, seed, there=there):
            return {"sets": np.array(["forget"] * 2)} | ({"x": np.array([0.0, 1.0])} if run == there else {})

        assert example_error(load, "icu", [1], "x_forget") == 0


def test_the_strongest_of_several_attacks_has_the_interval_of_a_choice():
    """What sees no model, and what is measured downstream, is no attack; a run may lack one, or have none at all."""
    aucs = {"a_auc": 0.5, "b_auc": 0.5, "blind_auc": 0.5, "downstream_x_auc": 0.5}
    numbers = {"retrain": {1: aucs, 2: {**aucs, "b_auc": 0.52}}, "none": {1: {}, 2: {}}}
    numbers["icu"] = {1: {"b_auc": 0.9}, 2: {"b_auc": 0.8}}
    numbers["npo"] = {seed: dict.fromkeys(aucs, 0.9) for seed in (1, 2)}
    extra = {"retrain-2": {1: {"a_auc": 0.5, "b_auc": 0.54}}}
    found = strongest(numbers, extra, ["none", "icu", "npo"], 0.95)
    assert found.keys() == {"icu", "npo"}
    assert (found["icu"]["attacks"], found["npo"]["attacks"]) == (1, 2)
    assert found["icu"]["retrained"] == pytest.approx((0.52 + 0.52) / 2)
    gap = gaps(numbers, extra, ["none", "icu", "npo"], f"{found['npo']['attack']}_auc")["npo"]
    assert (found["npo"]["low"], found["npo"]["high"]) == pytest.approx(gap.interval(1 - 0.05 / 2))


def test_a_run_without_what_the_transfer_attack_reads_keeps_no_other_from_it(world):
    numbers, _, load = world
    plain = {run: {seed: {} for seed in SEEDS} for run in ("original", "honest")}

    def some_of(run, seed):
        return load(run, seed) if run == "honest" else {"sets": []}

    some = with_transfer(plain, some_of, "generation", 0.95)
    assert some["original"] == plain["original"]
    assert {s: of["transfer_auc"] for s, of in some["honest"].items()} == {
        s: of["transfer_auc"] for s, of in numbers["honest"].items()
    }


def test_what_was_declared_stands_in_the_table():
    claims = Claims(primary=["transfer_auc", "known_retain", "nothing_such"])
    shown = [Column("transfer_auc", "transfer AUC", "retrain")]
    found = declared_columns(claims, shown, {"transfer_auc", "known_retain", "loss_test"})
    assert found == [Column("known_retain", "known retain", "higher")]
    assert declared_columns(Claims(primary=["targets_gone"]), shown, {"targets_gone"})[0].good == "retrain"
    assert declared_columns(Claims(), shown, {"loss_test"}) == []


def test_what_was_declared_is_the_task_s_own_where_nothing_was():
    assert declared(Claims(), "tagging")["primary"] == ["transfer_auc", "entity_f1_forget", "entity_f1_test"]
    assert declared(Claims(primary=["a"]), "tagging")["primary"] == ["a"]


@pytest.mark.parametrize("task", plugins.names_in("tasks"))
def test_every_task_declares_three_metrics(task):
    found = primary(Claims(), task)
    assert len(found) == 3 and found[0] == "transfer_auc"
