"""What a figure shows, as data that the page draws: lines, points and bands of each panel, with what they are called.

It is read from the figure itself: whatever is drawn can be looked at value by value, without a second description.
A label of a line is what it is called, its first word a run where there is one of that name: `npo`, or `_npo, seed 2`
beside which no legend stands.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.path import Path
from matplotlib.ticker import FixedFormatter

from lethe.report.figures.style import shown

MOST = 200  # points of a line; of a longer one every so many are shown
DIGITS = 4  # significant, of a coordinate


def drawn(figure: Figure, runs: Collection[str]) -> list[dict[str, Any]]:
    """Panels of a figure.

    Args:
        figure: of axes with lines, scattered points and bands; without images.
        runs: names of runs, by which what is shown can be chosen.
    Returns:
        For each panel {title, run, x, y: {label, limits, log, ticks}, bands, marks}: bands {x | y: [low, high], colour}
        and marks {name, run, colour, x, y, width, dashed, steps, marker, size, faint}, what does not apply left out.
    """
    lines = [line for axis in figure.axes for line in axis.lines]
    names = {to_hex(line.get_color()): called(line) for line in lines if called(line)}
    return [panel(axis, runs, names) for axis in figure.axes]


def panel(axis: Axes, runs: Collection[str], names: dict[str, str]) -> dict[str, Any]:
    """`names` are those of colours, which the legend of one panel may tell for all."""
    title = axis.get_title(loc="left") or axis.get_title()
    lines = [found for line in axis.lines for found in mark(axis, line, runs)]
    points = [
        found
        for collection in axis.collections
        if isinstance(collection, PathCollection)
        for found in scattered(collection, names)
    ]
    bands = [band(axis, patch) for patch in axis.patches if isinstance(patch, Rectangle)]
    return some(
        title=title,
        run=title if title in runs else None,
        x=axis_of(axis, "x"),
        y=axis_of(axis, "y"),
        bands=[found for found in bands if found],
        marks=points + lines,
    )


def axis_of(axis: Axes, name: str) -> dict[str, Any]:
    of = getattr(axis, f"{name}axis")
    ticks = None
    if isinstance(of.get_major_formatter(), FixedFormatter):
        ticks = [
            [short(place), shown(text)]
            for place, text in zip(of.get_majorticklocs(), of.get_major_formatter().seq, strict=False)
        ]
    return some(
        label=of.get_label_text(),
        limits=[short(value) for value in getattr(axis, f"get_{name}lim")()],
        log=of.get_scale() == "log",
        ticks=ticks,
        bare=len(of.get_majorticklocs()) == 0,
    )


def mark(axis: Axes, line: Line2D, runs: Collection[str]) -> list[dict[str, Any]]:
    """A line, with the points on it; none of one that stands in the legend alone."""
    x, y = (np.asarray(line.get_xdata(orig=False), float), np.asarray(line.get_ydata(orig=False), float))
    if not line.get_visible() or len(x) == 0:
        return []
    own = {"colour": to_hex(line.get_color()), "width": line.get_linewidth(), "faint": line.get_alpha()}
    for name, here in zip("xy", in_data(axis, line), strict=True):
        if not here:  # a straight line through the whole panel
            other = "y" if name == "x" else "x"
            place = short(np.asarray(getattr(line, f"get_{other}data")(), float)[0])
            return [some(at={other: place}, **own)]
    bare, marker = line.get_linestyle() == "None", line.get_marker()
    keep = np.unique(np.linspace(0, len(x) - 1, min(len(x), MOST)).round().astype(int))
    name = called(line)
    run = re.match(r"[a-z0-9][a-z0-9_-]*", name)
    return [
        some(
            name=name,
            run=run[0] if run and run[0] in runs else None,
            x=[short(value) for value in x[keep]],
            y=[short(value) for value in y[keep]],
            dashed=line.get_linestyle() in ("--", ":"),
            steps=line.get_drawstyle() == "steps-post",
            marker=None if marker in ("None", None, "") else str(marker),
            size=None if marker in ("None", None, "") else line.get_markersize(),
            **own | ({"width": 0} if bare else {}),
        )
    ]


def called(artist: Artist) -> str:
    """What it is called, whether the legend shows it or not; nothing of what matplotlib named."""
    label = str(artist.get_label())
    return "" if re.match(r"_(child)?\d+$", label) else shown(label.removeprefix("_"))


def in_data(axis: Axes, artist: Artist) -> tuple[bool, bool]:
    """Are its horizontal and its vertical coordinates those of the data?"""
    across, up = artist.get_transform().contains_branch_seperately(axis.transData)
    return across, up


def band(axis: Axes, patch: Rectangle) -> dict[str, Any] | None:
    """A band through the whole panel, as of axhspan."""
    across, up = in_data(axis, patch)
    if across == up:
        return None
    low, length = (patch.get_x(), patch.get_width()) if across else (patch.get_y(), patch.get_height())
    return {
        ("x" if across else "y"): [short(low), short(low + length)],
        "colour": to_hex(patch.get_facecolor()),
    }


def scattered(collection: PathCollection, names: dict[str, str]) -> list[dict[str, Any]]:
    """Points, those of one colour together, called as the legend calls that colour."""
    places = np.ma.filled(np.asarray(collection.get_offsets(), float), np.nan)
    colours = [to_hex(colour) for colour in np.atleast_2d(np.asarray(collection.get_facecolor()))]
    colours = colours * len(places) if len(colours) == 1 else colours
    size, kind = float(np.sqrt(collection.get_sizes()[0])), called(collection)
    path = collection.get_paths()[0]
    marker = "o" if Path.CURVE4 in np.asarray(path.codes if path.codes is not None else ()) else "X"
    marker = "D" if len(np.asarray(path.vertices)) <= 5 else marker
    found = []
    for colour in dict.fromkeys(colours):
        here = places[[one == colour for one in colours]]
        here = here[~np.isnan(here).any(axis=1)]
        name = ", ".join(text for text in (names.get(colour, ""), kind) if text)
        x, y = ([short(value) for value in values] for values in here.T)
        found.append(some(name=name, colour=colour, x=x, y=y, width=0, marker=marker, size=size,
                          faint=collection.get_alpha()))  # fmt: skip
    return found


def short(value: float) -> float | int | None:
    """To so many significant digits; null where there is no number."""
    if not np.isfinite(value):
        return None
    rounded = float(f"{value:.{DIGITS}g}")
    return int(rounded) if rounded.is_integer() else rounded


def some(**values: Any) -> dict[str, Any]:
    """Without what is absent, empty or false."""
    return {
        name: value
        for name, value in values.items()
        if not (value is None or value is False or value in ("", []))
    }
