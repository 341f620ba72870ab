"""Shadow models: how halves are drawn, how scores are put together, and that they find what a model was trained on."""

import json

import numpy as np
import pandas as pd
import pytest
import study

from lethe.evaluation.shadows import gathered
from lethe.forget import forget, shadow_sets
from lethe.measure import measure
from lethe.metrics.lira import lira_offline, lira_online, logit_confidence
from lethe.params.study import Study
from lethe.score import score
from lethe.system.errors import InputError
from lethe.system.files import digest
from lethe.train import train


def examples(count=400):
    split = np.resize(["train", "train", "holdout", "test", "validation", "general"], count)
    subject = [f"s{k // 4}" if k % 8 < 4 else None for k in range(count)]
    frame = pd.DataFrame({"id": [f"r{k}" for k in range(count)], "split": split, "cluster": np.arange(count)})
    return frame.assign(subject=subject)


def test_every_text_is_in_exactly_half_of_the_shadow_models():
    frame = examples()
    drawn = pd.DataFrame({seed: shadow_sets(frame, seed) for seed in range(1000, 1008)})
    divided = frame["split"].isin(["train", "holdout", "test"])
    assert ((drawn[divided] == "retain").sum(axis=1) == 4).all()
    assert ((drawn[divided] == "forget").sum(axis=1) == 4).all()
    assert drawn[~divided].eq(frame["split"][~divided], axis=0).all().all()
    inside = (drawn[divided] == "retain").mean()
    assert inside.between(0.4, 0.6).all()
    assert not drawn[1000].equals(drawn[1002])
    assert (drawn[1000][divided] != drawn[1001][divided]).all()


def test_texts_of_one_person_are_on_one_side():
    frame = examples()
    pool = frame.assign(set=shadow_sets(frame, 1002))[frame["split"].isin(["train", "holdout", "test"])]
    assert (pool.dropna(subset=["subject"]).groupby("subject")["set"].nunique() == 1).all()


CHECKSUM = {
    name: number for number, name in enumerate(["r0", "r1", "r2", "r3", "r4", "r5", "other", "unheard"])
}


def shadow_files(folder, count=4, examples=6):
    """Shadow models of `examples` classified examples and one that is never divided; order and sets differ."""
    rng, paths = np.random.default_rng(0), []
    ids = np.array([*(f"r{k}" for k in range(examples)), "other"])
    for number in range(count):
        order = rng.permutation(len(ids))
        sets = np.array([*np.where((np.arange(examples) + number) % 2, "retain", "forget"), "validation"])
        logits, labels = rng.normal(size=(len(ids), 3)), np.arange(len(ids)) % 3
        paths.append(folder / f"shadow{number}.npz")
        checksum = np.array([CHECKSUM[name] for name in ids])[order]
        np.savez(paths[-1], ids=ids[order], sets=sets[order], logits=logits, labels=labels, checksum=checksum)
    return paths


def told(paths, *ids):
    """What the shadow models say of the examples, if these were read alike."""
    return gathered(paths, np.array(ids), np.array([CHECKSUM[name] for name in ids]))


def test_scores_are_put_together_by_record(tmp_path):
    paths = shadow_files(tmp_path)
    found = told(paths, "r3", "other", "unheard", "r0")
    assert found["shadow_known"].tolist() == [True, False, False, True]
    assert not found["shadow_member"][1:3].any()
    for number, path in enumerate(paths):
        with np.load(path) as file:
            place = file["ids"].tolist().index("r3")
            expected = logit_confidence(file["logits"], file["labels"])[place]
        assert found["shadow_confidence"][0, number] == expected
        assert found["shadow_member"][0, number] == ((3 + number) % 2 == 1)
        assert found["shadow_member"][3, number] == (number % 2 == 1)


def test_shadow_models_of_other_examples_are_refused(tmp_path):
    paths = shadow_files(tmp_path)
    with pytest.raises(InputError, match=r"none.npz: no scores of a shadow model"):
        told([tmp_path / "none.npz"], "r0")
    (tmp_path / "few").mkdir()
    few = shadow_files(tmp_path / "few", examples=3)
    with pytest.raises(InputError, match="other examples"):
        told([paths[0], few[0]], "r0", "r5")


def test_shadow_models_that_read_other_tokens_are_refused(tmp_path):
    paths = shadow_files(tmp_path)
    with pytest.raises(InputError, match=r"shadow0.npz: read other tokens than the model, first of 'r3'"):
        gathered(paths, np.array(["r0", "unheard", "r3"]), np.array([0, 99, 99]))


def test_a_shadow_model_that_broke_is_named(tmp_path):
    path = shadow_files(tmp_path)[0]
    with np.load(path) as file:
        arrays = {name: file[name] for name in file.files}
    arrays["logits"][arrays["ids"] == "r2"] = np.nan
    np.savez(path, **arrays)
    with pytest.raises(InputError, match=r"shadow0.npz: .* not finite, first in 'r2'"):
        told([path], "r0", "r2")
    assert np.isfinite(told([path], "r0", "r1")["shadow_confidence"]).all()


