"""What the sections of a study ask of each other.

Each check raises ValueError, or InputError, whose message begins with the key below the study.
"""

from __future__ import annotations

import re
from itertools import product
from typing import TYPE_CHECKING

from pydantic import ValidationError

from lethe.params.architectures import TINY
from lethe.params.faults import UNKNOWN, one_line
from lethe.params.harness import is_task, own_tasks
from lethe.params.metric_names import sets_of_metric, unmeasured
from lethe.params.names import BLIND, REFERENCES, RETRAIN, SHADOW
from lethe.params.plug_ins import (
    check_hyper,
    check_perturbation,
    from_base,
    has_epochs,
    needs_base,
    takes_offset,
)
from lethe.params.sources import built_in, kind
from lethe.params.training import UTILITY, Choose, Training
from lethe.params.tune import depends_on_seed, extremes, is_transfer
from lethe.system import plugins

MOST_MODELS = 10_000
LOWER_IS_BETTER = ("loss", "perplexity", "entropy", "calibration_error")  # beginnings of names of metrics

if TYPE_CHECKING:
    from lethe.params.study import Study


def check_seeds(study: Study) -> None:
    if len(set(study.seeds)) < len(study.seeds):
        raise ValueError(f"seeds: {study.seeds} names a seed twice; each may appear once")


def check_references(study: Study) -> None:
    """References are trained or given. Given ones, of one forget set, are the same whoever draws it."""
    if (study.train is None) == (study.references is None):
        raise ValueError("train: missing, must be given, or references in its place; not both")
    if study.references is None:
        return
    if study.tune:
        raise ValueError(
            "tune: trials are judged by retrained models of their own; allowed with references: null"
        )
    if study.references.retrain and (depends_on_seed(study.forget) or study.forget.requests > 1):
        raise ValueError(
            "references.retrain: are of one forget set, which seeds or requests would change; allowed: forget sets that"
            " are given, ids, memorised, or label without a size, in one request"
        )
    if study.references.retrain and study.dataset.splits and study.dataset.splits.others:
        raise ValueError("references.retrain: are of one forget set; write a study for each set of the list")


def check_numbers(study: Study) -> None:
    """As many models as can be planned, and requests that can be filled."""
    if study.measured > MOST_MODELS:
        raise ValueError(
            f"seeds: {len(study.seeds)} seeds of all runs and their variants are {study.measured} models to measure;"
            f" allowed are {MOST_MODELS}"
        )
    size, requests = study.forget.size, study.forget.requests
    if size is not None and requests > size:
        raise ValueError(f"forget.requests: {requests}: of {size} examples; allowed are 1 to {size}")


def check_shadow(study: Study) -> None:
    others = {*study.seeds, *(study.tune.seeds if study.tune else [])}
    taken = sorted(others & {*(study.shadow.seeds if study.shadow else [])})
    if study.shadow and taken:
        raise ValueError(
            f"shadow.first_seed: {study.shadow.first_seed} makes {taken[0]} the seed of a shadow model, which is one"
            " of the study; allowed is an even number from which on none is"
        )
    if study.shadow and study.references:
        raise ValueError("shadow: models are trained by the recipe of train; allowed with references: null")
    if study.measure.reference and not plugins.gives(study.task, "text"):
        raise ValueError(
            f"measure.reference: {study.measure.reference} is for generation; allowed in {study.task}: null"
        )
    if study.measure.reference not in (None, *study.runs):
        allowed = [run for run in REFERENCES if run in study.runs and run != "original"] or ["null"]
        raise ValueError(
            f"measure.reference: {study.measure.reference}: references give no such model; allowed:"
            f" {', '.join(allowed)}"
        )


