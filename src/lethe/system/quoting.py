"""What of somebody's data a message may quote: names that cannot be a text, and nothing else.

A text may stand where a name is expected: a CSV file without a header has its first record there, JSON may have texts
as keys, and a column of texts may be given as that of the ids. So no message holds a value of the data but through
here.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import re
import zlib
from collections.abc import Iterable

PLAIN = re.compile(r"[\w.:/@+#=-]{1,80}", re.ASCII)
# what columns are commonly called: of other names some might be texts
ORDINARY = set(
    re.findall(
        r"\w+",
        """answer article author body category class code comment content context date description document doc_id
    documents features gender header heading id idx index input instruction key kind label labels lang language lines
    message meta metadata name ner_tags note notes output passage person phrase post prompt query question record
    response review row score sentence sentences sentiment set source split subject subset summary tag tags target text
    texts timestamp title token tokens topic type url user user_id value who word words""",
    )
)
PLACES = re.compile(r"Expected \d+ fields in line \d+, saw \d+|EOF inside string starting at row \d+")


def quoted(value: object) -> str:
    """A record's id or the name of a class in quotes, or a digest in its place if it might be a text.

    It might unless it is at most 80 ASCII letters, digits and . : / @ + # = _ -, so without a space.
    """
    text = str(value)
    if PLAIN.fullmatch(text):
        return repr(text)
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
    return f"(not shown, SHA-256 {digest[:12]})"


def class_name(value: object) -> str:
    """The name of a class of several examples, which no text has, in quotes; a digest if it is too long for one."""
    text = str(value)
    return repr(text) if len(text) <= 40 and text.isprintable() else quoted(value)


def columns(found: Iterable[object], wanted: str) -> str:
    """Names of columns: those that are ordinary or differ little from the one wanted; the others are counted."""
    names = [str(name) for name in found]
    near = difflib.get_close_matches(wanted, names, n=3, cutoff=0.8)
    shown = [name for name in dict.fromkeys(names) if name.lower() in ORDINARY or name in near]
    hidden = len(names) - sum(name in shown for name in names)
    if hidden:
        shown.append(f"{hidden} {'more' if shown else 'in all'} whose names are not shown")
    return ", ".join(shown) or "none"


def reason(error: BaseException) -> str:
    """What went wrong, without what libraries quote in their messages; places in a file stay."""
    match error:
        case json.JSONDecodeError():
            return f"{error.msg} in line {error.lineno}"
        case UnicodeDecodeError():
            return f"it is not {error.encoding.upper()} from byte {error.start} on"
        case RecursionError():
            return "it is nested too deeply"
        case MemoryError():
            return "there is too little memory"
        case EOFError() | zlib.error():
            return f"it is cut off or damaged ({str(error).splitlines()[0]})"
        case OSError() if error.strerror:
            return error.strerror
    if place := PLACES.search(str(error)):
        return place.group()
    return type(error).__name__
