"""The whole report on made-up results with planted effects."""

import json
import re
import subprocess
import sys
from html.parser import HTMLParser
from types import SimpleNamespace

import numpy as np
import pyarrow.parquet
import pytest
import scipy.stats
from synthetic import MAKE, METHODS, generation_scores, parameters, write_results

from lethe.evaluation.scores import NOT_PER_EXAMPLE
from lethe.params.file import check_params
from lethe.report.remarks import over_unlearned, text_only_control, transfer_control
from lethe.report.report import report
from lethe.report.settings import made_with
from lethe.system.errors import InputError

VARIANTS = ["", "+relearn-2", "+relearn-5", "+quantise-8"]
VOID = {"meta", "br", "link", "img", "input"}


@pytest.fixture(scope="module")
def html(made):
    return (made / "results/report/report.html").read_text()


def test_metrics_hold_mean_spread_and_gap_of_every_run(made):
    found = json.loads((made / "results/report/metrics.json").read_text())
    assert list(found) == ["records", "topics"]
    assert set(found["records"]) == {"base", "original", "retrain", "blind", *METHODS["generation"]}

    def of(run, seed):
        path = made / f"results/measure/records/{run}/seed{seed}/metrics.json"
        return json.loads(path.read_text())["memorization_accuracy_retain"]

    entry = found["records"]["npo"]["memorization_accuracy_retain"]
    assert entry["mean"] == pytest.approx((of("npo", 0) + of("npo", 1)) / 2)
    assert entry["sd"] == pytest.approx(abs(of("npo", 0) - of("npo", 1)) / np.sqrt(2))
    gaps = [of("npo", seed) - of("retrain", seed) for seed in (0, 1)]
    assert entry["gap"]["mean"] == pytest.approx(np.mean(gaps))
    assert "gap" not in found["records"]["retrain"]["memorization_accuracy_retain"]


def test_planted_effects_are_seen(made):
    records = json.loads((made / "results/report/metrics.json").read_text())["records"]
    gap = {run: records[run]["memorization_accuracy_retain"]["gap"] for run in ("icu", "gradient_ascent")}
    assert gap["gradient_ascent"]["excludes_zero"]
    assert gap["gradient_ascent"]["mean"] < -0.4 < -0.1 < gap["icu"]["mean"]


def test_losses_are_compared_with_the_retrained_models_of_the_same_seed(made):
    found = json.loads((made / "results/compare/records/comparison.json").read_text())["losses"]
    assert found["original"]["ks"] < 1e-6 and "retrain" not in found  # no further one
    p = []
    for seed in (0, 1):
        losses = []
        for run in ("icu", "retrain"):
            path = made / f"results/measure/records/{run}/seed{seed}/metrics.parquet"
            table = pyarrow.parquet.read_table(path, filters=[("set", "=", "forget")])
            losses.append(table["loss"].to_numpy())
        p.append(scipy.stats.ks_2samp(*losses).pvalue)
    assert found["icu"]["ks"] == pytest.approx(scipy.stats.combine_pvalues(p).pvalue)


def test_retrained_models_among_themselves_are_the_noise(made):
    metrics = json.loads((made / "results/report/metrics.json").read_text())
    band = metrics["topics"]["retrain"]["accuracy_test"]["band"]
    assert band["degrees"] == 2  # two seeds of two models each
    values = []
    for seed in (0, 1):
        for run in ("retrain", "retrain-2"):
            path = made / f"results/measure/topics/{run}/seed{seed}/metrics.json"
            values.append(json.loads(path.read_text())["accuracy_test"])
    variance = ((values[0] - values[1]) ** 2 + (values[2] - values[3]) ** 2) / 4
    half = 4.302653 * np.sqrt(
        variance * 1.5 / 2
    )  # t with 2 degrees of freedom, from tables; beside two models
    assert band["half"] == pytest.approx(half)
    assert metrics["records"]["retrain"]["perplexity_test"]["band"]["degrees"] == 1
    comparison = json.loads((made / "results/compare/topics/comparison.json").read_text())
    assert 0 < comparison["losses"]["retrain"]["ks"] <= 1
    assert "| retrain band | ±" in (made / "results/report/tables/topics_gaps.md").read_text()