def check_ulira(study: Study) -> None:
    if study.ulira is None:
        return
    if study.references:
        raise ValueError("ulira: models are trained by the recipe of train; allowed with references: null")
    others = {
        *study.seeds,
        *(study.tune.seeds if study.tune else []),
        *(study.shadow.seeds if study.shadow else []),
    }
    if taken := sorted(others & {*study.ulira.seeds}):
        raise ValueError(
            f"ulira.first_seed: {study.ulira.first_seed} makes {taken[0]} the seed of an unlearned model, which is one"
            " of the study; allowed is an even number from which on none is"
        )
    if unknown := [name for name in study.audited if name not in study.methods]:
        allowed = ", ".join(study.methods)
        raise ValueError(f"ulira.methods: {unknown[0]} is no method of the study; allowed are {allowed}")
    if study.forget.requests > 1 or study.forget.request:
        raise ValueError(
            f"ulira: is for one request; allowed with forget.requests {study.forget.requests}: null"
        )


def check_tune(study: Study) -> None:
    """What settings are chosen by is never reported."""
    if study.tune is None:
        return
    both = sorted({*study.tune.seeds} & {*study.seeds})
    if both:
        raise ValueError(
            f"tune.seeds: {both[0]} is a seed of the study; allowed are seeds that it does not report"
        )
    unknown = sorted({*study.tune.space} - {*Training.model_fields})
    if unknown:
        allowed = ", ".join(Training.model_fields)
        raise ValueError(f"tune.space.{unknown[0]}: {UNKNOWN}; allowed are {allowed}")
    for key, choice in study.tune.space.items():
        for value, method in product(extremes(choice), study.methods.values()):
            try:
                Training.model_validate(method.training.model_dump() | {key: value})
            except ValidationError as error:
                raise ValueError(f"tune.space.{one_line(error)}") from None
    for key in ("metrics", "within"):
        for name in getattr(study.tune.select, key):
            if is_transfer(name):
                if len(study.tune.seeds) < 2:
                    raise ValueError(
                        f"tune.select.{key}.{name}: learns on other seeds; needed are two of tune.seeds"
                    )
                continue
            what = (
                unmeasured(name, study.task) if not study.score.tasks else None
            )  # tasks name theirs themselves
            if what is not None:
                raise ValueError(f"tune.select.{key}.{name}: {what}; allowed are names of metrics.json")
    forget = study.tune.forget or study.forget
    if not depends_on_seed(forget):
        what = f"strategy {forget.strategy} forgets the same examples in every seed, also those that are reported"
        raise ValueError(
            f"tune.forget: {what}; needed is one that draws, such as {{strategy: random, size: …}}"
        )


def check_methods(study: Study) -> None:
    for name, method in study.methods.items():
        if name in (*REFERENCES, SHADOW, BLIND) or RETRAIN.fullmatch(name):
            raise ValueError(f"methods.{name}: is the name of a reference run; any other name is allowed")
        check_hyper(f"methods.{name}", method, study.task)
        if study.references and (needs_base(method.objective) or from_base(method.objective)):
            raise ValueError(
                f"methods.{name}: {method.objective} trains from the base model, which references do not give; allowed"
                " are methods that start from the original"
            )
        count = method.training.processes
        if count > 1 and from_base(method.objective):
            raise ValueError(
                f"methods.{name}.training.processes: {count}; {method.objective} trains its models one after the"
                " other in one process; allowed is 1"
            )


def check_batches(study: Study) -> None:
    """An epoch is a pass over the first role of an objective, in batches of a size that must be given."""
    firsts: dict[str, str | None] = dict.fromkeys(study.train.recipes if study.train else (), "retain")
    for name, method in study.methods.items():
        roles = plugins.constants_in("objectives", method.objective).get("TERMS", {}).values()
        firsts[f"methods.{name}.training"] = next(iter(roles), None)
    for where, recipe in study.recipes.items():
        first = firsts[where]
        if first is not None and first not in recipe.batch:
            raise ValueError(f"{where}.batch: {recipe.batch} lacks {first}, of which every batch is made")


def check_general(study: Study) -> None:
    """General text is what generators alone have, and what some recipes are made of."""
    if study.dataset.general is not None:
        if not plugins.gives(study.task, "text"):
            raise ValueError(f"dataset.general: other text is for generation; allowed in {study.task}: null")
        return
    if study.train and study.train.pretrain is not None:
        raise ValueError("train.pretrain: is for general text; allowed without dataset.general: null")
    for where, recipe in study.recipes.items():
        if "general" in recipe.batch:
            raise ValueError(
                f"{where}.batch: {recipe.batch} holds general text; set dataset.general, or leave it out"
            )


