"""Downstream tasks of EleutherAI's evaluation harness (lm_eval), with the results of its own command line.

A task is a name the harness knows, whose data come from the Hub; a name of the folder `harness_tasks`, which needs no
network; or a YAML file in the harness's format.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from lethe.system.errors import InputError

log = logging.getLogger("lethe.downstream")
TASKS = Path(__file__).parent / "harness_tasks"


def downstream(model, tokenizer, tasks: Sequence[str], batch_size: int) -> dict[str, np.ndarray]:
    """Numbers of a language model in each task, without examples in the prompt unless the task has them.

    Args:
        model: causal language model of transformers, on its device.
        tasks: names or files.
        batch_size: texts in one pass.
    Returns:
        downstream_names (K,), such as hellaswag_acc_norm, and downstream_values (K,); nothing for no task.
    Raises:
        InputError: the harness is not installed, a task or its data cannot be had, or a task runs code that the model
            writes.
    """
    if not tasks:
        return {}
    try:
        from lm_eval.evaluator import evaluate
        from lm_eval.models.huggingface import HFLM
    except ImportError:
        raise InputError("score.tasks: need the evaluation harness: pip install 'lethe[harness]'") from None
    seed_as_the_command_line()
    wanted = loaded(tasks)
    check_writes(model, wanted["tasks"])
    adapter = HFLM(pretrained=model, tokenizer=tokenizer, batch_size=batch_size)
    try:
        results = evaluate(adapter, wanted, bootstrap_iters=0, log_samples=False)["results"]
    except ValueError as error:  # such as of a task that would run what the model writes
        raise InputError(f"score.tasks: {', '.join(tasks)}: {' '.join(str(error).split())}") from None
    numbers = {name: one for task, found in results.items() for name, one in numbers_of(task, found).items()}
    log.info("%d numbers of %d tasks", len(numbers), len(tasks))
    return {"downstream_names": np.array([*numbers]), "downstream_values": np.array([*numbers.values()])}


def check_writes(model, tasks: dict[str, Any]) -> None:
    """Raise InputError for a task whose text the model is to write, of a model composed of several, which cannot."""
    written = [name for name, task in tasks.items() if task.OUTPUT_TYPE == "generate_until"]
    if written and not hasattr(model, "generate"):
        raise InputError(
            f"score.tasks: {written[0]}: has text written, which a model composed of several does not; allowed are"
            " tasks that compare likelihoods"
        )


def seed_as_the_command_line() -> None:
    """Some tasks draw from the global generators while they are loaded or run."""
    from lm_eval.defaults import DEFAULT_OTHER_SEED, DEFAULT_RANDOM_SEED

    random.seed(DEFAULT_RANDOM_SEED)
    np.random.seed(DEFAULT_OTHER_SEED)  # noqa: NPY002
    torch.manual_seed(DEFAULT_OTHER_SEED)


def loaded(tasks: Sequence[str]):
    """The tasks and groups of tasks, prepared as the command line does; its own are looked up only where needed."""
    from lm_eval.defaults import DEFAULT_OTHER_SEED
    from lm_eval.tasks import TaskManager

    ours = {file.stem for file in TASKS.glob("*.yaml")}
    others = any(task not in ours and not Path(task).is_file() for task in tasks)
    manager = TaskManager(include_path=TASKS, include_defaults=others)
    wanted: list[Any] = []
    for task in tasks:
        try:
            found = manager.load(task)
        except Exception as error:  # whatever the harness, a task's code or the Hub raise
            line = (str(error).splitlines() or [type(error).__name__])[0]
            raise InputError(
                f"score.tasks: {task}: cannot be loaded ({line}); allowed are {', '.join(sorted(ours))}, a YAML file,"
                " or a name that `lm_eval ls tasks` shows, whose data the Hub has"
            ) from None
        groups = [*found["groups"].values()]
        wanted += groups[:1] or found["tasks"].values()  # the first group is the one that was asked for
    every = manager.load(wanted)
    for task in every["tasks"].values():
        if task.get_config("num_fewshot") is None:
            task.set_config(key="num_fewshot", value=0)
        task.set_fewshot_seed(seed=DEFAULT_OTHER_SEED)
    return every


def numbers_of(task: str, found: dict[str, Any]) -> dict[str, float]:
    """TASK_METRIC -> number; a filter of the harness other than `none` ends the name."""
    numbers = {}
    for key, value in found.items():
        metric, comma, filter_name = key.partition(",")
        if not comma or metric.endswith("_stderr") or not isinstance(value, int | float):
            continue
        numbers["_".join([task, metric, *([filter_name] if filter_name != "none" else [])])] = float(value)
    return numbers
