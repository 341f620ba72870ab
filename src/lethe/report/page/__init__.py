"""One self-contained HTML page: text, tables and figures, nothing loaded from elsewhere."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup, escape

from lethe.params.file import Params
from lethe.params.tune import depends_on_seed
from lethe.report.collect import Results
from lethe.report.descriptions import SHARED
from lethe.report.figures.every import FIGURES
from lethe.report.settings import made_with, settings_table
from lethe.report.tables import Table
from lethe.system import plugins
from lethe.system.templates import template

TEMPLATE = Path(__file__).with_name("page.html.jinja")


@dataclass(frozen=True)
class Section:
    """A study on the page."""

    results: Results
    tables: dict[
        str, Table
    ]  # results, costs, data, metrics, settings; attacks, gaps, better and robustness where there are some
    figures: dict[str, str]  # name -> SVG element
    remarks: list[str]
    verdicts: list[str]  # what the forgetting of each method survives


def page(params: Params, sections: list[Section]) -> str:
    """The page as text.

    Args:
        params: all parameters; title and confidence level are shown.
        sections: the studies in order.
    """
    results = [section.results for section in sections]
    tasks = list(dict.fromkeys(section.results.study.task for section in sections))
    return template(TEMPLATE, cell=cell, drawn=depends_on_seed).render(
        params=params,
        sections=sections,
        kinds=FIGURES,
        glossary={task: [*(plugins.part("tasks", task, "GLOSSARY") or ()), *SHARED] for task in tasks},
        differing={of.name: settings_table(of, differing=True) for of in results},
        made_with=made_with(results),
    )


def cell(text: str) -> Markup:
    """A table cell: spread and interval in a lighter shade, a mark in its own colour."""
    marked = text.endswith("*")
    body = text.removesuffix("*")
    value, interval = body.partition(" [")[::2]
    mean, deviation = value.partition(" ± ")[::2]
    shown = escape(mean)
    if deviation:
        shown += Markup("<small> ± {}</small>").format(deviation)
    if interval:
        shown += Markup("<br><small>[{}</small>").format(interval)
    return shown + Markup("<b class=mark>*</b>") * marked
