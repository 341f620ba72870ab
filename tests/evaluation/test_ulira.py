"""U-LiRA: how what is audited is divided, and that it finds what a method leaves behind."""

import json

import numpy as np
import pandas as pd
import pytest
import study

from lethe.forget import audit_sets, forget
from lethe.measure import measure
from lethe.metrics import ulira
from lethe.metrics.lira import lira_online
from lethe.params.study import Study
from lethe.score import score
from lethe.system.errors import InputError
from lethe.train import train
from lethe.unlearn import unlearn

SEEDS = range(2000, 2004)


def examples(count=120):
    """Twelve texts to forget, about four people, 24 of test; the sets at the study's seed."""
    sets = np.resize(["retain", "retain", "test", "holdout", "validation"], count).astype(object)
    sets[:12] = "forget"
    subject = [f"s{k // 3}" if k < 12 else None for k in range(count)]
    return pd.DataFrame(
        {"id": [f"r{k}" for k in range(count)], "set": sets, "cluster": np.arange(count), "subject": subject}
    )


def test_every_audited_text_is_forgotten_by_exactly_half_of_the_models():
    frame = examples()
    drawn = pd.DataFrame({seed: audit_sets(frame, 1, seed) for seed in range(2000, 2008)})
    inside = (drawn == "forget").sum(axis=1)
    assert (inside[frame["set"] == "forget"] == 4).all()
    tests = inside[frame["set"] == "test"]
    assert (
        sorted(set(tests)) == [0, 4] and (tests == 4).sum() == 12
    )  # as many test texts as there are to forget
    audited = inside > 0
    assert drawn[audited].isin(["forget", "test"]).all(axis=None)
    assert drawn[~audited].eq(frame["set"][~audited], axis=0).all(axis=None)
    assert ((drawn[2000] == "forget") != (drawn[2001] == "forget"))[audited].all()
    assert not drawn[2000].equals(drawn[2002])
    people = drawn[:12].groupby(frame["subject"][:12])
    assert (people.nunique() == 1).all(axis=None)


def test_one_person_alone_cannot_be_divided():
    frame = examples().assign(subject=lambda f: f["subject"].where(f.index >= 12, "one"))
    frame = frame[frame["set"] != "test"].reset_index(drop=True)
    with pytest.raises(
        InputError, match="single group"
    ):  # it is inside the first as a whole, in the other nothing is
        [audit_sets(frame, 1, seed) for seed in (2000, 2001)]


@pytest.fixture(scope="module")
def attacked(tmp_path_factory):
    """Four models that a method which does nearly nothing has let forget, and the scores of what they attack."""
    folder = tmp_path_factory.mktemp("ulira")
    cfg = study.prepared(folder, "generation")
    cfg["train"]["finetune"] = cfg["train"]["finetune"] | {"epochs": 25}
    cfg["method"] = {
        "objective": "gradient_ascent",
        "training": study.TRAINING | {"epochs": 1, "learning_rate": 1e-6},
    }
    prepared = folder / "prepared"
    train(study.job(folder, cfg, "base"), prepared)
    base = folder / "base" / "model"
    plain = cfg | {"score": {"extract": []}}

    def made(sets, seed, place):
        train(study.job(folder, cfg, "original", seed, f"original{seed}"), prepared, sets, base)
        start = folder / f"original{seed}" / "model"
        unlearn(study.job(folder, cfg, "idle", seed, f"idle{seed}"), prepared, sets, start, base)
        score(plain, prepared, sets, folder / f"idle{seed}" / "model", place)

    for seed in SEEDS:
        sets = folder / f"sets{seed}"
        forget(cfg | {"audited": 1}, seed, prepared, sets)
        made(sets, seed, folder / "scores/idle" / f"seed{seed}" / "scores.npz")
    made(folder / "forget", 1, folder / "scores/idle/seed1/scores.npz")
    train(study.job(folder, cfg, "retrain"), prepared, folder / "forget", base)
    score(plain, prepared, folder / "forget", folder / "retrain" / "model", folder / "retrain.npz")
    return folder


