"""Which characters of a text count."""

from __future__ import annotations

import unicodedata

# Not seen, though Unicode has them as letters, marks or symbols: joiners, fillers, variation selectors, a blank pattern
UNSEEN = {
    chr(code)
    for first, last in (
        (0x34F, 0x34F),
        (0x115F, 0x1160),
        (0x17B4, 0x17B5),
        (0x180B, 0x180F),
        (0x2800, 0x2800),
        (0x3164, 0x3164),
        (0xFE00, 0xFE0F),
        (0xFFA0, 0xFFA0),
        (0xE0100, 0xE01EF),
    )
    for code in range(first, last + 1)
}


def is_unseen(character: str) -> bool:
    """Whether it has neither ink nor width: of zero width, a mark of direction, a variation selector."""
    return character in UNSEEN or unicodedata.category(character) == "Cf"


def is_blank(text: str) -> bool:
    """Whether nothing can be seen: space, control characters and those of zero width alone."""
    return all(c.isspace() or is_unseen(c) or unicodedata.category(c) == "Cc" for c in text)


def is_broken(text: str) -> bool:
    """Whether it holds half of a character that UTF-16 writes in two (a lone surrogate), which no file can hold."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False


def normalised(text: str) -> str:
    """One form of texts that look alike: NFKC without case and without what is not seen.

    Unicode Standard Annex 15 (Unicode Normalization Forms).
    """
    if text.isascii():
        return text.lower()
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    return "".join(c for c in folded if not is_unseen(c))
