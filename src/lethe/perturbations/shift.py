"""Shifted prefixes: the prompt begins some words later and ends where it did."""

from __future__ import annotations

from dataclasses import dataclass

from lethe.params.fields import Count

NEEDS = ("text",)


@dataclass(frozen=True)
class Options:
    level: Count  # words that are left out; the last word stays


def rewritten(options: Options, text: str, draw) -> str:
    words = text.split(" ")
    return " ".join(words[min(options.level, len(words) - 1) :])
