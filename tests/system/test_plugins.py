"""Plug-ins are found by name, also beside the package, and read without what they import; a fault is one line."""

import dataclasses
import subprocess
import sys

import pytest
from pydantic import ValidationError

from lethe.system import plugin_source, plugins
from lethe.system.errors import InputError

OBJECTIVES = plugins.names_in("objectives")
METHOD = '''"""A method of one's own (somewhere, 2026)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import a_module_that_does_not_exist
from pydantic import Field

from lethe.objectives import npo
from lethe.objectives.icu import Hyper as Icu
from lethe.params.fields import Count

NEEDS = ("text",)
TERMS = {"forget": "forget"}
lower = a_module_that_does_not_exist.x


@dataclass(frozen=True)
class Hyper:
    views: Count = 2


def loss(hyper, model, frozen, batch):
    return {"forget": lower(batch["forget"])}
'''
METRIC = '''"""Bits of each text."""

import numpy as np

NEEDS = ("logprob",)
BITS = np.log(2)


def values(scores, settings):
    return {"bits": -scores["logprob"].sum(1) / BITS}


def aggregate(scores, values, settings, seed):
    return {}
'''
FIELD = "    views: Count = 2\n"


def test_only_what_the_dataclass_is_made_of_is_executed(own_plug_ins):
    own_plug_ins(objectives_mine=METHOD, objectives__hidden="")
    hyper = plugins.dataclass_in("objectives", "mine", "Hyper")
    assert hyper.validate_python({"views": 3}).views == 3
    assert hyper.validate_python({}).views == 2
    for wrong in ({"views": 0}, {"veiws": 1}, {"views": "many"}):
        with pytest.raises(ValidationError):
            hyper.validate_python(wrong)
    assert plugins.constants_in("objectives", "mine") == {
        "NEEDS": ("text",),
        "TERMS": {"forget": "forget"},
    }
    assert set(plugins.names_in("objectives")) == {*OBJECTIVES, "mine"}
    with pytest.raises(LookupError, match="Options"):
        plugins.dataclass_in("objectives", "mine", "Options")
    with pytest.raises(FileNotFoundError):
        plugins.dataclass_in("objectives", "nowhere", "Hyper")


ABOVE = "NEEDS = ("  # the first constant, before which others are put
SOME = {ABOVE: "SOME = (3, 4)\nLAST = len(SOME) - 1\nNEEDS = ("}


@pytest.mark.parametrize(
    ("changes", "defaults"),
    [
        (SOME | {FIELD: "    views: Count = SOME[LAST]\n"}, {"views": 4}),
        ({FIELD: "    alpha: Annotated[float, Field(gt=0)] = 2.0\n"}, {"alpha": 2.0}),
        ({"class Hyper:": "class Hyper(npo.Hyper):"}, {"beta": 0.1, "retain": 1.0, "views": 2}),
        ({FIELD: "    beams: int = Icu.beams\n"}, {"beams": 1}),
        ({ABOVE: "EPSILON = 2.0 ** -20\nNEEDS = (", "lower(": "EPSILON * lower("}, {"views": 2}),
    ],
)
def test_a_hyper_may_be_made_of_what_python_offers(own_plug_ins, changes, defaults):
    own_plug_ins(objectives_mine=changed(METHOD, changes))
    hyper = plugins.dataclass_in("objectives", "mine", "Hyper")
    assert dataclasses.asdict(hyper.validate_python({})) == defaults
    if "alpha" in defaults:
        with pytest.raises(ValidationError):
            hyper.validate_python({"alpha": 0})


def changed(source: str, changes: dict[str, str]) -> str:
    for was, now in changes.items():
        assert was in source
        source = source.replace(was, now)
    return source


def test_numbers_of_its_own_may_be_computed(own_plug_ins):
    own_plug_ins(metrics_bits=METRIC, objectives_mine=METHOD)
    assert plugins.constants_in("metrics", "bits") == {"NEEDS": ("logprob",)}
    assert pytest.approx(0.6931, abs=1e-4) == plugins.imported("metrics", "bits").BITS


