"""`lethe tune`: equally many trials of every method through the real workflow, none on a seed that is reported."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from repository import HERE, ROOT, Repo, copy, jobs

from lethe.params.file import load_params
from lethe.params.tune import Select
from lethe.system.errors import InputError
from lethe.tune import searches

TUNE = {
    "trials": 4,
    "seeds": [7, 8],
    "select": {"metrics": {"accuracy_test": 1.0}},
    "space": {"learning_rate": {"low": 1e-5, "high": 1e-2, "log": True}, "epochs": [1, 2, 3]},
}
COMMAND = "python -m lethe tune --study topics"


@pytest.fixture(scope="module")
def searched(tmp_path_factory, commands) -> tuple[Repo, str]:
    """A folder with the workflow in which the study `topics` was searched, and what Snakemake said."""
    path = tmp_path_factory.mktemp("tuning")
    for part in ("Snakefile", "workflow", "src/lethe"):
        copy(ROOT / part, path / part)
    (path / "profiles").symlink_to("workflow/profiles")
    content = yaml.safe_load((HERE / "params_tiny.yaml").read_text())
    content["studies"]["topics"]["tune"] = TUNE
    (path / "params.yaml").write_text(yaml.safe_dump(content))
    repo = Repo(path, commands)
    status, output = search(repo, FAKE_LIMIT="5e-3")
    assert status == 0, output
    return repo, output


def search(repo: Repo, command: str = COMMAND, **environment: str) -> tuple[int, str]:
    return repo.attempt(command, PYTHONPATH=str(repo.path / "src"), **environment)


def log_of(repo: Repo) -> dict:
    return json.loads((repo.path / "docs/tuning/topics.json").read_text())


def test_every_method_has_the_same_number_of_trials_on_seeds_that_are_not_reported(searched):
    repo, output = searched
    trials = log_of(repo)["trials"]
    assert {run: len(entries) for run, entries in trials.items()} == {"deepcut": 4, "gradient_ascent": 4}
    assert all(set(entry["seeds"]) == {"7", "8"} for entries in trials.values() for entry in entries)
    done = jobs(output)
    assert done["forget"] == 2 and done["unlearn"] == 2 * 2 * 4
    declared = yaml.safe_load((HERE / "params_tiny.yaml").read_text())["studies"]["topics"]
    tried = yaml.safe_load((repo.path / "tuning/topics/params.yaml").read_text())["studies"]["topics"]
    assert not set(tried["seeds"]) & set(declared["seeds"])
    assert tried["split_seed"] == declared["seeds"][0] and tried["score"]["test"] == "validation"


def test_settings_are_drawn_from_the_space_and_the_first_trial_is_as_declared(searched):
    entries = log_of(searched[0])["trials"]["deepcut"]
    assert entries[0]["settings"]["training"]["learning_rate"] == 5e-5 and not entries[0]["settings"]["hyper"]
    rates = [entry["settings"]["training"]["learning_rate"] for entry in entries[1:]]
    assert len(set(rates)) == 3 and all(1e-5 <= rate <= 1e-2 for rate in rates)
    assert {entry["settings"]["training"]["epochs"] for entry in entries} <= {1, 2, 3}
    assert all(set(entry["settings"]["hyper"]) == {"gamma", "temperature", "views"} for entry in entries[1:])


def test_the_rule_takes_the_trial_nearest_to_retrain(searched):
    """Against the files of the runs themselves; a trial that diverged is in the log and is never taken."""
    repo, _ = searched

    def value(run: str, seed: int) -> int:
        place = repo.path / f"tuning/topics/results/measure/topics/{run}/seed{seed}/metrics.json"
        return json.loads(place.read_text())["value"]

    log, failed = log_of(repo), 0
    for run, entries in log["trials"].items():
        distances = {}
        for k, entry in enumerate(entries):
            if entry["settings"]["training"]["learning_rate"] > 5e-3:
                failed += 1
                line = "lethe unlearn: term forget of the loss is inf"
                assert entry["seeds"]["7"] == {"failed": line} and "distance" not in entry
                continue
            name = f"{run}-trial{k}"
            distances[k] = sum(abs(value(name, seed) - value("retrain", seed)) for seed in (7, 8)) / 2
            assert entry["distance"] == pytest.approx(distances[k])
            assert {"wall_seconds", "tokens"} < set(entry["seeds"]["7"]["cost"])
        assert log["chosen"][run] == min(distances, key=distances.get)
        chosen = yaml.safe_load((repo.path / "docs/tuning/topics.yaml").read_text())["methods"][run]
        assert chosen == entries[log["chosen"][run]]["settings"]
    assert failed


def test_a_search_goes_on_where_it_was_and_more_trials_change_none(searched, tmp_path):
    """One trial more is one trial's jobs more; a measurement that was lost is made again and nothing else."""
    before = log_of(searched[0])["trials"]
    shutil.copytree(searched[0].path, tmp_path / "again", symlinks=True)
    repo = Repo(tmp_path / "again", searched[0].commands)
    shutil.rmtree(repo.path / "tuning/topics/results/measure/topics/deepcut-trial0/seed7")
    repo.edit("params.yaml", "trials: 4", "trials: 5")
    status, output = search(repo)
    assert status == 0, output
    after = log_of(repo)["trials"]
    diverged = sum("failed" in entry["seeds"]["7"] for entries in before.values() for entry in entries)
    assert jobs(output)["unlearn"] == 2 * (2 + diverged)
    assert "forget" not in jobs(output) and "train" not in jobs(output)
    for run, entries in before.items():
        assert [e for e in entries if "distance" in e] == [
            e for e, old in zip(after[run], entries, strict=False) if "distance" in old
        ]


def test_a_rule_that_names_no_metric_or_nothing_to_tune_is_one_line(searched, tmp_path):
    repo, _ = searched
    parameters = load_params(repo.path / "params.yaml")
    with pytest.raises(InputError, match=r"studies\.records: has nothing to tune; allowed are topics$"):
        searches(parameters, ["records"], Path("params.yaml"), tmp_path)
    (found,) = searches(parameters, [], Path("params.yaml"), repo.path / "tuning")
    rule = found.rule.model_copy(update={"select": Select(metrics={"recall": 1.0})})
    message = (
        r"studies\.topics\.tune\.select\.metrics\.recall: is not measured; allowed are accuracy_test, value$"
    )
    with pytest.raises(InputError, match=message):
        replace(found, rule=rule).found()
    with pytest.raises(InputError, match="seed7: has not ended; the same command goes on"):
        replace(found, folder=tmp_path).found()


def test_a_bound_on_what_is_read(searched):
    """Only trials below it are taken; none, where there is none."""
    (found,) = searches(
        load_params(searched[0].path / "params.yaml"), [], Path(), searched[0].path / "tuning"
    )
    entries = found.found()["deepcut"]
    shares = sorted(entry["tokens"] for entry in entries if "tokens" in entry)
    for most, fits in ((shares[0], 1), (shares[0] / 2, 0)):
        rule = found.rule.model_copy(update={"select": Select(metrics={"accuracy_test": 1.0}, tokens=most)})
        taken = replace(found, rule=rule).selected(entries)
        assert (taken is not None) == fits
        assert taken is None or entries[taken]["tokens"] == shares[0]
