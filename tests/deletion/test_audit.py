"""The audit view: a page for each request, linked from one that lists all, without a text unless it is asked for."""

import json
import os
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import pytest
import study
import workflow_in_process
import yaml
from served_study import bits

from lethe.__main__ import main
from lethe.deletion.audit import audits
from lethe.deletion.certificate import read
from lethe.params.addresses import folder_of
from lethe.params.file import check_params, load_params
from lethe.report.page import page

ALL = Path("results/requests/index.html")
FOLDER = Path("results/requests/people/DSR-1")
PURGE = ["purge", "--request", "data/requests/DSR-1.jsonl"]
WORDS = {word for k in range(24) for word in study.text(k).split()}


class Links(HTMLParser):
    def __init__(self, file: Path):
        super().__init__()
        self.found, self.text = [], []
        self.feed(file.read_text())

    def handle_starttag(self, tag, attributes):
        self.found += [value for name, value in attributes if (tag, name) == ("a", "href")]

    def handle_data(self, data):
        self.text += data.split()


def test_each_request_has_a_page_of_what_was_asked_done_and_remains(here):
    """Its links lead somewhere, and it holds no word of any text."""
    assert Links(ALL).found == ["people/DSR-1/audit.html"]
    own = Links(FOLDER / "audit.html")
    assert [link for link in own.found if not (FOLDER / link).exists()] == []
    text, certificate = " ".join(own.text), read(FOLDER / "certificate.json")
    heads = [
        text.index(f" {head} ") for head in ("Asked", "Resolved", "Done", "Verified", "What remains and why")
    ]
    assert heads == sorted(heads)
    for said in (*certificate.asked.records, certificate.after.path, "line 1 by subject", "Verdict: holds"):
        assert said in text
    assert (
        "version 0, results/train/people/original/seed1/model , which is older than the request: here" in text
    )
    assert "not searched yet" in text
    assert not WORDS & {word.lower() for word in own.text}


def test_it_says_what_a_search_found_and_what_was_deleted(here):
    main(PURGE)
    before = " ".join(Links(FOLDER / "audit.html").text)
    found = json.loads((FOLDER / "remains.json").read_text())
    for place in found:
        assert f"{place['path']} {place['kind']} {'not deleted yet:' if place['ours'] else ''}" in before
    main([*PURGE, "--yes"])
    text = " ".join(Links(FOLDER / "audit.html").text)
    assert (
        "version 0, results/train/people/original/seed1/model , which is older than the request: not here"
        in text
    )
    assert "not deleted yet" not in text
    assert "texts.jsonl text not lethe's: not made by lethe" in text
    assert not WORDS & {word.lower() for word in text.split()}


def test_it_is_made_again_as_it_was(here):
    before = bits(here)
    audits(load_params("params.yaml"))
    assert bits(here) == before


def test_texts_are_shown_where_it_is_asked_for_on_a_page_that_git_ignores(here):
    content = yaml.safe_load(Path("params.yaml").read_text())
    Path("params.yaml").write_text(yaml.safe_dump(content | {"report": {"show_text": True}}))
    audits(load_params("params.yaml"))
    records = {
        row["id"]: row["text"] for row in map(json.loads, Path("texts.jsonl").read_text().splitlines())
    }
    text = " ".join(Links(FOLDER / "audit_text.html").text)
    for name in read(FOLDER / "certificate.json").asked.records:
        assert f"{name} {records[name]}" in text
    assert not WORDS & {*Links(FOLDER / "audit.html").text}
    subprocess.run(["git", "init", "-q"], check=True)
    kept = subprocess.run(
        ["git", "status", "--porcelain", "-uall", str(FOLDER)], check=True, capture_output=True, text=True
    )
    assert "audit.html" in kept.stdout and "audit_text.html" not in kept.stdout
    main([*PURGE, "--yes"])
    assert not WORDS & {*Links(FOLDER / "audit_text.html").text}
    Path("params.yaml").write_text(yaml.safe_dump(content))
    audits(load_params("params.yaml"))
    assert not (FOLDER / "audit_text.html").exists()


@pytest.mark.parametrize("serves", [True, False])
def test_the_report_links_to_them_where_a_study_serves_requests(made, tmp_path, monkeypatch, serves):
    monkeypatch.chdir(made)
    content = yaml.safe_load(Path("params.yaml").read_text())
    if not serves:
        del content["studies"]["people"]["requests"]
    report = tmp_path / "report.html"
    report.write_text(page(check_params(content, "params.yaml"), []))
    assert [ALL.as_posix()] * serves == [
        os.path.normpath(Path(folder_of("report"), found))
        for found in Links(report).found
        if not found.startswith(("#", "http"))
    ]


def test_a_request_changes_no_job_of_the_report(here):
    """What was served since is on its own page."""
    params = load_params("params.yaml")
    before = workflow_in_process.plan_of(params)["report"]
    params.studies["people"].requests.served.clear()
    assert workflow_in_process.plan_of(params)["report"] == before
    assert before[""]["studies"]["people"]["requests"]["method"] == "npo"
