"""Which outputs are trusted: one job, in a folder of its own, of which one thing is changed at a time."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

READ, MADE = 1e9, 1e9 + 100  # s, times of the input and of the outputs, long ago
CFG, SOURCES = '{"beta": 1}', '{"lethe/code.py": "0123"}'
ELSEWHERE = "'results/elsewhere'"  # a parameter of the rule that says where files lie
SEALS = Path("results/provenance/score.json")
AS_IS = ("out/a", "out/model")


def sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


CONTENT = {"out/a": sha("made"), "out/model": sha(f"w\0{sha('weights')}\n")}


def write(name: str | Path, text: str, when: float) -> None:
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    os.utime(path, (when, when))


def at(name: str, when: float) -> None:
    os.utime(name, (when, when), follow_symlinks=False)


class Place:
    """A job that made the file out/a and the folder out/model from in.txt, with Snakemake's records, and no seal."""

    def __init__(self) -> None:
        from workflow import provenance  # by this name mutmut knows it

        self.provenance = provenance
        self.job = provenance.Job({"study": "s", "seed": "0"}, CFG, SOURCES)
        self.outputs = [*AS_IS]
        self.make()
        self.record("out/a")
        self.record("out/model")

    def make(self) -> None:
        write("in.txt", "data", READ)
        write("out/a", "made", MADE)
        write("out/model/w", "weights", MADE)
        write("out/model/.snakemake_timestamp", "", MADE)
        at("out/model", MADE)

    def record(self, path: str, **changes: Any) -> None:
        """What Snakemake keeps of an output."""
        kept: dict[str, Any] = {"rule": "score_model", "params": [repr(SOURCES), repr(CFG), ELSEWHERE]}
        kept |= {"input": ["in.txt"], "input_checksums": {"in.txt": f"sha256:{sha('data')}"}}
        kept |= {"starttime": MADE - 9, "endtime": MADE}
        self.provenance.Records().write(Path(path), self.provenance.MetadataRecord(**kept | changes))

    def seal(self, **changes: Any) -> None:
        entry: dict[str, Any] = {"rule": "score_model", "cfg": {"beta": 1}, "sources": json.loads(SOURCES)}
        entry |= {"others": [ELSEWHERE], "inputs": {"in.txt": f"sha256:{sha('data')}"}, "outputs": CONTENT}
        write(SEALS, json.dumps({"s/0": entry | changes}), MADE)

    def forget(self) -> None:
        """What a clone lacks: all that is kept in .snakemake, and the times."""
        shutil.rmtree(".snakemake")
        for name in ("out/a", "out/model", "out/model/w", "out/model/.snakemake_timestamp"):
            at(name, MADE + 50)

    def known(self) -> Any:
        digests = self.provenance.Digests(Path(".snakemake/digests.json"))
        return self.provenance.Provenance(
            {"score": {"s/0": self.job}}, {"score": {"s/0": self.outputs}}, digests
        )

    def settled(self) -> Any:
        known = self.known()
        known.settle()
        return known

    def marked(self) -> set[str]:
        return self.provenance.Records().marked(map(Path, self.outputs))

    def made(self, **changes: Any) -> Any:
        """How the outputs were made."""
        made = self.provenance.Made(
            "score_model", sorted([repr(CFG), repr(SOURCES), ELSEWHERE]), {"in.txt": f"sha256:{sha('data')}"}
        )
        return replace(made, **changes)


