"""Typed, validated parameters: the one description of what params.yaml may hold.

`load` turns a bad file into one line.
"""

from __future__ import annotations

import json
import re
from itertools import product
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from lethe.params.data import Dataset, Forget, built_in, kind
from lethe.params.fields import Count, Fraction, NonNegative, Positive, Probability, Size
from lethe.params.measure import Measure, Perturbation, Report
from lethe.params.tune import Tune, depends_on_seed, extremes
from lethe.system import plugins
from lethe.system.errors import InputError

Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")]
Task = Literal["classification", "tagging", "generation"]
UNKNOWN = "unknown key"
KEY = re.compile(r"[\w.-]+: ")  # how the messages of validators that name a key below their own begin
REFERENCES = ("base", "original", "retrain")
VARIANT = "+"  # between the name of a run and that of its variant
SHADOW = "shadow"  # the shadow models; their seeds are not those of the study
BLIND = "blind"  # the attack without a model
RETRAIN = re.compile(r"retrain-\d+")  # further retrained models of a seed


class Strict(BaseModel):
    """Unknown keys are errors; values do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Model(Strict):
    """A model: a Hub id with its revision, a local folder, or a tiny built-in architecture."""

    source: str
    revision: str = "main"
    max_length: Annotated[int, Field(ge=2)] = 128  # tokens; longer texts are cut and counted
    tokenizer: str | None = (
        None  # tiny models: folder of a tokenizer; null: one is trained on text never forgotten
    )
    options: dict[str, int | float | str] = {}  # overrides of the configuration, such as num_hidden_layers
    freeze: list[str] = []  # parameters whose names start so are never trained

    @model_validator(mode="before")
    @classmethod
    def shorthand(cls, value: Any) -> Any:
        return {"source": value} if isinstance(value, str) else value


class Stop(Strict):
    """End training after the first epoch in which memorisation of the forget set is at the level of unseen text.

    Each threshold is a number, or `unseen`: the mean over the validation set, which the model never saw.
    """

    memorization_accuracy: Fraction | Literal["unseen"] = "unseen"
    extraction_likelihood: Fraction | Literal["unseen"] = "unseen"  # EL_n of the n below
    n: Count = 10
    start: Count = 1  # shortest prefix of the extraction likelihood; 1 (KUMPR) or 150 (ICU)
    most: Annotated[int, Field(ge=2)] | None = (
        None  # texts of a set whose EL is computed, the first; null: all
    )
    slack: NonNegative = 0.0  # added to both thresholds, in standard errors of the mean of the unseen values


class Lora(Strict):
    """Low-rank adapters in place of all weights; they are merged into the model at the end of the run."""

    rank: Count = 8
    alpha: Count = 16  # what adapters add is scaled by alpha / rank
    targets: Annotated[list[str], Field(min_length=1)] | None = (
        None  # last names of the linear layers that get one; null: all
    )


class Training(Strict):
    """How a model is trained or unlearned."""

    epochs: Count = 1  # passes over the first role of the objective
    learning_rate: Positive = 5e-5
    embedding_rate: Positive = 1.0  # learning rate of the embeddings, as a multiple
    batch: dict[Literal["forget", "retain", "analogue", "general"], Count] = {"forget": 8, "retain": 8}
    micro_batch: Count | None = None  # most sequences of one role in one forward pass
    optimizer: Literal["adam", "adamw", "sgd"] = "adamw"
    beta1: Annotated[float, Field(ge=0, lt=1)] = 0.9
    beta2: Annotated[float, Field(ge=0, lt=1)] = 0.999
    weight_decay: NonNegative = 0.0
    schedule: Literal["constant", "linear", "cosine"] = "constant"
    warmup: Fraction = 0.0  # share of the steps over which the rate rises linearly
    floor: Fraction = 0.0  # the rate never falls below this share
    clip: Positive | None = None  # largest norm of the gradient
    dropout: bool = False
    precision: Literal["fp32", "tf32", "bf16"] = (
        "fp32"  # of products; weights are fp32; tf32 is of GPUs alone
    )
    gradient_checkpointing: bool = False  # less memory for a third more work: blocks are computed again
    compile: bool = False  # blocks are compiled, which pays in long runs on a GPU
    processes: Count = 1  # that share each batch, on GPUs with one each
    sharded: bool = False  # weights, gradients and optimiser are split among the processes, not copied
    lora: Lora | None = None  # null: all weights train
    checkpoint_seconds: NonNegative | None = 600  # between two checkpoints; SIGTERM always makes one
    stop: Stop | None = None

    @field_validator("micro_batch", "checkpoint_seconds", "stop", "clip", "lora", mode="before")
    @classmethod
    def none(cls, value: Any) -> Any:
        return None if value == "none" else value

    @model_validator(mode="after")
    def check_sharded(self) -> Self:
        if self.sharded and self.processes == 1:
            raise ValueError(
                "sharded: true splits a model among processes, of which there is 1; allowed are 2 or more"
            )
        return self


class References(Strict):
    """Recipes of the runs that are trained: `base` (pretrain), `original` and `retrain` (finetune)."""

    pretrain: Training | None = None  # on the general text; null: the model is taken as it comes
    finetune: Training
    retrains: Count = 1  # retrained models per seed: `retrain`, and with other random streams `retrain-2`, …

    @property
    def more(self) -> list[str]:
        """Names of the further retrained models."""
        return [f"retrain-{number}" for number in range(2, self.retrains + 1)]

    @property
    def recipes(self) -> dict[str, Training]:
        """Where in a study a recipe stands, and the recipe."""
        found = {"train.pretrain": self.pretrain, "train.finetune": self.finetune}
        return {where: recipe for where, recipe in found.items() if recipe is not None}


class Shadow(Strict):
    """Shadow models for LiRA and RMIA: retrained without random halves of the texts, shared by all seeds and runs.

    Each costs about one retrained model. Training, hold-out and test texts are divided.
    """

    models: Annotated[int, Field(ge=4, multiple_of=2)]  # they come in complementary pairs
    first_seed: Annotated[int, Field(ge=0, multiple_of=2)] = 1000  # the next ones follow it

    @property
    def seeds(self) -> list[int]:
        return list(range(self.first_seed, self.first_seed + self.models))


class Score(Strict):
    """What is computed once per model, from which every metric follows."""

    n: Annotated[list[Count], Field(min_length=1)] = [3, 5, 10]  # n-gram orders of the extraction likelihood
    start: Count = 1  # shortest prefix of the extraction likelihood; 1 (KUMPR) or 150 (ICU)
    extract: list[Literal["forget", "retain", "holdout", "test"]] = ["forget", "holdout"]
    most: Count | None = None  # examples scored per set, the first in the order of a named random stream
    test: Literal["test", "validation"] = (
        "test"  # split that is scored as test; `lethe tune` never sees the other
    )
    prefix: Probability = 0.5  # share of a text that is its prompt when the rest is completed
    tries: Size = 8  # sampled completions of a text; 0: none
    sampled: Count = 32  # texts of a set that are sampled at most
    temperature: Positive = 1.0  # of the sampled completions
    tasks: list[
        str
    ] = []  # of the evaluation harness: its names, those of tasks/, or YAML files; generation only
    precision: Literal["auto", "fp32", "bf16"] = "auto"  # auto: bf16 on a GPU, fp32 on a CPU
    batch_size: Count = 64
    decode_batch_tokens: Count = 65536  # bounds the memory of decoding


class Method(Strict):
    """One unlearning run: an objective with its hyperparameters and its schedule."""

    objective: str
    training: Training = Training()
    hyper: dict[str, Any] = {}


class Study(Strict):
    """A data set, a model, what is to be forgotten, and the methods that try."""

    task: Task
    seeds: Annotated[list[Size], Field(min_length=1)]
    dataset: Dataset
    model: Model
    forget: Forget
    train: References
    unlearn: Training = (
        Training()
    )  # what the methods' training does not say, but for one that trains from the base
    score: Score = Score()
    measure: Measure = Measure()
    shadow: Shadow | None = None
    split_seed: Size | None = None  # of the splits; null: the first of `seeds`
    tune: Tune | None = None  # read by `lethe tune` alone
    robustness: dict[Name, Perturbation] = {}  # whether what was forgotten comes back
    methods: Annotated[dict[Name, Method], Field(min_length=1)]

    @model_validator(mode="before")
    @classmethod
    def fill_methods(cls, value: Any) -> Any:
        """A method's objective is the one of its own name, and its training that of the study, unless it says so.

        That of a method that trains from the base model is the one of the original.
        """
        if not isinstance(value, dict) or not isinstance(value.get("methods"), dict):
            return value
        train = value.get("train")
        finetune = train.get("finetune") if isinstance(train, dict) else None
        filled = {}
        for name, method in value["methods"].items():
            method = {"objective": name, **(method or {})} if isinstance(method, dict | None) else method
            shared = value.get("unlearn") or {}
            if isinstance(method, dict) and from_base(method["objective"]):
                shared = finetune or {}
            own = (method.get("training") or {}) if isinstance(method, dict) else None
            if isinstance(shared, dict) and isinstance(own, dict):
                method["training"] = {**shared, **own}
            filled[name] = method
        return {**value, "methods": filled}

    @model_validator(mode="before")
    @classmethod
    def fill_robustness(cls, value: Any) -> Any:
        """A perturbation is the one of its own name, unless it says so."""
        if not isinstance(value, dict) or not isinstance(value.get("robustness"), dict):
            return value
        filled = {
            name: {"perturbation": name, **given} if isinstance(given, dict) else given
            for name, given in value["robustness"].items()
        }
        return {**value, "robustness": filled}

    @model_validator(mode="after")
    def check_seeds(self) -> Self:
        if len(set(self.seeds)) < len(self.seeds):
            raise ValueError(f"seeds: {self.seeds} names a seed twice; each may appear once")
        return self

    @model_validator(mode="after")
    def check_shadow(self) -> Self:
        others = {*self.seeds, *(self.tune.seeds if self.tune else [])}
        taken = sorted(others & {*(self.shadow.seeds if self.shadow else [])})
        if self.shadow and taken:
            raise ValueError(
                f"shadow.first_seed: {self.shadow.first_seed} makes {taken[0]} the seed of a shadow model, which is one"
                " of the study; allowed is an even number from which on none is"
            )
        if self.measure.reference and self.task != "generation":
            raise ValueError(
                f"measure.reference: {self.measure.reference} is for generation; allowed in {self.task}: null"
            )
        return self

    @model_validator(mode="after")
    def check_tune(self) -> Self:
        """What settings are chosen by is never reported."""
        if self.tune is None:
            return self
        both = sorted({*self.tune.seeds} & {*self.seeds})
        if both:
            raise ValueError(
                f"tune.seeds: {both[0]} is a seed of the study; allowed are seeds that it does not report"
            )
        unknown = sorted({*self.tune.space} - {*Training.model_fields})
        if unknown:
            allowed = ", ".join(Training.model_fields)
            raise ValueError(f"tune.space.{unknown[0]}: {UNKNOWN}; allowed are {allowed}")
        for key, choice in self.tune.space.items():
            for value, method in product(extremes(choice), self.methods.values()):
                try:
                    Training.model_validate(method.training.model_dump() | {key: value})
                except ValidationError as error:
                    raise ValueError(f"tune.space.{one_line(error)}") from None
        forget = self.tune.forget or self.forget
        if not depends_on_seed(forget):
            what = f"strategy {forget.strategy} forgets the same examples in every seed, also those that are reported"
            raise ValueError(
                f"tune.forget: {what}; needed is one that draws, such as {{strategy: random, size: …}}"
            )
        return self

    @model_validator(mode="after")
    def check_methods(self) -> Self:
        for name, method in self.methods.items():
            if name in (*REFERENCES, SHADOW, BLIND) or RETRAIN.fullmatch(name):
                raise ValueError(f"methods.{name}: is the name of a reference run; any other name is allowed")
            check_hyper(f"methods.{name}", method, self.task)
            count = method.training.processes
            if count > 1 and from_base(method.objective):
                raise ValueError(
                    f"methods.{name}.training.processes: {count}; {method.objective} trains its models one after the"
                    " other in one process; allowed is 1"
                )
        return self

    @property
    def recipes(self) -> dict[str, Training]:
        """As those of the references, with those of the methods."""
        own = {f"methods.{name}.training": method.training for name, method in self.methods.items()}
        return self.train.recipes | own

    @model_validator(mode="after")
    def check_batches(self) -> Self:
        """An epoch is a pass over the first role of an objective, in batches of a size that must be given."""
        firsts: dict[str, str | None] = dict.fromkeys(self.train.recipes, "retain")
        for name, method in self.methods.items():
            roles = plugins.constants_in("objectives", method.objective)["TERMS"].values()
            firsts[f"methods.{name}.training"] = next(iter(roles), None)
        for where, recipe in self.recipes.items():
            first = firsts[where]
            if first is not None and first not in recipe.batch:
                raise ValueError(f"{where}.batch: {recipe.batch} lacks {first}, of which every batch is made")
        return self

    @model_validator(mode="after")
    def check_general(self) -> Self:
        """General text is what generators alone have, and what some recipes are made of."""
        if self.dataset.general is not None:
            if self.task != "generation":
                raise ValueError(
                    f"dataset.general: other text is for generation; allowed in {self.task}: null"
                )
            return self
        if self.train.pretrain is not None:
            raise ValueError("train.pretrain: is for general text; allowed without dataset.general: null")
        for where, recipe in self.recipes.items():
            if "general" in recipe.batch:
                raise ValueError(
                    f"{where}.batch: {recipe.batch} holds general text; set dataset.general, or leave it out"
                )
        return self

    @model_validator(mode="after")
    def check_decoding(self) -> Self:
        least, given = 2 * self.model.max_length, self.score.decode_batch_tokens
        if self.task == "generation" and given < least:
            raise ValueError(
                f"score.decode_batch_tokens: {given}: less than twice model.max_length; allowed are {least} or more"
            )
        return self

    @model_validator(mode="after")
    def check_robustness(self) -> Self:
        for name, given in self.robustness.items():
            for level in given.levels:
                check_perturbation(f"robustness.{name}", given.at(level), self.task)
        return self

    @model_validator(mode="after")
    def check_tasks(self) -> Self:
        if self.score.tasks and self.task != "generation":
            raise ValueError(f"score.tasks: are for generation; allowed in {self.task}: []")
        return self

    @model_validator(mode="after")
    def check_tagging(self) -> Self:
        """Tags are those of words; no text as a whole has one."""
        if self.task != "tagging":
            return self
        source = self.dataset.source
        able = [name for name in built_in() if "tagged_examples" in plugins.functions_in("datasets", name)]
        if kind(source) == "tokens" or (kind(source) == "built-in" and source not in able):
            allowed = f"{', '.join(able)}, a Hub id, a folder, or a file with lists of words and of tags"
            raise ValueError(f"dataset.source: {source} has no tags; allowed in tagging: {allowed}")
        if self.forget.strategy == "label":
            raise ValueError(
                "forget.strategy: label is that of a whole text; allowed in tagging: random, subject, ids, memorised"
            )
        return self

    @model_validator(mode="after")
    def check_stop(self) -> Self:
        recipes = self.train.recipes if self.task == "generation" else self.recipes
        for where, recipe in recipes.items():
            if recipe.stop is not None:
                raise ValueError(f"{where}.stop: only methods of a generation study stop by memorisation")
        return self

    @model_validator(mode="after")
    def check_sizes(self) -> Self:
        pool = self.dataset.sizes.train
        if self.forget.size is not None and self.forget.size >= pool:
            raise ValueError(
                f"forget.size: {self.forget.size} is not smaller than the training set (dataset.sizes.train: {pool});"
                f" allowed are 1 to {pool - 1}"
            )
        return self

    @property
    def first_seed(self) -> int:
        """The seed of the splits."""
        return self.seeds[0] if self.split_seed is None else self.split_seed

    @property
    def runs(self) -> list[str]:
        """Names of the runs that are measured, references first; not a classifier's base, whose head learnt nothing."""
        return [*(["base"] if self.task == "generation" else []), *self.compared]

    @property
    def compared(self) -> list[str]:
        """Names of the runs that were trained on this study's texts: all but base."""
        return [*REFERENCES[1:], *self.methods]

    @property
    def variants(self) -> dict[str, dict[str, Any]]:
        """name-level -> the perturbation; every run of `compared`, RUN, has each as a variant RUN+NAME-LEVEL."""
        return {
            f"{name}-{level}": given.at(level)
            for name, given in self.robustness.items()
            for level in given.levels
        }


