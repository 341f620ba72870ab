"""Parameters of training: recipes of the references and of the methods."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from lethe.params.fields import BatchSize, Epochs, Fraction, LearningRate, NonNegative, Order, Positive
from lethe.params.model import Model
from lethe.params.strict_model import StrictModel

UTILITY = "utility"  # what is kept of the original's, in one number


class Stop(StrictModel):
    """End training after the first epoch in which memorisation of the forget set is at the level of unseen text.

    Each threshold is a number, or `unseen`: the mean over the validation set under the model as it then is.
    """

    memorization_accuracy: Fraction | Literal["unseen"] = "unseen"
    """Largest memorisation accuracy at which training ends."""
    extraction_likelihood: Fraction | Literal["unseen"] = "unseen"
    """Largest extraction likelihood, EL_n of the n below, at which training ends."""
    n: Order = 10
    """Order of the n-grams of the extraction likelihood."""
    start: Order = 1
    """Shortest prefix of the extraction likelihood; 1 (KUMPR) or 150 (ICU)."""
    most: Annotated[int, Field(ge=2, le=10**9)] | None = None
    """Texts of a set whose extraction likelihood is computed, the first; null: all."""
    slack: NonNegative = 0.0
    """Added to both thresholds, in standard errors of the mean of the unseen values."""
    every: Annotated[int, Field(ge=1, le=10**9)] = 1
    """Epochs from one look at what is memorised to the next, from 0 on; ICU's texts rest by it, too."""


class Choose(StrictModel):
    """The epoch whose model is the result: of those that keep enough, the one that has forgotten most.

    Declared before the run, and found by what is measured between epochs on sets that the method may read. The first of
    equals counts; epoch 0 is the original, which keeps all.
    """

    metric: str
    """How much is left of what is to be forgotten: a metric of forget, or of an attack on it against validation."""
    goal: float | Literal["lowest"] = "lowest"
    """The nearer the metric is to this number the better, or the lower."""
    at_least: dict[str, Annotated[float, Field(gt=0, le=1)]] = {"utility": 0.95}
    """utility, or a metric of retain or validation of which more is better -> share of the original's to be kept."""

    def distance(self, row: Mapping[str, float]) -> float:
        """How far what was measured is from having forgotten."""
        return row[self.metric] if self.goal == "lowest" else abs(row[self.metric] - self.goal)

    def keeps(self, row: Mapping[str, float], original: Mapping[str, float]) -> bool:
        """Is enough kept of what the original had?"""
        shares = {name: 1.0 if name == UTILITY else original[name] for name in self.at_least}
        return all(row[name] >= least * shares[name] for name, least in self.at_least.items())

    def of(self, rows: Sequence[Mapping[str, float]]) -> int:
        """Which of the rows, measured one epoch after the other from the original on, is chosen."""
        kept = [k for k, row in enumerate(rows) if self.keeps(row, rows[0])]
        return min(kept, key=lambda k: self.distance(rows[k]))


class Lora(StrictModel):
    """Low-rank adapters in place of all weights."""

    rank: Annotated[int, Field(ge=1, le=65_536)] = 8
    """Rank of the update of a layer."""
    alpha: Annotated[int, Field(ge=1, le=1_000_000)] = 16
    """What adapters add is scaled by alpha / rank."""
    targets: Annotated[list[str], Field(min_length=1)] | None = None
    """Last names of the linear layers that get one; null: all."""
    merge: bool = True
    """At the end of the run they are merged into the model; false: the result is a folder of PEFT's with them alone."""


class Offset(StrictModel):
    """A small model learns in place of the large one, whose logits it moves: z + alpha * (trained - start)."""

    model: Model
    """The small model before it sees the texts; its tokenizer is that of the study's model, and so is `max_length`."""
    alpha: NonNegative = 1.0
    """Weight of what it has learnt since its beginning."""
    taught: bool = True
    """It begins as trained on the texts as the original was; false: as it comes, or pretrained as the base is."""

    @model_validator(mode="after")
    def check_tokenizer(self) -> Self:
        if self.model.tokenizer is not None or self.model.freeze:
            raise ValueError("model: tokenizer and freeze are those of the study; leave them out")
        return self


