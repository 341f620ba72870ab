"""Every kind of fault in params.yaml ends in one line that names file, key, value and what is allowed."""

import copy
import re
from pathlib import Path

import pytest
import yaml

from lethe.params.file import check_params, load_params
from lethe.system.errors import InputError
from lethe.system.plugins import able

ROOT = Path(__file__).parents[2]
DEFAULT = yaml.safe_load((ROOT / "params.yaml").read_text())

STUDIES = [ROOT / "docs/studies" / name / "params.yaml" for name in ("embedded", "public")]
TUNE = {"trials": 2, "seeds": [5], "select": {"metrics": {"accuracy_forget": 1.0}}}

# Methods that came after the results of the docs were made; they join when these are made again.
LATER = {
    "alt_po", "ceu", "eco", "idk", "idk_dpo", "in_context", "o3", "pdu", "satimp", "task_vector", "uld", "wga", "who",
}  # fmt: skip

TAGGED = {
    "task": "tagging", "seeds": [1], "dataset": "records", "model": "tiny-bert",
    "forget": {"strategy": "random", "size": 2}, "train": {"finetune": {}}, "methods": {"deepcut": {}},
}  # fmt: skip


def choosing(metric="loss_forget", **at_least):
    rule = {"metric": metric, "at_least": at_least or {"utility": 0.9}}
    return DEFAULT["studies"]["records"]["unlearn"] | {"evaluate": "each_epoch", "choose": rule}


