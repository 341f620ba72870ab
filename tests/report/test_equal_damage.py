"""The front of each method, and what it has left at equal utility, of numbers worked by hand."""

from types import SimpleNamespace

import numpy as np

from lethe.params.training import Choose, Training
from lethe.report.equal_damage import equal_damage_table
from lethe.report.figures.drawn import drawn
from lethe.report.figures.front import fronts
from lethe.tasks import Column

KEY = "memorization_accuracy_forget"


def results(**rules):
    """npo over two seeds, icu over the same numbers, and a method that has no epochs."""
    one = {"epoch": [0, 1, 2], "utility": [1.0, 0.95, 0.75], KEY: [0.8, 0.4, 0.1], "chosen": [0, 1, 0]}
    two = {"epoch": [0, 1, 2], "utility": [1.0, 0.9, 0.7], KEY: [0.9, 0.5, 0.2], "chosen": [1, 0, 0]}
    seeds = [{name: np.array(values, float) for name, values in of.items()} for of in (one, two)]
    bare = [{name: values for name, values in of.items() if name != "chosen"} for of in seeds]
    epochs = {
        "npo": dict(enumerate(seeds)),
        "icu": dict(enumerate(bare)),
        "task_vector": {0: {}, 1: {}},
    }
    methods = {
        run: SimpleNamespace(training=Training(evaluate="each_epoch", choose=rules.get(run)))
        for run in epochs
    }
    study = SimpleNamespace(methods=methods)
    memory = [Column("completion_rouge_l_forget", "", ""), Column(KEY, "MA", "retrain")]
    return SimpleNamespace(
        study=study, epochs=epochs, memory=memory, methods=list(epochs), everyone=list(epochs)
    )


def test_what_is_left_at_the_declared_bound_and_the_chosen_epoch():
    """At .95: .4, and half-way between .9 and .5; at .8 a quarter and a half of the way down from the middle points."""
    table = equal_damage_table(results(npo=Choose(metric=KEY, at_least={"utility": 0.95})))
    assert table.head[2:] == ["at utility 0.95", "at utility 0.8", "epoch", "its utility", "it has left"]
    npo, icu = table.rows
    assert npo[:2] == ["npo", KEY] and icu[0] == "icu"
    assert npo[2:4] == icu[2:4] == ["0.550 ± 0.212", "0.263 ± 0.124"]
    assert npo[4:] == ["1 of 2, 0 of 2", "0.975 ± 0.035", "0.650 ± 0.354"]
    assert icu[4:] == ["–", "–", "–"]


def test_towards_a_number_the_distance_counts():
    rule = Choose(metric=KEY, goal=0.4, at_least={"utility": 0.9})
    table = equal_damage_table(results(npo=rule, icu=rule))
    assert table.rows[0][1] == f"|{KEY} − 0.40|"
    # one: (1, .4), (.95, 0); two: (1, .5), (.9, .1): nothing beyond is nearer
    assert table.rows[0][2:4] == ["0.050 ± 0.071", "0.050 ± 0.071"]


def test_a_panel_for_each_metric_with_a_line_for_each_seed():
    rule = Choose(metric=KEY, at_least={"utility": 0.9})
    (panel,) = drawn(fronts(results(npo=rule)), ["npo", "icu", "task_vector"])
    lines = [mark for mark in panel["marks"] if mark.get("run") == "npo" and mark["width"]]
    assert [(line["x"], line["y"]) for line in lines] == [
        ([0.8, 0.4, 0.1], [1, 0.95, 0.75]),
        ([0.9, 0.5, 0.2], [1, 0.9, 0.7]),
    ]
    rings = [mark for mark in panel["marks"] if mark.get("name", "").endswith("chosen")]
    assert [(ring["x"], ring["y"]) for ring in rings] == [([0.4], [0.95]), ([0.9], [1])]
    assert {mark.get("run") for mark in panel["marks"]} == {"npo", "icu", None}
    assert [mark["at"] for mark in panel["marks"] if "at" in mark] == [{"y": 0.9}]
    assert panel["x"]["label"] == KEY


def test_nothing_is_shown_where_nothing_was_measured():
    bare = results()
    bare.epochs = {run: {seed: {"epoch": np.arange(3.0)} for seed in of} for run, of in bare.epochs.items()}
    assert equal_damage_table(bare) is None and fronts(bare) is None
