"""From scores.npz to metrics.json and metrics.parquet."""

import json

import numpy as np
import pandas as pd
import pyarrow.parquet
import pytest
from synthetic import classification_scores, generation_scores

from lethe.evaluation.scores import load
from lethe.measure import measure, measure_texts, shadow_files
from lethe.system import plugins
from lethe.system.arrays import COMMON, NOT_PER_EXAMPLE
from lethe.system.errors import InputError

CFG = {"measure": {"bootstrap": 100}}


def save(path, scores):
    np.savez(path, **scores)
    return path


def measured(folder, scores, seed=0, **more):
    measure(CFG, seed, save(folder / "scores.npz", scores), folder / "out", **more)
    columns = pyarrow.parquet.read_table(folder / "out/metrics.parquet").to_pydict()
    return json.loads((folder / "out/metrics.json").read_text()), columns


def test_classifier_that_remembers_is_found_out_and_one_that_forgot_is_not(tmp_path):
    original, _ = measured(tmp_path, classification_scores(0, memory=1.0))
    forgotten, _ = measured(tmp_path, classification_scores(0, memory=0.0))
    wrecked, _ = measured(tmp_path, classification_scores(0, memory=0.0, utility=0.0))
    assert original["attack_auc_low"] > 0.6
    assert forgotten["attack_auc_low"] < 0.5 < forgotten["attack_auc_high"]
    assert wrecked["accuracy_test"] < 0.5 < original["accuracy_test"]
    assert original["centroid_distance_forget"] < forgotten["centroid_distance_forget"] - 0.01
    assert original["silhouette_forget"] > forgotten["silhouette_forget"] + 0.01


def test_generator_that_remembers_is_found_out_and_one_that_forgot_is_not(tmp_path):
    original, _ = measured(tmp_path, generation_scores(0, memory=1.0))
    forgotten, _ = measured(tmp_path, generation_scores(0, memory=0.0))
    for score in ("loss", "loss_zlib", "min_k", "min_k_plus", "attack"):
        assert original[f"{score}_auc_low"] > 0.6, score
        assert forgotten[f"{score}_auc_low"] < 0.5 < forgotten[f"{score}_auc_high"], score
    assert original["memorization_accuracy_forget"] > forgotten["memorization_accuracy_forget"] + 0.3
    assert original["extraction_likelihood_10_forget"] > forgotten["extraction_likelihood_10_forget"] + 0.5


@pytest.mark.parametrize(("scores", "least"), [(classification_scores, 6), (generation_scores, 5)])
def test_a_member_scores_lower_by_every_score(tmp_path, scores, least):
    # also by one that is added later: whatever is judged as an attack writes NAME_auc
    numbers, _ = measured(tmp_path, scores(0, memory=1.0))
    areas = {name: value for name, value in numbers.items() if name.endswith("_auc")}
    assert len(areas) >= least
    assert not [name for name, value in areas.items() if value <= 0.5]


def test_one_row_per_example_and_means_agree_with_the_aggregates(tmp_path):
    scores = generation_scores(0, 0.5)
    numbers, columns = measured(tmp_path, scores)
    assert columns["id"] == scores["ids"].tolist()
    rows = [i for i, s in enumerate(columns["set"]) if s == "forget"]
    for column in ("memorization_accuracy", "loss", "extraction_strength", "extraction_likelihood_5"):
        assert numbers[f"{column}_forget"] == pytest.approx(np.mean([columns[column][i] for i in rows]))


def test_extraction_is_absent_not_zero_where_nothing_was_decoded(tmp_path):
    numbers, columns = measured(tmp_path, generation_scores(0, 0.5))
    assert "extraction_likelihood_10_forget" in numbers
    assert "extraction_likelihood_10_test" not in numbers
    values = dict(zip(columns["set"], columns["extraction_likelihood_10"], strict=True))
    assert values["test"] is None
    assert values["forget"] is not None


