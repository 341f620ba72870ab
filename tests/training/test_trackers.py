"""A run is shown by DVCLive and, where the environment says so, by another tracker, number by number."""

from __future__ import annotations

import sys
from types import ModuleType

import pytest

from lethe.system import tracker_name
from lethe.system.errors import InputError
from lethe.training import live_plots as plots

TRACE = [
    {"step": step, "epoch": 0, "learning_rate": 0.1, "loss": 3.0 - step, "forget": float(step)}
    for step in range(3)
]
SHOWN = [(step, {"loss": 3.0 - step, "forget": float(step)}) for step in range(3)]


@pytest.fixture
def no_dvclive(monkeypatch):
    monkeypatch.setattr(plots, "started", lambda folder: None)


@pytest.fixture
def module(monkeypatch):
    """Puts a stand-in of a package in its place."""

    def place(name: str, **content) -> None:
        made = ModuleType(name)
        vars(made).update(content)
        monkeypatch.setitem(sys.modules, name, made)
        monkeypatch.setattr(tracker_name, "find_spec", lambda asked: made)

    return place


def show(folder) -> None:
    with plots.live_plots(folder) as shown:
        shown.show(TRACE[:2], every=0)
        shown.show(TRACE, every=0)


def test_tensorboard_gets_every_step_once(tmp_path, monkeypatch, module, no_dvclive):
    found, folders = [], []

    class SummaryWriter:
        def __init__(self, folder):
            folders.append(folder)

        def add_scalar(self, name, value, step):
            found.append((step, name, value))

        def close(self):
            folders.append("closed")

    module("torch.utils.tensorboard", SummaryWriter=SummaryWriter)
    monkeypatch.setenv(tracker_name.VARIABLE, "tensorboard")
    show(tmp_path / "npo/seed1")
    assert found == [(step, name, value) for step, row in SHOWN for name, value in row.items()]
    assert folders == [str(tmp_path / "npo/seed1/tensorboard"), "closed"]


def test_mlflow_gets_every_step_once_under_the_name_of_the_run(tmp_path, monkeypatch, module, no_dvclive):
    said: list = []
    module(
        "mlflow",
        set_experiment=lambda name: said.append(name),
        start_run=lambda run_name: said.append(run_name),
        log_metrics=lambda numbers, step: said.append((step, numbers)),
        end_run=lambda: said.append("ended"),
    )
    monkeypatch.setenv(tracker_name.VARIABLE, "mlflow")
    show(tmp_path / "unlearn/records/npo/seed1")
    assert said == ["lethe", "unlearn/records/npo/seed1", *SHOWN, "ended"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("wandb", "LETHE_TRACKER: wandb is no tracker; allowed are tensorboard, mlflow, or nothing"),
        (
            "mlflow",
            "LETHE_TRACKER: mlflow is not installed; `pip install mlflow`, or leave LETHE_TRACKER empty",
        ),
    ],
)
def test_what_is_not_there_is_refused_in_one_line(monkeypatch, name, message):
    monkeypatch.setattr(tracker_name, "find_spec", lambda asked: None)
    monkeypatch.setenv(tracker_name.VARIABLE, name)
    with pytest.raises(InputError) as error:
        tracker_name.chosen()
    assert str(error.value) == message


def test_without_a_choice_there_is_no_tracker(monkeypatch):
    monkeypatch.delenv(tracker_name.VARIABLE, raising=False)
    assert tracker_name.chosen() is None
