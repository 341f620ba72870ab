"""Parameters of one study."""

from __future__ import annotations

from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from lethe.params.claims import Claims
from lethe.params.data import Dataset
from lethe.params.fields import Seed
from lethe.params.forget import Forget
from lethe.params.measure import Measure
from lethe.params.model import Model
from lethe.params.names import VARIANT, Name, Task, retrained
from lethe.params.plug_ins import from_base
from lethe.params.references import GivenModel, GivenModels
from lethe.params.requests import Requests
from lethe.params.robustness import Perturbation
from lethe.params.score import Score
from lethe.params.shadow import Shadow
from lethe.params.strict_model import StrictModel
from lethe.params.study_checks import CHECKS
from lethe.params.training import Method, References, Training
from lethe.params.tune import Tune
from lethe.params.ulira import ULira
from lethe.system import plugins


class Study(StrictModel):
    """A data set, a model, what is to be forgotten, and the methods that try."""

    task: Task
    """What the model does: the name of a file of tasks, of the package or of a folder of `plugins`."""
    seeds: Annotated[list[Seed], Field(min_length=1, max_length=1000)]
    """Each chooses a forget set and feeds all random streams; all runs are made for each."""
    dataset: Dataset
    """The texts."""
    model: Model
    """The model before it sees the texts."""
    forget: Forget
    """Which texts are to be forgotten."""
    train: References | None = None
    """How the references are trained; null: they are given."""
    references: GivenModels | None = None
    """Models that exist, in place of `train`; null: they are trained."""
    unlearn: Training = Training()
    """What the methods' training does not say, but for one that trains from the base."""
    score: Score = Score()
    """What is computed of each model."""
    measure: Measure = Measure()
    """Settings of the metrics."""
    claims: Claims = Claims()
    """What methods are judged by."""
    shadow: Shadow | None = None
    """Shadow models for LiRA and RMIA; null: none."""
    shares: Name | None = None
    """Study whose base and original it has; not given by hand: it follows from a list of forget sets."""
    ulira: ULira | None = None
    """Models that were unlearned, for U-LiRA; null: none."""
    split_seed: Seed | None = None
    """Seed of the splits; null: the first of `seeds`."""
    tune: Tune | None = None
    """Read by `lethe tune` alone."""
    requests: Requests | None = None
    """How deletion requests are served; null: they are not."""
    robustness: dict[Name, Perturbation] = {}
    """Whether what was forgotten comes back."""
    methods: Annotated[dict[Name, Method], Field(min_length=1)]
    """Name of a run -> how it unlearns; null: the objective of that name, as it is."""

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
    def fill_model(cls, value: Any) -> Any:
        """The model is the given original, unless it says so."""
        references = value.get("references") if isinstance(value, dict) else None
        model = value.get("model", {}) if isinstance(value, dict) else None
        if not isinstance(references, dict) or not isinstance(model, dict) or "source" in model:
            return value
        original = references.get("original")
        if isinstance(original, str):
            original = GivenModel.model_validate(original).model_dump()
        own = (
            {key: original[key] for key in ("source", "revision") if key in original}
            if isinstance(original, dict)
            else {}
        )
        return {**value, "model": {**own, **model}}

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
    def check(self) -> Self:
        """What sections of a study ask of each other; ValueError names the first fault."""
        for check in CHECKS:
            check(self)
        return self

    @property
    def recipes(self) -> dict[str, Training]:
        """As those of the references, with those of the methods."""
        own = {f"methods.{name}.training": method.training for name, method in self.methods.items()}
        return (self.train.recipes if self.train else {}) | own

    @property
    def forget_sets(self) -> list[str]:
        """Sources of the sets of which this study forgets one, sorted; none where it chooses by itself."""
        splits = self.dataset.splits
        sources = [splits.forget, *splits.others.values()] if splits else []
        return sorted(source.model_dump_json() for source in sources)

    @property
    def first_seed(self) -> int:
        """The seed of the splits."""
        return self.seeds[0] if self.split_seed is None else self.split_seed

    @property
    def serving_seed(self) -> int:
        """The seed whose original is the model in use."""
        return self.seeds[0] if self.requests is None or self.requests.seed is None else self.requests.seed

    @property
    def runs(self) -> list[str]:
        """Names of the runs that are measured, references first; not a base with a head that has learnt nothing."""
        measures_base = plugins.gives(self.task, "text") and (
            self.version is None or self.measure.reference == "base"
        )
        return [*(["base"] if measures_base and self.train else []), *self.compared]

    @property
    def compared(self) -> list[str]:
        """Names of the runs that were trained on this study's texts: all but base."""
        return ["original", *self.retrained[:1], *self.unlearned]

    @property
    def version(self) -> str | None:
        """Of a deletion request the run that is the new version of the model; None of a study proper."""
        return self.requests.method if self.requests and self.forget.of else None

    @property
    def unlearned(self) -> list[str]:
        """Names of the runs of methods that are made: of a deletion request the one that serves it."""
        return [run for run in self.methods if self.version in (None, run)]

    @property
    def retrained(self) -> list[str]:
        """Names of the retrained models of a seed, the first of which stands in tables.

        A deletion request may have none, nor need one be given.
        """
        if self.references:
            return [] if self.version else retrained(len(self.references.retrain))
        if self.train is None or (self.requests and self.version and self.requests.retrains == 0):
            return []
        return retrained(self.train.retrains)

    def given(self, run: str) -> GivenModel | None:
        """The model that exists of a run or of a variant of it; None for one that is made."""
        if self.references is None:
            return None
        models = dict(zip(self.retrained, self.references.retrain, strict=True))
        return (models | {"original": self.references.original}).get(run.split(VARIANT)[0])

    @property
    def audited(self) -> list[str]:
        """Methods that U-LiRA attacks: not of a deletion request, and of several forget sets in the first alone."""
        if self.ulira is None or self.version or self.shares:
            return []
        return list(self.methods) if self.ulira.methods is None else self.ulira.methods

    def attacked_by(self, run: str, seed: int) -> list[str]:
        """Methods whose models U-LiRA attacks a run with: a method's own, and beside it the retrained models'."""
        if seed != self.seeds[0]:
            return []
        if run in self.retrained:
            return self.audited
        return [run] if run in self.audited else []

    @property
    def measured(self) -> int:
        """Number of models that are scored and measured."""
        variants = sum(len(given.levels) for given in self.robustness.values())
        per_seed = len({*self.runs, *self.retrained}) + variants * len(self.compared)
        return len(self.seeds) * per_seed

    @property
    def variants(self) -> dict[str, dict[str, Any]]:
        """name-level -> the perturbation; every run of `compared`, RUN, has each as a variant RUN+NAME-LEVEL."""
        return {
            f"{name}-{level}": given.at(level)
            for name, given in self.robustness.items()
            for level in given.levels
        }
