"""From what all runs left behind, and what the comparisons found, to tables, figures and the page."""

from __future__ import annotations

import logging
from functools import partial
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from lethe.params.file import Params, check_params
from lethe.params.report import Report
from lethe.report import tables
from lethe.report.collect import Results, collect
from lethe.report.comparability import within
from lethe.report.conversation import conversation
from lethe.report.costs import costs
from lethe.report.equal_damage import equal_damage_table
from lethe.report.figures import style
from lethe.report.figures.drawn import drawn as data_of
from lethe.report.figures.every import figures
from lethe.report.heat import heat
from lethe.report.methods import parts
from lethe.report.page import Section, page
from lethe.report.remarks import remarks
from lethe.report.robustness import ratios_table, robustness_table, verdicts
from lethe.report.settings import settings_table
from lethe.report.tables import Table
from lethe.system.files import replacing, write_json

log = logging.getLogger("lethe.report")
LEGEND = (
    "Mean ± standard deviation over seeds. ↑ higher is better, ↓ lower is better, ≈ the nearer to the "
    "retrained models, which never saw the forget set, the better. What was declared before the run to carry "
    "claims has a verdict: *near*, the gap to the retrained models is within the declared margin; *far*, "
    "beyond it; *open*, these seeds tell neither. \\* told from the retrained models (Holm over the methods). "
    "A value without a mark is not thereby equal to theirs. Tokens are those that training read.\n"
)


def report(params: Params | dict[str, Any], out: Path, root: Path = Path()) -> None:
    """Write the report of all studies and print the result tables.

    Args:
        params: all parameters, as of params.yaml.
        out: folder for metrics.json, cost.json, summary.md, report.html, tables/ and figures/.
        root: folder that holds data/ and results/.
    Raises:
        InputError: an output of a run is missing.
    """
    params = params if isinstance(params, Params) else check_params(params, "params.yaml")
    metrics, spent, sections = {}, {}, []
    files: dict[str, dict[str, str | bytes]] = {"tables": {}, "figures": {}}
    for name, study in params.studies.items():
        log.info("study %s: %d runs of %d seeds", name, len(study.runs), len(study.seeds))
        results = collect(name, params, root)
        metrics[name] = results.summaries
        spent[name] = costs(results.costs)
        shown = tables_of(results, spent[name])
        files["tables"] |= table_files(name, shown, metrics[name], spent[name])
        drawn = figures(results)
        files["figures"] |= {f"{name}_{key}.svg": style.svg(figure) for key, figure in drawn.items()}
        files["figures"] |= {f"{name}_{key}.png": style.png(figure) for key, figure in drawn.items()}
        sections.append(section_of(results, shown, drawn, params.report))
    summary = summary_text(sections)
    write_json(out / "metrics.json", metrics)
    write_json(out / "cost.json", spent)
    for folder, content in files.items():
        write_folder(out / folder, content)
    write_text(out / "summary.md", summary)
    write_text(out / "report.html", page(params, sections))
    for section in sections:
        print(f"\n{section.results.name}\n\n{tables.plain(section.tables['results'])}", end="")
    print(f"\n{out / 'report.html'}")


def section_of(
    results: Results, shown: dict[str, Table], drawn: dict[str, Figure], settings: Report
) -> Section:
    """The part of the page for a study."""
    survives = verdicts(results)
    return Section(
        results=results,
        tables=shown,
        figures={key: data_of(figure, results.runs) for key, figure in drawn.items() if key != "examples"},
        remarks=remarks(results, settings),
        verdicts=survives,
        methods=parts(results, shown, survives),
        heat=heat(results),
        conversation=conversation(results, settings.show_text),
        incomparable=within(results),
    )


def tables_of(results: Results, spent: tables.Summaries) -> dict[str, Table]:
    """name -> table: those that every study has, and others where there is such a comparison."""
    shown, runs, found = results.columns, results.runs, results.summaries
    others, made = [run for run in runs if run != "retrain"], [run for run in runs if run in spent]
    attacks = tables.attacks_table(results.comparison["strongest"], runs)
    headline = partial(tables.results_table, found, spent, shown, runs, results.comparison["verdicts"])
    every = {
        "results": headline(),
        "headline": headline(spent=("tokens", "processor_seconds")),
        "costs": tables.cost_table(spent, made),
        "data": tables.data_table(results),
        "settings": settings_table(results),
        "metrics": tables.all_metrics_table(found, runs),
    }
    leads = results.comparison.get("better")
    compared_by = [column for column in shown if column.key in results.comparison["claims"]["primary"]]
    some = {
        "attacks": attacks if attacks.rows else None,
        "gaps": tables.gap_table(found, shown, others) if "retrain" in runs else None,
        "better": leads and tables.better_table(leads, results.methods, compared_by),
        "robustness": robustness_table(results),
        "ratios": ratios_table(results),
        "damage": equal_damage_table(results),
    }
    return every | {name: table for name, table in some.items() if table}


def table_files(name: str, shown: dict[str, Table], found, spent) -> dict[str, str | bytes]:
    """Every table as Markdown, LaTeX and CSV; those of metrics and costs as CSV with all numbers."""
    forms = {"md": tables.markdown, "tex": tables.latex, "csv": tables.comma_separated}
    files: dict[str, str | bytes] = {
        f"{name}_{key}.{ending}": form(table)
        for key, table in shown.items()
        for ending, form in forms.items()
        if key != "headline"
    }
    return files | {
        f"{name}_metrics.csv": tables.summaries_csv(found),
        f"{name}_costs.csv": tables.costs_csv(spent),
    }


def summary_text(sections: list[Section]) -> str:
    """The result tables of all studies as Markdown, with what is needed to read them."""
    parts = []
    for section in sections:
        results = section.results
        seeds = f"{len(results.seeds)} seed{'s' if len(results.seeds) > 1 else ''}"
        parts.append(
            f"**{results.name}** ({results.study.task}, {seeds})\n\n{tables.markdown(section.tables['results'])}"
        )
    return "\n".join([*parts, LEGEND])


def write_text(path: Path, text: str) -> None:
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_folder(path: Path, content: dict[str, str | bytes]) -> None:
    """Replace a folder by one that holds exactly these files."""
    with replacing(path) as temporary:
        temporary.mkdir()
        for name, value in content.items():
            (temporary / name).write_bytes(value if isinstance(value, bytes) else value.encode())
