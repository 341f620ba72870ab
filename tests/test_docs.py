"""The documentation: built without a warning, nothing from elsewhere, every parameter, and no dead link."""

from __future__ import annotations

import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from lethe.params.file import Params, check_params
from lethe.system import plugins

ROOT = Path(__file__).parents[1]
LOADED = {"script": "src", "img": "src", "link": "href", "iframe": "src", "source": "src"}
LINK = re.compile(r"\[[^\]]*\]\(([^)#\s]+)(#[^)]*)?\)")


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--quiet", "--strict", "--site-dir", folder]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder


class Resources(HTMLParser):
    """What a page loads, besides what it links to."""

    def __init__(self):
        super().__init__()
        self.found = []

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        if tag in LOADED and values.get("rel") not in ("canonical", "next", "prev"):
            self.found.append(values.get(LOADED[tag]) or "")


def test_pages_load_nothing_from_elsewhere(site):
    pages = list(site.rglob("*.html"))
    assert len(pages) > 20
    for page in pages:
        resources = Resources()
        resources.feed(page.read_text())
        assert [url for url in resources.found if "//" in url] == [], page
    for style in site.rglob("*.css"):
        assert not re.search(r"url\(['\"]?(https?:)?//", style.read_text()), style


def test_every_parameter_and_plug_in_has_its_place(site):
    pages = {page.stem: page.read_text() for page in (site / "reference").glob("*.html")}
    for name, section in Params.model_json_schema()["$defs"].items():
        assert f'id="{name.lower()}"' in pages["parameters"], name
        for key in section.get("properties", {}):
            assert f"<code>{key}</code>" in pages["parameters"], f"{name}.{key}"
    for folder, page in {"objectives": "method-options", "metrics": "metrics"}.items():
        for name in plugins.names_in(folder):
            assert f'id="{name}"' in pages[page], name
    assert "inverse temperature, 1/nat" in pages["method-options"]  # a comment in npo.py
    assert "lethe judge" in pages["commands"]


def test_examples_of_whole_studies_are_valid(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for folder in ("data/raw/tofu", "models/chat"):  # what the pages say is there
        (tmp_path / folder).mkdir(parents=True)
    found = 0
    for page in sorted((ROOT / "docs").rglob("*.md")):
        for example in re.findall(r"```yaml\n(studies:\n.*?)```", page.read_text(), re.DOTALL):
            check_params(YAML(typ="safe").load(example), page.name)
            found += 1
    assert found >= 2


def test_no_link_between_files_is_dead():
    """Of the pages that are read where the files lie; those of the site are checked when it is built."""
    listed = subprocess.run(["git", "ls-files", "*.md"], cwd=ROOT, capture_output=True, text=True, check=True)
    dead = [
        f"{name}: {target}"
        for name in listed.stdout.split()
        for target, _ in LINK.findall((ROOT / name).read_text())
        if not re.match(r"https?:|mailto:", target)
        and not (ROOT / name).parent.joinpath(target).exists()
        and not target.startswith(("reference/", "../reference/"))  # written when the site is built
    ]
    assert dead == []
