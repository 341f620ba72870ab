"""What draws the figures of the page, embedded in it: D3 7.9.2 and Observable Plot 0.6.17 on it, under the ISC licence.

The files are those of the packages `d3` and `@observablehq/plot` of the npm registry, byte for byte (`SHA256`); their
licences are in LICENSE. Together they are half a megabyte, a tenth of Plotly, and draw SVG in the colours of the page,
which a printer and a screen reader see.
"""

from __future__ import annotations

from pathlib import Path

SHA256 = {
    "d3.min.js": "912111098ea99503a6f4967361d2bbdc9dbf58cf9c678c8e27e5b02d1a07f0c1",
    "plot.min.js": "4358086467740777dd788d6b27a95cebdbaefdd50c730a3060117073bd7134cb",
}


def scripts() -> str:
    """Their licences, which go with every copy, and both scripts in the order in which they are to run."""
    folder = Path(__file__).parent
    parts = [(folder / name).read_text(encoding="utf-8") for name in ("LICENSE", *SHA256)]
    return f"/*\n{parts[0]}*/\n" + "\n".join(parts[1:])
