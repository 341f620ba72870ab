"""The terms of every method's loss over its steps: did it train, and which term drove it."""

from __future__ import annotations

from matplotlib.figure import Figure

from lethe.report.collect import Results
from lethe.report.figures.style import METHOD_COLOURS, panels
from lethe.system import plugins

CAPTION = "Terms of each method's loss over its steps, first seed."


def curves(results: Results) -> Figure | None:
    """A panel per method with a line per term of its loss, first seed; None if no method took a step."""
    first = results.seeds[0]
    traces = {run: seeds[first] for run, seeds in results.traces.items() if seeds[first]}
    if not traces:
        return None
    figure, axes = panels(len(traces), height=2.5, columns=4)
    for axis, (run, series) in zip(axes, traces.items(), strict=True):
        known = plugins.constants_in("objectives", results.study.methods[run].objective).get("TERMS", {})
        terms = [name for name in series if name in known]
        for name, colour in zip(terms, METHOD_COLOURS * len(terms), strict=False):
            axis.plot(series["step"], series[name], label=name, color=colour, linewidth=1)
        if len(terms) > 1:
            axis.plot(series["step"], series["loss"], label="sum", color="black", linewidth=1.3)
        axis.set_title(run)
        axis.set_xlabel("step")
        axis.legend(fontsize=7)
    axes[0].set_ylabel("loss")
    return figure
