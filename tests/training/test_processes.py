"""Several processes that share each batch follow the trajectory of one, whole or sharded, also after a kill."""

import json
import os
import signal
import socket

import pytest
import torch
from accelerate.state import AcceleratorState
from safetensors.torch import load_file, save_file
from test_engine import RECIPE, build, weights
from test_preemption import resting

from lethe.objectives import icu, npo, rmu
from lethe.params.training import Training
from lethe.training.engine import no_check

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not torch.distributed.is_gloo_available(), reason="torch was built without gloo"),
]


def recipe(processes: int = 1, **changes) -> Training:
    shared = {"dropout": False, "clip": 1.0, "optimizer": "sgd", "checkpoint_seconds": None}
    return RECIPE.model_copy(update=shared | {"processes": processes, "micro_batch": 3} | changes)


def port() -> int:
    with socket.socket() as free:
        free.bind(("localhost", 0))
        return free.getsockname()[1]


def together(folder, work, count: int = 2) -> list[int]:
    """Statuses of copies of this process that do some work as the members of one group."""
    place = {"MASTER_ADDR": "localhost", "MASTER_PORT": str(port()), "WORLD_SIZE": str(count)}
    children = []
    for rank in range(count):
        child = os.fork()
        if child == 0:
            status = 99
            try:
                os.environ.update(place | {"RANK": str(rank), "LOCAL_RANK": str(rank)})
                AcceleratorState._reset_state(reset_partial_state=True)  # of a test before, which was alone
                os.dup2(os.open(folder / f"{rank}.log", os.O_CREAT | os.O_WRONLY), 2)
                work(rank)
                status = 0
            except SystemExit as stopped:
                status = stopped.code
            except BaseException:
                import traceback

                traceback.print_exc()
            finally:
                os._exit(status)
        children.append(child)
    return [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]


def run(folder, objective, settings: Training, check=no_check, kill_at: int | None = None):
    """(trace, weights) of a run by as many processes as its recipe says."""
    folder.mkdir(parents=True, exist_ok=True)

    def work(rank):
        engine = build(folder, objective, settings)
        step = engine.step

        def dying(*arguments):
            step(*arguments)
            if rank == 1 and engine.progress.step == kill_at:  # one of them is told, and all must know
                os.kill(os.getpid(), signal.SIGTERM)

        engine.step = dying
        progress = engine.run(check)
        if rank == 0:
            tensors = {str(k): p.detach().clone() for k, p in enumerate(engine.model.parameters())}
            save_file(tensors, folder / "weights")
            (folder / "trace").write_text(json.dumps([progress.trace, progress.epochs, progress.active]))

    statuses = together(folder, work, settings.processes)
    expected = 143 if kill_at else 0
    logs = "".join(log.read_text() for log in folder.glob("*.log"))
    assert statuses == [expected] * settings.processes, logs[-3000:]
    if kill_at:
        return None
    return json.loads((folder / "trace").read_text()), list(load_file(folder / "weights").values())


def alone(folder, objective, settings: Training, check=no_check):
    engine = build(folder, objective, settings)
    progress = engine.run(check)
    return [progress.trace, progress.epochs, progress.active], sorted_like_file(weights(engine))


def sorted_like_file(tensors: list[torch.Tensor]) -> list[torch.Tensor]:
    return [tensors[int(k)] for k in sorted(map(str, range(len(tensors))))]


@pytest.mark.parametrize("sharded", [False, True], ids=["copies", "sharded"])
@pytest.mark.parametrize("objective", [icu, npo, rmu], ids=lambda o: o.__name__.split(".")[-1])
def test_two_processes_follow_the_trajectory_of_one(tmp_path, objective, sharded):
    """Batches of 4, of which each takes half; the last of an epoch has 2 rows, in the check pairs are skipped."""
    check = resting if objective is icu else no_check
    one = alone(tmp_path / "one", objective, recipe(), check)
    two = run(tmp_path / "two", objective, recipe(2, sharded=sharded), check)
    for mine, theirs in zip(one[0][0], two[0][0], strict=True):
        assert mine == pytest.approx(theirs, rel=2e-4, abs=1e-5)
    assert len(two[0][0]) > 5
    assert one[0][1:] == [[pytest.approx(row, rel=1e-4) for row in two[0][1]], two[0][2]]
    for a, b in zip(one[1], two[1], strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("sharded", [False, True], ids=["copies", "sharded"])
def test_two_processes_that_are_ended_continue_to_the_same_bits(tmp_path, sharded):
    """One of them alone gets the signal; ICU with Adam, dropout, pairs that rest, blocks computed again."""
    changes = {"sharded": sharded, "dropout": True, "optimizer": "adamw", "gradient_checkpointing": True}
    settings = recipe(2, **changes)
    undisturbed = run(tmp_path / "undisturbed", icu, settings, resting)
    run(tmp_path / "killed", icu, settings, resting, kill_at=4)
    assert (tmp_path / "killed/state.safetensors").exists()
    resumed = run(tmp_path / "killed", icu, settings, resting)
    assert resumed[0] == undisturbed[0]
    assert all(torch.equal(a, b) for a, b in zip(resumed[1], undisturbed[1], strict=True))
    assert [row["step"] for row in resumed[0][0]] == list(range(7))
