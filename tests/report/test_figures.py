"""Arithmetic behind the figures."""

import html
import io
import re
from types import SimpleNamespace

import matplotlib
import numpy as np
import pytest

from lethe.report.figures import curves, drawn, examples, latent, style, trajectory
from lethe.system.plugins import names_in


def test_a_turned_and_mirrored_plane_is_turned_back():
    rng = np.random.default_rng(0)
    target = rng.normal(size=(5, 2))
    angle = 1.1
    turn = np.array([[np.cos(angle), np.sin(angle)], [np.sin(angle), -np.cos(angle)]])
    centroids = target @ turn
    centroids[3] = np.nan  # a class that one model was not trained on
    back = latent.rotation(centroids, target)
    assert np.allclose((centroids @ back)[[0, 1, 2, 4]], target[[0, 1, 2, 4]])
    assert np.allclose(back @ back.T, np.eye(2))


def test_projection_shows_the_plane_of_the_class_centroids():
    # three classes on the axes 0, 1, 2 of an 8-dimensional space: centroids are an equilateral triangle of side √2
    embeddings = 3 * np.repeat(np.eye(8)[:3], 4, axis=0)
    labels, sets = np.repeat([0, 1, 2], 4), np.array(["retain", "retain", "retain", "forget"] * 3)
    points, centroids, *_ = latent.projected(embeddings, labels, sets, np.array(["a", "b", "c"]))
    sides = np.linalg.norm(centroids - np.roll(centroids, 1, axis=0), axis=1)
    assert sides == pytest.approx([np.sqrt(2)] * 3)
    assert np.allclose(points, centroids[labels])


def test_forget_examples_do_not_enter_the_fit():
    rng = np.random.default_rng(0)
    embeddings, labels = rng.normal(size=(40, 6)), np.arange(40) % 4
    sets = np.where(np.arange(40) < 30, "retain", "forget")
    moved = np.where((sets == "forget")[:, None], embeddings + 9, embeddings)
    classes = np.arange(4).astype(str)
    first, second = (latent.projected(e, labels, sets, classes) for e in (embeddings, moved))
    assert np.allclose(first[0][:30], second[0][:30])
    assert not np.allclose(first[0][30:], second[0][30:])


def test_two_classes_lie_on_a_line():
    embeddings = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [1.0, 0.1, 0.0], [0.1, 1.0, 0.0]])
    points, *_ = latent.projected(
        embeddings, np.array([0, 1, 0, 1]), np.full(4, "retain"), np.array(["a", "b"])
    )
    assert np.isfinite(points).all()
    assert points[0, 0] * points[1, 0] < 0


def test_the_sum_of_terms_that_take_turns_is_drawn():
    """As in SCRUB: an epoch of one term, then one of the other."""
    nan = np.nan
    trace = {"step": [0, 1], "loss": [-1.0, 0.5], "forget": [-1.0, nan], "retain": [nan, 0.5]}
    series = {name: np.array(values) for name, values in trace.items()}
    study = SimpleNamespace(methods={"scrub": SimpleNamespace(objective="scrub")})
    figure = curves.curves(SimpleNamespace(study=study, seeds=[0], traces={"scrub": {0: series}}))
    lines = {line.get_label(): line.get_ydata().tolist() for line in figure.axes[0].lines}
    assert lines["sum"] == [-1.0, 0.5]


def test_columns_of_a_trace_that_are_no_terms_are_not_drawn():
    """SISA says which shard and slice a step is of."""
    trace = {"step": [0, 1], "loss": [2.0, 1.0], "retain": [2.0, 1.0], "shard": [0, 1], "slice": [0, 0]}
    series = {name: np.array(values) for name, values in trace.items()}
    study = SimpleNamespace(methods={"pieces": SimpleNamespace(objective="sisa")})
    figure = curves.curves(SimpleNamespace(study=study, seeds=[0], traces={"pieces": {0: series}}))
    assert [line.get_label() for line in figure.axes[0].lines] == ["retain"]


def simple_figure():
    figure, axes = style.panels(2)
    axes[0].plot([0, 1], [1, 0], "o-", label="line")
    axes[1].axhspan(0, 1)
    return figure


def test_the_same_figure_is_the_same_bytes_without_a_date():
    first, second = (style.styled(simple_figure) for _ in range(2))
    assert style.svg(first) == style.svg(second)
    assert style.png(first) == style.png(second)
    assert re.search(r"\b20\d\d-\d\d-\d\d", style.svg(first)) is None


def test_what_a_figure_shows_is_told_as_data():
    """Lines under the names that hovering shows, bands, and what can be chosen by the name of a run."""
    figure, axes = style.panels(2)
    axes[0].plot([0, 1, 2], [1, 0.123456, np.nan], "o--", label="npo", color="#0072b2", markersize=4)
    axes[0].plot([0, 1], [1, 0], label="_npo, another seed", color="#0072b2")
    axes[0].axhspan(0.2, 0.4, color="#009e73")
    axes[0].axvline(1, color="#009e73")
    axes[0].plot([], [], label="of the legend alone")
    axes[0].set(xlabel="epoch", ylabel="MA", xlim=(0, 2), ylim=(0, 1))
    axes[1].scatter([1, 2, 3], [1, 2, 3], c=["red", "blue", "red"], marker="D", label="_forget")
    axes[0].plot([], [], "o", color="red", label="sport")
    axes[1].plot(range(1000), range(1000), label="other, npo")
    axes[1].set_title("npo")
    first, second = drawn.drawn(figure, ["npo", "icu"])
    assert first["x"] == {"label": "epoch", "limits": [0, 2]} and first["y"]["label"] == "MA"
    line, other, rule = first["marks"]
    assert (line["name"], line["run"], line["x"], line["y"]) == ("npo", "npo", [0, 1, 2], [1, 0.1235, None])
    assert line["dashed"] and line["marker"] == "o" and line["size"] == 4
    assert (other["name"], other["run"]) == ("npo, another seed", "npo") and "marker" not in other
    assert first["bands"] == [{"y": [0.2, 0.4], "colour": "#009e73"}]
    assert rule["at"] == {"x": 1}
    red, blue, long = second["marks"]
    assert (red["name"], red["marker"], red["x"]) == ("sport, forget", "D", [1, 3])
    assert (blue["name"], blue["x"]) == ("forget", [2])
    assert second["run"] == "npo" and "run" not in long
    assert len(long["x"]) == drawn.MOST and (long["x"][0], long["x"][-1]) == (0, 999)


