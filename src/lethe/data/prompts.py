"""From what is asked and what is answered to tokens, of which the answer alone is learnt and scored.

Prompt and answer are tokenised apart and joined: whoever tokenises both as one string and takes the difference of two
lengths loses the token on the border, or the whole answer.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Mapping, Sequence

import pandas as pd
from jinja2 import TemplateError

from lethe.params.prompting import Prompting
from lethe.system.errors import InputError

Message = Mapping[str, str]  # role, content
MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
    "December",
)  # fmt: skip
TODAY = re.compile(r"""strftime_now\(\s*(["'])(.*?)\1\s*\)""")  # how templates ask for the date


def prompt_tokens(messages: Sequence[Message], tokenizer, prompting: Prompting) -> list[int]:
    """Tokens of what comes before an answer.

    Args:
        messages: what was said so far, the last by the user.
        tokenizer: its chat template is used by `chat`, and by `auto` where it has one.
        prompting: template, and what it is filled with.
    Returns:
        tokens that end where the answer begins. A template writes its own special tokens; plain text gets those that
        the tokenizer puts before a text, and none where it puts none.
    Raises:
        InputError: a chat template is asked for and there is none, or it refuses the messages, or there are several
            and no template.
    """
    if has_chat(tokenizer, prompting):
        return tokenizer(rendered(messages, tokenizer, prompting), add_special_tokens=False)["input_ids"]
    if len(messages) > 1:
        raise InputError(
            f"dataset.template: plain; a conversation of {len(messages)} messages needs a chat template"
        )
    text = prompting.opening.replace("{prompt}", messages[0]["content"])
    return [*beginning(tokenizer), *tokenizer(text, add_special_tokens=False)["input_ids"]]


def has_chat(tokenizer, prompting: Prompting) -> bool:
    """Is the chat template used?"""
    there = tokenizer.chat_template is not None
    if prompting.template == "chat" and not there:
        where = tokenizer.name_or_path or "the model"
        raise InputError(
            f"dataset.template: chat; the tokenizer of {where} has no chat template; allowed: plain, auto"
        )
    return there and prompting.template != "plain"


def rendered(messages: Sequence[Message], tokenizer, prompting: Prompting) -> str:
    """The conversation as the model's template writes it, up to where it answers, on a day that does not change."""
    system = [{"role": "system", "content": prompting.system}] if prompting.system is not None else []
    day = datetime.date.fromisoformat(prompting.date)
    try:
        return tokenizer.apply_chat_template(
            [*system, *map(dict, messages)],
            chat_template=on_a_day(tokenizer.get_chat_template(), day),
            tokenize=False,
            add_generation_prompt=True,
            date_string=written(day, "%d %b %Y"),
        )
    except TemplateError:  # whose own words may quote a message
        raise InputError("dataset.template: the model's chat template refuses the messages") from None


def on_a_day(template: str, day: datetime.date) -> str:
    """The template with the day written where it asks for today's date."""
    return TODAY.sub(lambda call: repr(written(day, call[2])), template)


def written(day: datetime.date, form: str) -> str:
    """The day in a form of `strftime`, with English months whatever the locale."""
    return day.strftime(form.replace("%b", MONTHS[day.month - 1][:3]).replace("%B", MONTHS[day.month - 1]))


def beginning(tokenizer) -> list[int]:
    """Special tokens that the tokenizer puts before a text."""
    plain = tokenizer("a", add_special_tokens=False)["input_ids"]
    whole = tokenizer("a")["input_ids"]
    return whole[: whole.index(plain[0])] if plain and plain[0] in whole else []


def fitted(prompt: list[int], answer: list[int], most: int) -> tuple[list[int], int]:
    """Prompt and answer as one sequence of at most `most` tokens, and the place of the answer's first token, ≥ 1.

    The prompt is cut from the left. An answer that does not fit either loses its end: one token is left before it.
    """
    answer = answer[: most - 1]
    kept = prompt[max(0, len(prompt) - (most - len(answer))) :]
    return [*kept, *answer], len(kept)


def with_beginning(frame: pd.DataFrame, text: str) -> pd.DataFrame:
    """The examples with a text before what is asked last."""
    if "prompt" not in frame:
        return frame
    prompts = [
        turns
        if turns is None
        else [*map(dict, turns[:-1]), dict(turns[-1]) | {"content": text + turns[-1]["content"]}]
        for turns in frame["prompt"].where(frame["prompt"].notna(), None)
    ]
    return frame.assign(prompt=pd.Series(prompts, index=frame.index, dtype=object))