def test_a_method_is_better_only_beyond_the_paired_interval(made):
    lines = (made / "results/report/tables/records_better.md").read_text().splitlines()
    head, rows = lines[0].split("|"), {line.split("|")[1].strip(): line.split("|") for line in lines[2:]}
    retained = next(i for i, name in enumerate(head) if "MA, retain" in name)
    assert "gradient_ascent" in rows["icu"][retained]
    assert rows["gradient_ascent"][retained].strip() == "–"


def test_the_page_says_what_the_controls_found(html):
    assert "Blind control: an attack that sees only the texts, no model, has AUC 0.52" in html
    assert "2 retrained models per seed (degrees of freedom: 2)" in html
    assert "the retrained models of different seeds (degrees of freedom: 1)" in html
    assert "Which method is better" in html


def test_runs_pushed_beyond_retraining_are_named():
    (sentence,) = over_unlearned(SimpleNamespace(comparison={"beyond": ["icu", "npo"]}))
    assert sentence.startswith("Pushed beyond retraining: icu, npo.")
    assert over_unlearned(SimpleNamespace(comparison={"beyond": []})) == []


def test_costs_stand_apart_from_what_a_seed_fixes(made):
    metrics = (made / "results/report/metrics.json").read_text()
    cost = json.loads((made / "results/report/cost.json").read_text())
    assert "wall_seconds" not in metrics
    assert cost["records"]["icu"]["steps"]["ratio"]["mean"] == pytest.approx(34 / 320)


def test_every_study_has_its_figures_and_tables(made):
    figures = {f.name for f in (made / "results/report/figures").iterdir()}
    shared = {
        f"{s}_{n}.{e}"
        for s in ("topics", "records")
        for n in ("tradeoff", "roc", "curves")
        for e in ("svg", "png")
    }
    assert figures == shared | {
        f"{n}.{e}"
        for n in ("topics_latent", "records_trajectory", "records_examples")
        for e in ("svg", "png")
    }
    tables = {f.name for f in (made / "results/report/tables").iterdir()}
    kinds = ("results", "attacks", "gaps", "better", "costs", "data", "settings", "metrics")
    assert tables == {
        f"{s}_{k}.{e}" for s in ("topics", "records") for k in kinds for e in ("md", "tex", "csv")
    }


def test_the_summary_is_the_same_on_every_machine(made):
    """Its last column counts tokens: 34 steps beside 320, of 500 tokens each; seconds are in the table of costs."""
    summary = (made / "results/report/summary.md").read_text()
    assert "**records** (generation, 2 seeds)" in summary
    assert "| tokens ÷ retrain\N{NO-BREAK SPACE}↓ |" in summary
    (row,) = [line for line in summary.splitlines() if line.startswith("| icu |")]
    assert row.endswith("| 0.11 |")
    assert "time" not in summary and "seconds" not in summary


def test_what_is_not_marked_is_not_called_equal(made, html):
    summary = (made / "results/report/summary.md").read_text()
    assert "A value without a mark is not thereby equal to theirs." in summary
    assert "that does not make the two equal" in html
    assert "It does not show that a method equals retraining." in html


def test_the_page_says_what_was_declared_and_what_the_strongest_attack_reveals(made, html):
    """The planted methods that keep their memory are far and marked; what was declared stands above the table."""
    assert (
        "Declared before the run: 2 retrained models per seed; transfer_auc, accuracy_forget, accuracy_test"
        in html
    )
    rows = (made / "results/report/tables/topics_results.md").read_text().splitlines()
    original, finetune = (
        next(row for row in rows if row.startswith(f"| {run} ")) for run in ("original", "finetune")
    )
    assert " far\\*" in original and " far\\*" in finetune
    attacks = (made / "results/report/tables/topics_attacks.md").read_text()
    assert "| finetune | " in attacks and " (of " in attacks
    assert "The strongest attack" in html


