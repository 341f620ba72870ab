"""Parameters drawn over the schema, right and wrong: one line, or a plan; never a stack, and never a long wait."""

from __future__ import annotations

import copy
import json
import sys
import time
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lethe.params.file import check_params, load_params
from lethe.params.schema import schema
from lethe.system.errors import InputError

ROOT = Path(__file__).parents[2]
SCHEMA = schema()
GIVEN = """
studies:
  asked:  # sets and models that are given, and all that scores them
    task: generation
    seeds: [0]
    dataset:
      source: someone/questions
      config: raw
      prompt: question
      text: answer
      system: Be brief.
      splits:
        forget: {config: forget01, limit: 5}
        retain: retain99
        holdout: {source: held.jsonl, config: null}
        validation: {source: own.csv.gz, config: null, max_bytes: 1000, columns: [question, answer]}
        test: {split: test}
      probes: {facts: {config: facts, shots: examples, asked: "Q: {prompt}", paraphrase: other, alternatives: wrong}}
    model: {max_length: 32}
    forget: {strategy: given}
    references: {original: someone/full@main, retrain: [someone/retain, {source: someone/other}]}
    score: {n: [3], answers: {facts: {tokens: 20, cut: true, stop: ["Q:"]}}}
    measure: {utility_sets: [facts]}
    robustness: {again: {perturbation: relearn, levels: [5, 20], options: {examples: 8}}}
    methods:
      gradient_difference: {training: {lora: {rank: 4, alpha: 8, targets: [q_proj], merge: false}}}
  one_of_several:
    task: generation
    seeds: [0]
    dataset: {source: someone/questions, splits: {forget: [forget01, forget05], retain: retain90}}
    model: {source: someone/base, weights: bf16}
    forget: {strategy: given}
    train: {finetune: {epochs: 1}}
    methods: {npo: {training: {offset: {model: someone/small, alpha: 2.0, taught: false}}}}
  deduced:
    task: generation
    seeds: [3]
    dataset: {source: families, options: {families: 9}, sizes: {train: 100, validation: 9, holdout: 9, test: 9}}
    model: {source: tiny-gpt-neo, max_length: 32, options: {num_layers: 2}, freeze: [transformer.wte]}
    forget: {strategy: deep, size: 3}
    train: {finetune: {epochs: 1}, retrains: 2, match: epochs}
    methods: {o3: {}}
  served:
    task: classification
    seeds: [0, 1]
    dataset: {source: notes.csv, label: kind, id: name, long: cut}
    model: {source: tiny-bert, max_length: 32}
    forget: {strategy: random, size: 8}
    train: {finetune: {epochs: 1}}
    shadow: {models: 4, first_seed: 1000}
    ulira: {models: 4, first_seed: 2000, methods: [finetune]}
    requests:
      method: finetune
      seed: 1
      thresholds: {accuracy_forget: {most: 0.5}, accuracy_test: {least: 0.1}}
      served:
        - {reference: r-1, date: "2025-01-01", digest: DIGEST, method: retrain, records: ["7", "9"]}
    methods: {finetune: {}}
""".replace("DIGEST", "a" * 64)
FILES = [(ROOT / name).read_text() for name in ("params.yaml", "tests/workflow/params_tiny.yaml")]
BASES = [yaml.safe_load(text) for text in (*FILES, GIVEN)]