FAULTS = [  # path to a key, value put there, what the line must hold
    ("studies.records.methods.icu.training", {"epohs": 3}, ["training.epohs", "unknown key", "epochs"]),
    ("studies.topics.model", {"sorce": "minilm"}, ["model.sorce", "unknown key", "source"]),
    ("studies.records.task", "generate", ["records.task", "generate", "classification", "generation"]),
    ("studies.topics.train.finetune.learning_rate", -1, ["learning_rate", "-1", "greater than 0"]),
    ("studies.topics.train.finetune.epochs", "many", ["epochs", "many", "integer"]),
    ("studies.topics.methods", {}, ["topics.methods", "at least 1"]),
    ("studies.topics.methods", {"npo": {}}, ["methods.npo.objective", "npo", "deepcut"]),
    (
        "studies.topics.methods",
        {"x": {"objective": "nosuch"}},
        ["methods.x.objective", "nosuch", "allowed are"],
    ),
    ("studies.topics.methods", {"retrain": {"objective": "finetune"}}, ["methods.retrain", "reference"]),
    (
        "studies.topics.methods.deepcut",
        {"hyper": {"gama": 1}},
        ["deepcut.hyper.gama", "unknown key", "temperature"],
    ),
    (
        "studies.topics.methods.deepcut",
        {"hyper": {"gamma": -1}},
        ["deepcut.hyper.gamma", "-1", "greater than"],
    ),
    ("studies.topics.forget.size", 10**6, ["forget.size", "1000000", "allowed are 1 to"]),
    ("studies.topics.task", "tagging", ["dataset.source", "docstrings has no tags", "allowed", "records"]),
    (
        "studies.topics",
        TAGGED | {"forget": {"strategy": "label", "label": "PER"}},
        ["forget.strategy", "subject"],
    ),
    ("studies.topics", TAGGED | {"methods": {"npo": {}}}, ["methods.npo.objective", "no tagging", "sisa"]),
    ("studies.topics.seeds", [3, 3], ["seeds", "[3, 3]", "once"]),
    ("studies.topics.seeds", [], ["seeds", "at least 1"]),
    ("studies.topics.tune", TUNE | {"seeds": [5, 2]}, ["topics.tune.seeds", "2", "does not report"]),
    ("studies.topics.score", {"tasks": ["hellaswag"]}, ["score.tasks", "generation", "allowed", "[]"]),
    ("studies.topics.tune", TUNE | {"space": {"lr": [1]}}, ["tune.space.lr", "unknown key", "learning_rate"]),
    (
        "studies.topics.tune",
        TUNE | {"space": {"learning_rate": {"low": 2, "high": 1}}},
        ["tune.space.learning_rate", "low must be below high"],
    ),
    (
        "studies.topics.tune",
        TUNE | {"space": {"clip": [1.0, "high"]}},
        ["tune.space.clip", '"high"', "valid number"],
    ),
    (
        "studies.topics.tune",
        TUNE | {"space": {"warmup": {"low": 0.1, "high": 2.0}}},
        ["tune.space.warmup: 2.0", "less than or equal to 1"],
    ),
    ("studies.topics.tune", TUNE | {"space": {"sharded": [True]}}, ["tune.space.sharded", "2 or more"]),
    (
        "studies.topics.tune",
        TUNE | {"forget": {"strategy": "ids", "file": "ids.txt"}},
        ["topics.tune.forget", "strategy ids", "same examples in every seed", "random"],
    ),
    ("studies.topics.tune", TUNE | {"select": {"metrics": {}}}, ["tune.select.metrics", "at least 1"]),
    ("studies.topics.methods.deepcut.training.stop", {"n": 3}, ["deepcut.training.stop", "generation"]),
    ("studies.topics.unlearn", {"stop": {}}, ["training.stop", "generation"]),
    ("studies.records.train.finetune.stop", {}, ["train.finetune.stop", "methods"]),
    (
        "studies.records.train.finetune.evaluate",
        "each_epoch",
        ["train.finetune.evaluate", "for methods", "null"],
    ),
    ("studies.records.unlearn.choose", {"metric": "x"}, ["unlearn", "evaluate", "each_epoch"]),
    (
        "studies.records.methods",
        {
            "vector": {
                "objective": "task_vector",
                "training": {"batch": {"retain": 8}, "evaluate": "each_epoch"},
            }
        },
        ["methods.vector.training.evaluate", "task_vector has no epochs", "evaluate: null"],
    ),
    (
        "studies.records.methods",
        {"assistant": {"objective": "uld", "training": {"evaluate": "each_epoch"}}},
        ["methods.assistant.training.evaluate", "uld has no epochs"],
    ),
    (
        "studies.topics.methods",
        {"shards": {"objective": "sisa", "training": {"evaluate": "each_epoch"}}},
        ["methods.shards.training.evaluate", "sisa has no epochs"],
    ),
    (
        "studies.records.unlearn",
        choosing("accuracy_test"),
        ["icu.training.choose.metric", "accuracy_test", "no method reads"],
    ),
    (
        "studies.records.unlearn",
        choosing("attack_auc"),
        ["choose.metric", "attack_auc", "forget, retain and validation"],
    ),
    ("studies.records.unlearn", choosing("loss_nosuch"), ["choose.metric", "loss_nosuch", "nosuch"]),
    ("studies.records.unlearn", choosing(loss_retain=0.9), ["at_least.loss_retain", "more is better"]),
    (
        "studies.records.unlearn",
        choosing(memorization_accuracy_forget=0.9),
        ["at_least.memorization_accuracy_forget", "utility"],
    ),
    (
        "studies.records.unlearn",
        choosing(utility=1.5),
        ["at_least.utility", "1.5", "less than or equal to 1"],
    ),
    ("studies.records.unlearn.sharded", True, ["unlearn.sharded", "processes", "2 or more"]),
    ("studies.topics.dataset.general", "records", ["dataset.general", "generation", "null"]),
    ("studies.topics.train.pretrain", {}, ["train.pretrain", "without dataset.general"]),
    ("studies.records.dataset.general", None, ["train.pretrain", "without dataset.general"]),
    (
        "studies.topics.train.finetune.batch",
        {"retain": 8, "general": 2},
        ["train.finetune.batch", "'general': 2", "dataset.general"],
    ),
    ("studies.topics.train.finetune.batch", {"forget": 8}, ["train.finetune.batch", "lacks retain"]),
    (
        "studies.topics.methods.gradient_ascent.training.batch",
        {"retain": 8},
        ["methods.gradient_ascent.training.batch", "lacks forget"],
    ),
    ("studies.topics.methods.deepcut.training", "long", ["methods.deepcut.training", "long"]),
    ("studies.records.score.decode_batch_tokens", 191, ["score.decode_batch_tokens", "191", "192 or more"]),
    ("studies.records.score.extract", ["validation"], ["score.extract", "validation", "holdout"]),
    ("studies.records.score.answers", {"forgot": {}}, ["score.answers", "forgot is no set", "holdout"]),
    ("studies.topics.score", {"answers": {"forget": {}}}, ["score.answers", "are for generation"]),
    ("studies.topics.forget.requests", 0, ["requests", "0", "greater than or equal to 1"]),
    ("studies.topics.forget.request", 1, ["topics.forget.request", "leave it out"]),
    ("studies", {}, ["studies", "at least 1"]),
    ("studies", {"A study": {}}, ["A study"]),
    ("extra", 1, ["extra", "unknown key", "studies"]),
]