@pytest.mark.parametrize("make", [classification_scores, generation_scores])
def test_a_rerun_writes_the_same_bytes(tmp_path, make):
    path = save(tmp_path / "scores.npz", make(0, 0.5))
    for name in ("a", "b"):
        measure(CFG, 3, path, tmp_path / name)
    for file in ("metrics.json", "metrics.parquet"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


@pytest.mark.parametrize("make", [classification_scores, generation_scores])
def test_the_order_of_examples_changes_no_mean(tmp_path, make):
    scores = make(0, 0.5)
    order = np.random.default_rng(0).permutation(len(scores["ids"]))
    shuffled = {k: v if k in NOT_PER_EXAMPLE else v[order] for k, v in scores.items()}
    first, _ = measured(tmp_path, scores)
    second, _ = measured(tmp_path, shuffled)
    steady = [k for k in first if not k.endswith(("auc_low", "auc_high"))]  # those depend on the draws
    assert {k: second[k] for k in steady} == pytest.approx({k: first[k] for k in steady}, abs=1e-6)


def test_padding_changes_nothing(tmp_path):
    scores = generation_scores(0, 0.5)
    wide = dict(scores)
    for name in ("logprob", "mu", "sigma", "mask", "correct"):
        wide[name] = np.pad(scores[name], ((0, 0), (0, 5)))
    assert measured(tmp_path, wide)[0] == pytest.approx(measured(tmp_path, scores)[0], abs=1e-9)


def test_reference_scores_are_matched_by_id(tmp_path):
    scores, other = generation_scores(0, 1.0), generation_scores(1, 0.0)
    other |= {"mask": scores["mask"], "logprob": np.where(scores["mask"], -2.0, np.nan)}
    order = np.random.default_rng(0).permutation(len(other["ids"]))
    shuffled = {k: v if k in NOT_PER_EXAMPLE else v[order] for k, v in other.items()}
    numbers, columns = measured(tmp_path, scores, reference=save(tmp_path / "reference.npz", shuffled))
    assert columns["reference_loss"] == pytest.approx(np.array(columns["loss"]) - 2.0)
    assert numbers["reference_loss_auc"] > 0.6
    shuffled["ids"] = shuffled["ids"].astype("U20")
    shuffled["ids"][0] = "somebody else"
    with pytest.raises(InputError, match=r"reference.npz: lacks 1 of the examples"):
        measured(tmp_path, scores, reference=save(tmp_path / "reference.npz", shuffled))


def broken(name):
    if name == "attack":  # nothing that was to be forgotten
        scores = classification_scores(0, 1.0)
        scores["sets"][scores["sets"] == "forget"] = "retain"
        return scores
    scores = generation_scores(0, 1.0)
    if name == "missing":
        del scores["sigma"]
    if name == "short":
        scores["zlib_bytes"] = scores["zlib_bytes"][:-1]
    if name == "nan":
        scores["logprob"][7, 3] = np.nan
    return scores


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("missing", "lacks the arrays sigma"),
        ("short", "zlib_bytes has 329 rows, ids 330"),
        ("nan", "logprob of 1 examples is not finite, first 'forget7'"),
        ("attack", "no example of forget"),
    ],
)
def test_bad_scores_end_in_one_line(tmp_path, name, message):
    with pytest.raises(InputError, match=message) as error:
        load(save(tmp_path / "scores.npz", broken(name)))
    assert "scores.npz" in str(error.value)