def test_a_method_that_does_nothing_is_found_out_and_a_retrained_model_is_not(attacked, tmp_path):
    cfg = {"measure": {}, "ulira": {"models": 4, "first_seed": 2000}}
    numbers, columns = {}, {}
    for run, scores in (("idle", "scores/idle/seed1/scores.npz"), ("retrain", "retrain.npz")):
        measure(cfg, 1, attacked / scores, tmp_path / run, unlearned_by=[attacked / "scores/idle"])
        numbers[run] = json.loads((tmp_path / run / "metrics.json").read_text())
        columns[run] = pd.read_parquet(tmp_path / run / "metrics.parquet").set_index("set")["ulira_idle"]
    found = {run: numbers[run]["ulira_idle_auc"] for run in numbers}
    assert found["idle"] > max(0.8, found["retrain"]), found
    assert columns["idle"]["forget"].median() < 0 < columns["retrain"]["forget"].median()
    assert numbers["idle"]["epsilon_idle"] > numbers["idle"]["epsilon_idle_null"]
    assert "epsilon_idle" not in numbers["retrain"]  # it is of the method's models, not of this one
    assert columns["idle"][["forget", "test"]].notna().all()
    assert columns["idle"][["retain", "holdout"]].isna().all()


def test_it_is_the_likelihood_ratio_of_models_that_forgot_a_text_and_that_never_saw_it():
    """Two audited texts and one that is not, four models: columns by hand, one spread for both texts."""
    shadow = np.array([[-1.0, -1.2, -3.0, -3.2], [-2.0, -2.2, -4.0, -4.2], [0.0, 0.0, 0.0, 0.0]])
    member = np.array([[True, True, False, False]] * 2 + [[False] * 4])
    scores = {
        "logprob": np.array([[-1.1, 0.0], [-4.1, 0.0], [-9.0, 0.0]]),
        "mask": np.array([[True, False]] * 3),
        "ulira_methods": np.array(["icu"]),
        "ulira_confidence": shadow[:, None],
        "ulira_member": member,
        "ulira_known": np.array([True, True, False]),
    }
    found = ulira.values(scores, None)["ulira_icu"]
    expected = lira_online(np.array([-1.1, -4.1]), shadow[:2], member[:2], shared_spread=True)
    assert found.tolist() == [*expected, None]
    assert found[0] == pytest.approx(-(2.0**2) / (2 * 0.02)) and found[1] == pytest.approx(
        2.0**2 / (2 * 0.02)
    )


@pytest.mark.parametrize(
    ("block", "message"),
    [
        ({"ulira": {"models": 5}}, "ulira.models"),
        ({"ulira": {"first_seed": 0}, "seeds": [3]}, "makes 3 the seed of an unlearned model"),
        (
            {"ulira": {"methods": ["icu"]}},
            "ulira.methods: icu is no method of the study; allowed are finetune",
        ),
        (
            {"ulira": {"first_seed": 1000}, "shadow": {"models": 4}},
            "makes 1000 the seed of an unlearned model",
        ),
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


def test_a_run_is_attacked_by_its_own_method_and_retrained_models_by_all_in_the_first_seed_alone():
    wish = {
        "task": "classification", "seeds": [3, 4], "dataset": {"source": "docstrings"},
        "model": {"source": "tiny-bert"}, "forget": {"strategy": "random", "size": 8},
        "train": {"finetune": {}, "retrains": 2}, "methods": {"finetune": {}, "gradient_ascent": {}},
    }  # fmt: skip
    all_of = Study.model_validate(wish | {"ulira": {}})
    assert (
        all_of.attacked_by("retrain", 3)
        == all_of.attacked_by("retrain-2", 3)
        == ["finetune", "gradient_ascent"]
    )
    assert all_of.attacked_by("finetune", 3) == ["finetune"]
    assert all_of.attacked_by("finetune", 4) == all_of.attacked_by("original", 3) == []
    some = Study.model_validate(wish | {"ulira": {"methods": ["finetune"]}})
    assert some.attacked_by("gradient_ascent", 3) == [] and some.attacked_by("retrain", 3) == ["finetune"]
    assert Study.model_validate(wish).attacked_by("retrain", 3) == []
