"""Tables as rows of strings, and their forms: Markdown, terminal, CSV."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from lethe.report.collect import Results, tokens
from lethe.report.descriptions import attack_title, digits, title
from lethe.tasks import Column

Summaries = dict[str, dict[str, dict[str, Any]]]
MARK = "*"  # told from the retrained models
BARE = "–"  # there is no such number
RATIOS = {"tokens": "tokens", "processor_seconds": "processor time"}
BAND = "retrain band"  # row of the gaps of retrained models among themselves


@dataclass(frozen=True)
class Table:
    """A head and rows of cells; the first cell of a row names it."""

    head: list[str]
    rows: list[list[str]]


def number(value: float, decimals: int) -> str:
    """`1,234.5`, with a true minus sign; from a thousand millions on in powers of ten."""
    text = f"{value:.2e}" if abs(value) >= 1e9 else f"{value:,.{decimals}f}"
    if not text.strip("-0."):
        text = text.lstrip("-")
    return text.replace("-", "−")


def spread(entry: dict[str, Any] | None, decimals: int) -> str:
    """`mean ± sd`, or the mean alone where one seed has no spread."""
    if entry is None:
        return BARE
    tail = f" ± {number(entry['sd'], decimals)}" if "sd" in entry else ""
    return number(entry["mean"], decimals) + tail


def results_table(
    found: Summaries, costs: Summaries, columns: list[Column], runs: list[str], claimed: Summaries,
    spent: Sequence[str] = ("tokens",),
) -> Table:  # fmt: skip
    """The headline: every run's main metrics, with what is claimed of the declared ones, and what it cost.

    Args:
        spent: costs beside retrain's. Tokens are the same on every machine; processor time, which knows of the
            reviews between epochs too, is not.
    """
    rows = []
    for run in runs:
        cells = []
        for column in columns:
            value = spread(found[run].get(column.key), column.digits)
            cells.append(value + claim(claimed.get(run, {}).get(column.key)))
        ratios = [ratio_cell(costs.get(run, {}).get(cost, {}), run) for cost in spent]
        rows.append([run, *cells, *ratios])
    heads = [f"{RATIOS[cost]} ÷ retrain\N{NO-BREAK SPACE}↓" for cost in spent]
    return Table(["run", *map(title, columns), *heads], rows)


def claim(entry: dict[str, Any] | None) -> str:
    """The verdict and the mark of a declared metric; nothing of another."""
    if entry is None:
        return ""
    return (f" {entry['verdict']}" if "verdict" in entry else "") + MARK * entry["star"]


def attacks_table(found: dict[str, dict[str, Any]], runs: list[str]) -> Table:
    """The strongest attack on every run: what it reveals, and what it finds in the retrained models."""
    rows = []
    for run in [run for run in runs if run in found]:
        entry = found[run]
        gap = number(entry["gap"], 3)
        if "low" in entry:
            gap += f" [{number(entry['low'], 3)}, {number(entry['high'], 3)}]"
        what = f"{attack_title(entry['attack'])} (of {entry['attacks']})"
        rows.append([run, what, number(entry["auc"], 3), number(entry["retrained"], 3), gap])
    return Table(["run", "strongest attack", "AUC", "retrained models", "difference"], rows)


def ratio_cell(entry: dict[str, Any], run: str) -> str:
    if run == "retrain":
        return "1"
    return times(entry["ratio"]["mean"]) if "ratio" in entry else BARE


def times(ratio: float) -> str:
    """A ratio to two digits, such as 0.031, 0.25, 1.5 or 12."""
    return f"{ratio:.2g}" if ratio < 10 else f"{ratio:.0f}"


def gap_table(found: Summaries, columns: list[Column], runs: list[str]) -> Table:
    """Difference of every run to retrain with its interval; last the band of retrained models among themselves."""
    rows = []
    for run in runs:
        gaps = [found[run].get(column.key, {}).get("gap") for column in columns]
        rows.append([run, *map(gap_cell, gaps, columns)])
    bands = [found["retrain"].get(column.key, {}).get("band") for column in columns]
    if any(bands):
        cells = [
            f"±{number(b['half'], c.digits)}" if b else BARE for b, c in zip(bands, columns, strict=True)
        ]
        rows.append([BAND, *cells])
    return Table(["run − retrain", *(c.label for c in columns)], rows)


def gap_cell(gap: dict[str, Any] | None, column: Column) -> str:
    """`−0.10 [−0.20, 0.00] |0.12|`: mean, interval, and the mean distance where nearness counts over several seeds."""
    if gap is None:
        return BARE
    text = number(gap["mean"], column.digits)
    if "low" in gap:
        text += f" [{number(gap['low'], column.digits)}, {number(gap['high'], column.digits)}]"
    if column.good == "retrain" and gap["n"] > 1:
        text += f" |{number(gap['distance'], column.digits)}|"
    return text


def better_table(found: dict[str, dict[str, list[str]]], runs: list[str], columns: list[Column]) -> Table:
    """For every run and metric the runs that it is better than."""
    rows = [[run, *(", ".join(found[run][c.key]) or BARE for c in columns)] for run in runs]
    return Table(["better than", *map(title, columns)], rows)


def cost_table(costs: Summaries, runs: list[str]) -> Table:
    """Time, steps, tokens and memory of every run, and their ratios to retrain."""
    names = {"wall_seconds": ("time, s", 1, 1), "processor_seconds": ("processor time, s", 1, 1)}
    names |= {"steps": ("steps", 0, 1), "tokens": ("tokens", 0, 1)}
    names["peak_memory_bytes"] = ("peak memory, MiB", 0, 2**20)
    if any("beforehand_seconds" in costs[run] for run in runs):
        names["beforehand_seconds"] = ("training beforehand, s", 1, 1)
    head, rows = ["run"], []
    for label, _, _ in names.values():
        head += [label, "÷ retrain"]
    for run in runs:
        cells = [run]
        for name, (_, decimals, unit) in names.items():
            entry = costs[run].get(name)
            if entry is None:
                cells += [BARE, BARE]
                continue
            scaled = {k: v / unit for k, v in entry.items() if k in ("mean", "sd")}
            cells += [spread(scaled, decimals), ratio_cell(entry, run)]
        rows.append(cells)
    return Table(head, rows)


def all_metrics_table(found: Summaries, runs: list[str]) -> Table:
    """Every metric of every run, one metric a row; intervals within a run are in its metrics.json."""
    metrics = sorted({m for run in runs for m in found[run] if not m.endswith(("_low", "_high"))})
    rows = [[m, *(spread(found[run].get(m), digits(m)) for run in runs)] for m in metrics]
    return Table(["metric", *runs], rows)


def data_table(results: Results) -> Table:
    """How many examples each set holds, in the first seed, and how many of all tokens are read."""
    counts = results.facts["forget"].get("counts", {})
    rows = [[name.replace("_", " "), str(count)] for name, count in counts.items()]
    there, kept = tokens(results.facts["prepared"])
    return Table(
        ["set", "examples"], rows + [["tokens read, of all", f"{kept:,} of {there:,}"]] * (there > 0)
    )


def markdown(table: Table) -> str:
    """GitHub-flavoured Markdown; numbers aligned right."""
    rules = ["---", *("---:" for _ in table.head[1:])]
    head, *rows = (
        [re.sub(r"[\\|*<`$]", r"\\\g<0>", cell) for cell in row] for row in [table.head, *table.rows]
    )
    return "".join("| " + " | ".join(row) + " |\n" for row in [head, rules, *rows])


LATEX = {
    **{letter: f"\\{letter}" for letter in "&%$#_{}"},
    "\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": "$<$", ">": "$>$",
    "|": "$|$", "↑": r"$\uparrow$", "↓": r"$\downarrow$", "≈": r"$\approx$", "±": r"$\pm$", "−": "$-$", "÷": r"$\div$",
    "–": "--", "≤": r"$\leq$", "≥": r"$\geq$", "Δ": r"$\Delta$", "✓": r"$\surd$", "✗": r"$\times$",
    "\N{NO-BREAK SPACE}": "~",
    **{digit: f"$_{place}$" for place, digit in enumerate("₀₁₂₃₄₅₆₇₈₉")}, "ₙ": "$_n$", "²": "$^2$",
}  # fmt: skip


def latex(table: Table) -> str:
    """A tabular with the rules of the package booktabs; numbers aligned right."""
    rows = [
        " & ".join("".join(LATEX.get(c, c) for c in cell) for cell in row)
        for row in [table.head, *table.rows]
    ]
    lines = [
        f"\\begin{{tabular}}{{l{'r' * (len(table.head) - 1)}}}",
        r"\toprule",
        rows[0] + r" \\",
        r"\midrule",
    ]
    return "\n".join([*lines, *(row + r" \\" for row in rows[1:]), r"\bottomrule", r"\end{tabular}", ""])


def comma_separated(table: Table) -> str:
    """The cells as they are shown."""
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows([table.head, *table.rows])
    return out.getvalue()


def plain(table: Table) -> str:
    """Aligned columns for a terminal."""
    widths = [max(len(row[i]) for row in [table.head, *table.rows]) for i in range(len(table.head))]
    lines = []
    for row in [table.head, ["─" * width for width in widths], *table.rows]:
        cells = [
            row[0].ljust(widths[0]),
            *(cell.rjust(w) for cell, w in zip(row[1:], widths[1:], strict=True)),
        ]
        lines.append("  ".join(cells).rstrip() + "\n")
    return "".join(lines)


def summaries_csv(found: Summaries) -> str:
    """One line per run and metric; a number that does not exist is an empty field."""
    own, gap = ("mean", "sd", "n"), ("mean", "sd", "distance", "n", "low", "high", "excludes_zero", "by")
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["run", "metric", *own, *(f"gap_{name}" for name in gap), "band"])
    for run, metrics in found.items():
        for metric, entry in metrics.items():
            gaps = entry.get("gap", {})
            cells = [*(entry.get(k, "") for k in own), *(gaps.get(k, "") for k in gap)]
            writer.writerow([run, metric, *cells, entry.get("band", {}).get("half", "")])
    return out.getvalue()


def costs_csv(costs: Summaries) -> str:
    """One line per run and cost, with its ratio to retrain."""
    keys = ("mean", "sd", "n")
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["run", "cost", *keys, *(f"ratio_{key}" for key in keys)])
    for run, entries in costs.items():
        for name, entry in entries.items():
            ratio = entry.get("ratio", {})
            writer.writerow([run, name, *(entry.get(k, "") for k in keys), *(ratio.get(k, "") for k in keys)])
    return out.getvalue()
