"""Killed without a warning: whatever was written, the next attempt ends with the bits of an undisturbed run."""

import os
import signal
import subprocess
import traceback

import pytest
import torch
from test_engine import RECIPE, build, equal, weights

from lethe.objectives import icu
from lethe.params.training import Training
from lethe.system import files
from lethe.training import checkpoints
from lethe.training.engine import Engine, Findings, Interrupted
from lethe.training.live_plots import LivePlots, live_plots


def in_a_fork(work) -> int:
    """Status of a copy of this process that does some work: minus the number of the signal that killed it."""
    child = os.fork()
    if child == 0:
        try:
            work()
            os._exit(0)
        except SystemExit as stopped:
            os._exit(stopped.code)
        except BaseException:
            traceback.print_exc()
            os._exit(99)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def killed() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def resting(model, epoch: int, history: list[dict]) -> Findings:
    """A check that skips one pair after the other, by the model's own weights."""
    size = float(sum(p.detach().abs().sum() for p in model.parameters()))
    active = [row > epoch for row in range(10)]
    return Findings({"size": size, "active": float(sum(active))}, torch.tensor(active).numpy())


def every(seconds: float) -> Training:
    return RECIPE.model_copy(update={"checkpoint_seconds": seconds})


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory) -> Engine:
    """An ICU run, with dropout, Adam's moments and a schedule, in which pairs come to rest."""
    engine = build(tmp_path_factory.mktemp("undisturbed"), icu, every(0))
    engine.run(resting)
    return engine


def ends_as(undisturbed: Engine, folder) -> None:
    resumed = build(folder, icu, every(0))
    torch.manual_seed(1234)  # a new process is in a state of its own
    progress = resumed.run(resting)
    assert equal(weights(resumed), weights(undisturbed))
    for name in ("step", "epoch", "active", "tokens", "examples", "trace", "epochs", "done"):
        assert getattr(progress, name) == getattr(undisturbed.progress, name), name
    assert progress.active == [False] * 4 + [True] * 6


@pytest.mark.parametrize("moment", ["before the step", "after backward", "after the step", "in the check"])
@pytest.mark.parametrize("at", [0, 2, 5])
def test_killed_between_checkpoints(tmp_path, undisturbed, monkeypatch, moment, at):
    """The last checkpoint is two steps old, or there is none."""
    saves = [1, 3] if at else []

    def dying(original, self, *arguments):
        if self.progress.step == at and moment == "before the step":
            killed()
        found = original(self, *arguments)
        reached = self.progress.step > at if moment == "after the step" else self.progress.step == at
        if reached and moment != "before the step":
            killed()
        return found

    name = {"after backward": "backward", "in the check": "findings"}.get(moment, "step")

    def work():
        engine = build(tmp_path, icu, every(1e9))
        engine.save_if_due = lambda: engine.save() if engine.progress.step in saves else None
        monkeypatch.setattr(Engine, name, partial_method(dying, getattr(Engine, name)))
        engine.run(resting)

    status = in_a_fork(work)
    never = moment == "in the check" and at == 2  # a check comes before steps 0, 3, 5 and at the end
    assert status == (0 if never else -signal.SIGKILL)
    assert (tmp_path / "state.safetensors").exists() is (at > 0)
    ends_as(undisturbed, tmp_path)


def partial_method(function, original):
    return lambda self, *arguments: function(original, self, *arguments)


@pytest.mark.parametrize("writes", [0, 1, 4])
@pytest.mark.parametrize("moment", ["half written", "written, not yet in place", "just in place"])
def test_killed_while_a_checkpoint_is_written(tmp_path, undisturbed, monkeypatch, moment, writes):
    """What is half written never takes the place of the checkpoint before it."""
    done = []
    save, replace = checkpoints.save_file, os.replace

    def half(tensors, path):
        save(tensors, path)
        if len(done) == writes:
            os.truncate(path, path.stat().st_size // 2)
            killed()

    def placed(source, target):
        if moment == "just in place" or len(done) < writes:
            replace(source, target)
        if len(done) == writes:
            killed()
        done.append(target)

    def work():
        engine = build(tmp_path, icu, every(0))
        if moment == "half written":
            monkeypatch.setattr(checkpoints, "save_file", half)
        monkeypatch.setattr(files.os, "replace", placed)
        engine.run(resting)

    assert in_a_fork(work) == -signal.SIGKILL
    assert [f for f in tmp_path.iterdir() if ".part" in f.name] or moment == "just in place"
    ends_as(undisturbed, tmp_path)
    assert [f.name for f in tmp_path.iterdir()] == ["state.safetensors"]


@pytest.mark.parametrize("epoch", [0, 1, 3])
def test_terminated_in_a_check(tmp_path, undisturbed, epoch):
    """A check may take minutes, and the time that is left before a kill does not: the state is saved at once."""

    def long(model, now, history):
        if now == epoch:
            os.kill(os.getpid(), signal.SIGTERM)
            raise AssertionError("the check went on")
        return resting(model, now, history)

    engine = build(tmp_path, icu, every(1e9))
    with pytest.raises(Interrupted) as stopped:
        engine.run(long)
    assert stopped.value.code == 143
    assert (
        engine.progress.step == engine.progress.trace[-1]["step"] + 1 if epoch else not engine.progress.trace
    )
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    ends_as(undisturbed, tmp_path)


def test_checkpoints_come_at_the_chosen_interval(tmp_path, monkeypatch):
    clock = [0.0]
    monkeypatch.setattr("lethe.training.engine.time.monotonic", lambda: clock[0])
    written = []
    engine = build(tmp_path, icu, every(25))
    engine.save = lambda: written.append(engine.progress.step) or setattr(engine, "saved", clock[0])
    step = engine.step
    engine.step = lambda *arguments: step(*arguments) or clock.__setitem__(0, clock[0] + 10)
    engine.run()
    assert written == [3, 6, 9]
    assert build(tmp_path, icu, every(None)).run().step == 9
    assert not list(tmp_path.iterdir())


def test_live_plots_hold_every_step_once_after_a_kill(tmp_path, undisturbed, monkeypatch):
    """The killed process had logged steps that no checkpoint holds."""
    monkeypatch.setattr(LivePlots.show, "__defaults__", (0.0,))
    monkeypatch.chdir(tmp_path)

    def run(dies: bool):
        engine = build(tmp_path, icu, every(1e9))
        step = engine.step

        def dying(*arguments):
            step(*arguments)
            if engine.progress.step == 2:
                engine.save()
            if engine.progress.step == 5:
                killed()

        engine.step = dying if dies else step
        with live_plots(tmp_path / "live") as plots:
            engine.run(resting, plots)

    def logged(name: str) -> list[list[float]]:
        lines = (tmp_path / f"live/plots/metrics/{name}.tsv").read_text().splitlines()
        assert lines[0] == f"step\t{name}"
        return [[float(cell) for cell in line.split("\t")] for line in lines[1:]]

    assert in_a_fork(lambda: run(True)) == -signal.SIGKILL
    assert [step for step, _ in logged("loss")] == [0, 1, 2, 3, 4]
    run(False)
    for name in ("loss", "forget", "learn", "kl"):
        assert logged(name) == [[row["step"], pytest.approx(row[name])] for row in undisturbed.progress.trace]


def test_a_repository_without_a_commit_has_no_live_plots(tmp_path, monkeypatch):
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    monkeypatch.chdir(tmp_path)
    with live_plots(tmp_path / "live") as plots:
        assert plots is None