MISSPELT = "is read neither here nor by lethe"
NPQ = {"import npo": "import npq as npo", "class Hyper:": "class Hyper(npo.Hyper):"}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"TERMS = ": "TERSM = "}, rf"line 16: TERSM {MISSPELT}; is TERMS meant\?"),
        ({"lower = ": "FROZEN = 1\nlower = "}, rf"line 17: FROZEN {MISSPELT}; those that are read are"),
        ({"def loss(": "def lose("}, rf"line 25: lose {MISSPELT}; is loss meant\?"),
        (
            {"def loss(": "def unlaern(): ...\n\n\ndef loss("},
            rf"line 25: unlaern {MISSPELT}; is unlearn meant\?",
        ),
        ({'NEEDS = ("text",)\n': ""}, r"line 1: NEEDS is missing; every file of objectives has it"),
        ({'("text",)': '("text")'}, r"line 15: NEEDS is str; needed is a tuple"),
        ({'("text",)': '("txt", "bse")'}, r"line 15: NEEDS: 'txt': allowed are .*base, classes, "),
        (
            {'"forget": "forget"': '"forget": "forgot"'},
            r"line 16: TERMS: 'forgot': allowed are forget, retain",
        ),
        ({"NEEDS = (": "NEEDS = 1 / 0, ("}, r"line 15: ZeroDivisionError: division by zero"),
        ({"@dataclass(frozen=True)\n": ""}, r"line 20: Hyper is no dataclass"),
        ({FIELD: "    model: Nothing = None\n"}, r"line 21: Hyper: .*Nothing"),
        ({FIELD: "    alpha: float = LATER\n"}, r"line 22: NameError: name 'LATER' is not defined"),
        ({FIELD: "    more: list = []\n"}, r"line 2\d: ValueError: mutable default"),
        ({"class Hyper:": "class Hypers:"}, r"line 1: Hyper is missing; every file of objectives has it"),
        (NPQ, r"line 11: there is no objectives/npq.py"),
        ({"return {": "return ({"}, r"line \d+: '\(' was never closed"),
    ],
)
def test_a_fault_is_one_line_with_file_and_line(own_plug_ins, changes, expected):
    with pytest.raises(InputError, match=rf"own/objectives/mine\.py, {expected}") as error:
        own_plug_ins(objectives_mine=changed(METHOD, changes))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (
            {"metrics_bits": METRIC.replace("NEEDS", "NEED")},
            r"metrics/bits.py, line 5: NEED is .* is NEEDS meant",
        ),
        (
            {"metrics_bits": METRIC.replace('NEEDS = ("logprob",)\n', "")},
            r"bits.py, line 1: NEEDS is missing",
        ),
        (
            {"metrics_bits": METRIC.replace('("logprob",)', '("logprobs",)')},
            r"bits.py, line 5: NEEDS: 'logprobs': allowed are .*, logprob, ",
        ),
        ({"metrics_bits": METRIC.replace("def values", "def value")}, r"bits.py, line 1: values is missing"),
        (
            {"datasets_mine": "def examples(options, seed): ..."},
            r"datasets/mine.py, line 1: Options is missing",
        ),
        ({"perturbations_mine": METHOD}, r"mine.py, line 16: TERMS is read neither"),
        ({"objectives_npo": METHOD}, r"own/objectives/npo.py: .*lethe/objectives/npo.py has this name, too"),
        ({"objective_mine": METHOD}, r"plugins: .*own/objective: is no kind of plug-in; objectives is"),
        ({"scripts_mine": ""}, r"plugins: .*own: allowed is a folder that holds objectives, metrics, "),
    ],
)
def test_a_folder_or_file_of_another_kind_is_told(own_plug_ins, files, expected):
    with pytest.raises(InputError, match=expected):
        own_plug_ins(**files)


def test_a_folder_that_is_missing_is_told():
    with pytest.raises(
        InputError, match=r"params.yaml: plugins: nowhere: no such folder; allowed is a folder"
    ):
        plugins.use_those_of({"plugins": ["nowhere"]}, "params.yaml")


def test_a_file_that_cannot_be_imported_names_its_line(own_plug_ins):
    own_plug_ins(objectives_mine=METHOD)
    with pytest.raises(InputError, match=r"own/objectives/mine\.py, line 8: ModuleNotFoundError: No module"):
        plugins.imported("objectives", "mine")


@pytest.mark.parametrize("kind", ["objectives", "metrics", "perturbations"])
def test_what_is_read_is_what_is_imported_and_nothing_is_unread(kind):
    for name in plugins.names_in(kind):
        plugin_source.check(plugins.file_of(kind, name), kind)
        module = plugins.imported(kind, name)
        constants = plugins.constants_in(kind, name)
        assert constants == {constant: getattr(module, constant) for constant in constants}
        if kind == "objectives":
            read = plugins.dataclass_in(kind, name, "Hyper").validate_python({})
            assert vars(read) == dataclasses.asdict(module.Hyper())


def test_reading_parameters_imports_no_torch():
    code = (
        "import sys; from lethe.system import plugins\n"
        "for name in plugins.names_in('objectives'): plugins.dataclass_in('objectives', name, 'Hyper')\n"
        "assert not {'torch', 'pandas', 'numpy', 'transformers'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
