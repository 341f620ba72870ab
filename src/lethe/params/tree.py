"""What any parameter may be, before its section is known: plain values, none of them beyond measure."""

from __future__ import annotations

import math
from typing import Any

DEPTH = 30  # levels of lists and mappings; no section has as many
VALUES = 1_000_000  # values of a file, those of anchors counted wherever they are used
CHARACTERS = 4096  # of a text; no path may be longer
LARGEST = 2**63 - 1  # whole numbers that every reader of JSON and every random stream takes


class Counter:
    """Counts the values of a tree."""

    def __init__(self) -> None:
        self.values = 0

    def check(self, value: Any, key: str = "", depth: int = 0) -> None:
        """Raise ValueError, which names the key, for anything but finite plain values in a tree of moderate size."""
        self.values += 1
        if self.values > VALUES:
            raise ValueError(f"holds more than {VALUES} values, anchors counted wherever they are used")
        if depth > DEPTH:
            raise ValueError(f"{key[:80]}: more than {DEPTH} levels, or an anchor inside itself")
        if isinstance(value, dict):
            for name, below in value.items():
                self.check_name(name, key)
                self.check(below, f"{key}.{name}" if key else name, depth + 1)
        elif isinstance(value, list):
            for place, below in enumerate(value):
                self.check(below, f"{key}.{place}", depth + 1)
        elif (what := fault_of(value)) is not None:
            raise ValueError(f"{key}: {what}")

    def check_name(self, name: Any, key: str) -> None:
        if not isinstance(name, str):
            raise ValueError(f"{key or 'the file'}: {str(name)[:80]} is a key; allowed are texts; quote it")
        if (what := fault_of(name)) is not None:
            raise ValueError(f"{key or 'the file'}: a key {what}")


def fault_of(value: Any) -> str | None:
    """What is wrong with a value that holds no others; None if nothing is."""
    match value:
        case None | bool():
            return None
        case int():
            return f"a whole number beyond ±{LARGEST}" if abs(value) > LARGEST else None
        case float():
            return None if math.isfinite(value) else f"{value} is not a finite number"
        case str():
            return fault_of_text(value)
    allowed = "texts, numbers, true, false, null, lists and mappings"
    return f"{str(value)[:80]}: a {type(value).__name__}; allowed are {allowed}; quote what is a text"


def fault_of_text(text: str) -> str | None:
    if len(text) > CHARACTERS:
        return f"is a text of {len(text)} characters; allowed are {CHARACTERS}"
    if any("\ud800" <= c <= "\udfff" for c in text):
        return f"{ascii(text)[:80]}: holds half of a character (a lone surrogate), which no file can hold"
    if any((c < " " and c not in "\t\n\r") or c == "\x7f" for c in text):
        return f"{ascii(text)[:80]}: holds a control character; allowed of those are tab and line break"
    return None


def check_tree(value: Any) -> None:
    """Raise ValueError for what no parameter may be; the message names its key."""
    Counter().check(value)
