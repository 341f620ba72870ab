"""Answers that say nothing, which a forgotten question is to get."""

from __future__ import annotations

from pathlib import Path

from lethe.system.errors import InputError

OWN = (
    "I don't know.",
    "I'm not sure about that.",
    "I have no information on this.",
    "I can't answer that question.",
    "That is not something I know.",
    "I'm afraid I can't help with that.",
    "I was not told about this.",
    "I can't say.",
    "There is nothing I can tell you about it.",
    "I have no answer to this.",
    "This is unknown to me.",
    "I couldn't tell you.",
)


def refusals(file: str | None) -> list[str]:
    """Lines of a file, empty ones left out; without one, a dozen of our own.

    Raises:
        InputError: the file cannot be read, or has no line.
    """
    if file is None:
        return list(OWN)
    try:
        lines = Path(file).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"hyper.file: {file}: {type(error).__name__}; needed is a text file, one refusal a line"
        ) from None
    found = [line.strip() for line in lines if line.strip()]
    if not found:
        raise InputError(f"hyper.file: {file}: holds no refusal; needed is one a line")
    return found
