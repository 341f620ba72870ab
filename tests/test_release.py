"""What a release says of itself: one version, one date, files that are there."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
CITATION = yaml.safe_load((ROOT / "CITATION.cff").read_text())


def test_the_version_of_pyproject_is_cited_and_described():
    heading = re.search(r"^## (\S+) – (\S+)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert heading, "CHANGELOG.md has no heading: ## VERSION – DATE"
    assert heading.groups() == (CITATION["version"], CITATION["date-released"])
    assert CITATION["version"] == PROJECT["version"]


def test_the_licence_is_one_everywhere():
    assert PROJECT["license"] == CITATION["license"] == "Apache-2.0"
    assert "Version 2.0, January 2004" in (ROOT / "LICENSE").read_text()
    assert PROJECT["license-files"] == ["LICENSE", "NOTICE"]


def test_the_note_names_every_package_that_is_imported():
    notice = (ROOT / "NOTICE").read_text().lower()
    names = [re.match(r"[\w.-]+", text)[0] for text in PROJECT["dependencies"]]
    assert [name for name in names if name.lower() not in notice] == []


def test_an_image_holds_what_its_package_is_built_from():
    kept = (ROOT / ".dockerignore").read_text()
    for name in re.findall(r"^COPY (.+) \./", (ROOT / "Dockerfile").read_text(), re.MULTILINE):
        for file in name.split():
            assert f"!{file}" in kept.splitlines(), file
            assert (ROOT / file).exists()


def test_what_runs_before_a_commit_is_part_of_the_lint():
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"][0]["hooks"]
    lint = re.search(r"^lint:.*?\n\n", (ROOT / "Makefile").read_text(), re.DOTALL | re.MULTILINE)[0]
    for hook in hooks:
        command = hook["entry"].removeprefix(".venv/bin/").removesuffix(" --force-exclude")
        assert f"\t{command}" in lint, command
