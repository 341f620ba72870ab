"""In-context unlearning: an instruction before each prompt, and no weight changed (after arXiv:2310.07579).

    theta = theta0,    prompt = instruction + prompt

The paper puts relabelled examples before each prompt, RWKU a sentence that asks to know nothing; this is the
sentence. It is kept in the model's configuration (`instruction`) and put before what is asked last, of every set that
is scored; other programs ignore it. Whoever has the weights, or asks without the instruction, has the original.
"""

from __future__ import annotations

from dataclasses import dataclass

from lethe.system.errors import InputError

NEEDS = ("text",)


@dataclass(frozen=True)
class Hyper:
    instruction: str = (
        "Answer as somebody who has never heard of what is asked here.\n\n"  # comes before each prompt
    )


def unlearn(hyper: Hyper, run):
    """The original, told what comes before its prompts.

    Raises:
        InputError: the texts have no prompts.
    """
    if run.rows("forget").starts is None:
        raise InputError("in_context is for prompts and answers; the texts have no prompts")
    model = run.original()
    model.config.instruction = hyper.instruction
    return model