def test_the_page_shows_the_settings_of_every_method(tmp_path):
    params = parameters()
    del params["studies"]["records"]
    deepcut = {"training": {"epochs": 3, "dropout": True}, "hyper": {"gamma": 0.7}}
    params["studies"]["topics"] |= {"methods": {"deepcut": deepcut, "finetune": {}}, "unlearn": {"epochs": 2}}
    write_results(tmp_path, params)
    report(params, tmp_path / "out", tmp_path)
    rows = {
        cells[1]: cells[2:4]
        for cells in ([c.strip() for c in line.split("|")] for line in lines(tmp_path, "settings"))
    }
    assert rows["setting"] == ["deepcut", "finetune"] == rows["objective"]
    assert rows["epochs"] == ["3 [2]", "2"]  # beside what the study says of all methods
    assert rows["dropout"] == ["true [false]", "false"]
    assert rows["hyper.gamma"] == ["0.7 [1.0]", "–"]
    assert rows["batch.forget"] == ["8", "8"]
    html = (tmp_path / "out/report.html").read_text()
    shown, everything = re.findall(
        r"<table.*?</table>", html[html.index('topics-settings">Settings of') :], re.DOTALL
    )[:2]
    assert "hyper.gamma" in shown and "batch.forget" not in shown
    assert "batch.forget" in everything


def lines(root, table: str) -> list[str]:
    return (root / f"out/tables/topics_{table}.md").read_text().splitlines()


def test_the_page_says_what_was_made_with_what(made, tmp_path):
    html = (made / "results/report/report.html").read_text()
    table = re.sub(r"<[^>]+>", " ", html[html.index("How it was made</h2>") :])
    for word in ("1" * 40, "cpu, 1 threads", "torch", "2.0", "d" * 16, "from its sources"):
        assert word in table
    records = {
        "npo": {0: record(commit="a"), 1: record(commit="b", modified=True)},
        "icu": {0: record(commit="a")},
    }
    rows = dict(made_with([SimpleNamespace(name="s", records=records, identities={})]).rows)
    assert rows["commit"] == "a (2 models), b, with changes since (1 models)"
    assert rows["torch"] == "2.0"


def record(**more) -> dict:
    made = {
        "commit": None,
        "modified": None,
        "code": "c",
        "data": {"prepared": "d"},
        "versions": {"torch": "2.0"},
    }
    return made | {"device": "cpu", "threads": 1} | more