def check_decoding(study: Study) -> None:
    least, given = 2 * study.model.max_length, study.score.decode_batch_tokens
    if plugins.gives(study.task, "text") and given < least:
        raise ValueError(
            f"score.decode_batch_tokens: {given}: less than twice model.max_length; allowed are {least} or more"
        )


def check_robustness(study: Study) -> None:
    for name, given in study.robustness.items():
        for level in given.levels:
            check_perturbation(f"robustness.{name}", given.at(level), study.task)


def check_tasks(study: Study) -> None:
    if study.score.tasks and not plugins.gives(study.task, "text"):
        raise ValueError(f"score.tasks: are for generation; allowed in {study.task}: []")
    for name in (asked.task for asked in study.score.tasks):
        if not is_task(name):
            raise ValueError(
                f"score.tasks: {name} is no task of the evaluation harness; allowed are"
                f" {', '.join(own_tasks())}, a YAML file, or a name that `lm_eval ls tasks` shows"
            )


def check_long(study: Study) -> None:
    if study.dataset.long == "windows" and not plugins.gives(study.task, "text"):
        raise ValueError(f"dataset.long: windows are for generation; allowed in {study.task}: cut, null")


def check_tagging(study: Study) -> None:
    """Tags are those of words; no text as a whole has one."""
    if plugins.constants_in("tasks", study.task)["LABELS"] != "words":
        return
    source = study.dataset.source
    able = [name for name in built_in() if "tagged_examples" in plugins.functions_in("datasets", name)]
    if kind(source) == "tokens" or (kind(source) == "built-in" and source not in able):
        allowed = f"{', '.join(able)}, a Hub id, a folder, or a file with lists of words and of tags"
        raise ValueError(f"dataset.source: {source} has no tags; allowed in {study.task}: {allowed}")
    if study.forget.strategy == "label":
        raise ValueError(
            f"forget.strategy: label is that of a whole text; allowed in {study.task}: random, subject, ids, memorised"
        )


def check_stop(study: Study) -> None:
    recipes = study.recipes
    if plugins.gives(study.task, "text"):
        recipes = study.train.recipes if study.train else {}
    for where, recipe in recipes.items():
        if recipe.stop is not None:
            raise ValueError(f"{where}.stop: only methods of a generation study stop by memorisation")


def check_choose(study: Study) -> None:
    """Between epochs a method is measured on what it may read, and there is a model that could be the result."""
    for where, recipe in (study.train.recipes if study.train else {}).items():
        if recipe.evaluate is not None:
            raise ValueError(f"{where}.evaluate: is for methods; allowed: null")
    for name, method in study.methods.items():
        where, training = f"methods.{name}.training", method.training
        if training.evaluate is not None and not has_epochs(method.objective):
            raise ValueError(
                f"{where}.evaluate: {training.evaluate}; {method.objective} has no epochs of a model that is its"
                " result; allowed: evaluate: null, choose: null"
            )
        if training.choose is not None:
            check_chosen_by(study, f"{where}.choose", training.choose)


def check_chosen_by(study: Study, where: str, rule: Choose) -> None:
    """Names of what is measured between epochs; of what is reported alone nothing is chosen by."""
    unread = ("test", "holdout", "general", "general_test", "forgotten", *study.dataset.probes)
    for name in (rule.metric, *rule.at_least):
        if name == UTILITY and name != rule.metric:
            if plugins.part("tasks", study.task, "UTILITY") is None:
                raise ValueError(f"{where}.at_least.{name}: the task {study.task} does not say what it is")
            continue
        key = "metric" if name == rule.metric else f"at_least.{name}"
        here = re.sub("_validation$", "_test", name)
        if what := unmeasured(here, study.task):
            raise ValueError(f"{where}.{key}: {name}: {what}; allowed are names of metrics.json")
        if any(name.endswith(f"_{other}") for other in unread) or "holdout" in sets_of_metric(here):
            raise ValueError(
                f"{where}.{key}: {name} is of what no method reads; allowed are metrics of forget, retain and"
                " validation"
            )
        if key != "metric" and (
            not name.endswith(("_retain", "_validation")) or name.startswith(LOWER_IS_BETTER)
        ):
            raise ValueError(
                f"{where}.{key}: a share of the original's is to be kept; allowed are {UTILITY}, and metrics of retain"
                " or validation of which more is better"
            )


