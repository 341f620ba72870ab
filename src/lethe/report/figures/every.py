"""All figures, in the order of the page: title, caption, and the function that draws it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from matplotlib.figure import Figure

from lethe.report.collect import Results
from lethe.report.figures import (
    curves,
    examples,
    families,
    front,
    latent,
    robustness,
    roc,
    style,
    tradeoff,
    trajectory,
)  # fmt: skip


@dataclass(frozen=True)
class Kind:
    """A figure that a study may have; `draw` gives None where it has none."""

    title: str
    caption: str
    draw: Callable[[Results], Figure | None]


FIGURES = {
    "tradeoff": Kind("Trade-off", tradeoff.CAPTION, tradeoff.tradeoff),
    "front": Kind("Equal damage", front.CAPTION, front.fronts),
    "trajectory": Kind("Between epochs", trajectory.CAPTION, trajectory.trajectory),
    "latent": Kind("Latent space", latent.CAPTION, latent.latent),
    "roc": Kind("Attack", roc.CAPTION, roc.roc_figure),
    "examples": Kind("Example by example", examples.CAPTION, examples.examples),
    "families": Kind("What still follows", families.CAPTION, families.families),
    "robustness": Kind("Robustness", robustness.CAPTION, robustness.robustness),
    "curves": Kind("Training curves", curves.CAPTION, curves.curves),
}


def figures(results: Results) -> dict[str, Figure]:
    """name -> figure, of those that this study has."""
    drawn = {name: style.styled(kind.draw, results) for name, kind in FIGURES.items()}
    return {name: figure for name, figure in drawn.items() if figure is not None}
