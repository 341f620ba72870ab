"""The locks hold what pyproject.toml asks for, at one version each, and nothing else."""

from __future__ import annotations

import re
import tomllib
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]


def locked(file: str) -> dict[str, str]:
    """Canonical name -> version."""
    lines = (ROOT / file).read_text().splitlines()
    pins = [line.split("==") for line in lines if line and not line.startswith(("#", "--"))]
    assert all(len(pin) == 2 for pin in pins), pins
    assert len({canonicalize_name(name) for name, _ in pins}) == len(pins)
    return {canonicalize_name(name): number for name, number in pins}


def needed(wanted: list[str]) -> set[str]:
    """Canonical names of the packages that are wanted and of all that these need, as installed here."""
    todo, seen = [Requirement(text) for text in wanted], set()
    while todo:
        requirement = todo.pop()
        for extra in ("", *requirement.extras):
            if (here := (canonicalize_name(requirement.name), extra)) in seen:
                continue
            seen.add(here)
            for text in requires(requirement.name) or []:
                one = Requirement(text)
                if one.marker is None or one.marker.evaluate({"extra": extra}):
                    todo.append(one)
    return {name for name, _ in seen}


def closure(wanted: list[str]) -> set[str]:
    try:
        return needed(wanted)
    except PackageNotFoundError as missing:
        pytest.fail(f"{missing} is not installed: make test installs requirements-dev.lock")


def test_a_run_installs_what_the_project_needs_and_nothing_else():
    assert set(locked("requirements.lock")) == closure(PROJECT["dependencies"] + EXTRAS["run"])


def test_tests_and_checks_add_what_they_need_and_nothing_else():
    run, more = locked("requirements.lock"), locked("requirements-dev.lock")
    assert not run.keys() & more.keys()
    assert set(more) == closure(EXTRAS["dev"]) - set(run)
    assert "--requirement requirements.lock" in (ROOT / "requirements-dev.lock").read_text()


def test_the_environment_is_the_locked_one():
    pins = locked("requirements.lock") | locked("requirements-dev.lock")
    wrong = {name: version(name) for name, number in pins.items() if version(name).split("+")[0] != number}
    assert wrong == {}


def test_every_import_of_a_run_is_a_dependency_of_its_own():
    """What is imported is named in pyproject.toml, so that it stays when another package no longer brings it."""
    named = {canonicalize_name(Requirement(text).name) for text in PROJECT["dependencies"]}
    modules = {
        "yaml": "pyyaml",
        "sklearn": "scikit-learn",
        "ruamel": "ruamel-yaml",
        "pydantic_core": "pydantic",
    }
    imported = set()
    for file in (ROOT / "src").rglob("*.py"):
        for line in file.read_text().splitlines():
            if found := re.match(r"(?:import|from) (\w+)", line):
                imported.add(canonicalize_name(modules.get(found[1], found[1])))
    outside = {name for name in imported if name in locked("requirements.lock")}
    assert outside - {"setuptools"} <= named, outside - named