class Page(HTMLParser):
    """Identifiers, links and the balance of tags of a page."""

    def __init__(self, text):
        super().__init__()
        self.open, self.identifiers, self.links, self.sources = [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        self.identifiers += [attributes["id"]] if "id" in attributes else []
        self.links += [attributes["href"]] if "href" in attributes else []
        self.sources += [attributes["src"]] if "src" in attributes else []
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        self.open.remove(tag) if tag not in VOID else None

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_the_page_is_whole_and_loads_nothing(html):
    page = Page(html)
    assert page.open == []
    assert len(page.identifiers) == len(set(page.identifiers))
    assert {link[1:] for link in page.links if link.startswith("#")} <= set(page.identifiers)
    assert [link for link in page.links if not link.startswith("#")] == page.sources == []
    without_scripts = re.sub(r"<script.*?</script>", "", html, flags=re.DOTALL)
    assert re.findall(r"url\((?!#)|@import|<script|<link", without_scripts) == []
    assert html.count("<script") == html.count("</script>") == 3


def test_the_page_says_how_weak_two_seeds_are(html):
    assert "Seeds 0, 1; each draws its own forget set." in html
    assert "interval of a mean difference reaches 9.0 standard deviations to each side" in html  # 12.706 / √2
    assert "Attacks are judged on 60 test examples: one false accusation is already a rate of 0.017" in html
    assert "nan" not in re.sub(r"<[^>]+>", " ", html).lower().split()


def test_a_rerun_writes_the_same_bytes(made):
    folder = made / "results/report"
    before = {f: f.read_bytes() for f in folder.rglob("*") if f.is_file()}
    report(parameters(), folder, made)
    assert {f: f.read_bytes() for f in folder.rglob("*") if f.is_file()} == before


def test_one_seed_and_one_method_are_reported_without_spread(tmp_path, capsys):
    params = parameters(seeds=[3])
    params["studies"]["topics"] |= {"methods": {"finetune": {}}, "shadow": {"models": 4}}
    params["studies"]["records"]["methods"] = {"npo": {}}
    write_results(tmp_path, params)
    report(params, tmp_path / "out", tmp_path)
    metrics = json.loads((tmp_path / "out/metrics.json").read_text())
    entry = metrics["topics"]["finetune"]["accuracy_test"]
    assert set(entry) == {"mean", "n", "gap"}
    assert set(entry["gap"]) == {
        "mean",
        "distance",
        "n",
        "low",
        "high",
        "excludes_zero",
    }  # by two retrained models
    assert entry["gap"]["low"] <= entry["gap"]["mean"] <= entry["gap"]["high"]
    assert metrics["records"]["npo"]["memorization_accuracy_excess"]["gap"]["by"] == "examples"  # by one
    for attack in ("lira_auc", "rmia_auc"):  # shadow models are read for these
        gap = metrics["topics"]["finetune"][attack]["gap"]
        assert gap["low"] <= gap["mean"] <= gap["high"]
    forgotten = metrics["records"]["original"]["memorization_accuracy_excess"]["gap"]
    assert forgotten["excludes_zero"] and forgotten["low"] > 0.3
    gaps = (tmp_path / "out/tables/topics_gaps.md").read_text()
    assert "LiRA AUC" in gaps
    *rows, band = gaps.splitlines()[2:]
    assert all(" [" in cell for row in rows for cell in row.strip("| ").split(" | ")[1:])
    assert band.startswith("| retrain band | ±")
    assert "better.md" not in "".join(f.name for f in (tmp_path / "out/tables").iterdir())
    assert "One seed: there is no spread" in (tmp_path / "out/report.html").read_text()
    printed = capsys.readouterr().out
    assert "±" not in printed
    assert "accuracy, forget" in printed


def test_robustness_is_reported_where_it_was_tested(tmp_path):
    params = parameters()
    del params["studies"]["topics"]
    params["studies"]["records"]["methods"] = {"npo": {}}
    params["studies"]["records"]["robustness"] = {"relearn": {"levels": [2, 5]}, "quantise": {"levels": [8]}}
    params["studies"]["records"]["forget"] = {"strategy": "ids", "file": "ids.txt"}
    params["studies"]["records"]["measure"]["matched"] = True
    write_results(tmp_path, params)
    report(params, tmp_path / "out", tmp_path)
    metrics = json.loads((tmp_path / "out/metrics.json").read_text())["records"]
    tested = {f"{run}{v}" for run in ("original", "retrain", "npo") for v in VARIANTS}
    assert set(metrics) == tested | {"base", "blind"}
    for variant in VARIANTS[1:]:  # the gap is to the retrain of the same variant, here the same numbers
        key = "memorization_accuracy_forget"
        assert metrics[f"npo{variant}"][key] == metrics["npo"][key]
    assert (tmp_path / "out/figures/records_robustness.svg").exists()
    html = (tmp_path / "out/report.html").read_text()
    assert "npo: forgetting survives" in html or "npo: forgetting undecided" in html
    assert "Seeds 0, 1; all have the same forget set." in html
    assert "Attacks are judged on 30 test examples: one" in html  # as many as there are to forget
    assert Page(html).open == []
    table = (tmp_path / "out/tables/records_robustness.md").read_text()
    ratios = (tmp_path / "out/tables/records_ratios.md").read_text().splitlines()
    assert [line.split(":")[0] for line in ratios[2:]][::2] == ["| relearn", "| quantise"]
    assert "1.00 / 1.00 / " in ratios[2]  # nothing is gained, as every variant has the same scores
    rows = [line.split(":")[0] for line in table.splitlines()[2:]]
    assert list(dict.fromkeys(rows)) == ["| as it is", "| relearn-2", "| relearn-5", "| quantise-8"]


def test_one_seed_with_few_matched_test_examples_has_intervals(tmp_path, monkeypatch):
    """Of 60 test examples 3 match; a resample of all 60 would often hold none of them."""

    def few(seed, memory, utility=1.0):
        scores = generation_scores(seed, memory, utility)
        scores["characters"] = np.arange(1, len(scores["ids"]) + 1)  # every model is shown the same texts
        kept = np.ones(len(scores["ids"]), bool)
        kept[np.flatnonzero(scores["sets"] == "forget")[3:]] = False
        return {name: values if name in NOT_PER_EXAMPLE else values[kept] for name, values in scores.items()}

    monkeypatch.setitem(MAKE, "generation", few)
    params = parameters(seeds=[3])
    del params["studies"]["topics"]
    params["studies"]["records"]["methods"] = {"npo": {}}
    params["studies"]["records"]["measure"]["matched"] = True
    write_results(tmp_path, params)
    report(params, tmp_path / "out", tmp_path)
    gap = json.loads((tmp_path / "out/metrics.json").read_text())["records"]["npo"]["min_k_auc"]["gap"]
    assert gap["low"] <= gap["mean"] <= gap["high"]


def test_words_about_levels_and_seeds_hold_for_other_settings(tmp_path):
    """A level is not rounded to another, and requests of given ids come in an order that the seed draws."""
    params = parameters()
    del params["studies"]["topics"]
    params["studies"]["records"]["methods"] = {"npo": {}}
    params["studies"]["records"]["forget"] = {"strategy": "ids", "file": "ids.txt", "requests": 2}
    params["report"] = {"confidence": 0.999}
    write_results(tmp_path, {"studies": {"records-1": params["studies"]["records"]}})
    whole = check_params(params, "params.yaml")
    first = whole.model_copy(update={"studies": {"records-1": whole.studies["records-1"]}})
    report(first, tmp_path / "out", tmp_path)
    html = (tmp_path / "out/report.html").read_text()
    assert "30 of 150 training examples are to be forgotten in the first seed" in html
    assert "each draws its own forget set" in html
    assert "99.9%" in html
    for text in (html, (tmp_path / "out/summary.md").read_text()):
        assert "100% " not in text


def test_a_missing_output_is_named(tmp_path):
    params = parameters(seeds=[3])
    del params["studies"]["topics"]
    write_results(tmp_path, params)
    (tmp_path / "results/unlearn/records/npo/seed3/cost.json").unlink()
    with pytest.raises(InputError, match=r"unlearn/records/npo/seed3/cost.json: no such file"):
        report(params, tmp_path / "out", tmp_path)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("module", "heavy"),
    [
        ("lethe.measure", {"torch", "transformers", "pandas", "datasets", "sklearn"}),
        ("lethe.compare", {"torch", "transformers", "pandas", "datasets", "sklearn", "matplotlib"}),
        ("lethe.report.report", {"torch", "transformers", "pandas", "datasets", "sklearn", "scipy"}),
    ],
)
def test_what_reads_metrics_imports_nothing_heavy(module, heavy):
    """And the report neither metrics nor statistics: it shows what `lethe compare` found."""
    code = f"import sys, lethe.evaluation.numbers as n, {module}; n.modules('classification'), n.modules('generation')"
    if module.endswith("report"):
        code = f"import sys, {module}"
    done = subprocess.run(
        [sys.executable, "-c", f"{code}; print(*{heavy} & set(sys.modules))"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.strip() == ""


def test_seeds_without_a_text_only_control_are_left_out_of_the_remark():
    judged = {"blind_auc": 0.7, "blind_leak": 1.0}
    one = SimpleNamespace(
        text_only_control={1: {}, 2: judged}, summaries={"blind": {"blind_auc": {"mean": 0.7}}}
    )
    assert "AUC 0.70" in text_only_control(one)[0]
    assert "in 1 of 1 seeds" in text_only_control(one)[0]
    none = SimpleNamespace(text_only_control={1: {}, 2: {}}, summaries={"blind": {}})
    assert "Blind control: none" in text_only_control(none)[0]


def test_a_transfer_attack_that_succeeds_on_retrained_models_is_told():
    def of(mean, low):
        found = {"transfer_auc": {"mean": mean}, "transfer_auc_low": {"mean": low}}
        return transfer_control(SimpleNamespace(summaries={"retrain": found}))

    assert "AUC 0.71 on the retrained models, and intervals that begin at 0.55" in of(0.71, 0.55)[0]
    assert of(0.58, 0.42) == []
    for summaries in ({}, {"retrain": {}}):  # none was retrained; a single seed
        assert transfer_control(SimpleNamespace(summaries=summaries)) == []
