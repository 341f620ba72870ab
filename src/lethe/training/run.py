"""An unlearning run as its method sees it: the models, the examples that it may read, and what trains.

A method is a file of `lethe.objectives`. Its `unlearn(hyper, run)` returns the model that has forgotten, by default

    run.minimise(loss, hyper)

All that trains is kept as it goes, so that a run that is killed and started again ends with the same bits.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterable
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from lethe import models
from lethe.data.encoding import Encoded
from lethe.data.rows import Rows
from lethe.models import adapters
from lethe.models.composed import is_offset, learner, parts
from lethe.params.model import Model
from lethe.params.training import Method, Training
from lethe.system import workers
from lethe.system.errors import InputError
from lethe.system.stopwatch import Stopwatch
from lethe.system.streams import stream_seed
from lethe.training.batches import Batches
from lethe.training.chosen import Between, Chosen
from lethe.training.engine import Check, Progress, no_check
from lethe.training.epoch_check import EpochCheck, Refinement
from lethe.training.frozen import FrozenHidden, FrozenLogits, as_frozen, own_weights, sharing_copy
from lethe.training.job import Job
from lethe.training.live_plots import live_plots
from lethe.training.objective import Batch, Objective
from lethe.training.offset import with_offset
from lethe.training.outputs import in_turn, save_run
from lethe.training.rows import Endings, Examples, Pairs
from lethe.training.training import FINE_TUNING, fine_tuning, train_model

log = logging.getLogger("lethe.run")


class Run:
    """One unlearning run.

    Attributes:
        seed: of every random stream of the run.
        training: how the method trains: the recipe of its block in params.yaml.
    """

    def __init__(
        self, job: Job, prepared: Path, forget: Path, original: Path, base: Path | None, terms: dict[str, str]
    ):
        """Args: as `lethe.unlearn.unlearn`; terms: those of the method's file."""
        self.job, self.seed, self.terms = job, job.seed, terms
        self.settings = Model.model_validate(job.cfg["model"])
        self.training = Method.model_validate(job.cfg["method"]).training
        self.prepared, self.forget = prepared, forget
        self.original_folder, self.base_folder = original, base
        self.read: list[Path] = [prepared, forget]  # what the run was made from so far
        self.watch = Stopwatch()
        self.start: Any = None  # the original model, where what is frozen shares weights with it
        self.minimised: dict[str, Progress] = {}  # work by its name, in the order in which it was done
        self.fitted: dict[str, Progress] = {}
        self.beforehand: dict[str, Progress] = {}
        self.between: Between | None = None  # what `training.evaluate` asks for
        self.evaluated: Any = None  # the model of which it was asked

    def original(self) -> Any:
        """The model that must forget, frozen, in evaluation mode."""
        if not self.sharing:
            return as_frozen(self.loaded(self.original_folder))
        if self.start is None:
            self.start = self.loaded(self.original_folder)
        return sharing_copy(self.start, self.kept_weights(self.start))

    def original_hidden(self) -> FrozenHidden | FrozenLogits:
        """The same for a KL to it: each text passes it once, and its last hidden states are kept."""
        original = self.original()
        return FrozenLogits(original) if isinstance(original, models.Composed) else FrozenHidden(original)

    def base(self) -> Any:
        """The model that the original was trained from, before it saw any text of the study."""
        return self.loaded(self.required_base)

    def rows(self, *names: Literal["forget", "retain", "validation"]) -> Rows:
        """Rows of sets together, in the order of the data."""
        return self.examples.of(*names).rows

    def encoded(self, *names: Literal["forget", "retain", "validation"]) -> Encoded:
        """The same with the record ids."""
        return self.examples.of(*names)

    def endings(self, texts: list[str] | None = None) -> Endings:
        """Tokens of texts that may follow the prompt of each forget text; None: of its own alternatives.

        Raises:
            InputError: an example has no alternative.
        """
        return self.examples.endings(texts)

    def fit(
        self, name: str, model: Any, rows: Rows, training: Training | None = None, *,
        beforehand: bool = False, columns: dict[str, int] | None = None, general: Rows | None = None,
        freeze: list[str] | None = None,
    ) -> Any:  # fmt: skip
        """Fine-tune a model that the method needs on the way; returns it, frozen.

        What is finished is kept until the run is: a run that is continued gives the model the weights it had. Of
        several processes each does it alone.

        Args:
            name: of the model, another for each; batches, dropout and adapters depend on it and the seed.
            training: the recipe; None: the method's `training`.
            beforehand: it is no work of this run but came before it; its cost stands apart.
            columns: added to the trace, which holds these steps where the run minimises nothing.
            general: other text, as much of which is in a batch as the recipe says; None: none.
            freeze: beginnings of the names of parameters that do not train; None: those of `model.freeze`.
        """
        recipe = (training or self.training).model_copy(update={"processes": 1, "sharded": False})
        if self.sharing:
            own_weights(model)
        models.freeze(models.let_train(model), self.settings.freeze if freeze is None else freeze)
        key = f"{'beforehand-' * beforehand}{name}"
        fingerprint = (
            f"{self.job.fingerprint(*self.read)} {name} {rows_digest(rows)} {recipe.model_dump_json()}"
        )
        checkpoint = self.job.parts / f"{key}.safetensors"
        batches = fine_tuning(rows, recipe, stream_seed(self.seed, name), general)
        progress = train_model(model, FINE_TUNING, batches, fingerprint, checkpoint, keep=True)
        progress.trace = [row | (columns or {}) for row in progress.trace]
        (self.beforehand if beforehand else self.fitted)[key] = progress
        return model.eval().requires_grad_(False)

    def minimise(
        self, loss: Callable, hyper: Any, *, frozen: Any = None, model: Any = None, name: str = "",
        terms: dict[str, str] | None = None, whole_batch: bool = False,
        batch_counts: Callable[[Batch], dict[str, int]] | None = None,
        hyper_at: Callable[[Any, list[dict]], Any] | None = None, only: Iterable[str] | None = None,
        roles: Callable[[int], Iterable[str]] | None = None, check: Check | None = None,
        pairs: Pairs = "nearest", prefix: float | None = None, endings: Endings | None = None,
        fixed_batches: bool = False, training: Training | None = None,
    ) -> Any:  # fmt: skip
        """Train a model by a loss, by the method's `training`; returns it, in evaluation mode.

        Args:
            loss: (hyper, model, frozen, batch) -> weighted terms, each (B,) or a scalar; their sum is minimised.
            hyper, frozen: handed to the loss.
            model: is trained; None: the original.
            name: of this training, where a method has several; what is finished by a name is kept until the run is.
            terms: term -> role it is a mean over; an epoch is a pass over the first. None: TERMS of the file.
            whole_batch: the loss compares examples within a batch, which is then never cut.
            batch_counts: a batch -> numbers of it, such as of what the loss leaves out, as columns of trace.csv.
            hyper_at: (hyper, trace so far) -> the hyperparameters of the next step; None: they stay.
            only: beginnings of the names of the parameters that train; None: all that `model.freeze` leaves.
            roles: an epoch, from 0 -> the roles it trains on; None: all.
            check: what is found out between epochs, `epoch_check` or `refinement`; None: what `training.stop` asks.
            pairs: analogues: the `nearest`, `random` ones drawn once, or `none`, drawn anew at every step.
            prefix: share of a text that is the prompt of its alternatives, for terms over the role `alternative`.
            endings: what follows the prompt in an alternative, as `endings` gives it; None: the ends of analogues.
            fixed_batches: batches are drawn over all texts; one of which texts are skipped stays smaller.
            training: the recipe; None: the method's `training`.
        Raises:
            ValueError: two trainings have one name, or an argument is for a role that no term reads.
        """
        if name in self.minimised:
            raise ValueError(f"minimise: a second training by the name {name!r}; give it another")
        if self.between and (self.minimised or model is not None):
            raise self.no_epochs()
        keep = self.adapts_original and model is None and not self.minimised
        if model is None:
            model = self.loaded(self.original_folder) if self.start is None else self.start
        elif getattr(model, "peft_config", None):
            adapters.merge(model)
        self.start = None
        if self.training.lora and isinstance(model, models.Composed) and not self.training.offset:
            raise InputError(
                f"methods.{self.job.run}.training.lora: the model is composed of several; allowed: null"
            )
        if self.training.offset:
            model = with_offset(self, model, self.training.offset)
        else:
            models.freeze(models.let_train(model), self.settings.freeze)
        if only is not None:
            models.train_only(model, list(only))
        objective = Objective(loss, hyper, terms or self.terms, frozen, whole_batch, batch_counts, hyper_at)
        seed, recipe = stream_seed(self.seed, name) if name else self.seed, training or self.training
        wanted = dict.fromkeys(objective.terms.values())
        rows = self.examples.of_roles(wanted, recipe, seed, pairs, prefix, endings)
        batches = Batches(rows, recipe, objective.terms, seed, roles, fixed_batches)
        check = check or (self.epoch_check() if recipe.stop else no_check)
        checkpoint = self.job.parts / f"minimise-{name}.safetensors" if name else self.job.checkpoint
        fingerprint = f"{self.job.fingerprint(*self.read)} {name}"
        chosen = None
        if self.between:
            file = self.job.parts / "chosen.safetensors"
            check = chosen = Chosen(self.between, self.training.choose, file, fingerprint, check)
            chosen.begin(checkpoint)
            self.evaluated = model
        with live_plots(None if name else self.job.live) as plots:
            self.minimised[name] = train_model(
                model,
                objective,
                batches,
                fingerprint,
                checkpoint,
                check,
                plots,
                keep=bool(name),
                merge=not keep or len(parts(model)) > 1,
                chosen=chosen,
            )
        return model.eval()

    def epoch_check(self, refinement: Refinement | None = None) -> EpochCheck:
        """Memorisation of the forget set after every epoch, which ends the run where `training.stop` says so."""
        sets = {name: self.encoded(name) for name in ("forget", "retain", "validation")}
        return EpochCheck(self.training.stop, refinement, sets, self.tokenizer)

    def refinement(
        self, *, prefix: float, window: int | None, beams: int, similarity: Literal["tokens", "words"],
        forgotten: float | Literal["unseen"], encoder: str | None, f1: float,
    ) -> EpochCheck:  # fmt: skip
        """The same, and texts that are forgotten are skipped until they reappear; see `Refinement`."""
        return self.epoch_check(Refinement(prefix, window, beams, similarity, forgotten, encoder, f1))

    def no_epochs(self) -> InputError:
        return InputError(
            f"methods.{self.job.run}.training.evaluate: each_epoch; no epoch's model is the result; allowed: null"
        )

    @cached_property
    def examples(self) -> Examples:
        return Examples(self.prepared, self.forget, self.tokenizer, self.settings.max_length)

    @cached_property
    def tokenizer(self):
        """All models of a study have the same; a method that trains from the base need not have an original."""
        original = self.original_folder
        return models.tokenizer(original if original.is_dir() else self.required_base)

    @property
    def required_base(self) -> Path:
        """Raise InputError if the run was given no base."""
        if self.base_folder is None:
            raise InputError(
                f"--base: missing; methods.{self.job.run} trains models of its own from the base model"
            )
        return self.base_folder

    @property
    def finetune(self) -> Training:
        """The recipe of the original, of a method that says `NEEDS = ("base",)`."""
        return Training.model_validate(self.job.cfg["finetune"])

    @property
    def sharing(self) -> bool:
        """Does what is frozen have weights of the model that trains? Not where processes split and move these."""
        recipe = self.training
        return (recipe.lora is not None or recipe.offset is not None) and not recipe.sharded

    def kept_weights(self, model: Any) -> list[Any]:
        """Weights of the original that never train: those beside an offset, or those that adapters stand beside."""
        if not self.training.offset:
            writes = isinstance(model, models.Composed) or model.get_output_embeddings() is not None
            return [*(model if writes else model.base_model).parameters()]  # a classifier's head trains, too
        trained = {id(p) for p in learner(model).parameters()} if is_offset(model) else set()
        return [p for p in model.parameters() if id(p) not in trained]

    @property
    def adapts_original(self) -> bool:
        """Is the result to be adapters alone, for the original?"""
        lora = self.training.lora
        return lora is not None and not lora.merge and self.training.offset is None

    def loaded(self, folder: Path) -> Any:
        if folder not in self.read:
            self.read.append(folder)
        frozen = self.training.lora is not None or self.training.offset is not None
        if self.settings.weights == "nf4" and not self.adapts_original:
            raise InputError(
                f"methods.{self.job.run}.training.lora: model.weights: nf4 needs {{merge: false}}"
            )
        return models.load(folder, self.job.cfg["task"], weights=self.settings.weights, frozen=frozen)[0]

    def save(self, model: Any) -> None:
        """Write the outputs of the run and drop its checkpoints; of several processes the first does."""
        if self.between and self.evaluated is not model:
            raise self.no_epochs()
        if workers.rank():
            return
        before = in_turn(self.beforehand.values())
        spent = {"seconds": before.seconds, "steps": before.step, "tokens": before.tokens}
        parts = list(self.fitted.values())
        progress = in_turn(self.minimised.values()) if self.minimised else None
        if progress is None and (parts or self.beforehand):  # the trace is that of the parts
            progress, parts = in_turn(parts), []
        taken = self.watch.taken()
        beside = self.original_folder if self.adapts_original else None
        if beside and not getattr(model, "peft_config", None):
            log.warning(
                "%s: lora.merge: the result is not the original with one adapter; saved whole", self.job.run
            )
        save_run(
            self.job.out, model, self.tokenizer, progress, taken, parts, spent if self.beforehand else None,
            beside,
        )  # fmt: skip
        self.job.forget_checkpoints()


def rows_digest(rows: Rows) -> str:
    """SHA-256 of what is learnt from rows: their tokens, where they end and start, and what is true of them."""
    found = hashlib.sha256(type(rows).__name__.encode())
    for part in vars(rows).values():
        found.update(b"" if part is None else part.numpy().tobytes())
    return found.hexdigest()