def put(tree: dict, path: str, value) -> dict:
    tree = copy.deepcopy(tree)
    *parents, last = path.split(".")
    node = tree
    for key in parents:
        node[key] = {} if node[key] is None else node[key]
        node = node[key]
    node[last] = value
    return tree


@pytest.mark.parametrize(("path", "value", "parts"), FAULTS, ids=lambda x: str(x)[:40])
def test_a_fault_is_one_line(path, value, parts):
    with pytest.raises(InputError) as raised:
        check_params(put(DEFAULT, path, value), "params.yaml")
    line = str(raised.value)
    assert "\n" not in line
    assert line.startswith("params.yaml: ")
    assert [part for part in parts if part not in line] == []


def test_the_default_is_valid_and_lists_its_runs():
    checked = check_params(DEFAULT, "params.yaml")
    assert checked.studies["topics"].runs[:3] == ["original", "retrain", "deepcut"]
    assert checked.studies["records"].runs[:3] == ["base", "original", "retrain"]
    assert checked.studies["records"].methods["npo"].objective == "npo"


def test_the_seed_of_the_splits():
    assert check_params(DEFAULT, "p").studies["topics"].first_seed == 1
    tree = put(DEFAULT, "studies.topics.split_seed", 0)
    assert check_params(tree, "p").studies["topics"].first_seed == 0


def test_requests_are_studies_that_go_on_with_each_other():
    checked = check_params(put(DEFAULT, "studies.topics.forget.requests", 3), "p")
    names = ["topics-1", "topics-2", "topics-3"]
    assert list(checked.studies) == [*names, "records"]
    assert [checked.studies[name].forget.request for name in names] == [1, 2, 3]
    assert [checked.at_request("topics-3", k) for k in (1, 2, 3)] == names
    assert checked.at_request("records", 1) == "records"
    assert check_params(checked.model_dump(mode="json"), "p") == checked
    both = put(DEFAULT, "studies.topics.forget.requests", 2)
    both["studies"]["topics-2"] = DEFAULT["studies"]["topics"]
    with pytest.raises(InputError, match=r"p: studies\.topics-2: is the name of a request of topics"):
        check_params(both, "p")


def test_a_method_inherits_what_it_does_not_say():
    tree = put(
        DEFAULT, "studies.records.unlearn", {"epochs": 7, "learning_rate": 0.5, "batch": {"forget": 2}}
    )
    tree = put(
        tree,
        "studies.records.methods",
        {"npo": None, "slow": {"objective": "npo", "training": {"epochs": 9}}},
    )
    methods = check_params(tree, "params.yaml").studies["records"].methods
    assert (methods["npo"].training.epochs, methods["slow"].training.epochs) == (7, 9)
    assert methods["slow"].training.learning_rate == 0.5