@pytest.fixture
def place(importable, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    return Place()


# ------------------------------------------------------------------ what is used again


def fate(place: Place) -> str:
    """used; left to Snakemake, which compares parameters and newer inputs itself; or marked to be made again."""
    current = place.settled().current["score"]
    return "marked" if place.marked() else "used" if current else "left"


RECORDED = {
    "nothing": (lambda p: None, "used"),
    "parameters": (lambda p: setattr(p, "job", replace(p.job, cfg='{"beta": 2}')), "left"),
    "code or data": (lambda p: setattr(p, "job", replace(p.job, sources='{"lethe/code.py": "4567"}')), "left"),
    "place in the workflow": (lambda p: setattr(p, "job", replace(p.job, where={"study": "s"})), "used"),
    "where files lie": (lambda p: [p.record(name, params=[repr(CFG), repr(SOURCES), "'x'"]) for name in AS_IS], "used"),
    "name of the rule": (lambda p: [p.record(name, rule="another") for name in AS_IS], "used"),
    "start": (lambda p: p.record("out/a", starttime=1.0), "used"),
    "input, as old": (lambda p: write("in.txt", "other", READ), "marked"),
    "input, as old as the outputs": (lambda p: write("in.txt", "other", MADE), "marked"),
    "input, newer": (lambda p: write("in.txt", "other", MADE + 1), "left"),
    "time of the input": (lambda p: write("in.txt", "data", MADE + 1), "used"),
    "input is gone": (lambda p: os.unlink("in.txt"), "used"),
    "no digest of the input": (lambda p: [p.record(name, input_checksums={}) for name in AS_IS], "used"),
    "digest of the input": (
        lambda p: [p.record(name, input_checksums={"in.txt": "sha256:0"}) for name in AS_IS], "marked"),
    "output, newer": (lambda p: at("out/a", MADE + 1), "marked"),
    "output, older": (lambda p: at("out/a", MADE - 1), "marked"),
    "folder, newer": (lambda p: at("out/model", MADE + 1), "marked"),
    "file in a folder, newer": (lambda p: at("out/model/w", MADE + 1), "marked"),
    "file in a folder, older": (lambda p: at("out/model/w", MADE - 1), "used"),
    "stamp of a folder": (lambda p: at("out/model/.snakemake_timestamp", MADE + 1), "marked"),
    "record": (lambda p: p.provenance.Records().file_of(Path("out/model")).unlink(), "marked"),
    "record of no end": (lambda p: p.record("out/a", endtime=None), "marked"),
    "mark": (lambda p: p.provenance.Records().mark(Path("out/model")), "marked"),
    "output is gone": (lambda p: os.unlink("out/a"), "left"),
}  # fmt: skip


@pytest.mark.parametrize("seen", [False, True])
@pytest.mark.parametrize(("change", "expected"), RECORDED.values(), ids=RECORDED)
def test_by_snakemakes_records(place, change, expected, seen):
    """Without a seal: what was changed since, before the first run that looked or after it."""
    if seen:
        place.settled()
    change(place)
    assert fate(place) == expected


SEALED = {
    "nothing": ({}, "used"),
    "parameters": ({"cfg": {"beta": 2}}, "left"),
    "code or data": ({"sources": {"lethe/code.py": "4567"}}, "left"),
    "more code": ({"sources": {"lethe/code.py": "0123", "more.py": "89"}}, "left"),
    "where files lie": ({"others": []}, "used"),
    "name of the rule": ({"rule": "another"}, "used"),
    "input": ({"inputs": {"in.txt": "sha256:0"}}, "marked"),
    "input, a folder": ({"inputs": {"in.txt": None}}, "used"),
    "output": ({"outputs": CONTENT | {"out/a": "0"}}, "marked"),
    "folder": ({"outputs": CONTENT | {"out/model": "0"}}, "marked"),
    "output that is not sealed": ({"outputs": {"out/a": CONTENT["out/a"]}}, "marked"),
    "output of another job": ({"outputs": CONTENT | {"else": "0"}}, "used"),
}


@pytest.mark.parametrize(("change", "expected"), SEALED.values(), ids=SEALED)
def test_by_the_seal_alone(place, change, expected):
    """As in a clone with pulled results; once settled, Snakemake's records say the same."""
    place.forget()
    place.seal(**change)
    assert fate(place) == expected
    shutil.rmtree("results")
    assert fate(place) == expected


def test_without_a_seal_and_without_records_nothing_is_used(place):
    place.forget()
    assert fate(place) == "marked"


ROTTEN = {
    "seen": (lambda p: (p.settled(), p.seal()), "marked"),
    "seen and not sealed": (lambda p: p.settled(), "marked"),
    "sealed": (lambda p: p.seal(), "marked"),
    "sealed with other parameters": (lambda p: p.seal(cfg={"beta": 2}), "used"),
    "sealed from other inputs": (lambda p: p.seal(inputs={"in.txt": None}), "used"),
    "neither": (lambda p: None, "used"),
}


@pytest.mark.parametrize(("before", "expected"), ROTTEN.values(), ids=ROTTEN)
def test_content_that_changed_and_not_its_time(place, before, expected):
    before(place)
    write("out/a", "rots", MADE)
    assert fate(place) == expected


def test_content_that_is_the_sealed_one_again_is_used(place):
    """A branch is checked out: the parameters are those of the seal, Snakemake's records those of the other branch."""
    place.seal()
    for name in AS_IS:
        place.record(name, params=["'other'"], input_checksums={"in.txt": "sha256:0"})
    assert fate(place) == "used"
    assert place.provenance.Records().read(Path("out/a")).params == place.made().params


def test_records_that_are_current_are_kept_beside_a_seal_that_is_not(place):
    place.seal(rule="sealed", sources={})
    known = place.known()
    made, recorded = known.origin(place.job, known.seals["score"]["s/0"], [Path("out/a")])
    assert made == place.made() and recorded


def test_of_two_origins_that_are_both_outdated_the_record_counts(place):
    place.seal(rule="sealed", cfg={})
    place.job = replace(place.job, cfg="{}", sources='{"x": "1"}')
    known = place.known()
    entry, there = known.seals["score"]["s/0"], [Path("out/a")]
    assert known.origin(place.job, entry, there) == (place.made(), True)
    place.record("out/a", endtime=0.0)
    known = place.known()
    sealed = place.made(rule="sealed", params=sorted([repr("{}"), repr(SOURCES), ELSEWHERE]))
    assert known.origin(place.job, entry, there) == (sealed, False)
    assert known.origin(place.job, None, there) == (None, True)


# ------------------------------------------------------------------ its parts


def test_the_time_of_a_folder_is_that_of_its_stamp(place):
    time_of = place.provenance.time_of
    at("out/model", 3.0)
    at("out/model/.snakemake_timestamp", 4.0)
    at("out/a", 5.0)
    assert [time_of(Path(name)) for name in AS_IS] == [5, 4]
    os.symlink("model", "out/link")
    at("out/link", 6.0)
    assert time_of(Path("out/link")) == 6
    os.unlink("out/model/.snakemake_timestamp")
    at("out/model", 3.0)
    assert time_of(Path("out/model")) == 3


def test_below_a_folder_is_all_that_has_a_time(place):
    write("out/model/part/v", "", 7.0)
    write("out/model/part/.DS_Store", "", 9.0)
    at("out/model/part", 8.0)
    at("out/model", 2.0)
    found = place.provenance.below(Path("out/model"))
    names = ["", "/.snakemake_timestamp", "/part", "/part/v", "/w"]
    assert sorted(map(str, found)) == [f"out/model{name}" for name in names]
    assert place.provenance.below(Path("out/a")) == [Path("out/a")]
    assert place.provenance.newest(Path("out/model")) == MADE
    at("out/model/w", 1.0)
    at("out/model/.snakemake_timestamp", 1.0)
    assert place.provenance.newest(Path("out/model")) == 8
    os.unlink("out/model/.snakemake_timestamp")
    assert len(place.provenance.below(Path("out/model"))) == 4


def test_times_of_the_future_become_now_and_others_stay(place):
    calm = place.provenance.calm
    assert calm(Path("out/model")) is False and Path("out/model/w").stat().st_mtime == MADE
    late = time.time() + 1000
    at("out/model/w", late)
    os.symlink("a", "out/link")
    at("out/link", late)
    assert calm(Path("out/model")) is True and calm(Path("out/link")) is True
    for now in (Path("out/model/w").stat(), Path("out/link").lstat()):
        assert late - 1100 < now.st_mtime < late - 900
    assert Path("out/a").stat().st_mtime == MADE  # to which the link points


def test_how_outputs_were_made_is_read_from_their_records(place):
    paths = [Path(name) for name in AS_IS]
    assert place.known().left_by_snakemake(paths) == place.made()
    assert place.known().left_by_snakemake([]) is None
    place.record("out/model", input=["in.txt", "folder"])  # the last one says it
    assert place.known().left_by_snakemake(paths).inputs == {
        "in.txt": f"sha256:{sha('data')}",
        "folder": None,
    }
    for name in AS_IS:
        place.record(name, rule=None, params=None, input=None, input_checksums=None)
    assert place.known().left_by_snakemake(paths) == place.provenance.Made("", [], {})


def test_times_agree_to_what_records_round(place):
    made = place.known().left_by_snakemake
    for off, agrees in ((5e-6, True), (-5e-6, True), (5e-5, False), (-5e-5, False)):
        place.record("out/a", endtime=MADE + off)
        assert (made([Path("out/a")]) is not None) is agrees
    for late, agrees in ((0.005, True), (0.05, False)):
        at("out/model/w", MADE + late)
        assert (made([Path("out/model")]) is not None) is agrees


def test_damage_is_told_of_every_path_that_was_seen_as_it_is(place):
    known, made, paths = place.known(), place.made(), [Path("out/a"), Path("in.txt")]
    true = {"out/a": CONTENT["out/a"], "in.txt": sha("data")}
    for name, when in (("out/a", MADE), ("in.txt", READ)):
        known.found = {name: (when, true[name])}
        assert not known.is_damaged(made, None, paths)
        for off, told in ((0, True), (5e-6, True), (1, False), (-1, False)):
            known.found = {name: (when + off, "0")}
            assert known.is_damaged(made, None, paths) is told
    known.found = {}
    assert known.is_damaged(made, None, paths) is False


def test_damage_is_told_by_the_seal_where_nothing_was_seen(place):
    place.seal()
    known, made, paths = place.known(), place.made(), [Path("out/a")]
    entry = known.seals["score"]["s/0"]
    assert known.found is None
    assert known.is_damaged(made, None, paths) is known.is_damaged(made, entry, paths) is False
    other = replace(entry, outputs={"out/a": "0"})
    assert known.is_damaged(made, other, paths) is True
    assert known.is_damaged(replace(made, params=[]), other, paths) is False
    assert known.is_damaged(replace(made, inputs={}), other, paths) is False


def test_an_input_that_is_not_here_counts_as_sealed(place):
    place.seal(outputs={"gone": "aa", "here": "aa"})
    Path("here").mkdir()
    known = place.known()
    inputs = {
        name: f"sha256:{d}"
        for name, d in (("gone", "bb"), ("here", "aa"), ("nowhere", "cc"), ("in.txt", "dd"))
    }
    assert known.changed_inputs(place.made(inputs=inputs)) == ["gone", "in.txt"]
    assert known.changed_inputs(place.made(inputs={"gone": "sha256:aa", "here": "sha256:bb"})) == ["here"]
    assert known.changed_inputs(place.made(inputs={"gone": None, "in.txt": None})) == []


def test_seals_of_all_stages_and_jobs_are_known(place):
    entry = {"rule": "r", "cfg": {}, "sources": {}, "others": [], "inputs": {}}
    for stage, job, name in (("score", "s/0", "a"), ("score", "s/1", "b"), ("train", "s/0", "c")):
        file = Path(f"results/provenance/{stage}.json")
        kept = json.loads(file.read_text()) if file.exists() else {}
        write(file, json.dumps(kept | {job: entry | {"outputs": {name: f"digest of {name}"}}}), MADE)
    digests = place.provenance.Digests(Path(".snakemake/digests.json"))
    known = place.provenance.Provenance({"score": {}, "train": {}, "report": {}}, {}, digests)
    assert known.sealed == {name: f"digest of {name}" for name in "abc"}
    assert known.seals["report"] == {} and set(known.seals["score"]) == {"s/0", "s/1"}
    assert known.current == {"score": {}, "train": {}, "report": {}}


def test_a_change_is_hidden_where_the_input_is_not_newer_than_the_oldest_output(place):
    known, made = place.known(), place.made(inputs={"in.txt": "sha256:0", "gone": "sha256:0"})
    outputs = [Path("out/a"), Path("out/model")]
    for when, hidden in ((MADE - 1, True), (MADE, True), (MADE + 1, False)):
        at("in.txt", when)
        assert known.is_hidden(made, outputs) is hidden
    at("in.txt", MADE)
    at("out/a", MADE - 1)
    assert known.is_hidden(made, outputs) is known.is_hidden(made, outputs[::-1]) is False
    assert known.is_hidden(made, []) is False
    at("in.txt", -1.0)
    assert known.is_hidden(made, []) is False
    at("out/a", MADE)
    assert known.is_hidden(place.made(), outputs) is False  # nothing changed


def test_outputs_are_marked_once(place):
    known = place.known()
    known.records.mark(Path("out/a"))
    known = place.known()
    assert known.distrust([Path("out/model"), Path("out/a"), Path("b")]) == ["b", "out/model"]
    assert place.marked() == {"out/a", "out/model"}


def test_installed_records_are_those_of_the_origin(place):
    place.forget()
    write("else", "", 5.0)
    place.record("else", endtime=1.0)
    known = place.known()
    made = place.made(inputs={"z": "sha256:1", "folder": None})
    paths = [Path("out/a"), Path("else"), Path("gone")]
    known.records.mark(Path("out/a"))
    assert known.records.marked(paths) == {"out/a"}
    assert known.install(made, paths) == ["out/a"]  # of which there was none
    assert known.records.marked(paths) == set()
    for path, when in zip(paths, (MADE + 50, 5.0, 0.0), strict=True):
        found = place.provenance.Records().read(path)
        assert (found.rule, found.params) == ("score_model", made.params)
        assert (found.input, found.input_checksums) == (["folder", "z"], {"z": "sha256:1"})
        assert (found.starttime, found.endtime, found.incomplete, found.log) == (when, when, False, [])


# ------------------------------------------------------------------ before and after a run


def test_what_is_settled_is_kept_and_said(place, monkeypatch, capsys):
    """Of two stages two jobs each are of unknown origin, restored, and outdated."""
    monkeypatch.setattr("dependencies.TICK", -60.0)  # digests of files of this second are kept, too
    place.forget()
    for name in ("b", "c", "d", "e"):
        write(name, name, MADE)
    entry = {"rule": "r", "cfg": {"beta": 1}, "sources": json.loads(SOURCES), "others": [], "inputs": {}}
    of = {name: entry | {"outputs": {name: sha(name)}} for name in ("b", "c", "d", "e")}
    write(SEALS, json.dumps({"s/1": of["b"], "s/3": of["c"]}), MADE)
    outdated = {"inputs": {"in.txt": "sha256:0"}}
    report = {"s/0": of["d"] | outdated, "s/1": of["e"] | outdated}
    write("results/provenance/report.json", json.dumps(report), MADE)
    outputs = {"score": {"s/0": ["out/a"], "s/1": ["b"], "s/2": ["out/model"], "s/3": ["c"]}}
    outputs["report"] = {"s/0": ["d"], "s/1": ["e"]}
    plan = {stage: dict.fromkeys(of_stage, place.job) for stage, of_stage in outputs.items()}
    digests = place.provenance.Digests(Path(".snakemake/digests.json"))
    known = place.provenance.Provenance(plan, outputs, digests)
    known.settle()
    made = place.provenance.Made("r", sorted([repr(CFG), repr(SOURCES)]), {})
    assert known.current == {"score": {"s/1": made, "s/3": made}, "report": {}}
    assert known.is_complete("score") is known.is_complete("report") is False
    every = [Path(name) for name in (*AS_IS, "b", "c", "d", "e")]
    assert place.provenance.Records().marked(every) == {*AS_IS, "d", "e"}
    assert capsys.readouterr().err == (
        "[provenance] 4 outputs have the content of an earlier run\n"
        "[provenance] 2 outputs are not as any run left them and will be made again: out/a, out/model\n"
        "[provenance] 2 outputs were made from other inputs and will be made again: d, e\n"
    )
    found = json.loads(Path(".snakemake/found.json").read_text())
    assert found == {name: [MADE, sha(name)] for name in ("b", "c", "d", "e")}
    assert set(json.loads(Path(".snakemake/digests.json").read_text())) == {"b", "c", "d", "e", "in.txt"}
    assert place.provenance.Records().read(Path("b")).endtime == MADE


def test_what_is_as_it_was_is_settled_in_silence(place, capsys):
    known = place.settled()
    assert known.is_complete("score") is True
    assert capsys.readouterr().err == ""


def test_outputs_from_the_future_are_used_and_their_records_follow(place):
    late = time.time() + 1000
    at("out/a", late)
    place.record("out/a", endtime=late)
    for _ in range(2):
        assert place.settled().current["score"] == {"s/0": place.made()}
        assert Path("out/a").stat().st_mtime < late - 900
    assert place.marked() == set()


def test_a_stage_is_complete_with_all_of_its_jobs(place):
    known = place.settled()
    known.plan["score"]["s/1"] = place.job
    assert known.is_complete("score") is False


def test_a_stage_is_sealed(place, monkeypatch):
    """What is current is sealed as it is; what waits keeps its seal, and what is no job any more loses it."""
    monkeypatch.setattr("dependencies.TICK", -60.0)
    place.seal()
    old = json.loads(SEALS.read_text())["s/0"]
    write(SEALS, json.dumps({"s/0": old | {"rule": "old"}, "s/1": old | {"rule": "kept"}, "s/9": old}), MADE)
    known = place.settled()
    Path(".snakemake/digests.json").unlink()
    known.digests.changed = True
    known.plan["score"] |= {"s/1": place.job, "s/2": place.job}
    known.seal("score")
    assert json.loads(SEALS.read_text()) == {"s/0": old, "s/1": old | {"rule": "kept"}}
    assert Path(".snakemake/digests.json").exists()


def test_what_was_made_while_its_sources_changed_is_doubted(place, monkeypatch, capsys):
    monkeypatch.setattr(place.provenance, "SOURCES", Path("src"))
    write("src/lethe/code.py", "code", READ)
    digests = {"in.txt": sha("data")[:16], "lethe/code.py": sha("code")[:16]}
    place.job = replace(place.job, sources=json.dumps(digests))

    def doubt(began: float) -> bool:
        """Of two jobs from the same sources; of the second an output is not there."""
        known = place.known()
        known.plan["score"]["s/1"] = place.job
        known.outputs["score"]["s/1"] = [Path("b"), Path("gone")]
        return known.doubt(began)

    def marked() -> set[str]:
        return place.provenance.Records().marked(map(Path, [*AS_IS, "b", "gone"]))

    write("b", "b", MADE + 1)
    assert doubt(MADE) is False
    assert marked() == set() and capsys.readouterr().err == ""
    write("src/lethe/code.py", "edited", READ)
    assert doubt(MADE + 2) is False  # all was made before this run
    at("out/a", MADE + 1)
    assert doubt(MADE + 1) is True
    assert marked() == {"out/a", "b"}
    said = "[provenance] 2 outputs were made while their sources changed, and will be made again: out/a, b\n"
    assert capsys.readouterr().err == said
    assert doubt(MADE + 1) is False  # they are marked


def test_a_source_is_read_anew_and_found_in_the_package_first(place, monkeypatch):
    monkeypatch.setattr(place.provenance, "SOURCES", Path("src"))
    write("src/x", "package", READ)
    write("x", "here", READ)
    known = place.known()
    same = known.is_same
    assert same("x", sha("package")[:16]) and not same("x", sha("here")[:16])
    assert same("in.txt", sha("data")[:16]) and not same("in.txt", sha("code")[:16])
    assert same("rules/score.smk", "0" * 16)  # was read once
    state = os.stat("in.txt")
    known.digests.known["in.txt"] = (
        (state.st_mtime_ns, state.st_ctime_ns, state.st_size, state.st_ino),
        "0" * 64,
    )
    assert same("in.txt", sha("data")[:16]) is True
