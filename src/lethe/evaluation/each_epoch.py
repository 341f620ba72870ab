"""What is measured between epochs: a few numbers, on sets that a method may read, of which none is the test.

The names are those of metrics.json. What there is of the test set is here of validation: `accuracy_validation`, and
attacks judge the forget set against validation. `utility` is what is kept of what the original had, in one number:

    utility = harmonic mean over retain and validation of min(1, m / m(original))

m is the task's `UTILITY`, such as accuracy; a set of which the original has nothing has no say. 1 is no damage, 0 that
nothing is left of a set.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from lethe.data.encoding import classes
from lethe.evaluation.answers import Reader, answer_arrays, has_prompts
from lethe.evaluation.numbers import numbers_of, values_of
from lethe.evaluation.scores import together
from lethe.metrics.model_utility import harmonic_mean
from lethe.params.measure import Measure
from lethe.params.score import Score
from lethe.params.training import UTILITY
from lethe.system import plugins
from lethe.system.errors import InputError
from lethe.system.streams import first_of_stream
from lethe.training.job import Job
from lethe.training.run import Run

MOST = 256  # examples of a set
PLAIN = {"extract": [], "answers": {}, "tries": 0, "keep_text": False}  # nothing is decoded
HELD = "validation"


class EachEpoch:
    """Measures the models of a run: how much is left of the forget set, and what is kept of the original's.

    What is decoded is so where the rule asks for it: extraction of the forget set alone.
    """

    def __init__(self, job: Job, run: Run):
        self.task, self.seed, self.where = job.cfg["task"], job.seed, f"methods.{job.run}.training.choose"
        self.rule = run.training.choose
        self.settings = Score.model_validate(job.cfg.get("score", {})).model_copy(update=PLAIN)
        measure = Measure.model_validate(job.cfg.get("measure", {}))
        self.measure = measure.model_copy(update={"bootstrap": 0, "matched": False})
        self.labels, self.tokenizer = classes(run.prepared), run.tokenizer
        self.frames, self.encoding = frames_of(run.examples.sets), run.examples.rows_of
        self.names: list[str] = []  # what is told of each epoch

    def __call__(self, model, original: Mapping[str, float] | None) -> dict[str, float]:
        found = self.numbers(model)
        if not self.names and not {*self.needed()} <= {*found}:
            self.settings = self.settings.model_copy(update={"extract": ["forget"]})
            found = self.numbers(model)
        self.names = self.names or self.told(found)
        told = {name: found[name] for name in self.names}
        kept = [name for name in self.utility_parts() if name in told]
        return ({UTILITY: utility(told, original or told, kept)} if kept else {}) | told

    def utility_parts(self) -> list[str]:
        metric = plugins.part("tasks", self.task, "UTILITY")
        return [f"{metric}_{name}" for name in ("retain", HELD)] if metric else []

    def needed(self) -> list[str]:
        """What the rule asks for."""
        if self.rule is None:
            return []
        return [name for name in (self.rule.metric, *self.rule.at_least) if name != UTILITY]

    def told(self, found: Mapping[str, float]) -> list[str]:
        """Names of what is told: what the rule asks for, or what the task says is remembered, and what is kept.

        Raises:
            InputError: the rule asks for what is not measured between epochs.
        """
        for name in self.needed():
            if name not in found:
                raise InputError(
                    f"{self.where}: {name} is not measured between epochs; allowed are {', '.join(sorted(found))}"
                )
        memory = [column.key for column in plugins.part("tasks", self.task, "memory")(found)]
        wanted = self.needed() or [name for name in memory if name in found][:1]
        return list(dict.fromkeys([*wanted, *(name for name in self.utility_parts() if name in found)]))

    def numbers(self, model) -> dict[str, float]:
        """All numbers of a model, named as above."""
        arrays = self.arrays(model)
        found = numbers_of(arrays, values_of(arrays, self.measure), self.measure, self.seed)
        return {
            f"{name.removesuffix('_test')}_{HELD}" if name.endswith("_test") else name: number
            for name, number in found.items()
        }

    def arrays(self, model) -> dict[str, np.ndarray]:
        """As those of scores.npz, with validation in place of test."""
        scores, parts = plugins.part("tasks", self.task, "scores"), []
        prompted = plugins.gives(self.task, "text") and any(map(has_prompts, self.frames.values()))
        for name, frame in self.frames.items():
            encoded = self.encoding(frame)
            part = scores(model, self.tokenizer, encoded, self.settings, name in self.settings.extract)
            if prompted:
                reader = Reader(model, self.tokenizer, self.encoding, self.settings)
                part |= answer_arrays(reader, name, frame, encoded)
            parts.append(part | {"ids": encoded.ids, "sets": np.full(len(encoded), name)})
        found = together(parts)
        return found | ({"classes": np.array(self.labels)} if self.labels else {})


def frames_of(sets: Mapping[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    """Examples of what is measured; metrics know as `test` what no model has seen, which here is validation."""
    named = {"forget": "forget", "retain": "retain", HELD: "test"}
    return {
        named[name]: frame.iloc[first_of_stream(len(frame), MOST)]
        for name, frame in sets.items()
        if name in named
    }


def utility(found: Mapping[str, float], original: Mapping[str, float], parts: list[str]) -> float:
    """Harmonic mean of the shares of the original's that are kept; 1 where it has nothing to lose."""
    shares = [min(1.0, found[name] / original[name]) for name in parts if original[name] > 0]
    return harmonic_mean(shares) if shares else 1.0