def test_shorthands_for_hub_ids():
    tree = put(DEFAULT, "studies.records.model", "EleutherAI/gpt-neo-125m")
    assert check_params(tree, "p").studies["records"].model.source == "EleutherAI/gpt-neo-125m"


def test_files_that_are_missing_or_no_yaml(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        load_params(tmp_path / "none.yaml")
    (tmp_path / "bad.yaml").write_text("studies: [")
    with pytest.raises(InputError, match="not YAML"):
        load_params(tmp_path / "bad.yaml")
    (tmp_path / "empty.yaml").write_text("# studies:\n")
    with pytest.raises(InputError, match="holds no keys; needed is `studies`"):
        load_params(tmp_path / "empty.yaml")


def test_a_key_that_is_given_twice(tmp_path):
    """PyYAML takes the last one, DVC refuses the file."""
    text = (ROOT / "params.yaml").read_text()
    (tmp_path / "twice.yaml").write_text(text.replace("      npo:\n", "      icu:\n      npo:\n"))
    line = 1 + text[: text.index("      npo:\n")].count("\n")
    with pytest.raises(InputError, match=f"twice.yaml: is not YAML: line {line}: found duplicate key .icu"):
        load_params(tmp_path / "twice.yaml")


def test_the_examples_of_the_documentation_are_valid(tmp_path):
    """Blocks that belong into a study stand in the default one; `on`, a key of one, is a boolean in YAML 1.1."""
    default = (ROOT / "params.yaml").read_text()
    pages = "".join(page.read_text() for page in sorted((ROOT / "docs/howto").glob("*.md")))
    blocks = re.findall(r"```yaml\n(.*?)```", pages, re.DOTALL)
    robustness = next(block for block in blocks if block.startswith("    robustness:"))
    whole = next(block for block in blocks if block.startswith("studies:\n  news:"))
    (tune,) = (block for block in blocks if block.startswith("    tune:"))
    for text in (whole + tune, default + robustness):
        (tmp_path / "params.yaml").write_text(text)
        studies = load_params(tmp_path / "params.yaml").studies
    given = studies["records"].robustness
    assert given["relearn"].options["on"] == "forget" and given.keys() >= {"quantise", "shift", "paraphrase"}


@pytest.mark.parametrize("file", STUDIES, ids=lambda file: file.parent.name)
def test_the_studies_of_all_methods_hold_every_one_of_their_task(file):
    for study in load_params(file).studies.values():
        assert len(study.seeds) >= 3
        known = {*able("objectives", study.task)} - LATER
        assert known == {method.objective for method in study.methods.values()}


TOO_MUCH = [  # path to a key, a value beyond all sense, what the line must hold
    ("studies.topics.forget.requests", 10**9, ["forget.requests: 1000000000", "less than or equal to 100"]),
    ("studies.topics.forget", {"strategy": "random", "size": 3, "requests": 4}, ["requests: 4", "1 to 3"]),
    ("studies.topics.train.finetune.epochs", 10**6, ["epochs", "1000000", "less than or equal to"]),
    ("studies.topics.train.finetune.learning_rate", 1e6, ["learning_rate", "less than or equal to 100"]),
    ("studies.topics.train.finetune.learning_rate", float("inf"), ["learning_rate", "not a finite number"]),
    ("studies.topics.train.finetune.clip", float("nan"), ["clip", "not a finite number"]),
    ("studies.topics.train.finetune.batch", {"retain": 10**7}, ["batch.retain", "10000000", "1000000"]),
    ("studies.topics.train.finetune.processes", 10**5, ["processes", "100000", "1024"]),
    ("studies.topics.train.retrains", 1000, ["retrains", "1000", "100"]),
    ("studies.topics.dataset.sizes.train", 10**12, ["sizes.train", "less than or equal to 1000000000"]),
    ("studies.topics.dataset.sizes.train", 10**30, ["sizes.train", "a whole number beyond"]),
    ("studies.topics.dataset.ngram", 10**6, ["ngram", "10000"]),
    ("studies.topics.model.max_length", 10**9, ["max_length", "1048576"]),
    ("studies.topics.measure", {"bootstrap": 10**9}, ["bootstrap", "1000000"]),
    ("studies.records.score.n", [10**6], ["score.n.0", "10000"]),
    ("studies.records.score.n", [3, 3], ["score.n", "[3, 3]", "each may appear once"]),
    ("studies.records.score.extract", ["forget", "forget"], ["score.extract", "each may appear once"]),
    ("studies.records.score.tasks", ["a.yaml", "a.yaml"], ["score.tasks", "each may appear once"]),
    ("studies.records.score.tasks", ["documentation_close"], ["score.tasks", "documentation_cloze"]),
    ("studies.topics.seeds", [2**63], ["seeds", "beyond"]),
    ("studies.topics.shadow", {"models": 10**6}, ["shadow.models", "1000"]),
    ("studies.topics.seeds", list(range(1001)), ["topics.seeds", "at most 1000"]),
    ("studies.topics.tune", None, ["records.seeds: 1000 seeds", "models to measure", "10000"]),
    ("studies.topics.model.options", {"num_hidden_layers": -1}, ["options.num_hidden_layers: -1"]),
    ("studies.topics.model.options", {"num_hiden_layers": 2}, ["num_hiden_layers", "num_hidden_layers"]),
    ("studies.topics.model.options", {"num_layers": 2}, ["options.num_layers", "unknown key"]),
    ("studies.records.model.options", {"hidden_size": 64.0}, ["options.hidden_size: 64.0", "integer"]),
    ("studies.records.model", {"source": "a/b", "options": {"n_layer": 0}}, ["options.n_layer: 0", "from 1"]),
    (
        "studies.topics.tune",
        TUNE | {"select": {"metrics": {"acuracy_forget": 1}}},
        ["tune.select.metrics.acuracy_forget", "classification", "'acuracy'"],
    ),
    (
        "studies.topics.tune",
        TUNE | {"select": {"metrics": {"accuracy_forget": 1}, "within": {"min_k_auc": 1}}},
        ["tune.select.within.min_k_auc", "no metric of classification writes"],
    ),
    (
        "studies.topics.tune",
        TUNE | {"seeds": [90], "select": {"metrics": {"transfer_auc": 1}}},
        ["tune.select.metrics.transfer_auc", "learns on other seeds; needed are two"],
    ),
    ("report.title", "x" * 201, ["report.title", "at most 200 characters"]),
    ("report.title", "a\ud800b", ["report.title", "lone surrogate"]),
    ("report.title", "a\0b", ["report.title", "control character"]),
    ("studies.topics.dataset.text", "x" * 5000, ["dataset.text", "5000 characters"]),
    ("studies." + "s" * 240, {}, ["at most 100 characters"]),
]


@pytest.mark.parametrize(("path", "value", "parts"), TOO_MUCH, ids=lambda x: str(x)[:40])
def test_what_is_beyond_measure_is_found_at_the_check(path, value, parts):
    tree = put(DEFAULT, path, value)
    if value is None:  # many models, each allowed: together they are too many
        tree = put(tree, "studies.records.seeds", list(range(20, 1020)))
        tree["studies"]["records"]["robustness"] = {"shift": {"levels": [1, 2, 3, 4, 5]}}
    with pytest.raises(InputError) as raised:
        check_params(tree, "p")
    assert [part for part in parts if part not in str(raised.value)] == []
    assert "\n" not in str(raised.value)


def test_the_longest_name_of_a_folder_fits_every_file_system():
    """Of a study, a run, a variant and a seed, each of which is allowed: they are one folder of a cluster's logs."""
    tree = put(DEFAULT, "studies", {"s" * 98: dict(DEFAULT["studies"]["topics"])})
    methods = {"m" * 98: {"objective": "finetune"}}
    tree["studies"]["s" * 98] |= {"methods": methods, "forget": {"strategy": "random", "size": 4}}
    assert check_params(tree, "p")
    robustness = {"r" * 39: {"perturbation": "quantise", "levels": [8]}}
    tree["studies"]["s" * 98] |= {"robustness": robustness}
    with pytest.raises(
        InputError, match=r"studies.s{98}: names of study, run and variant make a name .* 241 "
    ):
        check_params(tree, "p")
    tree["studies"]["s" * 98] |= {"robustness": {"r" * 38: robustness["r" * 39]}}
    assert check_params(tree, "p")


NO_YAML = {  # content of a file -> what the line must hold
    "a: 2001-99-99": "line 1: '2001-99-99' looks like a date",
    "a: 2001-01-01": "a: 2001-01-01: a date; allowed are texts",
    "a:\n  b: " + "9" * 5000: "line 2: '9999999999999999999999999999999999999999' looks like",
    "a: " + "[" * 9999 + "]" * 9999: "line 1: more than 30 levels",
    "a:\n" + "\n".join("  " * level + "- -" for level in range(1, 300)): "more than 30 levels",
    "a: &a [*a]": "more than 30 levels, or an anchor inside itself",
    "a: &a {b: {c: *a}}": "more than 30 levels, or an anchor inside itself",
    "a0: &a0 [1, 1]\n" + "".join(f"a{k + 1}: &a{k + 1} [*a{k}, *a{k}, *a{k}]\n" for k in range(25)): "1000000 values",
    "a: !!binary aGk=": "a: b'hi': a bytes",
    "a: {1: 2}": "a: 1 is a key; allowed are texts",
    "a: .nan": "a: nan is not a finite number",
    'a: "\\ud800"': "lone surrogate",
    "a: 1\n---\nb: 1": "line 2: but found another document",
    "a: !!python/object:os.system x": "could not determine a constructor",
}  # fmt: skip


@pytest.mark.parametrize(("text", "part"), NO_YAML.items(), ids=lambda x: x[:30])
def test_yaml_that_no_parameters_can_be(tmp_path, text, part):
    (tmp_path / "p.yaml").write_text(text)
    with pytest.raises(InputError) as raised:
        load_params(tmp_path / "p.yaml")
    assert part in str(raised.value)
    assert "\n" not in str(raised.value) and len(str(raised.value)) < 500


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(InputError, match="cannot be read: Is a directory"):
        load_params(tmp_path)
    (tmp_path / "p.yaml").write_bytes(b"a: \xff")
    with pytest.raises(InputError, match=r"is not YAML: .*0xff"):
        load_params(tmp_path / "p.yaml")


def test_what_windows_writes_is_read_as_it_is_meant(tmp_path):
    """A byte-order mark and CRLF; anchors and merged keys."""
    text = (ROOT / "params.yaml").read_text()
    (tmp_path / "p.yaml").write_bytes(b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode())
    assert load_params(tmp_path / "p.yaml") == check_params(DEFAULT, "p")


NO_NUMBERS = [  # path to a whole number, a float or a truth value, and what must not be taken for it
    ("studies.topics.forget.requests", "2"),
    ("studies.topics.forget.requests", 2.0),
    ("studies.topics.forget.requests", True),
    ("studies.topics.seeds", [True]),
    ("studies.topics.seeds", ["1"]),
    ("studies.topics.seeds", [1.0]),
    ("studies.topics.train.finetune.epochs", True),
    ("studies.topics.train.finetune.epochs", "2"),
    ("studies.topics.train.finetune.epochs", 2.0),
    ("studies.topics.train.finetune.learning_rate", "1.0e-3"),
    ("studies.topics.train.finetune.learning_rate", True),
    ("studies.topics.train.finetune.dropout", 1),
    ("studies.topics.train.finetune.dropout", "yes"),
    ("studies.topics.train.finetune.batch", {"retain": "8"}),
    ("studies.topics.dataset.sizes.train", 400.0),
    ("studies.topics.methods.deepcut.hyper", {"gamma": True}),
    ("studies.topics.methods.deepcut.hyper", {"gamma": "0.7"}),
    ("studies.topics.methods.deepcut.hyper", {"views": 2.0}),
    ("studies.records.dataset.options", {"people": "32"}),
    ("studies.records.dataset.options", {"people": True}),
    ("studies.records.robustness", {"quantise": {"levels": [8.0]}}),
    ("studies.records.robustness", {"relearn": {"levels": [2], "options": {"examples": "4"}}}),
    ("studies.topics.measure", {"confidence": "0.9"}),
    ("studies.topics.measure", {"matched": 0}),
    ("studies.topics.tune", TUNE | {"trials": 2.0}),
    ("studies.topics.tune", TUNE | {"space": {"epochs": [1, "2"]}}),
    ("studies.topics.tune", TUNE | {"space": {"epochs": [True]}}),
    ("studies.topics.tune", TUNE | {"space": {"epochs": {"low": 1, "high": 2.5}}}),
    ("studies.topics.tune", TUNE | {"space": {"learning_rate": {"low": "1e-5", "high": 1}}}),
    ("report", {"title": 3}),
    ("report", {"confidence": True}),
]


@pytest.mark.parametrize(("path", "value"), NO_NUMBERS, ids=lambda x: str(x)[-40:])
def test_no_value_is_taken_for_one_of_another_type(path, value):
    """Of two requests as text one study was made, and half of the people were never forgotten."""
    with pytest.raises(InputError, match=rf"^p: {path}.*valid (integer|number|boolean|string|list)"):
        check_params(put(DEFAULT, path, value), "p")


def test_a_whole_number_may_stand_for_a_float(tmp_path):
    text = (ROOT / "params.yaml").read_text().replace("learning_rate: 5.0e-4", "learning_rate: 1")
    (tmp_path / "params.yaml").write_text(text.replace("learning_rate: 4.0e-4", "learning_rate: 1.0e-3"))
    study = load_params(tmp_path / "params.yaml").studies["topics"]
    assert study.train.finetune.learning_rate == 1.0
    assert study.methods["deepcut"].training.learning_rate == 0.001
    tree = put(DEFAULT, "studies.topics.methods.deepcut.hyper", {"gamma": 1, "views": 2})
    assert check_params(tree, "p").studies["topics"].methods["deepcut"].hyper["gamma"] == 1


def test_a_number_where_a_text_is_meant_is_to_be_quoted():
    tree = put(DEFAULT, "studies.topics.forget", {"strategy": "label", "label": 1})
    with pytest.raises(InputError, match=r'forget.label: 1: input should be a valid string, such as "1"'):
        check_params(tree, "p")


def test_switches_of_a_model_stay_switches():
    tree = put(DEFAULT, "studies.records.model.options", {"use_cache": False, "num_layers": 2})
    options = check_params(tree, "p").studies["records"].model.options
    assert options == {"use_cache": False, "num_layers": 2} and options["use_cache"] is False


def test_a_method_that_learns_other_answers_needs_their_column(tmp_path):
    file = tmp_path / "texts.jsonl"
    file.write_text("{}\n")
    tree = copy.deepcopy(DEFAULT)
    tree["studies"]["records"]["dataset"] |= {"source": str(file), "prompt": "q", "text": "a"}
    tree["studies"]["records"]["methods"] = {"alt_po": {}}
    with pytest.raises(
        InputError, match=r"studies.records.methods.alt_po: alt_po learns other answers .* needed is"
    ):
        check_params(tree, "params.yaml")
    tree["studies"]["records"]["dataset"]["alternatives"] = "wrong"
    check_params(tree, "params.yaml")
