"""How figures look, and how they are written: the same bytes for the same numbers."""

from __future__ import annotations

import io
import unicodedata
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from lethe.report.collect import Results

# Okabe and Ito's colours, distinct also without red-green vision
REFERENCE_COLOURS = {"base": "#9a9a9a", "original": "#000000", "retrain": "#009e73"}
METHOD_COLOURS = ("#0072b2", "#d55e00", "#e69f00", "#cc79a7", "#56b4e9", "#8c564b", "#7f3c8d", "#b3b000")
REFERENCE_MARKERS = {"base": "s", "original": "D", "retrain": "*"}
METHOD_MARKERS = ("o", "^", "v", "P", "X", "<", ">", "h")
PAGE, WIDEST = 10.4, 4.6  # inches: the text width of the page, the widest axes
NO_TEXT = ("Cc", "Cs", "Cn")  # categories of Unicode that XML 1.0 excludes, in part
LONGEST = 40  # characters of a text of a user in a figure
RC: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#666666",
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e6e6e6",
    "grid.linewidth": 0.6,
    "xtick.color": "#444444",
    "ytick.color": "#444444",
    "legend.frameon": False,
    "figure.constrained_layout.use": True,
    "svg.hashsalt": "lethe",
    "svg.fonttype": "path",
}


def colours(results: Results) -> dict[str, str]:
    """Colour of each run."""
    count = len(METHOD_COLOURS)
    return REFERENCE_COLOURS | {run: METHOD_COLOURS[i % count] for run, i in places(results).items()}


def places(results: Results) -> dict[str, int]:
    """Number of each method, for colours and markers; of one name the same in all studies, if the colours last."""
    order = results.everyone if len(results.everyone) <= len(METHOD_COLOURS) else results.methods
    return {run: order.index(run) for run in results.methods}


def markers(results: Results) -> dict[str, str]:
    """Marker of each run; where colours come again, they do so with other markers."""
    count = len(METHOD_MARKERS)
    return REFERENCE_MARKERS | {
        run: METHOD_MARKERS[(i + i // count) % count] for run, i in places(results).items()
    }


def panels(count: int, height: float = 3.2, columns: int = 3) -> tuple[Figure, list[Axes]]:
    """A figure with `count` axes, at most `columns` in a row, each `height` inches high, as wide as the page has."""
    across = min(count, columns)
    down = -(-count // across)
    figure = Figure(figsize=(min(PAGE, WIDEST * across), height * down))
    FigureCanvasAgg(figure)
    axes = figure.subplots(down, across, squeeze=False).ravel().tolist()
    for spare in axes[count:]:
        spare.remove()
    return figure, axes[:count]


def legend_below(figure: Figure, axes: Axes, columns: int = 8) -> None:
    """One legend for all axes, under them, in at most so many columns, as many as fit."""
    handles, labels = axes.get_legend_handles_labels()
    width = figure.get_size_inches()[0]
    most = min(columns, len(labels))
    fitting = (n for n in range(most, 1, -1) if sum(map(inches, np.array_split(labels, n))) < width)
    figure.legend(handles, labels, loc="outside lower center", ncols=next(fitting, 1), handletextpad=0.4)


def inches(labels: np.ndarray) -> float:
    """Width of a column of a legend, of wide letters, with its markers and its distance to the next."""
    return 0.08 * max(map(len, labels)) + 0.5


def literal(text: str) -> str:
    """Text of a user as matplotlib shows it as it is: no formula between $, no line break, nothing cut but its end.

    A label that begins with _ would be left out of a legend. Control characters and what is no character, such as half
    of one (a lone surrogate), can be in no SVG, which has all labels in comments, too.
    """
    text = "".join("?" if unicodedata.category(c) in NO_TEXT else c for c in " ".join(text.split()))
    text = text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"
    text = text.replace("$", r"\$")
    return f"\N{ZERO WIDTH SPACE}{text}" if text.startswith("_") else text


def shown(text: str) -> str:
    """What matplotlib shows of a text that `literal` made."""
    return text.lstrip("\N{ZERO WIDTH SPACE}").replace(r"\$", "$")


def styled(draw, *arguments) -> Figure | None:
    """The figure that `draw(*arguments)` makes under the style of the report, laid out once for both formats."""
    with matplotlib.rc_context(RC):
        figure = draw(*arguments)
        if figure is not None:
            figure.get_layout_engine().execute(figure)
            figure.set_layout_engine("none")
        return figure


def svg(figure: Figure) -> str:
    """The figure as SVG text without a date."""
    out = io.StringIO()
    with matplotlib.rc_context(RC):
        figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None})
    return out.getvalue()


def png(figure: Figure) -> bytes:
    """The figure as PNG, 160 dots per inch."""
    out = io.BytesIO()
    with matplotlib.rc_context(RC):
        figure.savefig(out, format="png", dpi=160, metadata={"Software": None})
    return out.getvalue()