def from_base(objective: Any) -> bool:
    """Does the objective train models of its own in place of the original?"""
    known = objective in plugins.names_in("objectives")
    return known and "FROM_BASE" in plugins.constants_in("objectives", objective)


def check_hyper(where: str, method: Method, task: str) -> dict[str, Any]:
    """Hyperparameters of the method, defaults included, in the types of its objective.

    Raises:
        InputError: the objective is unknown, does not serve the task, or has other hyperparameters.
    """
    check_name(f"{where}.objective", method.objective, "objectives", "method", task)
    return checked(f"{where}.hyper", "objectives", method.objective, "Hyper", method.hyper)


def check_perturbation(where: str, given: dict[str, Any], task: str) -> dict[str, Any]:
    """Options of a perturbation, defaults included; InputError as `check_hyper`."""
    check_name(f"{where}.perturbation", given["perturbation"], "perturbations", "perturbation", task)
    return checked(f"{where}.options", "perturbations", given["perturbation"], "Options", given["options"])


def check_name(where: str, name: str, folder: str, what: str, task: str) -> None:
    known = [n for n in plugins.names_in(folder) if task in plugins.constants_in(folder, n)["TASKS"]]
    if name not in known:
        raise InputError(f"{where}: {name} is no {task} {what}; allowed are {', '.join(known)}")


