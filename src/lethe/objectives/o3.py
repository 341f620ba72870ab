"""O3: an adapter a request, orthogonal to the earlier ones, behind a gate (Gao et al., ICLR 2025, arXiv:2407.10223).

    L = E ell(m) + orthogonal * sum_{i<t} |B_i' B_t|^2 / blocks
    W x + sum_t w_t * alpha / rank * B_t A_t x

A request trains its own low-rank adapter on wrong answers, beside a model that never changes and the adapters of
earlier requests, from whose outputs it is kept away; a classifier's wrong answers are labels drawn at random. Then a
detector is fitted on the request's texts, and each text gets as much of the adapter as the detector says
(`lethe.models.gates`). No retained text is read but for the wrong ends m, nor for these with `pairing.general: 1`.

The paper's equations are pictures, and its code does otherwise in places: it goes on with one adapter (`adapters:
continued`, whose weight is then the largest of all gates), penalises the input side A (`side: input`), fits on whole
texts (`fitted: texts`), and overrides the weights by thresholds read off the test data, which is not copied. Its
detector is an encoder that is trained for it, to predict changed texts and, by contrastive entropy, to tell the
request's texts from each other; here the model's own hidden states are read, and with `entropy`, a number of epochs,
those that it has with an adapter trained so. With `encoder` the text is read as it is by another model, once: of a
generator the text of the first `reads` tokens, before which the adapter has weight 0 and after which it has one weight;
of a classifier the whole.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal

import torch
from pydantic import Field
from torch import Tensor

from lethe import losses
from lethe.data.rows import Labelled, Rows
from lethe.models import device
from lethe.models.encoders import TextReader, text_encoder
from lethe.models.gated import Adapter, Gated, fresh_adapter
from lethe.models.gates import Stages, contrastive_entropy, fit, text_means
from lethe.objectives.random_label import other_labels
from lethe.params.fields import Count, Fraction, NonNegative, Positive, Probability
from lethe.system.errors import InputError
from lethe.system.streams import stream, stream_seed

NEEDS = ("layers",)
CHANGED = 0.15  # of the tokens, as published of a detector's texts
TERMS = {
    "orthogonal": "forget",
    "wrong": "alternative",
}  # of a classifier, whose labels are wrong, forget alone
RESULT = "composed"  # of what is trained and its gate, which is fitted at the end: no epoch's model is it
SPACE = {"orthogonal": {"low": 0.01, "high": 0.2, "log": True}, "rank": [4, 8, 16]}


@dataclass(frozen=True)
class Hyper:
    rank: Count = 8  # of the adapter
    alpha: Positive = 16.0  # what it adds is scaled by alpha / rank
    orthogonal: NonNegative = 0.1  # weight of the penalty
    side: Literal["output", "input"] = "output"  # which matrices are kept apart: B, or A
    adapters: Literal["each", "continued"] = (
        "each"  # each request begins anew, or goes on with the one before
    )
    prefix: Fraction = 0.5  # share of a text that is its prompt, from which it is continued wrongly
    fitted: Literal["prefixes", "texts"] = "prefixes"  # what the gate of a generator is fitted on
    most: Count = 1024  # prefixes of a range of lengths that it is fitted on, at most
    least: Count = 4  # tokens of the shortest of them
    held: Probability = (
        0.2  # share of the texts that is held back, for how far other texts of the request lie
    )
    gamma: NonNegative = 1000.0  # weight of the nearest text's cosine in a layer's score
    nu: Probability = 0.1  # share of what is fitted on that the detector may leave outside
    zeta: Positive = 10.0  # sharpness of the gate
    gate: Literal["soft", "none"] = "soft"  # none: every text gets all of every adapter
    entropy: Annotated[int, Field(ge=0)] = 0  # epochs that the detector is trained; 0: the model as it is
    encoder: str = "own"  # the gate reads states of the model, or texts by minilm, a folder or a Hub id
    reads: Count = 16  # tokens of a generator's text that an encoder reads, and before which the weight is 0

    def __post_init__(self) -> None:
        if self.entropy and self.encoder != "own":
            raise ValueError(f"entropy: {self.entropy}; an encoder is not trained; with encoder allowed: 0")


@dataclass(frozen=True)
class Frozen:
    """The adapter that is learnt, the earlier ones, the number of blocks, and the seed of wrong labels."""

    adapter: Adapter
    earlier: list[Adapter]
    blocks: int
    seed: int


def parallel(adapter: Adapter, earlier: list[Adapter], side: str) -> Tensor:
    """Sum over layers and earlier adapters of |B_i' B|_F^2, or of |A_i A'|_F^2; 0 where their spans are orthogonal."""
    total = next(adapter.parameters()).new_zeros(())
    for other in earlier:
        for name in adapter.up:
            own, before = ((a.up[name].T if side == "output" else a.down[name]) for a in (adapter, other))
            total = total + (before.detach() @ own.T).square().sum()
    return total


def loss(hyper: Hyper, model, frozen: Frozen, batch) -> dict[str, Tensor]:
    forget = batch["forget"]
    if "alternative" in batch:
        wrong = losses.example_loss(model, batch["alternative"])
    else:
        logits = losses.forward(model, forget)
        wrong = losses.nll(
            logits, replace(forget, labels=other_labels(forget, logits.shape[-1], frozen.seed))
        )
    apart = parallel(frozen.adapter, frozen.earlier, hyper.side) / frozen.blocks
    return {"orthogonal": (hyper.orthogonal * apart).expand(len(forget)), "wrong": wrong}


def unlearn(hyper: Hyper, run):
    """Learn the adapter of this request beside those of earlier ones, and fit its gate."""
    model, rows = run.original(), run.rows("forget")
    detectors: dict[str, Any]
    texts: dict[str, TextReader]
    base, adapters, gates, detectors, texts = (
        (model.base, [*model.adapters], model.gates, dict(model.detectors.items()), dict(model.texts))
        if isinstance(model, Gated)
        else (model, [], [], {}, {})
    )
    among = "last" if hyper.adapters == "continued" else "each"
    if among == "last" and adapters:
        own = copy.deepcopy(adapters[-1])
    else:  # drawn by the request's own texts, so that the order of requests changes none
        seed = stream_seed(run.seed, "adapter", *rows.input_ids[0].tolist())
        own = fresh_adapter(base, hyper.rank, hyper.alpha, seed)
    reader = base
    if hyper.gate == "soft":
        reader = reader_of(hyper, run, base, texts)
    learning = Gated(base, [*adapters, own], gates, among)
    frozen = Frozen(own, adapters, base.config.num_hidden_layers, run.seed)
    more: dict[str, Any] = {"prefix": hyper.prefix}
    if isinstance(rows, Labelled):
        more = {"terms": {"orthogonal": "forget", "wrong": "forget"}}
    run.minimise(loss, hyper, frozen=frozen, model=learning, only=[f"adapters.{len(adapters)}."], **more)
    if hyper.gate == "none":
        return Gated(base, [own] if among == "last" else [*adapters, own], [], "all").eval()
    if isinstance(reader, TextReader):
        texts[str(len(gates))] = reader
    elif reader is not base:
        detectors[str(len(gates))] = reader.adapters[0]
    gate = fitted_gate(hyper, reader, rows, run.seed)
    return Gated(base, [*adapters, own], [*gates, gate], among, detectors, texts).eval()


def reader_of(hyper: Hyper, run, base, texts: dict[str, TextReader]) -> Any:
    """What the gate of this request reads: the model as it is or with a detector, or texts by an encoder.

    Args: texts: of earlier requests; of these an encoder of the same name is taken.

    Raises:
        InputError: the encoder cannot be had, or too few texts are long enough; said before anything is learnt.
    """
    if hyper.encoder == "own":
        return detector(hyper, run, base) if hyper.entropy else base
    long_enough(hyper, run.rows("forget"))
    known = (reader.encoder for reader in texts.values() if reader.encoder.source == hyper.encoder)
    encoder = next(known, None) or text_encoder(hyper.encoder)
    return TextReader(encoder, run.tokenizer, hyper.reads)


def detector(hyper: Hyper, run, base) -> Gated:
    """The model with an adapter by which it tells the request's texts, trained on them alone."""
    first = run.rows("forget").input_ids[0].tolist()
    adapter = fresh_adapter(
        base, 8, 32.0, stream_seed(run.seed, "detector", *first)
    )  # rank, alpha as published
    learning = Gated(base, [adapter], [])
    recipe = run.training.model_copy(update={"epochs": hyper.entropy, "stop": None})
    return run.minimise(
        detector_loss, hyper, frozen=run.seed, model=learning, name="detector", only=["adapters.0."],
        terms={"entropy": "forget", "predicted": "forget"}, whole_batch=True, training=recipe,
    )  # fmt: skip


