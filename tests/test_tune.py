"""Where the settings of trials come from."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pydantic import TypeAdapter

from lethe.params.file import load_params
from lethe.params.tune import Range, Space, Tune, extremes
from lethe.system import plugins
from lethe.system.errors import InputError
from lethe.system.files import write_json
from lethe.tune import Search, absolute, drawn, value_from

SPACES = {
    name: plugins.constants_in("objectives", name).get("SPACE", {}) for name in plugins.names_in("objectives")
}


@pytest.mark.parametrize("name", SPACES)
def test_a_space_holds_values_that_its_objective_takes(name):
    """The ends of every range, and every choice."""
    space = TypeAdapter(Space).validate_python(SPACES[name])
    hyper = plugins.dataclass_in("objectives", name, "Hyper")
    for key, choice in space.items():
        for value in extremes(choice):
            assert vars(hyper.validate_python({key: value}))[key] == value


def test_values_of_a_range_are_uniform_in_their_scale():
    """Quartiles of 2,000 draws lie where they are in the uniform distribution, to four standard errors."""
    draw = np.random.default_rng(0)
    for log, expected in ((True, [1e-4, 1e-3, 1e-2]), (False, [0.025, 0.05, 0.075])):
        choice = Range(low=1e-5 if log else 0.0, high=0.1, log=log)
        values = np.array([value_from(choice, draw) for _ in range(2000)])
        below = [(values <= quartile).mean() for quartile in expected]
        np.testing.assert_allclose(below, [0.25, 0.5, 0.75], atol=4 * np.sqrt(0.25 / 2000))
    whole = [value_from(Range(low=1, high=3), draw) for _ in range(200)]
    assert set(whole) == {1, 2, 3} and all(type(value) is int for value in whole)
    spread = [value_from(Range(low=1, high=100, log=True), draw) for _ in range(200)]
    assert all(type(value) is int and 1 <= value <= 100 for value in spread)
    assert 0.4 < np.mean(np.array(spread) <= 10) < 0.65
    assert {value_from(["a", "b"], draw) for _ in range(50)} == {"a", "b"}


def test_a_further_parameter_or_trial_changes_no_other_value():
    study = load_params(Path(__file__).parents[1] / "params.yaml").studies["topics"]
    settings = {"trials": 3, "seeds": [9], "select": {"metrics": {"x": 1}}}
    one = Tune.model_validate(settings | {"space": {"learning_rate": {"low": 0.1, "high": 0.9}}})
    two = Tune.model_validate(
        settings | {"space": {"epochs": [1, 2], "learning_rate": {"low": 0.1, "high": 0.9}}}
    )
    method = study.methods["deepcut"]
    rates = [
        [drawn("deepcut", method, rule, k)["training"]["learning_rate"] for k in (1, 2)]
        for rule in (one, two)
    ]
    assert rates[0] == rates[1] and rates[0][0] != rates[0][1]
    assert drawn("deepcut", method, one, 0) == method.model_dump(mode="json")


def test_local_files_are_named_so_that_any_folder_finds_them(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "texts.csv").touch()
    study = {"dataset": {"source": "texts.csv", "text": "texts.csv"}, "model": {"source": "owner/name"}}
    found = absolute(study)
    assert found["dataset"] == {"source": str(tmp_path / "texts.csv"), "text": "texts.csv"}
    assert found["model"] == study["model"]
    assert absolute({"encoder": "texts.csv"}) == {"encoder": str(tmp_path / "texts.csv")}


COST = {"wall_seconds": 1.0, "processor_seconds": 1.0, "steps": 1, "examples": 1, "peak_memory_bytes": 1}


def search(tmp_path, **select):
    """A search of five trials of one method; retrain has a: 0.5 and b: 0.5, and trial 4 failed."""
    rule = {"trials": 5, "seeds": [9], "select": {"metrics": {"b": 1}} | select}
    study = load_params(Path(__file__).parents[1] / "params.yaml").studies["topics"]
    for run, stage, a, b, tokens in [
        ("retrain", "train", 0.5, 0.5, 100), ("m-trial0", "unlearn", 0.9, 0.5, 10),
        ("m-trial1", "unlearn", 0.4, 0.8, 10),
        ("m-trial2", "unlearn", 0.58, 0.3, 30), ("m-trial3", "unlearn", 0.5, 0.6, 90),
    ]:  # fmt: skip
        for folder, content in (("measure", {"a": a, "b": b}), (stage, COST | {"tokens": tokens})):
            place = tmp_path / "results" / folder / "s" / run / "seed9"
            place.mkdir(parents=True)
            write_json(place / ("metrics.json" if folder == "measure" else "cost.json"), content)
    (tmp_path / "logs/unlearn/s/m-trial4").mkdir(parents=True)
    (tmp_path / "logs/unlearn/s/m-trial4/seed9.log").write_text("lethe unlearn: diverged\n")
    return Search("s", study, Tune.model_validate(rule), tmp_path, {"m": [{}] * 5}, [])


@pytest.mark.parametrize(
    ("select", "chosen"),
    [
        ({}, 0),  # b as retrain's, and nothing forgotten
        ({"within": {"a": 0.11}}, 3),  # trials 1, 2 and 3 forget; 3 is nearest in b
        ({"within": {"a": 0.11}, "tokens": 0.5}, 2),  # which is too expensive
        ({"within": {"a": 0.05}, "tokens": 0.5}, 0),  # none forgets at this cost: the nearest of all
        ({"tokens": 0.05}, None),
    ],
)
def test_the_nearest_of_the_trials_that_forget_is_chosen(tmp_path, select, chosen):
    found = search(tmp_path, **select)
    assert found.selected(found.found()["m"]) == chosen


def test_the_transfer_attack_learns_on_the_trials_models_of_the_other_tuning_seeds(tmp_path):
    """Losses at both ends in every forget set: nothing for a mean, all for what was learnt on the other seed."""
    study = load_params(Path(__file__).parents[1] / "params.yaml").studies["topics"]
    rule = {"trials": 1, "seeds": [9, 10], "select": {"metrics": {"transfer_auc": 1}}}
    for run, stage, shift in (("retrain", "train", 0.0), ("m-trial0", "unlearn", 5.0)):
        for seed in (9, 10):
            draw = np.random.default_rng([seed, len(run)])
            sets = np.repeat(["forget", "test", "holdout"], [40, 60, 60])
            values = {name: draw.normal(size=160) for name in ("loss", "confidence", "entropy", "margin")}
            values["loss"][:40] += draw.choice([-shift, shift], 40)
            ids = [f"{name}{i}-{seed if name == 'forget' else 0}" for i, name in enumerate(sets)]
            place = tmp_path / f"results/measure/s/{run}/seed{seed}"
            place.mkdir(parents=True)
            pd.DataFrame({"id": ids, "set": sets} | values).to_parquet(place / "metrics.parquet")
            write_json(place / "metrics.json", {"a": 0.5})
            cost = tmp_path / f"results/{stage}/s/{run}/seed{seed}"
            cost.mkdir(parents=True)
            write_json(cost / "cost.json", COST | {"tokens": 10})
    found = Search("s", study, Tune.model_validate(rule), tmp_path, {"m": [{}]}, []).found()["m"][0]
    areas = [found["seeds"][seed]["metrics"]["transfer_auc"] for seed in ("9", "10")]
    assert min(areas) > 0.9 and found["gaps"]["transfer_auc"] > 0.3
    plain = rule | {"select": {"metrics": {"a": 1}}}
    bare = Search("s", study, Tune.model_validate(plain), tmp_path, {"m": [{}]}, []).found()["m"][0]
    assert bare["seeds"]["9"]["metrics"] == {"a": 0.5}


def test_a_metric_of_the_rule_that_is_not_measured_is_named(tmp_path):
    with pytest.raises(
        InputError, match=r"studies\.s\.tune\.select\.within\.c: is not measured; allowed are a, b"
    ):
        search(tmp_path, within={"c": 0.1}).found()