def test_panels_follow_the_columns_that_are_there():
    columns = {
        "epoch",
        "active",
        "memorization_accuracy",
        "extraction_likelihood_10",
        "threshold_extraction_likelihood_10",
    }
    assert list(trajectory.titles(columns)) == ["memorization_accuracy", "extraction_likelihood_10", "active"]


def test_examples_are_matched_by_id_and_the_best_memorised_come_first():
    def table(ids, values):
        sets = np.array(["forget"] * len(ids) + ["test"])
        return {"id": np.array([*ids, "t"]), "set": sets, "memorization_accuracy": np.array([*values, 0.9])}

    class Two:
        runs, seeds = ["original", "npo"], [0]

        def columns_of(self, run, seed):
            return ["id", "set", "memorization_accuracy"]

        def examples(self, run, seed, *columns):
            found = {"original": (["a", "b", "c"], [0.2, 1.0, 0.5]), "npo": (["c", "b"], [0.3, 0.1])}
            return table(*found[run])

    figure = examples.examples(Two())
    axis = figure.axes[0]
    assert [label.get_text() for label in axis.get_yticklabels()] == ["b", "c", "a"]
    assert axis.images[0].get_array().filled(-1).tolist() == [[1.0, 0.1], [0.5, 0.3], [0.2, -1]]


def test_each_of_all_methods_has_a_look_of_its_own():
    methods = names_in("objectives")
    results = SimpleNamespace(everyone=methods, methods=methods)
    colours, markers = style.colours(results), style.markers(results)
    looks = {(colours[run], markers[run]) for run in [*methods, "base", "original", "retrain"]}
    assert len(looks) == len(methods) + 3


@pytest.mark.parametrize("panels", [1, 2, 3])
def test_the_legend_of_all_methods_lies_within_the_figure(panels):
    with matplotlib.rc_context(style.RC):
        figure, axes = style.panels(panels)
        for name in names_in("objectives"):
            axes[0].plot([], [], "o", markersize=8, label=name)
        style.legend_below(figure, axes[0])
        figure.draw_without_rendering()
        box = figure.legends[0].get_window_extent()
    assert box.x0 >= 0 and box.x1 <= figure.bbox.width


NAMES = [
    "costs $_a_b$",
    r"$\frac{$",
    "a$^b$c",
    r"5\$ or 6$",
    "_hidden",
    "x" * 300,
    "two\nlines",
    "half \ud800",
    "bell\x07 nul\x00 \ufffe",
]


def test_names_of_classes_are_shown_as_they_are():
    """Two $ make a formula of matplotlib, which may be none; a label that begins with _ is left out of a legend."""
    with matplotlib.rc_context(style.RC | {"svg.fonttype": "none"}):
        figure, axes = style.panels(1)
        latent.key(figure, axes[0], np.array(NAMES, object))
        figure.draw_without_rendering()
        text = io.StringIO()
        figure.savefig(text, format="svg")
    shown = [html.unescape(found) for found in re.findall(r"<text[^>]*>([^<]*)</text>", text.getvalue())]
    wanted = [
        *NAMES[:4],
        "\N{ZERO WIDTH SPACE}_hidden",
        "x" * 39 + "…",
        "two lines",
        "half ?",
        "bell? nul? ?",
    ]
    assert [name for name in shown if name in {*wanted, "retain", "forget", "class centroid"}] == [
        *wanted, "retain", "forget", "class centroid"
    ]  # fmt: skip
    assert figure.legends[0].get_window_extent().width <= figure.bbox.width
    axes[0].scatter(range(len(NAMES)), range(len(NAMES)), c=latent.class_colours(len(NAMES)), label="_forget")
    told = {mark["name"] for panel in drawn.drawn(figure, []) for mark in panel["marks"]}
    assert told == {f"{name.strip(chr(0x200B))}, forget" for name in wanted}


def test_ids_of_records_are_shown_as_they_are():
    """Beside their rows; a formula that is none ended the report."""
    ids = np.array([*NAMES, "t"], object)
    table = {
        "id": ids,
        "set": np.array(["forget"] * len(NAMES) + ["test"]),
        "memorization_accuracy": np.ones(len(ids)),
    }
    one = SimpleNamespace(
        runs=["original"], seeds=[0], columns_of=lambda *_: [*table], examples=lambda *_: table
    )  # fmt: skip
    with matplotlib.rc_context(style.RC | {"svg.fonttype": "none"}):
        figure = examples.examples(one)
        text = io.StringIO()
        figure.savefig(text, format="svg")
    shown = {html.unescape(found) for found in re.findall(r"<text[^>]*>([^<]*)</text>", text.getvalue())}
    assert {
        "costs $_a_b$",
        r"$\frac{$",
        "a$^b$c",
        r"5\$ or 6$",
        "x" * 39 + "…",
        "two lines",
        "half ?",
    } <= shown
