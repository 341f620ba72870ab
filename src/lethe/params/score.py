"""Parameters of scoring: what is computed of each model."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator

from lethe.params.fields import BatchSize, Count, Order, Positive, Probability
from lethe.params.harness import HarnessTask
from lethe.params.names import Name
from lethe.params.strict_model import StrictModel


class Answer(StrictModel):
    """How the prompts of a set are answered in words."""

    tokens: Count = 200
    """Most tokens of an answer."""
    stop: list[Annotated[str, Field(min_length=1)]] = []
    """Texts before which an answer ends."""
    cut: bool = False
    """The true answer is cut to as many tokens, too."""


class Score(StrictModel):
    """What is computed once per model, from which every metric follows."""

    n: Annotated[list[Order], Field(min_length=1, max_length=100)] = [3, 5, 10]
    """Orders of the n-grams of the extraction likelihood."""
    start: Order = 1
    """Shortest prefix of the extraction likelihood; 1 (KUMPR) or 150 (ICU)."""
    extract: list[Name] = ["forget", "holdout"]
    """Sets whose texts are completed by decoding: forget, retain, holdout, test, or probes."""
    most: Count | None = None
    """Examples scored per set, the first in the order of a named random stream; null: all."""
    test: Literal["test", "validation"] = "test"
    """Split that is scored as test; `lethe tune` never sees the other."""
    prefix: Probability = 0.5
    """Share of a text that is its prompt when the rest is completed."""
    tries: Annotated[int, Field(ge=0, le=100_000)] = 8
    """Sampled completions of a text; 0: none."""
    sampled: Count = 32
    """Texts of a set that are sampled at most."""
    temperature: Positive = 1.0
    """Of the sampled completions."""
    keep_text: bool = False
    """Keep the true ends of texts and their completions, as tokens, and answers in scores.npz: for metrics to come and
    `report.show_text`; private."""
    answers: dict[Name, Answer] = {}
    """Generation: sets whose prompts are answered greedily, and the answers compared word by word."""
    gradient_norm: bool = False
    """The length of the gradient of each text's loss, for an attack: a pass back and forth of every text alone."""
    tasks: list[HarnessTask] = []
    """Generation: tasks of the evaluation harness: names, YAML files, or mappings that say how they are asked."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """Of products; auto: bf16 on a GPU, fp32 on a CPU."""
    batch_size: BatchSize = 64
    """Texts in one forward pass."""
    decode_batch_tokens: Count = 65536
    """Bounds the memory of decoding."""

    @field_validator("tasks")
    @classmethod
    def asked_once(cls, tasks: list[HarnessTask]) -> list[HarnessTask]:
        names = [task.named(task.task) for task in tasks]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"{name}: is asked twice; each may appear once with as many shots")
        return tasks

    @field_validator("n", "extract")
    @classmethod
    def once(cls, values: list) -> list:
        if len(set(values)) < len(values):
            raise ValueError(f"{values} names one twice; each may appear once")
        return values