def test_missing_file_and_pickle_are_refused(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        load(tmp_path / "absent.npz")
    np.savez(tmp_path / "pickled.npz", ids=np.array([{}], dtype=object))
    with pytest.raises(InputError, match="plain arrays"):
        load(tmp_path / "pickled.npz")
    torn = save(tmp_path / "torn.npz", generation_scores(0, 1.0))
    torn.write_bytes(torn.read_bytes()[:3000])
    np.save(tmp_path / "one.npy", np.arange(3))
    (tmp_path / "one.npy").rename(tmp_path / "one.npz")
    for path in (torn, tmp_path / "one.npz"):
        with pytest.raises(InputError, match="plain arrays"):
            load(path)


def test_the_arrays_of_the_contract_are_the_arrays_asked_for():
    for task, scores in (("classification", classification_scores), ("generation", generation_scores)):
        assert {*COMMON, *plugins.constants_in("tasks", task)["ARRAYS"]} <= set(scores(0, 1.0))


@pytest.mark.parametrize(("classified", "chosen"), [(False, ["t0", "t1"]), (True, ["t2", "t3"])])
def test_the_blind_control_is_judged_on_the_examples_that_attacks_are_judged_on(tmp_path, classified, chosen):
    """The nearest in what the model reads; of a classifier those of the class. No other example was scored."""
    rows = [("f0", "a a", 0, "forget"), ("f1", "a a a", 0, "forget"), ("h", "a", 0, "holdout")]
    rows += [("t0", "b b " * 50, 1, "test"), ("t1", "b b b" * 50, 1, "test"), ("t2", "b" * 80, 0, "test")]
    rows += [("t3", "b" * 90, 0, "test")]
    table = pd.DataFrame(rows, columns=["id", "text", "label", "set"]).assign(subject=None, cluster=range(7))
    other = table.iloc[:1].assign(id="unread", cluster=7)
    pd.concat([other, table.iloc[::-1]]).to_parquet(tmp_path / "examples.parquet")
    scores = classification_scores(0, 1.0) if classified else generation_scores(0, 1.0)
    arrays = {name: values if name in NOT_PER_EXAMPLE else values[:7] for name, values in scores.items()}
    arrays |= {"ids": table["id"].to_numpy(str), "sets": table["set"].to_numpy(str)}
    arrays |= {"characters": np.array([3, 5, 1, 3, 5, 80, 90]), "extracted": np.zeros(7, bool)}
    if classified:
        arrays["labels"] = table["label"].to_numpy()
    cfg = {"measure": {"bootstrap": 100, "matched": True}}
    measure_texts(cfg, 0, tmp_path, save(tmp_path / "scores.npz", arrays), tmp_path / "out")
    found = pd.read_parquet(tmp_path / "out/metrics.parquet").set_index("id")["blind"].dropna()
    assert found.index.tolist() == ["f0", "f1", *chosen]


def test_the_blind_control_sees_no_more_of_a_text_than_models_read(tmp_path):
    """All begin alike; what tells forget from test comes after what is read."""
    scores = generation_scores(0, 1.0)
    scores["characters"] = np.full(len(scores["ids"]), 9)
    ends = np.where(scores["sets"] == "forget", " secret", " public")
    texts = [f"word {number % 7:04d}{end}" for number, end in enumerate(ends)]
    table = pd.DataFrame({"id": scores["ids"], "text": texts, "subject": None, "cluster": range(len(texts))})
    table.to_parquet(tmp_path / "examples.parquet")
    path = save(tmp_path / "scores.npz", scores)
    measure_texts(CFG, 0, tmp_path, path, tmp_path / "out")
    numbers = json.loads((tmp_path / "out/metrics.json").read_text())
    assert numbers["blind_leak"] == 0 and numbers["blind_auc"] < 0.7  # of whole texts it is 1
    table.iloc[1:].to_parquet(tmp_path / "examples.parquet")
    with pytest.raises(InputError, match=r"scores.npz: 1 examples are not in .*, first 'forget0'"):
        measure_texts(CFG, 0, tmp_path, path, tmp_path / "out")


def test_a_folder_of_shadow_models_stands_for_those_of_the_seeds(tmp_path):
    """In their order, which is not that of the names; without seeds nobody knows which are meant."""
    few = {"models": 4, "first_seed": 998}
    expected = [tmp_path / f"seed{seed}/scores.npz" for seed in (998, 999, 1000, 1001)]
    assert shadow_files([tmp_path], few) == expected
    assert shadow_files(expected[:1], None) == expected[:1]
    with pytest.raises(InputError, match=f"--shadow: {tmp_path}: a folder; needed in --cfg is shadow"):
        shadow_files([tmp_path], None)