def check_offset(study: Study) -> None:
    """Methods of generation may learn by a pair of small models; those that train layers or models of their own not."""
    for where, recipe in (study.train.recipes if study.train else {}).items():
        if recipe.offset is not None:
            raise ValueError(f"{where}.offset: a reference trains its own weights; allowed: null")
    for name, method in study.methods.items():
        if method.training.offset is None:
            continue
        if study.references:
            raise ValueError(
                f"methods.{name}.training.offset: the pair is trained by recipes of train; allowed with references:"
                " null"
            )
        able = [n for n in plugins.names_in("objectives") if takes_offset(n)]
        if method.objective not in able or not plugins.gives(study.task, "text"):
            raise ValueError(
                f"methods.{name}.training.offset: {method.objective} in {study.task} trains the model itself; allowed"
                f" with an offset are, in generation, {', '.join(able)}"
            )


def check_weights(study: Study) -> None:
    """A base in 4 bits never trains: what is made are adapters for a model that is given."""
    if study.model.weights != "nf4":
        return
    if study.train is not None:
        raise ValueError(
            "model.weights: nf4; nothing trains but adapters; needed is references, or other weights"
        )
    if study.model.freeze:
        raise ValueError("model.freeze: with weights in nf4 nothing trains but adapters; allowed: []")
    for where, recipe in study.recipes.items():
        if recipe.lora is None or recipe.lora.merge or recipe.offset:
            raise ValueError(
                f"{where}.lora: model.weights: nf4 needs adapters that stay apart: {{merge: false}}"
            )


def check_facts(study: Study) -> None:
    """What still follows is asked of all facts that were learnt."""
    if study.forget.strategy in ("superficial", "deep"):
        if not plugins.gives(study.task, "text"):
            raise ValueError(
                f"forget.strategy: {study.forget.strategy}: facts are written; allowed in generation"
            )
        if study.score.most is not None:
            raise ValueError(
                f"score.most: {study.score.most}; strategy {study.forget.strategy} asks about all facts; allowed: null"
            )


def check_splits(study: Study) -> None:
    """Given sets are forgotten as they are; what asks for a set that is not given is an error."""
    splits, strategy = study.dataset.splits, study.forget.strategy
    if splits is None:
        if strategy == "given":
            raise ValueError("forget.strategy: given; needed is dataset.splits, which names the sets")
        return
    if strategy != "given" and study.forget.of is None:
        raise ValueError(f"forget.strategy: {strategy}; allowed with dataset.splits is given")
    if splits.others and study.forget.requests > 1:
        raise ValueError("forget.requests: of a list of forget sets each is one; allowed is 1")
    if study.forget.listed != bool(splits.earlier or splits.later):
        raise ValueError(
            "dataset.splits: earlier, later and forget.listed follow from a list of sets; allowed: leave them out"
        )
    for key, needed in needed_sets(study).items():
        if absent := [name for name in needed if name in splits.absent]:
            raise ValueError(f"{key}: needs {' and '.join(absent)}, which dataset.splits does not give")


def needed_sets(study: Study) -> dict[str, tuple[str, ...]]:
    """Key of the study -> sets without which what it asks for cannot be."""
    found: dict[str, tuple[str, ...]] = {}
    stopping = [where for where, recipe in study.recipes.items() if recipe.stop is not None]
    found |= {f"{where}.stop": ("validation",) for where in stopping}
    for name, method in study.methods.items():
        rule = method.training.choose
        if rule and any(
            "test" in sets_of_metric(n.replace("_validation", "_test")) for n in (rule.metric, *rule.at_least)
        ):
            found[f"methods.{name}.training.choose"] = ("validation",)
        if "validation" in plugins.constants_in("objectives", method.objective)["NEEDS"]:
            found[f"methods.{name}"] = ("validation",)
    if study.tune:
        found["tune"] = ("validation",)
    if study.score.test == "validation":
        found["score.test"] = ("validation",)
    if study.model.source in TINY and study.model.tokenizer is None and study.dataset.general is None:
        found["model.tokenizer"] = ("validation",)  # whose text one is trained on
    if study.measure.matched:
        found["measure.matched"] = ("test",)
    if study.shadow:
        found["shadow"] = ("test", "holdout")
    for metric in study.claims.primary or []:
        found[f"claims.primary.{metric}"] = sets_of_metric(metric)
    return found


