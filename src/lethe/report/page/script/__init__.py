"""What makes the page of the report answer: a file each for the theme, tables, what is chosen, figures and parts."""

from __future__ import annotations

from pathlib import Path

ORDER = ("theme", "tables", "choose", "figures", "heat", "conversation", "start")


def script() -> str:
    """All of it, in the order in which it runs; `DATA` is what the page holds as JSON."""
    parts = [(Path(__file__).parent / f"{name}.js").read_text(encoding="utf-8") for name in ORDER]
    data = 'const DATA = JSON.parse(document.getElementById("data").textContent);\n'
    return '(() => {\n"use strict";\n' + data + "".join(parts) + "})();"