class Training(StrictModel):
    """How a model is trained or unlearned."""

    epochs: Epochs = 1
    """Passes over the first role of the objective."""
    learning_rate: LearningRate = 5e-5
    """Largest learning rate of the schedule."""
    embedding_rate: Positive = 1.0
    """Learning rate of the embeddings, as a multiple."""
    batch: dict[Literal["forget", "retain", "analogue", "general"], BatchSize] = {"forget": 8, "retain": 8}
    """Examples of each role in a batch."""
    micro_batch: BatchSize | None = None
    """Most sequences of one role in one forward pass; null: the whole batch."""
    optimizer: Literal["adam", "adamw", "sgd"] = "adamw"
    """sgd is without momentum."""
    beta1: Annotated[float, Field(ge=0, lt=1)] = 0.9
    """Of Adam: decay of the mean of gradients."""
    beta2: Annotated[float, Field(ge=0, lt=1)] = 0.999
    """Of Adam: decay of the mean of squared gradients."""
    weight_decay: NonNegative = 0.0
    """Of adamw decoupled from the gradient, of the others added to it; of all weights that are trained."""
    schedule: Literal["constant", "linear", "cosine"] = "constant"
    """How the learning rate falls after the warm-up."""
    warmup: Fraction = 0.0
    """Share of the steps over which the learning rate rises linearly."""
    floor: Fraction = 0.0
    """After the warm-up, the learning rate never falls below this share of itself."""
    clip: Positive | None = None
    """Largest norm of the gradient; null: any."""
    dropout: bool = False
    """Is dropout on, at the rates of the model's configuration?"""
    precision: Literal["fp32", "tf32", "bf16"] = "fp32"
    """Of products; that of weights is `model.weights`; tf32 is of GPUs alone."""
    gradient_checkpointing: bool = False
    """Less memory for a third more work: blocks are computed again."""
    compile: bool = False
    """Blocks are compiled, which pays in long runs on a GPU."""
    processes: Annotated[int, Field(ge=1, le=1024)] = 1
    """Processes that share each batch, on GPUs with one each."""
    sharded: bool = False
    """Weights, gradients and optimiser are split among the processes, not copied."""
    lora: Lora | None = None
    """Low-rank adapters; null: all weights train."""
    offset: Offset | None = None
    """Methods of generation: a small model that trains in place of the large one; null: none."""
    checkpoint_seconds: NonNegative | None = 600
    """Seconds between two checkpoints; null: none but that of SIGTERM, which always makes one."""
    stop: Stop | None = None
    """Methods of generation: when training ends before its last epoch; null: never."""
    evaluate: Literal["each_epoch"] | None = None
    """Methods: what is forgotten and what is kept is measured between epochs; null: it is not."""
    choose: Choose | None = None
    """Methods that are evaluated: which epoch's model is the result; null: that of the last."""

    @model_validator(mode="after")
    def check_choose(self) -> Self:
        if self.choose is not None and self.evaluate is None:
            raise ValueError("choose: chooses by what evaluate finds, which is null; needed is each_epoch")
        return self

    @model_validator(mode="after")
    def check_sharded(self) -> Self:
        if self.sharded and self.offset is not None:
            raise ValueError("sharded: true; with an offset, whose large model never trains, allowed: false")
        if self.sharded and self.processes == 1:
            raise ValueError(
                "sharded: true splits a model among processes, of which there is 1; allowed are 2 or more"
            )
        return self


class References(StrictModel):
    """Recipes of the runs that are trained: `base` (pretrain), `original` and `retrain` (finetune)."""

    pretrain: Training | None = None
    """On the general text; null: the model is taken as it comes."""
    finetune: Training
    """On the texts of the study: of `original` all, of `retrain` those that are not to be forgotten."""
    retrains: Annotated[int, Field(ge=1, le=100)] = 1
    """Retrained models per seed: `retrain`, and with other random streams `retrain-2`, …"""
    match: Literal["steps", "epochs"] = "steps"
    """What `retrain` has in common with `original`: as many steps see as much general text."""

    @property
    def recipes(self) -> dict[str, Training]:
        """Where in a study a recipe stands, and the recipe."""
        found = {"train.pretrain": self.pretrain, "train.finetune": self.finetune}
        return {where: recipe for where, recipe in found.items() if recipe is not None}


class Method(StrictModel):
    """One unlearning run: an objective with its hyperparameters and its schedule."""

    objective: str
    """A file of objectives/; left out: the one of the run's name."""
    training: Training = Training()
    """What it does not say is as in the study's `unlearn`, of a method that trains from the base as in `finetune`."""
    hyper: dict[str, Any] = {}
    """Fields of `Hyper` in that file."""