def checked(where: str, folder: str, name: str, dataclass: str, values: dict[str, Any]) -> dict[str, Any]:
    """Fields of the dataclass in `folder/name.py`, defaults included; InputError names the first fault."""
    adapter = plugins.dataclass_in(folder, name, dataclass)
    try:
        return vars(adapter.validate_python(values))
    except ValidationError as error:
        line = one_line(error)
        names = ", ".join(sorted(adapter.json_schema().get("properties", {}))) or "none"
        raise InputError(
            f"{where}.{line}{f'; allowed are {names}' if line.endswith(UNKNOWN) else ''}"
        ) from None


class Params(Strict):
    """The whole of params.yaml."""

    report: Report = Report()
    studies: Annotated[dict[Name, Study], Field(min_length=1)]

    @model_validator(mode="before")
    @classmethod
    def sequences(cls, value: Any) -> Any:
        if not isinstance(value, dict) or not isinstance(value.get("studies"), dict):
            return value
        studies: dict[Any, Any] = {}
        for name, study in value["studies"].items():
            for step, content in in_sequence(name, study).items():
                if step in studies or (step != name and step in value["studies"]):
                    raise ValueError(
                        f"studies.{step}: is the name of a request of {name}; any other name is allowed"
                    )
                studies[step] = content
        return {**value, "studies": studies}

    @model_validator(mode="after")
    def check_sequences(self) -> Self:
        for name, study in self.studies.items():
            request = study.forget.request or 0
            steps = [self.at_request(name, k + 1) for k in range(request)]
            if (
                request > study.forget.requests
                or not {*steps} <= {*self.studies}
                or steps[-1:] not in ([], [name])
            ):
                raise ValueError(
                    f"studies.{name}.forget.request: follows from requests; allowed: leave it out"
                )
        return self

    def at_request(self, name: str, request: int) -> str:
        """Name of the study of another request of the same sequence; a study of one request is its own."""
        own = self.studies[name].forget.request
        return name if own is None else f"{name.removesuffix(f'-{own}')}-{request}"