@pytest.fixture(autouse=True, scope="module")
def named_files(tmp_path_factory):
    """The files that GIVEN names."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("study"))
        for name in ("held.jsonl", "own.csv.gz", "notes.csv"):
            Path(name).touch()
        yield


TEXTS = [
    "",
    "x",
    "topics",
    "../..",
    "a/b",
    "a.csv",
    "tiny-gpt-neo",
    "npo",
    "$x$",
    "_x",
    "é",
    "a\nb",
    "\ud800",
    "\0",
    "~",
]
ODD = st.one_of(
    st.none(), st.booleans(), st.sampled_from([-1, 0, 1, 2, 10**9, 2**63, 10**30]), st.floats(),
    st.sampled_from(TEXTS), st.text(max_size=8), st.just("x" * 5000), st.just([]), st.just({}), st.just([[]]),
    st.dictionaries(st.text(max_size=4), st.integers(), max_size=2), st.lists(st.integers(), max_size=2),
)  # fmt: skip


def fitting(node: dict[str, Any]) -> st.SearchStrategy:
    """Values that fit a part of the schema, those at the ends of ranges among them."""
    if "$ref" in node:
        return fitting(SCHEMA["$defs"][node["$ref"].rsplit("/", 1)[1]])
    if "anyOf" in node:
        return st.one_of([fitting(option) for option in node["anyOf"]])
    if "enum" in node or "const" in node:
        return st.sampled_from(node.get("enum", [node.get("const")]))
    match node.get("type"):
        case "integer":
            low, high = node.get("minimum", 0), node.get("maximum", 2**40)
            return st.sampled_from(sorted({low, low + 1, min(high, low + 7), high}))
        case "number":
            low, high = node.get("minimum", 0), node.get("maximum", 10)
            return st.floats(node.get("exclusiveMinimum", low), node.get("exclusiveMaximum", high))
        case "boolean":
            return st.booleans()
        case "string":
            return st.sampled_from(TEXTS)
        case "array":
            return st.lists(fitting(node["items"]), max_size=3)
        case "object":
            return objects(node)
        case "null":
            return st.none()
    return ODD


def objects(node: dict[str, Any]) -> st.SearchStrategy:
    if "properties" in node:
        known = node["properties"]
        wanted = st.sets(st.sampled_from(sorted(known)), max_size=3).map(
            lambda s: s | {*node.get("required", [])}
        )
        return wanted.flatmap(
            lambda keys: st.fixed_dictionaries({key: part(node, key) for key in sorted(keys)})
        )
    return st.dictionaries(
        st.sampled_from(["forget", "npo", "a", "learning_rate"]), part(node, ""), max_size=2
    )


def part(node: dict[str, Any], key: str) -> st.SearchStrategy:
    return st.deferred(lambda: fitting(below(node, key)))


def below(node: dict[str, Any], key: str) -> dict[str, Any]:
    """The schema of what stands under a key."""
    for option in node.get("anyOf", []):
        if "$ref" in option or "properties" in option or "patternProperties" in option:
            node = option
    if "$ref" in node:
        return below(SCHEMA["$defs"][node["$ref"].rsplit("/", 1)[1]], key)
    if key in node.get("properties", {}):
        return node["properties"][key]
    patterns = [*node.get("patternProperties", {}).values(), node.get("additionalProperties")]
    return next((p for p in patterns if isinstance(p, dict)), {})


def places(tree: dict[str, Any], node: dict[str, Any]) -> list[tuple[list[str], dict[str, Any]]]:
    """Path to every key that is there, or could be, and its schema."""
    found = []
    reached = node
    while "$ref" in reached or "anyOf" in reached:
        options = [o for o in reached.get("anyOf", [reached]) if "$ref" in o or "properties" in o]
        if not options:
            break
        reached = options[0]
        if "$ref" in reached:
            reached = SCHEMA["$defs"][reached["$ref"].rsplit("/", 1)[1]]
    for key in sorted({*tree, *reached.get("properties", {})}):
        under = below(node, key)
        found.append(([key], under))
        if isinstance(tree.get(key), dict):
            found += [([key, *path], schema) for path, schema in places(tree[key], under)]
    return found


PLACES = [places(base, SCHEMA) for base in BASES]


@st.composite
def variants(draw) -> Any:
    """A file that is right, with one to three values in place of others, or keys that were not there."""
    which = draw(st.integers(0, len(BASES) - 1))
    tree = copy.deepcopy(BASES[which])
    for _ in range(draw(st.integers(1, 3))):
        path, node = draw(st.sampled_from(PLACES[which]))
        value = draw(ODD if draw(st.integers(0, 3)) == 0 else fitting(node))
        inner: Any = tree
        for key in path[:-1]:
            inner = inner.get(key) if isinstance(inner, dict) else None
        if isinstance(inner, dict):
            inner[path[-1]] = value
    return tree


@cache
def planner():
    sys.path.insert(0, str(ROOT / "workflow"))
    try:
        import dependencies
        import plan
    finally:
        sys.path.remove(str(ROOT / "workflow"))
    return plan.jobs, dependencies.Digests(Path("no memory"))


def outcome(step, *arguments) -> tuple[Any, str | None]:
    """What a step makes, or the line of its refusal."""
    try:
        return step(*arguments), None
    except InputError as error:
        return None, str(error)


ACCEPTED: list[bool] = []


@settings(
    max_examples=250, derandomize=True, database=None, deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)  # fmt: skip
@given(variants())
def test_parameters_are_refused_in_one_line_or_planned(tree):
    jobs, digests = planner()
    began = time.process_time()
    checked, line = outcome(check_params, tree, "params.yaml")
    ACCEPTED.append(checked is not None)
    assert time.process_time() - began < 5
    if line is not None:
        assert line.startswith("params.yaml: ") and "\n" not in line and len(line.encode()) < 2000
        return
    written = json.dumps(checked.model_dump(mode="json"), ensure_ascii=False, allow_nan=False).encode()
    again = json.loads(written)
    assert check_params(again, "params.yaml") == checked
    plan, line = outcome(jobs, checked, digests)
    assert time.process_time() - began < 5
    assert plan or line.startswith("params.yaml: studies.")  # of files that are not there
    names = [name for jobs in (plan or {}).values() for job in jobs.values() for name in job.where.values()]
    assert all(0 < len(name) < 255 and "/" not in name and name != ".." for name in names)


def test_many_variants_were_right_and_many_wrong():
    assert ACCEPTED.count(True) > 50 and ACCEPTED.count(False) > 100


@settings(max_examples=100, derandomize=True, database=None, deadline=None)
@given(st.one_of(st.text(alphabet="a: -[]{}&*!|>'\"%@,#?0123.e\n\t", max_size=60), st.binary(max_size=40)))
def test_any_file_is_refused_in_one_line(tmp_path_factory, text):
    file = tmp_path_factory.mktemp("any") / "p.yaml"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(InputError) as raised:
        load_params(file)
    assert "\n" not in str(raised.value) and len(str(raised.value)) < 1500


BOMBS = {
    "aliases": "a: &a [1]\nstudies: [" + ", ".join(["*a"] * 20_000) + "]",
    "doubled": "k0: &a0 [x]\n" + "".join(f"k{i}: &a{i} [*a{i - 1}, *a{i - 1}]\n" for i in range(1, 60)),
    "doubled by merging": "k0: &a0 {x: 1}\n"
    + "".join(f"k{i}: &a{i} {{<<: [*a{i - 1}, *a{i - 1}]}}\n" for i in range(1, 60)),
    "one study often": "a: &a {task: generation}\nstudies:\n" + "".join(f" s{i}: *a\n" for i in range(1001)),
}


@pytest.mark.parametrize("bomb", BOMBS)
def test_what_grows_by_anchors_is_refused_soon(bomb):
    Path("p.yaml").write_text(BOMBS[bomb])
    began = time.process_time()
    with pytest.raises(InputError, match=r"^p.yaml: ") as raised:
        load_params("p.yaml")
    assert time.process_time() - began < 5 and len(str(raised.value)) < 300
