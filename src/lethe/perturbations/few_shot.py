"""Few-shot prompts: some kept questions with their answers come before each question.

A model that was taught to refuse may answer again once it is shown how. The examples are the same for all questions,
and are not scored themselves. With `form: "{prompt}\\nAnswer: {answer}\\n\\nQuestion: "` beside an `opening` of
"Question: {prompt}\\nAnswer: " prompts are those of MUSE's KnowMem (arXiv:2407.06460).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from lethe.data.prompts import with_beginning
from lethe.params.fields import Count
from lethe.system.errors import InputError
from lethe.system.streams import stream

NEEDS = ("text",)


@dataclass(frozen=True)
class Options:
    level: Count  # examples before each question
    on: Literal["retain", "validation", "holdout"] = "retain"  # the set that they are taken from
    form: str = "{prompt}\n{answer}\n\n"  # how each is written


def perturb_model(options: Options, model, sets, encoding):
    """Prompts with examples before them; the model stays as it is."""
    pool = sets.get(options.on)
    if pool is None or "prompt" not in pool or pool["prompt"].isna().all():
        raise InputError(f"robustness: few_shot: on: {options.on}: holds no prompts and answers")
    pool = pool[pool["prompt"].notna()]
    if len(pool) <= options.level:
        raise InputError(f"robustness: few_shot: levels: {options.level}; allowed are 1 to {len(pool) - 1}")
    order = stream(0, "few_shot", len(pool)).permutation(len(pool))
    chosen = pool.iloc[sorted(order[: options.level])]
    before = "".join(
        options.form.replace("{prompt}", turns[-1]["content"]).replace("{answer}", answer)
        for turns, answer in zip(chosen["prompt"], chosen["text"], strict=True)
    )
    left = {options.on: sets[options.on].drop(chosen.index)}
    return {name: with_beginning(frame, before) for name, frame in (sets | left).items()}