def in_sequence(name: str, study: Any) -> dict[str, Any]:
    """A study with K requests as K studies NAME-1 … NAME-K, each of which goes on with the models of the one before."""
    forget = study.get("forget") if isinstance(study, dict) else None
    if not isinstance(forget, dict) or forget.get("request") is not None:
        return {name: study}
    count = forget.get("requests", 1)
    if not isinstance(count, int) or count <= 1:
        return {name: study}
    return {f"{name}-{k}": {**study, "forget": {**forget, "request": k}} for k in range(1, count + 1)}


def one_line(error: ValidationError) -> str:
    """The first fault as `key: value: what is allowed`; unknown keys come before their consequences."""
    faults = sorted(
        error.errors(), key=lambda fault: "extra" not in fault["type"] and "unexpected" not in fault["type"]
    )
    fault = faults[0]
    key = ".".join(map(str, fault["loc"]))
    if fault["type"] == "value_error":
        text = str(fault["ctx"]["error"])
        return f"{key}{'.' if KEY.match(text) else ': '}{text}" if key else text
    if fault["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
        return f"{key}: {UNKNOWN}"
    if fault["type"] in ("missing", "missing_argument"):
        return f"{key}: missing, must be given"
    value = json.dumps(fault["input"], default=str)
    return f"{key}: {value[:80]}: {fault['msg'][0].lower()}{fault['msg'][1:]}"


def check(value: Any, file: str) -> Params:
    """Parameters from the parsed content of `file`.

    Raises:
        InputError: one line naming the file, the key, the value and what is allowed.
    """
    try:
        return Params.model_validate(value)
    except ValidationError as error:
        line = one_line(error)
        if line.endswith(UNKNOWN):
            line += allowed_keys(error)
        raise InputError(f"{file}: {line}") from None


def allowed_keys(error: ValidationError) -> str:
    """`; allowed are …` for the place of the first unknown key."""
    loc = next(f["loc"] for f in error.errors() if "extra" in f["type"])
    here: Any = Params.model_json_schema()
    definitions = here["$defs"]
    for step in loc[:-1]:
        here = child(resolve(here, definitions), str(step))
    names = sorted(resolve(here, definitions).get("properties", {}))
    return f"; allowed are {', '.join(names)}" if names else ""


def resolve(node: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    for option in node.get("anyOf", []):
        if "$ref" in option or "properties" in option:
            node = option
    return definitions[node["$ref"].rsplit("/", 1)[1]] if "$ref" in node else node


def child(node: dict[str, Any], step: str) -> dict[str, Any]:
    patterns = list(node.get("patternProperties", {}).values())
    extra = node.get("additionalProperties")
    fallback = patterns[0] if patterns else extra if isinstance(extra, dict) else {}
    return node.get("properties", {}).get(step, fallback)


def load(path: str | Path) -> Params:
    """Read and check a parameter file, as DVC reads it: YAML 1.2, in which `on` is a word, and no key is given twice.

    Raises:
        InputError: the file is missing, is not YAML, or holds a fault; one line names it.
    """
    try:
        value = YAML(typ="safe", pure=True).load(Path(path).read_text())
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; it holds the studies") from None
    except (YAMLError, UnicodeDecodeError) as error:
        mark = error.problem_mark if isinstance(error, MarkedYAMLError) else None
        what = f"line {mark.line + 1}: {getattr(error, 'problem', error)}" if mark else str(error)
        raise InputError(f"{path}: is not YAML: {' '.join(what.split())}") from None
    if not isinstance(value, dict):
        raise InputError(f"{path}: holds no keys; needed is `studies`")
    return check(value, str(path))