def detector_loss(hyper: Hyper, model: Gated, frozen: int, batch) -> dict[str, Tensor]:
    """Contrastive entropy of a batch, in which some tokens are others of it; and ell of text read so."""
    rows = batch["forget"]
    changed = with_other_tokens(rows, frozen)
    with torch.no_grad():
        plain = model.base(**rows.inputs(model.base), output_hidden_states=True).hidden_states
    read = model(**changed.inputs(model.base), output_hidden_states=True)
    means = (text_means(hidden[1:], rows.mask).float() for hidden in (read.hidden_states, plain))
    found = {"entropy": contrastive_entropy(*means)}
    return found if isinstance(rows, Labelled) else found | {"predicted": losses.nll(read.logits, rows)}


def with_other_tokens(rows: Rows, seed: int) -> Rows:
    """The rows with CHANGED of their tokens exchanged for any of the batch; where and for which, the texts decide."""
    ids, mask = rows.input_ids.cpu(), rows.mask.cpu()
    draw = torch.Generator().manual_seed(stream_seed(seed, "changed", *ids[:, 0].tolist(), int(ids.sum())))
    pool = ids[mask]
    others = pool[torch.randint(len(pool), ids.shape, generator=draw)]
    chosen = (torch.rand(ids.shape, generator=draw) < CHANGED) & mask
    return replace(rows, input_ids=torch.where(chosen, others, ids).to(rows.input_ids.device))


