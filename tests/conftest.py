import os
import signal
import sys
from pathlib import Path

import pytest
import torch

from lethe.system import plugins

torch.set_num_threads(1)


def pytest_collection_modifyitems(items):
    """The longest module first: at the end no test process waits for another."""
    items.sort(key=lambda item: item.path.name != "test_whole.py")


@pytest.fixture
def terminated_after(monkeypatch):
    """SIGTERM after steps of these numbers, counted from 1 over all runs; returns a list that grows by each step."""
    from lethe.training.engine import Engine

    def after(*numbers: int) -> list[int]:
        steps, step = [], Engine.step

        def step_and_signal(self, *arguments):
            step(self, *arguments)
            steps.append(1)
            if len(steps) in numbers:
                os.kill(os.getpid(), signal.SIGTERM)

        monkeypatch.setattr(Engine, "step", step_and_signal)
        return steps

    return after


@pytest.fixture
def own_plug_ins(tmp_path):
    """A folder of plug-ins beside the package: writes files such as objectives/mine.py and lets them be found."""
    folder = tmp_path / "own"

    def write(**files: str) -> Path:
        for name, text in files.items():
            kind, _, stem = name.partition("_")
            (folder / kind).mkdir(parents=True, exist_ok=True)
            (folder / kind / f"{stem}.py").write_text(text)
        plugins.use([str(folder)])
        return folder

    yield write
    plugins.use([])
    for name, module in list(sys.modules.items()):
        if str(getattr(module, "__file__", None)).startswith(str(folder)):
            del sys.modules[name]
            package, _, stem = name.rpartition(".")
            vars(sys.modules[package]).pop(stem, None)
