"""One self-contained HTML page: text, tables and figures, nothing loaded from elsewhere."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup, escape

from lethe.params.file import Params
from lethe.params.tune import depends_on_seed
from lethe.report.collect import Results
from lethe.report.descriptions import SHARED
from lethe.report.settings import made_with, settings_table
from lethe.report.tables import Table
from lethe.system import plugins
from lethe.system.templates import template

TEMPLATE = Path(__file__).with_name("page.html.jinja")

CAPTIONS = {
    "tradeoff": "Forgetting against utility. Large markers are means over seeds, small ones single seeds; the green "
    "lines and bands are the retrained model and its spread (± 1 sd). The best run lies where the bands cross: what "
    "was to be forgotten looks as if never seen, and nothing else is lost.",
    "trajectory": "Between epochs: memorization accuracy (MA) and extraction likelihood (EL), defined below. A line "
    "per seed, thick for a method that drops forgotten pairs, a dot where the run ended; dashed is the threshold, the "
    "level of text the model never saw. Epoch 0 is the original model.",
    "latent": "Latent space of the first seed. Each model's embeddings on the unit sphere, projected onto the plane in "
    "which the centroids of its own retained classes differ most; the planes are turned, not stretched, to match the "
    "first panel. Diamonds are the forget set, in the colour of their true class; no forget example enters the fit.",
    "roc": "ROC of the membership attack, forget against test, averaged over seeds. On the diagonal the attack cannot "
    "tell what was forgotten from what was never seen. The right panel shows the region of few false accusations.",
    "examples": "Every forget example (row) of the first seed in every run (column), the best memorised on top: dark "
    "is forgotten, bright is still there. The column of retrain says how bright unseen text of this kind is; a bright "
    "row in a dark column is a person who was not forgotten, whatever the mean says. Rows are named by record ids.",
    "robustness": "What comes back when the model or the prompt is changed: each panel is a perturbation at growing "
    "strength, means over seeds. Every run is changed in the same way, retrain and original too.",
    "curves": "Terms of each method's loss over its steps, first seed.",
}


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
        captions=CAPTIONS,
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