@pytest.mark.parametrize("attack", [lira_online, lira_offline])
def test_a_member_scores_lower(attack):
    shadow, member = np.tile([0.0, 1, 2, 3], (2, 1)), np.tile([False, False, True, True], (2, 1))
    sure, unsure = attack(np.array([2.6, 0.4]), shadow, member)
    assert sure < unsure


@pytest.fixture(scope="module")
def attacked(tmp_path_factory):
    """A generator that learnt its texts by heart, four shadow models, and the scores of all."""
    folder = tmp_path_factory.mktemp("attacked")
    cfg = study.prepared(folder, "generation")
    cfg["train"]["finetune"] = cfg["train"]["finetune"] | {"epochs": 25}
    train(study.job(folder, cfg, "base"), folder / "prepared")
    base = folder / "base" / "model"
    for seed in range(1000, 1004):
        sets = folder / f"half{seed}"
        forget(cfg | {"forget": {"strategy": "shadow"}}, seed, folder / "prepared", sets)
        train(study.job(folder, cfg, "shadow", seed, f"shadow{seed}"), folder / "prepared", sets, base)
        plain = cfg | {"score": {"extract": []}}
        score(plain, folder / "prepared", sets, folder / f"shadow{seed}" / "model", folder / f"{seed}.npz")
    for run in ("original", "retrain", "retrain-2"):
        train(study.job(folder, cfg, run), folder / "prepared", folder / "forget", base)
        score(cfg, folder / "prepared", folder / "forget", folder / run / "model", folder / f"{run}.npz")
    return folder


def test_shadow_models_tell_what_a_model_was_trained_on(attacked, tmp_path):
    shadows = [attacked / f"{seed}.npz" for seed in range(1000, 1004)]
    numbers, columns = {}, {}
    for run in ("original", "retrain"):
        cfg = {"measure": {"bootstrap": 100}}
        measure(cfg, 1, attacked / f"{run}.npz", tmp_path / run, attacked / "retrain.npz", shadows)
        numbers[run] = json.loads((tmp_path / run / "metrics.json").read_text())
        columns[run] = pd.read_parquet(tmp_path / run / "metrics.parquet").set_index("set")
    for attack in ("lira", "lira_offline", "rmia", "rmia_offline"):
        assert numbers["original"][f"{attack}_auc"] > 0.9, attack
        forget = {run: columns[run].loc["forget", attack].mean() for run in columns}
        assert forget["original"] < forget["retrain"], attack
        assert f"{attack}_balanced_accuracy" in numbers["original"]
    assert numbers["original"]["reference_loss_auc"] > 0.9
    values = columns["original"]["lira"]
    assert values[["forget", "retain", "holdout", "test"]].notna().all()
    assert values[["general_test"]].isna().all()


def test_a_second_retrained_model_differs_in_its_streams_alone(attacked, tmp_path):
    first, second = (attacked / run / "model.sha256" for run in ("retrain", "retrain-2"))
    assert first.read_text() != second.read_text()
    steps = [len((attacked / run / "trace.csv").read_text().splitlines()) for run in ("retrain", "retrain-2")]
    assert steps[0] == steps[1]
    cfg = json.loads(json.dumps(study.parameters(tmp_path, "generation")))
    cfg["train"]["finetune"]["epochs"] = 25
    inputs = attacked / "prepared", attacked / "forget", attacked / "base" / "model"
    train(study.job(tmp_path, cfg, "retrain-2"), *inputs)
    assert (tmp_path / "retrain-2/model.sha256").read_text() == second.read_text()
    assert digest(tmp_path / "retrain-2/model") + "\n" == second.read_text()


@pytest.mark.parametrize(
    ("block", "message"),
    [
        ({"shadow": {"models": 5}}, "shadow.models"),
        ({"shadow": {"models": 2}}, "shadow.models"),
        ({"shadow": {"models": 4, "first_seed": 999}}, "shadow.first_seed"),
        ({"shadow": {"models": 8}, "seeds": [1, 1007]}, "makes 1007 the seed of a shadow model"),
        ({"measure": {"reference": "base"}}, "measure.reference: base is for generation"),
        (
            {"methods": {"shadow": {"objective": "finetune"}}},
            "methods.shadow: is the name of a reference run",
        ),
        ({"methods": {"retrain-3": {"objective": "finetune"}}}, "methods.retrain-3: is the name"),
    ],
)
def test_parameters_that_cannot_be(block, message):
    wish = {
        "task": "classification", "seeds": [1], "dataset": {"source": "docstrings"}, "model": "tiny-bert",
        "forget": {"strategy": "random", "size": 8}, "train": {"finetune": {}}, "methods": {"finetune": {}},
    }  # fmt: skip
    with pytest.raises(ValueError) as error:  # noqa: PT011, pydantic's
        Study.model_validate(wish | block)
    assert message in str(error.value).replace("\n", ".")
