"""Deep unlearning: closed forms of what is lost, the published example, and the way from the source to the numbers."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from study import FINETUNE, SMALL

from lethe.datasets.families import MOST, Options, examples
from lethe.deduction import Deduction
from lethe.evaluation.scores import load
from lethe.forget import forget
from lethe.measure import measure
from lethe.metrics.deep_unlearning import accuracy, aggregate, known, recall, success, values
from lethe.params.forget import Forget
from lethe.prepare import prepare
from lethe.report.remarks import derivable
from lethe.score import score
from lethe.system.errors import InputError
from lethe.train import train
from lethe.training.job import Job
from lethe.unlearn import unlearn

GOLDEN = Path(__file__).parents[3] / "shared/golden/systems/edu_relat.json"
FAMILY = [("1m", "father", "0m"), ("2f", "father", "0m"), ("1m", "sister", "2f"), ("2f", "brother", "1m")]
# The two minimal sets of the first fact are the first two facts, and the first with the last two.


def scores(unknown=(), before=None, targets=(0,), biographies=2):
    """Scores of a model that does not know some of the facts of FAMILY and of questions beside them."""
    count = len(FAMILY) + biographies
    lost = np.isin(np.arange(count), [*unknown])
    found = {
        "ids": np.array([f"r{place}" for place in range(count)]),
        "sets": np.array(["forget", *["retain"] * (count - 1)]),
        "fact": np.array([*FAMILY, *[("", "", "")] * biographies]),
        "target": np.isin(np.arange(count), [*targets]),
        "correct": np.stack([np.zeros(count, bool), ~lost], 1),
        "mask": np.tile([False, True], (count, 1)),
    }
    return found | {"known_before": np.ones(count, bool) if before is None else before}


def numbers(**changes):
    arrays = scores(**changes)
    return aggregate(arrays, values(arrays, None), None, 0)


def deep(found) -> list[float]:
    return [found[f"deep_{name}"] for name in ("success", "recall", "accuracy")] + [found["targets_gone"]]


@pytest.mark.parametrize(
    ("unknown", "expected"),
    [
        ([], [0, 0, 1, 0]),  # nothing is lost
        ([0, 1], [1, 1, 1, 1]),  # a minimal set, and nothing else
        ([0, 2, 3], [1, 1, 1, 1]),
        ([0], [0, 1 / 2, 1, 1]),  # the target alone, which follows from the others
        ([0, 2], [0, 2 / 3, 1, 1]),
        ([1, 4], [0, 1 / 2, 1 - 1 / 4, 0]),  # beside the set a question
        (range(6), [1, 1, 0, 1]),  # everything
    ],
)
def test_what_is_lost_by_hand(unknown, expected):
    assert deep(numbers(unknown=unknown)) == pytest.approx(expected)


def test_what_the_original_did_not_know_is_not_lost():
    before = np.array([True, False, True, True, True, False])
    found = numbers(unknown=[0, 1, 5], before=before)  # without fact 1 the first follows from nothing
    assert deep(found) == [1, 1, 1, 1]
    assert "deep_success" not in numbers(before=np.array([False] + [True] * 5))  # no target was known


def test_retrain_without_the_target_alone_leaves_it_derivable_by_construction():
    assert numbers(unknown=[0])["deep_success"] == 0
    assert numbers(unknown=[0, 1])["deep_success"] == 1


def test_a_mean_over_all_that_is_wanted_is_an_error():
    with pytest.raises(ValueError, match="no other"):
        accuracy({0}, {0, 1}, 2)


def test_of_equal_shares_the_set_counts_beside_which_most_is_kept():
    """Half of each set is lost; beside the first one more of four other facts, beside the second none of two."""
    sets = [frozenset({0, 2}), frozenset({0, 1, 2, 3})]
    assert recall({0, 1}, sets, 6) == (0.5, sets[1])
    assert recall({0, 1}, sets, 4) == (0.5, sets[0])  # beside all facts there is nothing to keep
    assert recall({0, 2, 4}, sets, 6) == (1, sets[0])


def test_several_targets_are_wanted_together():
    """Two facts that follow from nothing else, one more, and two questions: what is wanted is both."""
    facts = [("a", "father", "b"), ("c", "father", "d"), ("e", "father", "f")]
    arrays = scores(unknown=[0, 3], targets=(0, 1))
    arrays |= {"fact": np.array([*facts, *[("", "", "")] * 3])}
    found = aggregate(arrays, values(arrays, None), None, 0)
    assert (found["deep_success"], found["deep_recall"], found["targets_gone"]) == (0.5, 0.5, 0.5)
    assert found["deep_accuracy"] == pytest.approx(
        1 - 1 / 4
    )  # of one more fact and three questions one question
    assert found["deep_accuracy_relations"] == 1  # the question is no fact
    arrays["target"][2] = True
    found = aggregate(arrays, values(arrays, None), None, 0)
    assert "deep_accuracy_relations" not in found and found["deep_accuracy"] == pytest.approx(1 - 1 / 3)


def test_known_is_every_token_of_the_answer():
    correct = np.array([[False, True, True], [False, True, False], [True, False, False]])
    mask = np.array([[False, True, True], [False, True, True], [False, False, True]])
    assert known(correct, mask).tolist() == [True, False, False]


def test_the_published_example():
    if not GOLDEN.exists():
        pytest.skip("golden values are kept outside of the repository")
    golden = json.loads(GOLDEN.read_text())
    example, count = golden["example"], len(golden["facts"])
    lost = {place for place, right in enumerate(example["relationships_correct"]) if not right}
    sets = [frozenset(one) for one in golden["minimal_sets_of_100_draws"][str(example["target"])]]
    share, one = recall(lost, sets, count)
    assert share == pytest.approx(example["recall"])
    assert accuracy(lost, one, count) == pytest.approx(example["accuracy_relationships"])
    others = {count + place for place, right in enumerate(example["biographies_correct"]) if not right}
    whole = count + len(example["biographies_correct"])
    assert accuracy(lost | others, one, whole) == pytest.approx(example["accuracy_all"])


def test_success_is_that_a_minimal_set_is_lost():
    deduction, sets = Deduction(FAMILY), [{0, 1}, {0, 2, 3}]
    draw = np.random.default_rng(0)
    for _ in range(16):
        lost = set(np.flatnonzero(draw.random(4) < 0.6).tolist())
        assert success(deduction, [0], lost) == any(one <= lost for one in sets)


def test_families_depend_on_their_number_alone_and_name_nobody_twice():
    few, _ = examples(Options(families=2), 3)
    more, origin = examples(Options(families=4), 3)
    pd.testing.assert_frame_equal(few, more.iloc[: len(few)])
    assert more["subject"].value_counts().unique().tolist() == [24 + 18]
    again, same = examples(Options(families=4), 3)
    assert origin == same and not more["text"].equals(examples(Options(families=4), 4)[0]["text"])
    asked = [prompt[0]["content"] for prompt in more["prompt"]]
    assert len(set(asked)) == len(asked)
    for _, rows in more[more["fact"].notna()].groupby("subject"):
        facts = [tuple(fact) for fact in rows["fact"]]
        assert set(rows["text"]) == {relation for _, relation, _ in facts}
        assert set(Deduction(facts).facts) >= set(facts)
    with pytest.raises(InputError, match=r"facts: 99; allowed are 1 to 36"):
        examples(Options(facts=99), 1)
    assert MOST == 36


def test_facts_of_a_file_get_names(tmp_path):
    content = {"gender": ["male", "male", "female"], "facts": [[1, "father", 0], [2, "brother", 1]]}
    (tmp_path / "facts.json").write_text(json.dumps(content))
    frame, _ = examples(Options(families=1, file=str(tmp_path / "facts.json")), 1)
    first = frame[frame["subject"] == "family-file"]
    assert [tuple(fact) for fact in first["fact"].dropna()] == [
        ("file.1m", "father", "file.0m"), ("file.2f", "brother", "file.1m"),
    ]  # fmt: skip
    assert len(first) == 2 + 2 * 3
    for wrong in (
        {"facts": []},
        {"gender": ["male"], "facts": [[0, "cousin", 0]]},
        {"gender": ["x"], "facts": []},
    ):
        (tmp_path / "wrong.json").write_text(json.dumps(wrong))
        with pytest.raises(InputError, match=r"dataset.options.file: .*wrong.json"):
            examples(Options(families=1, file=str(tmp_path / "wrong.json")), 1)


def test_the_published_facts_are_read_by_their_path():
    if not GOLDEN.exists():
        pytest.skip("golden values are kept outside of the repository")
    frame, _ = examples(Options(families=1, file=str(GOLDEN)), 1)
    first = frame[frame["subject"] == "family-file"]
    assert len(first) == 400 + 2 * 100 and first["fact"].notna().sum() == 400
    asked = [prompt[0]["content"] for prompt in first["prompt"]]
    assert len(set(asked)) == len(asked)


def test_a_study_of_the_published_facts(tmp_path):
    """As docs/howto/deep-unlearning.md has it: targets follow from the rest, and from what deep leaves they do not."""
    if not GOLDEN.exists():
        pytest.skip("golden values are kept outside of the repository")
    options = {"families": 5, "file": str(GOLDEN), "biographies": False}
    sizes = {"train": 424, "validation": 24, "holdout": 24, "test": 24}
    dataset = {"source": "families", "options": options, "sizes": sizes, "deduplicate": False}
    prepare({"task": "generation", "dataset": dataset, "seed": 2}, tmp_path / "prepared")
    forget({"forget": {"strategy": "deep", "size": 8}}, 1, tmp_path / "prepared", tmp_path / "deep")
    rows = pd.read_parquet(tmp_path / "prepared/examples.parquet").set_index("id")
    pool = rows[rows["split"] == "train"]
    assert (pool["subject"] == "family-file").sum() == 400
    sets = pd.read_parquet(tmp_path / "deep/sets.parquet").set_index("id")
    deduction, ids = Deduction([tuple(fact) for fact in pool["fact"]]), pool.index.tolist()
    forgotten = {ids.index(one) for one in sets.index[sets["set"] == "forget"]}
    targets = [ids.index(one) for one in sets.index[sets["target"]]]
    assert len(targets) == 8 < len(forgotten)
    for target in targets:
        assert deduction.derivable(target, {target}) and not deduction.derivable(target, forgotten)


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """Families, forgotten in both ways, and the scores of a model that was trained on nothing."""
    root = tmp_path_factory.mktemp("families")
    sizes = {"train": 84, "validation": 42, "holdout": 42, "test": 42}
    dataset = {"source": "families", "options": {"families": 5}, "sizes": sizes, "deduplicate": False}
    prepare({"task": "generation", "dataset": dataset, "seed": 1}, root / "prepared")
    for strategy in ("superficial", "deep"):
        forget({"forget": {"strategy": strategy, "size": 3}}, 1, root / "prepared", root / strategy)
    model = {"source": "tiny-gpt-neo", "max_length": 48, "options": {"hidden_size": 8, "vocab_size": 300}}
    cfg = {"task": "generation", "model": model, "train": {"finetune": {}}}
    train(Job(cfg, 1, "base", root / "base", root / "state", None), root / "prepared")
    settings = {"task": "generation", "model": model, "score": {"n": [1], "extract": ["forget"], "tries": 0}}
    for strategy in ("superficial", "deep"):
        score(settings, root / "prepared", root / strategy, root / "base/model", root / f"{strategy}.npz")
    return root


def test_deep_forgets_the_same_targets_with_what_they_follow_from(study):
    sets = {
        name: pd.read_parquet(study / name / "sets.parquet").set_index("id")
        for name in ("superficial", "deep")
    }
    targets = set(sets["superficial"].index[sets["superficial"]["set"] == "forget"])
    assert len(targets) == 3 and set(sets["deep"].index[sets["deep"]["target"]]) == targets
    forgotten = set(sets["deep"].index[sets["deep"]["set"] == "forget"])
    assert targets < forgotten
    rows = pd.read_parquet(study / "prepared/examples.parquet").set_index("id")
    pool = rows[(rows["split"] == "train") & rows["fact"].notna()]
    deduction, ids = Deduction([tuple(fact) for fact in pool["fact"]]), pool.index.tolist()
    for number in map(ids.index, targets):
        assert deduction.derivable(number, {number})
        assert not deduction.derivable(number, {ids.index(one) for one in forgotten})


def test_scores_say_what_was_asked_for(study):
    for strategy in ("superficial", "deep"):
        arrays = load(study / f"{strategy}.npz")
        assert arrays["target"].sum() == 3 and set(arrays["sets"][arrays["target"]]) == {"forget"}
        assert arrays["fact"].shape == (len(arrays["ids"]), 3)
        assert ((arrays["fact"][:, 0] != "") == ["fact" in name for name in arrays["ids"]]).all()


def test_a_run_beside_itself_has_lost_nothing(study, tmp_path):
    arrays = dict(np.load(study / "deep.npz"))
    arrays["correct"][:] = True
    np.savez(tmp_path / "scores.npz", **arrays)
    measure(
        {"measure": {"bootstrap": 100}},
        1,
        tmp_path / "scores.npz",
        tmp_path,
        original=tmp_path / "scores.npz",
    )
    found = json.loads((tmp_path / "metrics.json").read_text())
    assert [*deep(found), found["known_forget"]] == [0, 0, 1, 0, 1]
    facts = arrays["fact"][:, 0] != ""
    arrays["correct"][facts & np.isin(arrays["sets"], ["forget"])] = False
    np.savez(tmp_path / "after.npz", **arrays)
    measure(
        {"measure": {"bootstrap": 100}},
        1,
        tmp_path / "after.npz",
        tmp_path / "b",
        original=tmp_path / "scores.npz",
    )
    found = json.loads((tmp_path / "b/metrics.json").read_text())
    assert found["deep_success"] == found["deep_recall"] == found["targets_gone"] == 1


def test_the_report_says_that_retraining_leaves_facts_derivable():
    class Results:
        summaries = {"retrain": {"deep_success": {"mean": 0.0}, "targets_gone": {"mean": 0.75}}}  # noqa: RUF012

    (text,) = derivable(Results)
    assert "75% of the target facts" in text and "every one of them follows" in text
    Results.summaries["retrain"]["deep_success"]["mean"] = 0.5
    assert "50% no longer follow" in derivable(Results)[0]
    Results.summaries = {"retrain": {}}
    assert derivable(Results) == []


def test_deep_asks_for_everything_at_once():
    with pytest.raises(ValueError, match="all at once"):
        Forget(strategy="deep", size=4, requests=2)


def test_facts_are_needed(tmp_path, study):
    rows = pd.read_parquet(study / "prepared/examples.parquet").drop(columns="fact")
    rows.to_parquet(tmp_path / "examples.parquet")
    with pytest.raises(InputError, match=r"forget.strategy: .*need facts"):
        forget({"forget": {"strategy": "deep", "size": 3}}, 1, tmp_path, tmp_path / "out")
    with pytest.raises(InputError, match=r"forget.size: 60; \d+ facts of train follow"):
        forget({"forget": {"strategy": "superficial", "size": 60}}, 1, study / "prepared", tmp_path / "out")


def test_published_facts_are_learnt_and_forgotten_again(tmp_path):
    """The first of them: the original knows them, ascent on targets with their minimal sets leaves none to follow."""
    if not GOLDEN.exists():
        pytest.skip("golden values are kept outside of the repository")
    golden, prepared, sets = json.loads(GOLDEN.read_text()), tmp_path / "prepared", tmp_path / "deep"
    few = {"facts": golden["facts"][:40], "gender": golden["gender"]}
    (tmp_path / "facts.json").write_text(json.dumps(few))
    options = {"families": 3, "facts": 4, "file": str(tmp_path / "facts.json"), "biographies": False}
    sizes = {"train": 40, "validation": 4, "holdout": 4, "test": 4}
    dataset = {"source": "families", "options": options, "sizes": sizes, "deduplicate": False}
    prepare({"task": "generation", "dataset": dataset, "seed": 0}, prepared)
    forget({"forget": {"strategy": "deep", "size": 2}}, 1, prepared, sets)
    model = SMALL["generation"] | {"max_length": 40}
    recipe = FINETUNE["generation"] | {"epochs": 45, "batch": {"retain": 8}}
    ascent = {"epochs": 1, "learning_rate": 0.1, "batch": {"forget": 4}, "clip": None}
    cfg = {"task": "generation", "model": model, "train": {"finetune": recipe}}
    cfg["method"] = {"objective": "gradient_ascent", "training": ascent}

    def job(run):
        return Job(cfg, 1, run, tmp_path / run, tmp_path / "checkpoints" / run / "state", None)

    train(job("base"), prepared)
    train(job("original"), prepared, sets, tmp_path / "base/model")
    unlearn(job("ascent"), prepared, sets, tmp_path / "original/model", tmp_path / "base/model")
    found = {}
    for run in ("original", "ascent"):
        settings = {"task": "generation", "model": model, "score": {"n": [1], "extract": [], "tries": 0}}
        file, first = tmp_path / f"{run}.npz", tmp_path / "original.npz"
        score(settings, prepared, sets, tmp_path / run / "model", file)
        measure({"measure": {"bootstrap": 100}}, 1, file, tmp_path / f"{run}-numbers", original=first)
        found[run] = json.loads((tmp_path / f"{run}-numbers/metrics.json").read_text())
    assert found["original"]["known_forget"] == found["original"]["known_retain"] == 1
    assert found["ascent"]["known_forget"] == found["ascent"]["known_retain"] == 0
    assert deep(found["original"]) == [0, 0, 1, 0] and deep(found["ascent"]) == [1, 1, 0, 1]
