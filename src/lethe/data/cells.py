"""Cells of a table as what a column is for: texts, names, lists of words.

Messages say where a cell is, not what it holds.
"""

from __future__ import annotations

import datetime
import decimal
import unicodedata
import uuid
from typing import Any

import pandas as pd

from lethe.data.characters import is_blank, is_broken
from lethe.data.table_files import LONGEST
from lethe.system.errors import InputError

LONGEST_NAME = 4096  # characters; every name of an array takes the room of the longest
EXACT = 2**53  # from here on a float has lost digits of a whole number
NAMES = (str, int, float, decimal.Decimal, datetime.date, datetime.time, datetime.timedelta, uuid.UUID)


def is_missing(value: Any) -> bool:
    """Whether a cell holds nothing: None, NaN, and the NA and NaT of pandas."""
    return value is None or (not isinstance(value, list | dict | tuple) and bool(pd.isna(value)))


def text_of(value: Any) -> str:
    """A cell of text; a missing one is "".

    Raises:
        InputError: it holds something else, or a text that cannot be used.
    """
    if is_missing(value):
        return ""
    if not isinstance(value, str):
        raise InputError(f"holds a {type(value).__name__}; a column of text is needed")
    check_text(value)
    if len(value) > LONGEST:
        raise InputError(f"holds a text of {len(value)} characters; allowed: at most {LONGEST}")
    return value


def name_of(value: Any) -> str | None:
    """A cell of names, as text, or None if it holds none; a whole number is written without a point.

    Raises:
        InputError: it holds something that is no name, or a number that may have been another.
    """
    if is_missing(value) or (isinstance(value, str) and is_blank(value)):
        return None
    if not isinstance(value, NAMES):
        raise InputError(f"holds a {type(value).__name__}; a column of names is needed")
    if isinstance(value, float) and value.is_integer():
        if abs(value) >= EXACT:
            what = "holds a whole number as a float, which has not all of its digits"
            raise InputError(f"{what}; integers or text are needed")
        return str(int(value))
    if isinstance(value, str):
        check_text(value)
        if value.endswith("\0"):
            raise InputError("ends with the character NUL, which arrays of names drop; mend it")
        if len(value) > LONGEST_NAME:
            raise InputError(f"holds a name of {len(value)} characters; allowed: at most {LONGEST_NAME}")
    return str(value)


def subject_of(value: Any) -> str | None:
    """A cell of people: the same name in another normal form, or with space around it, is the same person."""
    name = name_of(value)
    return None if name is None else unicodedata.normalize("NFC", name).strip()


def words_of(value: Any) -> list[str]:
    """A cell of words or tags.

    Raises:
        InputError: it is no list of text.
    """
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise InputError("holds no list of text; words and their tags are needed")
    for word in value:
        check_text(word)
    return value


def messages_of(value: Any) -> list[dict[str, str]]:
    """A cell of a conversation: messages with role and content, what is learnt, the last one, by the assistant.

    Raises:
        InputError: it holds something else, or nobody is answered.
    """
    fine = isinstance(value, list) and all(
        isinstance(each, dict) and isinstance(each.get("role"), str) and isinstance(each.get("content"), str)
        for each in value
    )
    if not fine:
        raise InputError("holds no list of messages, each with role and content")
    if len(value) < 2 or value[-1]["role"] != "assistant":
        raise InputError("does not end with an answer by the assistant to another message")
    for message in value:
        check_text(message["content"])
    return [{"role": each["role"], "content": each["content"]} for each in value]


def texts_of(value: Any) -> list[str]:
    """A cell of several texts, or of one; those without a character that is seen are left out.

    Raises:
        InputError: it holds something else.
    """
    if is_missing(value):
        return []
    found = [value] if isinstance(value, str) else value
    if not isinstance(found, list):
        raise InputError(f"holds a {type(value).__name__}; a text, or a list of texts is needed")
    return [text for text in map(text_of, found) if not is_blank(text)]


def check_text(text: str) -> None:
    if is_broken(text):
        raise InputError(
            "holds half of a character (a lone surrogate), which no file can hold; mend the text"
        )