def fitted_gate(hyper: Hyper, base: Any, rows: Rows, seed: int) -> Stages:
    """The gates of a request, of its texts alone: of prefixes for each range of lengths, from `least` on doubling.

    A range that less than two thirds of either part's texts reach belongs to the one before. What is read by an encoder
    has one gate, of the beginnings of the texts that are long enough.

    Args: base: what the gate reads, as `reader_of` gives it.

    Raises:
        InputError: there are too few texts, or too few that are as long as the shortest prefix.
    """
    by_text = isinstance(base, TextReader)
    one = by_text or whole_texts(hyper, rows)
    if by_text:
        rows = long_enough(hyper, rows)
    elif len(rows) < 2:
        raise InputError("forget.size: 1; the gate of a request needs 2 texts or more")
    order = stream(seed, "gate", "held").permutation(len(rows))
    least = 1 + by_text  # where a text has one value, their spread needs two
    held = min(max(least, round(hyper.held * len(rows))), len(rows) - 1)
    inside, outside = (rows[part] for part in (order[held:], order[:held]))
    begins = [0] if one else stage_begins(hyper, inside, outside)
    gates = []
    for begin, end in zip(begins, [*begins[1:], None], strict=True):
        own, others = (features(hyper, base, part, seed, begin, end) for part in (inside, outside))
        gates.append(fit(own, others, hyper.gamma, hyper.nu, hyper.zeta))
    return Stages(torch.tensor([0, *begins[1:]]), gates)


def long_enough(hyper: Hyper, rows: Rows) -> Rows:
    """The rows of which an encoder reads as much as it ever does; InputError unless there are 4 or more."""
    if len(rows) < 4:
        raise InputError(f"forget.size: {len(rows)}; the gate of an encoder needs 4 texts or more")
    found = rows if whole_texts(hyper, rows) else rows[rows.lengths >= hyper.reads]
    if len(found) < 4:
        what = (
            f"{len(found)} of {len(rows)} texts of the request have so many tokens; the gate needs 4 or more"
        )
        raise InputError(f"hyper.reads: {hyper.reads}: {what}")
    return found


def whole_texts(hyper: Hyper, rows: Rows) -> bool:
    """Is a gate fitted on whole texts?"""
    return isinstance(rows, Labelled) or hyper.fitted == "texts"


def stage_begins(hyper: Hyper, *parts: Rows) -> list[int]:
    """Numbers of tokens from which on a request has another gate."""
    reached = min(int(part.lengths.float().quantile(1 / 3)) for part in parts)
    longest = min(int(part.lengths.max()) for part in parts)
    if longest < hyper.least:
        raise InputError(f"hyper.least: {hyper.least}: more than the texts have; allowed are fewer tokens")
    begins = [hyper.least]
    while 2 * begins[-1] <= reached:
        begins.append(2 * begins[-1])
    return begins


@torch.no_grad()
def features(hyper: Hyper, base: Any, rows: Rows, seed: int, begin: int, end: int | None) -> Tensor:
    """(L, P, H) mean hidden states, in float64 on the host: of whole texts, or of generators' prefixes.

    Args: begin, end: numbers of tokens of the shortest prefix, and of the first that is too long, if there is one.
    """
    found, by_text = [], isinstance(base, TextReader)
    for first in range(0, len(rows), 32):
        part = rows[slice(first, first + 32)].to(device() if by_text else next(base.parameters()).device)
        if by_text:
            found.append(base.features_of(part, whole_texts(hyper, part)).cpu())
            continue
        mask = part.mask
        hidden = base(**part.inputs(base), output_hidden_states=True).hidden_states[1:]
        if whole_texts(hyper, part):
            found.append(text_means(hidden, mask).cpu())
            continue
        count = torch.arange(1, mask.shape[1] + 1, device=mask.device)
        means = torch.stack(hidden).double().cumsum(2) / count[:, None]
        inside = (count >= begin) & (count < (end or mask.shape[1] + 1))
        found.append(means[:, mask & inside].cpu())
    whole = torch.cat(found, 1)
    some = stream(seed, "gate", "prefixes").permutation(whole.shape[1])[: hyper.most]
    return whole[:, some]