def check_extract(study: Study) -> None:
    """Sets that are completed or answered are scored."""
    if study.score.answers and not plugins.gives(study.task, "text"):
        raise ValueError(f"score.answers: are for generation; allowed in {study.task}: {{}}")
    allowed = ("forget", "retain", "holdout", "test", *study.dataset.probes)
    for key, names in (("extract", study.score.extract), ("answers", study.score.answers)):
        for name in names:
            if name not in allowed:
                raise ValueError(
                    f"score.{key}: {name} is no set that is scored; allowed are {', '.join(allowed)}"
                )


def check_alternatives(study: Study) -> None:
    """Methods that learn wrong answers need some; built-in texts bring theirs, or end in a line of their own."""
    source = study.dataset.splits.forget if study.dataset.splits else study.dataset
    if source.alternatives is not None or kind(source.source) == "built-in":
        return
    for name, method in study.methods.items():
        if "alternatives" in plugins.constants_in("objectives", method.objective)["NEEDS"]:
            raise ValueError(
                f"methods.{name}: {method.objective} learns other answers to what is to be forgotten; needed is"
                " dataset.alternatives, the name of their column"
            )


def check_sizes(study: Study) -> None:
    pool = study.dataset.sizes.train
    if study.forget.size is not None and study.forget.size >= pool:
        raise ValueError(
            f"forget.size: {study.forget.size} is not smaller than the training set (dataset.sizes.train: {pool});"
            f" allowed are 1 to {pool - 1}"
        )


def check_requests(study: Study) -> None:
    """Who serves requests, on which model, and what of it is measured."""
    requests = study.requests
    if requests is None:
        return
    if study.forget.requests > 1 and study.forget.of is None:
        raise ValueError(f"requests: forget.requests is {study.forget.requests}; allowed beside requests: 1")
    if requests.seed is not None and requests.seed not in study.seeds:
        raise ValueError(f"requests.seed: {requests.seed}; allowed are {', '.join(map(str, study.seeds))}")
    if study.dataset.splits and study.dataset.splits.others:
        raise ValueError(
            "requests: serve one model, and each set of a list is a study; allowed: one set in dataset.splits.forget"
        )
    allowed = (*study.methods, *(["retrain"] * (study.references is None)))
    names = {"method": requests.method}
    names |= {f"served.{k}.method": one.method for k, one in enumerate(requests.served)}
    for key, name in names.items():
        if name not in allowed:
            raise ValueError(f"requests.{key}: {name}; allowed are {', '.join(allowed)}")
    if study.measure.reference == "retrain" and (requests.retrains == 0 or study.references):
        why = "references: no version has a retrained model" if study.references else "requests.retrains: 0"
        raise ValueError(f"{why}; measure.reference: retrain needs one; allowed: null")
    for name in requests.thresholds:
        what = unmeasured(name, study.task) if not study.score.tasks else None
        if what is not None:
            raise ValueError(f"requests.thresholds.{name}: {what}; allowed are names of metrics.json")


CHECKS = (
    check_seeds,
    check_splits,
    check_references,
    check_requests,
    check_numbers,
    check_shadow,
    check_ulira,
    check_tune,
    check_methods,
    check_batches,
    check_general,
    check_decoding,
    check_robustness,
    check_tasks,
    check_long,
    check_tagging,
    check_stop,
    check_choose,
    check_offset,
    check_facts,
    check_sizes,
    check_extract,
    check_alternatives,
    check_weights,
)
