"""The page in a headless Chromium, as a reader has it: it sorts, chooses, links, shows values, and has no fault."""

from __future__ import annotations

import json
from pathlib import Path

import axe_core_python
import pytest
from browser import CHROMIUM, Browser
from pyarrow.parquet import read_table

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")
AXE = (Path(axe_core_python.__file__).parent / "axe.min.js").read_text()


@pytest.fixture(scope="module")
def browser(made, tmp_path_factory):
    with Browser(tmp_path_factory.mktemp("profile")) as found:
        found.open(made / "results/report/report.html")
        found.run("document.documentElement.style.scrollBehavior = 'auto'")
        yield found


def show(browser, name):
    """Scroll to a figure, and wait until it is drawn."""
    browser.run(f"document.getElementById('{name}').scrollIntoView()")
    browser.until(f"document.querySelector('#{name} svg, #{name} canvas') !== null")


def rows(browser, study="topics", column=0):
    return browser.run(
        f"[...document.querySelectorAll('#{study} table.headline')[0].tBodies[0].rows]"
        f".filter((row) => !row.hidden).map((row) => row.cells[{column}].textContent)"
    )


def test_it_opens_without_a_word_and_asks_for_nothing(browser):
    assert browser.run("document.documentElement.dataset.ready") == "yes"
    assert len(browser.asked) == 1 and browser.asked[0].startswith("file:")
    assert browser.said == []


def test_a_head_sorts_up_down_and_back(browser):
    """By numbers, not by letters: the first number of a cell."""
    before, column = rows(browser), 5
    head = f"document.querySelectorAll('#topics table.headline')[0].tHead.rows[0].cells[{column}]"
    for order, sign in (("ascending", 1), ("descending", -1)):
        browser.run(f"{head}.firstChild.click()")
        numbers = [float(text.split()[0].replace("−", "-")) for text in rows(browser, column=column)]
        assert [sign * number for number in numbers] == sorted(sign * number for number in numbers)
        assert browser.run(f"{head}.getAttribute('aria-sort')") == order
    assert rows(browser) != before
    browser.run(f"{head}.firstChild.click()")
    assert rows(browser) == before


def test_methods_and_metrics_can_be_chosen(browser):
    def click(value):
        browser.run(f"document.querySelector('#choose input[value=\"{value}\"]').click()")

    shown = "getComputedStyle(document.getElementById('records-method-npo')).display != 'none'"
    heads = (
        "[...document.querySelectorAll('#records table.headline')[0].tHead.rows[0].cells]"
        ".filter((cell) => !cell.hidden).map((cell) => cell.textContent.slice(0, -2))"
    )
    assert "npo" in rows(browser, "records") and browser.run(shown) and "MA, retain" in browser.run(heads)
    click("npo")
    click("MA, retain")
    assert "npo" not in rows(browser, "records") and not browser.run(shown)
    assert "MA, retain" not in browser.run(heads) and "transfer AUC" in browser.run(heads)
    show(browser, "records-tradeoff")
    names = "[...document.querySelectorAll('#records-tradeoff .legend li')].map((item) => item.textContent)"
    assert browser.run(names) == ["original", "retrain", "icu", "gradient_ascent", "gradient_difference"]
    click("npo")
    click("MA, retain")
    assert "npo" in browser.run(names) and "npo" in rows(browser, "records")


def test_a_name_leads_to_the_part_of_its_method(browser):
    browser.run("document.querySelector('#records table.headline a[href$=method-npo]').click()")
    assert browser.until("document.getElementById('records-method-npo').open")
    part = browser.run("document.getElementById('records-method-npo').innerText")
    assert (
        "Negative preference optimisation" in part and "tokens ÷ retrain" in part and "batch.forget" in part
    )


def test_a_figure_shows_the_values_under_the_pointer_and_all_of_them_as_a_table(browser, made):
    """The values that hovering shows are those of a seed or their mean, to four digits."""
    show(browser, "records-tradeoff")
    star = (
        "document.querySelector('#records-tradeoff .legend')"  # the retrained models' marker is the largest
    )
    x, y = browser.run(
        "(() => { const all = document.querySelectorAll('#records-tradeoff .panel:first-child path[transform]');"
        "const box = [...all].map((one) => one.getBoundingClientRect()).sort((a, b) => b.width - a.width)[0];"
        "return [box.x + box.width / 2, box.y + box.height / 2]; })()"
    )
    browser.call("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)
    tip = browser.until(
        "[...document.querySelectorAll('#records-tradeoff tspan')].map((one) => one.textContent).join(' ')"
    )
    seeds = [made / f"results/measure/records/retrain/seed{seed}/metrics.json" for seed in (0, 1)]
    values = [json.loads(file.read_text())["memorization_accuracy_forget"] for file in seeds]
    assert "retrain" in tip
    assert any(
        f": \N{ZERO WIDTH SPACE}{v:.4g}" in tip or f": {v:.4g}" in tip for v in [*values, sum(values) / 2]
    )
    assert browser.run(f"{star}.children.length") == 6
    browser.run("document.querySelector('#records-tradeoff .plot > details').open = true")
    count = "document.querySelectorAll('#records-tradeoff .plot > details tr').length"
    assert browser.until(count) == 1 + 3 * 6 * 3  # a head; panels, runs, two seeds and their mean


def test_the_heat_map_names_example_run_and_value_by_arrow_keys(browser, made):
    show(browser, "records-examples")
    said = browser.run(
        "(() => { const map = document.querySelector('#records-examples canvas');"
        "for (const key of ['ArrowRight', 'ArrowDown']) map.dispatchEvent(new KeyboardEvent('keydown', { key }));"
        "return document.querySelector('#records-examples .said').textContent; })()"
    )
    name, run, rest = said.split(", ", 2)
    table = read_table(made / "results/measure/records/original/seed0/metrics.parquet").to_pylist()
    (true,) = [row["memorization_accuracy"] for row in table if row["id"] == name]
    assert run == "original" and rest.startswith("seed 0: MA ")
    assert float(rest.split()[-1]) == pytest.approx(true, abs=0.01)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_both_themes_have_no_violation_of_accessibility(browser, theme):
    """axe-core's rules, contrast among them, of a study with a part of each kind open."""
    browser.theme(theme)
    opened = "#choose, #records-method-npo"
    browser.run(f"for (const part of document.querySelectorAll('{opened}')) part.open = true")
    browser.run("document.querySelector('#records-method-npo .plot').scrollIntoView()")
    browser.until("document.querySelector('#records-method-npo svg') !== null")
    browser.run(f"{AXE}; 0")
    colours = browser.run(
        "[getComputedStyle(document.body).backgroundColor, getComputedStyle(document.body).color]"
    )
    assert colours == (
        ["rgb(255, 255, 255)", "rgb(29, 37, 48)"]
        if theme == "light"
        else ["rgb(20, 24, 29)", "rgb(230, 234, 239)"]
    )
    found = browser.run(
        "axe.run({ exclude: [['#topics'], ['#glossary']] }, { resultTypes: ['violations'] })"
        ".then(({ violations }) => violations.map(({ id, nodes }) => [id, nodes.length, nodes[0].html]))"
    )
    assert found == []
    assert browser.said == []
