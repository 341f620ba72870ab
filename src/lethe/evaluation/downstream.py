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

from lethe.params.harness import HarnessTask
from lethe.system.errors import InputError

log = logging.getLogger("lethe.downstream")
TASKS = Path(__file__).parent / "harness_tasks"


def downstream(model, tokenizer, tasks: Sequence[HarnessTask], batch_size: int) -> dict[str, np.ndarray]:
    """Numbers of a language model in each task.

    Args:
        model: causal language model of transformers, on its device.
        tasks: which, and how they are asked.
        batch_size: texts in one pass.
    Returns:
        downstream_names (K,), such as hellaswag_acc_norm or wmdp_bio_5_shot_acc, and downstream_values (K,); nothing
        for no task. Of tasks in which one of several answers is right, TASK_probability beside: the mean probability of
        the right one among all.
    Raises:
        InputError: the harness is not installed, a task or its data cannot be had, a task runs code that the model
            writes, or a chat is asked for and the tokenizer has no template.
    """
    if not tasks:
        return {}
    try:
        from lm_eval.models.huggingface import HFLM
    except ImportError:
        raise InputError("score.tasks: need the evaluation harness: pip install 'lethe[harness]'") from None
    adapter = HFLM(pretrained=model, tokenizer=tokenizer, batch_size=batch_size)
    alike: dict[Any, list[HarnessTask]] = {}
    for asked in tasks:
        alike.setdefault((asked.shots, asked.chat, asked.forget), []).append(asked)
    numbers: dict[str, float] = {}
    for group in alike.values():
        numbers |= evaluated(adapter, model, tokenizer, group)
    log.info("%d numbers of %d tasks", len(numbers), len(tasks))
    return {"downstream_names": np.array([*numbers]), "downstream_values": np.array([*numbers.values()])}


def evaluated(adapter, model, tokenizer, tasks: list[HarnessTask]) -> dict[str, float]:
    """Numbers of tasks that are asked in one way."""
    from lm_eval.evaluator import evaluate

    how, names = tasks[0], ", ".join(asked.task for asked in tasks)
    if how.chat and tokenizer.chat_template is None:
        raise InputError(f"score.tasks: {names}: chat: the tokenizer has no chat template; allowed: false")
    seed_as_the_command_line()
    wanted = loaded(tasks)
    check_writes(model, wanted["tasks"])
    try:
        results = evaluate(
            adapter, wanted, bootstrap_iters=0, apply_chat_template=how.chat, fewshot_as_multiturn=how.chat
        )
    except ValueError as error:  # such as of a task that would run what the model writes
        raise InputError(f"score.tasks: {names}: {' '.join(str(error).split())}") from None
    found: dict[str, float] = {}
    for task, values in results["results"].items():
        found |= numbers_of(how.named(task), values)
        if task in wanted["tasks"] and (
            right := right_answers(wanted["tasks"][task], results["samples"][task])
        ):
            found[f"{how.named(task)}_probability"] = float(np.mean(right))
    return found


def right_answers(task, samples: list[dict[str, Any]]) -> list[float]:
    """Probability of the right answer among all, of each question; none unless one of several answers is right."""
    plain = task.OUTPUT_TYPE == "multiple_choice" and not (task.multiple_input or task.multiple_target)
    found = []
    for sample in samples if plain else []:
        choices = task.doc_to_choice(sample["doc"])
        right = choices.index(sample["target"]) if isinstance(sample["target"], str) else sample["target"]
        logs = np.array([log_p for log_p, _ in sample["filtered_resps"]][: len(choices)], dtype=float)
        found.append(float(np.exp(logs[right] - np.logaddexp.reduce(logs))))
    return found


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


def loaded(tasks: list[HarnessTask]):
    """The tasks and groups of tasks, prepared as the command line does; its own are looked up only where needed."""
    from lm_eval.defaults import DEFAULT_OTHER_SEED
    from lm_eval.tasks import TaskManager

    ours = {file.stem for file in TASKS.glob("*.yaml")}
    others = any(asked.task not in ours and not Path(asked.task).is_file() for asked in tasks)
    manager = TaskManager(include_path=TASKS, include_defaults=others)
    wanted: list[Any] = []
    for asked in tasks:
        try:
            found = manager.load(with_data(manager, asked))
        except Exception as error:  # whatever the harness, a task's code or the Hub raise
            line = (str(error).splitlines() or [type(error).__name__])[0]
            raise InputError(
                f"score.tasks: {asked.task}: cannot be loaded ({line}); allowed are {', '.join(sorted(ours))}, a YAML"
                " file, or a name that `lm_eval ls tasks` shows, whose data the Hub has"
            ) from None
        groups = [*found["groups"].values()]
        wanted += groups[:1] or found["tasks"].values()  # the first group is the one that was asked for
    every = manager.load(wanted)
    for task in every["tasks"].values():
        shots = tasks[0].shots
        if shots is not None or task.get_config("num_fewshot") is None:
            task.set_config(key="num_fewshot", value=shots or 0)
        task.set_fewshot_seed(seed=DEFAULT_OTHER_SEED)
    return every


def with_data(manager, asked: HarnessTask) -> Any:
    """What the harness is to load: a name or a file, or a task or group that reads its data elsewhere."""
    changes: dict[str, Any] = {} if asked.data is None else {"dataset_path": asked.data}
    if asked.revision is not None:
        changes["dataset_kwargs"] = {"revision": asked.revision}
    if not changes:
        return asked.task
    return manager._factory.build(manager._index[asked.task], overrides=changes, registry=manager._index)


def numbers_of(task: str, found: dict[str, Any]) -> dict[str, float]:
    """TASK_METRIC -> number; a filter of the harness other than `none` ends the name."""
    numbers = {}
    for key, value in found.items():
        metric, comma, filter_name = key.partition(",")
        if not comma or metric.endswith("_stderr") or not isinstance(value, int | float):
            continue
        numbers["_".join([task, metric, *([filter_name] if filter_name != "none" else [])])] = float(value)
    return numbers
