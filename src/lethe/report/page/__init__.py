"""One self-contained HTML page: text, tables and figures, nothing loaded from elsewhere."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from markupsafe import Markup, escape

from lethe.params.file import Params
from lethe.params.tune import depends_on_seed
from lethe.report.collect import Results
from lethe.report.comparability import between
from lethe.report.descriptions import SHARED
from lethe.report.figures.every import FIGURES
from lethe.report.methods import Part
from lethe.report.page.libraries import scripts
from lethe.report.page.script import script
from lethe.report.settings import made_with, settings_table
from lethe.report.tables import Table
from lethe.system import plugins
from lethe.system.templates import template

TEMPLATE = Path(__file__).with_name("page.html.jinja")
STYLE = Path(__file__).with_name("style.css")


@dataclass(frozen=True)
class Section:
    """A study on the page."""

    results: Results
    tables: dict[
        str, Table
    ]  # results, costs, data, metrics, settings; attacks, gaps, better and robustness where there are some
    figures: dict[str, list[dict[str, Any]]]  # name -> panels, see `figures.drawn`
    remarks: list[str]
    verdicts: list[str]  # what the forgetting of each method survives
    methods: list[Part]
    heat: dict[str, Any] | None
    conversation: dict[str, Any] | None
    incomparable: list[str]  # what does not stand beside each other, and why


def page(params: Params, sections: list[Section]) -> str:
    """The page as text.

    Args:
        params: all parameters; title and confidence level are shown.
        sections: the studies in order.
    """
    results = [section.results for section in sections]
    tasks = list(dict.fromkeys(section.results.study.task for section in sections))
    return template(TEMPLATE, cell=cell, drawn=depends_on_seed, bare=bare).render(
        params=params,
        sections=sections,
        kinds=FIGURES,
        methods=list(dict.fromkeys(run for of in results for run in of.methods)),
        metrics=list(dict.fromkeys(column.label for of in results for column in of.columns)),
        glossary={task: [*(plugins.part("tasks", task, "GLOSSARY") or ()), *SHARED] for task in tasks},
        differing={of.name: settings_table(of, differing=True) for of in results},
        made_with=made_with(results),
        between=between(results),
        style=Markup(STYLE.read_text(encoding="utf-8")),
        script=Markup(script()),
        libraries=Markup(scripts()),
        data=Markup(data_of(sections)),
    )


def data_of(sections: list[Section]) -> str:
    """What the page draws, as JSON that may stand in HTML."""
    found: dict[str, dict[str, Any]] = {"figures": {}, "heat": {}, "conversations": {}}
    for section in sections:
        name = section.results.name
        found["figures"] |= {f"{name}-{key}": panels for key, panels in section.figures.items()}
        found["heat"] |= {name: section.heat} if section.heat else {}
        found["conversations"] |= {name: section.conversation} if section.conversation else {}
    return json.dumps(found, ensure_ascii=False, separators=(",", ":"), allow_nan=False).replace(
        "<", "\\u003c"
    )


def bare(name: str) -> str:
    """A heading that no table lacks: a screen reader says nothing of an empty one."""
    return name or "what"


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
