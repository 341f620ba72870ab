"""From what all runs left behind to tables, figures, the page, and the README's result table."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from lethe.evaluation.bootstrap import intervals
from lethe.evaluation.shadows import gathered
from lethe.measure import load, modules, with_match
from lethe.metrics.common.attacks import auc_draws, judged_others
from lethe.metrics.common.statistics import percentile_interval
from lethe.metrics.forget_quality import forget_quality
from lethe.params.file import Params, check_params
from lethe.params.names import BLIND, VARIANT
from lethe.params.study import Study
from lethe.report import readme as readme_file
from lethe.report import tables
from lethe.report.collect import Results, collect
from lethe.report.descriptions import ATTACK, columns
from lethe.report.figures import style
from lethe.report.figures.curves import curves
from lethe.report.figures.examples import examples
from lethe.report.figures.latent import latent
from lethe.report.figures.robustness import robustness
from lethe.report.figures.roc import roc_figure
from lethe.report.figures.tradeoff import tradeoff
from lethe.report.figures.trajectory import trajectory
from lethe.report.page import Section, page
from lethe.report.remarks import remarks
from lethe.report.robustness import robustness_table, verdicts
from lethe.report.summarise import Numbers, better, costs, summaries
from lethe.report.tables import Table
from lethe.system.files import replacing, write_json
from lethe.system.streams import stream

log = logging.getLogger("lethe.report")
SHADOW_ATTACKS = ("lira", "rmia")
FEW_DRAWS = 200  # resamples behind an interval over examples


def report(
    params: Params | dict[str, Any], out: Path, readme: Path | None = None, root: Path = Path()
) -> None:
    """Write the report of all studies and print the result tables.

    Args:
        params: all parameters, as of params.yaml.
        out: folder for metrics.json, cost.json, summary.md, report.html, tables/ and figures/.
        readme: file whose result table is renewed.
        root: folder that holds data/ and results/.
    Raises:
        InputError: an output of a run is missing, or the README has no place for the table.
    """
    params = params if isinstance(params, Params) else check_params(params, "params.yaml")
    confidence = params.report.confidence
    metrics, spent, sections = {}, {}, []
    files: dict[str, dict[str, str | bytes]] = {"tables": {}, "figures": {}}
    for name, study in params.studies.items():
        log.info("study %s: %d runs of %d seeds", name, len(study.runs), len(study.seeds))
        results = collect(name, params, root)
        numbers = beside_retrain(results)
        metrics[name] = summaries(numbers | {BLIND: results.blind}, confidence, results.again)
        if len(results.seeds) == 1:
            metrics[name] = with_example_intervals(results, metrics[name], confidence)
        spent[name] = costs(results.costs)
        shown = tables_of(results, metrics[name], spent[name])
        if len(results.seeds) > 1 and len(results.methods) > 1:
            headline = columns(study.task, metrics[name]["retrain"])
            leads = better(numbers, results.methods, headline, confidence)
            shown["better"] = tables.better_table(leads, headline)
        for variant, found in results.variants.items():
            of = summaries(found, confidence)
            metrics[name] |= {f"{run}{VARIANT}{variant}": entries for run, entries in of.items()}
        kept = (params.report.returned, confidence)
        if (table := robustness_table(results, *kept)) is not None:
            shown["robustness"] = table
        files["tables"] |= table_files(name, shown, metrics[name], spent[name])
        drawn = figures_of(results, metrics[name])
        vector = {key: style.svg(figure) for key, figure in drawn.items()}
        files["figures"] |= {f"{name}_{key}.svg": text for key, text in vector.items()}
        files["figures"] |= {f"{name}_{key}.png": style.png(figure) for key, figure in drawn.items()}
        elements = {
            key: style.inline(text, f"{name}-{key}", f"{name}: {key}") for key, text in vector.items()
        }
        said = remarks(results, metrics[name], params.report)
        sections.append(Section(results, shown, elements, said, verdicts(results, *kept)))
    summary = summary_text(sections, confidence)
    write_json(out / "metrics.json", metrics)
    write_json(out / "cost.json", spent)
    for folder, content in files.items():
        write_folder(out / folder, content)
    write_text(out / "summary.md", summary)
    write_text(out / "report.html", page(params, sections))
    if readme is not None:
        readme_file.insert(readme, summary)
    for section in sections:
        print(f"\n{section.results.name}\n\n{tables.plain(section.tables['results'])}", end="")
    print(f"\n{out / 'report.html'}")


def beside_retrain(results: Results) -> Numbers:
    """The numbers of all runs with what takes the retrained model of the same seed to find out.

    `forget_quality`: how probable the losses on the forget set are under retrain; of retrain itself, how probable its
    own are to further retrained models, on average: what is to be expected of a perfect method. `SCORE_below_retrain`:
    1 if the AUC of an attack is significantly below its AUC on retrain, so that the forget set was pushed beyond what
    never having seen it would do, else 0.
    """
    numbers = {run: dict(seeds) for run, seeds in results.numbers.items()}
    for seed in results.seeds:
        retrain = results.examples("retrain", seed)
        for run in [r for r in results.runs if r != "retrain"]:
            own = results.examples(run, seed)
            quality = forget_quality(losses(own), losses(retrain))
            below = below_retrain(own, retrain, results.study, seed)
            numbers[run][seed] = numbers[run][seed] | {"forget_quality": quality} | below
        again = [results.examples(run, seed) for run in results.again]
        if again:
            quality = float(np.mean([forget_quality(losses(other), losses(retrain)) for other in again]))
            numbers["retrain"][seed] = numbers["retrain"][seed] | {"forget_quality": quality}
    return numbers


def losses(columns: dict[str, np.ndarray]) -> np.ndarray:
    return columns["loss"][columns["set"] == "forget"]


def below_retrain(
    own: dict[str, np.ndarray], retrain: dict[str, np.ndarray], study: Study, seed: int
) -> dict[str, float]:
    """`SCORE_below_retrain` of every attack that both have, by a bootstrap of the same examples for both models."""
    found = {}
    for name in [name for name in (ATTACK[study.task], *SHADOW_ATTACKS) if name in own and name in retrain]:
        draws = []
        for run in (own, retrain):
            groups = run[name][run["set"] == "forget"], run[name][judged_others(run | {"sets": run["set"]})]
            draws.append(auc_draws(*groups, study.measure.bootstrap, stream(seed, "bootstrap", name)))
        high = percentile_interval(draws[0] - draws[1], study.measure.confidence)[1]
        found[f"{name}_below_retrain"] = float(high < 0)
    return found


def with_example_intervals(results: Results, found: tables.Summaries, confidence: float) -> tables.Summaries:
    """Gaps of the headline metrics of a single seed with their intervals over examples, as there is none over seeds."""
    seed, task = results.seeds[0], results.study.task
    keys = {column.key for column in columns(task, found["retrain"])}
    settings = results.study.measure.model_copy(update={"bootstrap": FEW_DRAWS, "confidence": confidence})
    bare = settings.model_copy(update={"bootstrap": 0})

    def judged(run: str):
        scores = with_match(load(results.scores_file(run, seed)), settings)
        if results.shadow_files:
            scores |= gathered(results.shadow_files, scores["ids"])
        values = {metric: metric.values(scores, settings) for metric in modules(task)}
        return scores, {m: v for m, v in values.items() if keys & {*m.aggregate(scores, v, bare, seed)}}

    retrain = judged("retrain")
    for run in [r for r in results.runs if r != "retrain"]:
        table = intervals([judged(run), retrain], settings, seed)
        for key in keys & {*table}:
            low, high = table[key]["gap_low"], table[key]["gap_high"]
            bounds = {"low": low, "high": high, "excludes_zero": not low <= 0 <= high, "by": "examples"}
            found[run][key]["gap"] |= bounds
    return found


def tables_of(results: Results, found: tables.Summaries, spent: tables.Summaries) -> dict[str, Table]:
    shown, runs = columns(results.study.task, found["retrain"]), results.runs
    others = [run for run in runs if run != "retrain"]
    return {
        "results": tables.results_table(found, spent, shown, runs),
        "gaps": tables.gap_table(found, shown, others),
        "costs": tables.cost_table(spent, runs),
        "data": tables.data_table(results),
        "metrics": tables.all_metrics_table(found, runs),
    }


def table_files(name: str, shown: dict[str, Table], found, spent) -> dict[str, str | bytes]:
    """Every table as Markdown, and all numbers as CSV."""
    as_markdown: dict[str, str | bytes] = {
        f"{name}_{key}.md": tables.markdown(table) for key, table in shown.items()
    }
    return as_markdown | {
        f"{name}_metrics.csv": tables.summaries_csv(found),
        f"{name}_costs.csv": tables.costs_csv(spent),
    }


def figures_of(results: Results, found: tables.Summaries) -> dict[str, Figure]:
    """The figures that this study has."""
    wanted: dict[str, tuple[Callable[..., Figure | None], tuple]] = {
        "tradeoff": (tradeoff, (results, found)),
        "trajectory": (trajectory, (results,)),
        "latent": (latent, (results,)),
        "roc": (roc_figure, (results, found)),
        "examples": (examples, (results,)),
        "curves": (curves, (results,)),
        "robustness": (robustness, (results,)),
    }
    drawn = {name: style.styled(draw, *arguments) for name, (draw, arguments) in wanted.items()}
    return {name: figure for name, figure in drawn.items() if figure is not None}


def summary_text(sections: list[Section], confidence: float) -> str:
    """The result tables of all studies as Markdown, with what is needed to read them."""
    parts = []
    for section in sections:
        results = section.results
        seeds = f"{len(results.seeds)} seed{'s' if len(results.seeds) > 1 else ''}"
        parts.append(
            f"**{results.name}** ({results.study.task}, {seeds})\n\n{tables.markdown(section.tables['results'])}"
        )
    legend = (
        "Mean ± standard deviation over seeds. ↑ higher is better, ↓ lower is better, ≈ the nearer to `retrain`, "
        f"the model that never saw the forget set, the better. \\* the {100 * confidence:g}% interval of the paired "
        "difference to `retrain` excludes zero (of a single seed: the interval over examples).\n"
    )
    return "\n".join([*parts, legend])


def write_text(path: Path, text: str) -> None:
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_folder(path: Path, content: dict[str, str | bytes]) -> None:
    """Replace a folder by one that holds exactly these files."""
    with replacing(path) as temporary:
        temporary.mkdir()
        for name, value in content.items():
            (temporary / name).write_bytes(value if isinstance(value, bytes) else value.encode())
